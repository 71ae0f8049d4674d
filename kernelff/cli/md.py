"""`kernelff md`: molecular dynamics."""

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from ase.data import chemical_symbols

import kernelff
from kernelff.cli.console import console, fail, guarded, note
from kernelff.cli.data import TYPES_HELP
from kernelff.io import read_raw_frames
from kernelff.io.mtp import SUFFIXES
from kernelff.md.observables import OBSERVABLES, picture_path

_MOST_ATOMS = 1e8


@guarded
def md(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="Model file (.kff), gap.xml or .mtp.")],
    start: Annotated[Path, typer.Argument(help="File of frames; the last one is the start.")],
    ensemble: Annotated[str, typer.Option(help="nve, nvt, npt or nph.")] = "nvt",
    temperature: Annotated[str | None, typer.Option(help="K; two, as in 300,900, for a ramp.")] = None,
    pressure: Annotated[str | None, typer.Option(help="GPa, of npt and nph; two for a ramp.")] = None,
    timestep: Annotated[float, typer.Option(help="fs.")] = 1.0,
    steps: Annotated[int, typer.Option(help="Of the whole run, those done before a stop included.")] = 1000,
    thermostat: Annotated[str | None, typer.Option(help="langevin (default), bussi or nose-hoover.")] = None,
    thermostat_time: Annotated[float, typer.Option(help="fs.")] = 100.0,
    cell: Annotated[str | None, typer.Option(help="isotropic (default), anisotropic or flexible (npt, nph).")] = None,
    barostat_time: Annotated[float, typer.Option(help="fs.")] = 1000.0,
    repeat: Annotated[str | None, typer.Option(help="Copies of the start along its cell, as in 4,4,4.")] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Trajectory: .xyz, .extxyz or .traj. The table of energies, "
                           "temperature and pressure (.csv) and the checkpoint stand beside it.")
    ] = Path("md.xyz"),
    every: Annotated[int, typer.Option(help="Steps between frames of the trajectory.")] = 100,
    thermo_every: Annotated[int, typer.Option(help="Steps between lines of the table.")] = 100,
    checkpoint_every: Annotated[int | None, typer.Option(help="Steps; a few seconds' work by default.")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Start anew and overwrite, whatever is there.")] = False,
    observe: Annotated[
        str | None, typer.Option(help="What to gather on the way, as in rdf,msd: rdf, msd, vacf (spectrum), stress "
                                 "(viscosity), heat-flux (conductivity), uncertainty; vacf:2 looks every 2 steps. Data "
                                 "(.observables.json) and pictures stand beside the trajectory.")
    ] = None,
    observe_every: Annotated[
        int | None, typer.Option(help="Steps between samples; by default 4 fs for vacf, stress and heat-flux, 10 steps "
                                 "for msd, 100 for the others.")
    ] = None,
    observe_from: Annotated[int, typer.Option(help="Step of the first sample, after equilibration.")] = 0,
    seed: Annotated[int, typer.Option(help="Of velocities and noise.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads; the same number gives the same bits.")] = 1,
    precision: Annotated[str, typer.Option(help="double, or single: forces from float32.")] = "double",
    species: Annotated[str | None, typer.Option(help=TYPES_HELP)] = None,
    max_force: Annotated[float, typer.Option(help="Stop beyond this force, eV/Å.")] = 1000.0,
    max_step: Annotated[float, typer.Option(help="Stop beyond this displacement in a step, Å.")] = 0.5,
    min_distance: Annotated[float, typer.Option(help="Stop when two atoms are closer, Å.")] = 0.3,
    uncertainty: Annotated[
        str | None, typer.Option(help="Of every atom, into table and trajectory: std (of local energies, eV), novelty "
                                 "(Gaussian processes) or grade (of extrapolation; MTP with an active set).")
    ] = None,
    uncertainty_every: Annotated[int, typer.Option(help="Steps between uncertainties.")] = 10,
    max_uncertainty: Annotated[float | None, typer.Option(help="Stop beyond this uncertainty.")] = None,
    max_temperature: Annotated[float | None, typer.Option(help="Stop beyond it, K; 10 times the target.")] = None,
):  # fmt: skip
    """Run molecular dynamics; a run that was stopped or killed goes on with the same command."""
    temperature, pressure = _numbers("--temperature", temperature, (1, 2)), _numbers("--pressure", pressure, (1, 2))
    potential = kernelff.load(model, species=species if model.suffix.lower() in SUFFIXES else None)
    atoms = read_raw_frames(start, species=species)[-1]
    if repeat is not None:
        atoms = atoms.repeat(_copies(repeat, len(atoms)))
    if output.resolve() == start.resolve():
        raise ValueError(f"--output {output}: that is the file of the start. Give another path")
    elements = ", ".join(chemical_symbols[z] for z in sorted(set(atoms.numbers)))
    console.print(f"{len(atoms)} atoms ({elements}), {ensemble}")
    began = time.perf_counter()
    try:
        result = kernelff.md.run(
            atoms, potential, ensemble, temperature=temperature, pressure=pressure, timestep=timestep, steps=steps,
            thermostat=thermostat, thermostat_time=thermostat_time, cell=cell, barostat_time=barostat_time, seed=seed,
            trajectory=output, trajectory_every=every, thermo=output.with_suffix(".csv"), thermo_every=thermo_every,
            checkpoint_every=checkpoint_every, resume=not restart, threads=threads, max_force=max_force,
            max_step=max_step, min_distance=min_distance, precision=precision, uncertainty=uncertainty,
            uncertainty_every=uncertainty_every, max_uncertainty=max_uncertainty, max_temperature=max_temperature,
            progress=console.is_terminal,
            observe=_observed(observe), observe_every=observe_every, observe_from=observe_from,
            observables=None if observe is None else _observables(output),
        )  # fmt: skip
    except KeyboardInterrupt:
        kept = output.with_suffix(".checkpoint")
        fail(f"stopped; the same command{' without --restart' * restart} goes on from {kept}", code=130)
    _show_observables(result.observables, output)
    if not result.ns_per_day:
        note(f"the run is complete at step {steps}; give more --steps to go on, or --restart")
        return
    _show(result, time.perf_counter() - began)
    console.print(f"Trajectory: {output}, table: {output.with_suffix('.csv')}")


def _numbers(option, text, counts):
    """None, or the numbers of a text like 300,900."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in counts:
        raise ValueError(f"{option} {text}: give {' or '.join(map(str, counts))} numbers, separated by commas")
    return numbers if len(numbers) > 1 else numbers[0]


def _observed(text):
    """Names, and observables with an interval of their own, in a text like rdf,vacf:2."""
    return [] if text is None else [_observable(part.strip()) for part in text.split(",")]


def _observable(text):
    name, colon, every = text.partition(":")
    kind = OBSERVABLES.get(name.replace("-", "_"))
    if not colon or kind is None:
        return name  # which `run` refuses if it is not known
    if not every.isdecimal() or int(every) < 1:
        raise ValueError(f"--observe {text}: give a whole number of steps >= 1 behind the colon, as in {name}:2")
    return kind(every=int(every))


def _observables(output):
    return output.with_suffix(".observables.json")


def _show_observables(found, output):
    for name, result in found.items():
        numbers = "; ".join(f"{label} {value}" for label, value in result.values.items() if value.value is not None)
        console.print(f"{name}: {numbers}" if numbers else name)
        for remark in result.remarks:
            note(remark)
    if found:
        path = _observables(output)
        console.print(f"Data: {path}, pictures: {picture_path(path, '*')}")


def _copies(text, n_atoms):
    """Three whole numbers >= 1 of a text like 4,4,4, for a cell of so many atoms."""
    copies = _numbers("--repeat", text, (3,))
    if not all(n >= 1 and n.is_integer() for n in copies) or n_atoms * np.prod(copies) > _MOST_ATOMS:
        raise ValueError(f"--repeat {text}: give whole numbers >= 1 that make at most {_MOST_ATOMS:g} atoms, as 4,4,4")
    return tuple(int(n) for n in copies)


def _show(result, seconds):
    second_half = slice(len(result.thermo["step"]) // 2, None)
    columns = (("temperature_K", "K"), ("pressure_GPa", "GPa"), ("volume_A3", "Å^3"))
    means = [(name.split("_")[0], np.mean(result.thermo[name][second_half]), unit) for name, unit in columns]
    shown = ", ".join(f"{name} {mean:.5g} {unit}" for name, mean, unit in means if np.isfinite(mean))
    for name in (name for name in result.thermo if "_max" in name):  # of an uncertainty
        kind, _, unit = name.partition("_max")
        shown += f"; largest {kind} in the table {np.max(result.thermo[name]):.3g}{unit.replace('_', ' ')}"
    console.print(f"{result.ns_per_day:.3g} ns/day, {seconds:.1f} s. Means of the second half: {shown}")
