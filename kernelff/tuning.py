"""Settings of a descriptor by errors on held-out frames, and by what they cost.

Cutoff, numbers of functions, atom_sigma and zeta need new rows, so each candidate is one pass over the frames; sigmas
and delta are chosen anew inside it at almost no cost (hyperparameters.py), so that all candidates are compared at their
best. The search walks along one setting at a time from where it starts, keeps what lowers the score, and ends where no
single step does. Random trials on the same grids, also with early elimination on a third of the frames, found settings
1.5 to 4 % worse on silicon and as good within the noise on molybdenum in the same CPU time; the walk needs no luck, and
every trial of it tells what one setting does. The lead of the best of many trials is partly the luck of these frames
(6 % on a quarter of the molybdenum set, -16 % on the next quarter): the best few and the start are measured again on
other frames, which alone decide.

Scores of two candidates are compared fold by fold. The choice is the cheapest candidate whose mean score is within one
standard error of that difference from the best one's [1]_, and no more than _WORTH_COST behind.

References
----------
.. [1] Breiman, Friedman, Olshen, Stone, Classification and Regression Trees (1984), section 3.4.3: the 1 SE rule.
"""

import hashlib
import json
import time
from dataclasses import dataclass

import numpy as np

from kernelff.checks import require_positive
from kernelff.io.checkpoint import data_hash
from kernelff.io.label_keys import labels
from kernelff.potential import Potential
from kernelff.regression.crossvalidation import N_FOLDS, fold_scores, mean_errors

GRIDS = {
    "cutoff": (3.6, 4.0, 4.4, 4.8, 5.2, 5.6, 6.0, 6.5, 7.0),
    "atom_sigma": (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7),
    "n_max": (3, 4, 5, 6, 7, 8, 9, 10, 12),
    "l_max": (2, 3, 4, 5, 6, 7, 8, 10),
    "zeta": (1.0, 2.0, 3.0, 4.0, 6.0),
}  # in the order in which they are tried
WHOLE = ("n_max", "l_max", "n_sparse")
_WORTH_A_STEP = 0.003  # of the score, which is about the relative error of forces
_WORTH_COST = 0.02
_FINALISTS = 3
_TIMINGS = 7


@dataclass(frozen=True)
class Trial:
    """One candidate.

    Attributes
    ----------
    settings : dict
    scores : tuple of float
        Of each fold, see `crossvalidation.fold_scores`: less is better, 0.01 is one per cent of the force error.
    errors : dict
        Kind of label -> {"mae", "rmse", "n"} on held-out frames, eV per atom or eV/Å.
    seconds : float
        CPU time of the pass.
    cost : float
        µs per atom of energy, forces and stress.
    """

    settings: dict
    scores: tuple
    errors: dict
    seconds: float
    cost: float

    @property
    def score(self):
        mean = float(np.mean(self.scores))
        return mean if np.isfinite(mean) else np.inf

    @classmethod
    def from_dict(cls, values):
        """From the dict that ``dataclasses.asdict`` makes.

        Raises
        ------
        TypeError, KeyError, ValueError
            If it is none.
        """
        scores = tuple(map(float, values["scores"]))
        if len(scores) < 2 or not isinstance(values["settings"], dict) or not isinstance(values["errors"], dict):
            raise ValueError("no trial")
        return cls(values["settings"], scores, values["errors"], float(values["seconds"]), float(values["cost"]))

    def behind(self, best):
        """Mean difference of the scores to another trial's, and its standard error over the folds."""
        differences = np.subtract(self.scores, best.scores)
        return float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(len(differences)))


def measure(make_model, settings, frames, progress=False):
    """Try one candidate.

    Parameters
    ----------
    make_model : callable
        settings -> unfitted model.
    settings : dict
    frames : list of ase.Atoms
    progress : bool or callable
        As in ``fit``.

    Returns
    -------
    Trial

    Raises
    ------
    ValueError
        If there are too few frames to hold any out, or no model can be made with these settings.
    """
    start = time.process_time()
    found = make_model(settings).cross_validate(frames, progress=progress)
    if len(found.validation) < 2:
        raise ValueError(f"frames: {len(frames)} are too few to hold some out; {N_FOLDS} or more are needed.")
    scores = fold_scores(found.validation.deviations(found.chosen))
    errors = mean_errors(found.validation.residuals(found.chosen))
    seconds = time.process_time() - start
    return Trial(settings, tuple(map(float, scores)), errors, seconds, evaluation_cost(found, frames))


def evaluation_cost(found, frames):
    """µs per atom of energy, forces and stress, the least of a few timings; of a `CrossValidated`."""
    weights = np.ones(sum(term.n_functions for term in found.terms))
    potential = Potential(found.terms, weights, found.e0)
    atoms = sorted(frames, key=len)[len(frames) // 2]
    potential.compute(atoms)
    seconds = []
    for _ in range(_TIMINGS):
        start = time.perf_counter()
        potential.compute(atoms)
        seconds.append(time.perf_counter() - start)
    return 1e6 * min(seconds) / len(atoms)


def search(measure, finished, grids, start):
    """Yield trials until no single step along any grid lowers the score; stop taking them to stop the search.

    Parameters
    ----------
    measure : callable
        settings -> Trial.
    finished : sequence of Trial
        Of an earlier search. They are not measured again, and yielded only where this search needs them.
    grids : dict
        Name of a setting -> its values.
    start : dict
        Name -> value to begin with, for every grid.

    Yields
    ------
    Trial
    """
    known = {_key(trial.settings): trial for trial in finished}
    ladders = {name: sorted({*values, start[name]}) for name, values in grids.items()}
    best = known.get(_key(start)) or measure(dict(start))
    seen = {_key(start)}
    yield best
    since = 0  # settings tried since the last step
    signs = dict.fromkeys(ladders, 1)
    while since < len(ladders):
        for name, ladder in ladders.items():
            before = best
            for sign in (signs[name], -signs[name]):
                while (settings := _step(best.settings, name, ladder, sign)) and _key(settings) not in seen:
                    seen.add(_key(settings))
                    trial = known.get(_key(settings)) or measure(settings)
                    yield trial
                    if trial.score > best.score - _WORTH_A_STEP:
                        break
                    best, signs[name] = trial, sign
                if best is not before:
                    break
            since = 0 if best is not before else since + 1
            if since >= len(ladders):
                return


def again(measure, finished, trials):
    """Yield the trials of the same settings by another measure; see ``search``."""
    known = {_key(trial.settings): trial for trial in finished}
    for trial in trials:
        yield known.get(_key(trial.settings)) or measure(trial.settings)


def choose_trial(trials):
    """The cheapest trial that is as good as the best one, see the top of this file.

    Parameters
    ----------
    trials : list of Trial
        At least one.
    """
    best = min(trials, key=lambda trial: trial.score)
    if not np.isfinite(best.score):
        raise ValueError("tune: no candidate gave finite errors on held-out frames; look at the labels.")
    return min((trial for trial in trials if _as_good(trial, best)), key=lambda trial: trial.cost)


def finalists(trials):
    """What is compared again on other frames: where the search began, its choice, and the best few.

    The best of many trials on the same frames owes part of its lead to these frames.
    """
    ranked = sorted(trials, key=lambda trial: trial.score)
    kept = [trials[0], choose_trial(trials), *ranked[:_FINALISTS]]
    return [trial for place, trial in enumerate(kept) if trial not in kept[:place]]


def sample_frames(frames, n):
    """Two disjoint samples of at most `n` frames each, for the search and for its finalists.

    Each config_type has its share, evenly spread; isolated atoms are in both. Where that leaves fewer than
    two frames per fold the search gets all frames, and the finalists none.

    Returns
    -------
    search, others : list of ase.Atoms
    """
    require_positive("n_frames", n)
    singles = [k for k, atoms in enumerate(frames) if len(atoms) == 1]
    bulk = [k for k, atoms in enumerate(frames) if len(atoms) > 1]
    by_kind = sorted(bulk, key=lambda k: str(frames[k].info.get("config_type")))
    places = np.unique(np.linspace(0, len(by_kind) - 1, min(2 * n, len(by_kind))).astype(int))
    halves = places[::2], places[1::2]
    if len(halves[1]) < 2 * N_FOLDS:
        halves = (places if len(places) <= n else halves[0]), []
    found = [[frames[k] for k in sorted([*singles, *(by_kind[place] for place in half)])] for half in halves]
    return found[0], found[1] if len(halves[1]) else []


def fingerprint(frames, fixed):
    """Hash of what the trials of a search share: frames, labels, and JSON-able settings."""
    digest = hashlib.sha256(data_hash(frames).encode())
    digest.update(json.dumps(fixed, sort_keys=True).encode())
    for atoms in frames:
        digest.update(str(atoms.info.get("config_type")).encode())
        for value in labels(atoms):
            digest.update(b"-" if value is None else np.asarray(value, dtype=float).tobytes())
    return digest.hexdigest()


def check_settings(make_model, grids, start, frames):
    """Refuse a value that no model can be made with before hours are spent.

    Raises
    ------
    ValueError
        Naming the value.
    """
    one = [max(frames, key=len)]
    make_model(start).forecast(one)
    for name, value in ((name, value) for name, values in grids.items() for value in values if value != start[name]):
        try:
            make_model({**start, name: value}).forecast(one)
        except ValueError as error:
            raise ValueError(f"{name} = {value!r} cannot be tried: {error}") from None


def _as_good(trial, best):
    behind, error = trial.behind(best)
    return trial is best or behind <= min(error, _WORTH_COST)


def _step(settings, name, ladder, sign):
    """The settings one rung up or down, None at the end."""
    rung = ladder.index(settings[name]) + sign
    return {**settings, name: ladder[rung]} if 0 <= rung < len(ladder) else None


def _key(settings):
    return tuple(sorted(settings.items()))
