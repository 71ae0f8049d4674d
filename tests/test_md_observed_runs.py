"""Observables of runs: the run is the same with them, goes on with the same bits, and writes data and pictures."""

import json
import re

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from labelled import emt_frames, small_model
from typer.testing import CliRunner

import kernelff as kff
from kernelff.cli import app

ALL = [
    kff.md.RDF(cutoff=5.0, bins=50, every=10), "msd", kff.md.VACF(window=30.0), "stress", "heat_flux",
    kff.md.LocalUncertainty(every=20),
]  # fmt: skip


@pytest.fixture(scope="module")
def potential():
    return small_model(n_jobs=1).fit(emt_frames(8, 0)).potential_


def copper():
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.rattle(0.05, seed=0)
    return atoms


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
    arguments += ["--observe", "rdf, heat-flux", "--observe-every", "2", "--observe-from", "20"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    output = re.sub(r"\s+", " ", result.output)
    assert result.exit_code == 0 and "neighbours of Cu: Cu 12" in output and "run.*.png" in output
    assert "heat_flux: " in output and (tmp_path / "run.rdf.png").exists()
    assert json.loads((tmp_path / "run.observables.json").read_text())["heat_flux"]["n_samples"] == 21
