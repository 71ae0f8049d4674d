"""Error bars that hold: posterior variances mapped to what held-out labels show.

The posterior of a sparse Gaussian process is over-confident: it knows the noise it was told, not the error of its
own basis. Held-out labels tell the truth. They are sorted by posterior sd into bins; the rms error of each bin,
made to rise with the sd [1]_, is the calibrated sd, and conformal quantiles of |error| / sd give intervals that
need no Gaussian tails [2]_.

References
----------
.. [1] Zadrozny, Elkan, KDD (2002), doi:10.1145/775047.775151: calibration by isotonic regression.
.. [2] Angelopoulos, Bates, arXiv:2107.07511 (2021): conformal prediction.
"""

from dataclasses import asdict, dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression

from kernelff.noise import KINDS

LEVELS = (0.68, 0.95)
_MIN_LABELS = 8
_LABELS_PER_BIN = 40
_MAX_BINS = 20
_LEAST = 1e-14  # sds of labels that symmetry fixes are rounding errors


@dataclass(frozen=True)
class KindCalibration:
    """Calibration of one kind of label, in the units of its noise sigma.

    Attributes
    ----------
    knots : tuple
        Posterior sds, ascending.
    stds : tuple
        Calibrated sds there, not descending; in between by interpolation of logarithms, below the first
        knot constant, above the last in proportion to the posterior sd. One knot alone stands for a factor.
    quantiles : dict
        Level ("0.68", "0.95") -> half-width of the interval in calibrated sds.
    coverage : dict
        Level -> share of the held-out labels within the Gaussian interval of that level before calibration.
    n : int
        Held-out labels used.
    """

    knots: tuple
    stds: tuple
    quantiles: dict
    coverage: dict
    n: int

    @classmethod
    def fit(cls, errors, sds):
        """From errors (n,) with posterior sds (n,)."""
        order = np.argsort(sds, kind="stable")
        bins = np.array_split(order, int(np.clip(len(sds) // _LABELS_PER_BIN, 1, _MAX_BINS)))
        logs = np.array([np.log(np.maximum(sds[b], _LEAST)).mean() for b in bins])
        rms = np.array([np.log(max(np.sqrt(np.mean(errors[b] ** 2)), _LEAST)) for b in bins])
        rising = IsotonicRegression().fit_transform(logs, rms, sample_weight=[len(b) for b in bins])
        one = cls(tuple(map(float, np.exp(logs))), tuple(map(float, np.exp(rising))), {}, {}, len(errors))
        z, raw = np.abs(errors) / one.std(sds), np.abs(errors) / np.maximum(sds, _LEAST)
        one.quantiles.update({str(level): _conformal(z, level) for level in LEVELS})
        one.coverage.update(
            {str(level): float(np.mean(raw < width)) for level, width in zip(LEVELS, (1, 2), strict=True)}
        )
        return one

    def std(self, posterior_std, n_atoms=1):
        """Calibrated sd of a label of a frame of `n_atoms` (1 for forces)."""
        root = np.sqrt(n_atoms)
        logs, knots = np.log(np.maximum(np.asarray(posterior_std) / root, _LEAST)), np.log(self.knots)
        beyond = logs - knots[-1] if len(knots) == 1 else np.maximum(logs - knots[-1], 0.0)
        return root * np.exp(np.interp(logs, knots, np.log(self.stds)) + beyond)

    @property
    def factor(self):
        """Calibrated over posterior sd in the middle of the held-out labels."""
        middle = len(self.knots) // 2
        return self.stds[middle] / self.knots[middle]


@dataclass(frozen=True)
class Calibration:
    """Calibration of every kind of label that was held out; None where there were too few."""

    energy: KindCalibration | None = None
    forces: KindCalibration | None = None
    virial: KindCalibration | None = None

    @classmethod
    def fit(cls, residuals):
        """From {kind: array (n, >= 2) of error and posterior sd} in the units of the noise sigmas.

        A kind with too few labels takes the factor of the forces.
        """
        found = {}
        for kind in sorted(residuals, key=lambda kind: kind != "forces"):
            errors, sds = residuals[kind][:, :2].T
            if len(errors) >= _MIN_LABELS:
                found[kind] = KindCalibration.fit(errors, sds)
            elif "forces" in found:
                forces = found["forces"]
                factor = forces.factor
                found[kind] = KindCalibration((1.0,), (factor,), dict(forces.quantiles), {}, len(errors))
        return cls(**found)

    def std(self, kind, posterior_std, n_atoms=1):
        """Calibrated sd; the posterior's own where this kind was not calibrated."""
        one = getattr(self, kind)
        return np.asarray(posterior_std) if one is None else one.std(posterior_std, n_atoms)

    def to_dict(self):
        return {kind: one and asdict(one) for kind in KINDS for one in (getattr(self, kind),)}

    @classmethod
    def from_dict(cls, values):
        return cls(**{kind: one and KindCalibration(**_tuples(one)) for kind, one in values.items()})


def _tuples(values):
    return values | {name: tuple(values[name]) for name in ("knots", "stds")}


def _conformal(z, level):
    """Split-conformal quantile with its finite-sample correction."""
    rank = min(1.0, np.ceil((len(z) + 1) * level) / len(z))
    return float(np.quantile(z, rank, method="higher"))
