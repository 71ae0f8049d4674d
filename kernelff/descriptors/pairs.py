"""Pair distances: the two-body descriptor of GAP (distance_2b)."""

from typing import NamedTuple

import numpy as np
from scipy.special import erf
from sklearn.base import BaseEstimator

from kernelff.basis.cutoff import cosine_cutoff
from kernelff.descriptors.base import check_list, checked_species, register, require

_NEAR = 1e-2  # of reach r: below it by Taylor's series


class PairInstances(NamedTuple):
    """The pairs of one frame that a PairDescriptor selects; every ordered pair is one instance."""

    index: np.ndarray  # (n,) into the neighbour list
    r: np.ndarray  # (n,) distance, the descriptor, Å
    fcut: np.ndarray  # (n,) covariance cutoff
    dfcut: np.ndarray  # (n,) its slope, 1/Å


class PairDistances(BaseEstimator):
    """Distance of two atoms as a descriptor, with a smooth covariance cutoff.

    Parameters
    ----------
    cutoff : float
        Å.
    cutoff_width : float
        Width of the cosine switch below `cutoff`, Å.
    species_pair : tuple of two atomic numbers, optional
        Only these two elements, in either order; None takes every pair, 0
        stands for any element.
    tail_exponent, tail_range : float
        The cutoff is multiplied by (erf(tail_range r) / r)^tail_exponent, as some
        published GAPs do; `tail_range` in 1/Å. Exponent 0 leaves it alone.
    """

    def __init__(self, cutoff, cutoff_width=0.5, species_pair=None, tail_exponent=0.0, tail_range=1.0):
        self.cutoff = cutoff
        self.cutoff_width = cutoff_width
        self.species_pair = species_pair
        self.tail_exponent = tail_exponent
        self.tail_range = tail_range

    def plain_parameters(self):
        """Parameters as plain data, for files."""
        return self.get_params()

    def build(self, species=None, nearest_distance=None):
        """Checked, immutable descriptor; `species` and `nearest_distance` are not needed here."""
        checked_species(species)
        require(np.isfinite(self.cutoff) and self.cutoff > 0, "cutoff", self.cutoff, "a length > 0 Å")
        rule = f"a length > 0 and at most cutoff = {self.cutoff} Å"
        require(0 < self.cutoff_width <= self.cutoff, "cutoff_width", self.cutoff_width, rule)
        pair = self.species_pair
        if pair is not None:
            require(len(pair) == 2 and min(pair) >= 0, "species_pair", pair, "two atomic numbers, or None")
            pair = (int(pair[0]), int(pair[1]))
        require(np.isfinite(self.tail_exponent), "tail_exponent", self.tail_exponent, "a number")
        require(np.isfinite(self.tail_range) and self.tail_range > 0, "tail_range", self.tail_range, "> 0")
        tail = (float(self.tail_exponent), float(self.tail_range))
        return PairDescriptor(float(self.cutoff), float(self.cutoff_width), pair, tail)


@register("pairs")
class PairDescriptor:
    """Built form of PairDistances."""

    def __init__(self, cutoff, cutoff_width, species_pair, tail=(0.0, 1.0)):
        self.cutoff, self.cutoff_width, self.species_pair = cutoff, cutoff_width, species_pair
        self.tail = tail

    def compute(self, neighbors):
        """The instances of a frame, in list order.

        A bond is listed from both ends and counts twice, also between
        different elements.

        Parameters
        ----------
        neighbors : NeighborList

        Returns
        -------
        PairInstances
        """
        check_list(neighbors, self.cutoff)
        chosen = neighbors.distances < self.cutoff
        if self.species_pair is not None:
            chosen &= self.takes(neighbors.numbers[neighbors.i], neighbors.numbers[neighbors.j])
        index = np.flatnonzero(chosen)
        r = neighbors.distances[index]
        return PairInstances(index, r, *self.covariance_cutoff(r))

    def takes(self, one, two):
        """Which pairs of atomic numbers (arrays that broadcast) are chosen."""
        a, b = self.species_pair or (0, 0)
        return (_is(one, a) & _is(two, b)) | (_is(one, b) & _is(two, a))

    def covariance_cutoff(self, r):
        """Covariance cutoff and its slope, 1/Å, at distances r (n,)."""
        r = np.asarray(r, dtype=float)
        fcut, dfcut, _ = cosine_cutoff(r, self.cutoff, self.cutoff_width)
        if self.tail[0]:
            tail, slope = _tail(r, *self.tail)
            fcut, dfcut = fcut * tail, dfcut * tail + fcut * slope
        return fcut, dfcut

    def gradients(self, neighbors, pairs):
        """dr/dr_ij of every instance, shape (n, 3): the unit vector from centre to neighbour.

        Parameters
        ----------
        neighbors : NeighborList
        pairs : PairInstances
            Of the same list.
        """
        return neighbors.vectors[pairs.index] / pairs.r[:, None]

    def backward(self, neighbors, pairs, dE_dr):
        """Carry derivatives by the distances back to pair vectors.

        Parameters
        ----------
        neighbors : NeighborList
        pairs : PairInstances
            Of the same list.
        dE_dr : ndarray of shape (n,)
            Derivative of the energy by the distance of every instance, eV/Å, cutoff included.

        Returns
        -------
        ndarray of shape (n_pairs, 3)
            dE_i/dr_ij in eV/Å, in list order; zero for pairs that are no instance.
        """
        gradients = np.zeros((neighbors.n_pairs, 3))
        gradients[pairs.index] = self.gradients(neighbors, pairs) * dE_dr[:, None]
        return gradients

    def to_state(self):
        """Parameters and (no) arrays for a file."""
        pair = None if self.species_pair is None else list(self.species_pair)
        params = {"cutoff": self.cutoff, "cutoff_width": self.cutoff_width, "species_pair": pair}
        return params | {"tail": list(self.tail)}, {}

    @classmethod
    def from_state(cls, params, arrays):
        pair = params["species_pair"]
        tail = tuple(params.get("tail", (0.0, 1.0)))
        return cls(params["cutoff"], params["cutoff_width"], None if pair is None else tuple(pair), tail)


def _tail(r, exponent, reach):
    """(erf(reach r) / r)^exponent and its slope, also at r = 0."""
    x, center = reach * r, 2.0 * reach / np.sqrt(np.pi)
    near = x < _NEAR
    far_x, far_r = np.where(near, 1.0, x), np.where(near, 1.0 / reach, r)
    screened = erf(far_x)
    value = np.where(near, center * (1.0 - x**2 / 3.0 + x**4 / 10.0), screened / far_r) ** exponent
    log_slope = center * np.exp(-(far_x**2)) / screened - 1.0 / far_r
    return value, exponent * value * np.where(near, -reach * x * (2.0 / 3.0 - 8.0 / 45.0 * x**2), log_slope)


def _is(numbers, z):
    return (numbers == z) | (z == 0)
