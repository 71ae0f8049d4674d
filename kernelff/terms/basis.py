"""A term whose basis functions are the features themselves: linear models, as moment tensor potentials."""

import copy

import numpy as np

from kernelff.descriptors import descriptor_from_state, descriptor_to_state
from kernelff.descriptors.moment_potential import BoundMoments
from kernelff.descriptors.moment_tensors import MomentDescriptor
from kernelff.named_arrays import under
from kernelff.terms.compiled import kept_kernel
from kernelff.terms.gradient_block import GradientBlock

_CENTRES_PER_BLOCK = 8  # of the widest loops; derivative rows, some megabytes, are used while they are in the cache


class BasisTerm:
    """phi_b(i) = B_b(i), the features of a descriptor, each weight with a prior of its own: w_b ~ N(0, std_b^2).

    Weights have the prior N(0, K_MM^-1) everywhere, so that K_MM = diag(1 / std^2).

    Parameters
    ----------
    descriptor : MomentTensorsDescriptor or another built descriptor of environments
    stds : ndarray of shape (n_features,), optional
        Prior standard deviations of the weights, eV per unit of the feature; 1 by default.
    families : ndarray of int, shape (n_features,), optional
        Functions of one family, numbered from 0, have a common factor on their prior; one family by default.

    Attributes
    ----------
    precision : str
        "double" or "single", of `evaluate` with moment tensors; see `with_precision`.

    Raises
    ------
    ValueError
        If the standard deviations are not finite, not positive, or of another number.
    """

    def __init__(self, descriptor, stds=None, families=None):
        self.descriptor = descriptor
        self.n_functions = descriptor.n_features
        self.stds = np.ones(self.n_functions) if stds is None else np.array(stds, dtype=float)
        self.stds.flags.writeable = False
        if self.stds.shape != (self.n_functions,) or not (np.isfinite(self.stds) & (self.stds > 0)).all():
            raise ValueError(f"stds: must be {self.n_functions} finite numbers > 0, one per feature, got {stds!r}.")
        self.families = np.zeros(self.n_functions, dtype=int) if families is None else np.array(families, dtype=int)
        self.families.flags.writeable = False
        self.cutoff = descriptor.cutoff
        self.precision = "double"
        self._bound = None  # (weights, kernels with them)

    def __getstate__(self):
        return self.__dict__ | {"_bound": None}  # kernels hold pointers

    @property
    def has_single(self):
        """Whether `evaluate` has a choice of precision."""
        return isinstance(self.descriptor, MomentDescriptor)

    def with_precision(self, precision):
        """This term with arithmetic of "double" or "single" precision in `evaluate`; one that `has_single`."""
        term = copy.copy(self)
        term.precision, term._bound = precision, None
        return term

    def restricted(self, shares, least):
        """The term without the functions whose share (n_functions,) is `least`; the shares multiply `stds`."""
        kept = np.flatnonzero(shares > least)
        return BasisTerm(self.descriptor.restricted(kept), (self.stds * shares)[kept], self.families[kept])

    @property
    def blocks(self):
        """Column slices between which K_MM is zero: one per function, so that none is small beside another."""
        return [slice(b, b + 1) for b in range(self.n_functions)]

    @property
    def centres(self):
        """Atomic numbers of the centres that this term gives energy, or None for all."""
        return None if self.descriptor.species is None else set(self.descriptor.species)

    def columns_for(self, z):
        """Columns of the functions that centres of an element have: all or none."""
        return np.arange(self.n_functions if self.centres is None or z in self.centres else 0)

    def gram(self):
        """K_MM, shape (n_functions, n_functions): diagonal."""
        return np.diag(self.stds**-2)

    def values(self, neighbors):
        """phi_ab (n_atoms, n_functions) and the prior variance of the local energies (n_atoms,), eV^2."""
        phi_ab = self.descriptor.compute(neighbors)
        return phi_ab, ((phi_ab * self.stds) ** 2).sum(axis=1)

    def gradient_blocks(self, neighbors):
        """Yield GradientBlocks that together hold every derivative once."""
        first = neighbors.first
        for start in range(0, neighbors.n_atoms, _CENTRES_PER_BLOCK):
            stop = min(start + _CENTRES_PER_BLOCK, neighbors.n_atoms)
            _, dq_pcf = self.descriptor.gradients(neighbors, start, stop)
            pairs = np.arange(first[start], first[stop])
            yield GradientBlock(pairs, slice(0, self.n_functions), start, None, dq_pcf)

    def evaluate(self, neighbors, weights):
        """Local energies (n_atoms,) and pair gradients de_i/dr_ij (n_pairs, 3) for weights (n_functions,).

        Raises
        ------
        ValueError
            In single precision, if that is too coarse for these weights.
        """
        kernels = self.compiled(weights)
        return self.evaluate_by_parts(neighbors, weights) if kernels is None else kernels.evaluate(neighbors)

    def compiled(self, weights, rows=False):
        """Kernels with these weights bound in, kept until others come; None for a descriptor that has none.

        With `rows` they have a `row_kernel`, which gives the basis functions in the same pass.
        """
        if not isinstance(self.descriptor, MomentDescriptor):
            return None
        return kept_kernel(self, _bind, weights, rows)

    def evaluate_by_parts(self, neighbors, weights):
        """`evaluate` for any descriptor: features, then their adjoint."""
        energies = self.descriptor.compute(neighbors) @ weights
        dE_dq = np.tile(weights, (neighbors.n_atoms, 1))
        return energies, self.descriptor.backward(neighbors, dE_dq)

    def to_state(self):
        params, arrays = descriptor_to_state(self.descriptor)
        arrays = {f"descriptor.{name}": array for name, array in arrays.items()}
        return {"kind": "basis", "descriptor": params}, arrays | {"stds": self.stds, "families": self.families}

    @classmethod
    def from_state(cls, params, arrays):
        descriptor = descriptor_from_state(params["descriptor"], under("descriptor.", arrays))
        return cls(descriptor, arrays["stds"], arrays.get("families"))


def _bind(term, weights, rows):
    return BoundMoments(term.descriptor, weights, term.precision, rows)
