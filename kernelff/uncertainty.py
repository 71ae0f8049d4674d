"""Error bars: posterior standard deviations and novelty.

The posterior sd says how well the training data determine a quantity within
the model, scaled to the errors of held-out frames (calibration.py). Novelty is
the share of an environment that the sparse set cannot express: 0 in its span,
1 unlike anything in it. They are two numbers and never added.
"""

from typing import NamedTuple

import numpy as np

from kernelff.assembly import frame_rows, local_values, neighbors_of
from kernelff.calibration import Calibration


class Uncertainty(NamedTuple):
    """Standard deviations of one frame."""

    energy_std: float  # eV, of the total
    energies_std: np.ndarray  # (n_atoms,), eV
    novelty: np.ndarray  # (n_atoms,), 0..1
    forces_std: np.ndarray | None = None  # (n_atoms, 3), eV/Å
    stress_std: np.ndarray | None = None  # (6,), eV/Å^3; None without a 3-D cell


class Posterior(NamedTuple):
    """What the sds are made of.

    Attributes
    ----------
    P : ndarray of shape (n_functions, rank)
        sd of any functional a of the basis functions: |a @ P|.
    W : ndarray of shape (n_functions, rank)
        Whitening: the prior variance within the model is |a @ W|^2.
    calibration : Calibration
        Applied to every sd.
    """

    P: np.ndarray
    W: np.ndarray
    calibration: Calibration = Calibration()

    def local(self, terms, atoms):
        """Uncertainty of energies alone: one matrix product, cheap."""
        phi, prior = local_values(terms, neighbors_of(terms, atoms))
        return self._local(phi, prior)

    def complete(self, terms, atoms):
        """Uncertainty with forces and stress: costs the fitting rows of the frame."""
        periodic = bool(atoms.pbc.all())
        rows = frame_rows(terms, atoms, energy=False, virial=periodic)
        result = self.local(terms, atoms)
        stress_std = None
        if periodic:
            virial_std = self.calibration.std("virial", _norms(rows.virial @ self.P), len(atoms))
            stress_std = virial_std / atoms.get_volume()
        return result._replace(
            forces_std=self.calibration.std("forces", _norms(rows.forces @ self.P)).reshape(-1, 3),
            stress_std=stress_std,
        )

    def _local(self, phi, prior):
        # k** - |psi|^2 by two norms, clamped, floor eps k**
        residual = np.maximum(prior - _norms(phi @ self.W) ** 2, np.finfo(float).eps * prior)
        share = np.divide(residual, prior, out=np.ones_like(prior), where=prior > 0)
        total = _norms(phi.sum(axis=0, keepdims=True) @ self.P)[0]
        return Uncertainty(
            energy_std=float(self.calibration.std("energy", total, len(phi))),
            energies_std=self.calibration.std("energy", _norms(phi @ self.P)),
            novelty=np.sqrt(share),
        )


def _norms(rows):
    return np.sqrt(np.einsum("tr,tr->t", rows, rows))
