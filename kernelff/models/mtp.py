"""Moment tensor potentials: linear in their scalars, with radial functions that are learnt."""

import warnings
from dataclasses import replace

import numpy as np

from kernelff.checks import SettingsWarning, require_positive
from kernelff.descriptors import MomentTensors
from kernelff.error_bars.extrapolation import MODES, ActiveSet
from kernelff.models.base import LinearModel
from kernelff.neighbors import NeighborList, nearest_distance
from kernelff.progress import as_callback
from kernelff.radial_learning import Learner, Learning, choose_frames, column_norms, learning_passes
from kernelff.regression.crossvalidation import fold_of
from kernelff.regression.selection import METHODS, select
from kernelff.terms import BasisTerm

_DELTA = 5.0  # eV/Å
_LABELS_PER_UNKNOWN = 2.0  # below which a fit is warned of
_PRIORS = ("flat", "graded")


class MTP(LinearModel):
    """Moment tensor potential [1]_: linear in the scalars of `MomentTensors`, with learnt radial functions.

    First the radial functions are learnt from some of the frames by variable projection [2]_, see `radial_learning`;
    then all frames determine the weights as a Bayesian linear model, with the factors, hyperparameters, error bars and
    `partial_fit` of `SparseGPR`. The error bars are those of the weights, for the radial functions as they are.

    Parameters
    ----------
    level : int
        Even, 2 to 28: which scalars there are, see `MomentTensors`. 8 is quick, 16 usual, 20 as accurate as published
        potentials; 24 is better where frames are many, at three times the cost.
    cutoff : float
        Å.
    min_dist : float, optional
        Å, where the radial basis begins; None: just below the shortest distance of the frames.
    radial_basis_size : int
        Chebyshev polynomials for each radial function.
    learn_radial : bool
        False keeps the radial functions that are orthonormal over the distances in the frames: a fit in seconds, with
        errors twice as large or more.
    delta : float, optional
        Prior standard deviation of what each scalar adds to the forces, eV/Å (to energies per atom, eV, where there
        are no forces). None: see `hyperparameters`.
    sigma_energy, sigma_forces, sigma_virial : float, optional
        Noise of the labels: eV per atom (the total's is times sqrt(n_atoms)), eV/Å, eV per atom (likewise). None: see
        `hyperparameters`. Radial functions are learnt with 0.0025 eV, 0.05 eV/Å and 0.2 eV where none are given.
    config_sigmas : dict, optional
        config_type -> {"energy": ..., "forces": ..., "virial": ...}, any of them.
    loss_weights : tuple of three floats, optional
        (w_E, w_F, w_S) in place of the sigmas, see `noise.Noise.from_weights`.
    hyperparameters : {"cv", "evidence", "fixed"}
        How sigmas and delta that are None are chosen, as in `SparseGPR`; "fixed": the sigmas above and 5 eV/Å. Held-out
        frames have had a part in the radial functions, which are few.
    regression : {"ridge", "ard", "lasso"}
        How the weights are fitted. "ridge" keeps all scalars and is as accurate as the others where frames are many.
        "ard" gives each scalar the prior width of most evidence and drops those of width zero; it is worth a try where
        there are many scalars for few frames. "lasso" keeps the fewest scalars with held-out errors within 2 % of the
        least, often two thirds; it needs five frames or more. Error bars, `partial_fit` and the model file know the
        scalars that are left alone. Up to level 20 energies and forces cost as much as before, for scalars share their
        moments.
    prior : {"flat", "graded"}
        Whether all weights have a common prior width (for scalars of the same size), or one for each number of
        moments in a scalar, as chosen by `hyperparameters`; no difference where `delta` is given.
    grade : {"neighborhood", "configuration", None}
        Keep the active set of the training frames, so that the potential tells how far an environment or a frame is
        from them, see `Potential.extrapolation_grade`.
    stress_offset : bool
        Learn a constant hydrostatic offset of the stress labels against the energies where one is clearly there.
    e0 : dict, optional
        Element or atomic number -> energy of the isolated atom, eV; else from isolated-atom frames, else by least
        squares.
    baseline : Potential or DFTD3 or ase Calculator, optional
        The model learns what it leaves.
    zbl : bool
        Add the screened repulsion of the nuclei below the shortest distances of the data, see `ZBL`.
    calibrate : bool
        Map the error bars to the true errors of held-out frames, see calibration.py.
    n_jobs : int
        Threads of the fit; -1 for all cores. The result is bitwise the same for any number.

    Attributes
    ----------
    potential_ : Potential
    radial_history_ : list of dict
        Of each iteration of learning: level, errors on the frames learnt from and on validation frames, see
        `radial_learning.Learning`.
    n_functions_ : int
        Scalars that are left.
    e0_, rank_, stress_offset_, calibration_, sigmas_, delta_scales_, cv_errors_, search_, evidence_, fit_time_
        As in `SparseGPR`.

    References
    ----------
    .. [1] Shapeev, Multiscale Model. Simul. 14, 1153 (2016), doi:10.1137/15M1054183
    .. [2] Golub, Pereyra, Inverse Problems 19, R1 (2003), doi:10.1088/0266-5611/19/2/201

    Examples
    --------
    >>> model = MTP(level=16).fit(train)  # doctest: +SKIP
    >>> grades = model.potential_.extrapolation_grade(atoms)  # doctest: +SKIP
    """

    def __init__(
        self,
        level=20,
        cutoff=5.0,
        *,
        min_dist=None,
        radial_basis_size=10,
        learn_radial=True,
        delta=None,
        sigma_energy=None,
        sigma_forces=None,
        sigma_virial=None,
        config_sigmas=None,
        loss_weights=None,
        hyperparameters="cv",
        regression="ridge",
        prior="flat",
        grade="neighborhood",
        stress_offset=True,
        e0=None,
        baseline=None,
        zbl=True,
        calibrate=True,
        n_jobs=-1,
    ):
        self.level = level
        self.cutoff = cutoff
        self.min_dist = min_dist
        self.radial_basis_size = radial_basis_size
        self.learn_radial = learn_radial
        self.delta = delta
        self.sigma_energy = sigma_energy
        self.sigma_forces = sigma_forces
        self.sigma_virial = sigma_virial
        self.config_sigmas = config_sigmas
        self.loss_weights = loss_weights
        self.hyperparameters = hyperparameters
        self.regression = regression
        self.prior = prior
        self.grade = grade
        self.stress_offset = stress_offset
        self.e0 = e0
        self.baseline = baseline
        self.zbl = zbl
        self.calibrate = calibrate
        self.n_jobs = n_jobs

    _fitted = ("radial_history_",)
    jitter = 0.0

    def _make_terms(self, frames):
        self._check_settings()
        for name, known in (("regression", METHODS), ("prior", _PRIORS), ("grade", (*MODES, None))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: must be one of {known}, got {getattr(self, name)!r}.")
        require_positive("delta", _DELTA if self.delta is None else self.delta, "eV/Å")
        if not isinstance(self.learn_radial, (bool, np.bool_)):
            raise ValueError(f"learn_radial: must be True or False, got {self.learn_radial!r}.")
        parameters = MomentTensors(
            self.level, self.cutoff, min_dist=self.min_dist, radial_basis_size=self.radial_basis_size
        )
        species = sorted({int(z) for atoms in frames for z in atoms.numbers})
        descriptor = parameters.build_for(frames, species, nearest_distance(frames))
        if not any(NeighborList.from_atoms(atoms, self.cutoff).n_pairs for atoms in frames):
            raise ValueError(
                f"cutoff: no two atoms of the frames are within {self.cutoff:g} Å of each other: there is nothing "
                "to learn. Give a larger cutoff, or frames with neighbours."
            )
        return [BasisTerm(descriptor)]

    def _learned(self, problem, saved, progress):
        """Learn radial functions from some of the frames, then set the prior of the weights."""
        descriptor = problem.terms[0].descriptor
        self._warn_of_few_labels(problem, descriptor)
        chosen, held = choose_frames(problem, descriptor.n_features + descriptor.coefficients.size)
        part, self.radial_history_ = problem.part(chosen), []
        if self.learn_radial:
            validation = problem.part(held) if held.any() else None
            learner = Learner(descriptor, part, validation, self._nuisance_std(problem.kinds), self.n_jobs)
            state = self._learn(learner, saved, progress)
            descriptor = descriptor.with_coefficients(state.coefficients)
            self.radial_history_ = state.history
        delta = _DELTA if self.delta is None else self.delta
        stds = delta / column_norms(part, descriptor, self.n_jobs)
        return replace(problem, terms=[BasisTerm(descriptor, stds, self._families(descriptor))])

    def _warn_of_few_labels(self, problem, descriptor):
        """Say so where there are fewer than two labels for an unknown, and which level has fewer unknowns."""
        n_labels = sum(sum(problem.rows_of(k).values()) for k in range(len(problem.frames)))
        n_radial = descriptor.coefficients.size if self.learn_radial else 0
        if n_labels >= _LABELS_PER_UNKNOWN * (descriptor.n_features + n_radial):
            return
        unknowns = f"{descriptor.n_features} weights" + f" and {n_radial} radial coefficients" * self.learn_radial
        levels = [int(level) for level in np.unique(descriptor.levels)]
        most = n_labels / _LABELS_PER_UNKNOWN - n_radial
        smaller = [level for level in levels if (descriptor.levels <= level).sum() <= most]
        remedy = f"Give more frames, or level={smaller[-1]}." if smaller else "Give more frames."
        warnings.warn(
            f"level: {self.level} has {unknowns}, more than the {n_labels} labels of the frames tell apart with any "
            f"certainty (two for each are few); the model leans on its prior. {remedy}",
            SettingsWarning,
            stacklevel=5,
        )

    def _passes_before(self, problem):
        if not self.learn_radial:
            return []
        descriptor = problem.terms[0].descriptor
        chosen, held = choose_frames(problem, descriptor.n_features + descriptor.coefficients.size)
        return learning_passes(descriptor, problem.part(chosen), problem.part(held))

    def _learn(self, learner, saved, progress):
        """Learn with a progress bar, from where a checkpoint left it."""
        checkpoint = saved and saved.of_learning(*filter(None, (learner.problem, learner.validation)))
        found = checkpoint and checkpoint.load()
        state = Learning.from_state(*found) if found else learner.begin()
        with as_callback(progress, "radial functions", "iterations") as callback:

            def after_each(state):
                if checkpoint:
                    checkpoint.save(*state.to_state())
                if callback:
                    callback(len(state.history), learner.most_iterations, _note(state.history[-1]))

            return learner.learn(state, after_each)

    def _families(self, descriptor):
        """Family of every scalar: one for each number of moments, or one for all."""
        degrees = np.array([len(graph.mus) for graph in descriptor.graphs])
        return np.unique(degrees, return_inverse=True)[1] if self.prior == "graded" else None

    def _folds(self, frames):
        return fold_of(frames) if self.regression == "lasso" else super()._folds(frames)

    def _selected(self, validation, parameters):
        return select(self.regression, validation, parameters)

    def _active_set(self, terms, frames, before=None):
        if self.grade is None:
            return None
        if before is None:
            return ActiveSet.select(terms, frames, mode=self.grade)
        return before.active_set and before.active_set.extended(terms, frames, before.metadata["n_frames"])

    @property
    def n_functions_(self):
        """Scalars that are left."""
        return self.potential_.terms[0].n_functions


def _note(entry):
    """What a progress bar says of an iteration."""
    error = entry.get("validation_forces", entry.get("forces"))
    return f"level {entry['level']}" + ("" if error is None else f", {error:.3f} eV/Å")
