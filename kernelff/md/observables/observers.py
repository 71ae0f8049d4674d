"""All observables of a run: when they look, what a checkpoint keeps of them, what is written."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from kernelff.checks import require_path, require_whole
from kernelff.io.safe_file import write_whole
from kernelff.md.observables.heat_flux import HeatFlux
from kernelff.md.observables.local_energy import LocalUncertainty
from kernelff.md.observables.msd import MSD
from kernelff.md.observables.rdf import RDF
from kernelff.md.observables.results import ObservableResult
from kernelff.md.observables.sample import Watched, sample_of
from kernelff.md.observables.stress import StressCorrelation
from kernelff.md.observables.vacf import VACF
from kernelff.md.settings import MDSettings
from kernelff.named_arrays import under

OBSERVABLES = {kind.name: kind for kind in (RDF, MSD, VACF, StressCorrelation, HeatFlux, LocalUncertainty)}

_EVERY = 10  # steps
_SWING = 4.0  # fs; light atoms swing up to 100 THz, a period of 10 fs


class Observers:
    """The observables of one run.

    Parameters
    ----------
    observe : sequence of str or observable, or one of them
        Names of `OBSERVABLES`, or objects such as RDF(cutoff=6.0).
    every : int, optional
        Steps between samples, for observables that do not say; by default each takes its own, see `default_every`.
    first : int
        Step from which on samples are taken.
    path : path-like, optional
        For `write`.
    settings : MDSettings, optional
        Of the run.
    """

    def __init__(self, observe=(), every=None, first=0, path=None, settings=None):
        if not isinstance(observe, (str, list, tuple, set, type(None), *OBSERVABLES.values())):
            raise ValueError(f"observe: must be a list of names such as 'rdf', or of objects, got {observe!r:.100}.")
        chosen = [observe] if isinstance(observe, (str, *OBSERVABLES.values())) else list(observe or ())
        if every is not None:
            require_whole("observe_every", every, 1)
        require_whole("observe_from", first, 0)
        self.chosen = [_chosen(one, every, settings or MDSettings()) for one in chosen]
        names = [one.name for one in self.chosen]
        if len(set(names)) < len(names):
            raise ValueError(f"observe: {names} has an observable twice. Give each once.")
        if path is not None and not names:
            raise ValueError(f"observables: nothing to write to {str(path)!r}. Say what: observe=['rdf', 'msd'].")
        require_path("observables", path, "run.observables.json")
        if path is not None and (Path(path).suffix != ".json" or not Path(path).parent.is_dir()):
            raise ValueError(f"observables: {str(path)!r} must end in .json, in a folder that exists.")
        self.first, self.path, self.samplers = int(first), None if path is None else Path(path), {}
        self.looking = False  # in the middle of a sample

    def begin(self, atoms, settings, potential, parts):
        """Start anew."""
        self.samplers = {
            one.name: one.begin(Watched(atoms, settings, potential, one.every, parts)) for one in self.chosen
        }

    def settings(self):
        """JSON-able: what a checkpoint's samples belong to; empty without observables."""
        known = [{"name": one.name, "first": self.first} | asdict(one) for one in self.chosen]
        return json.loads(json.dumps(known, default=lambda number: np.asarray(number).tolist()))

    # ---- looking --------------------------------------------------------------------------------------

    def steps_left(self, step):
        """Steps until the next sample, a large number without any."""
        if step < self.first and self.chosen:
            return self.first - step
        return min((one.every - step % one.every for one in self.chosen), default=10**6)

    def want_virials(self, step):
        """Whether a sample at this step needs energies and virials of the atoms."""
        return any(self.samplers[one.name].needs_virials for one in self._due(step))

    def sample(self, system, watch=None):
        """Look at the system, and at what its Watch has made, where an observable is due."""
        due = self._due(system.step)
        if due:
            self.looking, sample = True, sample_of(system, watch)
            for one in due:
                self.samplers[one.name].sample(sample)
            self.looking = False

    def _due(self, step):
        return [one for one in self.chosen if step >= self.first and step % one.every == 0]

    # ---- keeping --------------------------------------------------------------------------------------

    def state(self):
        """Arrays for a checkpoint."""
        states = ((name, sampler.state()) for name, sampler in self.samplers.items())
        return {f"{name}.{key}": np.asarray(array) for name, arrays in states for key, array in arrays.items()}

    def restore(self, arrays):
        for name, sampler in self.samplers.items():
            prefix = f"{name}."
            sampler.restore(under(prefix, arrays))

    # ---- what was found -------------------------------------------------------------------------------

    def results(self):
        """Name -> ObservableResult."""
        return {one.name: self._result(one) for one in self.chosen}

    def keep(self, step):
        """Results of a run that stopped, marked so and written; empty if they tell nothing.

        Parameters
        ----------
        step : int
            At which it stopped.
        """
        if self.looking or all(sampler.n_samples < 2 for sampler in self.samplers.values()):
            return {}  # Ctrl-C while sums were half made, or at the start
        text = f"The run stopped at step {step}: this is what was observed until then."
        found = {
            name: replace(result, stopped_at=step, remarks=(text, *result.remarks))
            for name, result in self.results().items()
        }
        self.write(found)
        return found

    def _result(self, one):
        sampler = self.samplers[one.name]
        if sampler.n_samples < 2:
            remark = f"{sampler.n_samples} samples are too few: run longer, or lower observe_every or observe_from."
            return ObservableResult(one.name, n_samples=sampler.n_samples, remarks=(remark,))
        return sampler.result()

    def write(self, results):
        """The file of plain data, and a picture of each beside it: run.observables.json, run.rdf.png."""
        if self.path is None:
            return
        data = {name: result.to_dict() for name, result in results.items()}
        try:
            write_whole(self.path, (_json(data) + "\n").encode())
            for name, result in results.items():
                if result.columns:
                    result.figure().savefig(picture_path(self.path, name), dpi=120)
        except OSError as error:
            raise OSError(
                f"{self.path} and the pictures beside it cannot be written: {error.strerror or error}. Make room (or "
                "the folder writable) and repeat the call: the checkpoint has the samples."
            ) from error


def picture_path(path, name):
    """Where the picture of an observable stands beside the file of the data."""
    stem = Path(path).name.removesuffix(".json").removesuffix(".observables")
    return Path(path).with_name(f"{stem}.{name}.png")


def _json(data, indent=""):
    """JSON with a line for each number and each column."""
    if not isinstance(data, dict) or not data:
        return json.dumps(data, ensure_ascii=False)
    entries = ((json.dumps(key, ensure_ascii=False), _json(value, indent + " ")) for key, value in data.items())
    return "{\n" + ",\n".join(f"{indent} {key}: {value}" for key, value in entries) + f"\n{indent}}}"


def default_every(kind, settings):
    """Steps between samples where nobody says: what swings with the atoms is seen every 4 fs or as near below as the
    timestep allows, other things every 10 steps, what takes long to make every 100.

    Standard deviations that the run makes itself are looked at whenever it does.

    Parameters
    ----------
    kind : observable or its class
    settings : MDSettings

    Returns
    -------
    int
    """
    if kind.name == "uncertainty" and settings.uncertainty == "std":
        return settings.uncertainty_every
    if kind.swings:
        return max(int(_SWING / settings.timestep * (1 + 1e-9)), 1)
    return _EVERY * kind.rarer


def _chosen(one, every, settings):
    if isinstance(one, str):
        name = one.replace("-", "_")
        if name not in OBSERVABLES:
            raise ValueError(f"observe: must be of {', '.join(OBSERVABLES)}, got {one!r}.")
        one = OBSERVABLES[name]()
    if not isinstance(one, tuple(OBSERVABLES.values())):
        raise ValueError(f"observe: must be of {', '.join(OBSERVABLES)} or objects such as kff.md.RDF(), got {one!r}.")
    if one.every is not None:
        require_whole(f"{type(one).__name__}.every", one.every, 1)
    if one.every is None:
        return replace(one, every=default_every(one, settings) if every is None else int(every) * one.rarer)
    return replace(one, every=int(one.every))
