"""Estimators: fit and predict on lists of ASE Atoms."""

from kernelff.models.saved import load_model
from kernelff.models.sparse_gpr import SparseGPR

__all__ = ["SparseGPR", "load_model"]
