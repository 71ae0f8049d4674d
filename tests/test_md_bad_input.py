"""What a run cannot use, and disks and folders that fail it: a clear word, and the last checkpoint kept."""

import errno
import os
import re

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write
from labelled import copper, emt_frames
from typer.testing import CliRunner

import kernelff as kff
from kernelff.cli import app
from kernelff.io.model_file import write_potential
from kernelff.md.files import read_thermo
from kernelff.md.guards import MDStopped

FULL, READ_ONLY = errno.ENOSPC, errno.EROFS


@pytest.fixture(scope="module")
def potential():
    return kff.MTP(level=8, cutoff=4.0, n_jobs=1).fit(emt_frames(12, 1)).potential_


@pytest.fixture(scope="module")
def model(potential, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "cu.kff"
    write_potential(path, potential, "test")
    return path


def command(*arguments):
    """Exit code and output; an exception that is not told as one clear message is a failure."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output and "fault of kernelff" not in result.output
    return result.exit_code, re.sub(r"\s+", " ", result.output)


# ---- atoms ------------------------------------------------------------------------------------------


def changed(name, value):
    atoms = copper()
    setattr(atoms, name, value)
    return atoms


def with_momenta(value):
    atoms = copper()
    atoms.arrays["momenta"] = np.full((32, 3), value)
    return atoms


def with_masses(value):
    atoms = copper()
    atoms.set_masses([value] * 32)
    return atoms


@pytest.mark.parametrize(
    "atoms, message",
    [
        (None, "atoms: must be ase.Atoms"),
        ([copper()], "atoms: must be ase.Atoms, one frame"),
        ("cell.xyz", "atoms: must be ase.Atoms"),
        (Atoms(cell=[5, 5, 5], pbc=True), "atoms: the frame is empty"),
        (changed("positions", np.full((32, 3), np.nan)), "positions: atom 0 .* not finite"),
        (changed("positions", np.full((32, 3), 1e7)), "positions: atom 0 .* too far out"),
        (changed("cell", np.diag([np.nan, 7, 7])), "cell: .* not finite"),
        (changed("cell", np.diag([0.0, 7, 7])), "cell: .* has no volume"),
        (changed("numbers", [0] * 32), r"atoms: species \[0\] are unknown"),
        (with_momenta(np.nan), "momenta are not finite"),
        (with_momenta(np.inf), "momenta are not finite"),
        (with_masses(0.0), "masses must be finite and > 0"),
        (with_masses(-1.0), "masses must be finite and > 0"),
        (with_masses(np.nan), "masses must be finite and > 0"),
    ],
)
def test_atoms_that_cannot_move(atoms, message, potential):
    with pytest.raises(ValueError, match=message):
        kff.md.run(atoms, potential, steps=3)


def test_observe_is_a_list(potential):
    with pytest.raises(ValueError, match="observe: must be a list of names such as 'rdf', or of objects, got 3"):
        kff.md.run(copper(), potential, observe=3)
    for one in (kff.md.RDF(bins=10**9), kff.md.LocalUncertainty(bins=10**9)):
        with pytest.raises(ValueError, match="bins: must be a whole number >= 1 and <= 100000"):
            kff.md.run(copper(), potential, observe=[one])


@pytest.mark.parametrize(
    "atoms, settings, reason",
    [
        (with_momenta(1e200), {}, "finite"),
        (with_masses(1e-300), {"temperature": 300}, "finite"),
        (changed("positions", np.repeat(copper().positions[::2], 2, axis=0)), {}, "close"),
        (copper(), {"timestep": 1e5, "temperature": 300}, "step"),
        (copper(), {"ensemble": "npt", "temperature": 300, "pressure": 1e9}, "step"),
        (copper(), {"ensemble": "npt", "temperature": 300, "pressure": -60, "steps": 10_000}, "volume"),
        (changed("cell", np.diag([1e-3] * 3)), {"min_distance": 0.0}, "crowded"),
    ],
)
def test_starts_that_explode(atoms, settings, reason, potential, tmp_path):
    with pytest.raises(MDStopped) as stopped:
        kff.md.run(atoms, potential, **{"steps": 100, "trajectory": tmp_path / "run.xyz"} | settings)
    assert stopped.value.reason == reason
    if reason not in ("close", "crowded"):  # before there was a first checkpoint
        assert "run.checkpoint at step 0 is kept" in str(stopped.value)
    assert len(read(tmp_path / "run.stopped.xyz", ":")) == 1


# ---- settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"steps": -1}, "steps: must be a whole number >= 0"),
        ({"trajectory": 5}, "trajectory: must be a path such as 'run.xyz', or None, got 5"),
        ({"trajectory": b"run.xyz"}, "trajectory: must be a path"),
        ({"thermo": True}, "thermo: must be a path such as 'run.csv', or None, got True"),
        ({"thermo": "run\0.csv"}, "thermo: must be a path"),
        ({"checkpoint": ["run.checkpoint"]}, "checkpoint: must be a path"),
        ({"observe": "rdf", "observables": 3.0}, "observables: must be a path such as 'run.observables.json'"),
        ({"progress": 5}, r"progress: must be True, False or a function \(done, total\), got 5"),
        ({"progress": "yes"}, "progress: must be True"),
        ({"steps": "100"}, "steps: must be a whole number"),
        ({"steps": None}, "steps: must be a whole number"),
        ({"steps": 10**21}, "steps: must be a whole number"),
        ({"thermo_every": np.nan}, "thermo_every: must be a whole number >= 1"),
        ({"threads": "2"}, "threads: must be"),
        ({"seed": None}, "seed: must be"),
        ({"seed": 1.5}, "seed: must be"),
        ({"temperature": (1, 2, 3), "ensemble": "nvt"}, "temperature: must be a number, or two"),
        ({"temperature": "hot"}, "temperature: must be a number"),
        ({"temperature": 0.0, "ensemble": "langevin"}, "temperature: must be > 0 K"),
        ({"temperature": np.inf}, "temperature: must be a number"),
        ({"timestep": -1.0}, "timestep: must be a number > 0"),
        ({"timestep": 1e300}, "timestep: must lie between 1e-09 and 1e.12 fs"),
        ({"timestep": 1e-300}, "timestep: must lie between"),
        ({"ensemble": "nose-hoover", "temperature": 300, "thermostat_time": 1e-5}, "thermostat_time: .* between 4 and"),
        ({"ensemble": "langevin", "temperature": 300, "thermostat_time": 1e300}, "thermostat_time: must lie between"),
        ({"ensemble": "npt", "temperature": 300, "barostat_time": 1e-3}, "barostat_time: must lie between 4 and"),
        ({"ensemble": "npt", "temperature": 300, "barostat_time": 1e300}, "barostat_time: must lie .* Usual is 1000"),
        ({"min_distance": "x"}, "min_distance: must be"),
        ({"min_distance": np.nan}, "min_distance: must be"),
        ({"max_volume_change": 1.0}, "max_volume_change: must be a number > 1"),
        ({"max_temperature": -5}, "max_temperature: must be"),
        ({"max_force": np.nan}, "max_force: must be"),
        ({"skin": np.inf}, "skin: must be"),
    ],
)
def test_settings_that_mean_nothing(settings, message, potential):
    with pytest.raises(ValueError, match=message):
        kff.md.run(copper(), potential, **settings)


def test_atoms_that_heat_up(potential, tmp_path):
    """A calculator whose forces are not the slopes of any energy turns the atoms faster and faster, by small forces."""

    class Vortex:
        def get_potential_energy(self, atoms=None, **_):
            return 0.0

        def get_forces(self, atoms=None):
            arms = atoms.positions - copper().positions
            return 0.25 * np.cross([0, 0, 1], arms) - 0.5 * arms

        def get_stress(self, atoms=None):
            return np.zeros(6)

    settings = {"thermo_every": 10, "trajectory": tmp_path / "run.xyz", "min_distance": 0.0}
    atoms = Atoms(copper(), pbc=False)
    with pytest.raises(MDStopped, match=r"have \S+ K, more than max_temperature 900.*timestep \(1 fs\)") as stopped:
        kff.md.run(atoms, Vortex(), temperature=300, steps=20_000, max_temperature=900, **settings)
    assert stopped.value.reason == "temperature" and 0 < stopped.value.step < 20_000
    assert (tmp_path / "run.stopped.xyz").exists() and (tmp_path / "run.checkpoint").exists()
    with pytest.raises(MDStopped, match=r"default of max_temperature, 1.2\S+e\+04"):  # 10 (1 + 20/90) 1000 K
        kff.md.run(atoms, Vortex(), temperature=300, steps=20_000, resume=False, **settings)


def test_atoms_that_are_close_beyond_the_reach_of_every_kernel(potential):
    """Of a calculator that is asked through Python, or under a min_distance beyond the cutoff."""

    class Nothing:
        def get_potential_energy(self, atoms=None, **_):
            return 0.0

        def get_forces(self, atoms=None):
            return np.zeros((len(atoms), 3))

        def get_stress(self, atoms=None):
            return np.zeros(6)

    atoms = copper()
    atoms.positions[3] = atoms.positions[5] + [0.0, 0.25, 0.0]
    with pytest.raises(MDStopped, match=r"are 0.25 Å apart") as stopped:
        kff.md.run(atoms, Nothing())
    assert sorted(stopped.value.atoms) == [3, 5]
    with pytest.raises(MDStopped, match=r"Å apart .* less than min_distance = 5"):
        kff.md.run(copper(), potential, min_distance=5.0)


def test_a_guard_rail_that_is_raised_lets_the_run_go_on(potential, tmp_path):
    """As the message says: guard rails are not part of what a checkpoint belongs to."""
    settings = {"temperature": 1500, "steps": 100, "checkpoint_every": 10, "thermo_every": 10}
    with pytest.raises(MDStopped, match="raise max_step"):
        kff.md.run(copper(), potential, "nvt", max_step=0.0125, thermo=tmp_path / "a.csv", seed=3, **settings)
    parts = kff.md.run(copper(), potential, "nvt", max_step=1.0, thermo=tmp_path / "a.csv", seed=3, **settings)
    whole = kff.md.run(copper(), potential, "nvt", seed=3, **settings)
    assert np.abs(parts.atoms.positions - whole.atoms.positions).max() < 1e-9


# ---- disks and folders ------------------------------------------------------------------------------


def test_files_that_would_overwrite_each_other(potential, tmp_path):
    path = tmp_path / "run.xyz"
    with pytest.raises(ValueError, match=r"thermo: .* is the file of trajectory, too"):
        kff.md.run(copper(), potential, trajectory=path, thermo=path)
    with pytest.raises(ValueError, match=r"checkpoint: .* is the file of trajectory, too"):
        kff.md.run(copper(), potential, trajectory=path, checkpoint=tmp_path / "." / "run.xyz")
    with pytest.raises(ValueError, match=r"checkpoint: .* is a folder"):
        kff.md.run(copper(), potential, thermo=tmp_path / "run.csv", checkpoint=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["xyz", "traj"])
def test_folders_that_are_none(suffix, potential, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in ("none", "file"):
        with pytest.raises(OSError, match=rf"{folder}/run.{suffix} cannot be written"):
            kff.md.run(copper(), potential, trajectory=tmp_path / folder / f"run.{suffix}")
    with pytest.raises(ValueError, match=r"the folder .* does not exist"):
        kff.md.run(copper(), potential, checkpoint=tmp_path / "none" / "run.checkpoint")


def failing(function, number, after):
    """The function, which raises OSError(number) from a call on."""
    calls = []

    def wrapped(*arguments, **others):
        calls.append(arguments)
        if len(calls) > after:
            raise OSError(number, os.strerror(number))
        return function(*arguments, **others)

    return wrapped


@pytest.mark.parametrize("where, number", [("replace", READ_ONLY), ("fsync", FULL), ("fsync", errno.EIO)])
def test_a_disk_that_fails_in_the_middle_of_a_checkpoint(where, number, potential, tmp_path, monkeypatch):
    """The one before it is whole, nothing torn is left, and the run goes on with the same bits once there is room."""
    settings = {"ensemble": "nvt", "temperature": 300, "steps": 80, "thermo_every": 10, "checkpoint_every": 20}
    monkeypatch.setattr(f"kernelff.io.safe_file.os.{where}", failing(getattr(os, where), number, 3))
    with pytest.raises(OSError, match=r"cannot be written: .* kept up to step \d+ in .*run.checkpoint"):
        kff.md.run(copper(), potential, thermo=tmp_path / "run.csv", **settings)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.checkpoint", "run.csv"]
    parts = kff.md.run(copper(), potential, thermo=tmp_path / "run.csv", **settings)
    whole = kff.md.run(copper(), potential, thermo=tmp_path / "whole.csv", **settings)
    assert np.array_equal(parts.atoms.positions, whole.atoms.positions)
    assert (tmp_path / "run.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_folder_that_becomes_read_only(potential, tmp_path, monkeypatch):
    settings = {"ensemble": "nvt", "temperature": 300, "checkpoint_every": 20, "thermo": tmp_path / "run.csv"}
    kff.md.run(copper(), potential, steps=40, **settings)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def refuse(*arguments, **others):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "run.csv"))

    monkeypatch.setattr("kernelff.md.files.open", refuse, raising=False)
    with pytest.raises(OSError, match=r"run.csv cannot be written: Permission denied"):
        kff.md.run(copper(), potential, steps=80, **settings)
    monkeypatch.undo()
    monkeypatch.setattr("kernelff.io.safe_file.tempfile.mkstemp", refuse)
    with pytest.raises(OSError, match=r"Permission denied.*kept up to step 40"):
        kff.md.run(copper(), potential, steps=80, **settings)
    monkeypatch.undo()
    assert (tmp_path / "run.checkpoint").read_bytes() == before["run.checkpoint"]
    assert kff.md.run(copper(), potential, steps=80, **settings).thermo["step"][-1] == 80


def test_killed_while_a_checkpoint_is_written(potential, tmp_path, monkeypatch):
    """What is torn stands beside the checkpoint before, which is whole: as after kill -9 between write and replace."""
    settings = {"ensemble": "nvt", "temperature": 300, "steps": 80, "thermo_every": 10, "checkpoint_every": 20}
    replace, calls = os.replace, []

    def killed(source, target):
        calls.append(source)
        if len(calls) == 3:
            data = open(source, "rb").read()
            open(tmp_path / ".run.checkpoint.torn.part", "wb").write(data[: len(data) // 2])
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr("kernelff.io.safe_file.os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        kff.md.run(copper(), potential, thermo=tmp_path / "run.csv", **settings)
    monkeypatch.undo()
    parts = kff.md.run(copper(), potential, thermo=tmp_path / "run.csv", **settings)
    whole = kff.md.run(copper(), potential, thermo=tmp_path / "whole.csv", **settings)
    assert np.array_equal(parts.atoms.positions, whole.atoms.positions)
    assert read_thermo(tmp_path / "run.csv")["step"].tolist() == list(range(0, 81, 10))


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_a_torn_checkpoint_is_named(size, potential, tmp_path):
    settings = {"thermo": tmp_path / "run.csv", "steps": 20}
    kff.md.run(copper(), potential, **settings)
    path = tmp_path / "run.checkpoint"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"run.checkpoint' is not a whole kernelff file"):
        kff.md.run(copper(), potential, **settings)


# ---- the command ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--temperature", "nan"], "temperature: must be a number"),
        (["--temperature", "300", "--steps", "-5"], "steps: must be a whole number"),
        (["--temperature", "300", "--repeat", "0,1,1"], "--repeat 0,1,1: give whole numbers >= 1"),
        (["--temperature", "300", "--repeat", "1.5,1,1"], "--repeat 1.5,1,1: give whole numbers >= 1"),
        (["--temperature", "300", "--repeat=-1,1,1"], "give whole numbers >= 1"),
        (["--temperature", "300", "--repeat", "1e4,1e4,1e4"], "that make at most"),
        (["--temperature", "300", "--ensemble", "npt", "--barostat-time", "1e300"], "barostat_time: must lie"),
        (["--temperature", "300", "--max-temperature", "0"], "max_temperature: must be"),
        (["--temperature", "300", "--max-force", "1e-6"], "above max_force"),
        (["--temperature", "300", "-o", "none/run.xyz"], "none/run.xyz cannot be written"),
        (["--temperature", "300", "-o", "cell.xyz", "--restart"], "that is the file of the start"),
        (["--temperature", "300", "-o", "run"], "must end in"),
    ],
)
def test_command(arguments, message, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("cell.xyz", copper())
    before = (tmp_path / "cell.xyz").read_bytes()
    code, output = command("md", model, "cell.xyz", *arguments)
    assert code == 1 and message in output, output
    assert (tmp_path / "cell.xyz").read_bytes() == before


@pytest.mark.parametrize(
    "content, message",
    [("", "cannot read this file"), ("hello\nworld\n", "cannot read this file"), (None, "no such file")],
)
def test_command_with_a_start_that_is_none(content, message, model, tmp_path):
    path = tmp_path / "start.xyz"
    if content is not None:
        path.write_text(content)
    code, output = command("md", model, path, "--temperature", "300", "-o", tmp_path / "run.xyz")
    assert code == 1 and message in output
