"""Virials of atoms, which the heat flux of a potential of many bodies is made of.

With local energies e_i, g_ij = de_i/dr_ij, E_i = m_i v_i^2 / 2 + e_i and forces F_i = sum_j g_ij - sum_k g_ki, the
energy moves with

    J = d/dt sum_i r_i E_i = sum_i E_i v_i + sum_i r_i (v_i . F_i + sum_j g_ij . (v_j - v_i))
      = sum_i E_i v_i - sum_ij r_ij (g_ij . v_j) = sum_i E_i v_i + sum_j W_j v_j,

W_j = -sum_i r_ij (x) g_ij: what belongs to the neighbour, not to the centre [1]_. Virials by halves of pair forces, as
for pair potentials, give a wrong heat flux here [2]_.

References
----------
.. [1] Fan et al., Phys. Rev. B 92, 094301 (2015), doi:10.1103/PhysRevB.92.094301
.. [2] Boone, Babaei, Wilmer, J. Chem. Theory Comput. 15, 5579 (2019), doi:10.1021/acs.jctc.9b00252
"""

import numpy as np

from kernelff.assembly import term_columns
from kernelff.baselines.zbl import ZBL
from kernelff.neighbors import NeighborList
from kernelff.threads import one_blas_thread


def has_virials(part):
    """Whether a potential or baseline has local energies with pair gradients in all that it is made of."""
    part = _unwrapped(part)
    if hasattr(part, "terms"):
        return part.baseline is None or has_virials(part.baseline)
    return isinstance(part, ZBL)


def atom_virials(part, atoms):
    """The virial W_j of every atom.

    Parameters
    ----------
    part : Potential or ZBL
    atoms : ase.Atoms

    Returns
    -------
    ndarray of shape (n_atoms, 3, 3)
        eV; rows along r, columns along g. Not symmetric; they sum to the virial.

    Raises
    ------
    ValueError
        For a part that has no pair gradients: an ASE calculator, dispersion.
    """
    part = _unwrapped(part)
    if not hasattr(part, "terms") and not isinstance(part, ZBL):
        raise ValueError(
            f"virials: {type(part).__name__} gives no virials of atoms, which local energies and their pair gradients "
            "alone give. Use a potential of kernelff without this part."
        )
    neighbors = NeighborList.from_atoms(atoms, part.cutoff)
    if isinstance(part, ZBL):
        return _of_pairs(neighbors, part.evaluate(neighbors)[1])
    virials = np.zeros((len(atoms), 3, 3))
    with one_blas_thread():
        for term, columns in zip(part.terms, term_columns(part.terms), strict=True):
            virials += _of_pairs(neighbors, term.evaluate(neighbors, part.weights[columns])[1])
    for other in (part.repulsion, part.baseline):
        if other is not None:
            virials += atom_virials(other, atoms)
    return virials


def isolated_energies(part, atoms):
    """Energies of isolated atoms that are in the local energies of a potential and its baselines, (n_atoms,), eV."""
    total, part = np.zeros(len(atoms)), _unwrapped(part)
    while hasattr(part, "terms"):
        total += [part.e0[int(z)] for z in atoms.numbers]
        part = _unwrapped(part.baseline)
    return total


def _of_pairs(neighbors, gradients):
    """W_j from de_i/dr_ij (n_pairs, 3)."""
    n, r = neighbors.n_atoms, neighbors.vectors
    parts = [np.bincount(neighbors.j, -r[:, a] * gradients[:, b], minlength=n) for a in range(3) for b in range(3)]
    return np.stack(parts, axis=1).reshape(n, 3, 3)


def _unwrapped(part):
    """The potential of our own calculator."""
    return getattr(part, "potential", part)
