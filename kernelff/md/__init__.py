"""Molecular dynamics on compiled kernels, written on `Potential` alone."""

from kernelff.md.guards import MDStopped
from kernelff.md.run import MDResult, run
from kernelff.md.settings import MDSettings

__all__ = ["MDResult", "MDSettings", "MDStopped", "run"]
