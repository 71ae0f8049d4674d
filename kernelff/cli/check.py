"""`kernelff check`: what is wrong with a data set, and what to do about it."""

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from kernelff.cli.console import console, guarded
from kernelff.cli.data import TYPES_HELP, examine
from kernelff.io import LabelKeys, read_raw_frames


@guarded
def check(
    context: typer.Context,
    data: Annotated[Path, typer.Argument(help="Frames: extxyz, or whatever ASE reads.")],
    test: Annotated[Path | None, typer.Option(help="Test frames: are any of them training frames too?")] = None,
    energy_key: Annotated[str | None, typer.Option(help="Name of the energies.")] = None,
    forces_key: Annotated[str | None, typer.Option(help="Name of the forces.")] = None,
    stress_key: Annotated[str | None, typer.Option(help="Name of the stresses.")] = None,
    virial_key: Annotated[str | None, typer.Option(help="Name of the virials.")] = None,
    energy_factor: Annotated[float, typer.Option(help="Multiplies energies, to eV.")] = 1.0,
    forces_factor: Annotated[float, typer.Option(help="Multiplies forces, to eV/Å.")] = 1.0,
    stress_factor: Annotated[float, typer.Option(help="Multiplies stresses, to eV/Å^3 in ASE's sign.")] = 1.0,
    stress_order: Annotated[str, typer.Option(help="Order of written stresses.")] = LabelKeys.stress_order,
    no_stress: Annotated[bool, typer.Option("--no-stress", help="Ignore stresses and virials.")] = False,
    species: Annotated[str | None, typer.Option(help=TYPES_HELP)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
):
    """Examine a data set: labels, units, signs, copies, outliers. Ends with exit code 1 if a fit would be refused."""
    keys = LabelKeys(
        energy_key, forces_key, stress_key, virial_key, energy_factor, forces_factor, stress_factor, stress_order,
        not no_stress,
    )  # fmt: skip
    frames = read_raw_frames(data, species=species)
    others = read_raw_frames(test, species=species) if test is not None else None
    diagnosis = examine(frames, keys, str(data), test=others, quiet=json)
    if json:
        typer.echo(json_module.dumps(diagnosis.to_dict(), indent=2, ensure_ascii=False))
    elif diagnosis.sound:
        console.print("\nNothing forbids a fit to these data.")
    if not diagnosis.sound:
        raise typer.Exit(1)
