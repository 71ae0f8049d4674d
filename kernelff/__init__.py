"""Kernel-method force fields: DFT accuracy, minutes to fit, honest error bars."""

from kernelff.descriptors import SOAP, PairDistances
from kernelff.io.model_file import load, load_model
from kernelff.models import SparseGPR
from kernelff.neighbors import NeighborList
from kernelff.potential import Potential

__version__ = "0.1.0"

__all__ = ["SOAP", "NeighborList", "PairDistances", "Potential", "SparseGPR", "load", "load_model"]
