"""Tables of functions of one distance: polynomials of degree five, value and derivative from the same one.

A piece takes value and slope of the function at its two ends and its middle. Neighbouring pieces meet with one
continuous derivative, so that energies are the integrals of forces to rounding; segments between kinks have equal
spacings of their own. All is counted inwards, so that what vanishes at a cutoff does so without rounding. Against
Hermite pieces of two points (tables.py) no curvature is needed, and the error is a seventh.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

_TOLERANCE = 1e-13  # of the largest value; slopes are a hundred times less exact
_FIRST_PIECES = 10  # per Å
_MOST_PIECES = 100_000  # of a segment; only a function that is not smooth asks for more
_EXTREMES = np.array([0.5 - np.sqrt(1 / 12), 0.5 + np.sqrt(1 / 12)])  # where t (t - 1/2) (t - 1) is largest
_SEGMENT = np.dtype([("stop", "f8"), ("rate", "f8"), ("first", "i8"), ("n", "i8")])


def _from_nodes():
    """Matrix (6, 6): value, slope at 0, 1/2, 1 -> coefficients of 1, t, ..., t^5."""
    t, power = np.array([[0.0], [0.5], [1.0]]), np.arange(6.0)
    values, slopes = t**power, power * t ** np.maximum(power - 1, 0)
    return np.rint(np.linalg.inv(np.stack([values, slopes], axis=1).reshape(6, 6)))  # whole numbers


_COEFFICIENTS = _from_nodes()


@dataclass(frozen=True, eq=False)
class PieceTable:
    """A function on [0, cutoff), zero from there on.

    Attributes
    ----------
    segments : structured ndarray
        stop (Å), rate = pieces per Å, first piece, number of pieces n; ascending, without gaps, the first from 0 on.
    pieces : ndarray of shape (n_pieces, 6)
        Coefficients of 1, t, ..., t^5 with t in [0, 1] along the piece, inwards.
    """

    segments: np.ndarray
    pieces: np.ndarray

    @property
    def cutoff(self):
        """Å."""
        return float(self.segments["stop"][-1])

    def evaluate(self, r):
        """Value and slope at distances r (n,) from 0 on."""
        r = np.asarray(r, dtype=float)
        inside = r < self.cutoff
        segment = self.segments[np.searchsorted(self.segments["stop"][:-1], r, side="right")]
        x = np.where(inside, (segment["stop"] - r) * segment["rate"], 0.0)
        k = np.minimum(x.astype(int), segment["n"] - 1)
        c, t = self.pieces[segment["first"] + k].T, x - k
        value = np.polynomial.polynomial.polyval(t, c, tensor=False)
        slope = np.polynomial.polynomial.polyval(t, c[1:] * np.arange(1.0, 6.0)[:, None], tensor=False)
        return np.where(inside, value, 0.0), np.where(inside, -slope * segment["rate"], 0.0)


def tabulate_pieces(function, breaks, smooth_from=0.0):
    """Tabulate `function` to an error of 1e-13 of its largest value, or to what rounding leaves of it.

    Parameters
    ----------
    function : callable
        ``function(r)`` -> value, slope and the rounding error of the value, each (n,) or a number.
    breaks : sequence of float
        0, the places where a derivative jumps, and the cutoff, ascending, Å.
    smooth_from : float
        Å; below this distance the error is not checked (functions with a singular derivative at 0).

    Returns
    -------
    PieceTable
    """
    values, _, rounding = function(np.linspace(0.0, breaks[-1], 200))
    allowed = max(_TOLERANCE * np.abs(values).max(), np.max(rounding), 1e-300)
    found = [_refine(function, a, b, allowed, smooth_from) for a, b in pairwise(breaks)]
    counts = np.array([len(pieces) for pieces in found])
    segments = np.zeros(len(found), _SEGMENT)
    segments["stop"], segments["n"] = breaks[1:], counts
    segments["rate"] = counts / np.diff(breaks)
    segments["first"] = np.cumsum(counts) - counts
    return PieceTable(segments, np.concatenate(found))


def _refine(function, start, stop, allowed, smooth_from):
    """Smallest number of equal pieces that meets the tolerance, their coefficients (n, 6)."""
    n = max(2, int(np.ceil(_FIRST_PIECES * (stop - start))))
    while True:
        pieces, h = _pieces(function, start, stop, n), (stop - start) / n
        r = stop - h * (np.arange(n)[:, None] + _EXTREMES)
        error = np.abs(pieces @ _EXTREMES ** np.arange(6)[:, None] - function(r.ravel())[0].reshape(r.shape))
        error = error[r >= smooth_from].max(initial=0.0) / allowed
        if error <= 1.0 or n >= _MOST_PIECES:
            return pieces
        n = min(int(np.ceil(1.03 * n * min(error ** (1 / 6), 8.0))), _MOST_PIECES)  # the error falls as h^6


def _pieces(function, start, stop, n):
    value, slope, _ = function(np.linspace(stop, start, 2 * n + 1))
    nodes = np.stack([value, slope * (start - stop) / n], axis=1).ravel()  # two numbers of each node
    return np.lib.stride_tricks.sliding_window_view(nodes, 6)[::4] @ _COEFFICIENTS.T
