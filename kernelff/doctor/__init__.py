"""The doctor of data sets: all that can be told of labels before a model is fitted to them."""

from kernelff.doctor.diagnosis import Diagnosis, diagnose

__all__ = ["Diagnosis", "diagnose"]
