"""Observables of runs: the run is the same with them, goes on with the same bits, and writes data and pictures."""

import json
import re
import warnings

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from labelled import copper, emt_frames, small_model
from typer.testing import CliRunner

import kernelff as kff
from kernelff.checks import SettingsWarning
from kernelff.cli import app
from kernelff.md.guards import MDStopped
from kernelff.md.observables import Observers
from kernelff.md.observables.correlator import MultipleTau
from kernelff.md.settings import MDSettings

ALL = [
    kff.md.RDF(cutoff=5.0, bins=50, every=10), "msd", kff.md.VACF(window=30.0), "stress", "heat_flux",
    kff.md.LocalUncertainty(every=20),
]  # fmt: skip


@pytest.fixture(scope="module")
def potential():
    return small_model(n_jobs=1).fit(emt_frames(8, 0)).potential_


def same(one, two):
    """Whether two sets of results have the same bits."""
    for name, result in one.items():
        other = two[name]
        assert result.n_samples == other.n_samples and result.remarks == other.remarks
        assert result.values == other.values
        for column, values in result.columns.items():
            assert np.array_equal(values, other.columns[column], equal_nan=True), (name, column)
    return one.keys() == two.keys()


@pytest.mark.parametrize("ensemble", ["nve", "npt"])
def test_observables_do_not_change_the_run(ensemble, potential):
    settings = {"temperature": 600, "steps": 80, "timestep": 2.0, "threads": 2}
    plain = kff.md.run(copper(), potential, ensemble, **settings)
    observed = kff.md.run(copper(), potential, ensemble, observe=ALL, observe_every=2, observe_from=7, **settings)
    assert np.array_equal(plain.atoms.positions, observed.atoms.positions)
    assert np.array_equal(plain.atoms.get_momenta(), observed.atoms.get_momenta())
    found = observed.observables
    assert plain.observables == {} and list(found) == [
        "rdf", "msd", "vacf", "stress", "heat_flux", "uncertainty"
    ]  # fmt: skip
    assert [result.n_samples for result in found.values()] == [8, 37, 37, 37, 37, 4]
    assert found["msd"].resolution_fs == 4.0 and found["rdf"].resolution_fs == 20.0
    assert ("The cell moved" in " ".join(found["stress"].remarks)) == (ensemble == "npt")


def test_the_same_bits_after_a_stop(potential, tmp_path):
    """Stopped between two checkpoints, in the middle of a window of velocities; then made longer."""
    settings = {
        "temperature": 600, "timestep": 2.0, "checkpoint_every": 50, "observe": ALL, "observe_every": 2,
        "trajectory_every": 40,
    }  # fmt: skip

    def run(name, steps, **others):
        trajectory = tmp_path / f"{name}.xyz"
        return kff.md.run(copper(), potential, "bussi", steps=steps, trajectory=trajectory, **settings, **others)

    def stop(done, steps):
        if done > 130:
            raise KeyboardInterrupt

    whole = run("whole", 200)
    with pytest.raises(KeyboardInterrupt):
        run("parts", 200, progress=stop)
    parts = run("parts", 200)
    assert same(whole.observables, parts.observables)
    for ending in ("checkpoint", "xyz"):
        assert (tmp_path / f"whole.{ending}").read_bytes() == (tmp_path / f"parts.{ending}").read_bytes()
    again = run("parts", 200)
    assert again.ns_per_day == 0 and same(whole.observables, again.observables)
    longer, all_at_once = run("parts", 300), run("long", 300)
    assert same(longer.observables, all_at_once.observables)
    with pytest.raises(ValueError, match="other observables"):
        kff.md.run(
            copper(),
            potential,
            "bussi",
            steps=200,
            trajectory=tmp_path / "whole.xyz",
            **(settings | {"observe": "rdf"}),
        )


def test_what_is_written(potential, tmp_path):
    path = tmp_path / "run.observables.json"
    result = kff.md.run(
        copper(), potential, temperature=600, timestep=2.0, steps=300, observe=ALL, observe_every=2, observables=path
    )
    data = json.loads(path.read_text())
    for name, found in result.observables.items():
        assert (tmp_path / f"run.{name}.png").stat().st_size > 10_000
        assert data[name]["n_samples"] == found.n_samples and data[name]["remarks"] == list(found.remarks)
        for column, values in found.columns.items():
            np.testing.assert_array_equal(np.array(data[name]["columns"][column], dtype=float), values)
        for label, number in found.values.items():
            assert data[name]["values"][label] == number._asdict()
            assert number.value is None or np.isfinite(number.value)
    sd = potential.uncertainty(copper(), derivatives=False).energies_std
    assert data["uncertainty"]["columns"]["mean_eV"][0] == pytest.approx(sd.mean())
    with pytest.raises(ValueError, match=r"observables: .* exists and has no checkpoint"):
        kff.md.run(
            copper(), potential, temperature=1, steps=9, observe="rdf", observables=path, checkpoint=tmp_path / "no"
        )


def test_too_few_samples(potential, tmp_path):
    path = tmp_path / "run.json"
    few = {"observe": ALL, "observe_every": 5, "observables": path}
    found = kff.md.run(copper(), potential, temperature=300, steps=1, **few).observables
    assert {result.n_samples for result in found.values()} == {1}
    assert all("samples are too few" in result.remarks[0] for result in found.values())
    with pytest.raises(ValueError, match="nothing to draw"):
        found["rdf"].figure()
    for steps in (2, 3, 5, 20):
        found = kff.md.run(
            copper(), potential, temperature=300, steps=steps, observe=ALL[1:5], observe_every=1
        ).observables
        for result in found.values():
            result.figure()
            json.dumps(result.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"observe": "colour"}, "observe: must be of rdf, msd, vacf"),
        ({"observe": [3]}, "or objects such as"),
        ({"observe": ["rdf", kff.md.RDF()]}, "twice"),
        ({"observe": "rdf", "observe_every": 0}, "observe_every: must be a whole number >= 1"),
        ({"observe": "rdf", "observe_from": -1}, "observe_from"),
        ({"observe": kff.md.MSD(every=1.5)}, r"MSD.every: must be a whole number"),
        ({"observe": kff.md.RDF(cutoff=-1)}, "RDF.cutoff"),
        ({"observe": kff.md.RDF(cutoff=500.0)}, "would list .* pairs"),
        ({"observe": kff.md.MSD(fit=(3, 2))}, "MSD.fit"),
        ({"observe": kff.md.MSD(fit=3)}, "MSD.fit"),
        ({"observe": kff.md.VACF(window=0)}, "VACF.window"),
        ({"observe": kff.md.VACF(window=1e9, every=1)}, r"768 GB of velocities. Take a shorter window"),
        ({"observables": "x.json"}, "nothing to write"),
        ({"observe": "rdf", "observables": "none/x.json"}, "in a folder that exists"),
        ({"observe": "rdf", "observables": "x.npz"}, "must end in .json"),
    ],
)
def test_bad_arguments(arguments, message, potential):
    with pytest.raises(ValueError, match=message):
        kff.md.run(copper(), potential, temperature=300, steps=10, **arguments)


def test_intervals_of_their_own(potential):
    """What swings is seen every 4 fs at most, unless somebody says otherwise."""
    names = ["rdf", "msd", "vacf", "stress", "heat_flux", "uncertainty"]

    def seen(timestep=1.0, **others):
        settings = MDSettings.checked("nve", timestep=timestep, **others)
        return [one.every for one in Observers(names, settings=settings).chosen]

    assert seen() == [100, 10, 4, 4, 4, 100]
    assert seen(0.3)[2:5] == [13] * 3 and seen(2.0)[2:5] == [2] * 3 and seen(0.1)[2:5] == [40] * 3
    assert seen(4.0)[2:5] == [1] * 3 and seen(7.0)[2:5] == [1] * 3
    assert seen(uncertainty="std", uncertainty_every=7)[-1] == 7 and seen(uncertainty="novelty")[-1] == 100
    assert [one.every for one in Observers([*names[:2], kff.md.VACF(every=3)], 5).chosen] == [50, 5, 3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = kff.md.run(copper(), potential, temperature=300, timestep=2.0, steps=20, observe=["vacf", "stress"])
    assert [found.resolution_fs for found in run.observables.values()] == [4.0, 4.0]
    for settings in ({"observe_every": 6}, {"timestep": 6.0}):
        with pytest.warns(SettingsWarning, match="vacf sees velocities every 6 fs"):
            kff.md.run(copper(), potential, temperature=10, steps=2, observe="vacf", **settings)


def test_the_run_has_its_own_standard_deviations(potential, monkeypatch):
    settings = {"temperature": 300, "timestep": 2.0, "steps": 40, "observe": "uncertainty"}
    alone = kff.md.run(copper(), potential, **settings, observe_every=1).observables["uncertainty"]
    asked = []
    local = type(potential).uncertainty
    monkeypatch.setattr(type(potential), "uncertainty", lambda *a, **k: asked.append(1) or local(*a, **k))
    settings |= {"uncertainty": "std", "uncertainty_every": 10}
    own = kff.md.run(copper(), potential, **settings).observables["uncertainty"]
    assert len(asked) == 1 and own.n_samples == 5  # whether there are any
    for column, values in own.columns.items():
        np.testing.assert_allclose(values, alone.columns[column], rtol=1e-6)
    between = kff.md.run(copper(), potential, **(settings | {"observe": kff.md.LocalUncertainty(every=4)}))
    assert between.observables["uncertainty"].n_samples == 11 and len(asked) == 2 + 8  # 0, 20 and 40 are there


# ---- runs that stop ---------------------------------------------------------------------------------


HEATED = {
    "temperature": (300, 3000), "timestep": 2.0, "steps": 2000, "thermostat_time": 50, "max_temperature": 900,
    "thermo_every": 50,
}  # fmt: skip


def test_a_guard_rail_leaves_what_was_observed(potential, tmp_path):
    path = tmp_path / "run.observables.json"
    names = ["msd", "vacf", "rdf"]
    with pytest.raises(MDStopped, match=rf"What was observed is in {path}\.") as stopped:
        kff.md.run(copper(), potential, "bussi", observe=names, observables=path, **HEATED)
    step, data = stopped.value.step, json.loads(path.read_text())
    assert 100 < step < 2000 and list(data) == list(stopped.value.observables) == names
    for name, found in stopped.value.observables.items():
        assert found.stopped_at == data[name]["stopped_at"] == step
        assert found.n_samples == data[name]["n_samples"] == (step - 1) // {"msd": 10, "vacf": 2, "rdf": 100}[name] + 1
        assert data[name]["remarks"][0].startswith(f"The run stopped at step {step}: ")
        assert (tmp_path / f"run.{name}.png").stat().st_size > 10_000
    with pytest.raises(MDStopped) as stopped:
        kff.md.run(copper(), potential, max_force=1e-3, observe="msd", observables=tmp_path / "start.json")
    assert stopped.value.observables == {} and not (tmp_path / "start.json").exists()


def test_control_c_leaves_what_was_observed(potential, tmp_path):
    path = tmp_path / "run.observables.json"
    settings = {"temperature": 300, "steps": 400, "observe": ["stress"], "observables": path, "checkpoint_every": 50}

    def stop(done, steps):
        if done > 130:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kff.md.run(copper(), potential, **settings, progress=stop)
    part = json.loads(path.read_text())["stress"]
    assert 130 < part["stopped_at"] < 400 and part["n_samples"] == part["stopped_at"] // 4 + 1
    whole = kff.md.run(copper(), potential, **settings).observables
    data = json.loads(path.read_text())["stress"]
    assert data["stopped_at"] is None and data["n_samples"] == 101 and "stopped" not in " ".join(data["remarks"])
    other = settings | {"observables": tmp_path / "other.json"}
    assert same(whole, kff.md.run(copper(), potential, **other).observables)


def test_control_c_in_the_middle_of_a_sample(potential, tmp_path, monkeypatch):
    """Sums that are half made are not shown."""
    path = tmp_path / "run.json"
    monkeypatch.setattr(MultipleTau, "add", lambda self, vector: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        kff.md.run(copper(), potential, temperature=300, steps=40, observe=["msd", "stress"], observables=path)
    assert not path.exists()


def test_a_full_disk_does_not_hide_why_a_run_stopped(potential, tmp_path, monkeypatch):
    monkeypatch.setattr(Observers, "write", lambda self, found: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(MDStopped, match=r"The run stopped after step .* What was observed is lost: .*No space left"):
        kff.md.run(copper(), potential, "bussi", observe="msd", observables=tmp_path / "run.json", **HEATED)


def test_what_a_frame_or_a_potential_does_not_have(potential):
    cluster = copper()
    cluster.pbc = False
    for name in ("rdf", "stress", "heat_flux"):
        with pytest.raises(ValueError, match=f"{name} needs a volume"):
            kff.md.run(cluster, potential, temperature=300, steps=2, observe=name)
    found = kff.md.run(cluster, potential, temperature=300, steps=40, observe=["msd", "vacf"], observe_every=2)
    assert found.observables["msd"].n_samples == 21
    with pytest.raises(ValueError, match="no error bars"):
        kff.md.run(copper(), EMT(), steps=2, observe="uncertainty")
    bare = kff.Potential(potential.terms, potential.weights, potential.e0)
    with pytest.raises(ValueError, match="no posterior"):
        kff.md.run(copper(), bare, steps=2, observe="uncertainty")


def test_command(potential, tmp_path):
    small_model(n_jobs=1).fit(emt_frames(8, 0)).save(tmp_path / "cu.kff")
    write(tmp_path / "cell.xyz", bulk("Cu", cubic=True))
    arguments = ["md", tmp_path / "cu.kff", tmp_path / "cell.xyz", "--repeat", "2,2,2", "--ensemble", "nve"]
    arguments += ["--temperature", "300", "--steps", "60", "-o", tmp_path / "run.xyz"]
    arguments += ["--observe", "rdf, heat-flux:5, msd", "--observe-every", "2", "--observe-from", "20"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    output = re.sub(r"\s+", " ", result.output)
    assert result.exit_code == 0 and "neighbours of Cu: Cu 12" in output and "run.*.png" in output
    assert "heat_flux: " in output and (tmp_path / "run.rdf.png").exists()
    data = json.loads((tmp_path / "run.observables.json").read_text())
    assert [data[name]["n_samples"] for name in ("rdf", "heat_flux", "msd")] == [3, 9, 21]
    for wrong, message in (
        ("vacf:x", "a whole number of steps"),
        ("vacf:0", "as in vacf:2"),
        ("colour:3", "must be of"),
    ):
        result = CliRunner().invoke(app, [str(a) for a in (*arguments, "--restart", "--observe", wrong)])
        assert result.exit_code == 1 and message in re.sub(r"\s+", " ", result.output)
