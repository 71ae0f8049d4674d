"""`kernelff convert`: from a published GAP to a model file, and from a model file to a gap.xml."""

from pathlib import Path
from typing import Annotated

import typer

from kernelff.cli.console import check_writable, console, guarded, note
from kernelff.io.gap_write import write_gap
from kernelff.io.gap_xml import read_gap
from kernelff.io.model_file import load, write_potential
from kernelff.version import __version__


@guarded
def convert(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="gap.xml with its sparse points beside it, or model file (.kff).")],
    target: Annotated[Path, typer.Argument(help="File to write: .kff for a gap.xml, .xml for a model file.")],
):
    """Convert a published GAP into a model file, or a model file into a gap.xml for QUIP."""
    kinds = source.suffix.lower(), target.suffix.lower()
    if kinds not in _CONVERSIONS:
        raise ValueError(f"cannot convert {source} to {target}; known are .xml to .kff and .kff to .xml.")
    check_writable(target)
    _CONVERSIONS[kinds](source, target)


def _gap_to_model(source, target):
    potential = read_gap(source)
    write_potential(target, potential, __version__)
    console.print(f"{target}: the potential of {source}, {len(potential.weights)} sparse points")
    note("a gap.xml holds no posterior: the model file predicts, without error bars, and cannot be refitted.")


def _model_to_gap(source, target):
    files = write_gap(target, load(source))
    console.print(f"{target}: the potential of {source}, for QUIP; it needs its sparse points beside it:")
    for file in files[:-1]:
        console.print(f"  {file.name}")


_CONVERSIONS = {(".xml", ".kff"): _gap_to_model, (".kff", ".xml"): _model_to_gap}
