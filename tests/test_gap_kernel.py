"""The compiled kernel of Gaussian processes on SOAP against its parts in numpy, finite differences and itself."""

import copy
import ctypes
import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from systems import FRAMES, frame

import kernelff as kff
from kernelff._soap import GapKernel, available_isas
from kernelff.descriptors import SOAPDescriptor
from kernelff.kernels import DotProduct, RadialBasis
from kernelff.terms import EnvironmentTerm, term_from_state

SMALL = kff.SOAP(cutoff=4.0, n_max=3, l_max=2, scaling_exponent=0)
LARGE = kff.SOAP(cutoff=4.0, n_max=8, l_max=6, scaling_exponent=0)
MANY = {"default": SMALL, "large": LARGE, "not normalised": kff.SOAP(3.5, 4, 3, scaling_exponent=0, normalize=False)}
ZETAS = (1.0, 2.0, 3.0, 4.0, 5.0, 2.5)


def neighbors_of(term, atoms):
    return kff.NeighborList.from_atoms(atoms, term.cutoff)


def environments(descriptor, n, seed=0):
    """Random feature vectors of length 1 with positive entries, as power spectra have on their diagonals."""
    x = np.abs(np.random.default_rng(seed).normal(size=(n, descriptor.n_features)))
    return x / np.linalg.norm(x, axis=1)[:, None]


def term_of(soap, numbers, n_sparse=21, zeta=4.0, isa=None, **options):
    """A term with random sparse points for every element, and weights of both signs."""
    descriptor = soap.build(sorted({int(z) for z in numbers}), 2.35, **options)
    if isa is not None:
        descriptor = SOAPDescriptor.from_state(*descriptor.to_state(), isa=isa)
    points = {z: environments(descriptor, n_sparse + z % 5, z) for z in descriptor.species}
    term = EnvironmentTerm(descriptor, DotProduct(zeta), 0.7, points)
    return term, np.random.default_rng(1).normal(size=term.n_functions)


def agree(term, weights, atoms):
    """The kernel gives what features, products and adjoint give one after the other, and not nothing."""
    neighbors = neighbors_of(term, atoms)
    assert term.compiled(weights) is not None
    found, expected = term.evaluate(neighbors, weights), term.evaluate_by_parts(neighbors, weights)
    for one, two in zip(found, expected, strict=True):
        assert one.shape == two.shape
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-12 * np.abs(two).max(initial=0.0))
    return found


# ---- the same as the parts ------------------------------------------------------------------------


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("zeta", ZETAS)
@pytest.mark.parametrize("soap", MANY.values(), ids=MANY)
def test_parts(isa, zeta, soap):
    atoms = frame("triclinic")
    agree(*term_of(soap, atoms.numbers, zeta=zeta, isa=isa), atoms)


@pytest.mark.parametrize("zeta", [3.0, 4.0, 65.0, 3.5])
def test_negative_products(zeta):
    """Whole powers keep the sign, others take a negative product as 0."""
    atoms = frame("dimer")
    term, weights = term_of(SMALL, [14], zeta=zeta)
    points = {14: -1.01 * term.sparse_points[14]}
    agree(EnvironmentTerm(term.descriptor, term.kernel, 1.0, points), weights, atoms)


@pytest.mark.parametrize("name", FRAMES)
def test_frames(name):
    atoms = frame(name)
    term, weights = term_of(SMALL, atoms.numbers)
    _, gradients = agree(term, weights, atoms)
    assert gradients.any() or name == "isolated"


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("n_sparse", [1, 7, 8, 64, 65, 150])
def test_numbers_of_sparse_points(isa, n_sparse):
    atoms = frame("dimer")
    for zeta in (2.0, 4.0):  # with zeta = 2, few points as powers and many as a quadratic form
        agree(*term_of(SMALL, [14], n_sparse, zeta, isa), atoms)


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("n_atoms", [1, 3, 8, 9, 17, 24, 25, 96, 97, 211])
def test_numbers_of_centres(isa, n_atoms):
    """Whole and broken vectors, groups and blocks of centres."""
    rng = np.random.default_rng(n_atoms)
    edge = 2.5 * n_atoms ** (1 / 3)
    atoms = Atoms(numbers=rng.choice([6, 14], n_atoms), positions=rng.uniform(0, edge, (n_atoms, 3)))
    agree(*term_of(kff.SOAP(3.0, 2, 2, scaling_exponent=0), [6, 14], isa=isa), atoms)


def test_channels_mixed_into_fewer():
    atoms = frame("molecule")
    soap = kff.SOAP(4.0, 4, 3, n_channels=6, mixing="random", scaling_exponent=0)
    agree(*term_of(soap, atoms.numbers), atoms)


def test_more_features_than_a_block_holds():
    """Four elements: 2176 features, where a block is a single group of centres."""
    atoms = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    atoms.numbers[:4] = [1, 1, 6, 6]
    atoms.rattle(0.1, seed=3)
    agree(*term_of(kff.SOAP(4.0, 8, 3, scaling_exponent=0), atoms.numbers), atoms)


def test_centres_and_neighbours_that_are_not_seen():
    """Sparse points for some elements only, shared between two, or for all; neighbours left out."""
    atoms = frame("molecule")
    for species, keys in (([1, 6, 8], [(1, 6)]), ([6, 8], [6]), ([6], [8, 1]), ([1, 6, 8], [0])):
        descriptor = SMALL.build(species, 2.0, ignore_others=True)
        points = {key: environments(descriptor, 9) for key in keys}
        term = EnvironmentTerm(descriptor, DotProduct(2.0), 1.0, points)
        energies, _ = agree(term, np.linspace(-1.0, 1.5, term.n_functions), atoms)
        seen = np.ones(6, bool) if keys == [0] else np.isin(atoms.numbers, keys[0] if len(keys) == 1 else keys)
        assert (energies != 0).tolist() == seen.tolist()


def test_elements_alike():
    descriptor = SMALL.build(None, 2.0)
    term = EnvironmentTerm(descriptor, DotProduct(3.0), 1.0, {0: environments(descriptor, 9)})
    agree(term, np.linspace(-1.0, 1.5, 9), frame("molecule"))


def test_no_atoms_and_no_sparse_points():
    term, weights = term_of(SMALL, [14])
    energies, gradients = term.evaluate(neighbors_of(term, Atoms()), weights)
    assert energies.shape == (0,) and gradients.shape == (0, 3)
    empty = EnvironmentTerm(term.descriptor, DotProduct(4.0), 1.0, {14: np.zeros((0, term.descriptor.n_features))})
    energies, gradients = empty.evaluate(neighbors_of(empty, frame("dimer")), np.zeros(0))
    assert not energies.any() and not gradients.any()


def test_a_centre_without_density():
    """Without the atom's own density an isolated atom has q = 0."""
    soap = kff.SOAP(4.0, 3, 2, central_weight=0.0, scaling_exponent=0)
    for zeta in ZETAS:
        energies, _ = agree(*term_of(soap, [14], zeta=zeta), Atoms("Si3", [[0, 0, 0], [2.0, 0, 0], [50.0, 0, 0]]))
        assert energies[2] == 0


# ---- derivatives ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["molecule", "slab", "triclinic", "one_atom"])
@pytest.mark.parametrize("zeta", [2.0, 4.0, 2.5])
def test_forces_and_virial_by_finite_differences(name, zeta):
    """Central differences with step 1e-4 Å and strains of 1e-5: to 1e-6 of the largest."""
    atoms = frame(name)
    term, weights = term_of(SMALL, atoms.numbers, zeta=zeta)
    potential = kff.Potential([term], weights, {int(z): 0.0 for z in set(atoms.numbers)})
    result = potential.compute(atoms)
    numerical = np.zeros_like(result.forces)
    for a, c in np.ndindex(*numerical.shape):
        for step in (1e-4, -1e-4):
            moved = atoms.copy()
            moved.positions[a, c] += step
            numerical[a, c] -= potential.compute(moved).energy / (2 * step)
    scale = max(np.abs(result.forces).max(), 1e-3)
    np.testing.assert_allclose(result.forces, numerical, rtol=0, atol=1e-6 * scale)
    for a, b in ((0, 0), (1, 2)):
        energies = []
        for step in (1e-5, -1e-5):
            strain = np.eye(3)
            strain[a, b] += step
            moved = atoms.copy()
            moved.set_cell(atoms.cell.array @ strain)
            moved.positions = atoms.positions @ strain
            energies.append(potential.compute(moved).energy)
        numerical = -(energies[0] - energies[1]) / 2e-5
        assert abs(result.virial[a, b] - numerical) < 1e-6 * np.abs(result.virial).max()


# ---- the contract of the kernel -------------------------------------------------------------------


def arguments(term, atoms):
    neighbors = neighbors_of(term, atoms)
    return neighbors.first, neighbors.j, neighbors.vectors, neighbors.numbers.astype(np.int32)


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("zeta", ZETAS)
def test_any_range_gives_the_same_bits(isa, zeta):
    atoms = bulk("Si", cubic=True) * (3, 2, 2)
    atoms.numbers[::3] = 6
    atoms.rattle(0.1, seed=5)
    term, weights = term_of(SMALL, [6, 14], 70, zeta, isa)
    kernel, plain = term.compiled(weights), arguments(term, atoms)
    energies, gradients = kernel.evaluate(*plain, 0, len(atoms))
    assert kernel.isa == isa
    for ends in ([0, 1, 18, 43, 44, 96], [0, 50, 96]):
        parts = [kernel.evaluate(*plain, a, b) for a, b in pairwise(ends)]
        np.testing.assert_array_equal(np.concatenate([e for e, _ in parts]), energies)
        np.testing.assert_array_equal(np.concatenate([g for _, g in parts]), gradients)


class Pairs(ctypes.Structure):
    """centre_pairs of ext/centres.h."""

    _fields_ = (*((name, ctypes.c_void_p) for name in ("first", "j", "vectors", "species")),
                ("start", ctypes.c_int64), ("stop", ctypes.c_int64))  # fmt: skip


class Kernel(ctypes.Structure):
    """centre_kernel of ext/centres.h."""

    _fields_ = (("isa", ctypes.c_char_p), ("lanes", ctypes.c_int),
                ("scratch_size", ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)),
                ("evaluate", ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)))  # fmt: skip


def test_c_runs_a_bound_kernel_and_adds():
    """As a loop in C does: by the two addresses, scratch of the size it asks for, on top of what is there."""
    atoms = frame("triclinic")
    term, weights = term_of(SMALL, atoms.numbers)
    first, j, vectors, elements = plain = arguments(term, atoms)
    bound = term.compiled(weights)
    energies, gradients = bound.evaluate(*plain, 0, len(atoms))
    kernel_at, plan_at = bound.address
    kernel = Kernel.from_address(kernel_at)
    assert kernel.isa.decode() == bound.isa
    size = kernel.scratch_size(plan_at, int(np.diff(first).max()))
    scratch = np.full(size + 64, 255, dtype=np.uint8)  # whatever lies there, here NaN
    aligned = scratch.ctypes.data + -scratch.ctypes.data % 64
    pairs = Pairs(*(array.ctypes.data for array in (first, j, vectors, elements)), 0, len(atoms))
    e, g = np.ones_like(energies), np.ones_like(gradients)
    kernel.evaluate(plan_at, ctypes.addressof(pairs), aligned, e.ctypes.data, g.ctypes.data)
    np.testing.assert_allclose(e, energies + 1.0, rtol=1e-14)
    np.testing.assert_allclose(g, gradients + 1.0, rtol=1e-14)
    alone = np.zeros_like(energies)
    kernel.evaluate(plan_at, ctypes.addressof(pairs), aligned, alone.ctypes.data, None)
    np.testing.assert_array_equal(alone, energies)


def test_threads_share_a_term():
    atoms = frame("silicon")
    term, weights = term_of(LARGE, [14])
    neighbors = neighbors_of(term, atoms)
    many = [weights * k for k in (1.0, -2.0, 0.5)]
    expected = [term.evaluate(neighbors, w)[1] for w in many]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda k: term.evaluate(neighbors, many[k % 3])[1], range(60)))
    for k, gradients in enumerate(found):
        np.testing.assert_array_equal(gradients, expected[k % 3])


def test_weights_are_compared_by_value():
    atoms = frame("silicon")
    term, weights = term_of(SMALL, [14])
    neighbors = neighbors_of(term, atoms)
    before = term.evaluate(neighbors, weights)[0]
    assert term.compiled(weights.copy()) is term.compiled(weights)
    weights *= 2.0
    np.testing.assert_allclose(term.evaluate(neighbors, weights)[0], 2.0 * before, rtol=1e-13)


def test_copies_and_files_leave_the_kernel_behind():
    atoms = frame("triclinic")
    term, weights = term_of(SMALL, [6, 14])
    expected = term.evaluate(neighbors_of(term, atoms), weights)
    params, arrays = term.to_state()
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
    for other in (copy.deepcopy(term), pickle.loads(pickle.dumps(term)), term_from_state(params, arrays)):
        for one, two in zip(other.evaluate(neighbors_of(term, atoms), weights), expected, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("kernel", [RadialBasis(0.5), DotProduct(2.0, constant=0.3), DotProduct(3.0, normalize=True)])
def test_other_covariances_take_the_parts(kernel):
    atoms = frame("triclinic")
    term, weights = term_of(SMALL, [6, 14])
    other = EnvironmentTerm(term.descriptor, kernel, 1.0, term.sparse_points)
    assert other.compiled(weights) is None
    assert other.evaluate(neighbors_of(term, atoms), weights)[1].any()


def test_refusals():
    term, weights = term_of(SMALL, [14])
    with pytest.raises(ValueError, match=r"the frame holds C \(Z = 6\)"):
        term.evaluate(neighbors_of(term, frame("triclinic")), weights)
    loops, points = term.descriptor.loops, term.sparse_points[14]
    good = (loops, [0], [0], [(points, weights)], 4.0)
    for place, bad, match in (
        (1, [1], "channels_of, set_of"),
        (2, [1], "channels_of, set_of"),
        (2, [0, 0], "one entry"),
        (3, [(points[:, 1:], weights)], "features"),
        (3, [(points, weights[1:])], "a weight for each point"),
        (4, 0.5, "zeta: must be >= 1"),
        (4, np.nan, "zeta: must be >= 1"),
    ):
        with pytest.raises(ValueError, match=match):
            GapKernel(*good[:place], bad, *good[place + 1 :])
    kernel = GapKernel(*good)
    for element in (-1, 1):
        with pytest.raises(ValueError, match="of atom 0 is not from 0 to 0"):
            first, j, vectors, _ = arguments(term, Atoms("Si"))
            kernel.evaluate(first, j, vectors, np.array([element], dtype=np.int32), 0, 1)
