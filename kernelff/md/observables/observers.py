"""All observables of a run: when they look, what a checkpoint keeps of them, what is written."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from kernelff.checks import require_whole
from kernelff.io.safe_file import write_whole
from kernelff.md.observables.heat_flux import HeatFlux
from kernelff.md.observables.local_energy import LocalUncertainty
from kernelff.md.observables.msd import MSD
from kernelff.md.observables.rdf import RDF
from kernelff.md.observables.results import ObservableResult
from kernelff.md.observables.sample import Watched, sample_of
from kernelff.md.observables.stress import StressCorrelation
from kernelff.md.observables.vacf import VACF

OBSERVABLES = {kind.name: kind for kind in (RDF, MSD, VACF, StressCorrelation, HeatFlux, LocalUncertainty)}


class Observers:
    """The observables of one run.

    Parameters
    ----------
    observe : sequence of str or observable, or one of them
        Names of `OBSERVABLES`, or objects such as RDF(cutoff=6.0).
    every : int
        Steps between samples, for observables that do not say.
    first : int
        Step from which on samples are taken.
    path : path-like, optional
        For `write`.
    """

    def __init__(self, observe=(), every=10, first=0, path=None):
        if not isinstance(observe, (str, list, tuple, set, type(None), *OBSERVABLES.values())):
            raise ValueError(f"observe: must be a list of names such as 'rdf', or of objects, got {observe!r:.100}.")
        chosen = [observe] if isinstance(observe, (str, *OBSERVABLES.values())) else list(observe or ())
        require_whole("observe_every", every, 1)
        require_whole("observe_from", first, 0)
        self.chosen = [_chosen(one, int(every)) for one in chosen]
        names = [one.name for one in self.chosen]
        if len(set(names)) < len(names):
            raise ValueError(f"observe: {names} has an observable twice. Give each once.")
        if path is not None and not names:
            raise ValueError(f"observables: nothing to write to {str(path)!r}. Say what: observe=['rdf', 'msd'].")
        if path is not None and (Path(path).suffix != ".json" or not Path(path).parent.is_dir()):
            raise ValueError(f"observables: {str(path)!r} must end in .json, in a folder that exists.")
        self.first, self.path, self.samplers = int(first), None if path is None else Path(path), {}

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

    def sample(self, system):
        """Look at the system, where an observable is due."""
        due = self._due(system.step)
        if due:
            sample = sample_of(system)
            for one in due:
                self.samplers[one.name].sample(sample)

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
            sampler.restore({key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)})

    # ---- what was found -------------------------------------------------------------------------------

    def results(self):
        """Name -> ObservableResult."""
        return {one.name: self._result(one) for one in self.chosen}

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


def _chosen(one, every):
    if isinstance(one, str):
        name = one.replace("-", "_")
        if name not in OBSERVABLES:
            raise ValueError(f"observe: must be of {', '.join(OBSERVABLES)}, got {one!r}.")
        one = OBSERVABLES[name]()
    if not isinstance(one, tuple(OBSERVABLES.values())):
        raise ValueError(f"observe: must be of {', '.join(OBSERVABLES)} or objects such as kff.md.RDF(), got {one!r}.")
    if one.every is not None:
        require_whole(f"{type(one).__name__}.every", one.every, 1)
    return replace(one, every=int(one.every or every * one.rarer))
