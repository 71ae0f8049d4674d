"""Choosing the representative environments, streamed: memory does not grow with the frames."""

import numba
import numpy as np

METHODS = ("cur", "fps", "random")
_FPS_CANDIDATES = 10  # times n_sparse


def select_points(blocks, n_sparse, method, rng):
    """Choose `n_sparse` rows of a stream of feature blocks.

    Parameters
    ----------
    blocks : callable
        ``blocks()`` starts the stream anew: an iterator over (n, n_features) arrays.
    n_sparse : int or None
        None takes every distinct row.
    method : {"cur", "fps", "random"}
        "cur" draws rows by their leverage in the feature covariance [1]_, "fps"
        takes the farthest points of at most 10 n_sparse random candidates,
        "random" draws evenly.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of shape (<= n_sparse, n_features)
        Distinct rows.

    References
    ----------
    .. [1] Mahoney, Drineas, PNAS 106, 697 (2009), doi:10.1073/pnas.0803205106
    """
    if method not in METHODS:
        raise ValueError(f"sparse_method: must be one of {METHODS}, got {method!r}.")
    if n_sparse is None:
        return distinct(np.vstack(list(blocks())))
    if method == "fps":
        candidates = _weighted_sample(blocks, _FPS_CANDIDATES * n_sparse, rng, weight=_even)
        return farthest_points(distinct(candidates), n_sparse)
    weight = _leverage(blocks, n_sparse) if method == "cur" else _even
    return _weighted_sample(blocks, n_sparse, rng, weight)


def shares(counts, n_sparse):
    """How many sparse points each element gets: in proportion to the root of its environments, at most all of them.

    Parameters
    ----------
    counts : dict
        Element -> number of environments.
    n_sparse : int
        Of all elements together.

    Returns
    -------
    dict
        Element -> number > 0; what rare elements cannot take goes to the others.
    """
    found, left, total = {}, n_sparse, sum(np.sqrt(n) for n in counts.values())
    for element in sorted(counts, key=counts.get):
        root = np.sqrt(counts[element])
        found[element] = max(1, min(counts[element], round(left * root / total)))
        left, total = max(left - found[element], 0), total - root
    return found


def distinct(points, tolerance=1e-10):
    """Rows that differ by more than `tolerance`, in their order."""
    _, first = np.unique(np.round(points / tolerance), axis=0, return_index=True)
    return points[np.sort(first)]


def farthest_points(points, n):
    """Greedy farthest-point choice of `n` rows, starting from the one farthest from the mean."""
    if n >= len(points):
        return points
    start = int(np.argmax(((points - points.mean(axis=0)) ** 2).sum(axis=1)))
    return points[_farthest(points, (points**2).sum(axis=1), n, start)]


@numba.njit(cache=True, nogil=True)
def _farthest(points, squares, n, start):
    chosen = np.empty(n, dtype=np.int64)
    distance = np.full(len(points), np.inf)
    new = start
    for k in range(n):
        chosen[k] = new
        to_new = squares + squares[new] - 2.0 * np.dot(points, points[new])
        new = 0
        for a in range(len(points)):
            distance[a] = min(distance[a], to_new[a])
            if distance[a] > distance[new]:
                new = a
    return chosen


def _even(block):
    return np.ones(len(block))


def _leverage(blocks, n_sparse):
    """Leverage scores q' C^-1 q in the leading directions of the streamed covariance C."""
    covariance = 0.0
    for block in blocks():
        covariance = covariance + block.T @ block
    values, directions = np.linalg.eigh(covariance)
    keep = (values > 1e-12 * values[-1]).nonzero()[0][-n_sparse:]
    whiten = directions[:, keep] / np.sqrt(values[keep])
    return lambda block: ((block @ whiten) ** 2).sum(axis=1)


def _weighted_sample(blocks, n, rng, weight):
    """Weighted draw without replacement from the stream (Efraimidis, Spirakis 2006), in stream order.

    Rows equal to an earlier kept row are passed over, so that perfect crystals
    do not fill the set with copies.
    """
    kept, keys, seen = [], np.zeros(0), set()
    floor = -np.inf
    for block in blocks():
        weights = np.maximum(weight(block), 1e-300)
        new = np.log(rng.random(len(block))) / weights
        for a in np.flatnonzero(new > floor):
            tag = np.round(block[a], 10).tobytes()
            if tag not in seen:
                seen.add(tag)
                kept.append(block[a].copy())
                keys = np.append(keys, new[a])
        if len(kept) > 2 * n:
            best = np.sort(np.argpartition(-keys, n)[:n])
            kept, keys = [kept[b] for b in best], keys[best]
            floor = keys.min()
    best = np.sort(np.argsort(-keys, kind="stable")[:n])
    if not kept:
        return np.zeros((0, 0))
    return np.array([kept[b] for b in best])
