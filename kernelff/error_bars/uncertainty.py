"""Error bars: posterior standard deviations and novelty.

The posterior sd says how well the training data determine a quantity within
the model, scaled to the errors of held-out frames (calibration.py). Novelty is
the share of an environment that the sparse set cannot express: 0 in its span,
1 unlike anything in it. They are two numbers and never added; only the full
predictive variance (`Posterior.full`) adds posterior and residual, of every
sum and derivative by itself.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import vstack

from kernelff.assembly import elements_of, frame_rows, local_values, neighbors_of
from kernelff.error_bars.calibration import Calibration
from kernelff.error_bars.residual import derivative_variances, energy_variance, force_combinations, virial_combinations


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
        return self.calibrated(atoms, _norms(phi @ self.P), _novelty(phi @ self.W, prior), phi.sum(axis=0))

    def calibrated(self, atoms, stds, novelty, total):
        """Uncertainty of energies from the numbers of each atom and the sum of their basis functions."""
        elements, total_std = elements_of(atoms), _norms((total @ self.P)[None])[0]
        return Uncertainty(
            energy_std=float(self.calibration.std("energy", total_std, len(atoms), elements)),
            energies_std=self.calibration.std("energy", stds, 1, elements),
            novelty=novelty,
        )

    def complete(self, terms, atoms):
        """Uncertainty with forces and stress: costs the fitting rows of the frame."""
        periodic = bool(atoms.pbc.all())
        rows = frame_rows(terms, atoms, energy=False, virial=periodic)
        result, elements = self.local(terms, atoms), elements_of(atoms)
        stress_std = None
        if periodic:
            virial_std = self.calibration.std("virial", _norms(rows.virial @ self.P), len(atoms), elements)
            stress_std = virial_std / atoms.get_volume()
        return result._replace(
            forces_std=self.calibration.std("forces", _norms(rows.forces @ self.P), 1, elements).reshape(-1, 3),
            stress_std=stress_std,
        )

    def full(self, terms, atoms, derivatives=True):
        """Predictive sds of the Gaussian process: sd^2 = posterior variance + residual, see residual.py.

        Not calibrated: the scale of the calibration already stands for what the residual adds.
        """
        periodic = derivatives and bool(atoms.pbc.all())
        neighbors = neighbors_of(terms, atoms)
        phi, prior = local_values(terms, neighbors)
        energy = self._full_std(phi.sum(axis=0, keepdims=True), energy_variance(terms, neighbors))
        result = Uncertainty(float(energy[0]), self._full_std(phi, prior), _novelty(phi @ self.W, prior))
        if not derivatives:
            return result
        rows = frame_rows(terms, atoms, energy=False, virial=periodic)
        parts = [force_combinations(neighbors)] + [virial_combinations(neighbors)] * periodic
        prior = derivative_variances(terms, neighbors, vstack(parts))
        n = rows.forces.shape[0]
        forces = self._full_std(rows.forces, prior[:n]).reshape(-1, 3)
        stress = self._full_std(rows.virial, prior[n:]) / atoms.get_volume() if periodic else None
        return result._replace(forces_std=forces, stress_std=stress)

    def _full_std(self, rows, prior):
        return np.sqrt(_norms(rows @ self.P) ** 2 + _residual(rows @ self.W, prior))


def _residual(psi, prior):
    """k** - |psi|^2 by two norms, clamped, floor eps k**."""
    return np.maximum(prior - _norms(psi) ** 2, np.finfo(float).eps * prior)


def _novelty(psi, prior):
    share = np.divide(_residual(psi, prior), prior, out=np.ones_like(prior), where=prior > 0)
    return np.sqrt(share)


def _norms(rows):
    return np.sqrt(np.einsum("tr,tr->t", rows, rows))
