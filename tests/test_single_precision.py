"""Single precision: SOAP-GAP beside double precision, what is refused, and molecular dynamics that checks itself."""

import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from labelled import emt_frames
from systems import frame
from test_gap_kernel import LARGE, SMALL, term_of
from typer.testing import CliRunner

import kernelff as kff
from kernelff._soap import available_isas
from kernelff.cli import app
from kernelff.potential import Potential

MIDDLE = kff.SOAP(cutoff=4.0, n_max=5, l_max=4, scaling_exponent=0)


@pytest.fixture(scope="module")
def gap():
    soap = kff.SOAP(cutoff=4.0, n_max=5, l_max=4)
    return kff.SparseGPR(soap, n_sparse=60, n_jobs=1, calibrate=False).fit(emt_frames(10, 0)).potential_


@pytest.fixture(scope="module")
def moment_tensors():
    return kff.MTP(level=8, cutoff=4.0, n_jobs=1).fit(emt_frames(12, 1)).potential_


def copper(rattle=0.05):
    atoms = bulk("Cu", cubic=True).repeat(3)
    atoms.rattle(rattle, seed=0)
    return atoms


def scaled(potential, factor):
    return Potential(potential.terms, potential.weights * factor, potential.e0)


# ---- the kernel -----------------------------------------------------------------------------------


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize(("zeta", "n_sparse"), [(3.0, 21), (4.0, 150), (2.5, 64), (2.0, 7)])
def test_close_to_double_precision(isa, zeta, n_sparse):
    for name in ("chain", "dimer", "slab", "isolated"):
        atoms = frame(name)
        term, weights = term_of(MIDDLE, atoms.numbers, n_sparse, zeta, isa)
        neighbors = kff.NeighborList.from_atoms(atoms, term.cutoff)
        exact, found = term.evaluate(neighbors, weights), term.with_precision("single").evaluate(neighbors, weights)
        for one, two in zip(found, exact, strict=True):
            assert np.abs(one - two).max(initial=0.0) <= 2e-5 * np.abs(two).max(initial=0.0)
        assert not np.array_equal(found[0], exact[0])


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("n_atoms", [1, 7, 24, 25, 49, 97])
def test_numbers_of_a_centre_do_not_depend_on_the_range(isa, n_atoms):
    rng = np.random.default_rng(n_atoms)
    positions = rng.uniform(0, 2.5 * n_atoms ** (1 / 3), (n_atoms, 3))
    atoms = Atoms(numbers=rng.choice([6, 14], n_atoms), positions=positions)
    term, weights = term_of(kff.SOAP(3.0, 4, 3, scaling_exponent=0), [6, 14], 90, isa=isa)
    kernel, neighbors = term.with_precision("single").compiled(weights), kff.NeighborList.from_atoms(atoms, 3.0)
    plain = *term.descriptor.plain(neighbors)[:3], neighbors.numbers.astype(np.int32)
    energies, gradients = kernel.evaluate(*plain, 0, n_atoms)
    np.testing.assert_allclose(energies, kernel.exact.evaluate(*plain, 0, n_atoms)[0], atol=1e-5)
    for start, stop in ((0, 1), (n_atoms // 2, n_atoms), (n_atoms // 3, n_atoms // 3 + 1)):
        e, g = kernel.evaluate(*plain, start, stop)
        assert np.array_equal(e, energies[start:stop])
        assert np.array_equal(g, gradients[neighbors.first[start] : neighbors.first[stop]])


@pytest.mark.parametrize(("soap", "zeta", "n_sparse"), [(LARGE, 1.0, 21), (LARGE, 2.0, 600), (SMALL, 4.0, 21)])
def test_forms_that_gain_nothing_stay_in_double_precision(soap, zeta, n_sparse):
    atoms = frame("dimer")
    term, weights = term_of(soap, [14], n_sparse, zeta)
    neighbors = kff.NeighborList.from_atoms(atoms, term.cutoff)
    for one, two in zip(
        term.with_precision("single").evaluate(neighbors, weights), term.evaluate(neighbors, weights), strict=True
    ):
        assert np.array_equal(one, two)


# ---- the potential --------------------------------------------------------------------------------


def test_forces_of_a_model(gap):
    atoms, single = copper(), gap.with_precision("single")
    exact, found = gap.compute(atoms), single.compute(atoms)
    assert 0 < np.abs(found.forces - exact.forces).max() < 1e-5
    assert abs(found.energy - exact.energy) < 1e-4
    np.testing.assert_array_equal(single.with_precision("double").compute(atoms).forces, exact.forces)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(single)).compute(atoms).forces, found.forces)
    atoms.calc = gap.calculator(precision="single")
    np.testing.assert_array_equal(atoms.get_forces(), found.forces)
    assert single.compute(Atoms("Cu")).energy == pytest.approx(gap.compute(Atoms("Cu")).energy, abs=1e-5)


def test_refused_where_it_is_too_coarse(gap):
    with pytest.raises(ValueError, match="precision: single precision misses forces of this model by about"):
        scaled(gap, 1e6).with_precision("single").compute(copper())


def test_refused_where_there_is_none(gap):
    model = kff.SparseGPR(kff.SOAP(4.0, 3, 2), covariance="squared_exponential", n_sparse=8, n_jobs=1, calibrate=False)
    other = model.fit(emt_frames(8, 0)).potential_
    with pytest.raises(ValueError, match=r'precision: only SOAP .* run in "single"'):
        other.with_precision("single")
    assert other.with_precision("double").compute(copper()).energy == other.compute(copper()).energy
    with pytest.raises(ValueError, match='precision: must be "double" or "single", got \'half\''):
        gap.with_precision("half")


# ---- molecular dynamics ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gap", "moment_tensors"])
def test_dynamics_are_close_to_those_in_double_precision(name, request):
    potential = request.getfixturevalue(name)
    settings = {"temperature": 300, "steps": 40, "timestep": 2.0, "checkpoint_every": 20}
    double = kff.md.run(copper(), potential, **settings)
    single = kff.md.run(copper(), potential, precision="single", **settings)
    difference = np.abs(single.atoms.positions - double.atoms.positions).max()
    assert 0 < difference < 1e-5
    conserved = single.thermo["conserved_eV"]
    assert np.abs(conserved - double.thermo["conserved_eV"]).max() < 1e-4


def test_dynamics_are_refused_at_the_start(gap):
    with pytest.raises(ValueError, match=r'precision: single precision misses .* Use precision="double"'):
        kff.md.run(copper(), scaled(gap, 1e6), precision="single", temperature=10, steps=5, max_force=1e9, max_step=1e9)
    with pytest.raises(ValueError, match="precision: an ASE calculator has no choice"):
        kff.md.run(copper(), EMT(), precision="single", temperature=10, steps=5)
    with pytest.raises(ValueError, match="precision: must be one of double, single"):
        kff.md.run(copper(), gap, precision="half", temperature=10, steps=5)


def test_dynamics_stop_where_it_becomes_too_coarse(gap, monkeypatch, tmp_path):
    """Two atoms that do not see each other yet: no error at the start, and any is too large then."""
    atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 4.05]])
    atoms.set_velocities([[0, 0, 0], [0, 0, -0.05]])
    monkeypatch.setattr("kernelff.md.simulation.SINGLE_TOLERANCE", 0.0)
    for files in ({}, {"trajectory": tmp_path / "run.xyz"}):
        with pytest.raises(kff.md.MDStopped, match="precision: single precision misses forces") as stopped:
            kff.md.run(atoms, gap, precision="single", steps=200, checkpoint_every=50, **files)
        assert stopped.value.reason == "precision"
        assert stopped.value.step in (50, 100, 150)


def test_checkpoint_belongs_to_its_precision(gap, tmp_path):
    settings = {"temperature": 300, "checkpoint": tmp_path / "a.checkpoint", "checkpoint_every": 5}
    kff.md.run(copper(), gap, precision="single", steps=5, **settings)
    with pytest.raises(ValueError, match="belongs to a run of other atoms, another potential, other settings"):
        kff.md.run(copper(), gap, steps=10, **settings)
    assert len(kff.md.run(copper(), gap, precision="single", steps=10, **settings).forces) == 108


def test_uncertainty_beside_it(gap):
    result = kff.md.run(copper(), gap, precision="single", temperature=300, steps=20, uncertainty="novelty")
    exact = kff.md.run(copper(), gap, temperature=300, steps=20, uncertainty="novelty")
    np.testing.assert_allclose(result.thermo["novelty_max"], exact.thermo["novelty_max"], rtol=1e-4)


def test_command_line(gap, tmp_path):
    model = kff.SparseGPR(kff.SOAP(cutoff=4.0, n_max=5, l_max=4), n_sparse=60, n_jobs=1, calibrate=False)
    model.fit(emt_frames(6, 0)).save(tmp_path / "cu.kff")
    copper().write(tmp_path / "start.xyz")
    arguments = ["md", tmp_path / "cu.kff", tmp_path / "start.xyz", "--temperature", "300", "--steps", "5"]
    done = CliRunner().invoke(app, [*map(str, arguments), "-o", str(tmp_path / "a.xyz"), "--precision", "single"])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, [*map(str, arguments), "-o", str(tmp_path / "b.xyz"), "--precision", "half"])
    assert done.exit_code != 0
