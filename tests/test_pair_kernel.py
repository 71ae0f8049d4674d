"""Energies of pairs from tables: the tables, the kernel against formula and fitting rows, molecular dynamics on it."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from checks import close
from systems import frame

import kernelff as kff
from kernelff._pairs import PairKernel
from kernelff._soap import available_isas
from kernelff.baselines.zbl import ZBL
from kernelff.basis.pieces import tabulate_pieces
from kernelff.kernels import SquaredExponential
from kernelff.md.parts import parts_of
from kernelff.potential import Potential
from kernelff.terms import PairTerm
from kernelff.terms.compiled import compile_pairs

GAP = Path(__file__).parent / "data" / "gap"
CUTOFF, WIDTH = 4.0, 0.7
# species_pair, tail exponent, length scales, constant, powers
TERMS = {
    "all": (None, 0.0, 0.8, 0.0, (1.0,)),
    "like": ((6, 6), 0.0, 0.8, 0.0, (1.0,)),
    "unlike": ((14, 6), 0.0, 0.8, 0.0, (1.0,)),
    "one_of_any": ((0, 6), 0.0, 0.8, 0.0, (1.0,)),
    "published": ((6, 14), 1.5, (0.9, 0.4), 0.3, (-1.0, -2.0)),
    "powers": (None, 0.0, (1.1, 2.0), 0.1, (0.5, 3.0)),
}


def term(name):
    pair, tail, scale, constant, powers = TERMS[name]
    descriptor = kff.PairDistances(CUTOFF, WIDTH, pair, tail, 0.6).build()
    points = np.linspace(1.0, CUTOFF, 9)
    return PairTerm(descriptor, SquaredExponential(scale, constant, powers), 1.3, points, np.linspace(1.0, 0.4, 9))


def weights(n=9):
    return np.random.default_rng(0).normal(size=n) * 100.0


def dimer(r):
    return Atoms("CSi", [[0.1, 0.2, 0.3], [0.1, 0.2 + 0.6 * r, 0.3 + 0.8 * r]])


# ---- tables ---------------------------------------------------------------------------------------


def waves(r):
    return np.sin(3 * r) * np.exp(-r), (3 * np.cos(3 * r) - np.sin(3 * r)) * np.exp(-r), 0.0


def test_table_is_as_exact_as_promised():
    table, r = tabulate_pieces(waves, [0.0, 1.2, 4.0]), np.linspace(0.0, 4.0, 10001)[:-1]
    value, slope = table.evaluate(r)
    assert np.abs(value - waves(r)[0]).max() < 1.5e-13
    assert np.abs(slope - waves(r)[1]).max() < 1e-10
    assert 50 < len(table.pieces) < 500


def test_slopes_are_those_of_the_same_polynomials_and_join():
    table = tabulate_pieces(waves, [0.0, 1.2, 4.0])
    r, h = np.random.default_rng(0).uniform(0.1, 3.9, 1000), 1e-5
    difference = (table.evaluate(r + h)[0] - table.evaluate(r - h)[0]) / (2 * h)
    np.testing.assert_allclose(table.evaluate(r)[1], difference, atol=1e-8)
    joints = np.concatenate([s["stop"] - np.arange(s["n"]) / s["rate"] for s in table.segments])
    joints = joints[joints < 4.0]
    for below, above in zip(table.evaluate(joints - 1e-13), table.evaluate(joints + 1e-13), strict=True):
        np.testing.assert_allclose(below, above, rtol=0, atol=1e-11)


def test_function_that_is_not_smooth_comes_to_an_end():
    table = tabulate_pieces(lambda r: (np.abs(r - 1.0), np.sign(r - 1.0), 0.0), [0.0, 1.9])
    assert np.abs(table.evaluate([0.5, 1.5])[0] - 0.5).max() < 1e-12


# ---- the kernel -----------------------------------------------------------------------------------


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("name", TERMS)
def test_kernel_is_the_formula(name, isa, monkeypatch):
    monkeypatch.setattr("kernelff.terms.compiled.PairKernel", lambda *args, **others: PairKernel(*args, isa, **others))
    some, w = term(name), weights()
    assert some.compiled(w).isa == isa
    for atoms in (frame("triclinic"), frame("chain"), frame("one_atom"), frame("isolated"), dimer(0.5), dimer(1.7)):
        neighbors = kff.NeighborList.from_atoms(atoms, CUTOFF + 0.5)
        expected, found = some.evaluate_by_parts(neighbors, w), some.evaluate(neighbors, w)
        for a, b in zip(found, expected, strict=True):
            close(a, b, 1e-9, str(atoms))
    assert np.abs(found[0]).max() > 1.0 or name == "like"  # of the last, C-Si


@pytest.mark.parametrize("name", TERMS)
def test_kernel_is_the_fitting_rows(name):
    some, w = term(name), weights()
    neighbors = kff.NeighborList.from_atoms(frame("triclinic"), CUTOFF)
    energies, gradients = some.evaluate(neighbors, w)
    phi_ab, _ = some.values(neighbors)
    assert np.abs(energies - phi_ab @ w).max() <= 1e-9 * np.abs(phi_ab * w).sum()
    rows = np.zeros((neighbors.n_pairs, 3))
    for block in some.gradient_blocks(neighbors):
        rows[block.pairs] += block.gradients @ w
    close(gradients, rows, 1e-9, "gradients against fitting rows")


@pytest.mark.parametrize("r", [1.3, CUTOFF - WIDTH, CUTOFF - 1e-3, CUTOFF, CUTOFF + 1e-3])
def test_forces_are_differences_of_energies_at_kink_and_cutoff(r):
    potential, h = Potential([term("all")], weights(), {6: 0.0, 14: 0.0}), 1e-6
    energies = [potential.compute(dimer(r + sign * h)).energy for sign in (1, -1)]
    along = potential.compute(dimer(r)).forces[0] @ [0.0, 0.6, 0.8]
    assert along == pytest.approx((energies[0] - energies[1]) / (2 * h), abs=5e-3)  # h times jumps of the curvature
    assert (along == 0.0) == (r >= CUTOFF)


def test_kernel_is_kept_until_weights_change_and_not_pickled():
    some, w = term("all"), weights()
    assert some.compiled(w) is some.compiled(w.copy())
    assert some.compiled(w) is not some.compiled(2 * w)
    again, neighbors = pickle.loads(pickle.dumps(some)), kff.NeighborList.from_atoms(dimer(1.7), CUTOFF)
    np.testing.assert_array_equal(again.evaluate(neighbors, w)[1], some.evaluate(neighbors, w)[1])


def test_short_list_and_bad_tables_are_refused():
    with pytest.raises(ValueError, match=r"reaches 3.0 Å, the descriptor needs 4.0 Å"):
        term("all").evaluate(kff.NeighborList.from_atoms(frame("dimer"), 3.0), weights())
    table = tabulate_pieces(waves, [0.0, 4.0])
    for row_of, table_of in (([0, 2], [[0, 0], [0, 0]]), ([-1], [[0]]), ([0], [[0, 0]])):
        with pytest.raises(ValueError, match="name a row that does not exist"):
            PairKernel(row_of, table_of, [table])
    with pytest.raises(ValueError, match="names a table that does not exist"):
        PairKernel([0], [[1]], [table])
    with pytest.raises(ValueError, match="isa: 'mmx' is not available"):
        PairKernel([0], [[0]], [table], "mmx")


def test_repulsion_that_adds_nothing_has_no_kernel():
    full = ZBL((14,), [[2.0]], [[2.0]])
    assert full.compiled() is None
    assert full.compute(Atoms("Si2", [[0, 0, 0], [0, 0, 1.0]])).energy == 0.0
    assert pickle.loads(pickle.dumps(ZBL((14,), [[2.0]]))).compiled().reach == 2.0


# ---- molecular dynamics ---------------------------------------------------------------------------


def crystal():
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.symbols[::3] = "Ag"
    atoms.rattle(0.05, seed=0)
    return atoms


@pytest.mark.parametrize("name", ["two", "any", "subset"])
def test_dynamics_on_published_gaps_need_no_python(name, monkeypatch):
    potential, atoms = kff.load(GAP / f"{name}.xml"), crystal()
    assert any(isinstance(some, PairTerm) for some in potential.terms)
    assert parts_of(potential).rest is None
    settings = {"temperature": 300, "steps": 30, "timestep": 2.0}
    compiled = kff.md.run(atoms, potential, **settings)
    monkeypatch.setattr(PairTerm, "compiled", lambda self, weights: None)
    monkeypatch.setattr(PairTerm, "evaluate", PairTerm.evaluate_by_parts)
    assert parts_of(potential).rest is not None
    by_python = kff.md.run(atoms, potential, **settings)
    np.testing.assert_allclose(compiled.atoms.positions, by_python.atoms.positions, atol=1e-8)
    np.testing.assert_allclose(compiled.forces, by_python.forces, atol=1e-6)
    assert np.abs(compiled.atoms.positions - atoms.positions).max() > 0.01


def test_compile_pairs_has_the_reach_of_the_term():
    assert compile_pairs(term("all"), weights()).reach == CUTOFF
