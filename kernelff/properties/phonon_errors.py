"""Error bars of phonons: frequencies to first order in the weights.

Forces are linear in the weights w, so are the force constants by finite displacements, and so is the dynamical matrix
D(q). With D e = lambda e, lambda = omega^2, first-order perturbation theory [1]_ has

    d lambda / d w_b = e' (dD / dw_b) e,

a row over the basis functions as any other: the sd of lambda is its norm after the root P of the posterior covariance.
All that w can do to the displaced supercells is what their rows, times P, span; its principal directions, a few beside
the number of weights, pass through phonopy's symmetries and sum rules one by one as if they were forces.

The cell and the atoms at rest are those of the model itself: that the lattice constant of another model would differ is
not in these error bars.

References
----------
.. [1] S. Baroni, S. de Gironcoli, A. Dal Corso, P. Giannozzi, Rev. Mod. Phys. 73, 515 (2001),
   doi:10.1103/RevModPhys.73.515
"""

from dataclasses import dataclass

import numpy as np

from kernelff.threads import one_blas_thread

_NEGLIGIBLE = 1e-5  # sd of a direction beside that of the widest; their sum of squares is below what two digits show


@dataclass(frozen=True, eq=False)
class FrequencyErrors:
    """Rows of squared frequencies over principal directions of the posterior.

    Attributes
    ----------
    constants : ndarray of shape (9 n_primitive n_supercell, n_directions)
        Calibrated changes of the force constants, eV/Å^2.
    vectors : ndarray of shape (n_vectors, 3)
        Shortest vectors between an atom of the primitive cell and one of the supercell, in primitive cell vectors.
    first, count : ndarray of shape (n_primitive, n_supercell)
        Where the vectors of a pair begin, and their number.
    image : ndarray of shape (n_supercell,)
        Atom of the primitive cell that an atom of the supercell is a copy of.
    masses : ndarray of shape (n_primitive,)
        amu.
    """

    constants: np.ndarray
    vectors: np.ndarray
    first: np.ndarray
    count: np.ndarray
    image: np.ndarray
    masses: np.ndarray

    def rows(self, q, modes):
        """Changes of the squared frequencies, eV/(Å^2 amu).

        Parameters
        ----------
        q : ndarray of shape (3,)
            In reciprocal vectors of the primitive cell.
        modes : ndarray of shape (3 n_primitive, n_bands)
            Eigenvectors in columns.

        Returns
        -------
        ndarray of shape (n_bands, n_directions)
        """
        left, right = self._sides(q, modes)
        products = np.einsum("jcv,jkdv->vjkcd", left.conj(), right)
        return products.real.reshape(modes.shape[1], -1) @ self.constants

    def weighted_row(self, q, modes, weights):
        """Change of the sum of weights (n_bands,) times the squared frequencies, shape (n_directions,)."""
        left, right = self._sides(q, modes)
        products = np.einsum("jcv,jkdv,v->jkcd", left.conj(), right, weights, optimize=True)
        return products.real.ravel() @ self.constants

    def _sides(self, q, modes):
        """e_j / sqrt(m_j) and e_j' exp(2 pi i q.r) / sqrt(m_j'), j' the image of k: e' D e = left* Phi right."""
        amplitudes = modes.reshape(len(self.masses), 3, -1) / np.sqrt(self.masses)[:, None, None]
        sums = np.append(0.0, np.cumsum(np.exp(2j * np.pi * (self.vectors @ q))))
        phases = (sums[self.first + self.count] - sums[self.first]) / self.count  # (n_primitive, n_supercell)
        return amplitudes, phases[:, :, None, None] * amplitudes[self.image]


def frequency_errors(phonon, frames, rows):
    """What the posterior leaves open of force constants.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With displacements; its forces and force constants are overwritten.
    frames : list of ase.Atoms
        Its displaced supercells.
    rows : PosteriorRows

    Returns
    -------
    FrequencyErrors
    """
    forces = _principal([_force_rows(frame, rows) for frame in frames]) * rows.factor("forces", frames[0])
    constants = [_force_constants(phonon, column.reshape(len(frames), -1, 3)) for column in forces.T]
    primitive = phonon.primitive
    vectors, multiplicity = primitive.get_smallest_vectors()
    place = {int(atom): k for k, atom in enumerate(primitive.p2s_map)}
    return FrequencyErrors(
        np.transpose([c.ravel() for c in constants]), np.asarray(vectors), multiplicity[:, :, 1].T,
        multiplicity[:, :, 0].T, np.array([place[int(atom)] for atom in primitive.s2p_map]), primitive.masses,
    )  # fmt: skip


def _force_rows(frame, rows):
    forces = rows.derivatives(frame)[0].reshape(len(frame), 3, -1)
    return (forces - forces.mean(axis=0)).reshape(3 * len(frame), -1)


def _principal(blocks):
    """Columns U s of the rows' singular value decomposition, without negligible ones."""
    with one_blas_thread():
        left, sizes, _ = np.linalg.svd(np.concatenate(blocks), full_matrices=False)
    kept = sizes > _NEGLIGIBLE * sizes[0]
    kept[0] = True
    return left[:, kept] * sizes[kept]


def _force_constants(phonon, forces):
    """Force constants (n_primitive, n_supercell, 3, 3) that follow from these forces, eV/Å^2."""
    phonon.forces = forces
    phonon.produce_force_constants(calculate_full_force_constants=False, show_drift=False)
    phonon.symmetrize_force_constants(show_drift=False)
    return np.array(phonon.force_constants)
