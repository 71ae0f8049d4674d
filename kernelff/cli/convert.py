"""`kernelff convert`: published GAPs and MTPs to model files and back, frames to MLIP's .cfg and back."""

from pathlib import Path
from typing import Annotated

import typer
from ase.data import chemical_symbols

from kernelff.cli.console import check_writable, console, guarded, note
from kernelff.cli.data import TYPES_HELP
from kernelff.cli.evaluate import write_frames
from kernelff.io import read_frames, write_cfg
from kernelff.io.gap_write import write_gap
from kernelff.io.gap_xml import read_gap
from kernelff.io.mlip_cfg import is_cfg
from kernelff.io.model_file import load, write_potential
from kernelff.io.mtp import SUFFIXES, read_mtp, write_mtp
from kernelff.version import __version__

_MODELS = (".kff", ".xml", *SUFFIXES)
_FRAMES = (".cfg", ".xyz", ".extxyz")


@guarded
def convert(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(help="gap.xml with its sparse points beside it, .mtp, .almtp, .kff, or any file of frames."),
    ],
    target: Annotated[
        Path, typer.Argument(help="File to write: .kff; .xml, .mtp or .almtp for a model; .cfg or .xyz for frames.")
    ],
    species: Annotated[str | None, typer.Option(help=TYPES_HELP)] = None,
    frames: Annotated[
        Path | None, typer.Option(help="Training frames, to choose the active set of an .almtp from.")
    ] = None,
):
    """Convert published GAPs and MTPs to model files, model files to those of QUIP and MLIP, frames to .cfg or .xyz."""
    kinds = source.suffix.lower(), target.suffix.lower()
    of_frames = kinds[0] not in _MODELS and kinds[1] in _FRAMES
    if kinds not in _CONVERSIONS and not of_frames:
        raise ValueError(
            f"cannot convert {source} to {target}; known are {_listed(_CONVERSIONS)}, frames to {', '.join(_FRAMES)}."
        )
    typed = kinds[0] in SUFFIXES or (of_frames and (kinds[1] == ".cfg" or (source.is_file() and is_cfg(source))))
    if species is not None and not typed:
        raise ValueError(f"--species is for .mtp and .cfg files, {source} names its elements itself; leave it out")
    if frames is not None and kinds[1] != ".almtp":
        raise ValueError(f"--frames is for the active set of an .almtp file, not for {target}; leave it out")
    check_writable(target)
    if kinds[1] in SUFFIXES:
        _model_to_mtp(source, target, None if frames is None else read_frames(frames))
    else:
        (_frames_to_frames if of_frames else _CONVERSIONS[kinds])(source, target, species)


def _frames_to_frames(source, target, species):
    frames = read_frames(source, species=species)
    if target.suffix.lower() != ".cfg":
        write_frames(target, frames)
        console.print(f"{target}: {len(frames)} frames of {source}")
        return
    types = write_cfg(target, frames, species)
    console.print(f"{target}: {len(frames)} frames of {source}, for MLIP; types {_types(types)}")


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
    potential = read_mtp(source, species)
    write_potential(target, potential, __version__)
    console.print(f"{target}: the potential of {source}, {len(potential.weights)} basis functions")
    note("an .mtp file holds no posterior: the model file predicts, without error bars, and cannot be refitted.")


def _model_to_mtp(source, target, frames):
    types = write_mtp(load(source), target, frames)
    console.print(
        f"{target}: the potential of {source}, for MLIP; its types, which the file does not name: {_types(types)}"
    )


def _types(types):
    return ", ".join(f"{k} {chemical_symbols[z]}" for k, z in enumerate(types))


def _listed(conversions):
    return ", ".join(f"{source} to {target}" for source, target in conversions)


_CONVERSIONS = {
    (".xml", ".kff"): _gap_to_model,
    (".kff", ".xml"): _model_to_gap,
    (".mtp", ".kff"): _mtp_to_model,
    (".almtp", ".kff"): _mtp_to_model,
    (".kff", ".mtp"): _model_to_mtp,
    (".kff", ".almtp"): _model_to_mtp,
}
