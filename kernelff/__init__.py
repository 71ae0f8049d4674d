"""Kernel-method force fields: DFT accuracy, minutes to fit, honest error bars."""

from kernelff import md
from kernelff.baselines.dispersion import DFTD3
from kernelff.descriptors import G2, G4, G5, SOAP, W2, W4, W5, MomentTensors, PairDistances, SymmetryFunctions
from kernelff.error_bars.extrapolation import ActiveSet
from kernelff.io.gap_write import write_gap
from kernelff.io.gap_xml import read_gap
from kernelff.io.input_nn import read_input_nn
from kernelff.io.model_file import load
from kernelff.io.mtp import read_mtp, write_mtp
from kernelff.models import MTP, SparseGPR, load_model
from kernelff.neighbors import NeighborList
from kernelff.potential import Potential
from kernelff.regression.crossvalidation import BlockKFold
from kernelff.version import __version__

__all__ = [
    "DFTD3",
    "G2",
    "G4",
    "G5",
    "MTP",
    "SOAP",
    "W2",
    "W4",
    "W5",
    "ActiveSet",
    "BlockKFold",
    "MomentTensors",
    "NeighborList",
    "PairDistances",
    "Potential",
    "SparseGPR",
    "SymmetryFunctions",
    "__version__",
    "load",
    "load_model",
    "md",
    "read_gap",
    "read_input_nn",
    "read_mtp",
    "write_gap",
    "write_mtp",
]
