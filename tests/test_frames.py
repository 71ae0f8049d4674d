"""Reading frames and refusing bad ones. Reference data: ASE's EMT copper, broken on purpose."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.units import GPa

from kernelff.io import (
    LabelKeys,
    check_frames,
    check_stress,
    describe,
    isolated_atom_energies,
    labels,
    read_frames,
    with_labels,
)

KBAR = GPa / 10


def labelled(atoms, calculator=None, **changes):
    """A copy of the frame with single-point labels; `changes` overwrite some, None drops one."""
    atoms = atoms.copy()
    atoms.calc = EMT() if calculator is None else calculator
    results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    if atoms.pbc.all():
        results["stress"] = atoms.get_stress()
    results.update(changes)
    atoms.calc = SinglePointCalculator(atoms, **{k: v for k, v in results.items() if v is not None})
    return atoms


def copper(repeat=(1, 1, 1), rattle=0.0, seed=0, strain=None):
    atoms = bulk("Cu", cubic=True) * repeat
    if strain is not None:
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    atoms.rattle(rattle, rng=np.random.default_rng(seed))
    return atoms


def strained(sizes=(-0.03, -0.02, -0.01, 0.01, 0.02, 0.03), seed=3, rattle=0.0):
    """Frames along general strains, as a fit set for elastic constants has them."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(4):
        direction = rng.normal(size=(3, 3))
        direction = (direction + direction.T) / np.abs(direction + direction.T).max()
        for k, size in enumerate(sizes):
            frames.append(labelled(copper(strain=size * direction, rattle=rattle, seed=k)))
    # a slightly larger cell of the same kind, so that extensive and intensive labels differ
    frames += [labelled(copper((2, 1, 1), strain=size * np.diag([1.0, 0.5, -0.2]))) for size in sizes]
    return frames


def with_stress(frames, change):
    return [labelled(atoms, stress=change(atoms.get_stress(), atoms)) for atoms in frames]


# --- labels and keys ----------------------------------------------------------


def test_labels_from_an_extxyz_file(tmp_path):
    frames = [labelled(copper(rattle=0.1, seed=k)) for k in range(3)]
    write(tmp_path / "cu.xyz", frames)
    for read, atoms in zip(read_frames(tmp_path / "cu.xyz"), frames, strict=True):
        found = labels(read)
        assert found.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
        np.testing.assert_allclose(found.forces, atoms.get_forces(), atol=1e-7)
        np.testing.assert_allclose(found.stress, atoms.get_stress(), atol=1e-7)


@pytest.mark.parametrize("prefix", ["REF_", "dft_", "DFT_", "ref_"])
def test_labels_under_other_names_are_found(tmp_path, prefix):
    source = labelled(copper(rattle=0.1))
    atoms = source.copy()
    atoms.info[f"{prefix}energy"] = source.get_potential_energy()
    atoms.info[f"{prefix}virial"] = -source.get_volume() * source.get_stress(voigt=False)
    atoms.arrays[f"{prefix}forces"] = source.get_forces()
    write(tmp_path / "cu.xyz", atoms)
    (read,) = read_frames(tmp_path / "cu.xyz")
    assert read.get_potential_energy() == pytest.approx(source.get_potential_energy(), abs=1e-7)
    np.testing.assert_allclose(read.get_forces(), source.get_forces(), atol=1e-7)
    np.testing.assert_allclose(read.get_stress(), source.get_stress(), atol=1e-7)
    assert not [key for key in read.info if prefix in key]


@pytest.mark.parametrize("shape", [(6,), (9,), (3, 3)])
def test_stress_shapes(shape):
    source = labelled(copper(rattle=0.1))
    atoms = source.copy()
    stress = source.get_stress(voigt=shape == (6,))
    atoms.info["stress"] = np.reshape(stress, shape)
    np.testing.assert_allclose(labels(atoms).stress, source.get_stress(), atol=1e-14)
    atoms.info["virial"] = np.reshape(-source.get_volume() * stress, shape)
    np.testing.assert_allclose(labels(atoms).stress, source.get_stress(), atol=1e-14)


def test_stress_order_and_factor():
    source = labelled(copper(rattle=0.1))
    atoms = source.copy()
    xx, yy, zz, yz, xz, xy = -source.get_stress() / KBAR
    atoms.info["stress"] = np.array([xx, yy, zz, xy, yz, xz])
    keys = LabelKeys(stress_order="xx yy zz xy yz zx", stress_factor=-KBAR)
    np.testing.assert_allclose(labels(atoms, keys).stress, source.get_stress(), atol=1e-14)
    (read,) = with_labels([atoms], keys)
    np.testing.assert_allclose(read.get_stress(), source.get_stress(), atol=1e-14)
    np.testing.assert_allclose(labels(read).stress, source.get_stress(), atol=1e-14)  # converted once, not twice


def test_a_permuted_order_is_undone_after_ase_made_a_matrix_of_it():
    source = labelled(copper(rattle=0.1))
    atoms = source.copy()
    xx, yy, zz, yz, xz, xy = source.get_stress()
    slipped = [xx, yy, zz, xy, yz, xz]  # written in another order and read as yz xz xy
    atoms.info["stress"] = np.array([[slipped[k] for k in row] for row in ((0, 5, 4), (5, 1, 3), (4, 3, 2))])
    found = labels(atoms, LabelKeys(stress_order="xx yy zz xy yz xz"))
    np.testing.assert_allclose(found.stress, source.get_stress(), atol=1e-14)


def test_a_stress_order_must_name_every_component():
    with pytest.raises(ValueError, match=r"stress_order='xx yy'.*must name each"):
        LabelKeys(stress_order="xx yy").stress_permutation()


def test_no_stress_without_three_periodic_directions():
    atoms = molecule("H2O")
    atoms.info["virial"] = np.eye(3)
    assert labels(atoms).stress is None
    slab = copper()
    slab.pbc = (True, True, False)
    slab.info["stress"] = np.zeros(6)
    assert labels(slab).stress is None


def test_an_explicit_key_wins():
    atoms = labelled(copper())
    atoms.info["other"] = -1.5
    (read,) = with_labels([atoms], LabelKeys(energy_key="other"))
    assert read.get_potential_energy() == -1.5
    with pytest.raises(ValueError, match=r"energy_key='mine'.*entries found are: .*energy.*other"):
        with_labels([atoms], LabelKeys(energy_key="mine"))


def test_contradictory_keys_are_refused():
    atoms = labelled(copper())
    atoms.info["REF_energy"] = atoms.get_potential_energy() + 1.0
    with pytest.raises(ValueError, match=r"'energy' \(calculator\) and 'REF_energy' \(info\) disagree.*energy_key="):
        labels(atoms)
    assert labels(atoms, LabelKeys(energy_key="REF_energy")).energy == atoms.info["REF_energy"]


def test_the_free_energy_is_only_a_substitute():
    atoms = labelled(copper(), free_energy=-7.0)
    assert labels(atoms).energy == atoms.calc.results["energy"]
    assert labels(labelled(copper(), energy=None, free_energy=-7.0)).energy == -7.0


@pytest.mark.parametrize(
    ("place", "key", "value", "message"),
    [
        ("info", "energy", "none", "should be the energy but is 'none'"),
        ("info", "energy", np.zeros(3), r"shape \(3,\); a total energy is one number"),
        ("arrays", "forces", np.zeros((4, 2)), r"shape \(4, 2\)"),
        ("info", "stress", np.zeros(4), r"shape \(4,\)"),
        ("info", "stress", np.arange(9.0).reshape(3, 3), "not symmetric"),
    ],
)
def test_labels_of_the_wrong_kind(place, key, value, message):
    atoms = copper()
    (atoms.info if place == "info" else atoms.arrays)[key] = value
    with pytest.raises(ValueError, match=message):
        labels(atoms)


def test_stale_results_are_refused():
    atoms = labelled(copper())
    atoms.positions[0] += 0.1
    with pytest.raises(ValueError, match="computed for other positions"):
        labels(atoms)


def test_reading_does_not_change_the_frames():
    atoms = labelled(copper(rattle=0.1))
    before = atoms.positions.copy(), dict(atoms.info), dict(atoms.calc.results)
    with_labels([atoms])
    describe([atoms])
    assert (atoms.positions == before[0]).all() and atoms.info == before[1]
    assert atoms.calc.results.keys() == before[2].keys()


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_frames(tmp_path / "nothing.xyz")
    (tmp_path / "broken.xyz").write_text("5\nProperties=species:S:1:pos:R:3\nSi 0 0 0\n")
    with pytest.raises(ValueError, match="ASE cannot read this file"):
        read_frames(tmp_path / "broken.xyz")
    (tmp_path / "empty.xyz").write_text("")
    with pytest.raises(ValueError, match=r"empty\.xyz"):
        read_frames(tmp_path / "empty.xyz")


# --- what is refused ----------------------------------------------------------


def moved(position):
    atoms = copper()
    atoms.positions[1] = position
    return atoms


def in_cell(cell, pbc=True):
    atoms = copper()
    atoms.set_cell(cell)
    atoms.pbc = pbc
    return atoms


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms(), "holds no atoms"),
        (moved([np.nan, 0, 0]), "not finite or too far out"),
        (moved([3e7, 0, 0]), "not finite or too far out"),
        (moved([0.0, 0.0, 0.05]), r"atoms 0 and 1 are 0\.05 Å apart"),
        (moved([0.0, 0.0, 3.61 - 0.05]), r"atoms 0 and 1 are 0\.05 Å apart"),
        (moved([0.0, 0.0, 3.61]), "apart"),
        (in_cell(np.zeros((3, 3))), "has no volume.*pbc = False"),
        (in_cell([[3, 0, 0], [0, 3, 0], [3, 3, 0]]), "has no volume"),
        (in_cell([[np.nan, 0, 0], [0, 3, 0], [0, 0, 3]]), "not finite"),
        (Atoms("X"), "unknown element"),
    ],
)
def test_impossible_frames(atoms, message):
    frames = [labelled(copper()), atoms]
    with pytest.raises(ValueError, match=rf"training: frame 1.*{message}"):
        check_frames(frames, "training")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"energy": np.nan}, "frame 1.*its energy is not finite"),
        ({"forces": np.full((4, 3), np.inf)}, "frame 1.*forces is not finite"),
        ({"stress": np.full(6, np.nan)}, "frame 1.*stress is not finite"),
        ({"forces": np.eye(4)[:, :3] * 1e5}, r"frame 1.*force on atom 0 is 1e\+05 eV/Å"),
    ],
)
def test_impossible_labels(changes, message):
    with pytest.raises(ValueError, match=message):
        check_frames([labelled(copper(rattle=0.1)), labelled(copper(rattle=0.1, seed=1), **changes)])


def test_no_frames_and_no_labels():
    with pytest.raises(ValueError, match="training: there are no frames"):
        check_frames([], "training")
    atoms = copper()
    atoms.info["my_energy"] = -3.0
    with pytest.raises(ValueError, match=r"no frame carries energies.*energy_key.*found: my_energy"):
        check_frames([atoms])
    check_frames([atoms], require_labels=False)


def test_zeros_in_place_of_labels():
    rattled = [copper(rattle=0.1, seed=k) for k in range(3)]
    with pytest.raises(ValueError, match=r"all 3 energies are zero.*energy_key"):
        check_frames([labelled(atoms, energy=0.0) for atoms in rattled])
    with pytest.raises(ValueError, match=r"exactly zero in 3 of 3 frames \(0, 1, 2\)"):
        check_frames([labelled(atoms, forces=np.zeros((4, 3))) for atoms in rattled])
    with pytest.raises(ValueError, match=r"all 3 stresses are zero.*use_stress=False"):
        check_frames([labelled(atoms, stress=np.zeros(6)) for atoms in rattled])


def test_zero_forces_of_perfect_crystals_are_legitimate():
    frames = [labelled(copper(strain=s * np.eye(3)), forces=np.zeros((4, 3))) for s in (-0.02, 0.0, 0.02)]
    assert check_frames(frames).notes == []


def test_energies_per_atom_are_noticed():
    frames = [labelled(copper((n, 1, 1), rattle=0.05, seed=n)) for n in (1, 2, 3, 4)]
    assert check_frames(frames).notes == []
    per_atom = [labelled(atoms, energy=-3.5 + 0.01 * k) for k, atoms in enumerate(frames)]
    with pytest.warns(UserWarning, match="are they per atom"):
        check_frames(per_atom)


def test_some_frames_without_forces_are_legitimate_and_reported():
    frames = [labelled(copper(rattle=0.1, seed=0)), labelled(copper(rattle=0.1, seed=1), forces=None)]
    with pytest.warns(UserWarning, match=r"1 of 2 frames \(1\) carry no forces"):
        check_frames(frames)


def test_left_handed_and_tiny_cells_pass():
    left = copper(rattle=0.1)
    left.set_cell(left.cell.array[[1, 0, 2]])
    assert np.linalg.det(left.cell.array) < 0
    frames = [labelled(left), labelled(bulk("Cu"))]
    checked = check_frames(frames)
    assert checked.geometries[1].nearest == pytest.approx(3.61 / np.sqrt(2))


# --- copies -------------------------------------------------------------------


def test_duplicates_warn_and_contradictions_are_refused():
    atoms = labelled(copper(rattle=0.1))
    with pytest.warns(UserWarning, match=r"1 of 2 frames \(1\) repeat an earlier frame and its labels"):
        check_frames([atoms, atoms])
    shifted = atoms.copy()
    shifted.translate([0.3, 0.1, 2.0])
    shifted.wrap()
    contradictory = labelled(shifted, energy=atoms.get_potential_energy() + 0.5)
    with pytest.raises(ValueError, match=r"frame 0 .*frame 1 .*one structure.*energies are.*keep the one"):
        check_frames([atoms, contradictory])
    forces = labelled(shifted, forces=atoms.get_forces() + np.eye(4)[:, :3])
    with pytest.raises(ValueError, match="one structure, but forces differ by up to 1 eV/Å"):
        check_frames([atoms, forces])


def test_rotated_copies_are_noticed_and_neighbours_are_not():
    atoms = copper(rattle=0.1)
    turned = atoms.copy()
    turned.rotate(37, (1, 2, 3), rotate_cell=True)
    mirrored = atoms.copy()
    mirrored.positions *= -1
    mirrored.set_cell(-mirrored.cell.array)
    permuted = atoms[[2, 0, 3, 1]]
    almost = atoms.copy()
    almost.positions[1, 0] += 1e-3
    frames = [labelled(frame) for frame in (atoms, almost, turned, mirrored, permuted)]
    checked = check_frames(frames, warn=False)
    assert {b for _, b in checked.copies} == {2, 3, 4}
    assert checked.notes == []
    assert "3 of 5 frames (2, 3, 4) repeat another, possibly rotated or mirrored" in str(describe(frames))


def test_small_displacements_of_a_perfect_crystal_are_not_copies():
    frames = []
    for size in (0.0, 0.01, 0.02):
        atoms = copper((2, 2, 2))
        atoms.positions[0, 0] += size
        frames.append(labelled(atoms))
    assert check_frames(frames, warn=False).copies == []


# --- isolated atoms -----------------------------------------------------------


def isolated(symbol, energy, cell=None):
    atoms = Atoms(symbol, cell=cell, pbc=cell is not None)
    atoms.calc = SinglePointCalculator(atoms, energy=energy)
    return atoms


def test_isolated_atoms_are_recognised():
    frames = [
        labelled(copper()),
        isolated("Cu", -0.2),
        isolated("H", -13.6, cell=[12.0] * 3),
        labelled(bulk("Cu")),
    ]
    assert isolated_atom_energies(frames) == {29: -0.2, 1: -13.6}
    assert describe(frames).isolated_atoms == {"H": -13.6, "Cu": -0.2}
    with pytest.raises(ValueError, match=r"isolated Cu atom has energy -0\.5.*earlier one -0\.2"):
        check_frames([*frames, isolated("Cu", -0.5)], warn=False)


# --- stresses against energies ------------------------------------------------


def test_right_stresses_agree():
    result = check_stress(strained())
    assert result.verdict == "agrees"
    assert result.slope == pytest.approx(1, abs=0.02)
    assert abs(result.offset) < 0.2


def test_rattled_strains_are_judged_with_the_work_of_the_forces():
    result = check_stress(strained(rattle=0.02))
    assert result.verdict == "agrees" and result.n_pairs > 10


def test_a_left_handed_cell_changes_nothing():
    frames = strained()
    for atoms in frames:
        results = atoms.calc.results
        atoms.set_cell(atoms.cell.array[[0, 2, 1]])
        atoms.calc = SinglePointCalculator(atoms, **results)
    assert check_stress(frames).slope == pytest.approx(check_stress(strained()).slope, abs=1e-10)


def test_a_constant_pressure_is_told_from_a_wrong_unit():
    frames = with_stress(strained(), lambda stress, _: stress + 2.6 * GPa * np.array([1, 1, 1, 0, 0, 0]))
    result = check_stress(frames)
    assert result.verdict == "agrees"
    assert result.offset == pytest.approx(2.6, abs=0.2)
    assert "offset of +2." in result.message


@pytest.mark.parametrize(
    ("change", "verdict", "factor"),
    [
        (lambda s, _: -s, "sign", -1.0),
        (lambda s, _: s / GPa, "unit", GPa),
        (lambda s, _: -s / GPa, "unit", -GPa),
        (lambda s, _: -s / KBAR, "unit", -KBAR),
    ],
)
def test_wrong_signs_and_units_are_named(change, verdict, factor):
    frames = with_stress(strained(), change)
    assert check_stress(frames, refuse=False).verdict == verdict
    with pytest.raises(ValueError, match=rf"stress_factor={factor:.6g}"):
        check_stress(frames)
    assert check_stress(frames, keys=LabelKeys(stress_factor=factor)).verdict == "agrees"
    assert check_stress(frames, keys=LabelKeys(use_stress=False)).verdict == "unknown"


def test_virials_and_permuted_shears_are_named():
    frames = strained()
    with pytest.raises(ValueError, match="virial_key"):
        check_stress(with_stress(frames, lambda s, atoms: -s * atoms.get_volume()))
    permuted = with_stress(frames, lambda s, _: s[[0, 1, 2, 5, 3, 4]])
    with pytest.raises(ValueError, match=r"stress_order='xx yy zz xy yz xz'"):
        check_stress(permuted)
    assert check_stress(permuted, keys=LabelKeys(stress_order="xx yy zz xy yz xz")).verdict == "agrees"


def test_nonsense_and_absence_are_not_judged():
    rng = np.random.default_rng(0)
    noise = with_stress(strained(), lambda s, _: rng.normal(size=6) * np.abs(s).max())
    assert check_stress(noise).verdict == "unclear"
    assert check_stress([labelled(copper(rattle=0.1, seed=k)) for k in range(5)]).verdict == "unknown"


# --- the summary --------------------------------------------------------------


def test_describe_names_what_it_found():
    frames = strained()
    for atoms in frames:
        atoms.info["config_type"] = "strain"
    cluster = labelled(molecule("H2O"), LennardJones(sigma=0.8))
    summary = describe([*frames, cluster])
    assert summary.n_frames == len(frames) + 1
    assert summary.species == {"H": 2, "O": 1, "Cu": sum(len(atoms) for atoms in frames)}
    assert summary.n_labelled == {"energy": len(frames) + 1, "forces": len(frames) + 1, "stress": len(frames)}
    assert summary.keys["stress"] == {"'stress' (calculator)": len(frames)}
    assert summary.config_types == {"strain": len(frames)}
    assert summary.periodicity == {"three": len(frames), "no": 1}
    assert summary.nearest_distance == pytest.approx(0.97, abs=0.02)
    text = str(summary)
    assert "stresses agree with the energies" in text and "from 'energy' (calculator)" in text
