"""What a run writes, how it goes on after it was stopped, and what stops it."""

import re
import subprocess
import sys
import time

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from labelled import copper, emt_frames, small_model
from typer.testing import CliRunner

import kernelff as kff
from kernelff.cli import app
from kernelff.md.checkpoint import MDCheckpoint
from kernelff.md.files import TextFile, read_thermo
from kernelff.md.guards import MDStopped

pytestmark = pytest.mark.filterwarnings("ignore:atoms. Ar get e0 alone")  # free flight is a potential without terms


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("md")
    small_model(n_jobs=1).fit(emt_frames(8, 0)).save(folder / "cu.kff")
    write(folder / "cell.xyz", bulk("Cu", cubic=True))
    return folder


@pytest.fixture(scope="module")
def potential(folder):
    return kff.load(folder / "cu.kff")


def command(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, re.sub(r"\s+", " ", result.output)


# ---- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["xyz", "traj"])
def test_trajectory_and_table(suffix, potential, tmp_path):
    result = kff.md.run(
        copper(), potential, "npt", temperature=300, cell="anisotropic", steps=50,
        trajectory=tmp_path / f"run.{suffix}", trajectory_every=10, thermo=tmp_path / "run.csv", thermo_every=5,
    )  # fmt: skip
    frames = read(tmp_path / f"run.{suffix}", ":")
    assert len(frames) == 6 and frames[0].info["step"] == 0 and frames[-1].info["time_fs"] == 50
    np.testing.assert_allclose(frames[-1].positions, result.atoms.positions, atol=1e-7)
    np.testing.assert_allclose(frames[-1].get_momenta(), result.atoms.get_momenta(), atol=1e-7)
    expected = potential.compute(frames[-1])
    assert frames[-1].get_potential_energy() == pytest.approx(expected.energy, abs=1e-5) and frames[-1].pbc.all()
    np.testing.assert_allclose(frames[-1].get_forces(), expected.forces, atol=1e-5)
    np.testing.assert_allclose(frames[-1].get_stress(), expected.stress, atol=1e-7)
    table = read_thermo(tmp_path / "run.csv")
    assert table["step"].tolist() == list(range(0, 51, 5))
    for name, column in table.items():
        np.testing.assert_allclose(column, result.thermo[name], rtol=1e-10)
    assert table["temperature_K"][-1] == pytest.approx(result.atoms.get_temperature(), rel=1e-6)
    assert table["volume_A3"][-1] == pytest.approx(result.atoms.get_volume(), rel=1e-9)


def test_a_run_leaves_its_start_alone(potential):
    atoms = copper()
    before = atoms.copy()
    kff.md.run(atoms, potential, "npt", temperature=300, steps=5)
    assert np.array_equal(before.positions, atoms.positions) and np.array_equal(before.cell, atoms.cell)
    assert not atoms.get_momenta().any()


# ---- going on ---------------------------------------------------------------------------------------

ENSEMBLES = {
    "nve": {},
    "langevin": {"temperature": 300},
    "bussi": {"temperature": (300, 600)},
    "nose-hoover": {"temperature": 300},
    "npt": {"temperature": 300, "cell": "flexible", "pressure": (0.0, 1.0), "thermostat": "nose-hoover"},
    "nph": {"temperature": 300},
}


@pytest.mark.parametrize("suffix", ["xyz", "traj"])
@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_the_same_bits_after_a_stop(ensemble, suffix, potential, tmp_path):
    """Stopped in the middle of a checkpoint's interval, files longer than at the checkpoint."""
    settings = {
        "steps": 60, "trajectory_every": 3, "thermo_every": 2, "checkpoint_every": 20, "timestep": 2.0,
    } | ENSEMBLES[ensemble]  # fmt: skip

    def run(name, **others):
        paths = {"trajectory": tmp_path / f"{name}.{suffix}", "thermo": tmp_path / f"{name}.csv"}
        return kff.md.run(copper(), potential, ensemble, **settings, **paths, **others)

    def stop(done, steps):
        if done > 30:
            raise KeyboardInterrupt

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("parts", progress=stop)
    assert read_thermo(tmp_path / "parts.csv")["step"][-1] > 20
    parts = run("parts")
    assert np.array_equal(whole.atoms.positions, parts.atoms.positions)
    assert np.array_equal(whole.atoms.get_momenta(), parts.atoms.get_momenta())
    for name in (f"{ending}" for ending in ("csv", "checkpoint") + (("xyz",) if suffix == "xyz" else ())):
        assert (tmp_path / f"whole.{name}").read_bytes() == (tmp_path / f"parts.{name}").read_bytes()
    one, two = (read(tmp_path / f"{name}.{suffix}", ":") for name in ("whole", "parts"))
    assert len(one) == len(two) == 21
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(one, two, strict=True))


def test_the_same_bits_after_kill_9(folder, tmp_path):
    """The command, killed again and again at any moment, and once left alone."""

    def arguments(name):
        """Of `kernelff`."""
        settings = "--ensemble npt --temperature 300 --steps 12000 --every 20 --thermo-every 10 --checkpoint-every 500"
        settings += " --uncertainty std --uncertainty-every 7"
        files = ["md", str(folder / "cu.kff"), str(folder / "cell.xyz"), "-o", str(tmp_path / f"{name}.xyz")]
        return [*files, "--repeat", "2,2,2", *settings.split()]

    checkpoint, seen, kills = tmp_path / "parts.checkpoint", None, 0
    python = [sys.executable, "-c", "from kernelff.cli import app; app()"]
    while kills < 2:
        process = subprocess.Popen([*python, *arguments("parts")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            now = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
            if now is not None and seen is not None and now > seen + 100_000_000:
                process.kill()
            seen = now if seen is None else seen
            time.sleep(0.003)
        if process.returncode == 0:
            break
        seen, kills = checkpoint.stat().st_mtime_ns, kills + 1
    assert kills > 0
    for name in ("parts", "whole"):
        assert command(*arguments(name))[0] == 0
    for ending in ("xyz", "csv", "checkpoint"):
        assert (tmp_path / f"whole.{ending}").read_bytes() == (tmp_path / f"parts.{ending}").read_bytes()


def test_a_longer_run_goes_on(potential, tmp_path):
    settings = {"trajectory": tmp_path / "run.xyz", "trajectory_every": 10, "checkpoint_every": 20}
    kff.md.run(copper(), potential, "nvt", temperature=300, steps=40, **settings)
    longer = kff.md.run(copper(), potential, "nvt", temperature=300, steps=80, **settings)
    others = {"trajectory": tmp_path / "whole.xyz", "trajectory_every": 10, "checkpoint_every": 20}
    whole = kff.md.run(copper(), potential, "nvt", temperature=300, steps=80, **others)
    assert np.array_equal(longer.atoms.positions, whole.atoms.positions)
    with pytest.raises(ValueError, match="Give more steps"):
        kff.md.run(copper(), potential, "nvt", temperature=300, steps=20, **settings)


def test_what_belongs_to_another_run_is_refused(potential, tmp_path):
    settings = {"trajectory": tmp_path / "run.xyz", "trajectory_every": 10, "steps": 20}
    kff.md.run(copper(), potential, temperature=300, **settings)
    with pytest.raises(ValueError, match="belongs to a run of other atoms"):
        kff.md.run(copper(), potential, temperature=301, **settings)
    kff.md.run(copper(), potential, temperature=301, resume=False, **settings)
    (tmp_path / "run.checkpoint").unlink()
    with pytest.raises(ValueError, match="exists and has no checkpoint"):
        kff.md.run(copper(), potential, temperature=301, **settings)
    (tmp_path / "run.checkpoint").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a whole kernelff file"):
        kff.md.run(copper(), potential, temperature=301, **settings)
    kff.md.run(copper(), potential, temperature=301, resume=False, **settings)
    (tmp_path / "run.xyz").write_text("1")
    with pytest.raises(ValueError, match=r"is shorter than its run"):
        kff.md.run(copper(), potential, temperature=301, **(settings | {"steps": 40}))


# ---- guard rails ------------------------------------------------------------------------------------


def test_overlapping_atoms(potential, tmp_path):
    atoms = copper()
    atoms.positions[3] = atoms.positions[5] + 0.1
    with pytest.raises(MDStopped, match=r"at the start: atom . \(Cu\) and atom . \(Cu\) are 0.173 Å apart") as stopped:
        kff.md.run(atoms, potential, trajectory=tmp_path / "run.xyz")
    assert sorted(stopped.value.atoms) == [3, 5]


def test_an_exploding_start_keeps_the_last_checkpoint(potential, tmp_path):
    atoms = copper()
    atoms.set_momenta(np.tile([0.0, 0.0, 1.0], (32, 1)))
    with pytest.raises(MDStopped, match=r"would move .* more than max_step = 0.5.*smaller timestep than 40 fs"):
        kff.md.run(atoms, potential, timestep=40.0, steps=1000, trajectory=tmp_path / "run.xyz", checkpoint_every=1)
    assert MDCheckpoint(tmp_path / "run.checkpoint", None).path.exists()
    assert len(read(tmp_path / "run.stopped.xyz", ":")) == 1


def test_large_forces(potential):
    with pytest.raises(MDStopped, match=r"above max_force = 0.001"):
        kff.md.run(copper(), potential, max_force=0.001)


def test_a_collapsing_cell(potential):
    with pytest.raises(MDStopped, match=r"the volume went from .* Check pressure"):
        kff.md.run(copper(), potential, "npt", temperature=300, pressure=200, barostat_time=50, max_volume_change=1.1)
    gas = Atoms("Ar8", np.random.default_rng(0).uniform(0, 20, (8, 3)), cell=[20] * 3, pbc=True)
    ideal = kff.Potential([], np.zeros(0), {18: 0.0})
    with pytest.raises(MDStopped, match=r"height of the cell along vector .*isotropic"):
        kff.md.run(
            gas, ideal, "npt", cell="flexible", temperature=300, pressure=4e-3, barostat_time=100, timestep=10.0,
            steps=100_000, max_step=50.0, min_distance=0.0, max_volume_change=5.0,
        )  # fmt: skip


def test_forces_that_are_not_finite():
    class Broken:
        def get_potential_energy(self, *_, **__):
            return 0.0

        def get_forces(self, atoms=None):
            return np.full((32, 3), np.nan)

        def get_stress(self, atoms=None):
            return np.zeros(6)

    with pytest.raises(MDStopped, match="is not finite"):
        kff.md.run(copper(), Broken())


def test_errors_of_a_calculator_arrive():
    class Broken:
        def get_potential_energy(self, *_, **__):
            raise RuntimeError("no licence")

    with pytest.raises(RuntimeError, match="no licence"):
        kff.md.run(copper(), Broken())


def test_a_full_disk(potential, tmp_path, monkeypatch):
    with pytest.raises(OSError, match=r"/dev/full cannot be written: No space left.*Give a folder"):
        kff.md.run(copper(), potential, thermo="/dev/full", checkpoint=tmp_path / "run.checkpoint", steps=100)
    settle, calls = TextFile.settle, []

    def full_at_last(file):
        calls.append(file)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        return settle(file)

    settings = {"temperature": 300, "steps": 80, "thermo_every": 5, "checkpoint_every": 20}
    monkeypatch.setattr(TextFile, "settle", full_at_last)
    with pytest.raises(OSError, match=r"run.csv cannot be written.*kept up to step 20 in .*run.checkpoint; make room"):
        kff.md.run(copper(), potential, "nvt", thermo=tmp_path / "run.csv", **settings)
    monkeypatch.undo()
    parts = kff.md.run(copper(), potential, "nvt", thermo=tmp_path / "run.csv", **settings)
    whole = kff.md.run(copper(), potential, "nvt", thermo=tmp_path / "whole.csv", **settings)
    assert np.array_equal(parts.atoms.positions, whole.atoms.positions)
    assert (tmp_path / "run.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_folder_that_is_not_there(potential, tmp_path):
    with pytest.raises((OSError, ValueError), match="none"):
        kff.md.run(copper(), potential, trajectory=tmp_path / "none" / "run.xyz")
    with pytest.raises(OSError, match=r"cannot be written.*Give a folder"):
        kff.md.run(copper(), potential, thermo="/proc/run.csv")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"ensemble": "nvtt"}, "ensemble: must be one of"),
        ({"ensemble": "nvt"}, "temperature: ensemble 'nvt' needs one"),
        ({"ensemble": "nvt", "temperature": -1}, "must be > 0 K"),
        ({"temperature": (1, 2)}, "a ramp needs a thermostat"),
        ({"thermostat": "bussi"}, "has none"),
        ({"ensemble": "nvt", "temperature": 300, "pressure": 1}, "the cell is fixed"),
        ({"ensemble": "npt", "temperature": 300, "cell": "cubic"}, "cell: must be one of"),
        ({"ensemble": "langevin", "temperature": 300, "thermostat": "bussi"}, "disagree"),
        ({"timestep": 0}, "timestep"),
        ({"steps": 1.5}, "steps: must be a whole number"),
        ({"threads": 0}, "threads"),
        ({"seed": -1}, "seed"),
        ({"temperature": "warm"}, "warm|float"),
        ({"trajectory": "run.pdb"}, "must end in"),
        ({"thermo_every": 0}, "thermo_every"),
    ],
)
def test_bad_settings(settings, message, potential):
    with pytest.raises(ValueError, match=message):
        kff.md.run(copper(), potential, **settings)


def test_bad_atoms(potential):
    with pytest.raises(ValueError, match="unknown to this model"):
        kff.md.run(bulk("Si"), potential)
    with pytest.raises(ValueError, match="is empty"):
        kff.md.run(Atoms(), potential)
    atoms = copper()
    atoms.positions[2, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        kff.md.run(atoms, potential)
    with pytest.raises(ValueError, match="periodic in three directions"):
        kff.md.run(Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]]), potential, "npt", temperature=300)
    with pytest.raises(ValueError, match="potential: must be"):
        kff.md.run(copper(), "cu.kff")


# ---- the command ------------------------------------------------------------------------------------


def test_command(folder, tmp_path):
    arguments = ["md", folder / "cu.kff", folder / "cell.xyz", "--repeat", "2,2,2", "--temperature", "300,600"]
    arguments += [
        "--ensemble",
        "npt",
        "--steps",
        "40",
        "--every",
        "10",
        "--thermo-every",
        "10",
        "-o",
        tmp_path / "run.xyz",
    ]
    code, output = command(*arguments)
    assert code == 0, output
    for text in ("32 atoms (Cu), npt", "ns/day", "temperature", "volume", "run.csv"):
        assert text in output
    assert len(read(tmp_path / "run.xyz", ":")) == 5 and len(read_thermo(tmp_path / "run.csv")["step"]) == 5
    code, output = command(*arguments)
    assert code == 0 and "complete at step 40" in output
    code, output = command(*arguments, "--restart")
    assert code == 0 and "ns/day" in output


def test_command_with_errors(folder, tmp_path, monkeypatch):
    model, cell = folder / "cu.kff", folder / "cell.xyz"
    monkeypatch.chdir(tmp_path)
    code, output = command("md", model, cell)
    assert code == 1 and "needs one, in K" in output
    code, output = command("md", model, cell, "--temperature", "warm")
    assert code == 1 and "--temperature warm: give 1 or 2 numbers" in output
    code, output = command("md", model, cell, "--temperature", "300", "--timestep", "300", "-o", "boom.xyz")
    assert code == 1 and "would move" in output and "boom.checkpoint at step 0 is kept" in output
