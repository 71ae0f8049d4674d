"""Estimators: fit and predict on lists of ASE Atoms."""

from kernelff.models.sparse_gpr import SparseGPR

__all__ = ["SparseGPR"]
