"""How often learning radial functions goes over the frames, for forecasts."""

from dataclasses import replace

import numpy as np

from kernelff.radial_learning.learning import stages
from kernelff.radial_learning.tangent import RadialTangent
from kernelff.terms import BasisTerm

_ITERATIONS = 9.0  # of a stage, usually
_FITS = 1.0  # of weights in an iteration, after the step


def learning_passes(descriptor, problem, validation):
    """The passes over the frames that `Learner.learn` usually makes.

    Parameters
    ----------
    descriptor : MomentTensorsDescriptor
        With all scalars.
    problem, validation : Problem
        Frames to learn from and to judge by; the latter may have none.

    Returns
    -------
    list of tuple
        (number of passes, Problem with the terms of its rows).
    """
    found = []
    for level in stages(int(descriptor.levels.max())):
        own = descriptor.up_to(level)
        term, tangent = BasisTerm(own), RadialTangent(own, np.zeros(own.n_features))
        found += [
            (_FITS * _ITERATIONS, replace(problem, terms=[term])),
            (_ITERATIONS, replace(problem, terms=[term, tangent])),
            (_ITERATIONS, replace(validation, terms=[term])),
        ]
    return found
