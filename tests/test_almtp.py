"""MLIP's .almtp files: the active set behind the potential, read, written, and damaged."""

import re
import warnings
from pathlib import Path

import ase.io
import checks
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from systems import frame
from typer.testing import CliRunner

import kernelff as kff
from kernelff.cli import app
from kernelff.error_bars.coefficient_rows import all_rows
from kernelff.io.almtp import read_selection
from kernelff.io.model_file import write_potential
from kernelff.terms import BasisTerm

FILE = Path(__file__).parent / "data" / "two_types.mtp"
TYPES = [14, 6]
N = 4 * 2 * 8 + 2 + 9


def frames_of_two_elements(n=30, seed=0):
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n):
        atoms = frame("triclinic" if k % 3 else "silicon", 0.15, seed=k)
        atoms.numbers[:] = rng.choice(TYPES, len(atoms))
        frames.append(atoms)
    return frames


FRAMES = frames_of_two_elements()
NEW = frames_of_two_elements(8, seed=1)


def potential_of(mode="neighborhood"):
    potential = kff.read_mtp(FILE, TYPES)
    return potential.with_active_set(kff.ActiveSet.select(potential, FRAMES, mode=mode))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("almtp") / "x.almtp"
    assert kff.write_mtp(potential_of(), path, FRAMES) == (14, 6)
    return path


def test_derivatives_by_all_coefficients():
    potential = kff.read_mtp(FILE, TYPES)
    descriptor, weights = potential.terms[0].descriptor, potential.weights
    neighbors = kff.NeighborList.from_atoms(FRAMES[3], descriptor.cutoff)
    rows = all_rows(potential.terms, weights, neighbors, TYPES, 3)  # one radial function more than moments use
    direction = np.random.default_rng(0).normal(size=(2, 2, 3, 8))
    step = 1e-6

    def energies(h):
        moved = descriptor.coefficients + h * direction[::-1, ::-1, :2]  # types 0, 1 are Si, C
        own = (descriptor.species, descriptor.program, moved, descriptor.min_dist, descriptor.cutoff)
        return type(descriptor)(*own, descriptor.scaling).compute(neighbors) @ weights

    numeric = (energies(step) - energies(-step)) / (2 * step)
    checks.close(rows[:, :96] @ direction.ravel(), numeric, 1e-6, "radial coefficients")
    linear = np.concatenate([[potential.e0[14], potential.e0[6]], weights])
    checks.close(rows[:, 96:] @ linear, potential.compute(FRAMES[3]).energies, 1e-12, "linear coefficients")


@pytest.mark.parametrize("mode", ["neighborhood", "configuration"])
def test_read_write_read(tmp_path, mode):
    kff.write_mtp(potential_of(mode), tmp_path / "a.almtp", FRAMES)
    first = kff.load(tmp_path / "a.almtp", species=TYPES)
    kff.write_mtp(first, tmp_path / "b.almtp")
    assert (tmp_path / "a.almtp").read_bytes() == (tmp_path / "b.almtp").read_bytes()
    active = first.active_set
    assert active.mode == mode and active.n_columns == N and active.species == (14, 6)
    write_potential(tmp_path / "c.kff", first, "0")
    again = kff.load(tmp_path / "c.kff")
    for atoms in NEW:
        assert np.array_equal(again.extrapolation_grade(atoms), first.extrapolation_grade(atoms))
    kff.write_mtp(again, tmp_path / "d.almtp")
    assert (tmp_path / "a.almtp").read_bytes() == (tmp_path / "d.almtp").read_bytes()


def test_grades_of_the_file(written):
    """By the definition from the bytes of the file: max |invA b| with rows of the selected atoms in A."""
    potential = kff.load(written, species=TYPES)
    active = potential.active_set
    data = written.read_bytes()
    start = re.search(rb"weight_scaling 0\n#", data).end()
    A, invA = np.frombuffer(data[start : start + 16 * N * N], dtype="<f8").reshape(2, N, N)
    rows = {k: active.rows_of(potential, atoms) for k, atoms in enumerate(active.frames)}
    used = active.rows[:, 0] >= 0
    assert 20 < used.sum() < N
    for k in np.flatnonzero(used):
        assert np.array_equal(A[k], rows[active.rows[k, 0]][active.rows[k, 1]])
    assert np.abs(A @ invA.T - np.eye(N)).max() < 1e-6
    for atoms in NEW:
        expected = np.abs(active.rows_of(potential, atoms) @ invA.T).max(axis=1)
        checks.close(potential.extrapolation_grade(atoms), expected, 1e-12, "grades")
    assert max(potential.extrapolation_grade(atoms).max() for atoms in FRAMES) < 1.01
    assert max(potential.extrapolation_grade(atoms).max() for atoms in NEW) > 2.0


def test_a_foreign_file(tmp_path, written):
    """Weights that are not 1, labelled configurations without elements, rows that nothing replaced."""
    text, data = FILE.read_bytes(), written.read_bytes()
    start = re.search(rb"weight_scaling 0\n#", data).end()
    A, inverse = (np.diag(np.full(N, 4.0)), np.diag(np.full(N, 0.25)))
    head = b"\n#MVS_v1.1\nenergy_weight 2\nforce_weight 0\nstress_weight 0\nsite_en_weight 0\nweight_scaling 1\n#"
    rows = "".join(["0 0\n", *["-1 -1\n"] * (N - 1)]).encode()
    config = (
        b"BEGIN_CFG\n Size\n 1\n AtomData: id type cartes_x cartes_y cartes_z\n 1 1 0 0 0\n Energy\n -2.5\nEND_CFG\n"
    )
    path = tmp_path / "foreign.almtp"
    path.write_bytes(text + head + np.stack([A, inverse]).tobytes() + b"\n#\n" + rows + b"#\n" + config)
    potential = kff.load(path, species=TYPES)
    active = potential.active_set
    assert active.mode == "configuration" and active.weight_scaling == 1 and active.rows[0].tolist() == [0, 0]
    assert active.frames[0].get_potential_energy() == -2.5 and active.frames[0].numbers.tolist() == [6]
    neighbors = kff.NeighborList.from_atoms(FRAMES[1], potential.cutoff)
    b = all_rows(potential.terms, potential.weights, neighbors, TYPES, 2).sum(axis=0)
    assert potential.extrapolation_grade(FRAMES[1]) == pytest.approx(2 * np.abs(b).max() / 4 / np.sqrt(len(FRAMES[1])))
    assert data[start - 1 : start] == b"#"


def test_our_own_moments_are_written(tmp_path):
    frames = [atoms for atoms in FRAMES if len(atoms) > 2]
    for atoms in frames:
        atoms.numbers[:] = 14
    built = kff.MomentTensors(8, 4.5, radial_basis_size=6).build_for(frames, None, 2.0)
    weights = np.random.default_rng(0).normal(size=built.n_features)
    active_set = kff.ActiveSet.select(built, frames)
    potential = kff.Potential([BasisTerm(built)], weights, {14: -1.0}, active_set=active_set)
    path = tmp_path / "own.almtp"
    with pytest.warns(UserWarning, match=r"chosen from the \d+ frames of the potential's own"):
        kff.write_mtp(potential, path)
    found = kff.load(path, species=["Si"])
    assert max(found.extrapolation_grade(atoms).max() for atoms in active_set.frames) < 1.01
    kff.write_mtp(potential.with_active_set(None), path)
    assert kff.load(path, species=["Si"]).active_set is None
    kff.write_mtp(potential.with_active_set(None), path, frames)
    found = kff.load(path, species=["Si"])
    assert max(found.extrapolation_grade(atoms).max() for atoms in frames) < 1.01
    with pytest.raises(ValueError, match=r"frames: are for an active set"):
        kff.write_mtp(potential, tmp_path / "own.mtp", frames)


def test_frames_keep_their_labels(tmp_path, written):
    potential = kff.load(written, species=TYPES)
    active = potential.active_set
    labelled = [atoms.copy() for atoms in active.frames]
    for k, atoms in enumerate(labelled):
        atoms.info["EFS_by"] = "VASP"
        results = {"energy": 0.1 * k} | ({"forces": atoms.positions / 3, "stress": np.arange(6) / 7} if k % 2 else {})
        atoms.calc = SinglePointCalculator(atoms, **results)
    parts = (active.mode, active.species, active.inverse, active.rows, labelled, None, active.matrix, active.n_radial)
    write_potential(tmp_path / "x.kff", potential.with_active_set(kff.ActiveSet(*parts)), "0")
    again = kff.load(tmp_path / "x.kff").active_set.frames
    for one, other in zip(again, labelled, strict=True):
        assert one.info == other.info and one.calc.results.keys() == other.calc.results.keys()
        assert all(np.array_equal(one.calc.results[key], value) for key, value in other.calc.results.items())


# ---- damaged files --------------------------------------------------------------------------------


DAMAGES = {
    b"MVS_v1.1": (b"MVS_v2.0", "begins with b'#MVS_v2.0', only #MVS_v1.1"),
    b"energy_weight 0": (b"energy_weight x", "'energy_weight x\\n' stands where"),
    b"force_weight 0": (b"energy_weight 0", "stands where"),
    b"site_en_weight 1": (b"site_en_weight -1", "they must be >= 0"),
    b"weight_scaling 0": (b"weight_scaling 7", "weight_scaling 0, 1 or 2"),
    b"weight_scaling 0\n#": (b"weight_scaling 0\n", "there is no '#' before the matrices"),
    b"weight_scaling 0\n": (b"", "stands where"),
    b"\n#\n": (b"", "matrices do not end where they should"),
}


@pytest.mark.parametrize("old", DAMAGES)
def test_damaged_files(tmp_path, written, old):
    new, message = DAMAGES[old]
    data, path = written.read_bytes(), tmp_path / "bad.almtp"
    position = data.index(old, data.index(b"#MVS"))
    path.write_bytes(data[:position] + new + data[position + len(old) :])
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        kff.load(path, species=TYPES)
    assert "bad.almtp': selection state: " in str(caught.value) and "selection=False" in str(caught.value)
    assert kff.read_mtp(path, TYPES, selection=False).active_set is None


def test_damaged_rows_and_numbers(tmp_path, written):
    data, path = written.read_bytes(), tmp_path / "bad.almtp"
    start = re.search(rb"weight_scaling 0\n#", data).end()
    end = start + 16 * N * N
    tail = data[end:].decode()
    first = tail.splitlines()[2]
    for text, message in (
        (tail.replace(first, "x y", 1), f"active row 0 of {N} should be two whole numbers, found 'x y"),
        (tail.replace(first, "999 0", 1), "equation 0 of configuration 999, which does not exist"),
        (tail.replace(first, "0 999", 1), "equation 999 of configuration 0, which does not exist"),
        (tail.replace("\n#\nBEGIN", "\nBEGIN", 1), f"there is no '#' after {N} active rows"),
        (tail.replace("Size", "Sise", 1), "selected configurations: configuration 0, line 2: 'Sise' is not known"),
        (tail.replace("species   Si,C", "species   C,Si", 1), "the file says that its types are C,Si"),
    ):
        path.write_bytes(data[:end] + text.encode())
        with pytest.raises(ValueError, match=re.escape(message)):
            kff.load(path, species=TYPES)
    path.write_bytes(data[:start] + np.full(1, np.nan).tobytes() + data[start + 8 :])
    with pytest.raises(ValueError, match="matrices hold numbers that are not finite"):
        kff.load(path, species=TYPES)
    path.write_bytes(data[:start] + data[start + 8 * N : end] + data[start : start + 8 * N] + data[end:])
    with pytest.warns(UserWarning, match="not inverse to each other"):
        kff.load(path, species=TYPES)


def test_truncated_files(tmp_path, written):
    data, path = written.read_bytes(), tmp_path / "short.almtp"
    start = data.index(b"#MVS")
    cuts = [*range(start + 4, start + 120, 7), *range(start + 120, len(data) - 2, (len(data) - start) // 60)]
    whole = {m.end() for m in re.finditer(rb"END_CFG\n*", data)}
    for n in cuts:
        path.write_bytes(data[:n])
        if n in whole or n + 1 in whole:
            continue
        with pytest.raises(ValueError, match=r"short\.almtp"):
            kff.load(path, species=TYPES)


def test_gigantic_matrices_are_not_read(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"#MVS_v1.1\n")
    with pytest.raises(ValueError, match="400109 coefficients are more than 10000"):
        read_selection(path, 0, list(range(1, 101)), (100, 100, 5, 8), 9)


def test_states_that_are_not_supported(tmp_path, written):
    path = tmp_path / "x.almtp"
    path.write_bytes(written.read_bytes().replace(b"force_weight 0", b"force_weight 1", 1))
    with pytest.warns(UserWarning, match="rows of force_weight and site_en_weight"):
        potential = kff.load(path, species=TYPES)
    with pytest.raises(ValueError, match="no active set"):
        potential.extrapolation_grade(NEW[0])


def test_commands(tmp_path, written):
    def run(*words):
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    assert "selection state in the file" in run("info", written)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run("convert", written, tmp_path / "x.kff", "--species", "Si,C")
    assert re.search(r"extrapolation grade active set of \d+ environments", run("info", tmp_path / "x.kff"))
    assert "0 Si, 1 C" in run("convert", tmp_path / "x.kff", tmp_path / "again.almtp")
    assert (tmp_path / "again.almtp").read_bytes() == written.read_bytes()
    ase.io.write(tmp_path / "frames.xyz", FRAMES)
    run("convert", tmp_path / "x.kff", tmp_path / "other.almtp", "--frames", tmp_path / "frames.xyz")
    other = kff.load(tmp_path / "other.almtp", species=TYPES)
    assert max(other.extrapolation_grade(atoms).max() for atoms in FRAMES) < 1.01


def test_lone_atoms_have_a_grade(written):
    grade = kff.load(written, species=TYPES).extrapolation_grade(Atoms("Si"))
    assert grade.shape == (1,) and np.isfinite(grade).all()
