"""Kernel-method force fields: DFT accuracy, minutes to fit, honest error bars."""

from kernelff.crossvalidation import BlockKFold
from kernelff.descriptors import SOAP, PairDistances
from kernelff.io.gap_write import write_gap
from kernelff.io.gap_xml import read_gap
from kernelff.io.model_file import load
from kernelff.models import SparseGPR, load_model
from kernelff.neighbors import NeighborList
from kernelff.potential import Potential
from kernelff.version import __version__

__all__ = [
    "SOAP",
    "BlockKFold",
    "NeighborList",
    "PairDistances",
    "Potential",
    "SparseGPR",
    "__version__",
    "load",
    "load_model",
    "read_gap",
    "write_gap",
]
