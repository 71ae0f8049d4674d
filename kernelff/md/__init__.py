"""Molecular dynamics on compiled kernels, written on `Potential` alone."""

from kernelff.md.guards import MDStopped
from kernelff.md.observables import (
    MSD,
    RDF,
    VACF,
    HeatFlux,
    LocalUncertainty,
    ObservableResult,
    StressCorrelation,
    heat_flux,
)
from kernelff.md.run import MDResult, run
from kernelff.md.settings import MDSettings

__all__ = [
    "MSD",
    "RDF",
    "VACF",
    "HeatFlux",
    "LocalUncertainty",
    "MDResult",
    "MDSettings",
    "MDStopped",
    "ObservableResult",
    "StressCorrelation",
    "heat_flux",
    "run",
]
