"""Which frames radial functions are learnt from, and which ones say when to stop."""

import numpy as np

_ROWS_PER_UNKNOWN, _LEAST_ROWS = 24, 8000
_FEWEST_FRAMES = 20  # to spare some for validation
_VALIDATION_EVERY = 10
_VALIDATION_SHARE = 0.25  # of the rows that are learnt from


def choose_frames(problem, n_unknowns):
    """Boolean masks (n_frames,) of the frames to learn from and of those to validate on, disjoint.

    Radial functions are few and the same for all atoms: rows in proportion to the unknowns are enough, evenly spread
    over the frames, however many there are. Every tenth frame is kept for validation, of at least 20: all kinds of
    frames are on both sides.

    Parameters
    ----------
    problem : Problem
    n_unknowns : int
        Weights and radial coefficients.
    """
    counts = np.array([sum(problem.rows_of(k).values()) for k in range(len(problem.frames))])
    held = np.arange(len(counts)) % _VALIDATION_EVERY == _VALIDATION_EVERY // 2
    held &= len(counts) >= _FEWEST_FRAMES
    wanted = max(_ROWS_PER_UNKNOWN * n_unknowns, _LEAST_ROWS)
    return _even(counts, ~held, wanted), _even(counts, held, _VALIDATION_SHARE * wanted)


def _even(counts, allowed, wanted):
    """Evenly spread members of `allowed` with about `wanted` rows; all of them if they have fewer."""
    chosen, members = np.zeros(len(counts), dtype=bool), np.flatnonzero(allowed & (counts > 0))
    total = counts[members].sum()
    n = len(members) if total <= wanted else max(1, round(len(members) * wanted / total))
    chosen[members[(np.arange(n) * len(members)) // max(n, 1)]] = True
    return chosen
