"""`kernelff properties`: what a model says about a crystal."""

import csv
import io
import json
import math
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import kernelff
from kernelff.cli.console import check_writable, console, guarded, note
from kernelff.cli.data import TYPES_HELP
from kernelff.cli.structures import read_structure
from kernelff.cli.tables import rich_table
from kernelff.io.mtp import SUFFIXES
from kernelff.io.safe_file import write_whole
from kernelff.properties.overview import KINDS, survey
from kernelff.report.property_report import property_report, rows_table


@guarded
def properties(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="Model file (.kff), gap.xml or .mtp.")],
    structure: Annotated[str, typer.Argument(help='Crystal: POSCAR, cif, xyz, or words as "Si diamond 5.43".')],
    what: Annotated[
        str, typer.Option(help=f"Of {', '.join(KINDS)}, separated by commas; or all of these.")
    ] = "eos,elastic",
    miller: Annotated[str, typer.Option(help="Surfaces, as 100,111,1-10; of the cell that is given.")] = "100,110,111",
    min_length: Annotated[
        float, typer.Option(help="Distance between copies of a defect or displaced atom, Å, at least.")
    ] = 10.0,
    volume_range: Annotated[
        float, typer.Option(help="Of the equation of state: volumes from 1 - this to 1 + this.")
    ] = 0.08,
    mu: Annotated[
        str | None, typer.Option(help="Chemical potentials for vacancies, eV per atom, as Ga=-3.1,As=-4.5.")
    ] = None,
    melting: Annotated[
        float | None, typer.Option(help="Melting point, too, by solid and liquid in one cell: a guess of it, K.")
    ] = None,
    melting_atoms: Annotated[int, typer.Option(help="Atoms of that cell.")] = 600,
    melting_length: Annotated[float, typer.Option(help="ps of its run at constant enthalpy.")] = 40.0,
    melting_runs: Annotated[
        Path | None, typer.Option(help="Folder for these runs; the same command goes on where they were stopped.")
    ] = None,
    species: Annotated[str | None, typer.Option(help=TYPES_HELP)] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the numbers: .json or .csv.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report with pictures.")] = None,
):
    """Equation of state, elastic constants, vacancies, surfaces, phonons, melting of a crystal, with error bars."""
    _check_output(output, report)
    wanted = list(KINDS) if what.strip() == "all" else [kind.strip() for kind in what.split(",") if kind.strip()]
    potential = kernelff.load(model, species=species if model.suffix.lower() in SUFFIXES else None)
    atoms = read_structure(structure)
    with console.status("relaxing the crystal") as status:
        found = survey(
            atoms, potential.calculator(), wanted, miller=parse_miller(miller), min_length=min_length,
            chemical_potentials=parse_potentials(mu), volume_range=volume_range, melting=melting,
            melting_settings={"n_atoms": melting_atoms, "length": melting_length, "folder": melting_runs},
            status=status.update,
        )  # fmt: skip
    title = f"{found.crystal.get_chemical_formula('metal')} by {model.name}"
    if found.rows:
        console.print(rich_table(rows_table(found.rows, title, remarks=False)))
        _remarks(found.rows)
    if potential.posterior is None:
        note("this model carries no posterior, so there are no error bars")
    for text in found.warnings:
        note(text)
    for kind, text in found.failures.items():
        note(f"{kind} failed: {text}")
    if output is not None:
        write_properties(output, found, model, structure)
        console.print(f"Numbers written to {output}")
    if report is not None:
        property_report(report, title, found)
        console.print(f"Report written to {report}")
    if found.failures:
        raise typer.Exit(1)


def parse_miller(text):
    """Miller indices of a list as "100,1-10".

    Parameters
    ----------
    text : str

    Returns
    -------
    list of tuple of int

    Raises
    ------
    ValueError
        If there is anything else in it.
    """
    found = []
    for item in text.split(","):
        digits = re.findall(r"-?\d", item)
        if len(digits) != 3 or "".join(digits) != re.sub(r"\s", "", item) or not any(int(d) for d in digits):
            raise ValueError(f"--miller {text}: {item!r} is not three digits; write 100,111,1-10")
        found.append(tuple(int(digit) for digit in digits))
    return found


def parse_potentials(text):
    """Chemical potentials of a list as "Ga=-3.1,As=-4.5"; None for None.

    Parameters
    ----------
    text : str or None

    Returns
    -------
    dict or None

    Raises
    ------
    ValueError
        If there is anything else in it.
    """
    if text is None:
        return None
    found = {}
    for item in text.split(","):
        symbol, _, value = item.partition("=")
        try:
            found[symbol.strip()] = float(value)
            if not math.isfinite(found[symbol.strip()]):
                raise ValueError
        except ValueError:
            raise ValueError(f"--mu {text}: {item!r} is not symbol=energy; write Ga=-3.1,As=-4.5") from None
    return found


def write_properties(path, found, model, structure):
    """Write the numbers of a survey, the whole file or nothing.

    Parameters
    ----------
    path : path-like
        .csv: the table; .json: with the curves too.
    found : Survey
    model : path-like
    structure : str
        Where they came from.
    """
    rows = [asdict(row) for row in found.rows]
    if Path(path).suffix.lower() == ".csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, ["kind", "name", "unit", "value", "std", "remark"])
        writer.writeheader()
        writer.writerows(rows)
        write_whole(path, text.getvalue().encode())
        return
    content = {
        "kernelff": kernelff.__version__, "model": str(model), "structure": structure,
        "formula": found.crystal.get_chemical_formula("metal"), "cell": found.crystal.cell.array.tolist(),
        "scaled_positions": found.crystal.get_scaled_positions().tolist(), "symbols": list(found.crystal.symbols),
        "properties": rows, "curves": _curves(found.found), "warnings": found.warnings, "failures": found.failures,
    }  # fmt: skip
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False).encode())


def _curves(found):
    curves = {}
    if "eos" in found:
        eos = found["eos"]
        curves["eos"] = {"volumes": eos.volumes, "energies": eos.energies, "energies_std": eos.energies_std}
    if "elastic" in found:
        curves["elastic"] = {"tensor": found["elastic"].tensor, "std": found["elastic"].std}
    if "barrier" in found:
        curves["barrier"] = {"energies": found["barrier"].energies}
    if "phonons" in found:
        names = ("distances", "frequencies", "frequencies_std", "labels", "dos_frequencies", "dos")
        curves["phonons"] = {name: getattr(found["phonons"], name) for name in names}
    if "melting" in found:
        names = ("time", "temperatures", "profile", "tries", "error")
        curves["melting"] = {name: getattr(found["melting"], name) for name in names}
    return {kind: {name: _plain(values) for name, values in parts.items()} for kind, parts in curves.items()}


def _plain(values):
    if isinstance(values, list | tuple):
        return [_plain(value) for value in values]
    return values.tolist() if hasattr(values, "tolist") else values


def _remarks(rows):
    for row in rows:
        if row.remark:
            console.print(f"[dim]{row.name}: {row.remark}[/]")


def _check_output(output, report):
    for path in (output, report):
        if path is not None:
            check_writable(path)
    if output is not None and output.suffix.lower() not in (".json", ".csv"):
        raise ValueError(f"--output {output}: give a name that ends in .json or .csv")
