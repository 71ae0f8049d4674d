"""Observables of a molecular dynamics, gathered while it runs in memory that does not grow with it."""

from kernelff.md.observables.heat_flux import HeatFlux, heat_flux
from kernelff.md.observables.local_energy import LocalUncertainty
from kernelff.md.observables.msd import MSD
from kernelff.md.observables.observers import OBSERVABLES, Observers, picture_path
from kernelff.md.observables.rdf import RDF
from kernelff.md.observables.results import Estimate, ObservableResult
from kernelff.md.observables.stress import StressCorrelation
from kernelff.md.observables.vacf import VACF

__all__ = [
    "MSD",
    "OBSERVABLES",
    "RDF",
    "VACF",
    "Estimate",
    "HeatFlux",
    "LocalUncertainty",
    "ObservableResult",
    "Observers",
    "StressCorrelation",
    "heat_flux",
    "picture_path",
]
