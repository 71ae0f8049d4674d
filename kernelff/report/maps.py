"""Maps of atomic environments: descriptors projected on the plane in which they differ most.

Letters: a = environment, f = feature.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA

from kernelff.neighbors import NeighborList
from kernelff.terms import BasisTerm

_CENTRES_PER_BLOCK = 1024
_AXES = 2


@dataclass(frozen=True, eq=False)
class EnvironmentMap:
    """Environments of one element in a plane.

    Attributes
    ----------
    element : int
        Atomic number of the centres.
    n_all : int
        Environments in the judged frames, of which at most two thousand are drawn.
    explained : ndarray of shape (2,)
        Share of the variance of the descriptors along each axis.
    known : ndarray of shape (n_known, 2)
        Environments of the training frames; empty where the training frames themselves are judged.
    points : ndarray of shape (n_points, 2)
        Environments of the judged frames.
    kinds : ndarray of str
        config_type of each of `points`.
    error, force_std : ndarray of shape (n_points,)
        Length of the force error and its predicted root mean square, meV/Å; NaN where unknown.
    novelty, grade : ndarray of shape (n_points,)
        NaN where unknown; the grade is that of extrapolation, see `Potential.extrapolation_grade`.
    """

    element: int
    n_all: int
    explained: np.ndarray
    known: np.ndarray
    points: np.ndarray
    kinds: np.ndarray
    error: np.ndarray
    force_std: np.ndarray
    novelty: np.ndarray
    grade: np.ndarray


def environment_maps(potential, sets, evaluations, n_elements=4, n_points=2000):
    """Maps of the environments of the most frequent elements in the test frames, else in the training frames.

    Each map has axes of its own, the principal components of training and judged environments together, so that
    an environment unlike all others is not projected onto the rest.

    Parameters
    ----------
    potential : Potential
    sets : dict
        "train" and perhaps "test" -> frames.
    evaluations : dict
        The same names -> Evaluation.
    n_elements : int
        At most so many maps.
    n_points : int
        At most so many environments of each set in all maps together, evenly spread.

    Returns
    -------
    list of EnvironmentMap
        Empty for a model without a descriptor of environments.
    """
    descriptor = next((t.descriptor for t in potential.terms if hasattr(t.descriptor, "n_features")), None)
    judged = "test" if "test" in evaluations else "train"
    frames, found = sets[judged], evaluations[judged]
    numbers = np.concatenate([np.zeros(0, dtype=int), *(atoms.numbers for atoms in frames)])
    elements, counts = np.unique(numbers, return_counts=True)
    if descriptor is None or not len(elements):
        return []
    chosen = sorted(elements[np.argsort(-counts, kind="stable")][:n_elements])
    earlier = sets["train"] if judged != "train" else []
    share = max(1, n_points // len(chosen))
    novelty = found.novelty if has_novelty(potential) else None
    grades = [potential.extrapolation_grade(atoms) for atoms in frames] if _has_grades(potential) else None
    return [_map_of(descriptor, int(z), earlier, frames, found, novelty, grades, share) for z in chosen]


def _has_grades(potential):
    return potential.active_set is not None and potential.active_set.mode == "neighborhood"


def has_novelty(potential):
    """Whether there is a sparse set that environments can be new to: a linear model has none.

    Parameters
    ----------
    potential : Potential

    Returns
    -------
    bool
    """
    return not all(isinstance(term, BasisTerm) for term in potential.terms)


def _map_of(descriptor, element, earlier, frames, found, novelty, grades, n_points):
    """The map of one element."""
    known_at, at = (spread(of, element, n_points) for of in (earlier, frames))
    errors = [force - label for force, label in zip(found.forces, found.forces_ref, strict=True)]
    known_q, q = environments(descriptor, earlier, known_at), environments(descriptor, frames, at)
    plane, explained = principal_plane(np.concatenate([known_q, q]))
    return EnvironmentMap(
        element=element,
        n_all=sum(int((atoms.numbers == element).sum()) for atoms in frames),
        explained=explained,
        known=plane[: len(known_q)],
        points=plane[len(known_q) :],
        kinds=_kinds(frames, at),
        error=1e3 * np.linalg.norm(_gather(errors, at, 3), axis=1),
        force_std=1e3 * np.linalg.norm(_gather(found.forces_std, at, 3), axis=1),
        novelty=_gather(novelty, at),
        grade=_gather(grades, at),
    )


def spread(frames, element, n_points):
    """At most `n_points` atoms of an element, evenly spread over the frames.

    One at random of each of `n_points` equal stretches: every tenth atom, say, would always be the same one of a
    molecule or unit cell.

    Returns
    -------
    list of tuple
        (index of the frame, indices of its atoms, ascending).
    """
    sites = [np.flatnonzero(atoms.numbers == element) for atoms in frames]
    ends = np.cumsum([0, *(len(own) for own in sites)])
    edges = np.linspace(0, ends[-1], min(n_points, ends[-1]) + 1).astype(int)
    chosen = edges[:-1] + (np.random.default_rng(0).random(len(edges) - 1) * np.diff(edges)).astype(int)
    found = []
    for k, own in enumerate(sites):
        first, last = np.searchsorted(chosen, ends[k : k + 2])
        if last > first:
            found.append((k, own[chosen[first:last] - ends[k]]))
    return found


def environments(descriptor, frames, chosen):
    """Descriptors of chosen atoms, in memory that does not grow with the frames.

    Parameters
    ----------
    descriptor : built descriptor of environments
    frames : list of ase.Atoms
    chosen : list of tuple
        As from `spread`.

    Returns
    -------
    ndarray of shape (n_chosen, n_features)
    """
    rows = [np.zeros((0, descriptor.n_features))]
    for k, atoms in chosen:
        neighbors = NeighborList.from_atoms(frames[k], descriptor.cutoff)
        for block in np.unique(atoms // _CENTRES_PER_BLOCK):
            mine = atoms[atoms // _CENTRES_PER_BLOCK == block]
            q_af = descriptor.compute(neighbors, slice(mine[0], mine[-1] + 1))
            rows.append(q_af[mine - mine[0]])
    return np.concatenate(rows)


def principal_plane(q_af):
    """Coordinates along the two principal components, and their shares of the variance.

    Parameters
    ----------
    q_af : ndarray of shape (n, n_features)

    Returns
    -------
    plane : ndarray of shape (n, 2)
        0 along axes that the data do not have.
    explained : ndarray of shape (2,)
    """
    plane, explained = np.zeros((len(q_af), _AXES)), np.zeros(_AXES)
    n_axes = min(_AXES, *q_af.shape)
    if n_axes and np.ptp(q_af, axis=0).max() > 0:
        found = PCA(n_axes, svd_solver="randomized", random_state=0).fit(q_af)
        plane[:, :n_axes] = found.transform(q_af)
        explained[:n_axes] = found.explained_variance_ratio_
    return plane, explained


def _gather(values, at, *shape):
    """Entries of per-atom arrays of chosen atoms, NaN where there are no values: (n_chosen, *shape)."""
    if values is None:
        return np.full((sum(len(atoms) for _, atoms in at), *shape), np.nan)
    return np.concatenate([np.zeros((0, *shape)), *(values[k][atoms] for k, atoms in at)])


def _kinds(frames, at):
    names = [str(frames[k].info.get("config_type", "all")) for k, _ in at]
    return np.repeat(np.array(names, dtype=object), [len(atoms) for _, atoms in at])
