"""Uncertainties in the loop of molecular dynamics: the right numbers, files, guard rail, the same bits after a stop."""

import re

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write
from labelled import copper, emt_frames, small_model, small_soap
from typer.testing import CliRunner

import kernelff as kff
from kernelff.cli import app
from kernelff.error_bars.calibration import Calibration, KindCalibration
from kernelff.error_bars.local_pass import LocalPass
from kernelff.md.files import read_thermo
from kernelff.md.guards import MDStopped

NAMES = {"std": "energies_std", "novelty": "novelty", "grade": "extrapolation_grades"}
WORDS = {"std": "the sd of the local energy", "novelty": "the novelty", "grade": "the extrapolation grade"}


@pytest.fixture(scope="module")
def frames():
    return emt_frames(30, 0)


@pytest.fixture(scope="module")
def file(frames, tmp_path_factory):
    path = tmp_path_factory.mktemp("md") / "cu.kff"
    small_model(n_jobs=1).fit(frames).save(path)
    return path


@pytest.fixture(scope="module")
def gap(file):
    return kff.load(file)


@pytest.fixture(scope="module")
def in_python(frames):
    """What has compiled rows and what has none, together."""
    return kff.SparseGPR(
        [kff.SymmetryFunctions(cutoff=3.8), small_soap()], n_sparse=20, hyperparameters="fixed", n_jobs=1
    ).fit(frames).potential_  # fmt: skip


@pytest.fixture(scope="module")
def with_distances(frames):
    return kff.SparseGPR(
        [kff.PairDistances(cutoff=3.8), small_soap()], n_sparse=[10, 20], hyperparameters="fixed", n_jobs=1
    ).fit(frames).potential_  # fmt: skip


@pytest.fixture(scope="module")
def mtp(frames):
    potential = kff.MTP(level=8, cutoff=4.0, n_jobs=1).fit(frames).potential_
    return potential.with_active_set(kff.ActiveSet.select(potential, frames))


def expected_numbers(potential, atoms, kind):
    if kind == "grade":
        return potential.extrapolation_grade(atoms)
    found = potential.posterior.local(potential.terms, atoms)
    return found.energies_std if kind == "std" else found.novelty


# ---- the numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("suffix", ["xyz", "traj"])
@pytest.mark.parametrize(
    "which, kind",
    [
        ("gap", "std"), ("gap", "novelty"), ("mtp", "std"), ("mtp", "grade"), ("in_python", "std"),
        ("with_distances", "std"), ("with_distances", "novelty"),
    ],
)  # fmt: skip
def test_frames_and_table(which, kind, suffix, threads, request, tmp_path):
    potential, name = request.getfixturevalue(which), NAMES[kind]
    assert (LocalPass.of(potential, (kind,)) is None) == (which == "in_python")
    result = kff.md.run(
        copper(), potential, "nvt", temperature=300, steps=30, trajectory=tmp_path / f"run.{suffix}",
        trajectory_every=6, thermo=tmp_path / "run.csv", thermo_every=3, uncertainty=kind, uncertainty_every=6,
        threads=threads,
    )  # fmt: skip
    table = read_thermo(tmp_path / "run.csv")
    largest, mean = list(table)[-2:]
    assert largest.startswith(f"{name}_max") and mean.startswith(f"{name}_mean")
    seen = read(tmp_path / f"run.{suffix}", ":")
    assert len(seen) == 6
    for k, atoms in enumerate(seen):
        numbers = atoms.arrays[name] if suffix == "xyz" else np.array(atoms.info[name])
        assert atoms.info["uncertainty_step"] == atoms.info["step"] == 6 * k
        np.testing.assert_allclose(numbers, expected_numbers(potential, atoms, kind), rtol=2e-4, atol=1e-6)
        for line in (2 * k, 2 * k + 1)[: 2 if k < 5 else 1]:  # the last numbers that there were
            assert table[largest][line] == pytest.approx(numbers.max(), rel=1e-6)
            assert table[mean][line] == pytest.approx(numbers.mean(), rel=1e-6)
    assert np.array_equal(result.atoms.arrays[name].max(), result.thermo[largest][-1])
    assert len(set(table[largest])) == 6 and result.thermo[largest][-1] == pytest.approx(table[largest][-1])


def test_it_leaves_the_atoms_alone(gap, mtp):
    for potential in (gap, mtp, mtp.with_precision("single")):
        one, two = (
            kff.md.run(copper(), potential, "nvt", temperature=300, steps=25, uncertainty=kind, uncertainty_every=7)
            for kind in (None, "std")
        )
        assert np.array_equal(one.atoms.positions, two.atoms.positions) and list(one.thermo) == list(two.thermo)[:-2]


# ---- going on ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["xyz", "traj"])
@pytest.mark.parametrize("which, kind", [("gap", "std"), ("mtp", "grade"), ("in_python", "novelty")])
def test_the_same_bits_after_a_stop(which, kind, suffix, request, tmp_path):
    """The checkpoint lies between two steps with uncertainties, of which the table and a frame behind it tell."""
    potential = request.getfixturevalue(which)

    def run(name, **others):
        return kff.md.run(
            copper(), potential, "nvt", temperature=300, steps=40, trajectory=tmp_path / f"{name}.{suffix}",
            trajectory_every=3, thermo=tmp_path / f"{name}.csv", thermo_every=2, checkpoint_every=13, uncertainty=kind,
            uncertainty_every=7, **others,
        )  # fmt: skip

    def stop(done, steps):
        if done > 30:
            raise KeyboardInterrupt

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("parts", progress=stop)
    parts = run("parts")
    assert np.array_equal(whole.atoms.positions, parts.atoms.positions)
    for name in ("csv", "checkpoint") + (("xyz",) if suffix == "xyz" else ()):
        assert (tmp_path / f"whole.{name}").read_bytes() == (tmp_path / f"parts.{name}").read_bytes()
    for name, column in whole.thermo.items():
        np.testing.assert_allclose(column, parts.thermo[name], rtol=1e-11)
    one, two = (read(tmp_path / f"{name}.{suffix}", ":") for name in ("whole", "parts"))
    for a, b in zip(one, two, strict=True):
        numbers = [np.array(f.info.get(NAMES[kind], f.arrays.get(NAMES[kind]))) for f in (a, b)]
        assert np.array_equal(*numbers) and a.info["uncertainty_step"] == b.info["uncertainty_step"]
    assert np.array_equal(run("parts", max_uncertainty=1e3).atoms.positions, parts.atoms.positions)  # may be raised
    with pytest.raises(ValueError, match="belongs to a run of other atoms"):
        run("parts", seed=1)


# ---- the guard rail ---------------------------------------------------------------------------------


@pytest.mark.parametrize("which, kind", [("gap", "std"), ("gap", "novelty"), ("mtp", "grade"), ("in_python", "std")])
def test_a_limit(which, kind, request, tmp_path):
    """A hot start goes beyond what the data know."""
    potential, atoms = request.getfixturevalue(which), copper()
    settings = {"temperature": 6000, "steps": 400, "uncertainty": kind, "uncertainty_every": 5, "min_distance": 0.1}
    limit = 1.3 * expected_numbers(potential, atoms, kind).max()
    with pytest.raises(MDStopped, match=rf"{WORDS[kind]} of atom \d+ \(Cu\) is .*above max_uncertainty = ") as stopped:
        kff.md.run(atoms, potential, "nvt", trajectory=tmp_path / "run.xyz", max_uncertainty=limit, **settings)
    assert stopped.value.reason == "uncertain" and (stopped.value.step + 1) % 5 == 0
    assert "raise max_uncertainty. The checkpoint" in str(stopped.value) and "The frame is in" in str(stopped.value)
    kept = read(tmp_path / "run.stopped.xyz")
    assert "stress" not in kept.calc.results  # the loop had none of this step
    numbers = expected_numbers(potential, kept, kind)
    assert numbers.argmax() == stopped.value.atoms[0] and numbers.max() > limit
    np.testing.assert_allclose(kept.arrays[NAMES[kind]], numbers, rtol=1e-3)
    told = float(re.search(r" is ([^ ,]+)", str(stopped.value)).group(1))
    assert told == pytest.approx(numbers.max(), rel=0.01)
    kff.md.run(copper(), potential, "nvt", max_uncertainty=1e9, **(settings | {"steps": 10}))


def test_a_limit_at_the_start(gap):
    strange = copper()
    strange.positions[3] += 0.8
    with pytest.raises(MDStopped, match=r"stopped at the start: the novelty of atom"):
        kff.md.run(strange, gap, uncertainty="novelty", max_uncertainty=1e-4)


# ---- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"uncertainty": "sd"}, 'uncertainty: must be "std", "novelty", "grade" or None'),
        ({"uncertainty": "grade"}, 'uncertainty: "grade": is for linear models.*novelty'),
        ({"max_uncertainty": 1.0}, "max_uncertainty: of which kind"),
        ({"uncertainty": "std", "max_uncertainty": -1.0}, "max_uncertainty"),
        ({"uncertainty": "std", "uncertainty_every": 0}, "uncertainty_every: must be a whole number >= 1"),
        ({"uncertainty": "std", "uncertainty_every": 10**30}, "uncertainty_every: must be a whole number >= 1"),
    ],
)
def test_bad_settings(settings, message, gap):
    with pytest.raises(ValueError, match=message):
        kff.md.run(copper(), gap, **settings)


def test_a_limit_that_everything_is_above(gap):
    flat = Calibration(energy=KindCalibration({"": ((0.001, 0.1), (0.02, 0.3))}, {}, {}, 80))
    potential = kff.Potential(gap.terms, gap.weights, gap.e0, gap.posterior._replace(calibration=flat))
    with pytest.raises(ValueError, match=r"max_uncertainty: 0.01 eV is less than the smallest .* reports, 0.02 eV"):
        kff.md.run(copper(), potential, uncertainty="std", max_uncertainty=0.01)
    kff.md.run(copper(), potential, uncertainty="std", max_uncertainty=np.float32(0.3), steps=10)


def test_what_a_potential_does_not_have(gap, mtp, frames):
    bare = kff.Potential(gap.terms, gap.weights, gap.e0)
    with pytest.raises(ValueError, match="carries no posterior"):
        kff.md.run(copper(), bare, uncertainty="std")
    with pytest.raises(ValueError, match='"novelty" is of Gaussian processes'):
        kff.md.run(copper(), mtp, uncertainty="novelty")
    with pytest.raises(ValueError, match="this potential has no active set"):
        kff.md.run(copper(), mtp.with_active_set(None), uncertainty="grade")
    whole = kff.ActiveSet.select(mtp, frames, mode="configuration")
    with pytest.raises(ValueError, match='"grade" is of atoms, but this active set is one of configurations'):
        kff.md.run(copper(), mtp.with_active_set(whole), uncertainty="grade")
    with pytest.raises(ValueError, match="not of ASE calculators"):
        kff.md.run(copper(), gap.calculator(), uncertainty="std")


def test_command(file, tmp_path):
    write(tmp_path / "cell.xyz", bulk("Cu", cubic=True))
    arguments = ["md", file, tmp_path / "cell.xyz", "--repeat", "2,2,2", "--temperature", "300"]
    arguments += ["--steps", "20", "--every", "10", "--thermo-every", "10", "-o", tmp_path / "run.xyz"]
    arguments += ["--uncertainty", "std", "--uncertainty-every", "5", "--max-uncertainty", "1000"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "energies_std" in re.sub(r"\s+", " ", result.output)
    assert read_thermo(tmp_path / "run.csv")["energies_std_max_eV"].shape == (3,)
    assert read(tmp_path / "run.xyz").arrays["energies_std"].shape == (32,)
