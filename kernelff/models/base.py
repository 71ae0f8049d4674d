"""What all linear models share: from frames to a Potential."""

import time
from abc import abstractmethod

import numpy as np
from ase.units import GPa as _GPA
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from kernelff.assembly import VOIGT, Targets, n_functions, term_columns
from kernelff.calibration import Calibration, held_out
from kernelff.e0 import fit_e0
from kernelff.evaluation import evaluate_frames
from kernelff.factors import Whitening, solve
from kernelff.forecast import forecast
from kernelff.io.checkpoint import Checkpoint, data_hash
from kernelff.io.frame_checks import check_frames, isolated_atom_energies
from kernelff.io.label_keys import labels
from kernelff.io.model_file import write_model
from kernelff.io.stress_check import check_stress
from kernelff.noise import Noise
from kernelff.potential import Potential, baseline_results
from kernelff.progress import as_callback
from kernelff.streaming import Problem, predict_and_fold, stream
from kernelff.threads import one_blas_thread
from kernelff.uncertainty import Posterior
from kernelff.version import __version__

_STRESS_OFFSET_STD = 0.02  # eV/Å^3 (3 GPa): prior of the constant offset of the stress labels
_NO_OFFSET_STD = 1e-12


class LinearModel(BaseEstimator):
    """Linear model on local basis functions; subclasses say which functions.

    A subclass has the attributes that ``fit`` reads (sigma_energy,
    sigma_forces, sigma_virial, config_sigmas, loss_weights, stress_offset, e0,
    baseline, calibrate, jitter, n_jobs) and makes its basis functions in ``_make_terms``.
    """

    @abstractmethod
    def _make_terms(self, frames):
        """Basis functions fitted to the frames: a list of terms."""

    def fit(self, frames, y=None, *, checkpoint=None, progress=False):
        """Fit to the energies, forces and stresses that the frames carry.

        Parameters
        ----------
        frames : list of ase.Atoms
            Labels in the attached calculator or under the usual keys: energy (eV, total),
            forces (eV/Å), stress (eV/Å^3, ASE sign).
        y : None
            Ignored; for scikit-learn.
        checkpoint : path-like or None
            File that holds the work done so far. A killed fit that is started again
            with the same frames and settings goes on from there and ends bitwise
            equal. Removed at the end.
        progress : bool or callable
            True shows a bar with the time left; a callable gets (done, total) rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For frames or labels that cannot be used; the message names the frame and the remedy.
        """
        start = time.perf_counter()
        checked = check_frames(frames, "training frames")
        check_stress(frames, "training frames", found=checked.labels)
        with one_blas_thread():  # the same bits for any number of threads
            problem = self._make_problem(list(frames), checked.labels)
            return self._fit(problem, checkpoint, progress, start)

    def _fit(self, problem, checkpoint, progress, start):
        held = held_out(problem.frames) if self.calibrate else np.zeros(len(problem.frames), dtype=bool)
        rest = problem.part(~held)
        saved = Checkpoint(checkpoint, rest) if checkpoint else None
        with as_callback(progress, "fitting") as callback:
            factors = stream(rest, self.n_jobs, saved, callback)
        streamed = time.perf_counter()
        whitening, calibration = whiten(problem.terms, self.jitter), None
        if held.any():
            solution = self._solve(factors, whitening)
            residuals = predict_and_fold(problem.part(held), solution, factors, self.n_jobs)
            calibration = Calibration.fit(residuals)
        solution = self._solve(factors, whitening)
        self.factors_ = factors
        self._finish(problem, whitening, solution, calibration)
        if saved:
            saved.remove()
        self.fit_time_ = {"rows": streamed - start, "solve": time.perf_counter() - streamed}
        return self

    def forecast(self, frames):
        """Time and memory that ``fit`` would need; see Forecast."""
        checked = check_frames(frames, "training frames", warn=False)
        return forecast(self._make_problem(list(frames), checked.labels), self.n_jobs)

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
        """Minus the mean loss sum (dE/N)^2 / sigma_E^2, |dF|^2 / sigma_F^2, ... per labelled number."""
        result, noise = self.evaluate(frames), self._noise()
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
        settings = self.get_params(deep=False)
        settings["baseline"] = None  # goes with the potential
        if settings["descriptors"] is not None:
            settings["descriptors"] = [
                {"kind": type(d).__name__} | d.get_params() for d in as_list(settings["descriptors"])
            ]
        if settings["e0"] is not None:
            settings["e0"] = {str(key): float(value) for key, value in settings["e0"].items()}
        factors, arrays = self.factors_.to_state()
        fitted = {name: getattr(self, name) for name in ("rank_", "evidence_", "stress_offset_", "fit_time_")}
        return {"kind": type(self).__name__, "settings": settings, "fitted": fitted, "factors": factors}, arrays

    def _noise(self):
        if self.loss_weights is not None:
            return Noise.from_weights(self.loss_weights)
        return Noise(self.sigma_energy, self.sigma_forces, self.sigma_virial, self.config_sigmas or {})

    def _make_problem(self, frames, found):
        noise = self._noise()
        isolated = isolated_atom_energies(frames, found=found)
        base = [None if self.baseline is None else baseline_results(self.baseline, atoms) for atoms in frames]
        energies = [
            lab.energy if b is None or lab.energy is None else lab.energy - b.energy
            for lab, b in zip(found, base, strict=True)
        ]
        if self.baseline is not None:  # what the baseline gives an isolated atom belongs to the baseline
            isolated = {
                int(a.numbers[0]): e for a, e in zip(frames, energies, strict=True)
                if len(a) == 1 and int(a.numbers[0]) in isolated and not a.pbc.any() and e is not None
            }  # fmt: skip
        self.e0_ = fit_e0(frames, energies, isolated, self.e0)
        targets = [self._targets(*parts) for parts in zip(frames, found, base, strict=True)]
        return Problem(self._make_terms(frames), frames, targets, noise)

    def _targets(self, atoms, found, base):
        """Labels minus e0 and baseline."""
        energy, forces, virial = found.energy, found.forces, None
        if found.stress is not None and atoms.pbc.all():
            virial = -atoms.get_volume() * np.asarray(found.stress)
        if energy is not None:
            energy = energy - sum(self.e0_[int(z)] for z in atoms.numbers)
        if base is not None:
            energy = None if energy is None else energy - base.energy
            forces = None if forces is None else forces - base.forces
            virial = None if virial is None else virial - np.array([base.virial[a, b] for a, b in VOIGT])
        return Targets(energy, forces, virial)

    def _solve(self, factors, whitening):
        noise = self._noise()
        sigmas = {name: noise.sigma(name) for name in factors.groups}
        # only energies can tell an offset of the stress labels from the pressure itself
        free = self.stress_offset and any(name.startswith("energy") for name in sigmas)
        offset_std = _STRESS_OFFSET_STD if free else _NO_OFFSET_STD
        return solve(factors, whitening, sigmas, np.array([offset_std]))

    def _finish(self, problem, whitening, solution, calibration):
        self.rank_ = whitening.W.shape[1]
        self.evidence_ = solution.evidence
        self.stress_offset_ = float(solution.nuisance[0] / _GPA)
        self.calibration_ = calibration
        metadata = {
            "data_hash": data_hash(problem.frames),
            "n_frames": len(problem.frames),
            "rank": self.rank_,
            "evidence": self.evidence_,
            "stress_offset_GPa": self.stress_offset_,
        }
        posterior = Posterior(solution.posterior, whitening.W, calibration or Calibration())
        self.potential_ = Potential(problem.terms, solution.weights, self.e0_, posterior, self.baseline, metadata)


def whiten(terms, jitter):
    """Whitening of the functions of all terms."""
    K_MM = np.zeros((n_functions(terms),) * 2)
    blocks = []
    for term, columns in zip(terms, term_columns(terms), strict=True):
        K_MM[columns, columns] = term.gram()
        blocks += [slice(columns.start + b.start, columns.start + b.stop) for b in term.blocks]
    return Whitening.of(K_MM, blocks, jitter=jitter)


def as_list(value):
    """A list of one or more."""
    return list(value) if isinstance(value, (list, tuple)) else [value]
