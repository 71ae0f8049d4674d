"""Error bars that hold: posterior variances scaled to what held-out frames show.

The posterior of a sparse Gaussian process is over-confident: it knows the noise
it was told, not the error of its own basis. Frames that are held out of a first
fit tell the truth: sd^2 = scale^2 var + floor^2 per kind of label, by maximum
likelihood, and conformal quantiles of |error| / sd for intervals that need no
Gaussian tails [1]_.

References
----------
.. [1] Angelopoulos, Bates, arXiv:2107.07511 (2021): conformal prediction.
"""

from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import minimize

from kernelff.noise import KINDS

LEVELS = (0.68, 0.95)
_MIN_RESIDUALS = 8
_LEAST_FLOOR = 0.01
_MAX_RESIDUALS = 20_000


@dataclass(frozen=True)
class KindCalibration:
    """Calibration of one kind of label, in the units of its noise sigma.

    Attributes
    ----------
    scale : float
        Factor on the posterior sd.
    floor : float
        Error that no posterior sees: eV per atom (times sqrt(n_atoms) for a total) for energy
        and virial, eV/Å for forces.
    quantiles : dict
        Level ("0.68", "0.95") -> half-width of the interval in calibrated sds.
    coverage : dict
        Level -> share of the held-out labels within the Gaussian interval of that level before calibration.
    n : int
        Held-out labels used.
    """

    scale: float
    floor: float
    quantiles: dict
    coverage: dict
    n: int

    @classmethod
    def fit(cls, errors, sds, expected_scale=None):
        """Maximum a posteriori scale and floor for errors (n,) with posterior sds (n,).

        The floor stays above a hundredth of the rms error: labels that symmetry fixes have no error
        and no sd and would pull it to zero. Where another kind has given an `expected_scale`, a few
        labels leave it by a factor of three only for good reason.
        """
        least = max(_LEAST_FLOOR * float(np.sqrt(np.mean(errors**2))), 1e-300)
        typical = float(np.median(np.abs(errors) / np.maximum(sds, least))) or 1.0
        expected = np.log(expected_scale or typical)
        width = np.log(3.0) if expected_scale else np.inf

        def misfit(logs):
            variance = np.exp(2 * logs[0]) * sds**2 + (least + np.exp(logs[1])) ** 2
            return np.sum(np.log(variance) + errors**2 / variance) + ((logs[0] - expected) / width) ** 2

        starts = [(expected + shift, np.log(share * least)) for shift in (0.0, 1.0) for share in (2.0, 30.0)]
        best = min((minimize(misfit, start, method="Nelder-Mead") for start in starts), key=lambda found: found.fun)
        scale, floor = float(np.exp(best.x[0])), float(least + np.exp(best.x[1]))
        z = np.abs(errors) / np.sqrt(scale**2 * sds**2 + floor**2)
        raw = np.abs(errors) / np.maximum(sds, 1e-300)
        return cls(
            scale=scale,
            floor=floor,
            quantiles={str(level): _conformal(z, level) for level in LEVELS},
            coverage={str(level): float(np.mean(raw < width)) for level, width in zip(LEVELS, (1, 2), strict=True)},
            n=len(errors),
        )

    def std(self, posterior_std, n_atoms=1):
        """Calibrated sd of a label of a frame of `n_atoms` (1 for forces)."""
        return np.sqrt(self.scale**2 * np.asarray(posterior_std) ** 2 + self.floor**2 * n_atoms)


@dataclass(frozen=True)
class Calibration:
    """Calibration of every kind of label that was held out; None where there were too few."""

    energy: KindCalibration | None = None
    forces: KindCalibration | None = None
    virial: KindCalibration | None = None

    @classmethod
    def fit(cls, residuals):
        """From {kind: list of (errors, posterior sds)} in the units of the noise sigmas."""
        found = {}
        for kind in sorted(residuals, key=lambda kind: kind != "forces"):  # the many forces first
            errors, sds = (np.concatenate(values) for values in zip(*residuals[kind], strict=True))
            known = found["forces"].scale if "forces" in found else None
            if len(errors) >= _MIN_RESIDUALS or known:
                step = -(-len(errors) // _MAX_RESIDUALS)
                found[kind] = KindCalibration.fit(errors[::step], sds[::step], known)
        return cls(**found)

    def std(self, kind, posterior_std, n_atoms=1):
        """Calibrated sd; the posterior's own where this kind was not calibrated."""
        one = getattr(self, kind)
        return np.asarray(posterior_std) if one is None else one.std(posterior_std, n_atoms)

    def to_dict(self):
        return {kind: one and asdict(one) for kind in KINDS for one in (getattr(self, kind),)}

    @classmethod
    def from_dict(cls, values):
        return cls(**{kind: one and KindCalibration(**one) for kind, one in values.items()})


def held_out(frames, share=0.1, least=2):
    """Which frames to hold out: the last of every config_type, neighbours of a trajectory together.

    Parameters
    ----------
    frames : list of ase.Atoms
    share : float
    least : int
        Fewer frames than this in all are not worth holding out.

    Returns
    -------
    ndarray of bool, shape (n_frames,)
    """
    kinds = np.array([str(atoms.info.get("config_type")) for atoms in frames])
    chosen = np.zeros(len(frames), dtype=bool)
    for kind in sorted(set(kinds)):
        members = np.array([k for k in np.flatnonzero(kinds == kind) if len(frames[k]) > 1])
        n = round(share * len(members))
        chosen[members[len(members) - n :]] = n > 0
    return chosen if chosen.sum() >= least else np.zeros(len(frames), dtype=bool)


def _conformal(z, level):
    """Split-conformal quantile with its finite-sample correction."""
    rank = min(1.0, np.ceil((len(z) + 1) * level) / len(z))
    return float(np.quantile(z, rank, method="higher"))
