"""Compiled moment tensor potentials: against features and their adjoint, finite differences, precision, C alone."""

import pickle
import subprocess
from pathlib import Path

import checks
import numpy as np
import pytest
from ase import Atoms
from c_driver.moments_tables import write_tables
from systems import FRAMES, frame

import kernelff as kff
from kernelff._moments import PotentialKernel
from kernelff._soap import available_isas
from kernelff.assembly import forces_and_virial
from kernelff.descriptors import MomentTensorsDescriptor
from kernelff.descriptors.moment_folding import folded
from kernelff.potential import Potential
from kernelff.terms import BasisTerm

DATA, ROOT = Path(__file__).parent / "data", Path(__file__).parents[1]


def term_of(species, level=12, seed=0, isa=None, cutoff=4.0):
    """A term with radial functions that differ between pairs of elements, and weights of which every third is 0."""
    built = kff.MomentTensors(level, cutoff, radial_basis_size=7).build(sorted(set(species)), 2.0)
    rng = np.random.default_rng(seed)
    built = built.with_coefficients(built.coefficients * rng.uniform(0.5, 1.5, built.coefficients.shape))
    params, arrays = built.to_state()
    weights = rng.normal(size=built.n_features)
    weights[::3] = 0.0
    return BasisTerm(MomentTensorsDescriptor.from_state(params, arrays, isa=isa)), weights


def agree(term, weights, neighbors, tolerance=1e-12):
    found, expected = term.evaluate(neighbors, weights), term.evaluate_by_parts(neighbors, weights)
    for one, other, what in zip(found, expected, ("energies", "pair gradients"), strict=True):
        checks.close(one, other, tolerance, what)


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("name", sorted(FRAMES))
def test_agrees_with_features_and_their_adjoint(name, isa):
    """One to three elements, molecules, slabs, cells smaller than the cutoff, more pairs than the cutoff takes."""
    atoms = frame(name)
    for cutoff in (4.0, 5.0):
        agree(*term_of(atoms.numbers, isa=isa), kff.NeighborList.from_atoms(atoms, cutoff))


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("level", [2, 4, 6, 8, 10, 14, 16, 18, 20])
def test_levels_and_four_elements(level, isa):
    atoms = frame("slab").repeat((2, 1, 1))
    atoms.numbers = np.resize([13, 26, 28, 29, 29], len(atoms))
    agree(*term_of(atoms.numbers, level, isa=isa), kff.NeighborList.from_atoms(atoms, 4.0))


def test_a_level_beyond_the_unrolled_loops():
    atoms = frame("triclinic")
    agree(*term_of(atoms.numbers, 24, cutoff=3.0), kff.NeighborList.from_atoms(atoms, 3.0))


@pytest.mark.parametrize("name", ["one_type.mtp", "two_types.mtp"])
def test_tables_of_a_file(name):
    potential = kff.load(DATA / name, species=["Si", "C"][: 1 + (name == "two_types.mtp")])
    atoms = frame("triclinic" if name == "two_types.mtp" else "silicon")
    agree(potential.terms[0], potential.weights, kff.NeighborList.from_atoms(atoms, potential.cutoff))


def test_some_functions_alone():
    """Degrees of the moments that follow no pattern, radial functions that nothing uses."""
    atoms = frame("molecule")
    term, weights = term_of(atoms.numbers, 16)
    neighbors = kff.NeighborList.from_atoms(atoms, 4.0)
    for kept in ([0], [3, 17, 40], [91], list(range(0, 92, 7))):
        one = BasisTerm(term.descriptor.restricted(kept))
        agree(one, weights[kept] + 0.5, neighbors)
        alone = np.zeros_like(weights)
        alone[kept] = 1.0
        agree(term, alone, neighbors)
    energies, gradients = term.evaluate(neighbors, np.zeros_like(weights))
    assert not energies.any() and not gradients.any()


def test_folding_leaves_few_nodes():
    """Scalars are no nodes, and functions of weight zero leave nothing behind."""
    term, weights = term_of([14], 16)
    tables = term.descriptor._tables
    whole, less = folded(tables, np.ones_like(weights)), folded(tables, np.eye(len(weights))[5])
    assert len(whole.sums) < len(tables.sums) - 60 and len(less.sums) < 10
    assert not folded(tables, np.zeros_like(weights)).energy


@pytest.mark.parametrize("name", ["triclinic", "molecule", "slab"])
def test_finite_differences(name):
    """Forces and virial by central differences of the energy, step 1e-4 Å."""
    atoms = frame(name)
    term, weights = term_of(atoms.numbers, 16)
    potential = Potential([term], weights, dict.fromkeys(set(atoms.numbers), 0.0))
    found, step = potential.compute(atoms), 1e-4
    for i, c in ((0, 0), (1, 1), (len(atoms) - 1, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[i, c] += sign * step
            energies.append(potential.compute(moved).energy)
        numeric = (energies[1] - energies[0]) / (2 * step)
        assert abs(numeric - found.forces[i, c]) <= 1e-6 * np.abs(found.forces).max()
    strain = np.array([[0.3, 0.1, 0.0], [0.1, -0.2, 0.4], [0.0, 0.4, 0.5]])
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.set_cell(atoms.cell.array @ (np.eye(3) + sign * step * strain), scale_atoms=False)
        moved.positions = atoms.positions @ (np.eye(3) + sign * step * strain)
        energies.append(potential.compute(moved).energy)
    numeric = (energies[1] - energies[0]) / (2 * step)
    assert abs(numeric - (found.virial * strain).sum()) <= 1e-6 * np.abs(found.virial).max()


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("isa", available_isas())
def test_numbers_of_a_centre_do_not_depend_on_the_range(isa, precision):
    """The same bits whatever the others in the lanes: for any split of the work."""
    atoms = frame("slab").repeat((3, 1, 1))
    atoms.numbers[::3] = 13
    term, weights = term_of(atoms.numbers, isa=isa)
    neighbors = kff.NeighborList.from_atoms(atoms, 4.0)
    kernel = PotentialKernel(term.descriptor.potential_tables(weights, precision), isa, precision == "single")
    plain = neighbors.first, neighbors.j, neighbors.vectors, neighbors.numbers.astype(np.int32)
    energies, gradients = kernel.evaluate(*plain, 0, len(atoms))
    for start, stop in ((0, 1), (5, 12), (3, 20), (23, 24), (4, 4)):
        e, g = kernel.evaluate(*plain, start, stop)
        assert np.array_equal(e, energies[start:stop])
        assert np.array_equal(g, gradients[neighbors.first[start] : neighbors.first[stop]])


def test_forces_of_blocks_are_those_of_all_pair_gradients():
    """Of more centres than a block has, with an energy of isolated atoms."""
    atoms = frame("silicon").repeat((3, 3, 3))
    term, weights = term_of(atoms.numbers)
    potential = Potential([term], weights, {14: -1.5})
    neighbors = kff.NeighborList.from_atoms(atoms, 4.4)
    local, gradients = term.evaluate(neighbors, weights)
    energies, forces, virial = potential.evaluate(neighbors)
    expected = forces_and_virial(neighbors, gradients)
    assert len(atoms) > 200
    checks.close(energies, local - 1.5, 1e-13, "energies")
    checks.close(forces, expected[0], 1e-13, "forces")
    checks.close(virial, expected[1], 1e-12, "virial")
    with pytest.raises(ValueError, match="cutoff"):
        potential.evaluate(kff.NeighborList.from_atoms(atoms, 3.9))


def test_isolated_atoms():
    atoms = Atoms("Si3", [[0, 0, 0], [10, 0, 0], [20, 0, 0]])
    term, weights = term_of(atoms.numbers)
    energies, gradients = term.evaluate(kff.NeighborList.from_atoms(atoms, 4.0), weights)
    assert np.array_equal(energies, np.zeros(3)) and gradients.shape == (0, 3)
    assert term.evaluate(kff.NeighborList.from_atoms(Atoms(), 4.0), weights)[0].shape == (0,)


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("name", sorted(FRAMES))
def test_single_precision(name, isa):
    atoms = frame(name)
    term, weights = term_of(atoms.numbers, 16, isa=isa)
    neighbors = kff.NeighborList.from_atoms(atoms, 4.0)
    weights *= 1e-5
    exact, found = term.evaluate(neighbors, weights), term.with_precision("single").evaluate(neighbors, weights)
    for one, other, what in zip(found, exact, ("energies", "pair gradients"), strict=True):
        checks.close(one, other, 2e-5, what)
    if neighbors.n_pairs:
        assert not np.array_equal(found[1], exact[1])


def test_single_precision_is_refused_where_it_is_too_coarse():
    atoms = frame("silicon")
    term, weights = term_of(atoms.numbers, 16)
    potential = Potential([term], 1e5 * weights, {14: 0.0})
    with pytest.raises(ValueError, match="precision: single precision misses forces of this model by about"):
        potential.with_precision("single").compute(atoms)
    with pytest.raises(ValueError, match=r"precision: nodes\.weights are beyond the range of single precision"):
        Potential([term], 1e40 * weights, {14: 0.0}).with_precision("single").compute(atoms)
    assert np.isfinite(potential.with_precision("double").compute(atoms).energy)


def test_precision_of_a_calculator():
    potential = kff.load(DATA / "one_type.mtp", species=["Si"])
    atoms, exact = frame("silicon"), potential.compute(frame("silicon"))
    atoms.calc = potential.calculator(precision="single")
    forces = atoms.get_forces()
    assert 0 < np.abs(forces - exact.forces).max() <= 1e-4
    assert potential.terms[0].precision == "double"
    with pytest.raises(ValueError, match='precision: must be "double" or "single", got \'half\''):
        potential.calculator(precision="half")


def test_weights_pickles_and_threads():
    """A term follows the weights that it is given, and kernels are no part of pickles."""
    frames = [frame("triclinic", seed=k) for k in range(3)]
    term, weights = term_of(frames[0].numbers)
    lists = [kff.NeighborList.from_atoms(atoms, 4.0) for atoms in frames]
    for factor in (1.0, 2.0, 1.0):
        agree(term, factor * weights, lists[0])
    again = pickle.loads(pickle.dumps(term))
    assert again._bound is None and term._bound is not None
    assert np.array_equal(again.evaluate(lists[0], weights)[1], term.evaluate(lists[0], weights)[1])
    pairs = [(k, factor) for k in range(3) for factor in (1.0, -1.0)]
    checks.check_threads(lambda pair: term.evaluate(lists[pair[0]], pair[1] * weights)[1], pairs)


def test_lists_that_do_not_fit():
    term, weights = term_of([14])
    with pytest.raises(ValueError, match=r"neighbors: the list reaches 3\.0"):
        term.evaluate(kff.NeighborList.from_atoms(frame("silicon"), 3.0), weights)
    with pytest.raises(ValueError, match="species: the frame holds Cu"):
        term.evaluate(kff.NeighborList.from_atoms(frame("slab"), 4.0), weights)


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """The standalone C program, with address and undefined-behaviour sanitizers."""
    folder = tmp_path_factory.mktemp("driver")
    flags = [
        "-std=gnu11",
        "-O0",
        "-g",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        f"-I{ROOT / 'ext'}",
    ]
    objects = []
    for name, source, macros in (
        ("double", "ext/moments_potential.c", ["-DISA=base", "-DLANES=2"]),
        ("single", "ext/moments_potential.c", ["-DISA=base", "-DLANES=4", "-DSINGLE"]),
        ("dispatch", "ext/moments_potential_dispatch.c", []),
        ("forces", "ext/forces.c", ["-DISA=base", "-DLANES=2"]),
        ("forces_dispatch", "ext/forces_dispatch.c", []),
        ("driver", "tests/c_driver/moments.c", []),
    ):
        objects.append(str(folder / f"{name}.o"))
        subprocess.run(["gcc", *flags, *macros, "-c", str(ROOT / source), "-o", objects[-1]], check=True)
    subprocess.run(["gcc", *flags, *objects, "-lm", "-o", str(folder / "driver")], check=True)
    return folder / "driver"


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("name", ["molecule", "triclinic", "slab", "isolated"])
def test_c_without_python(driver, tmp_path, name, precision):
    atoms = frame(name)
    term, weights = term_of(atoms.numbers, 16, isa="base")
    neighbors = kff.NeighborList.from_atoms(atoms, 4.5)
    tables = term.descriptor.potential_tables(weights, precision, rows=precision == "double")
    write_tables(tmp_path / "tables", tables, neighbors)
    done = subprocess.run([driver, tmp_path / "tables", precision, "base"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [np.array(line.split(), dtype=float) for line in done.stdout.splitlines()]
    energies, gradients = term.evaluate(neighbors, weights)
    forces, virial = forces_and_virial(neighbors, gradients)
    tolerance = 1e-12 if precision == "double" else 2e-5
    lines, rows = lines[: len(atoms) + 1], np.array(lines[len(atoms) + 1 :])
    if precision == "double":
        checks.close(rows, term.values(neighbors)[0], tolerance, "scalars")
    found = np.array(lines[:-1])
    checks.close(found[:, 0], energies, tolerance, "energies")
    checks.close(found[:, 1:], forces, tolerance, "forces")
    strain = lines[-1].reshape(3, 3)
    checks.close(0.5 * (strain + strain.T), virial, tolerance, "virial")
