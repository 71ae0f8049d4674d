"""Terms whose basis functions are the features: rows, prior and variances against their definitions."""

import checks
import numpy as np
import pytest
from systems import frame

import kernelff as kff
from kernelff.assembly import forces_and_virial, frame_rows, local_values, neighbors_of
from kernelff.error_bars.residual import derivative_variances, energy_variance, force_combinations, virial_combinations
from kernelff.regression.whitening import whiten
from kernelff.terms import BasisTerm, term_from_state


def term_of(atoms, level=8, seed=0):
    descriptor = kff.MomentTensors(level, 4.0, radial_basis_size=6).build(sorted(set(atoms.numbers)), 2.0)
    return BasisTerm(descriptor, np.random.default_rng(seed).uniform(1e-6, 1e3, descriptor.n_features))


@pytest.mark.parametrize("name", ["molecule", "triclinic", "slab", "isolated"])
def test_rows_agree_with_evaluation(name):
    atoms = frame(name)
    term, weights = term_of(atoms), np.random.default_rng(1).normal(size=9)
    rows = frame_rows([term], atoms, energies=True)
    neighbors = neighbors_of([term], atoms)
    energies, gradients = term.evaluate(neighbors, weights)
    forces, virial = forces_and_virial(neighbors, gradients)
    voigt = virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    checks.close(rows.energies @ weights, energies, 1e-12, "energies")
    checks.close(rows.energy @ weights, [energies.sum()], 1e-12, "energy")
    checks.close(rows.forces @ weights, forces.ravel(), 1e-9, "forces")
    checks.close(rows.virial @ weights, voigt, 1e-9, "virial")
    assert term.centres == set(atoms.numbers)


def test_blocks_of_centres():
    """More centres than one block holds."""
    atoms = frame("slab").repeat((3, 1, 1))
    term, neighbors = term_of(atoms), neighbors_of([term_of(atoms)], atoms)
    blocks = list(term.gradient_blocks(neighbors))
    assert [block.start for block in blocks] == [0, 8, 16] and blocks[0].scale is None
    assert np.array_equal(np.concatenate([block.pairs for block in blocks]), np.arange(neighbors.n_pairs))
    whole = term.descriptor.gradients(neighbors)[1]
    checks.close(np.concatenate([block.gradients for block in blocks]), whole, 1e-13, "gradients")


def test_the_prior_of_the_weights():
    """psi @ v with v ~ N(0, 1) are weights of the given standard deviations, none dropped."""
    atoms = frame("triclinic")
    term = term_of(atoms)
    W = whiten([term], 0.0).W
    checks.close(W @ W.T, np.diag(term.stds**2), 1e-12, "covariance of the weights")
    phi, prior = local_values([term], neighbors_of([term], atoms))
    checks.close(np.sum((phi @ W) ** 2, axis=1), prior, 1e-12, "prior variance")


def test_prior_variances_of_sums_and_derivatives():
    atoms = frame("triclinic")
    term = term_of(atoms)
    neighbors, rows = neighbors_of([term], atoms), frame_rows([term], atoms)
    checks.close(energy_variance([term], neighbors), np.sum((rows.energy * term.stds) ** 2), 1e-12, "energy")
    for combinations, expected in (
        (force_combinations(neighbors), rows.forces),
        (virial_combinations(neighbors), rows.virial),
    ):
        found = derivative_variances([term], neighbors, combinations)
        checks.close(found, np.sum((expected * term.stds) ** 2, axis=1), 1e-10, "derivatives")


def test_state():
    atoms = frame("molecule")
    term, neighbors = term_of(atoms), neighbors_of([term_of(atoms)], atoms)
    again = term_from_state(*term.to_state())
    assert np.array_equal(again.stds, term.stds) and again.cutoff == term.cutoff
    assert np.array_equal(again.values(neighbors)[0], term.values(neighbors)[0])
    assert (BasisTerm(term.descriptor).gram() == np.eye(term.n_functions)).all()


@pytest.mark.parametrize("stds", [np.ones(3), np.zeros(9), np.full(9, np.nan), np.full(9, np.inf), -np.ones(9)])
def test_standard_deviations_that_are_none(stds):
    descriptor = kff.MomentTensors(8, 4.0).build([14], 2.0)
    with pytest.raises(ValueError, match="stds: must be 9 finite numbers > 0"):
        BasisTerm(descriptor, stds)
