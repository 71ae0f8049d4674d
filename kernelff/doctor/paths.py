"""Energy differences against the work of the forces between frames that differ by small displacements.

Along the straight path from a to b, E_b - E_a = -1/2 (F_a + F_b) . (r_b - r_a) to third order in the displacement
(trapezoidal rule): no model is needed, only a scan, a slow trajectory or small rattles of one structure.
"""

from __future__ import annotations

import numpy as np

LARGEST_STEP = 0.3  # Å, of any atom
MAX_MEMBERS = 200  # of a group of frames with the same atoms in the same cell


def path_ratios(data):
    """Energy differences over the work of the forces, for pairs of frames that are near each other.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    seen : ndarray of shape (n_pairs,)
        Energy differences, eV.
    expected : ndarray of shape (n_pairs,)
        Minus the work of the forces, eV.
    """
    groups = {}
    for k in data.labelled("energy", "forces"):
        atoms = data.frames[k]
        cell = np.round(atoms.cell.array, 6)[np.asarray(atoms.pbc)]
        groups.setdefault((atoms.numbers.tobytes(), atoms.pbc.tobytes(), cell.tobytes()), []).append(k)
    pairs = [pair for members in groups.values() if len(members) > 1 for pair in _near(data, members[:MAX_MEMBERS])]
    if not pairs:
        return np.zeros(0), np.zeros(0)
    seen = [data.labels[b].energy - data.labels[a].energy for a, b, _ in pairs]
    expected = [-0.5 * ((data.labels[a].forces + data.labels[b].forces) * move).sum() for a, b, move in pairs]
    return np.array(seen), np.array(expected)


def _near(data, members):
    """Every frame with its nearest other one, once: (a, b, displacements)."""
    positions = np.array([data.frames[k].positions for k in members])
    found = {}
    for a in range(len(members)):
        moves = _displacements(data.frames[members[a]], positions[a], positions)
        largest = np.abs(moves).max(axis=(1, 2))
        largest[a] = np.inf
        b = int(np.argmin(largest))
        if largest[b] < LARGEST_STEP and (b, a) not in found:
            found[a, b] = moves[b]
    return [(members[a], members[b], move) for (a, b), move in found.items()]


def _displacements(atoms, start, ends):
    """From `start` to every one of `ends` by the nearest images, without the common shift, Å."""
    moves = ends - start
    periodic = np.asarray(atoms.pbc)
    if periodic.any():
        cell = atoms.cell.complete().array
        fractional = moves @ np.linalg.inv(cell)
        fractional[..., periodic] -= np.round(fractional[..., periodic])
        moves = fractional @ cell
    return moves - moves.mean(axis=1, keepdims=True)
