"""Predictions beside their labels, and the error table."""

from dataclasses import dataclass

import numpy as np
from ase.units import GPa

_UNITS = {"energy": ("meV/atom", 1e3), "forces": ("meV/Å", 1e3), "stress": ("GPa", 1 / GPa)}


@dataclass(frozen=True)
class Evaluation:
    """Predictions for a list of frames.

    Attributes
    ----------
    energy : ndarray of shape (n_frames,)
        eV, total.
    forces : list of ndarray of shape (n_atoms, 3)
        eV/Å.
    stress : ndarray of shape (n_frames, 6)
        eV/Å^3, ASE order and sign; NaN without a 3-D cell.
    energies : list of ndarray of shape (n_atoms,)
        Local energies, eV.
    n_atoms : ndarray of shape (n_frames,)
    config_types : list of str
    energy_ref, forces_ref, stress_ref
        Labels, NaN where a frame has none.
    energy_std, forces_std, stress_std, energies_std, novelty
        Uncertainties in the same shapes, None unless asked for.
    """

    energy: np.ndarray
    forces: list
    stress: np.ndarray
    energies: list
    n_atoms: np.ndarray
    config_types: list
    energy_ref: np.ndarray
    forces_ref: list
    stress_ref: np.ndarray
    energy_std: np.ndarray | None = None
    forces_std: list | None = None
    stress_std: np.ndarray | None = None
    energies_std: list | None = None
    novelty: list | None = None

    def residuals(self, kind, frames=None):
        """Prediction minus label in the unit of the error table, one value per labelled number.

        Parameters
        ----------
        kind : {"energy", "forces", "stress"}
            meV/atom, meV/Å, GPa.
        frames : sequence of int or None
            All by default.
        """
        frames = np.arange(len(self.energy)) if frames is None else np.asarray(frames, dtype=int)
        scale = _UNITS[kind][1]
        if kind == "energy":
            values = (self.energy - self.energy_ref)[frames] / self.n_atoms[frames]
        elif kind == "forces":
            values = np.concatenate([np.zeros(0)] + [(self.forces[k] - self.forces_ref[k]).ravel() for k in frames])
        else:
            values = (self.stress - self.stress_ref)[frames].ravel()
        return scale * values[np.isfinite(values)]

    def errors(self, by="config_type"):
        """Error table.

        Parameters
        ----------
        by : {"config_type", None}
            Also one group per config_type.

        Returns
        -------
        list of dict
            Keys group ("all" or a config_type), kind, unit, n, mae, rmse, max.
        """
        groups = {"all": np.arange(len(self.energy))}
        if by == "config_type" and len(set(self.config_types)) > 1:
            for name in sorted(set(self.config_types)):
                groups[name] = np.flatnonzero([c == name for c in self.config_types])
        table = []
        for group, frames in groups.items():
            for kind, (unit, _) in _UNITS.items():
                r = np.abs(self.residuals(kind, frames))
                if len(r):
                    row = {"group": group, "kind": kind, "unit": unit, "n": len(r)}
                    row |= {"mae": r.mean(), "rmse": np.sqrt((r**2).mean()), "max": r.max()}
                    table.append({k: float(v) if isinstance(v, np.floating) else v for k, v in row.items()})
        return table


def evaluate_frames(potential, frames, labels, uncertainty=False):
    """Run a potential over frames and put the labels beside it; see Evaluation.

    Parameters
    ----------
    potential : Potential
    frames : list of ase.Atoms
    labels : list of Labels
    uncertainty : bool or "full"
        Also posterior sds and novelty; costs about twenty times an evaluation. "full" gives predictive sds
        with the residual of the Gaussian process instead, uncalibrated; see `Potential.uncertainty`.

    Raises
    ------
    ValueError
        For another `uncertainty`.
    """
    if uncertainty not in (False, True, "full"):
        raise ValueError(f'uncertainty: must be False, True or "full", got {uncertainty!r}.')
    results = [potential.compute(atoms) for atoms in frames]
    full = uncertainty == "full"
    errors = [potential.uncertainty(atoms, residual=full) for atoms in frames] if uncertainty else None
    nan6 = np.full(6, np.nan)
    sds = {}
    if errors is not None:
        sds = {
            "energy_std": np.array([u.energy_std for u in errors]),
            "forces_std": [u.forces_std for u in errors],
            "stress_std": np.array([nan6 if u.stress_std is None else u.stress_std for u in errors]).reshape(-1, 6),
            "energies_std": [u.energies_std for u in errors],
            "novelty": [u.novelty for u in errors],
        }
    return Evaluation(
        energy=np.array([r.energy for r in results]),
        forces=[r.forces for r in results],
        stress=np.array([nan6 if r.stress is None else r.stress for r in results]).reshape(-1, 6),
        energies=[r.energies for r in results],
        n_atoms=np.array([len(atoms) for atoms in frames]),
        config_types=[str(atoms.info.get("config_type", "all")) for atoms in frames],
        energy_ref=np.array([np.nan if lab.energy is None else lab.energy for lab in labels]),
        forces_ref=[
            np.full((len(a), 3), np.nan) if lab.forces is None else lab.forces
            for a, lab in zip(frames, labels, strict=True)
        ],
        stress_ref=np.array([nan6 if lab.stress is None else lab.stress for lab in labels]).reshape(-1, 6),
        **sds,
    )
