"""Rows of the linear model: what energies, forces and virials are of the basis functions.

With r_ij = r_j + S @ cell - r_i and g = dphi_b(i)/dr_ij (STYLE: one shared routine):
energy row = sum_i phi_b(i); force row of atom i += g, of atom j -= g;
virial row = -dE/dstrain = -sum_p r_ij (x) g, components xx yy zz yz xz xy.
A row's columns are [phi of all terms, nuisance columns, target].
"""

from itertools import pairwise
from typing import NamedTuple

import numba
import numpy as np

from kernelff import _pairs
from kernelff.neighbors import NeighborList

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))  # ASE's order xx yy zz yz xz xy
_VIRIAL_ROW = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])  # of a pair of directions


class Targets(NamedTuple):
    """What is left to fit in one frame after e0 and the baseline; None where not labelled."""

    energy: float | None  # eV
    forces: np.ndarray | None  # (n_atoms, 3), eV/Å
    virial: np.ndarray | None  # (6,), eV, -volume * stress


class Rows(NamedTuple):
    """Rows of one frame over the basis functions, None where not asked for."""

    energy: np.ndarray | None  # (1, n_functions)
    forces: np.ndarray | None  # (3 n_atoms, n_functions)
    virial: np.ndarray | None  # (6, n_functions)
    energies: np.ndarray | None = None  # (n_atoms, n_functions)


def term_columns(terms):
    """Where each term's functions stand among all columns: a list of slices."""
    ends = np.cumsum([0] + [term.n_functions for term in terms])
    return [slice(int(a), int(b)) for a, b in pairwise(ends)]


def n_functions(terms):
    return sum(term.n_functions for term in terms)


def neighbors_of(terms, atoms):
    """The neighbour list that serves all terms."""
    return NeighborList.from_atoms(atoms, max(term.cutoff for term in terms))


def elements_of(atoms):
    """The set of elements of a frame as a text, "41-42"."""
    return "-".join(str(z) for z in np.unique(atoms.numbers))


def element_sets(frames):
    """The sets of elements that occur among frames, in order."""
    return tuple(sorted({elements_of(atoms) for atoms in frames}))


def frame_rows(terms, atoms, *, energy=True, forces=True, virial=True, energies=False):
    """Rows of one frame over all basis functions (no nuisance, no target)."""
    neighbors = neighbors_of(terms, atoms)
    m = n_functions(terms)
    force_rows = np.zeros((3 * len(atoms) if forces else 0, m))
    virial_rows = np.zeros((6 if virial else 0, m))
    fill_gradient_rows(terms, neighbors, force_rows, virial_rows)
    phi = local_values(terms, neighbors)[0] if energy or energies else None
    return Rows(
        energy=phi.sum(axis=0, keepdims=True) if energy else None,
        forces=force_rows if forces else None,
        virial=virial_rows if virial else None,
        energies=phi if energies else None,
    )


def local_values(terms, neighbors):
    """phi of every centre (n_atoms, n_functions) and prior variance of the local energies (n_atoms,)."""
    parts = [term.values(neighbors) for term in terms]
    return np.hstack([phi for phi, _ in parts]), sum(variance for _, variance in parts)


def fill_gradient_rows(terms, neighbors, force_rows, virial_rows):
    """Add the force and virial rows of one frame to zeroed C-order arrays.

    Parameters
    ----------
    force_rows : ndarray of shape (3 n_atoms or 0, >= n_functions)
        Row 3 i + c is dE/d(-r_ic) of atom i, eV/Å per weight.
    virial_rows : ndarray of shape (6 or 0, >= n_functions)
        eV per weight.
    """
    if not len(force_rows) and not len(virial_rows):
        return
    for term, columns in zip(terms, term_columns(terms), strict=True):
        for block in term.gradient_blocks(neighbors):
            _scatter(
                neighbors.i[block.pairs], neighbors.j[block.pairs], neighbors.vectors[block.pairs],
                block.scale, block.gradients, block.start, columns.start + block.columns.start,
                force_rows, virial_rows,
            )  # fmt: skip


def forces_and_virial(neighbors, pair_gradients):
    """Forces (n_atoms, 3) and virial (3, 3) = -dE/dstrain from de_i/dr_ij (n_pairs, 3)."""
    return _pairs.forces_and_virial(neighbors.first, neighbors.j, neighbors.vectors, pair_gradients)


def atom_virials(neighbors, pair_gradients):
    """Virial of every atom as a neighbour, from de_i/dr_ij (n_pairs, 3).

    With local energies e_i of many bodies, E_i = m_i v_i^2 / 2 + e_i and forces F_i = sum_j g_ij - sum_k g_ki, the
    energy moves with

        J = d/dt sum_i r_i E_i = sum_i E_i v_i + sum_i r_i (v_i . F_i + sum_j g_ij . (v_j - v_i))
          = sum_i E_i v_i - sum_ij r_ij (g_ij . v_j) = sum_i E_i v_i + sum_j W_j v_j,

    W_j = -sum_i r_ij (x) g_ij: what belongs to the neighbour, not to the centre [1]_. Virials by halves of pair
    forces, as for pair potentials, give a wrong heat flux here [2]_.

    Parameters
    ----------
    neighbors : NeighborList
    pair_gradients : ndarray of shape (n_pairs, 3)
        eV/Å.

    Returns
    -------
    ndarray of shape (n_atoms, 3, 3)
        W_j, eV; rows along r, columns along g. They sum to the virial.

    References
    ----------
    .. [1] Fan et al., Phys. Rev. B 92, 094301 (2015), doi:10.1103/PhysRevB.92.094301
    .. [2] Boone, Babaei, Wilmer, J. Chem. Theory Comput. 15, 5579 (2019), doi:10.1021/acs.jctc.9b00252
    """
    n, r, g = neighbors.n_atoms, neighbors.vectors, pair_gradients
    parts = [np.bincount(neighbors.j, -r[:, a] * g[:, b], minlength=n) for a in range(3) for b in range(3)]
    return np.stack(parts, axis=1).reshape(n, 3, 3)


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp"})
def _scatter(i, j, vectors, scale, gradients, start, column, force_rows, virial_rows):
    """Sum scale * gradients into the force rows of both atoms and the virial rows.

    Scales `gradients` in place; a scale of None is 1. What the pairs of one centre add to its own rows is summed
    apart, as long as they follow each other.
    """
    n = gradients.shape[2]
    own = np.zeros((3, n))
    for p in range(len(i)):
        for c in range(3):
            g = gradients[p, c]
            if scale is not None:
                factor = scale[i[p] - start]
                for b in range(n):
                    g[b] *= factor[b]
            if len(force_rows):
                on_i, on_j = own[c], force_rows[3 * j[p] + c, column : column + n]
                for b in range(n):
                    on_i[b] += g[b]
                    on_j[b] -= g[b]
            if len(virial_rows):
                for d in range(c + 1):
                    r, w = vectors[p, d], virial_rows[_VIRIAL_ROW[d, c], column : column + n]
                    for b in range(n):
                        w[b] -= r * g[b]
        if len(force_rows) and (p + 1 == len(i) or i[p + 1] != i[p]):
            force_rows[3 * i[p] : 3 * i[p] + 3, column : column + n] += own
            own[:] = 0.0
