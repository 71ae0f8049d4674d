"""What a fitted linear model does: predict, compare with labels, go into a file."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from kernelff.evaluation import evaluate_frames
from kernelff.io.label_keys import labels
from kernelff.io.model_file import write_model
from kernelff.regression.noise import KINDS, Noise
from kernelff.version import __version__

_SIGMAS = (0.0025, 0.05, 0.2)  # energy, forces, virial where nothing is given; by grouped cross-validation
_FITTED = (  # plain attributes that go into the model file
    "rank_ evidence_ stress_offset_ sigmas_ delta_scales_ offset_scale_ cv_errors_ search_ fit_time_"
).split()


class FittedModel(BaseEstimator):
    """The part of a linear model that needs its fitted attributes and parameters only."""

    def predict(self, frames, return_std=False):
        """Total energies of frames, eV, shape (n_frames,); with `return_std` also their posterior sds."""
        check_is_fitted(self, "potential_")
        energy = np.array([self.potential_.compute(atoms).energy for atoms in frames])
        if not return_std:
            return energy
        std = [self.potential_.uncertainty(atoms, derivatives=False).energy_std for atoms in frames]
        return energy, np.array(std)

    def evaluate(self, frames, uncertainty=False):
        """Predictions beside the labels that the frames carry; see Evaluation.

        Parameters
        ----------
        frames : list of ase.Atoms
        uncertainty : bool or "full"
            Also posterior sds of energies, forces, stress and local energies, and
            novelty; about twenty times the cost. "full" gives uncalibrated predictive
            sds with the residual of the Gaussian process, see `Potential.uncertainty`.
        """
        check_is_fitted(self, "potential_")
        return evaluate_frames(self.potential_, frames, [labels(atoms) for atoms in frames], uncertainty)

    def score(self, frames, y=None):
        """Minus the mean loss sum (dE/N)^2 / sigma_E^2, |dF|^2 / sigma_F^2, ... per labelled number.

        The sigmas are the default ones, or those of `loss_weights`: a model is not better for expecting more noise,
        and a search over its sigmas finds the least errors.
        """
        result = self.evaluate(frames)
        noise = Noise(*_SIGMAS) if self.loss_weights is None else self._noise()
        volumes = np.array([atoms.get_volume() if atoms.pbc.all() else np.nan for atoms in frames])
        virial = (result.stress - result.stress_ref) * (volumes / result.n_atoms)[:, None]
        parts = [
            result.residuals("energy") / 1e3 / noise.energy,
            result.residuals("forces") / 1e3 / noise.forces,
            virial[np.isfinite(virial)] / noise.virial,
        ]
        squares = np.concatenate(parts) ** 2
        if not len(squares):
            raise ValueError("frames: none of them carries a label to score against.")
        return -float(squares.mean())

    def save(self, path, compact=False):
        """Write the model file: data only, no code; see io.model_file.

        Parameters
        ----------
        path : path-like
            By custom ``*.kff``.
        compact : bool
            Leave out the posterior (error bars) and the factors (refits).
        """
        check_is_fitted(self, "potential_")
        write_model(path, self.potential_, self.to_state(), __version__, compact)

    def to_state(self):
        """Settings and factors as (JSON-able dict, arrays)."""
        factors, arrays = self.factors_.to_state()
        fitted = {name: getattr(self, name) for name in (*_FITTED, *self._fitted)}
        return {
            "kind": type(self).__name__,
            "settings": self.plain_settings(),
            "fitted": fitted,
            "factors": factors,
        }, arrays

    _fitted = ()  # further attributes that go into the model file

    def plain_settings(self):
        """Parameters as plain data, for files."""
        settings = self.get_params(deep=False)
        settings["baseline"] = None  # goes with the potential
        if settings["e0"] is not None:
            settings["e0"] = {str(key): float(value) for key, value in settings["e0"].items()}
        return settings

    def _noise(self):
        if self.loss_weights is not None:
            return Noise.from_weights(self.loss_weights)
        given = (getattr(self, f"sigma_{kind}") for kind in KINDS)
        sigmas = (default if sigma is None else sigma for sigma, default in zip(given, _SIGMAS, strict=True))
        return Noise(*sigmas, self.config_sigmas or {})


def as_list(value):
    """A list of one or more."""
    return list(value) if isinstance(value, (list, tuple)) else [value]
