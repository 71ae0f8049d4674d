"""Extrapolation grade: active sets of locally maximal volume, in potentials and their files."""

import json
from pathlib import Path

import checks
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import kernelff as kff
from kernelff.error_bars.maxvol import independent_basis, maximal_volume
from kernelff.io.model_file import write_potential
from kernelff.terms import BasisTerm

# training frames, active rows and grades of motep 0.2.0 (Grader, maxvol, QR start, coefficients of species and moments
# only) for data/one_type.mtp: level 8, own random coefficients on MLIP's standard tables
REFERENCE = json.loads((Path(__file__).parent / "data" / "grades_motep.json").read_text())


def silicon_frames(n=12, rattle=0.15, seed=0):
    rng = np.random.default_rng(seed)
    frames = [bulk("Si", cubic=True) for _ in range(n)]
    for atoms in frames:
        atoms.set_cell(atoms.cell.array * rng.uniform(0.95, 1.05), scale_atoms=True)
        atoms.positions += rng.normal(0.0, rattle, atoms.positions.shape)
    return frames


def potential_of(frames, level=8, mode="neighborhood"):
    built = kff.MomentTensors(level, 4.5, radial_basis_size=6).build_for(frames, [14], 2.3)
    weights = np.random.default_rng(0).normal(size=built.n_features)
    active_set = kff.ActiveSet.select(built, frames, mode=mode)
    return kff.Potential([BasisTerm(built)], weights, {14: -1.0}, active_set=active_set)


FRAMES = silicon_frames()


# ---- the search -----------------------------------------------------------------------------------


def blocks_of(rows, size=50):
    ids = np.stack([np.arange(len(rows)), np.zeros(len(rows), dtype=int)], axis=1)
    return lambda: ((ids[k : k + size], rows[k : k + size]) for k in range(0, len(rows), size))


def test_no_exchange_of_one_row_gains_volume():
    rows = np.random.default_rng(1).normal(size=(400, 9)) @ np.diag(10.0 ** np.arange(9))
    basis = independent_basis(blocks_of(rows)(), 9)
    active = maximal_volume(blocks_of(rows), 9, 1e-6, basis.kept)
    chosen = active.ids[:, 0]
    volume = np.linalg.slogdet(rows[chosen])[1]
    for j in range(9):
        for i in range(len(rows)):
            swapped = chosen.copy()
            swapped[j] = i
            with np.errstate(divide="ignore"):
                assert np.linalg.slogdet(rows[swapped])[1] < volume + 1e-5
    checks.close(active.matrix, rows[chosen] @ basis.kept, 1e-12, "active rows")


def test_blocks_do_not_matter():
    rows = np.random.default_rng(2).normal(size=(300, 7))
    found = [maximal_volume(blocks_of(rows, size), 7, 1e-3).ids[:, 0].tolist() for size in (300, 17, 1)]
    assert found[0] == found[1] == found[2]


def test_many_rows_of_which_few_are_kept_in_memory():
    """More rows than the pools hold, in order of size, so that the pool is cut again and again."""
    rows = np.random.default_rng(4).normal(size=(3000, 5)) * np.linspace(0.1, 3.0, 3000)[:, None]
    active = maximal_volume(blocks_of(rows), 5, 1e-3)
    assert np.abs(rows @ active.inverse).max() <= 1.001 + 1e-9
    assert np.array_equal(active.matrix, rows[active.ids[:, 0]])


def test_dependent_columns_leave_the_search():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 6))
    basis = independent_basis(blocks_of(rows)(), 6)
    assert basis.kept.shape == (6, 4) and basis.dropped.shape == (6, 2)
    assert np.abs(rows @ basis.dropped).max() < 1e-2
    assert np.abs(rng.normal(size=6) @ basis.dropped).max() > 1e8


# ---- grades ---------------------------------------------------------------------------------------


def frame_of(given):
    return Atoms(given["numbers"], given["positions"], cell=given["cell"], pbc=True)


@pytest.mark.parametrize("mode", REFERENCE["values"])
def test_motep_chooses_the_same_rows(mode):
    """motep 0.2.0 on 24 frames of 8 atoms: the same active rows and grades."""
    tables = Path(__file__).parent / "data" / "one_type.mtp"
    potential = kff.load(tables, species=["Si"])
    training = [frame_of(given) for given in REFERENCE["training"]]
    active_set = kff.ActiveSet.select(potential, training, mode=mode)
    expected = REFERENCE["values"][mode]
    index = active_set.rows[:, 0] * (8 if mode == "neighborhood" else 1) + active_set.rows[:, 1]
    assert sorted(index.tolist()) == expected["active_rows"]
    potential = potential.with_active_set(active_set)
    for name, given in REFERENCE["structures"].items():
        found = np.atleast_1d(potential.extrapolation_grade(frame_of(given)))
        checks.close(found, expected["grades"][name], 1e-9, name)


@pytest.mark.parametrize("mode", ["neighborhood", "configuration"])
def test_training_frames_have_grades_up_to_one(mode):
    frames = silicon_frames(60)
    potential = potential_of(frames, mode=mode)
    grades = np.array([np.max(potential.extrapolation_grade(atoms)) for atoms in frames])
    assert grades.max() <= 1.001 and grades.max() > 0.99
    stretched = frames[0].copy()
    stretched.set_cell(stretched.cell.array * 0.8, scale_atoms=True)
    assert np.max(potential.extrapolation_grade(stretched)) > 5.0
    if mode == "neighborhood":
        rows = potential.active_set.rows
        assert len({tuple(row) for row in rows.tolist()}) == len(rows) == 10
        assert potential.extrapolation_grade(frames[rows[0, 0]])[rows[0, 1]] == pytest.approx(1.0, abs=1e-9)


def test_configuration_rows_are_sums_over_atoms():
    potential = potential_of(FRAMES, mode="configuration")
    doubled = FRAMES[3].repeat((2, 1, 1))
    one, two = (potential.extrapolation_grade(atoms) for atoms in (FRAMES[3], doubled))
    assert two == pytest.approx(2.0 * one, rel=1e-9)


def test_grades_do_not_depend_on_how_columns_are_mixed():
    built = kff.MomentTensors(8, 4.5, radial_basis_size=6).build_for(FRAMES, [14], 2.3)
    scaled = built.with_coefficients(built.coefficients * np.array([0.01, 30.0])[:, None])
    sets = [kff.ActiveSet.select(descriptor, FRAMES) for descriptor in (built, scaled)]
    assert sets[0].rows.tolist() == sets[1].rows.tolist()
    weights = np.ones(built.n_features)
    strange = silicon_frames(1, 0.4, seed=9)[0]
    one, other = (
        kff.Potential([BasisTerm(d)], weights, {14: 0.0}, active_set=s).extrapolation_grade(strange)
        for d, s in zip((built, scaled), sets, strict=True)
    )
    checks.close(one, other, 1e-7, "grades")
    assert one.max() > 1.5


def test_exactly_dependent_moments():
    """Level 16 has one dependence; 10 to 92 independent rows are there, the grade outside of them is huge."""
    frames = silicon_frames(20)
    potential = potential_of(frames, level=16)
    assert len(potential.active_set.rows) == 92 and potential.active_set.n_columns == 93
    new = silicon_frames(1, seed=5)[0]
    assert 0.5 < potential.extrapolation_grade(new).max() < 1e3
    few = potential_of(frames[:2], level=16)
    assert len(few.active_set.rows) == 16
    assert max(few.extrapolation_grade(atoms).max() for atoms in frames[:2]) < 1.001
    assert few.extrapolation_grade(new).max() > 1e4


def test_several_elements_and_terms():
    frames = silicon_frames()
    for atoms in frames:
        atoms.numbers[::2] = 6
    terms = [
        BasisTerm(kff.MomentTensors(6, 4.5).build_for(frames, [6, 14], 2.3)),
        BasisTerm(kff.SymmetryFunctions([kff.G2(0.5, 0.0), kff.G2(0.5, 2.0)], 4.0).build([6, 14], 2.3)),
    ]
    active_set = kff.ActiveSet.select(terms, frames)
    n = sum(term.n_functions for term in terms)
    potential = kff.Potential(terms, np.ones(n), {6: 0.0, 14: 0.0}, active_set=active_set)
    assert active_set.species == (6, 14) and active_set.n_columns == n + 2
    assert potential.extrapolation_grade(frames[0]).max() <= 1.001
    alone = potential.extrapolation_grade(Atoms("Si"))
    assert alone.shape == (1,) and np.isfinite(alone).all() and alone[0] > 1.0
    assert potential.extrapolation_grade(Atoms()).shape == (0,)


def test_rows_beyond_memory_are_computed_again(monkeypatch):
    expected = potential_of(FRAMES).active_set
    monkeypatch.setattr("kernelff.error_bars.extrapolation._KEPT_BYTES", 1000)
    found = potential_of(FRAMES).active_set
    assert np.array_equal(found.rows, expected.rows) and np.array_equal(found.inverse, expected.inverse)


# ---- potentials, files, calculators ---------------------------------------------------------------


def test_a_model_file_keeps_the_active_set(tmp_path):
    potential = potential_of(FRAMES)
    write_potential(tmp_path / "model.kff", potential, "0")
    again = kff.load(tmp_path / "model.kff")
    for atoms in (FRAMES[0], silicon_frames(1, 0.3, seed=4)[0]):
        assert np.array_equal(again.extrapolation_grade(atoms), potential.extrapolation_grade(atoms))
    one, other = again.active_set, potential.active_set
    assert np.array_equal(one.rows, other.rows) and np.array_equal(one.frame_index, other.frame_index)
    assert [a.positions.tolist() for a in one.frames] == [a.positions.tolist() for a in other.frames]
    assert [FRAMES[k].positions.tolist() for k in one.frame_index] == [a.positions.tolist() for a in one.frames]


def test_calculator():
    potential = potential_of(FRAMES)
    atoms = FRAMES[0].copy()
    atoms.calc = potential.calculator(extrapolation=True)
    atoms.get_potential_energy()
    grades = atoms.calc.results["extrapolation_grades"]
    assert np.array_equal(grades, potential.extrapolation_grade(atoms))
    assert atoms.calc.results["extrapolation_grade"] == grades.max()
    with pytest.raises(ValueError, match="extrapolation: this potential has no active set"):
        potential.with_active_set(None).calculator(extrapolation=True)
    atoms.calc = potential_of(FRAMES, mode="configuration").calculator(extrapolation=True)
    atoms.get_forces()
    assert "extrapolation_grades" not in atoms.calc.results and atoms.calc.results["extrapolation_grade"] > 0


def test_what_has_no_grade():
    potential = potential_of(FRAMES)
    with pytest.raises(ValueError, match=r"no active set.*with_active_set"):
        potential.with_active_set(None).extrapolation_grade(FRAMES[0])
    with pytest.raises(ValueError, match="active_set: has 10 columns, the model 17"):
        potential_of(FRAMES, level=10).with_active_set(potential.active_set)
    with pytest.raises(ValueError, match="species"):
        potential.extrapolation_grade(Atoms("Cu"))
    for wrong, message in (
        ({"mode": "atoms"}, "mode: must be one of neighborhood, configuration, got 'atoms'"),
        ({"tolerance": 0.0}, "tolerance: must be a number > 0"),
        ({"tolerance": float("nan")}, "tolerance: must be"),
        ({"frames": []}, "frames: hold no atoms"),
        ({"frames": [Atoms("Si2", [[0, 0, 0], [0, 0, np.nan]])]}, r"frames\[0\]: positions"),
        ({"frames": [FRAMES[0], Atoms("Cu")]}, r"frames\[1\]: species"),
    ):
        with pytest.raises(ValueError, match=message):
            kff.ActiveSet.select(potential, **({"frames": FRAMES} | wrong))
    with pytest.raises(TypeError, match=r"single ase\.Atoms"):
        kff.ActiveSet.select(potential, FRAMES[0])


def test_gaussian_processes_have_none():
    model = kff.SparseGPR(kff.SOAP(cutoff=3.5, n_max=3, l_max=2), n_sparse=5, hyperparameters="fixed", calibrate=False)
    frames = silicon_frames(6)
    for atoms in frames:
        atoms.info["energy"] = float(atoms.positions.sum())
    model.fit(frames)
    with pytest.raises(ValueError, match=r"uncertainty\(atoms\).novelty"):
        model.potential_.extrapolation_grade(frames[0])
    with pytest.raises(ValueError, match="needs a linear model"):
        kff.ActiveSet.select(model, frames)
