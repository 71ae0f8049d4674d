"""What all linear models share: from frames to a Potential."""

import time
from abc import abstractmethod
from copy import copy
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols
from ase.units import GPa as _GPA
from sklearn.utils.validation import check_is_fitted

from kernelff.assembly import element_sets
from kernelff.baselines.zbl import ZBL
from kernelff.error_bars.calibration import Calibration
from kernelff.error_bars.uncertainty import Posterior
from kernelff.forecast import forecast
from kernelff.io.checkpoint import Checkpoints, data_hash
from kernelff.io.frame_checks import check_frames
from kernelff.io.label_noise import label_noise
from kernelff.models.fitted import FittedModel
from kernelff.potential import Potential
from kernelff.progress import as_callback
from kernelff.regression.crossvalidation import ALWAYS_TRAINED, SAMPLE, CrossValidation, fold_of, mean_errors
from kernelff.regression.factors import Factors, solve
from kernelff.regression.hyperparameters import METHODS as HYPERPARAMETERS
from kernelff.regression.hyperparameters import Hyperparameters, choose, without_needless_nuisance
from kernelff.regression.noise import KINDS
from kernelff.regression.selection import GONE, terms_left
from kernelff.regression.streaming import Problem, extend, stream_folds
from kernelff.regression.targets import baseline_of, choose_e0, make_targets
from kernelff.regression.whitening import Columns, whiten, whiten_again
from kernelff.threads import one_blas_thread

_STRESS_OFFSET_STD = 0.02  # eV/Å^3 (3 GPa): prior of the constant offset of the stress labels
_NO_OFFSET_STD = 1e-12


class CrossValidated(NamedTuple):
    """What `LinearModel.cross_validate` returns."""

    validation: CrossValidation
    chosen: Hyperparameters
    terms: list
    e0: dict


class LinearModel(FittedModel):
    """Linear model on local basis functions; subclasses say which functions.

    A subclass has the attributes that ``fit`` reads (sigma_energy,
    sigma_forces, sigma_virial, config_sigmas, loss_weights, hyperparameters, stress_offset, e0,
    baseline, zbl, calibrate, jitter, n_jobs) and makes its basis functions in ``_make_terms``.
    """

    @abstractmethod
    def _make_terms(self, frames):
        """Basis functions fitted to the frames: a list of terms."""

    def _learned(self, problem, saved, progress):
        """The problem after what basis functions learn from the targets before the linear fit."""
        return problem

    def _passes_before(self, problem):
        """The passes over the frames that ``_learned`` makes: a list of (number, Problem)."""
        return []

    def _selected(self, validation, parameters):
        """The validation with the functions that a model keeps of those that were streamed, see selection.py."""
        return validation

    def _active_set(self, terms, frames, before=None):
        """The ActiveSet of the frames, or of those of the potential `before` and these; None for models without."""
        return None

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
            Folder that holds the work done so far. A killed fit that is started again
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
        with one_blas_thread():  # the same bits for any number of threads
            problem = self._make_problem(list(frames), checked.labels)
            return self._fit(problem, checked.labels, checkpoint, progress, start)

    def _fit(self, problem, found, checkpoint, progress, start):
        saved = Checkpoints(checkpoint) if checkpoint else None
        try:
            problem = self._learned(problem, saved, progress)
            columns = Columns(self._nuisance_std(problem.kinds), whiten(problem.terms, self.jitter))
            factors, validation = self._stream(problem, columns, saved, progress)
        finally:
            if saved:
                saved.tidy()
        streamed = time.perf_counter()
        calibration, shares = self._choose(validation, problem.frames, found)
        problem, columns, factors = self._restricted(problem, columns, factors, shares)
        solution = self._solve(factors, columns)
        self.factors_ = factors
        n_frames = len(problem.frames)
        facts = {"data_hash": data_hash(problem.frames), "n_frames": n_frames, "n_frames_chosen": n_frames}
        # zero in all of these frames, so that no target changes
        repulsion = ZBL.below(problem.frames, baseline=self.baseline) if self.zbl else None
        active_set = self._active_set(problem.terms, problem.frames)
        self._finish(problem.terms, columns, solution, calibration, facts, repulsion, active_set)
        if saved:
            saved.remove()
        self.fit_time_ = {"rows": streamed - start, "solve": time.perf_counter() - streamed}
        return self

    def _stream(self, problem, columns, saved, progress):
        """The factors of all frames, and their folds."""
        factors, validation = Factors(problem.m), CrossValidation(columns)
        sampled, folds = problem.sampling(SAMPLE), self._folds(problem.frames)
        with as_callback(progress, "fitting") as callback:
            for fold, part in stream_folds(sampled, folds, self.n_jobs, saved, callback):
                validation.add(part, held_out=fold != ALWAYS_TRAINED)
                part.drop_samples()
                factors.merge(part)
        return factors, validation

    def _restricted(self, problem, columns, factors, shares):
        """The same for the functions that are left, with the shares in their prior, see CrossValidation."""
        if (shares == 1.0).all():
            return problem, columns, factors
        n = columns.n_nuisance
        kept = np.append(np.flatnonzero(shares[n:] > GONE), np.arange(factors.m - n - 1, factors.m))
        problem = replace(problem, terms=terms_left(problem.terms, shares[n:]))
        columns = Columns(columns.nuisance_std, whiten(problem.terms, self.jitter))
        return problem, columns, factors.restricted(kept)

    def partial_fit(self, frames, y=None, *, earlier=None):
        """Learn from more frames: their rows are folded into the factors, then one new solve.

        Exact: whatever the order, the model is the one that a fit of all frames with the same basis functions
        and e0 gives [1]_. Costs the rows of the new frames and a solve that does not depend on how many frames
        came before; the old frames are not needed. The calibration of the error bars stays as it is: it compares
        labels with a model that had not seen them, and here no frame is held out.

        The basis functions and hyperparameters stay too: a new function needs a column in the row of every old
        label, which the factors do not hold. With `earlier`, the model is fitted anew to all frames whenever their
        number has doubled since the functions were chosen, which in all costs no more than twice the last fit.

        Parameters
        ----------
        frames : list of ase.Atoms
            New frames with labels, as in ``fit``.
        y : None
            Ignored; for scikit-learn.
        earlier : list of ase.Atoms, optional
            The frames that the model has learnt from so far.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For frames or labels that cannot be used, elements that the model does not know, or a model that
            was saved without its factors. The model is then as before.

        References
        ----------
        .. [1] Golub, Van Loan, Matrix Computations, 4th ed. (2013), section 6.5: updating a QR factorisation.
        """
        check_is_fitted(self, "potential_")
        if not hasattr(self, "factors_"):
            raise ValueError(
                "partial_fit: this model was saved with compact=True, without the factors that new frames are folded "
                "into. Save it without compact, or fit it again to all frames."
            )
        start = time.perf_counter()
        frames = list(frames)
        if earlier is not None and self._has_doubled(len(earlier), len(frames)):
            return self.fit([*earlier, *frames])
        checked = check_frames(frames, "new frames")
        self._refuse_unknown(frames)
        old = self.potential_
        with one_blas_thread():
            targets = make_targets(frames, checked.labels, self.e0_, baseline_of(frames, self.baseline))
            factors = self.factors_.copy()
            extend(factors, Problem(old.terms, frames, targets, self._noise()), self.n_jobs)
            folded = time.perf_counter()
            columns = Columns(self._nuisance_std(factors.kinds), whiten_again(old.terms, old.posterior.W))
            solution = self._solve(factors, columns)
        self.factors_ = factors
        facts = {
            "data_hash": data_hash(frames, old.metadata["data_hash"]),
            "n_frames": old.metadata["n_frames"] + len(frames),
            "n_frames_chosen": old.metadata["n_frames_chosen"],
        }
        repulsion = ZBL.below(frames, old.repulsion, self.baseline) if old.repulsion else None
        active_set = self._active_set(old.terms, frames, old)
        self._finish(old.terms, columns, solution, self.calibration_, facts, repulsion, active_set)
        self.fit_time_ = {"rows": folded - start, "solve": time.perf_counter() - folded}
        return self

    def _has_doubled(self, n_earlier, n_new):
        facts = self.potential_.metadata
        if n_earlier != facts["n_frames"]:
            raise ValueError(
                f"earlier: {n_earlier} frames, but this model has learnt from {facts['n_frames']}. Give all of them, "
                "or none."
            )
        return n_earlier + n_new >= 2 * facts["n_frames_chosen"]

    def cross_validate(self, frames, *, progress=False):
        """Folds of the frames in this model's functions, and what ``fit`` would choose: one pass, no last solve.

        Parameters
        ----------
        frames : list of ase.Atoms
        progress : bool or callable
            As in ``fit``.

        Returns
        -------
        CrossValidated
        """
        model, frames = copy(self), list(frames)  # a fitted model keeps what it has
        checked = check_frames(frames, "training frames", warn=False)
        with one_blas_thread():
            problem = model._learned(model._make_problem(frames, checked.labels), None, False)
            columns = Columns(model._nuisance_std(problem.kinds), whiten(problem.terms, self.jitter))
            validation = CrossValidation(columns)
            with as_callback(progress, "cross-validating") as callback:
                for fold, part in stream_folds(
                    problem.sampling(SAMPLE), fold_of(frames), self.n_jobs, progress=callback
                ):
                    validation.add(part, held_out=fold != ALWAYS_TRAINED)
            validation, chosen = model._chosen(validation, frames, checked.labels)
        terms = terms_left(problem.terms, validation.shares[columns.n_nuisance :])
        return CrossValidated(validation, chosen, terms, model.e0_)

    def forecast(self, frames):
        """Time and memory that ``fit`` would need; see Forecast."""
        checked = check_frames(frames, "training frames", warn=False)
        problem = copy(self)._make_problem(list(frames), checked.labels)  # a fitted model keeps its e0_
        folds = set(self._folds(problem.frames)) - {ALWAYS_TRAINED}
        return forecast(problem, self.n_jobs, len(folds), self._passes_before(problem))

    def _make_problem(self, frames, found):
        base = baseline_of(frames, self.baseline)
        self.e0_ = choose_e0(frames, found, base, self.e0)
        targets = make_targets(frames, found, self.e0_, base)
        return Problem(self._make_terms(frames), frames, targets, self._noise())

    def _refuse_unknown(self, frames):
        known = self.potential_.species
        unknown = sorted({int(z) for atoms in frames for z in atoms.numbers} - set(known))
        if unknown:
            names, known = (", ".join(chemical_symbols[z] for z in zs) for zs in (unknown, known))
            raise ValueError(
                f"new frames: hold {names}, which this model of {known} has no basis functions for. "
                "Fit it again to old and new frames together."
            )

    def _check_settings(self):
        """Refuse settings that all models have and that are out of their range."""
        if self.hyperparameters not in HYPERPARAMETERS:
            raise ValueError(f"hyperparameters: must be one of {HYPERPARAMETERS}, got {self.hyperparameters!r}.")
        if not isinstance(self.n_jobs, (int, np.integer)) or self.n_jobs == 0:
            raise ValueError(f"n_jobs: must be a number of threads, or -1 for all cores, got {self.n_jobs!r}.")
        if not isinstance(self.zbl, (bool, np.bool_)):
            raise ValueError(f"zbl: must be True or False, got {self.zbl!r}.")

    @property
    def _searches(self):
        return self.hyperparameters != "fixed" and self.loss_weights is None

    def _folds(self, frames):
        """Fold of every frame for cross-validation; one that is never held out where none is needed."""
        wanted = self.calibrate or self._searches
        return fold_of(frames) if wanted else np.full(len(frames), ALWAYS_TRAINED)

    def _start(self, validation):
        """Hyperparameters as given, or where the search for them begins."""
        noise = self._noise()
        sigmas = {name: noise.sigma(name) for name in validation.total}
        return Hyperparameters(sigmas, (1.0,) * validation.columns.n_owners)

    def _chosen(self, validation, frames, found):
        """The validation with functions selected, and hyperparameters as given or chosen."""
        start = self._start(validation)
        given = {kind for kind in KINDS if getattr(self, f"sigma_{kind}") is not None}
        given |= set() if self.delta is None else set(range(validation.columns.n_owners))

        def chosen(validation, start):
            if not self._searches:
                return without_needless_nuisance(validation, start)
            return choose(self.hyperparameters, validation, start, given, label_noise(frames, found), len(frames))

        found_first = chosen(validation, start)
        selected = self._selected(validation, found_first)
        return selected, found_first if selected is validation else chosen(selected, found_first)

    def _choose(self, validation, frames, found):
        """Set sigmas_ and delta_scales_ as given or chosen, and cv_errors_; return Calibration and shares."""
        start = self._start(validation)
        validation, chosen = self._chosen(validation, frames, found)
        self.sigmas_, self.delta_scales_, self.offset_scale_ = chosen.sigmas, list(chosen.priors), chosen.nuisance
        residuals = validation.residuals(chosen)
        self.cv_errors_ = mean_errors(residuals)
        self.search_ = None
        if self._searches:
            before = mean_errors(validation.residuals(without_needless_nuisance(validation, start)))
            self.search_ = {"sigmas": start.sigmas, "delta_scales": list(start.priors), "cv_errors": before}
        calibration = Calibration.fit(residuals, element_sets(frames)) if self.calibrate and residuals else None
        return calibration, validation.shares

    def _solve(self, factors, columns):
        noise = self._noise()
        sigmas = {name: self.sigmas_.get(name, noise.sigma(name)) for name in factors.groups}
        return solve(factors, columns, sigmas, self.delta_scales_, self.offset_scale_)

    def _nuisance_std(self, kinds):
        # only energies can tell an offset of the stress labels from the pressure itself
        free = self.stress_offset and "energy" in kinds
        return np.array([_STRESS_OFFSET_STD if free else _NO_OFFSET_STD])

    def _finish(self, terms, columns, solution, calibration, facts, repulsion, active_set):
        W = columns.whitening.W
        self.rank_ = W.shape[1]
        self.evidence_ = solution.evidence
        self.stress_offset_ = float(solution.nuisance[0] / _GPA)
        self.calibration_ = calibration
        metadata = facts | {
            "rank": self.rank_,
            "evidence": self.evidence_,
            "stress_offset_GPa": self.stress_offset_,
            "sigmas": self.sigmas_,
            "delta_scales": self.delta_scales_,
            "cv_errors": self.cv_errors_,
        }
        posterior = Posterior(solution.posterior, W, calibration or Calibration())
        self.potential_ = Potential(
            terms, solution.weights, self.e0_, posterior, self.baseline, metadata, repulsion, active_set
        )
