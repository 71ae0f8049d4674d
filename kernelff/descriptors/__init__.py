"""Descriptors: functions of the neighbours of one centre."""

from kernelff.descriptors.base import descriptor_from_state, descriptor_to_state
from kernelff.descriptors.pairs import PairDescriptor, PairDistances, PairInstances
from kernelff.descriptors.quip import quip_order
from kernelff.descriptors.soap import SOAP, SOAPDescriptor

__all__ = [
    "SOAP",
    "PairDescriptor",
    "PairDistances",
    "PairInstances",
    "SOAPDescriptor",
    "descriptor_from_state",
    "descriptor_to_state",
    "quip_order",
]
