"""Error bars of combinations of energies and stresses, with what they have in common.

At fixed atoms every energy and stress is linear in the weights w, and so is a combination Q = a.w + const of several
frames: of a vacancy and the perfect crystal, of stresses at opposite strains. With the posterior covariance P P^T its
sd is |a P|, in which errors that the frames share cancel as they do in Q; root sums of the sds of the frames would not.

The calibration maps the sd of one label of one frame, and has no say on combinations: its least sd stands for errors
that neighbouring frames share or not, nobody knows. A combination takes the factor of the calibration in the middle of
the held-out labels (`KindCalibration.factor_of`) and no least sd. It is therefore an error bar of what the data leave
open, scaled to held-out errors, and knows nothing of errors that the model's form makes in a structure unlike the data.

Energies of relaxed structures need no derivative of the relaxation: dE/dw at the minimum is that at fixed atoms.
"""

from typing import NamedTuple

import numpy as np

from kernelff.assembly import elements_of, frame_rows, local_values, neighbors_of
from kernelff.threads import one_blas_thread


class PosteriorRows(NamedTuple):
    """Basis functions of frames, times the root P of the posterior covariance: sds are norms of these rows.

    Attributes
    ----------
    potential : Potential
        With a posterior.
    """

    potential: object

    @classmethod
    def of(cls, calculator):
        """Those of the potential of an ASE calculator; None without potential or posterior."""
        potential = getattr(calculator, "potential", None)
        return None if getattr(potential, "posterior", None) is None else cls(potential)

    def energy(self, atoms):
        """Row of the total energy, shape (rank,), eV."""
        terms = self.potential.terms
        with one_blas_thread():
            return local_values(terms, neighbors_of(terms, atoms))[0].sum(axis=0) @ self.potential.posterior.P

    def derivatives(self, atoms):
        """Rows of the forces, (3 n_atoms, rank), eV/Å, and of the virial, (6, rank), eV."""
        rows = frame_rows(self.potential.terms, atoms, energy=False)
        with one_blas_thread():
            return rows.forces @ self.potential.posterior.P, rows.virial @ self.potential.posterior.P

    def std(self, kind, rows, atoms):
        """Calibrated sds of combinations.

        Parameters
        ----------
        kind : {"energy", "forces", "virial"}
            What they are combinations of.
        rows : ndarray of shape (..., rank)
        atoms : ase.Atoms
            A frame of the same elements.

        Returns
        -------
        ndarray of shape (...)
        """
        return self.factor(kind, atoms) * np.linalg.norm(rows, axis=-1)

    def factor(self, kind, atoms):
        """Calibrated over posterior sd, see `std`."""
        calibration = getattr(self.potential.posterior.calibration, kind)
        return 1.0 if calibration is None else calibration.factor_of(elements_of(atoms))
