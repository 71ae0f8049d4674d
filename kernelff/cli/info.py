"""`kernelff info`: what a model file or a data file holds."""

from pathlib import Path
from typing import Annotated

import typer
from ase.data import chemical_symbols

from kernelff.cli.console import console, fail, guarded
from kernelff.cli.tables import text_table
from kernelff.io import describe, read_raw_frames
from kernelff.io.model_file import read_model
from kernelff.report.cells import number


@guarded
def info(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="Model file (.kff), or any file of frames that ASE reads.")],
):
    """Show what a model file or a data file holds, and check it."""
    if is_model_file(path):
        console.print(text_table(model_rows(path), str(path)))
        return
    summary = describe(read_raw_frames(path), str(path))
    console.print(text_table(summary.rows(), str(path)))
    if summary.stress_check is not None and summary.stress_check.wrong:
        fail(f"{path}: {summary.stress_check.message}")


def is_model_file(path):
    """Whether a file is, or by its name should be, a model file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    bool
    """
    path = Path(path)
    if path.suffix == ".kff":
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(24)[8:].startswith(b'{"__metadata__')


def model_rows(path):
    """What a model file holds, as pairs of title and text.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    list of tuple of str
    """
    header, arrays, _ = read_model(path)
    potential, settings = header["potential"], header["estimator"]["settings"]
    facts = potential["metadata"]
    species = (f"{chemical_symbols[int(z)]} (e0 {e:.4f} eV)" for z, e in potential["e0"].items())
    rows = [
        ("file", f"{Path(path).stat().st_size / 1e6:.1f} MB, format {header['format']}"),
        ("written", f"{header['written']} by kernelff {header['kernelff']}"),
        ("species", ", ".join(species)),
    ]
    for k, term in enumerate(potential["terms"]):
        sparse = sum(len(points) for name, points in arrays.items() if name.startswith(f"terms.{k}.sparse_points"))
        own = {name: value for name, value in term.items() if name not in ("kind", "descriptor", "species")}
        rows.append(("descriptor", f"{term['descriptor']['kind']}: {_listed(term['descriptor']['parameters'])}"))
        rows.append(("kernel", f"{sparse} sparse environments, {_listed(own)}"))
    shown = ("sigma_energy", "sigma_forces", "sigma_virial", "config_sigmas", "loss_weights")
    rows.append(("noise", _listed({name: settings.get(name) for name in shown})))
    rows.append(("sparse set", f"chosen by {settings['sparse_method']}, seed {settings['random_state']}"))
    rows.append(("fitted to", f"{facts['n_frames']} frames, hash {facts['data_hash'][:16]}"))
    rows.append(("rank", f"{facts['rank']} directions of the covariance"))
    rows.append(("stress offset", f"{facts['stress_offset_GPa']:+.2f} GPa between stress labels and energies"))
    for name, errors in facts.get("errors", {}).items():
        texts = (f"{row['kind']} {number(row['mae'])} {row['unit']}" for row in errors if row["group"] == "all")
        rows.append((f"errors ({name})", ", ".join(texts) + " (mean absolute)"))
    rows.append(("error bars", "yes" if any(name.startswith("posterior") for name in arrays) else "no (saved compact)"))
    return rows


def _listed(values):
    return ", ".join(f"{name} {_short(value)}" for name, value in values.items() if value is not None)


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
