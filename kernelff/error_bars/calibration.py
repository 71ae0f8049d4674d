"""Error bars that hold: posterior variances mapped to what held-out labels show.

The posterior of a sparse Gaussian process is over-confident: it knows the noise it was told, not the error of its
own basis. Held-out labels tell the truth. They are sorted by posterior sd into bins; the rms error of each bin,
made to rise with the sd [1]_, is the calibrated sd, and conformal quantiles of |error| / sd give intervals that
need no Gaussian tails [2]_. Frames of different sets of elements have curves of their own where they have the labels
for it: how far a posterior is off differs more between an alloy and its pure elements than within each.

References
----------
.. [1] Zadrozny, Elkan, KDD (2002), doi:10.1145/775047.775151: calibration by isotonic regression.
.. [2] Angelopoulos, Bates, arXiv:2107.07511 (2021): conformal prediction.
"""

from dataclasses import asdict, dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression

from kernelff.regression.noise import KINDS

LEVELS = (0.68, 0.95)
_MIN_LABELS = 8
_LABELS_PER_BIN = 40
_MAX_BINS = 20
_SIZE_POWER = 0.75  # of n_atoms in errors of totals: 0.5 if those of atoms were independent, 1 if they were alike
_LEAST = 1e-14  # sds of labels that symmetry fixes are rounding errors


@dataclass(frozen=True)
class KindCalibration:
    """Calibration of one kind of label: eV/Å, or eV of a total divided by n_atoms^(3/4).

    Attributes
    ----------
    curves : dict
        Set of elements ("41-42", "" for all frames together) -> (knots, stds): posterior sds, ascending, and calibrated
        sds there, not descending. In between by interpolation of logarithms, below the first knot constant, above the
        last in proportion to the posterior sd; one knot alone stands for a factor.
    quantiles : dict
        Level ("0.68", "0.95") -> half-width of the interval in calibrated sds.
    coverage : dict
        Level -> share of the held-out labels within the Gaussian interval of that level before calibration.
    n : int
        Held-out labels used.
    """

    curves: dict
    quantiles: dict
    coverage: dict
    n: int

    @classmethod
    def fit(cls, errors, sds, elements=None):
        """From errors (n,) with posterior sds (n,), and the set of elements of each one's frame."""
        elements = np.full(len(errors), "") if elements is None else np.asarray(elements)
        curves = {"": _curve(errors, sds)}
        for own in np.unique(elements):
            mine = elements == own
            if _LABELS_PER_BIN <= mine.sum() < len(errors):
                curves[str(own)] = _curve(errors[mine], sds[mine])
        one = cls(curves, {}, {}, len(errors))
        z = np.concatenate(
            [np.abs(errors[elements == e]) / one.std(sds[elements == e], 1, e) for e in np.unique(elements)]
        )
        raw = np.abs(errors) / np.maximum(sds, _LEAST)
        one.quantiles.update({str(level): _conformal(z, level) for level in LEVELS})
        one.coverage.update(
            {str(level): float(np.mean(raw < width)) for level, width in zip(LEVELS, (1, 2), strict=True)}
        )
        return one

    def std(self, posterior_std, n_atoms=1, elements=""):
        """Calibrated sd of a label of a frame of `n_atoms` (1 for forces)."""
        knots, stds = (np.log(part) for part in self.curves.get(elements, self.curves[""]))
        root = n_atoms**_SIZE_POWER
        logs = np.log(np.maximum(np.asarray(posterior_std) / root, _LEAST))
        beyond = logs - knots[-1] if len(knots) == 1 else np.maximum(logs - knots[-1], 0.0)
        return root * np.exp(np.interp(logs, knots, stds) + beyond)

    def posterior_std(self, std, n_atoms=1, elements=""):
        """The largest posterior sd whose calibrated sd is not above `std`, which is at least `least_of`."""
        knots, stds = (np.log(part) for part in self.curves.get(elements, self.curves[""]))
        root = n_atoms**_SIZE_POWER
        log = np.log(max(std / root, _LEAST))
        beyond = log - stds[-1] if len(knots) == 1 else max(log - stds[-1], 0.0)
        return float(root * np.exp(np.interp(log, stds, knots) + beyond))

    def least_of(self, elements):
        """Smallest sd of frames of a set of elements; 0 where posterior sds are multiplied by a factor."""
        knots, stds = self.curves.get(elements, self.curves[""])
        return stds[0] if len(knots) > 1 else 0.0

    @property
    def least(self):
        """Smallest sd that is reported, for all sets of elements together."""
        return self.curves[""][1][0]

    @property
    def factor(self):
        """Calibrated over posterior sd in the middle of the held-out labels."""
        return self.factor_of("")

    def factor_of(self, elements):
        """The factor for frames of a set of elements; that of all frames where these have no curve of their own."""
        knots, stds = self.curves.get(elements, self.curves[""])
        middle = len(knots) // 2
        return stds[middle] / knots[middle]


@dataclass(frozen=True)
class Calibration:
    """Calibration of every kind of label that was held out; None where there were too few."""

    energy: KindCalibration | None = None
    forces: KindCalibration | None = None
    virial: KindCalibration | None = None

    @classmethod
    def fit(cls, residuals, element_sets=("",)):
        """From {kind: array (n, 4)} of `CrossValidation.residuals`, and the sets of elements that these number.

        A kind with too few labels takes the factor of the forces.
        """
        found = {}
        for kind in sorted(residuals, key=lambda kind: kind != "forces"):
            errors, sds, units, numbers = residuals[kind].T
            if kind != "forces":  # units are n_atoms^-1/2, and errors and sds of totals divided by its inverse
                errors, sds = np.sqrt(units) * errors, np.sqrt(units) * sds
            if len(errors) >= _MIN_LABELS:
                found[kind] = KindCalibration.fit(errors, sds, np.array(element_sets)[numbers.astype(int)])
            elif "forces" in found:
                forces = found["forces"]
                found[kind] = KindCalibration({"": ((1.0,), (forces.factor,))}, dict(forces.quantiles), {}, len(errors))
        return cls(**found)

    def std(self, kind, posterior_std, n_atoms=1, elements=""):
        """Calibrated sd; the posterior's own where this kind was not calibrated."""
        one = getattr(self, kind)
        return np.asarray(posterior_std) if one is None else one.std(posterior_std, n_atoms, elements)

    def posterior_std(self, kind, std, n_atoms=1, elements=""):
        """The inverse of `std`, see `KindCalibration.posterior_std`."""
        one = getattr(self, kind)
        return float(std) if one is None else one.posterior_std(std, n_atoms, elements)

    def least(self, kind, elements=""):
        """Smallest sd of a kind that is reported for frames of a set of elements."""
        one = getattr(self, kind)
        return 0.0 if one is None else one.least_of(elements)

    def to_dict(self):
        return {kind: one and asdict(one) for kind in KINDS for one in (getattr(self, kind),)}

    @classmethod
    def from_dict(cls, values):
        if any(one and "curves" not in one for one in values.values()):
            raise ValueError(
                "calibration: this model was written by an earlier development version of kernelff, whose error bars "
                "this one cannot read. Fit it again."
            )
        return cls(**{kind: one and KindCalibration(**_tuples(one)) for kind, one in values.items()})


def _curve(errors, sds):
    """(knots, stds) of a KindCalibration."""
    order = np.argsort(sds, kind="stable")
    bins = np.array_split(order, int(np.clip(len(sds) // _LABELS_PER_BIN, 1, _MAX_BINS)))
    logs = np.array([np.log(np.maximum(sds[b], _LEAST)).mean() for b in bins])
    rms = np.array([np.log(max(np.sqrt(np.mean(errors[b] ** 2)), _LEAST)) for b in bins])
    weights = np.array([len(b) for b in bins], dtype=float)
    rising = IsotonicRegression().fit_transform(logs, rms, sample_weight=weights)
    # bins that share a level become one knot: between knots the curve rises, so that no order of sds is lost
    levels, level = np.unique(rising, return_inverse=True)
    knots = np.bincount(level, weights * logs) / np.bincount(level, weights)
    return tuple(map(float, np.exp(knots))), tuple(map(float, np.exp(levels)))


def _tuples(values):
    return values | {"curves": {name: tuple(map(tuple, curve)) for name, curve in values["curves"].items()}}


def _conformal(z, level):
    """Split-conformal quantile with its finite-sample correction."""
    rank = min(1.0, np.ceil((len(z) + 1) * level) / len(z))
    return float(np.quantile(z, rank, method="higher"))
