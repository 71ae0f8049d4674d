"""Predictive variances of models with a pair descriptor, against covariances written out pair by pair."""

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from labelled import emt_frames, gas_frames, small_soap
from systems import frame

import kernelff as kff
from kernelff.assembly import frame_rows
from kernelff.error_bars.residual import (
    _PAIRS_PER_BLOCK,
    derivative_variances,
    energy_variance,
    force_combinations,
    virial_combinations,
)
from kernelff.kernels import SquaredExponential
from kernelff.terms import PairTerm

CUTOFF, WIDTH, LENGTH, DELTA = 4.0, 1.2, 0.8, 1.7


def pair_term(n_sparse=12, species_pair=None):
    descriptor = kff.PairDistances(CUTOFF, WIDTH, species_pair).build()
    return PairTerm(descriptor, SquaredExponential(LENGTH), DELTA, np.linspace(0.8, CUTOFF, n_sparse))


def energy_covariance(atoms, others, species_pair=None):
    """Prior covariance of two total energies: every ordered pair of the one with every ordered pair of the other."""
    r, s = (selected(frame, species_pair) for frame in (atoms, others))
    k = np.exp(-((r[:, None] - s) ** 2) / (2 * LENGTH**2))
    return DELTA**2 * cutoff_function(r) @ k @ cutoff_function(s)


def selected(atoms, species_pair):
    i, j, r = neighbor_list("ijd", atoms, CUTOFF)
    z_i, z_j = atoms.numbers[i], atoms.numbers[j]
    if species_pair is None:
        return r
    return r[(np.minimum(z_i, z_j) == min(species_pair)) & (np.maximum(z_i, z_j) == max(species_pair))]


def cutoff_function(r):
    return np.where(r < CUTOFF - WIDTH, 1.0, 0.5 * (1 + np.cos(np.pi * (r - CUTOFF + WIDTH) / WIDTH)))


def variance_of_slope(move, species_pair=None, h=1e-3):
    """Variance of -dE/dt at t = 0 along move(t) -> Atoms, by differences of the covariance of energies."""
    plus, minus = move(h), move(-h)
    same = energy_covariance(plus, plus, species_pair) + energy_covariance(minus, minus, species_pair)
    return (same - 2 * energy_covariance(plus, minus, species_pair)) / (4 * h**2)


@pytest.mark.parametrize(("name", "species_pair"), [("molecule", None), ("triclinic", None), ("triclinic", (6, 14))])
def test_prior_variances_by_brute_force(name, species_pair):
    atoms, term = frame(name), pair_term(species_pair=species_pair)
    neighbors = kff.NeighborList.from_atoms(atoms, 5.0)
    energy = energy_variance([term], neighbors)
    assert energy == pytest.approx(energy_covariance(atoms, atoms, species_pair), rel=1e-10)
    found = derivative_variances([term], neighbors, force_combinations(neighbors))
    for component in range(3 * len(atoms)):

        def move(t, component=component):
            moved = atoms.copy()
            moved.positions[component // 3, component % 3] += t
            return moved

        expected = variance_of_slope(move, species_pair)
        assert found[component] == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert found.max() > 0.1


def test_prior_variances_of_the_virial_by_brute_force():
    atoms, term = frame("triclinic"), pair_term()
    neighbors = kff.NeighborList.from_atoms(atoms, 5.0)
    found = derivative_variances([term], neighbors, virial_combinations(neighbors))
    for row, (a, b) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):

        def strain(t, a=a, b=b):
            strained = atoms.copy()
            deformation = np.eye(3)
            deformation[a, b] += t
            strained.set_cell(strained.cell.array @ deformation, scale_atoms=True)
            return strained

        assert found[row] == pytest.approx(variance_of_slope(strain, h=1e-4), rel=1e-4, abs=1e-4)


def test_blocks_of_pairs_are_summed_whole():
    """More pairs than one block of rows: the variance of 64 copies is 4096 times that of one."""
    atoms, term = frame("triclinic"), pair_term()
    lists = [kff.NeighborList.from_atoms(a, CUTOFF) for a in (atoms, atoms.repeat(4))]
    assert lists[0].n_pairs < _PAIRS_PER_BLOCK < lists[1].n_pairs
    assert energy_variance([term], lists[1]) == pytest.approx(4096 * energy_variance([term], lists[0]), rel=1e-10)
    one, many = (derivative_variances([term], list_, virial_combinations(list_)) for list_ in lists)
    np.testing.assert_allclose(many, 4096 * one, rtol=1e-9)


def test_residual_vanishes_where_the_sparse_distances_span_the_function():
    """|psi|^2 from the fitting rows is then the whole prior variance: two ways to the same number."""
    frames = emt_frames(6, 1, sizes=((1, 1, 1),))
    pairs = kff.PairDistances(CUTOFF, WIDTH)
    model = kff.SparseGPR(pairs, n_sparse=60, length_scale=LENGTH, zbl=False, calibrate=False).fit(frames)
    test = emt_frames(2, 2, sizes=((1, 1, 1),))
    full, posterior = model.evaluate(test, uncertainty="full"), model.evaluate(test, uncertainty=True)
    for k in range(len(test)):
        W, terms = model.potential_.posterior.W, model.potential_.terms
        prior = np.linalg.norm(frame_rows(terms, test[k], energy=False, virial=False).forces @ W, axis=1)
        assert np.abs(full.forces_std[k] - posterior.forces_std[k]).max() < 1e-4 * prior.max()
        assert full.energy_std[k] == pytest.approx(posterior.energy_std[k], rel=1e-3)


def test_net_force_of_a_cluster_is_certain():
    cluster = Atoms("Cu5", [[0, 0, 0], [2.4, 0.1, 0], [0.3, 2.5, 0.2], [2.6, 2.2, 1.0], [0.9, 1.1, 2.3]])
    neighbors = kff.NeighborList.from_atoms(cluster, 4.0)
    net = np.kron(np.vstack([np.arange(5) < 2, np.arange(5) >= 2]), np.eye(3))
    halves = force_combinations(neighbors).T.dot(net.T).T
    terms = [pair_term()]
    variances = derivative_variances(terms, neighbors, halves)
    np.testing.assert_allclose(variances[:3], variances[3:], rtol=1e-8)
    assert variances.min() > 1e-3
    np.testing.assert_allclose(derivative_variances(terms, neighbors, halves[:3] + halves[3:]), 0, atol=1e-12)


def test_variances_of_independent_terms_add():
    atoms = gas_frames(1, 3)[0]
    model = kff.SparseGPR([small_soap(), kff.PairDistances(CUTOFF)], n_sparse=[8, 4], zbl=False, calibrate=False)
    model.fit(gas_frames(8, 7))
    terms = model.potential_.terms
    neighbors = kff.NeighborList.from_atoms(atoms, CUTOFF)
    forces = force_combinations(neighbors)
    parts = [derivative_variances([term], neighbors, forces) for term in terms]
    np.testing.assert_allclose(derivative_variances(terms, neighbors, forces), sum(parts), rtol=1e-12)
    full, posterior = (model.evaluate([atoms], uncertainty=kind) for kind in ("full", True))
    for kind in ("energy_std", "forces_std", "stress_std", "energies_std"):
        wide, narrow = (np.asarray(getattr(found, kind)[0]) for found in (full, posterior))
        assert np.isfinite(wide).all() and (wide >= narrow * (1 - 1e-9)).all() and (wide > 1.01 * narrow).any()


@pytest.mark.parametrize("kernel", [SquaredExponential(0.7), SquaredExponential((0.7, 3.0), 2.0, (1.0, -2.0))])
def test_mixed_curvature_is_the_derivative_of_the_slope(kernel):
    x, y, h = np.array([1.3, 2.0, 40.0]), np.array([1.7, 2.0, 3.1, 90.0]), 1e-5
    difference = (kernel.value_and_slope(x, y + h)[1] - kernel.value_and_slope(x, y - h)[1]) / (2 * h)
    np.testing.assert_allclose(kernel.mixed_curvature(x, y), difference, atol=1e-8)


def test_symmetry_makes_variances_vanish_not_negative():
    atoms = Atoms("Cu", cell=3.6 * (np.ones((3, 3)) - np.eye(3)) / 2, pbc=True).repeat(2)
    neighbors = kff.NeighborList.from_atoms(atoms, CUTOFF)
    variances = derivative_variances([pair_term()], neighbors, force_combinations(neighbors))
    assert (variances >= 0).all() and variances.max() < 1e-12
