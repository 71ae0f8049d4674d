"""`kernelff quickstart`: the whole way, from the bundled DFT data to two models and molecular dynamics."""

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from ase.build import bulk
from rich.progress import Progress

import kernelff
from kernelff.cli.comparing import compared
from kernelff.cli.console import console, guarded
from kernelff.cli.dynamics import run_langevin
from kernelff.cli.fit import evaluate_sets, run_fit
from kernelff.cli.info import model_rows
from kernelff.cli.tables import rich_table
from kernelff.io.bundled import SPLITS, silicon_reference, silicon_set
from kernelff.properties import (
    elastic_constants,
    equation_of_state,
    relax_volume,
    vacancy_energy,
    volume_scan,
)
from kernelff.report.cells import Table, composition_table, error_table, property_table
from kernelff.report.comparison import advice, comparison_table
from kernelff.report.maps import environment_maps
from kernelff.report.standard import QuickstartResults, quickstart_report

TEMPERATURES = (300.0, 1000.0)  # K


@guarded
def quickstart(
    context: typer.Context,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("kernelff-quickstart"),
    n_sparse: Annotated[int, typer.Option(help="Sparse environments of the GAP.")] = 1000,
    level: Annotated[int, typer.Option(help="Level of the MTP.")] = 20,
    steps: Annotated[int, typer.Option(help="Steps of each molecular dynamics.")] = 5000,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    jobs: Annotated[int, typer.Option(help="Threads of the fit; -1 for all cores.")] = -1,
):
    """Fit the bundled silicon set by a GAP and an MTP, test them, run one, write a report: in under two minutes."""
    start = time.perf_counter()
    output.mkdir(parents=True, exist_ok=True)
    sets = {split: silicon_set(split) for split in SPLITS}
    console.print(rich_table(composition_table(sets, "Silicon by DFT (bundled)")))
    gap = kernelff.SparseGPR(n_sparse=n_sparse, random_state=seed, n_jobs=jobs)
    mtp = kernelff.MTP(level, n_jobs=jobs)
    models = {"GAP": gap, "MTP": mtp}
    evaluations = {}
    for name, model in models.items():
        console.rule(f"[bold]{name}", align="left", style="dim")
        evaluations[name] = _fitted(model, sets, output / f"silicon-{name.lower()}.kff")
    console.rule(style="dim")
    candidates = [compared(name, model, sets, evaluations[name]["test"]) for name, model in models.items()]
    console.print()
    console.print(rich_table(comparison_table(candidates)))
    console.print(f"\n{advice(candidates)}")
    results = _use(models, sets, evaluations["GAP"], candidates, steps, seed, output)
    quickstart_report(output / "report.html", results)
    files = "silicon-gap.kff and silicon-mtp.kff (models), md-*.xyz (dynamics), report.html (open it)"
    console.print(f"\nIn [bold]{output}[/]: {files}")
    console.print(f"Everything took {time.perf_counter() - start:.0f} s.")


def _fitted(model, sets, path):
    """Fit, evaluate and save a model; its evaluations."""
    run_fit(model, sets["train"])
    evaluations = evaluate_sets(model, {"train": sets["train"]}, uncertainty=False)
    evaluations |= evaluate_sets(model, {name: sets[name] for name in SPLITS[1:]}, uncertainty=True)
    console.print()
    console.print(rich_table(error_table(evaluations)))
    model.potential_.metadata["errors"] = {name: found.errors() for name, found in evaluations.items()}
    model.save(path)
    return evaluations


def _use(models, sets, evaluations, candidates, steps, seed, output):
    """Everything one does with fitted models; the dynamics with the GAP, which has a novelty."""
    reference = volume_series(sets["train"])
    properties, curves = {}, {}
    for name, model in models.items():
        with console.status(f"computing properties by the {name}"):
            properties[name] = silicon_properties(model.potential_, silicon_reference())
            crystal = bulk("Si", a=properties[name][0][2])
            ratios = np.linspace(reference[0].min(), reference[0].max(), 80) * len(crystal) / crystal.get_volume()
            curves[name] = volume_scan(crystal, model.potential_.calculator(), ratios)
    console.print()
    console.print(rich_table(property_table(properties)))
    gap = models["GAP"]
    return QuickstartResults(
        sets=sets,
        candidates=candidates,
        evaluations=evaluations,
        calibration=gap.calibration_,
        properties=properties,
        curves=curves,
        reference_points=reference,
        traces=_dynamics(gap.potential_, properties["GAP"][0][2], steps, seed, output),
        models={name: model_rows(output / f"silicon-{name.lower()}.kff") for name in models},
        maps=environment_maps(gap.potential_, sets, evaluations),
    )


def silicon_properties(potential, reference):
    """Lattice constant, bulk modulus, elastic constants and vacancy of diamond silicon.

    Parameters
    ----------
    potential : Potential
    reference : dict
        See `kernelff.io.silicon_reference`.

    Returns
    -------
    list of tuple
        (name, unit, model, DFT).
    """
    calculator = potential.calculator()
    crystal = bulk("Si", a=reference["a0"], cubic=True)
    curve = equation_of_state(crystal, calculator)
    relaxed = relax_volume(crystal, calculator)
    elastic = elastic_constants(relaxed, calculator)
    vacancy = vacancy_energy(relaxed.repeat(2), calculator)
    return [
        ("lattice constant a0", "Å", curve.lattice_constant, reference["a0"]),
        ("bulk modulus B", "GPa", curve.bulk_modulus, reference.get("bulk_modulus")),
        ("C11", "GPa", elastic.c11, reference.get("C11")),
        ("C12", "GPa", elastic.c12, reference.get("C12")),
        ("C44", "GPa", elastic.c44, reference.get("C44")),
        ("vacancy energy", "eV", vacancy, reference.get("vacancy_formation_energy")),
    ]


def volume_series(frames):
    """Volumes (Å^3/atom) and energies (eV/atom) of the frames that only change their volume.

    Parameters
    ----------
    frames : list of ase.Atoms

    Returns
    -------
    volumes, energies : ndarray
    """
    chosen = [atoms for atoms in frames if atoms.info.get("config_type") == "volume"]
    volumes = np.array([atoms.get_volume() / len(atoms) for atoms in chosen])
    return volumes, np.array([atoms.get_potential_energy() / len(atoms) for atoms in chosen])


def _dynamics(potential, lattice_constant, steps, seed, output):
    """Two runs under a progress bar, and a table of what they did."""
    crystal = bulk("Si", a=lattice_constant, cubic=True).repeat(2)
    traces = []
    with Progress(*Progress.get_default_columns(), console=console, transient=True) as bar:
        for temperature in TEMPERATURES:
            task = bar.add_task(f"{len(crystal)} atoms at {temperature:.0f} K", total=steps)
            path = output / f"md-{temperature:.0f}K.xyz"
            trace = run_langevin(
                crystal,
                potential,
                temperature,
                path,
                steps=steps,
                seed=seed,
                progress=lambda done, total, t=task: bar.update(t, completed=done),
            )
            path.with_suffix(".checkpoint").unlink()  # the run is over
            traces.append(trace)
    header = ["target", "mean", "potential", "error bar", "error bar", "", ""]
    groups = [("temperature, K", 2), ("energy, meV/atom", 2), ("force, meV/Å", 1), ("novelty", 1), ("ns/day", 1)]
    rows = [_summary_of(trace) for trace in traces]
    console.print()
    console.print(rich_table(Table(header, rows, groups, "Molecular dynamics")))
    return traces


def _summary_of(trace):
    second_half = slice(len(trace.time) // 2, None)
    return (
        f"{trace.target:.0f}",
        f"{trace.temperature[second_half].mean():.0f}",
        f"{1e3 * (trace.energy[second_half].mean() - trace.energy[0]) / trace.n_atoms:+.1f}",
        f"{1e3 * trace.energy_std.max() / trace.n_atoms:.2f}",
        f"{1e3 * trace.force_std.max():.0f}",
        f"{trace.novelty.max():.4f}",
        f"{trace.ns_per_day:.2g}",
    )
