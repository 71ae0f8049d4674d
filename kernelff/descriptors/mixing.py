"""Mixing of SOAP's channels into fewer, so that size and cost do not grow with the square of the elements.

    c~_qlm = sum_(a n) U_l[q, (a n)] c_(a n)lm,   q < n_channels

before the power spectrum [1]_ [2]_. A neighbour has one element, so c~_qlm is a sum over neighbours of the mixed
radial function sum_n U_l[q, (a_j n)] R_nl: tables of these are all that the compiled loops need.

Learnt matrices start from the principal directions of the coefficients, with elements made alike by `similarity`.
Cutting off the directions of small variance loses to a random projection of the same size: they tell similar
environments apart. So none is dropped: with orthonormal directions v_k of falling variance, row q of U is the
normalised sum of v_q and those v_k, k >= n_channels, that are *folded* onto it, the strongest onto the weakest.

References
----------
.. [1] Willatt, Musil, Ceriotti, Phys. Chem. Chem. Phys. 20, 29661 (2018), doi:10.1039/C8CP05921G (elements)
.. [2] Goscinski, Musil, Pozdnyakov, Nigam, Ceriotti, J. Chem. Phys. 155, 104106 (2021), doi:10.1063/5.0057229
   (elements and radial functions, from the covariance of the data)
"""

from dataclasses import dataclass

import numpy as np

from kernelff.descriptors.base import is_whole, require
from kernelff.neighbors import NeighborList

METHODS = ("learnt", "alchemical", "random")
_ENVIRONMENTS = 4000  # about as many make up the covariance
_NUMBERS_PER_BLOCK = 2**22
_MOST_SIMILAR = 0.9  # also of two neighbouring lanthanides: a mixed channel must tell them apart
_PERIOD_ENDS = np.array([0, 2, 10, 18, 36, 54, 86, 118])


@dataclass(frozen=True, eq=False)
class Mixing:
    """Mixing matrices of a built SOAP.

    Attributes
    ----------
    matrices : ndarray of shape (l_max + 1, n_channels, n_species, n_max)
    explained : float or None
        Share of the variance of the expansion coefficients that follows linearly from the mixed
        ones; None where there were no data to compare with.
    """

    matrices: np.ndarray
    explained: float | None = None


def check_mixing(soap, n_species, frames):
    """Check the mixing parameters of a SOAP.

    Raises
    ------
    ValueError
        Naming the parameter that is out of its range.
    """
    require(soap.mixing in METHODS, "mixing", soap.mixing, f"one of {METHODS}")
    length, seed = soap.similarity_length, soap.mixing_seed
    require(np.isfinite(length) and length >= 0, "similarity_length", length, "a number >= 0")
    require(is_whole(seed) and seed >= 0, "mixing_seed", seed, "a whole number >= 0")
    if soap.n_channels is None:
        return
    most = n_species * soap.n_max
    rule = f"a whole number from 1 to {most} (elements x n_max = {n_species} x {soap.n_max}), None or 'auto'"
    require(is_whole(soap.n_channels) and 1 <= soap.n_channels <= most, "n_channels", soap.n_channels, rule)
    if soap.mixing == "alchemical":
        rule = f"a multiple of n_max = {soap.n_max}, as 'alchemical' mixes elements only"
        require(soap.n_channels % soap.n_max == 0, "n_channels", soap.n_channels, rule)
    if soap.mixing == "learnt" and not frames:
        raise ValueError(
            "mixing: 'learnt' follows the data, so build() needs frames. Pass them, or use 'alchemical' or 'random'."
        )


def make_mixing(soap, full, frames=None):
    """Mixing matrices as the parameters of a SOAP say.

    Parameters
    ----------
    soap : SOAP
        Its n_channels, mixing, similarity_length and mixing_seed count.
    full : SOAPDescriptor
        The descriptor without mixing, normalised.
    frames : list of ase.Atoms, optional
        "learnt" needs them; they also give `Mixing.explained`.

    Returns
    -------
    Mixing
    """
    n, n_l, n_max = soap.n_channels, soap.l_max + 1, soap.n_max
    species = full.species or (0,)
    metric = similarity(species, soap.similarity_length)
    root = np.kron(_root(metric), np.eye(n_max))
    covariance = coefficient_covariance(full, frames) if frames else None
    if soap.mixing == "learnt":
        U = np.stack([_folded(_principal(root @ C @ root), n) @ root for C in covariance])
    elif soap.mixing == "alchemical":
        elements = _folded(_principal(metric), n // n_max) @ _root(metric)
        U = np.tile(np.kron(elements, np.eye(n_max)), (n_l, 1, 1))
    else:
        draws = np.random.default_rng(soap.mixing_seed).normal(size=(len(root), n))
        U = np.tile(np.linalg.qr(draws)[0].T @ root, (n_l, 1, 1))
    explained = None if covariance is None else _explained(U, covariance)
    return Mixing(U.reshape(n_l, n, len(species), n_max), explained)


def similarity(species, length):
    """Gaussian similarity of elements by period and group, shape (n_species, n_species).

    Parameters
    ----------
    species : sequence of int
        Atomic numbers; 0 stands for any element.
    length : float
        Steps in the periodic table; 0: different elements have nothing in common.

    Returns
    -------
    ndarray
        exp(-d^2 / 2 length^2), at most 0.9 between different elements; 1 on the diagonal.
    """
    if length == 0 or len(species) == 1:
        return np.eye(len(species))
    place = np.array([_period_and_group(z) for z in species])
    distance2 = ((place[:, None] - place) ** 2).sum(axis=-1)
    return _MOST_SIMILAR * np.exp(-0.5 * distance2 / length**2) + (1.0 - _MOST_SIMILAR) * np.eye(len(species))


def coefficient_covariance(full, frames):
    """Covariance of the expansion coefficients summed over m, averaged over environments of the frames.

    It is the mean power spectrum, whose entries are sum_m c_u c_v / sqrt(2l + 1).

    Parameters
    ----------
    full : SOAPDescriptor
        Without mixing.
    frames : list of ase.Atoms
        About 4000 environments of evenly spread frames are used.

    Returns
    -------
    ndarray of shape (l_max + 1, n_species * n_max, n_species * n_max)
    """
    sizes = np.array([len(atoms) for atoms in frames])
    n_frames = int(np.clip(np.ceil(_ENVIRONMENTS / max(sizes.mean(), 1.0)), 1, len(frames)))
    chosen = np.unique(np.linspace(0, len(frames) - 1, n_frames).astype(int))
    block = max(1, _NUMBERS_PER_BLOCK // full.n_features)
    total = np.zeros(full.n_features)
    for k in chosen:
        neighbors = NeighborList.from_atoms(frames[k], full.cutoff)
        for start in range(0, neighbors.n_atoms, block):
            total += full.compute(neighbors, slice(start, start + block)).sum(axis=0)
    n_l, n = full.params["l_max"] + 1, (1 if full.species is None else len(full.species)) * full.params["n_max"]
    u, v = np.triu_indices(n)
    packed = total.reshape(n_l, -1) / max(sizes[chosen].sum(), 1) * np.where(u == v, 1.0, np.sqrt(0.5))
    C = np.zeros((n_l, n, n))
    C[:, u, v] = C[:, v, u] = packed * np.sqrt(2.0 * np.arange(n_l) + 1.0)[:, None]
    return C


def channel_tables(knots, central, n_species, central_everywhere, mixing=None):
    """What the compiled loops need of the channels.

    Parameters
    ----------
    knots : ndarray of shape (n_knots, l_max + 1, 3, n_max)
    central : ndarray of shape (n_max,)
        Coefficients of the central atom's own density.
    n_species : int
    central_everywhere : bool
        The central atom counts in the channels of every element.
    mixing : Mixing, optional

    Returns
    -------
    tables : list of ndarray
        Knots for all neighbours, or with mixing for the neighbours of each species.
    table_of : ndarray of shape (n_species, n_species)
        Table of (centre, neighbour).
    central : ndarray of shape (1 + n_species, n_channels)
        Of a centre of an element without channels, then of each species.
    """
    own = np.vstack([np.zeros(n_species), np.eye(n_species)])
    central = np.kron(np.ones_like(own) if central_everywhere else own, central)
    if mixing is None:
        return [knots], np.zeros((n_species, n_species)), central
    U = mixing.matrices
    tables = [np.einsum("lqn,klwn->klwq", U[:, :, a], knots) for a in range(n_species)]
    return tables, np.tile(np.arange(n_species), (n_species, 1)), central @ U[0].reshape(U.shape[1], -1).T


def _period_and_group(z):
    """Period and group of an element; the f block is spread between groups 2 and 3."""
    period = int(np.searchsorted(_PERIOD_ENDS, z))
    place, length = z - _PERIOD_ENDS[period - 1], _PERIOD_ENDS[period] - _PERIOD_ENDS[period - 1]
    if place <= 2 and z != 2:
        return period, place
    if length == 32 and place <= 16:
        return period, 2.0 + (place - 2) / 15.0
    return period, 18 - (length - place)


def _root(metric):
    """Symmetric square root of a positive matrix."""
    variances, V = np.linalg.eigh(metric)
    return (V * np.sqrt(np.maximum(variances, 0.0))) @ V.T


def _principal(C):
    """Eigenvectors as rows, largest variance first, their largest component positive.

    Exactly equal variances, as in perfect crystals alone, leave a choice to LAPACK; the file keeps what was chosen.
    """
    V = np.linalg.eigh(C)[1][:, ::-1].T
    size = np.abs(V)
    first = np.argmax(size > size.max(axis=1, keepdims=True) - 1e-9, axis=1)  # of equal ones
    return V * np.sign(V[np.arange(len(V)), first])[:, None]


def _folded(basis, n):
    """The first n orthonormal rows, each with its share of the others: again orthonormal."""
    rows = basis[:n].copy()
    for k, row in enumerate(basis[n:]):
        rows[n - 1 - k % n] += row
    return rows / np.linalg.norm(rows, axis=1)[:, None]


def _explained(U, covariance):
    """Share of the variance that a linear regression on the mixed coefficients reproduces."""
    found = 0.0
    for u, C in zip(U, covariance, strict=True):
        mixed = u @ C
        found += np.trace(np.linalg.lstsq(mixed @ u.T, mixed, rcond=1e-12)[0] @ mixed.T)
    return float(found / max(np.trace(covariance.sum(axis=0)), 1e-300))
