"""`kernelff properties`, run the way a user runs it."""

import csv
import json
import re

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import write
from labelled import emt_frames, small_model
from typer.testing import CliRunner

from kernelff.cli import app
from kernelff.cli.properties import parse_miller, parse_potentials
from kernelff.cli.structures import read_structure
from kernelff.report.property_report import value_and_std


def run(*arguments):
    """Exit code and output on one line, however the terminal wrapped it."""
    result = CliRunner().invoke(app, ["properties", *(str(argument) for argument in arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, re.sub(r"\s+", " ", result.output)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of copper with and without error bars, and structures."""
    folder = tmp_path_factory.mktemp("properties")
    model = small_model(n_jobs=1).fit(emt_frames(24, seed=0))
    model.save(folder / "cu.kff")
    model.save(folder / "compact.kff", compact=True)
    write(folder / "cu.cif", bulk("Cu", cubic=True))
    write(folder / "POSCAR", bulk("Cu", a=3.58))
    write(folder / "water.xyz", molecule("H2O"))
    (folder / "notes.txt").write_text("no structure at all")
    return folder


def test_table_files_and_report(folder):
    what = ["--what", "eos,elastic,vacancy,surfaces,phonons", "--min-length", 7, "--miller", "100,111"]
    files = ["--output", folder / "cu.json", "--report", folder / "cu.html"]
    code, output = run(folder / "cu.kff", folder / "cu.cif", *what, *files)
    assert code == 0, output
    for text in (
        "lattice constant a",
        "bulk modulus",
        "C44",
        "vacancy Cu",
        "surface (1 1 1)",
        "highest frequency",
        "sd",
    ):
        assert text in output
    content = json.loads((folder / "cu.json").read_text())
    found = {row["name"]: row for row in content["properties"]}
    assert found["lattice constant a"]["value"] == pytest.approx(3.6, abs=0.05)
    assert found["C11"]["std"] > 0 and found["vacancy Cu, site 0"]["std"] > 0
    assert np.shape(content["curves"]["elastic"]["tensor"]) == (6, 6)
    assert len(content["curves"]["eos"]["energies_std"]) == 11
    assert len(content["curves"]["phonons"]["frequencies"]) == len(content["curves"]["phonons"]["labels"])
    page = (folder / "cu.html").read_text()
    assert page.count("data:image/svg+xml") >= 2 and "Elastic constants" in page and "±" in page


def test_words_csv_and_no_posterior(folder):
    arguments = [folder / "compact.kff", "Cu fcc 3.6", "--what", "eos", "--volume-range", 0.04, "-o", folder / "cu.csv"]
    code, output = run(*arguments)
    assert code == 0 and "carries no posterior" in output
    with (folder / "cu.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == ["eos"] * 4 and all(row["std"] == "" for row in rows)


def test_primitive_cell_is_named_where_miller_indices_depend_on_it(folder):
    code, output = run(folder / "cu.kff", folder / "POSCAR", "--what", "surfaces", "--miller", "111")
    assert code == 0 and "primitive cell (FCC)" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Ag fcc 4.1"], "species [47] are unknown to this model"),
        (["nothing.cif"], "no such file"),
        (["Cu fcc 3.6 4.0 5.0"], "no such file, nor words"),
        (["Cu fcc long"], "could not convert"),
        (["Cu cubic-ish 3.6"], "formula, crystal structure (fcc"),
        (["Cu fcc -3.6"], "lengths are in Å"),
        (["Cu fcc 3.6", "--volume-range", "2"], "volume_range: must lie between"),
        (["water.xyz"], "give a bulk cell"),
        (["notes.txt"], "ASE cannot read it"),
        (["Cu fcc 3.6", "--what", "eos,dos"], "got dos"),
        (["Cu fcc 3.6", "--miller", "12"], "not three digits"),
        (["Cu fcc 3.6", "--mu", "Cu"], "not symbol=energy"),
        (["Cu fcc 3.6", "--what", "vacancy", "--mu", "Ga=1"], "Ga not in the crystal"),
        (["Cu fcc 3.6", "--what", "vacancy", "--mu", "Cu=nan"], "not symbol=energy"),
        (["Cu fcc 3.6", "--what", "vacancy", "--min-length", "-1"], "supercell of use"),
        (["Cu fcc 3.6", "--what", "vacancy", "--min-length", "nan"], "supercell of use"),
        (["Cu fcc 3.6", "--what", "", "--melting", "-5"], "Error: guess: must be a number"),
        (["Cu fcc 3.6", "--melting", "900", "--melting-atoms", "3"], "Error: n_atoms: must be a number from 16"),
        (["Cu fcc 3.6", "--what", "", "--melting", "900", "--melting-atoms", "2"], "n_atoms: must be a number"),
        (["Cu fcc 3.6", "--what", "", "--melting", "900", "--melting-runs", "/proc/none"], "folder: /proc/none cannot"),
        (["Cu fcc 3.6", "--output", "out.txt"], "ends in .json or .csv"),
        (["Cu fcc 3.6", "--report", "missing/out.html"], "does not exist"),
    ],
)
def test_mistakes_are_named(folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    code, output = run("cu.kff", *arguments)
    assert code == 1 and message in output


def test_failed_part_ends_with_exit_code_1(folder, monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("forces stay above 0.0001 eV/Å")

    monkeypatch.setattr("kernelff.properties.overview.stiffness", fails)
    code, output = run(folder / "cu.kff", "Cu fcc 3.6")
    assert code == 1 and "elastic failed: forces stay above" in output and "bulk modulus" in output


def test_small_parsers():
    assert parse_miller("100, 1-10,-111") == [(1, 0, 0), (1, -1, 0), (-1, 1, 1)]
    assert parse_potentials("Ga=-3.1,As=-4") == {"Ga": -3.1, "As": -4.0} and parse_potentials(None) is None
    assert len(read_structure("Si diamond 5.43")) == 8 and len(read_structure("Ti hcp 2.95 4.68")) == 2
    assert value_and_std(134.4873, 2.345) == ("134.5", "2.3") and value_and_std(0.5, None) == ("0.500", "")
