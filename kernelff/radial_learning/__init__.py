"""Radial functions of moment tensor potentials learnt from data, by variable projection."""

from kernelff.radial_learning.choice import choose_frames
from kernelff.radial_learning.learning import Learner, Learning, column_norms
from kernelff.radial_learning.passes import learning_passes

__all__ = ["Learner", "Learning", "choose_frames", "column_norms", "learning_passes"]
