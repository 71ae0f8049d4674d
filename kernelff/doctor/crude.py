"""A crude model of the data, to ask what each label would be if the other labels were right.

A small sparse Gaussian process on energies and forces, never on stresses. Its columns are whitened, so with rows
a, noise sigma and the prior of unit variance the posterior is C = (1 + A' A / sigma^2)^-1. A frame is judged by
what the rest says of it: leaving out its rows A_f with residuals r_f gives (1 - H)^-1 r_f, H = A_f C A_f' / sigma^2,
with covariance sigma^2 (1 - H)^-1 [1]_: frames of a rare kind may be wrong by much, and their error bar says so.
Frames that fit badly are weighted down and everything is solved again [2]_, lest a few wrong frames spoil the rest.

References
----------
.. [1] Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), section 5.4.2.
.. [2] Huber, Ronchetti, Robust Statistics, 2nd ed. (2009), section 7.8.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from ase.data import covalent_radii
from scipy.linalg import cho_factor, cho_solve

from kernelff.assembly import frame_rows
from kernelff.descriptors import SOAP
from kernelff.models import SparseGPR
from kernelff.regression.whitening import whiten
from kernelff.threads import one_blas_thread

N_SPARSE = 200
MAX_ATOMS, MAX_FRAMES = 60_000, 2000  # looked at; of more, some frames are drawn evenly
MAX_FORCE_ROWS = 60_000  # 100 MB; of larger sets some atoms of each frame are looked at
MAX_ROWS_PER_FRAME = 150
ENERGY_NOISE = 0.05  # Å; sigma_energy per atom over sigma_forces
FORCE_NOISE = 0.05  # of the typical force; the start of the robust solve
_HUBER = 3.0


class Rows(NamedTuple):
    """Rows and labels of one frame in whitened columns [species, functions]."""

    energy: np.ndarray  # (n_columns,), eV per atom
    energy_label: float  # eV per atom; NaN if none
    forces: np.ndarray  # (n_chosen, n_columns), eV/Å
    force_labels: np.ndarray  # (n_chosen,); empty if none
    virial: np.ndarray  # (6, n_columns), eV


class Judgement(NamedTuple):
    """Left-out residuals of one frame."""

    energy: float  # label minus prediction, eV per atom; NaN without label
    energy_z: float  # the same over its error bar
    forces: np.ndarray  # label minus prediction, eV/Å
    forces_z: float  # root mean square of the same over its error bars; NaN without labels


@dataclass(frozen=True, eq=False)
class CrudeModel:
    """Rows of all frames it looks at, and the scale of their forces.

    Attributes
    ----------
    indices : ndarray of int
        Which frames of the data set.
    rows : list of Rows
    scale : float
        Typical force, eV/Å; energies are of this size per Å.
    n_species : int
    """

    indices: np.ndarray
    rows: list[Rows]
    scale: float
    n_species: int

    @classmethod
    def of(cls, data, progress=None):
        """Look at a data set.

        Parameters
        ----------
        data : DataSet
        progress : callable, optional
            Gets (done, total) frames.

        Returns
        -------
        CrudeModel or None
            None where there are too few labels to say anything.
        """
        indices = _sample(data)
        forces = [data.labels[k].forces for k in indices if data.labels[k].forces is not None]
        if len(forces) < 4:
            return None
        scale = float(np.sqrt(np.median([np.mean(f**2) for f in forces if f.any()] or [0.0])))
        if scale == 0:
            return None
        frames = [data.frames[k] for k in indices]
        with one_blas_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            terms = SparseGPR(_descriptor(frames), n_sparse=N_SPARSE, n_jobs=1, delta=1.0)._make_terms(frames)
            W = whiten(terms, 0.0).W
            rows = _all_rows(data, indices, terms, W, progress)
        return cls(np.array(indices), rows, scale, rows[0].energy.size - W.shape[1])

    @property
    def prior_precision(self):
        """Of the columns, (n_columns,)."""
        n = self.rows[0].energy.size
        std = np.full(n, 2.0 * max(self.scale, 1e-12))  # 2 eV, the default delta, where forces are about 1 eV/Å
        largest = np.abs(self.energy_labels[np.isfinite(self.energy_labels)]).max(initial=0.0)
        std[: self.n_species] = 2.0 * self.scale + 10.0 * largest
        return std**-2

    def distances(self):
        """Prior standard deviation of the energy per atom between frames (n_frames, n_frames), eV.

        Frames of other compositions are infinitely far, and so is a frame from itself.
        """
        psi = np.array([row.energy[self.n_species :] for row in self.rows])
        composition = np.array([row.energy[: self.n_species] for row in self.rows])
        gram = psi @ psi.T
        square = np.diag(gram)[:, None] + np.diag(gram) - 2 * gram
        other = np.abs(composition[:, None] - composition).max(axis=2) > 1e-6
        return np.where(other | np.eye(len(psi), dtype=bool), np.inf, np.sqrt(np.maximum(square, 0.0)))

    def rarity(self):
        """Distance of every frame to the most similar one over the typical such distance, (n_frames,)."""
        closest = self.distances().min(axis=1)
        known = np.isfinite(closest)
        # sets of copies have no distances at all; one of 1e-3 eV per atom counts as similar anyway
        typical = max(float(np.median(closest[known])), 1e-3 * self.scale) if known.any() else np.inf
        return closest / typical

    @property
    def energy_labels(self):
        """eV per atom beside what the composition explains, (n_frames,); NaN where there is none."""
        return np.array([row.energy_label for row in self.rows])

    def solve(self, energy_weights, force_weights, sigma_forces):
        """Posterior mean (n_columns,) and covariance (n_columns, n_columns) with the frames weighted.

        By normal equations: the prior keeps them well conditioned enough for a crude answer.

        Parameters
        ----------
        energy_weights, force_weights : ndarray of shape (n_frames,)
            Factors on the precision of a frame's labels; 0 leaves them out.
        sigma_forces : float
            eV/Å.

        Returns
        -------
        weights, covariance : ndarray
        """
        precision, right = np.diag(self.prior_precision), np.zeros(self.rows[0].energy.size)
        for row, w_E, w_F in zip(self.rows, energy_weights, force_weights, strict=True):
            if w_F and len(row.force_labels):
                precision += (w_F / sigma_forces**2) * (row.forces.T @ row.forces)
                right += (w_F / sigma_forces**2) * (row.force_labels @ row.forces)
            if w_E and np.isfinite(row.energy_label):
                w = w_E / (ENERGY_NOISE * sigma_forces) ** 2
                precision += w * np.outer(row.energy, row.energy)
                right += w * row.energy_label * row.energy
        scale = 1 / np.sqrt(np.diag(precision))
        factor = cho_factor(precision * scale * scale[:, None])
        covariance = cho_solve(factor, np.diag(scale)) * scale[:, None]
        return covariance @ right, 0.5 * (covariance + covariance.T)

    def judge(self, weights, covariance, energy_weights, force_weights, sigma_forces):
        """Left-out residuals of every frame, for a solution with these weights of the frames.

        Parameters
        ----------
        weights, covariance : ndarray
            As `solve` gave them, with the same further arguments.
        energy_weights, force_weights : ndarray of shape (n_frames,)
        sigma_forces : float

        Returns
        -------
        list of Judgement
        """
        judged = []
        for row, w_E, w_F in zip(self.rows, energy_weights, force_weights, strict=True):
            has_energy = np.isfinite(row.energy_label)
            A = np.vstack([row.energy[None][: int(has_energy)] / ENERGY_NOISE, row.forces]) / sigma_forces
            y = np.concatenate([[row.energy_label / ENERGY_NOISE][: int(has_energy)], row.force_labels]) / sigma_forces
            w = np.concatenate([[w_E][: int(has_energy)], np.full(len(row.force_labels), w_F)])
            H = A @ covariance @ A.T
            # residual and variance without the frame: (1 - H w)^-1 r, and 1 + the variance of its mean
            left_out = np.linalg.inv(np.eye(len(A)) - H * w)
            error = left_out @ (y - A @ weights)
            z = error / np.sqrt(np.maximum(1 + np.diag(left_out @ H), 1.0))
            n = int(has_energy)
            energy = float(error[0] * sigma_forces * ENERGY_NOISE) if n else np.nan
            forces_z = float(np.sqrt(np.mean(z[n:] ** 2))) if len(z) > n else np.nan
            judged.append(Judgement(energy, float(z[0]) if n else np.nan, error[n:] * sigma_forces, forces_z))
        return judged

    def robust(self, energies=True, rounds=3):
        """Solve and judge until frames that do not fit have lost their weight.

        Parameters
        ----------
        energies : bool
            False learns from the forces alone.
        rounds : int

        Returns
        -------
        Fit
        """
        n = len(self.rows)
        w_E, w_F = np.full(n, float(energies)), np.ones(n)
        sigma = FORCE_NOISE * self.scale
        for _ in range(rounds):
            weights, covariance = self.solve(w_E, w_F, sigma)
            judged = self.judge(weights, covariance, w_E, w_F, sigma)
            z_F = np.array([one.forces_z for one in judged])
            z_E = np.abs([one.energy_z for one in judged])
            sigma *= float(np.clip(np.nanmedian(z_F), 0.02, 50.0))
            w_F = _huber(z_F)
            w_E = _huber(z_E) if energies else w_E
        return Fit(weights, covariance, judged, sigma)


class Fit(NamedTuple):
    """A robust solution."""

    weights: np.ndarray
    covariance: np.ndarray
    judged: list[Judgement]
    sigma_forces: float


def _huber(z):
    """Weights that fall off as 1 / z^2 beyond a few times the typical z."""
    typical = float(np.nanmedian(z)) if np.isfinite(z).any() else 1.0
    ratio = np.where(np.isfinite(z), z, 0.0) / max(typical, 1e-12) / _HUBER
    return np.minimum(1.0, np.maximum(ratio, 1e-12) ** -2)


def _sample(data):
    """Frames to look at: those with energies or forces, evenly thinned where there are too many atoms."""
    useful = sorted(set(data.labelled("energy")) | set(data.labelled("forces")))
    n_atoms = sum(len(data.frames[k]) for k in useful)
    step = max(1, -(-n_atoms // MAX_ATOMS), -(-len(useful) // MAX_FRAMES))
    return useful[::step]


def _descriptor(frames):
    """A small SOAP that reaches the second neighbours."""
    radius = max(covalent_radii[z] for atoms in frames for z in set(atoms.numbers))
    return SOAP(cutoff=float(np.clip(3.6 * radius, 4.0, 5.5)), n_max=6, l_max=4)


def _all_rows(data, indices, terms, W, progress):
    species = sorted({int(z) for k in indices for z in data.frames[k].numbers})
    with_forces = [len(data.frames[k]) for k in indices if data.labels[k].forces is not None]
    total = sum(min(3 * n, MAX_ROWS_PER_FRAME) for n in with_forces)
    e0 = _composition_energies(data, indices, species)
    share = min(1.0, MAX_FORCE_ROWS / max(total, 1))
    rows = []
    for done, k in enumerate(indices):
        rows.append(_rows(data.frames[k], data.labels[k], e0, terms, W, share))
        if progress:
            progress(done + 1, len(indices))
    return rows


def _n_chosen(n, share):
    return max(1, min(round(share * n), MAX_ROWS_PER_FRAME // 3))


def _composition_energies(data, indices, species):
    """What composition alone explains, atomic number -> eV, so that numbers stay small."""
    labelled = [k for k in indices if data.labels[k].energy is not None]
    if not labelled:
        return dict.fromkeys(species, 0.0)
    numbers = [data.frames[k].numbers for k in labelled]
    fractions = np.array([[np.mean(zs == z) for z in species] for zs in numbers])
    per_atom = np.array([data.labels[k].energy / len(zs) for k, zs in zip(labelled, numbers, strict=True)])
    return dict(zip(species, np.linalg.lstsq(fractions, per_atom, rcond=1e-8)[0], strict=True))


def _rows(atoms, labels, e0, terms, W, share):
    found = frame_rows(terms, atoms, forces=labels.forces is not None, virial=True)
    n, s = len(atoms), len(e0)
    fractions = np.array([np.mean(atoms.numbers == z) for z in e0])
    energy = np.concatenate([fractions, (found.energy[0] @ W) / n])
    label = np.nan if labels.energy is None else labels.energy / n - fractions @ list(e0.values())
    forces, force_labels = np.zeros((0, s + W.shape[1])), np.zeros(0)
    if labels.forces is not None:
        # the same atoms in all frames of one size, so that forces can be compared across frames
        chosen = np.sort(np.random.default_rng(n).choice(n, _n_chosen(n, share), replace=False))
        components = (3 * chosen[:, None] + np.arange(3)).ravel()
        forces = np.hstack([np.zeros((len(components), s)), found.forces[components] @ W])
        force_labels = labels.forces.ravel()[components]
    virial = np.hstack([np.zeros((6, s)), found.virial @ W])
    return Rows(energy, label, forces, force_labels, virial)
