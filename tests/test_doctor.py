"""The doctor of data sets: every break of the corpus is found and its remedy named, and sound sets pass."""

import json
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from broken_sets import CONTRADICTIONS, ODDITIES, changed, foreign, melt, scan, silicon, trajectory, turned, water
from typer.testing import CliRunner

from kernelff.cli import app
from kernelff.doctor import diagnose
from kernelff.io import LabelKeys, silicon_set
from kernelff.io.checks import inspect


def assert_found(findings, severity, kind, texts):
    found = [one for one in findings if (one.severity, one.name) == (severity, kind)]
    assert len(found) == 1, [str(one) for one in findings]
    assert found[0].remedy
    for text in texts:
        assert text in str(found[0])


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions_are_found_and_their_remedy_named(name):
    make, *expected = CONTRADICTIONS[name]
    diagnosis = diagnose(make())
    assert_found(diagnosis.findings, *expected)
    assert diagnosis.sound == (expected[0] != "error")


@pytest.mark.parametrize("name", ODDITIES)
def test_oddities_are_found_and_their_remedy_named(name):
    make, *expected = ODDITIES[name]
    assert_found(inspect(make()).findings, *expected)


@pytest.mark.parametrize("make", [silicon, trajectory, melt, water, scan, lambda: silicon_set("test")])
def test_no_false_alarm_on_sound_sets(make):
    assert [str(one) for one in diagnose(make()).findings if one.severity != "note"] == []


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("all in hartree and bohr", LabelKeys(energy_factor=27.211386, forces_factor=51.422067)),
        ("stress in kBar, without strains", LabelKeys(stress_factor=-0.000624151)),
        ("order of VASP", LabelKeys(stress_order="xx yy zz xy yz xz")),
    ],
)
def test_the_named_remedy_mends(name, keys):
    assert diagnose(CONTRADICTIONS[name][0](), keys).findings == []


def test_given_energies_of_atoms_are_taken_into_account():
    assert not [one for one in diagnose(water()[2:], e0={"H": -13.6}).findings if one.name == "degenerate e0"]


def test_copies_of_training_frames_in_the_test_set():
    test = [turned(melt()[k]) for k in (3, 7)] + trajectory()[:3]
    (found,) = [one for one in diagnose(melt(), test=test).findings if one.name == "shared with training"]
    assert found.severity == "warning" and found.frames == (0, 1)
    assert "2 of 5 test frames (0, 1) are training frames too" in str(found) and "drop them" in found.remedy


def test_few_frames_and_hopeless_ones_are_no_trouble():
    warnings.simplefilter("error")  # nothing is divided by zero on the way; pytest restores the filters
    assert diagnose(melt()[:1]).sound
    assert diagnose(water()[:2]).sound
    assert not diagnose([Atoms(), Atoms("Cu", cell=np.zeros((3, 3)), pbc=True)]).sound
    assert diagnose([changed(atoms, forces=None, stress=None) for atoms in melt()]).sound
    assert diagnose([changed(atoms, energy=None) for atoms in melt()]).sound


def test_a_remedy_names_what_it_comes_on_top_of():
    findings = diagnose(CONTRADICTIONS["stress in kBar, without strains"][0](), LabelKeys(stress_factor=-1.0)).findings
    assert "stress_factor=0.000624151" in findings[0].remedy
    assert "times the factor that was given" in findings[0].remedy


def test_frames_are_not_changed_and_answers_are_repeatable():
    before = [atoms.positions.copy() for atoms in trajectory()]
    first, second = diagnose(foreign(trajectory())), diagnose(foreign(trajectory()))
    assert first.findings == second.findings
    assert all((atoms.positions == old).all() for atoms, old in zip(trajectory(), before, strict=True))


def test_the_command(tmp_path):
    def run(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        return result.exit_code, " ".join(result.output.split())

    write(tmp_path / "good.xyz", trajectory())
    write(tmp_path / "bad.xyz", CONTRADICTIONS["stress in kBar, without strains"][0]())
    code, output = run("check", tmp_path / "good.xyz", "--test", tmp_path / "bad.xyz")
    assert code == 0 and "32 of 32 test frames" in output and "Nothing forbids a fit" in output
    code, output = run("check", tmp_path / "bad.xyz", "--json")
    found = json.loads(output)["findings"][0]
    assert code == 1 and found["severity"] == "error" and "--stress-factor" in found["remedy"]
    write(tmp_path / "bare.xyz", [atoms.copy() for atoms in melt()[:2]])
    assert run("info", tmp_path / "bare.xyz")[0] == 0
    code, output = run("fit", tmp_path / "bad.xyz")
    assert code == 1 and "Findings" in output and "Error:" in output and "stress_factor=-0.000624151" in output
