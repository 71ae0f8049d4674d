"""Estimators: fit and predict on lists of ASE Atoms."""

from kernelff.models.mtp import MTP
from kernelff.models.saved import load_model
from kernelff.models.sparse_gpr import SparseGPR

__all__ = ["MTP", "SparseGPR", "load_model"]
