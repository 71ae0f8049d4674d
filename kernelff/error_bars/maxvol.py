"""Rows of locally maximal volume: the arrays behind the extrapolation grade.

Letters: n columns, r of them independent. Out of many rows b, r rows A are chosen whose |det A| no exchange of one
row improves by more than the tolerance [1]_: every row b is then a combination c of rows of A, |c_j| <= 1 + tolerance.

References
----------
.. [1] Goreinov, Oseledets, Savostyanov, Tyrtyshnikov, Zamarashkin, How to find a good submatrix, in Matrix Methods:
   Theory, Algorithms and Applications (2010), 247, doi:10.1142/9789812836021_0015
"""

import warnings
from typing import NamedTuple

import numpy as np

INDEPENDENT = 1e-12  # least singular value, relative to the largest, that counts; exact dependences have 1e-17
START = 1e-6  # of the rows that stand in A before any other does, as in MLIP
_POOLS = (16, 4)  # times the number of columns: rows that a pass over all, and one over those, picks
_MOST_PASSES = 100


class Basis(NamedTuple):
    """Coordinates in which columns are independent, and those in which the rows vanish.

    Attributes
    ----------
    kept : ndarray of shape (n, r)
        b @ kept: coordinates in which the columns over all rows are orthonormal.
    dropped : ndarray of shape (n, n - r)
        b @ dropped: at most 1 on every row that the basis was made of, zero to rounding for exact dependences.
    """

    kept: np.ndarray
    dropped: np.ndarray


class Active(NamedTuple):
    """Active rows.

    Attributes
    ----------
    matrix : ndarray of shape (r, r)
        The rows, in the coordinates of the search.
    inverse : ndarray of shape (r, r)
        Its inverse.
    ids : ndarray of shape (r, 2)
        What the rows were called; -1 for those of the start that no row has replaced.
    """

    matrix: np.ndarray
    inverse: np.ndarray
    ids: np.ndarray

    @classmethod
    def start(cls, r):
        """`START` times the unit matrix."""
        return cls(START * np.eye(r), np.eye(r) / START, np.full((r, 2), -1))


def independent_basis(blocks, n):
    """Coordinates of rows whose columns may depend on each other, by one pass of QR.

    Columns are scaled to norm 1 first, so that no unit decides what is small.

    Parameters
    ----------
    blocks : iterable of (ids, rows)
        Rows of shape (n_rows, n).
    n : int
        Number of columns.

    Returns
    -------
    Basis
    """
    R = np.zeros((0, n))
    for _, rows in blocks:
        R = np.linalg.qr(np.vstack([R, rows]), mode="r")
    norms = np.linalg.norm(R, axis=0)
    scale = 1.0 / np.where(norms > 0, norms, 1.0)
    _, s, Vt = np.linalg.svd(R * scale, full_matrices=True)
    least = INDEPENDENT * s.max(initial=0.0)
    r = int((s > least).sum())
    V = scale[:, None] * Vt.T
    return Basis(V[:, :r] / s[:r], V[:, r:] / (least or 1.0))


def maximal_volume(blocks, r, tolerance, transform=None):
    """Active rows among those that `blocks` yields.

    Every pass goes through all rows and keeps those with the largest max |c_j|; among these the search goes on in
    memory to its end, since a pass costs much more. Memory: two pools of (16 r, n) and one block, whatever the number
    of rows. The choice does not depend on how the rows are cut into blocks, but for rounding.

    Parameters
    ----------
    blocks : callable
        Returns an iterator of (ids (n_rows, 2), rows (n_rows, n)), the same at each call.
    r : int
        Number of coordinates.
    tolerance : float
        No exchange gains more than a factor of 1 + tolerance in volume.
    transform : ndarray of shape (n, r), optional
        To the coordinates of the search.

    Returns
    -------
    Active
    """
    transform = np.eye(r) if transform is None else transform
    active, finished = _search(blocks, Active.start(r), tolerance, transform, _POOLS)
    if not finished:
        warnings.warn(
            f"tolerance: after {_MOST_PASSES} passes some frames still have a grade above {1 + tolerance:g}. "
            "Use a larger tolerance.",
            stacklevel=3,
        )
    return active


def _search(blocks, active, tolerance, transform, pools):
    """Active rows after passes with pools of the first size, and whether no row is outside the tolerance."""
    size, *smaller = pools
    for _ in range(_MOST_PASSES):
        ids, rows, score = _farthest(blocks(), transform @ active.inverse, size * len(active.inverse))
        if not score.max(initial=0.0) > 1.0 + tolerance:
            return active, True
        if smaller:
            pool = [(ids, rows @ transform)]
            active, _ = _search(lambda pool=pool: pool, active, tolerance, np.eye(len(active.inverse)), smaller)
        else:
            active = _exchanged(active, ids, rows @ transform, tolerance)
    return active, False


def _farthest(blocks, inverse, most):
    """Ids, rows and scores of the `most` rows with the largest max |c_j|, c = row @ inverse."""
    found, n_found, least = [], 0, 0.0
    for ids, rows in blocks:
        score = np.abs(rows @ inverse).max(axis=1, initial=0.0)
        far = score > least
        found.append((ids[far], rows[far], score[far]))
        n_found += int(far.sum())
        if n_found > 2 * most:
            found = [_first(found, most)]
            n_found, least = most, found[0][2].min()
    return _first(found, most)


def _first(found, most):
    """The `most` rows with the largest scores, in their order."""
    ids, rows, score = (np.concatenate(part) for part in zip(*found, strict=True))
    first = np.sort(np.argsort(-score, kind="stable")[:most])
    return ids[first], rows[first], score[first]


def _exchanged(active, ids, rows, tolerance):
    """Rows put in the place of active ones, the best first, while one is outside the tolerance.

    c = rows @ inverse follows each exchange of row j by b_i through c -= c[:, j] (c_i - e_j) / c_ij.
    """
    matrix, names = active.matrix.copy(), active.ids.copy()
    c = rows @ active.inverse
    while True:
        i, j = np.unravel_index(np.argmax(np.abs(c)), c.shape)
        if not abs(c[i, j]) > 1.0 + tolerance:
            break
        matrix[j], names[j] = rows[i], ids[i]
        step = c[i] / c[i, j]
        step[j] -= 1.0 / c[i, j]
        c -= np.outer(c[:, j], step)
    return Active(matrix, np.linalg.inv(matrix), names)
