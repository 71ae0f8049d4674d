"""Derivatives of moment tensors by radial coefficients against finite differences, and what must be zero."""

import checks
import numpy as np
import pytest
from ase import Atoms
from systems import frame
from test_moment_tensors import built

import kernelff as kff
from kernelff._soap import available_isas
from kernelff.descriptors import descriptor_from_state, descriptor_to_state
from kernelff.descriptors.moment_file import TabulatedMoments


def problem(name, level, isa=None, n_beta=6):
    """Descriptor, neighbours and linear weights."""
    atoms = frame(name)
    descriptor = built(atoms, level, isa=isa)
    if n_beta > 6:
        more = np.random.default_rng(3).normal(size=(*descriptor.coefficients.shape[:3], n_beta - 6))
        descriptor = descriptor.with_coefficients(np.concatenate([descriptor.coefficients, 1e-3 * more], axis=3))
    weights = np.random.default_rng(1).normal(size=descriptor.n_features)
    return descriptor, kff.NeighborList.from_atoms(atoms, descriptor.cutoff), weights


def by_finite_differences(descriptor, neighbors, weights, direction, step):
    """Slopes of local energies and pair gradients along `direction` in the space of the coefficients, to step^4."""

    def central(h):
        plus, minus = (descriptor.with_coefficients(descriptor.coefficients + x * direction) for x in (h, -h))
        pairs = zip(plus.gradients(neighbors), minus.gradients(neighbors), strict=True)
        return [(a - b) @ weights / (2 * h) for a, b in pairs]

    return [(4 * near - far) / 3 for near, far in zip(central(step), central(2 * step), strict=True)]


def along(descriptor, neighbors, values, rows, direction):
    """The derivatives contracted with `direction`, which differs between elements of the centre."""
    index = np.searchsorted(descriptor.species, neighbors.numbers)
    mine = direction[index].reshape(len(index), -1)
    energies = (values.reshape(len(index), -1) * mine).sum(axis=1)
    return energies, np.einsum("pcl,pl->pc", rows, mine[neighbors.i])


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("level", [2, 8, 12, 16])
@pytest.mark.parametrize("name", ["silicon", "triclinic", "molecule"])
def test_against_finite_differences(name, level, isa):
    """One, two and three elements; 1e-3 of the coefficients as step."""
    for n_beta in (6, 11):
        descriptor, neighbors, weights = problem(name, level, isa, n_beta)
        values, rows = descriptor.coefficient_gradients(neighbors, weights)
        n_atoms, one_centre = neighbors.n_atoms, descriptor.coefficients.shape[1:]
        assert values.shape == (n_atoms, *one_centre) and rows.shape == (neighbors.n_pairs, 3, np.prod(one_centre))
        rng = np.random.default_rng(2)
        direction = rng.normal(size=descriptor.coefficients.shape) * np.abs(descriptor.coefficients).max()
        found = along(descriptor, neighbors, values, rows, direction)
        expected = by_finite_differences(descriptor, neighbors, weights, direction, step=1e-3)
        for part, a, b in zip(("values", "rows"), found, expected, strict=True):
            assert np.abs(b).max() > 0
            checks.close(a, b, 1e-11, f"{part} of level {level}, {n_beta} radial functions of the basis")


def test_every_column_of_one_pair():
    descriptor, neighbors, weights = problem("triclinic", 12)
    values, rows = descriptor.coefficient_gradients(neighbors, weights)
    c = descriptor.coefficients
    for k in range(c[0].size):
        direction = np.zeros_like(c)
        direction.reshape(len(c), -1)[:, k] = np.abs(c).max()
        expected = by_finite_differences(descriptor, neighbors, weights, direction, step=1e-2)
        checks.close(values.reshape(2, -1)[:, k] * np.abs(c).max(), expected[0], 1e-10, f"values of column {k}")
        checks.close(rows[..., k] * np.abs(c).max(), expected[1], 1e-10, f"rows of column {k}")


def test_scaling_all_functions():
    """A basis of degree n in the moments grows as the n-th power: c dE/dc = sum over b of degree_b w_b B_b."""
    descriptor, neighbors, weights = problem("triclinic", 16)
    degree = np.array([len(graph.mus) for graph in descriptor.graphs])
    q, dq = descriptor.gradients(neighbors)
    values, rows = descriptor.coefficient_gradients(neighbors, weights)
    found = along(descriptor, neighbors, values, rows, descriptor.coefficients)
    checks.close(found[0], q @ (degree * weights), 1e-12, "values")
    checks.close(found[1], dq @ (degree * weights), 1e-12, "rows")


def test_linear_in_the_weights():
    descriptor, neighbors, weights = problem("molecule", 12)
    other = np.random.default_rng(5).normal(size=weights.shape)
    parts = [descriptor.coefficient_gradients(neighbors, w) for w in (weights, other, 2.0 * weights - 3.0 * other)]
    for a, b, both in zip(*parts, strict=True):
        checks.close(2.0 * a - 3.0 * b, both, 1e-13, "combination of weights")
    assert not any(part.any() for part in descriptor.coefficient_gradients(neighbors, np.zeros_like(weights)))


def test_instruction_sets_agree():
    for level in (12, 20):
        first, *others = [_derivatives("triclinic", level, isa) for isa in available_isas()]
        for other in others:
            for a, b in zip(first, other, strict=True):
                checks.close(b, a, 1e-12, f"level {level}: {available_isas()}")


def _derivatives(name, level, isa):
    descriptor, neighbors, weights = problem(name, level, isa)
    return descriptor.coefficient_gradients(neighbors, weights)


def test_pairs_of_elements_that_do_not_occur():
    """In CO, coefficients of hydrogen and of carbon beside carbon change nothing."""
    descriptor, _, weights = problem("molecule", 12)
    atoms = Atoms("CO", [[0, 0, 0], [1.1, 0.2, 0.1]])
    neighbors = kff.NeighborList.from_atoms(atoms, descriptor.cutoff)
    values, rows = descriptor.coefficient_gradients(neighbors, weights)
    assert descriptor.species == (1, 6, 8)
    assert values[0, 2].any() and not values[0, :2].any()  # carbon sees oxygen
    assert values[1, 1].any() and not values[1, ::2].any()
    rows = rows.reshape(2, 3, 3, -1)
    assert rows[0, :, 2].any() and not rows[0, :, :2].any()
    assert rows[1, :, 1].any() and not rows[1, :, ::2].any()


def test_ranges_of_centres_and_longer_lists():
    descriptor, neighbors, weights = problem("slab", 12)
    values, rows = descriptor.coefficient_gradients(neighbors, weights)
    some, some_rows = descriptor.coefficient_gradients(neighbors, weights, 2, 5)
    np.testing.assert_array_equal(some, values[2:5])
    np.testing.assert_array_equal(some_rows, rows[neighbors.first[2] : neighbors.first[5]])
    none, no_rows = descriptor.coefficient_gradients(neighbors, weights, 3, 3)
    assert none.shape == (0, *values.shape[1:]) and no_rows.shape == (0, *rows.shape[1:])
    longer = kff.NeighborList.from_atoms(frame("slab"), 6.0)
    far = longer.distances >= descriptor.cutoff
    values_long, rows_long = descriptor.coefficient_gradients(longer, weights)
    checks.close(values_long, values, 1e-13, "values from a longer list")
    assert far.any() and not rows_long[far].any()
    order, near = (np.lexsort((*n.vectors.round(6).T, n.i)) for n in (neighbors, longer))
    checks.close(rows_long[near[~far[near]]], rows[order], 1e-12, "rows from a longer list")


def test_isolated_atom_and_empty_frame():
    descriptor = kff.MomentTensors(12, 4.5).build((14,))
    weights = np.ones(descriptor.n_features)
    for atoms in (Atoms("Si"), Atoms()):
        neighbors = kff.NeighborList.from_atoms(atoms, 4.5)
        values, rows = descriptor.coefficient_gradients(neighbors, weights)
        assert values.shape == (len(atoms), *descriptor.coefficients.shape[1:]) and not values.any()
        assert rows.shape == (0, 3, descriptor.coefficients[0].size)


def test_same_bits_in_threads_and_from_files():
    descriptor, neighbors, weights = problem("silicon", 12)
    expected = descriptor.coefficient_gradients(neighbors, weights)
    checks.check_threads(
        lambda atoms: descriptor.coefficient_gradients(kff.NeighborList.from_atoms(atoms, 4.5), weights)[1],
        [frame("silicon", seed=k) for k in range(3)],
    )
    copy = descriptor_from_state(*descriptor_to_state(descriptor))
    for a, b in zip(copy.coefficient_gradients(neighbors, weights), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_tabulated_moments():
    descriptor, neighbors, weights = problem("triclinic", 12)
    lengths = descriptor.min_dist, descriptor.cutoff, descriptor.scaling
    tabulated = TabulatedMoments(descriptor.species, descriptor.program, descriptor.coefficients, *lengths)
    expected = descriptor.coefficient_gradients(neighbors, weights)
    for a, b in zip(tabulated.coefficient_gradients(neighbors, weights), expected, strict=True):
        checks.close(a, b, 1e-13, "tables instead of graphs")


def test_errors():
    descriptor, neighbors, weights = problem("dimer", 8)
    with pytest.raises(ValueError, match=r"weights: must be of shape \(9,\), got \(3,\)"):
        descriptor.coefficient_gradients(neighbors, weights[:3])
    with pytest.raises(ValueError, match=r"weights: must be finite numbers, got \[nan, nan, nan\]"):
        descriptor.coefficient_gradients(neighbors, np.full(9, np.nan))
    with pytest.raises(ValueError, match=r"reaches 3.0 Å, the descriptor needs 4.5 Å"):
        descriptor.coefficient_gradients(kff.NeighborList.from_atoms(frame("dimer"), 3.0), weights)
    with pytest.raises(ValueError, match=r"holds Cu \(Z = 29\)"):
        descriptor.coefficient_gradients(kff.NeighborList.from_atoms(frame("slab"), 4.5), weights)
