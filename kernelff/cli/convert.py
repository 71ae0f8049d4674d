"""`kernelff convert`: published GAPs and MTPs to model files, and model files to gap.xml and .mtp."""

from pathlib import Path
from typing import Annotated

import typer
from ase.data import chemical_symbols

from kernelff.cli.console import check_writable, console, guarded, note
from kernelff.cli.data import TYPES_HELP, elements_of_types
from kernelff.io.gap_write import write_gap
from kernelff.io.gap_xml import read_gap
from kernelff.io.model_file import load, write_potential
from kernelff.io.mtp import SUFFIXES, read_mtp, write_mtp
from kernelff.version import __version__


@guarded
def convert(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="gap.xml with its sparse points beside it, .mtp, .almtp, or .kff.")],
    target: Annotated[Path, typer.Argument(help="File to write: .kff, or .xml or .mtp for a model file.")],
    species: Annotated[str | None, typer.Option(help=TYPES_HELP)] = None,
):
    """Convert a published GAP or MTP into a model file, or a model file into a gap.xml for QUIP or an .mtp for MLIP."""
    kinds = source.suffix.lower(), target.suffix.lower()
    if kinds not in _CONVERSIONS:
        raise ValueError(f"cannot convert {source} to {target}; known are {_listed(_CONVERSIONS)}.")
    if species is not None and kinds[0] not in SUFFIXES:
        raise ValueError(f"--species is for .mtp files, {source} names its elements itself; leave it out")
    check_writable(target)
    _CONVERSIONS[kinds](source, target, species)


def _gap_to_model(source, target, _):
    potential = read_gap(source)
    write_potential(target, potential, __version__)
    console.print(f"{target}: the potential of {source}, {len(potential.weights)} sparse points")
    note("a gap.xml holds no posterior: the model file predicts, without error bars, and cannot be refitted.")


def _model_to_gap(source, target, _):
    files = write_gap(target, load(source))
    console.print(f"{target}: the potential of {source}, for QUIP; it needs its sparse points beside it:")
    for file in files[:-1]:
        console.print(f"  {file.name}")


def _mtp_to_model(source, target, species):
    potential = read_mtp(source, elements_of_types(species))
    write_potential(target, potential, __version__)
    console.print(f"{target}: the potential of {source}, {len(potential.weights)} basis functions")
    note("an .mtp file holds no posterior: the model file predicts, without error bars, and cannot be refitted.")


def _model_to_mtp(source, target, _):
    types = write_mtp(load(source), target)
    named = ", ".join(f"{k} {chemical_symbols[z]}" for k, z in enumerate(types))
    console.print(f"{target}: the potential of {source}, for MLIP; its types, which the file does not name: {named}")


def _listed(conversions):
    return ", ".join(f"{source} to {target}" for source, target in conversions)


_CONVERSIONS = {
    (".xml", ".kff"): _gap_to_model,
    (".kff", ".xml"): _model_to_gap,
    (".mtp", ".kff"): _mtp_to_model,
    (".almtp", ".kff"): _mtp_to_model,
    (".kff", ".mtp"): _model_to_mtp,
}
