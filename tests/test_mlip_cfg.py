"""MLIP's .cfg files: values of motep, signs, read-write-read, and files that are damaged."""

import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from systems import frame
from typer.testing import CliRunner

import kernelff as kff
from kernelff.cli import app
from kernelff.io import LabelKeys, labels, read_cfg, read_frames, write_cfg

# written by motep 0.2.0, tabs and blanks included; its reader's values stand in the first test
TEXT = """BEGIN_CFG
 Size
     2
 Supercell
         3.600000      0.000000      0.000000
         1.900000      3.100000      0.000000
        -1.500000      1.200000      3.400000
 AtomData:  id type       cartes_x      cartes_y      cartes_z           fx          fy          fz
             1    0       0.114000      0.105000      0.034000     0.177718    0.179535    0.088948
             2    0       0.955000      1.030000      0.986000    -0.177718   -0.179535   -0.088948
 Energy
          6.519767547779
 PlusStress:  xx          yy          zz          yz          xz          xy
        -0.29186    -0.10732     0.02129    -0.17038    -0.01058     0.12050
 Feature   EFS_by\tmotep
 Feature   conf_id\tsi2_skew
END_CFG

BEGIN_CFG
 Size
     2
 AtomData:  id type       cartes_x      cartes_y      cartes_z
             2    1       1.200000      0.100000      0.500000
             1    0       0.000000      0.000000      0.000000
END_CFG
"""


def edited(tmp_path, *changes, text=TEXT):
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "frames.cfg"
    path.write_text(text)
    return path


def same(one, other):
    assert np.array_equal(one.numbers, other.numbers) and np.array_equal(one.positions, other.positions)
    assert np.array_equal(one.cell.array, other.cell.array) and np.array_equal(one.pbc, other.pbc)
    assert set(one.arrays) == set(other.arrays) and one.info.keys() == other.info.keys()
    assert all(np.array_equal(one.info[key], other.info[key]) for key in one.info)
    for found, expected in zip(labels(one), labels(other), strict=True):
        assert np.array_equal(found, expected)


def test_a_file_of_motep(tmp_path):
    first, second = read_cfg(edited(tmp_path), ["Si", "C"])
    assert first.numbers.tolist() == [14, 14] and first.pbc.all() and first.get_potential_energy() == 6.519767547779
    assert first.cell.array[2].tolist() == [-1.5, 1.2, 3.4] and first.positions[1].tolist() == [0.955, 1.03, 0.986]
    assert first.get_forces()[0].tolist() == [0.177718, 0.179535, 0.088948]
    expected = [0.00769186169, 0.00282837866, -0.00056109003, 0.00449030150, 0.00027883196, -0.00317573266]
    assert first.get_stress() == pytest.approx(expected, abs=1e-10)
    assert first.info == {"EFS_by": "motep", "conf_id": "si2_skew"}
    assert second.numbers.tolist() == [14, 6] and not second.pbc.any() and second.calc is None
    assert second.positions[1].tolist() == [1.2, 0.1, 0.5]


def test_plus_stress_is_minus_the_strain_derivative(tmp_path):
    atoms = frame("triclinic", 0.0)
    atoms.numbers[:] = 29
    atoms.calc = EMT()
    kept = atoms.copy()
    kept.calc = SinglePointCalculator(kept, **{"energy": atoms.get_potential_energy(), "stress": atoms.get_stress()})
    write_cfg(tmp_path / "x.cfg", [kept])
    row = re.search(r"PlusStress:.*\n(.*)", (tmp_path / "x.cfg").read_text())[1]
    step = 1e-5
    for found, (a, b) in zip(map(float, row.split()), ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)), strict=True):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * step / 2
            strain[b, a] += sign * step / 2
            strained = atoms.copy()
            strained.calc = EMT()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(strained.get_potential_energy())
        derivative = (energies[0] - energies[1]) / (2 * step)
        assert found == pytest.approx(-derivative, abs=1e-5)
    assert abs(found) > 1e-2


def test_read_write_read(tmp_path):
    first, second = read_cfg(edited(tmp_path), ["Si", "C"])
    first.arrays["site_en"] = np.array([0.1, 1 / 3])
    second.info |= {"MV_grade": "1.25", "note": "two words\nand a line", "empty": "", "virial": np.arange(6) / 7}
    assert write_cfg(tmp_path / "again.cfg", [first, second], [14, 6]) == (14, 6)
    again = read_cfg(tmp_path / "again.cfg")
    for one, other in zip(again, (first, second), strict=True):
        same(one, other)
    write_cfg(tmp_path / "third.cfg", again, "Si,C")
    assert (tmp_path / "third.cfg").read_text() == (tmp_path / "again.cfg").read_text()


def test_numbers_have_no_exponent(tmp_path):
    """motep 0.2.0 takes digits, a point and a minus sign for a number."""
    atoms = bulk("Cu", a=3.6)
    atoms.positions[0] = [-2.5e-6, 0.1 + 0.2, 1e-17]
    write_cfg(tmp_path / "a.cfg", [atoms])
    assert " -0.0000025 0.30000000000000004 0.00000000000000001\n" in (tmp_path / "a.cfg").read_text()
    assert (read_cfg(tmp_path / "a.cfg")[0].positions == atoms.positions).all()


def test_any_stress_that_was_read_comes_back(tmp_path):
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(100):
        atoms = bulk("Cu", a=rng.uniform(3, 5))
        atoms.calc = SinglePointCalculator(atoms, energy=rng.normal(), stress=rng.normal(size=6))
        frames.append(atoms)
    write_cfg(tmp_path / "a.cfg", frames)
    first = read_cfg(tmp_path / "a.cfg")
    write_cfg(tmp_path / "b.cfg", first)
    for one, other, original in zip(first, read_cfg(tmp_path / "b.cfg"), frames, strict=True):
        same(one, other)
        assert one.get_stress() == pytest.approx(original.get_stress(), rel=1e-15)


def test_labels_under_other_names_and_features(tmp_path):
    atoms = bulk("Si")
    atoms.info |= {"REF_energy": -3.25, "config_type": "bulk", "step": 7, "not kept": 1, "matrix": np.eye(2)}
    atoms.arrays["REF_forces"] = np.full((2, 3), 0.125)
    write_cfg(tmp_path / "x.cfg", [atoms])
    (found,) = read_frames(tmp_path / "x.cfg")
    assert found.get_potential_energy() == -3.25 and (found.get_forces() == 0.125).all()
    assert found.info == {"config_type": "bulk", "step": "7"}


def test_direct_positions_and_columns_in_another_order(tmp_path):
    path = edited(
        tmp_path,
        ("cartes_x      cartes_y      cartes_z           fx          fy          fz", "direct_z direct_y direct_x"),
        ("0.114000      0.105000      0.034000     0.177718    0.179535    0.088948", "0.5 0.25 0"),
        ("0.955000      1.030000      0.986000    -0.177718   -0.179535   -0.088948", "0 0 1"),
        ("xx          yy          zz          yz          xz          xy", "xy xx yy zz yz xz"),
        ("Supercell", "SuperCell"),
    )
    first = read_cfg(path, "Si C")[0]
    assert first.positions == pytest.approx(np.array([[0.475 - 0.75, 0.775 + 0.6, 1.7], [3.6, 0, 0]]))
    assert first.get_stress()[5] == pytest.approx(0.29186 / first.get_volume())


def test_reading_as_any_file_of_frames(tmp_path):
    path = edited(tmp_path)
    assert len(read_frames(path, species=["Si", "C"])) == 2
    assert len(read_frames(path, "1:", species=["Si", "C"])) == 1
    assert len(read_frames(path, keys=LabelKeys(species="Si,C"))) == 2
    assert read_frames(path, -1, species=[14, 6])[0].numbers.tolist() == [14, 6]
    with pytest.raises(ValueError, match="index '7' of 2 frames"):
        read_frames(path, "7", species=[14, 6])
    other = tmp_path / "atomeye.cfg"
    bulk("Si", cubic=True).write(other, format="cfg")
    assert read_frames(other)[0].numbers.tolist() == [14] * 8


# ---- what cannot be read or written ---------------------------------------------------------------


DAMAGES = {
    "unknown line": ("Energy", "Enthalpy", "line 11: 'Enthalpy' is not known"),
    "negative size": ("     2\n", "    -2\n", "line 3: Size must be a whole number >= 0, got '-2'"),
    "huge size": ("     2\n", "    999999999\n", "line 11: an atom: could not convert string to float: 'Energy'"),
    "gigantic size": ("     2\n", "    99999999999\n", "Size must be a whole number"),
    "small size": ("     2\n", "    1\n", "line 10: '2    0"),
    "two vectors": ("        -1.500000      1.200000      3.400000\n", "", "Supercell has 2 lattice vectors"),
    "short vector": ("1.200000      3.400000", "1.2", "line 7: a lattice vector needs 3 numbers, found 2"),
    "flat cell": ("-1.500000      1.200000      3.400000", "3.6 0 0", "PlusStress: the cell has no volume"),
    "nan position": ("0.114000", "nan", "line 9: an atom has '1 0 nan"),
    "infinite force": ("0.177718", "inf", "not all finite numbers"),
    "underscore": ("0.114000", "0_114000", "not all finite numbers"),
    "word": ("0.114000", "x", "line 9: an atom: could not convert string to float: 'x'"),
    "missing column": ("0.114000", "", "line 9: an atom needs 8 numbers, found 7"),
    "nan energy": ("6.519767547779", "nan", "line 12: the energy has 'nan'"),
    "column twice": ("fz", "fy", "AtomData: must name id, type and other columns once"),
    "no force in y": ("fy", "gy", "has not all of fx fy fz"),
    "no position": ("cartes_z", "cart_z", "has neither cartes_x"),
    "wrong ids": ("             2    0 ", "             1    0 ", "the ids of the 2 atoms are not 1 to 2"),
    "type": ("             2    0 ", "             2    0.5 ", "types must be whole numbers"),
    "negative type": ("             2    0 ", "             2    -1 ", "types must be whole numbers"),
    "high type": ("             2    0 ", "             2    3 ", "species: there is a type 3, but 2 elements"),
    "old stress": ("PlusStress", "Stress", "whose sign is not known"),
    "stress components": ("xz          xy", "xz          zx", "PlusStress: must name xx yy zz yz xz xy"),
    "twice": (" Energy\n", " Energy\n 1.0\n Energy\n", "Energy stands twice"),
    "no size": (" Size\n     2\n", "", "AtomData: stands before Size"),
    "feature": (" Feature   EFS_by\tmotep", " Feature", "Feature without a name"),
    "numbers": ("cartes_x", "numbers", "has neither"),
    "text between": ("\n\nBEGIN", "\n\nBEGUN", "configuration 1, line 19: found 'BEGUN_CFG'"),
    "no atoms": ("AtomData:", "Feature", "is not known"),
    "long line": ("EFS_by", "x" * 200_000, "the line is longer than 100000 characters"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_files(tmp_path, name):
    old, new, message = DAMAGES[name]
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_cfg(edited(tmp_path, (old, new)), ["Si", "C"])
    assert "frames.cfg: configuration " in str(caught.value)


def test_truncated_files(tmp_path):
    path, ends = tmp_path / "short.cfg", [m.end() for m in re.finditer("END_CFG", TEXT)]
    for n in range(1, len(TEXT), 13):
        path.write_text(TEXT[:n])
        if any(end <= n <= end + 2 for end in ends):
            continue
        with pytest.raises(ValueError, match=r"short\.cfg: configuration [01], line \d+"):
            read_cfg(path, [14, 6])


def test_files_of_another_kind(tmp_path):
    path = tmp_path / "other.cfg"
    for data in (b"\x00\xff" * 100, b"BEGIN_CFG\n" + b"\x00" * 300_000, b"BEGIN_CFG\n" * 3):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"other\.cfg"):
            read_cfg(path, [14])
    with path.open("wb") as file:
        file.write(b"BEGIN_CFG\n")
        file.truncate(10**9)
    with pytest.raises(ValueError, match="longer than"):
        read_frames(path, species=[14])
    with pytest.raises(ValueError, match="there is no file"):
        read_cfg(tmp_path / "nothing.cfg")
    path.write_bytes(b"")
    assert read_cfg(path) == []


def test_types_need_elements(tmp_path):
    path = edited(tmp_path)
    with pytest.raises(ValueError, match=r"holds types up to 0 without .*--species Si,C"):
        read_frames(path)
    for wrong in ([14], "Si,Xx", [14, 14], [], 3.5):
        with pytest.raises(ValueError, match="species: "):
            read_cfg(path, wrong)
    write_cfg(path, [Atoms("SiC", [[0, 0, 0], [2, 0, 0]])], ["Si", "C"])
    with pytest.raises(ValueError, match="the file says that its types are Si,C, got C,Si"):
        read_cfg(path, ["C", "Si"])
    with pytest.raises(ValueError, match="the frames also hold C"):
        write_cfg(path, [Atoms("SiC", [[0, 0, 0], [2, 0, 0]])], ["Si"])
    with pytest.raises(ValueError, match="frame 0: is periodic along"):
        write_cfg(path, [frame("slab")])
    assert read_cfg(path)[0].numbers.tolist() == [14, 6]


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, " ".join(result.output.split())


def test_commands(tmp_path):
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(3):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, rng=rng)
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    source, target, again = (tmp_path / name for name in ("a.traj", "b.cfg", "c.xyz"))
    kff.io.frames.ase.io.write(source, frames)
    code, output = run("convert", source, target)
    assert code == 0 and "3 frames" in output and "0 Cu" in output
    code, output = run("convert", target, again)
    assert code == 0, output
    for one, other in zip(read_frames(again), frames, strict=True):
        assert one.get_forces() == pytest.approx(other.get_forces(), abs=1e-7)
    code, output = run("info", target)
    assert code == 0 and "Cu 12" in output
    foreign = tmp_path / "foreign.cfg"
    foreign.write_text(re.sub(".*Feature.*\n", "", target.read_text()))
    for command in ("info", "check"):
        assert "without their elements" in run(command, foreign)[1]
        assert "Cu 12" in run(command, foreign, "--species", "Cu")[1]
    code, output = run("convert", foreign, again, "--species", "Au")
    assert code == 0 and (read_frames(again)[0].numbers == 79).all()
    for words, message in (
        (["convert", foreign, tmp_path / "x.kff"], "known are"),
        (["convert", source, again, "--species", "Cu"], "names its elements itself"),
        (["convert", tmp_path / "none.cfg", again], "there is no such file"),
    ):
        code, output = run(*words)
        assert code == 1 and message in output, output
