"""Solid and liquid in one cell: small and short here, so that the logic and not the number is right."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from typer.testing import CliRunner

import kernelff as kff
from kernelff.cli import app
from kernelff.io import silicon_set
from kernelff.io.model_file import write_potential
from kernelff.properties import coexistence, melting, melting_point
from kernelff.properties.phases import Phases
from kernelff.report.property_report import melting_run

SMALL = {"n_atoms": 200, "length": 2.0, "preparation": 1.0, "timestep": 2.0}


@pytest.fixture(scope="module")
def potential():
    return kff.MTP(level=8, n_jobs=1).fit(silicon_set("train")).potential_


@pytest.fixture(scope="module")
def crystal():
    return bulk("Si", a=5.5, cubic=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("melting")


@pytest.fixture(scope="module")
def found(potential, crystal, runs):
    return melting_point(crystal, potential, 1300, folder=runs, **SMALL)


def test_both_phases(found):
    """The temperature is within what so small a cell of this model has, and half of the cell is solid."""
    assert found.tries[-1] == (pytest.approx(1300, rel=0.2), "both phases")
    assert found.temperature == pytest.approx(1300, rel=0.2) and 0 < found.error < 60
    assert 0.15 < found.solid_share < 0.85 and len(found.profile) == 24
    assert np.nanmax(found.profile) > 0.9 and np.nanmin(found.profile) < 0.1
    assert 0.1 < found.heat < 0.5 and found.expansion < 0  # silicon shrinks when it melts
    assert 10 < found.temperature_std < 1000
    assert len(found.time) == len(found.temperatures) and found.time[-1] >= 2.0
    assert len(melting_run(found).axes) == 2


def test_runs_are_not_done_again(found, potential, crystal, runs):
    before = {path.name: path.stat().st_mtime_ns for path in runs.glob("*.checkpoint")}
    assert len(before) >= 9
    again = melting_point(crystal, potential, 1300, folder=runs, **SMALL)
    assert again.temperature == found.temperature and again.temperature_std == found.temperature_std
    assert {path.name: path.stat().st_mtime_ns for path in runs.glob("*.checkpoint")} == before


def test_goes_on_where_it_was_stopped(found, potential, crystal, tmp_path):
    """Stopped before the run at constant enthalpy, and in the middle of another."""

    class Stop(Exception):
        pass

    seen, go = [], coexistence.run_md

    def stopping(*arguments, **settings):
        seen.append(settings["trajectory"].stem)
        if len(seen) == 6:
            raise Stop
        return go(*arguments, **settings)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(coexistence, "run_md", stopping)
        melting_point(crystal, potential, 1300, folder=tmp_path, **SMALL)
    assert len(list(tmp_path.glob("*.checkpoint"))) == 5
    parts = melting_point(crystal, potential, 1300, folder=tmp_path, **SMALL)
    assert parts.temperature == found.temperature


def test_a_guess_that_is_far_too_hot(potential, crystal):
    with pytest.raises(RuntimeError, match=r"at 4000 K the two phases look alike.*start colder"):
        melting_point(crystal, potential, 4000, **SMALL | {"preparation": 2.0})


def test_a_run_that_fails(potential, crystal):
    with pytest.raises(
        RuntimeError, match=r"30000K-solid, a run on the way to the melting point: The run stopped"
    ) as e:
        melting_point(crystal, potential, 30_000, **SMALL)
    assert "is kept" not in str(e.value)  # it is not, without a folder


def test_room_for_the_liquid(crystal):
    atoms = crystal.repeat((1, 1, 4))
    stretched = coexistence.with_room(atoms, 1.2)
    low = atoms.get_scaled_positions()[:, 2] < 0.5
    assert np.abs(stretched.positions[low] - atoms.positions[low]).max() < 1e-12
    assert stretched.cell.array[2, 2] == pytest.approx(1.1 * atoms.cell.array[2, 2])
    gaps = np.diff(np.unique(stretched.positions[:, 2].round(6)))
    assert gaps.min() == pytest.approx(5.5 / 4) and gaps.max() == pytest.approx(1.2 * 5.5 / 4)


def shares(monkeypatch, boundaries):
    """Coexistence whose outcome is that of a melting point between these temperatures; the guesses it was asked for."""
    asked = []

    def of(crystal, runs, guess, cell):
        asked.append(round(guess))
        share = 1.0 if guess < boundaries[0] else 0.0 if guess > boundaries[1] else 0.5
        return SimpleNamespace(share=share, temperature=np.mean(boundaries))

    monkeypatch.setattr(melting.Coexistence, "of", of)
    monkeypatch.setattr(melting, "_result", lambda potential, runs, both, cell, tries: tries)
    return asked


@pytest.mark.parametrize("guess", [400, 990, 1000, 3000])
def test_guesses_are_moved(guess, monkeypatch, crystal):
    asked = shares(monkeypatch, (960, 1040))
    tries = melting_point(crystal, None, guess, max_tries=12)
    assert tries[-1][1] == "both phases" and abs(tries[-1][0] - 1000) < 0.08 * 1000
    assert len(asked) <= 9
    bounds = [g for g, outcome in tries if outcome == "frozen"], [g for g, outcome in tries if outcome == "melted"]
    assert max(bounds[0], default=0) < 1000 < min(bounds[1], default=1e9)


@pytest.mark.parametrize("guess, advice", [(100, "hotter"), (9e4, "colder"), (990, "with more atoms")])
def test_a_phase_that_is_always_eaten(guess, advice, monkeypatch, crystal):
    shares(monkeypatch, (1000, 1000))
    with pytest.raises(RuntimeError, match=rf"one phase has eaten the other in each of 4 tries .*Start {advice}"):
        melting_point(crystal, None, guess, max_tries=4)


def test_a_strained_cell_is_made_again(monkeypatch, crystal):
    asked = shares(monkeypatch, (500, 1500))
    melting_point(crystal, None, 1400)
    assert asked == [1400, 1000]


def test_phases_of_a_crystal_and_of_disorder():
    rng = np.random.default_rng(0)
    perfect = bulk("Si", cubic=True).repeat((2, 2, 4))

    def shaken(width):
        atoms = perfect.copy()
        atoms.positions += rng.normal(0, 1, (len(atoms), 3)) * width
        return atoms

    phases = Phases.of([shaken(0.1) for _ in range(4)], [shaken(0.7) for _ in range(4)], 2.35)
    assert max(phases.errors) < 0.05
    upper = perfect.get_scaled_positions()[:, 2] > 0.5
    both = shaken(np.where(upper, 0.7, 0.1)[:, None])
    mask = phases.solid(both)
    assert mask[~upper].mean() > 0.7 > 0.2 > mask[upper].mean()
    profile = phases.profile([both], 2, n_bins=8)
    assert profile[1:3].min() > 0.95 and profile[5:7].max() < 0.05


def test_command(found, potential, tmp_path, monkeypatch):
    """The melting point in the table, the file and the report of `kernelff properties`, with what is asked for."""
    asked = {}

    def compute(atoms, potential, guess, *, status=None, **settings):
        asked.update(guess=guess, **settings)
        status("both phases")
        return replace(found, settled=False)

    monkeypatch.setattr("kernelff.properties.overview.melting_point", compute)
    write_potential(tmp_path / "si.kff", potential, "test")
    arguments = ["properties", "si.kff", "Si diamond 5.47", "--what", "", "--melting", "1300", "--melting-atoms", "99"]
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*arguments, "-o", "si.json", "--report", "si.html"])
    assert result.exit_code == 0, result.output
    assert asked == {"guess": 1300.0, "n_atoms": 99, "length": 40.0, "folder": None}
    output = " ".join(result.output.split())
    assert "melting point" in output and "both phases" in output and "still drifted" in output
    content = json.loads((tmp_path / "si.json").read_text())
    assert content["properties"][0]["value"] == found.temperature
    assert len(content["curves"]["melting"]["profile"]) == 24
    assert "Melting" in (tmp_path / "si.html").read_text()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"guess": -5}, "guess: must be a number from 1"),
        ({"guess": "hot"}, "guess: must be"),
        ({"guess": np.nan}, "guess: must be"),
        ({"n_atoms": 3}, "n_atoms: must be"),
        ({"overheat": 0.9}, "overheat: must be"),
        ({"length": 0}, "length: must be"),
        ({"max_tries": 0}, "max_tries: must be"),
    ],
)
def test_bad_arguments(arguments, message, crystal):
    with pytest.raises(ValueError, match=message):
        melting_point(crystal, None, **{"guess": 1000} | arguments)
    with pytest.raises(ValueError, match="crystal"):
        melting_point(Atoms("Si"), None, 1000)
