"""Tables of radial functions: quintic Hermite pieces, value and derivative from the same polynomial.

Two segments meet at the inner kink of the cutoff function, where the curvature jumps; each has its own equal
spacing. A knot stores f, h f' and h^2 f'', half the memory of polynomial coefficients per interval; pieces
join with two continuous derivatives inside a segment.
"""

from dataclasses import dataclass

import numpy as np

_TOLERANCE = 1e-12  # of max|R|
_FIRST_INTERVALS = 48


@dataclass(frozen=True, eq=False)
class RadialTable:
    """Tabulated R_nl(r) on [0, cutoff).

    Attributes
    ----------
    cutoff, split : float
        Segments [0, split] and [split, cutoff], Å.
    n_intervals : tuple of two ints
    knots : ndarray of shape (n_knots, l_max + 1, 3, n_max)
        f, h f', h^2 f'' at the knots of segment 0, then of segment 1; the
        knot at `split` occurs twice if both segments exist.
    """

    cutoff: float
    split: float
    n_intervals: tuple
    knots: np.ndarray

    @property
    def steps(self):
        """Interval lengths of both segments, Å (0 for an empty one)."""
        lengths = (self.split, self.cutoff - self.split)
        return tuple(length / n if n else 0.0 for length, n in zip(lengths, self.n_intervals, strict=True))

    def evaluate(self, r):
        """R and dR/dr at distances r (n,) below the cutoff, each (n, l_max + 1, n_max)."""
        r = np.asarray(r, dtype=float)
        outer = (r >= self.split).astype(int)
        step = np.array(self.steps)[outer]
        x = (r - outer * self.split) / step
        last = np.array(self.n_intervals)[outer] - 1
        bins = np.minimum(x.astype(int), last)
        knot = bins + outer * (self.n_intervals[0] + 1)
        nodes = np.concatenate([self.knots[knot], self.knots[knot + 1]], axis=2)  # (n, l, 6, n_max)
        value, slope = hermite_weights(x - bins)
        R = np.einsum("rw,rlwn->rln", value, nodes)
        dR = np.einsum("rw,rlwn->rln", slope / step[:, None], nodes)
        return R, dR


def hermite_weights(t):
    """Weights of (f0, h f0', h^2 f0'', f1, h f1', h^2 f1'') at t in [0, 1], and their t-derivatives: (n, 6) each."""
    end, s = t**3 * (10.0 - 15.0 * t + 6.0 * t**2), 30.0 * t**2 * (1.0 - t) ** 2
    value = [
        1.0 - end,
        t - 6.0 * t**3 + 8.0 * t**4 - 3.0 * t**5,
        0.5 * t**2 * (1.0 - t) ** 3,
        end,
        -4.0 * t**3 + 7.0 * t**4 - 3.0 * t**5,
        0.5 * t**3 * (1.0 - t) ** 2,
    ]
    slope = [
        -s,
        1.0 - 18.0 * t**2 + 32.0 * t**3 - 15.0 * t**4,
        t - 4.5 * t**2 + 6.0 * t**3 - 2.5 * t**4,
        s,
        -12.0 * t**2 + 28.0 * t**3 - 15.0 * t**4,
        1.5 * t**2 - 4.0 * t**3 + 2.5 * t**4,
    ]
    return np.stack(value, axis=-1), np.stack(slope, axis=-1)


def tabulate(function, cutoff, split, smooth_from=0.0):
    """Tabulate `function` to an error of 1e-12 of its largest value.

    Parameters
    ----------
    function : callable
        ``function(r, segment)`` -> (3, n, l_max + 1, n_max): value and two derivatives, one-sided at `split`
        as seen from segment 0 or 1.
    cutoff, split : float
        Å; split = cutoff - width of the cutoff function.
    smooth_from : float
        Å; below this distance the error is not checked (functions with a singular derivative at 0).

    Returns
    -------
    RadialTable
    """
    bounds = [(0.0, split), (split, cutoff)]
    largest = np.abs(function(np.linspace(0.0, cutoff, 33)[:-1], 0)[0]).max()
    counts, knots = [], []
    for segment, (start, stop) in enumerate(bounds):
        if stop <= start:
            counts.append(0)
            continue
        n, values = _refine(lambda r, s=segment: function(r, s), start, stop, largest, smooth_from)
        counts.append(n)
        knots.append(values)
    if counts[0] == 0:  # the loops still step over one knot of the empty segment
        knots.insert(0, np.zeros_like(knots[0][:1]))
    return RadialTable(float(cutoff), float(max(split, 0.0)), tuple(counts), np.concatenate(knots))


def _refine(function, start, stop, largest, smooth_from):
    """Smallest number of equal intervals that meets the tolerance, and the knots."""
    n = max(4, int(np.ceil(_FIRST_INTERVALS * (stop - start) / 5.0)))
    previous = np.inf
    while True:
        r = np.linspace(start, stop, n + 1)
        h = (stop - start) / n
        middle = r[:-1] + 0.5 * h
        values = function(r)
        knots = np.moveaxis(values * np.array([1.0, h, h * h])[:, None, None, None], 0, 2)
        exact = function(middle)[0]
        w = hermite_weights(np.array([0.5]))[0][0]
        found = np.einsum("w,rlwn->rln", w, np.concatenate([knots[:-1], knots[1:]], axis=2))
        checked = middle >= smooth_from
        error = np.abs(found - exact)[checked].max(initial=0.0) / (_TOLERANCE * largest)
        if error <= 1.0 or (error < 1e3 and error > 0.7 * previous):
            return n, knots  # exact enough, or as exact as float64 lets the function be
        previous = error
        n = int(np.ceil(1.03 * n * min(error ** (1.0 / 6.0), 8.0)))  # the error falls as h^6
