"""`kernelff evaluate`: a model on a data set."""

import io
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

import kernelff
from kernelff.cli.console import check_writable, console, guarded
from kernelff.cli.data import TYPES_HELP, load_frames
from kernelff.cli.tables import rich_table
from kernelff.evaluation import evaluate_frames
from kernelff.io import LabelKeys, labels
from kernelff.io.mlip_cfg import is_cfg
from kernelff.io.mtp import SUFFIXES
from kernelff.io.safe_file import write_whole
from kernelff.report.cells import error_table
from kernelff.report.maps import has_novelty

_EXTRAPOLATED = 2.0  # see Potential.extrapolation_grade


@guarded
def evaluate(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="Model file (.kff), gap.xml or .mtp.")],
    data: Annotated[Path, typer.Argument(help="Frames, with or without labels.")],
    uncertainty: Annotated[
        bool,
        typer.Option("--uncertainty", help="Also standard deviations and novelty; fifty times the cost."),
    ] = False,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Standard deviations of the whole Gaussian process instead, with what the sparse set cannot express; "
            "not calibrated.",
        ),
    ] = False,
    species: Annotated[str | None, typer.Option(help=TYPES_HELP)] = None,
    output: Annotated[Path | None, typer.Option(help="Write frames with predictions to this extxyz file.")] = None,
    by: Annotated[str, typer.Option(help="Group errors by 'config_type', or 'none'.")] = "config_type",
    energy_key: Annotated[str | None, typer.Option(help="Name of the energies in the file.")] = None,
    forces_key: Annotated[str | None, typer.Option(help="Name of the forces in the file.")] = None,
    stress_key: Annotated[str | None, typer.Option(help="Name of the stresses in the file.")] = None,
    virial_key: Annotated[str | None, typer.Option(help="Name of the virials in the file.")] = None,
):
    """Predict energies, forces and stresses, and compare them with labels."""
    if by not in ("config_type", "none"):
        raise ValueError(f"--by {by}: give config_type or none")
    if output is not None:
        check_writable(output)
    typed = model.suffix.lower() in SUFFIXES
    if species is not None and not typed and not (data.is_file() and is_cfg(data)):
        raise ValueError(f"--species is for .mtp and .cfg files, {model} and {data} name their elements; leave it out")
    potential = kernelff.load(model, species=species if typed else None)
    keys = LabelKeys(energy_key, forces_key, stress_key, virial_key, species=species)
    frames = load_frames(data, keys, "data", require_labels=False)
    with console.status("evaluating"):
        result = evaluate_frames(
            potential, frames, [labels(atoms) for atoms in frames], "full" if full else uncertainty
        )
    if result.errors():
        shown = {"": result} if by == "config_type" else {"": _ungrouped(result)}
        console.print()
        console.print(rich_table(error_table(shown)))
        console.print(rich_table(error_table(shown, "rmse")))
    else:
        console.print("No labels to compare with.")
    if uncertainty or full:
        console.print(_uncertainty_line(result, "Median predictive" if full else "Median", has_novelty(potential)))
    grades = None
    if potential.active_set is not None:
        grades = [potential.extrapolation_grade(atoms) for atoms in frames]
        console.print(_grade_line(grades))
    if output is not None:
        write_predictions(output, frames, result, grades)
        console.print(f"Predictions written to {output}")


def write_predictions(path, frames, result, grades=None):
    """Write frames with predicted labels; the reference labels go to REF_ entries.

    Parameters
    ----------
    path : path-like
        extxyz file; written whole or not at all.
    frames : list of ase.Atoms
    result : Evaluation
    grades : list, optional
        Extrapolation grades of the frames, each a number or one per atom.
    """
    predicted = [_predicted(atoms, result, k) for k, atoms in enumerate(frames)]
    for atoms, grade in zip(predicted, grades or [], strict=False):
        (atoms.arrays if np.ndim(grade) else atoms.info)["grade"] = grade
    write_frames(path, predicted)


def write_frames(path, frames):
    """Write frames as extxyz, the whole file or nothing.

    Parameters
    ----------
    path : path-like
    frames : list of ase.Atoms
    """
    text = io.StringIO()
    write(text, frames, format="extxyz")
    write_whole(path, text.getvalue().encode())


def _predicted(atoms, result, k):
    copy = atoms.copy()
    results = {"energy": result.energy[k], "forces": result.forces[k], "energies": result.energies[k]}
    if np.isfinite(result.stress[k]).all():
        results["stress"] = result.stress[k]
    copy.calc = SinglePointCalculator(copy, **results)
    if np.isfinite(result.energy_ref[k]):
        copy.info["REF_energy"] = float(result.energy_ref[k])
    if np.isfinite(result.forces_ref[k]).all():
        copy.arrays["REF_forces"] = result.forces_ref[k]
    if np.isfinite(result.stress_ref[k]).all():
        copy.info["REF_stress"] = result.stress_ref[k]
    if result.energy_std is not None:
        copy.info["energy_std"] = float(result.energy_std[k])
        copy.arrays["forces_std"] = result.forces_std[k]
        copy.arrays["novelty"] = result.novelty[k]
    return copy


def _ungrouped(result):
    from dataclasses import replace

    return replace(result, config_types=["all"] * len(result.config_types))


def _grade_line(grades):
    largest = [np.max(grade) for grade in grades]
    worst = int(np.argmax(largest))
    beyond = sum(grade > _EXTRAPOLATED for grade in largest)
    return (
        f"Largest extrapolation grade: {largest[worst]:.3g}, frame {worst}; {beyond} of {len(grades)} frames above "
        f"{_EXTRAPOLATED:g}, where energies are extrapolated far enough to be worth a calculation"
    )


def _uncertainty_line(result, median, novelty):
    text = (
        f"{median} standard deviations: energy "
        f"{1e3 * np.median(result.energy_std / result.n_atoms):.3g} meV/atom, forces "
        f"{1e3 * np.median(np.concatenate([s.ravel() for s in result.forces_std])):.3g} meV/Å"
    )
    if not novelty:
        return text
    worst = int(np.argmax([novelty.max(initial=0.0) for novelty in result.novelty]))
    return f"{text}; most novel: frame {worst} ({result.novelty[worst].max(initial=0.0):.3f})"
