"""`kernelff tune`: better settings for a data set, by errors on held-out frames."""

import dataclasses
import time
import warnings
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from kernelff import tuning
from kernelff.cli.console import check_writable, console, fail, guarded, note
from kernelff.cli.data import load_frames
from kernelff.config import FitConfig, default_settings, read_config, write_config
from kernelff.io.json_lines import JsonLines
from kernelff.regression.crossvalidation import N_FOLDS
from kernelff.version import __version__

_ON_REQUEST = ("cutoff_width", "scaling_exponent", "scaling_rate", "central_weight")  # by --grid
_SOAP = ("cutoff", "atom_sigma", "n_max", "l_max", *_ON_REQUEST)
_COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    TimeElapsedColumn(),
    TextColumn("at most"),
    TimeRemainingColumn(),
    TextColumn("left"),
)
_SHOWN = 12  # rows of the table
_N_SPARSE = 300


@guarded
def tune(
    context: typer.Context,
    data: Annotated[Path, typer.Argument(help="Training frames: extxyz, or whatever ASE reads.")],
    config: Annotated[Path | None, typer.Option(help="TOML file with settings to start from.")] = None,
    output: Annotated[Path, typer.Option(help="TOML file to write, for kernelff fit --config.")] = Path("tuned.toml"),
    trials_file: Annotated[
        Path | None, typer.Option(help="Where finished trials are kept [OUTPUT.trials.jsonl].")
    ] = None,
    n_sparse: Annotated[
        list[int] | None,
        typer.Option(help="Sparse environments of every trial [300]; given more than once, searched too."),
    ] = None,
    frames: Annotated[int, typer.Option(help="Frames of the trials, an even sample; as many others decide.")] = 100,
    trials: Annotated[int, typer.Option(help="Most trials of the search.")] = 40,
    seconds: Annotated[float | None, typer.Option(help="Begin no trial after so many seconds.")] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(help="Values to try, e.g. cutoff=4.5,5,5.5; one value fixes a setting. Any number of times."),
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Threads; -1 for all cores.")] = None,
    energy_key: Annotated[str | None, typer.Option(help="Name of the energies.")] = None,
    forces_key: Annotated[str | None, typer.Option(help="Name of the forces.")] = None,
    stress_key: Annotated[str | None, typer.Option(help="Name of the stresses.")] = None,
    virial_key: Annotated[str | None, typer.Option(help="Name of the virials.")] = None,
):
    """Search cutoff, atom_sigma, n_max, l_max and zeta by errors on held-out frames, and by cost."""
    _check_budget(frames, trials, seconds, n_sparse)
    n_sparse = n_sparse or [_N_SPARSE]
    keys = {"energy_key": energy_key, "forces_key": forces_key, "stress_key": stress_key, "virial_key": virial_key}
    settings = (read_config(config) if config else FitConfig()).updated(data=keys)
    if settings.kind != "gap":
        raise ValueError(
            f"[model] kind = {settings.kind!r}: tune searches the settings of a GAP. Compare levels of an MTP "
            "by the held-out errors of kernelff fit --model mtp --level 20, say."
        )
    named = dict(map(_grid, grid or []))
    grids, start = _search_space(settings, named, n_sparse)
    trials_file = trials_file or output.with_name(output.stem + ".trials.jsonl")
    for path in (output, trials_file):
        check_writable(path)
    samples = tuning.sample_frames(load_frames(data, settings.label_keys(), "training frames"), frames)

    def make_model(trial):
        return _updated(settings, trial, n_sparse=n_sparse[0], n_jobs=jobs).make_model()

    fixed = {"settings": dataclasses.asdict(settings), "n_sparse": n_sparse[0], "version": __version__}
    first, other = (_Sample(make_model, frames, trials_file, fixed) for frames in samples)
    console.print(f"\n{len(samples[0])} frames, held out in {N_FOLDS} folds; trials are kept in {trials_file}")
    if first.log.found:
        console.print(f"{len(first.log.found)} trials are there already")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # shown already, with the data
        tuning.check_settings(make_model, named, start, samples[0])
        found, stopped = first.run(lambda *how: tuning.search(*how, grids, start), trials, seconds)
        if not found:
            fail("stopped before the first trial was done", code=130)
        chosen = _show(found, grids, f"{len(samples[0])} frames")
        if samples[1] and len(found) > 1 and not stopped:
            best = tuning.finalists(found)
            again, stopped = other.run(lambda *how: tuning.again(*how, best), len(best))
            if not stopped:
                chosen = _show(again, grids, f"{len(samples[1])} other frames, which decide")
    if chosen.settings == start:
        note("the settings it started from are as good as any that were tried.")
    # the reduced n_sparse of the trials stays out of the file, unless it was searched
    write_config(output, _updated(settings, chosen.settings), _comment(data, chosen, len(found)))
    console.print(f"\nThe best settings are in [bold]{output}[/]: kernelff fit {data} --config {output}")
    if stopped:
        fail(f"stopped after {len(found)} trials; the same command goes on from there", code=130)


class _Sample:
    """Frames that candidates are tried on, and the file that keeps the trials.

    Parameters
    ----------
    make_model : callable
        settings -> unfitted model.
    frames : list of ase.Atoms
    path : path-like
    fixed : dict
        What all trials share.
    """

    def __init__(self, make_model, frames, path, fixed):
        self.make_model, self.frames = make_model, frames
        self.log = JsonLines(path, tuning.fingerprint(frames, fixed), tuning.Trial.from_dict)

    def run(self, steps, most, seconds=None):
        """Trials of steps(measure, finished) until they end, the budget is spent or Ctrl-C; and whether it was that."""
        found, begin = [], time.monotonic()
        with Progress(*_COLUMNS, console=console) as bar:
            task = bar.add_task("trial 1", total=most)

            def measure(settings):
                def within(done, rows):
                    bar.update(task, completed=len(found) + 0.9 * done / rows)

                trial = tuning.measure(self.make_model, settings, self.frames, within)
                self.log.add(dataclasses.asdict(trial))
                return trial

            try:
                for trial in steps(measure, self.log.found):
                    found.append(trial)
                    best = min(found, key=lambda trial: trial.score)
                    text = f"trial {len(found)} of {most}, forces {_millis(best, 'forces')} meV/Å"
                    bar.update(task, completed=len(found), description=text)
                    if len(found) >= most or (seconds is not None and time.monotonic() - begin > seconds):
                        break
            except KeyboardInterrupt:
                return found, True
        return found, False


def _search_space(settings, named, n_sparse):
    """Grids of what is searched, and where the search begins: at the settings, on the grids that the user named."""
    grids = {**tuning.GRIDS, **named}
    start = {name: default_settings(settings, "soap" if name in _SOAP else "model")[name] for name in grids}
    for name, values in named.items():
        start[name] = min(values, key=lambda value, name=name: abs(value - start[name]))
    if len(n_sparse) > 1:
        grids["n_sparse"], start["n_sparse"] = tuple(sorted(set(n_sparse))), n_sparse[0]
    return grids, start


def _grid(text):
    """Name and values of one --grid."""
    name, equals, values = text.partition("=")
    name = name.strip().replace("-", "_")
    known = (*tuning.GRIDS, *_ON_REQUEST)
    if not equals or name not in known:
        raise ValueError(f"--grid {text}: give NAME=VALUE,VALUE,... with a name of {', '.join(known)}")
    kind = int if name in tuning.WHOLE else float
    try:
        found = tuple(kind(value) for value in values.split(","))
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise ValueError(f"--grid {text}: the values of {name} must be {what} with commas between them") from None
    if not np.isfinite(found).all():
        raise ValueError(f"--grid {text}: the values of {name} must be finite")
    return name, tuple(sorted(set(found)))


def _updated(settings, trial, **model):
    """Settings of a fit with those of a trial."""
    soap = {name: value for name, value in trial.items() if name in _SOAP}
    rest = {name: value for name, value in trial.items() if name not in _SOAP}
    return settings.updated(soap=soap, model=model | rest)


def _check_budget(frames, trials, seconds, n_sparse):
    for name, value in (("frames", frames), ("trials", trials), *(("n-sparse", value) for value in n_sparse or [])):
        if value < 1:
            raise ValueError(f"--{name} {value}: give a number > 0")
    if seconds is not None and not seconds > 0:
        raise ValueError(f"--seconds {seconds}: give a number > 0")


def _show(found, grids, what):
    """Table of the trials, best first; returns the chosen one."""
    best, chosen = min(found, key=lambda trial: trial.score), tuning.choose_trial(found)
    table = Table(
        title=f"Mean absolute errors on held-out frames, of {what}",
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 1),
        header_style="dim",
    )
    varied = [name for name in grids if len({trial.settings[name] for trial in found}) > 1]
    for title in (*varied, "meV/Å", "meV/atom", "behind, %", "µs/atom", "CPU s"):
        table.add_column(title.replace("_", "\n").replace(" ", "\n"), justify="right", no_wrap=True)
    ranked = sorted(found, key=lambda trial: trial.score)
    shown = [trial for place, trial in enumerate(ranked) if place < _SHOWN or trial in (chosen, found[0])]
    for trial in shown:
        behind, error = (100 * value for value in trial.behind(best))
        far = f"{behind:.1f} ± {error:.1f}" if trial is not best else "best"
        cells = (*(f"{trial.settings[name]:g}" for name in varied), _millis(trial, "forces"), _millis(trial, "energy"))
        mark = "bold" if trial is chosen else "dim" if trial is found[0] else None
        table.add_row(*cells, far, f"{trial.cost:.0f}", f"{trial.seconds:.1f}", style=mark)
    console.print()
    console.print(table)
    fixed = ", ".join(f"{name} {value:g}" for name, value in chosen.settings.items() if name not in varied)
    console.print(f"Bold: chosen, the cheapest that is as good as the best; dim: the start{fixed and '; ' + fixed}.")
    return chosen


def _millis(trial, kind):
    return f"{1e3 * trial.errors[kind]['mae']:.3g}" if kind in trial.errors else "-"


def _comment(data, chosen, n_trials):
    return (
        f"Settings found by kernelff tune in {n_trials} trials on {data.name}.\n"
        f"On held-out frames: forces {_millis(chosen, 'forces')} meV/Å, energies {_millis(chosen, 'energy')} meV/atom, "
        "with the sparse points and frames of the search.\n"
        f"Use: kernelff fit {data.name} --config THIS_FILE"
    )
