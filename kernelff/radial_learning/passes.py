"""How often learning radial functions goes over the frames, for forecasts."""

from dataclasses import replace

import numpy as np

from kernelff.basis_term import BasisTerm
from kernelff.radial_learning.learning import ITERATIONS, stages
from kernelff.radial_learning.tangent import RadialTangent

_FITS = 1.0  # of weights in an iteration, after the step


def learning_passes(descriptor, problem, validation):
    """The passes over the frames that `Learner.learn` makes at most, unless steps are refused.

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
            (_FITS * ITERATIONS, replace(problem, terms=[term])),
            (ITERATIONS, replace(problem, terms=[term, tangent])),
            (ITERATIONS, replace(validation, terms=[term])),
        ]
    return found
