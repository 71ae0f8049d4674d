"""Descriptors: functions of the neighbours of one centre."""

from kernelff.descriptors.base import descriptor_from_state, descriptor_to_state
from kernelff.descriptors.moment_file import TabulatedMoments
from kernelff.descriptors.moment_tensors import MomentTensors, MomentTensorsDescriptor
from kernelff.descriptors.pairs import PairDescriptor, PairDistances, PairInstances
from kernelff.descriptors.quip import quip_order
from kernelff.descriptors.soap import SOAP, SOAPDescriptor
from kernelff.descriptors.symmetry_functions import SymmetryFunctions, SymmetryFunctionsDescriptor
from kernelff.descriptors.symmetry_records import G2, G4, G5, W2, W4, W5

__all__ = [
    "G2",
    "G4",
    "G5",
    "SOAP",
    "W2",
    "W4",
    "W5",
    "MomentTensors",
    "MomentTensorsDescriptor",
    "PairDescriptor",
    "PairDistances",
    "PairInstances",
    "SOAPDescriptor",
    "SymmetryFunctions",
    "SymmetryFunctionsDescriptor",
    "TabulatedMoments",
    "descriptor_from_state",
    "descriptor_to_state",
    "quip_order",
]
