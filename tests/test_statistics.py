"""The posterior against formulas that share no code with it."""

import mpmath
import numpy as np
import pytest
from ase import Atoms
from dense_gp import condition, feature_rows, label_rows
from labelled import emt_frames, gas_frames, small_soap

import kernelff as kff
from kernelff.assembly import frame_rows
from kernelff.error_bars.residual import derivative_variances, force_combinations
from kernelff.models.base import _STRESS_OFFSET_STD

SIGMAS = {"sigma_energy": 0.01, "sigma_forces": 0.1, "sigma_virial": 0.2}
BARE = {"delta": 1.0, "zbl": False, "calibrate": False, "n_jobs": 1}  # the formulas and nothing else


def local_kernel(model, frames, others):
    """Sum of k(q_i, q_j) over the environments of two lists of frames, from the features alone."""
    soap = model.potential_.terms[0].descriptor
    q, p = ([soap.compute(kff.NeighborList.from_atoms(a, soap.cutoff)) for a in side] for side in (frames, others))
    return np.array([[((x @ y.T) ** model.zeta).sum() for y in p] for x in q]) * model.delta**2


def test_all_environments_sparse_is_the_dense_gp():
    train, test = emt_frames(8, 1, ("energy",)), emt_frames(3, 2, ("energy",))
    model = kff.SparseGPR(small_soap(), n_sparse=None, zeta=2, sigma_energy=0.02, **BARE).fit(train)
    e0 = model.e0_[29]
    y = np.array([a.get_potential_energy() - e0 * len(a) for a in train])
    noise = np.diag([0.02**2 * len(a) for a in train])
    K, K_star = local_kernel(model, train, train), local_kernel(model, test, train)
    mean = K_star @ np.linalg.solve(K + noise, y) + [e0 * len(a) for a in test]
    variance = np.diag(local_kernel(model, test, test) - K_star @ np.linalg.solve(K + noise, K_star.T))

    energy, std = model.predict(test, return_std=True)
    np.testing.assert_allclose(energy, mean, atol=1e-7)
    # posterior + residual of the sum: k** - |sum psi|^2
    terms, W = model.potential_.terms, model.potential_.posterior.W
    psi = np.array([frame_rows(terms, a, forces=False, virial=False).energy[0] @ W for a in test])
    residual = np.diag(local_kernel(model, test, test)) - (psi**2).sum(1)
    np.testing.assert_allclose(std**2 + residual, variance, rtol=1e-6, atol=1e-9)


SOAPS = {1: small_soap(), 2: kff.SOAP(cutoff=3.8, n_max=2, l_max=1, atom_sigma=0.5, central_weight=0.0)}
DIMENSIONS = {1: 18, 2: 20}  # of 6 features: 21 products, one identity between those with l = 0


def fitted(zeta, n_sparse, train):
    """A fit to energies, forces and virials whose feature space can be written out."""
    settings = SIGMAS | BARE | {"stress_offset": False}
    return kff.SparseGPR(SOAPS[zeta], n_sparse=n_sparse, zeta=zeta, **settings).fit(train)


def predictions(model, frames, uncertainty):
    """Means (without e0) and sds in the order of `feature_rows`: energy, forces, virial of every frame."""
    result = model.evaluate(frames, uncertainty=uncertainty)
    mean, std = [], []
    for k, atoms in enumerate(frames):
        volume = atoms.get_volume()
        energy = result.energy[k] - model.e0_[29] * len(atoms)
        mean += [energy, *result.forces[k].ravel(), *-volume * result.stress[k]]
        std += [result.energy_std[k], *result.forces_std[k].ravel(), *volume * result.stress_std[k]]
    return np.array(mean), np.array(std)


@pytest.mark.parametrize("zeta", [1, 2])
def test_sparse_set_that_spans_the_feature_space_is_the_exact_gp(zeta):
    train, test = gas_frames(20, 5), gas_frames(4, 6)
    model = fitted(zeta, 60, train)
    assert model.rank_ == DIMENSIONS[zeta]
    soap = model.potential_.terms[0].descriptor
    Phi, star = (feature_rows(soap, frames, zeta, model.delta) for frames in (train, test))
    y, noise = label_rows(train, model.e0_[29], **SIGMAS)
    mean, variance = condition(Phi @ Phi.T, star @ Phi.T, (star**2).sum(axis=1), y, noise)
    found, std = predictions(model, test, uncertainty=True)
    np.testing.assert_allclose(found, mean, rtol=0, atol=1e-8 * np.abs(mean).max())
    np.testing.assert_allclose(std**2, variance, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("zeta", [1, 2, 4])
def test_posterior_equals_dtc_formulas_in_extended_precision(zeta):
    train, test = emt_frames(4, 3, sizes=((1, 1, 1),)), emt_frames(2, 4, sizes=((1, 1, 1),))
    model = kff.SparseGPR(small_soap(), n_sparse=7, zeta=zeta, **SIGMAS, **BARE).fit(train)
    A, y, sigma = training_rows(model, train)
    star = [frame_rows(model.potential_.terms, a) for a in test]
    rows = np.vstack([np.vstack([r.energy, r.forces, r.virial]) for r in star])
    mean, std, evidence = dtc(model.potential_.terms[0].gram(), A, y, sigma, rows)

    result = model.evaluate(test, uncertainty=True)
    ours, ours_std = [], []
    for k, atoms in enumerate(test):
        volume = atoms.get_volume()
        ours += [
            result.energy[k] - model.e0_[29] * len(atoms),
            *result.forces[k].ravel(),
            *-volume * result.stress[k],
        ]
        ours_std += [result.energy_std[k], *result.forces_std[k].ravel(), *volume * result.stress_std[k]]
    np.testing.assert_allclose(ours, mean, rtol=1e-8, atol=1e-8 * np.abs(mean).max())
    np.testing.assert_allclose(ours_std, std, rtol=1e-6)
    assert model.evidence_ == pytest.approx(evidence, rel=1e-9, abs=1e-7)  # terms of order 1e3 cancel


def training_rows(model, frames):
    """Rows with the stress-offset column, targets and sigmas, written out frame by frame."""
    A, y, sigma = [], [], []
    for atoms in frames:
        rows, n, volume = frame_rows(model.potential_.terms, atoms), len(atoms), atoms.get_volume()
        offset = np.zeros((7 + 3 * n, 1))
        offset[-6:-3] = -volume
        A.append(np.hstack([np.vstack([rows.energy, rows.forces, rows.virial]), offset]))
        labels = atoms.calc.results
        y += [labels["energy"] - model.e0_[29] * n, *labels["forces"].ravel(), *-volume * labels["stress"]]
        sigma += [0.01 * n**0.5] + [0.1] * (3 * n) + [0.2 * n**0.5] * 6
    return np.vstack(A), np.array(y), np.array(sigma)


def dtc(K_MM, A, y, sigma, rows):
    """Mean and sd of rows, and log evidence, with 50 digits."""
    with mpmath.workdps(50):
        m = len(K_MM)
        P = mpmath.zeros(m + 1)
        P[:m, :m] = mpmath.matrix(K_MM.tolist())
        P[m, m] = 1 / mpmath.mpf(_STRESS_OFFSET_STD) ** 2
        phi = mpmath.matrix((A / sigma[:, None]).tolist())
        target = mpmath.matrix((y / sigma).tolist())
        precision = P + phi.T * phi
        weights = mpmath.lu_solve(precision, phi.T * target)
        covariance = precision**-1
        star = [mpmath.matrix([[*map(float, row), 0.0]]) for row in rows]
        mean = [float((a * weights)[0]) for a in star]
        std = [float(mpmath.sqrt((a * covariance * a.T)[0])) for a in star]
        misfit = (target.T * (target - phi * weights))[0]
        log_det = mpmath.log(mpmath.det(precision)) - mpmath.log(mpmath.det(P)) + 2 * sum(map(mpmath.log, sigma))
        evidence = -(misfit + log_det + len(y) * mpmath.log(2 * mpmath.pi)) / 2
    return np.array(mean), np.array(std), float(evidence)


def full_variances(model, frames):
    return predictions(model, frames, uncertainty="full")[1] ** 2


@pytest.mark.parametrize("zeta", [1, 2])
def test_full_variances_of_any_sparse_set_equal_the_dense_formula(zeta):
    """Prior - Q*n (Qnn + S)^-1 Qn* of all functionals, Q the prior as the sparse set sees it."""
    train, test = gas_frames(8, 7), gas_frames(4, 8)
    model = fitted(zeta, 6, train)
    term = model.potential_.terms[0]
    Phi, star = (feature_rows(term.descriptor, frames, zeta, model.delta) for frames in (train, test))
    points = term.sparse_points[29]
    points = model.delta * (points if zeta == 1 else np.einsum("sf,sg->sfg", points, points).reshape(len(points), -1))
    seen = np.linalg.qr(points.T)[0]  # directions of feature space that the sparse points span
    y, noise = label_rows(train, model.e0_[29], **SIGMAS)
    inside, inside_star = Phi @ seen, star @ seen
    prior = (star**2).sum(axis=1)
    variance = condition(inside @ inside.T, inside_star @ inside.T, prior, y, noise)[1]
    np.testing.assert_allclose(full_variances(model, test), variance, rtol=1e-8, atol=1e-8 * prior.mean())
    posterior = predictions(model, test, uncertainty=True)[1] ** 2
    assert np.median(variance / posterior) > 2  # the residual matters here


def test_full_variances_are_the_posterior_where_the_sparse_set_spans_everything():
    train, test = gas_frames(20, 5), gas_frames(3, 9)
    model = fitted(2, 60, train)
    posterior = predictions(model, test, uncertainty=True)[1] ** 2
    np.testing.assert_allclose(full_variances(model, test), posterior, rtol=1e-6, atol=1e-11)


def test_residual_of_a_training_energy_vanishes_where_every_environment_is_sparse():
    train = gas_frames(6, 10)
    model = fitted(2, None, train)
    for atoms in train:
        full = model.potential_.uncertainty(atoms, derivatives=False, residual=True)
        posterior = model.potential_.uncertainty(atoms, derivatives=False)
        assert full.energy_std**2 == pytest.approx(posterior.energy_std**2, rel=1e-6, abs=1e-11)


def test_net_force_of_a_cluster_is_certain():
    """Its two halves push each other equally, so what is not known of the one is not known of the other."""
    model = fitted(2, 6, gas_frames(8, 7))
    cluster = Atoms("Cu5", [[0, 0, 0], [2.4, 0.1, 0], [0.3, 2.5, 0.2], [2.6, 2.2, 1.0], [0.9, 1.1, 2.3]])
    terms, W = model.potential_.terms, model.potential_.posterior.W
    neighbors = kff.NeighborList.from_atoms(cluster, model.potential_.cutoff)
    net = np.kron(np.vstack([np.arange(len(cluster)) < 2, np.arange(len(cluster)) >= 2]), np.eye(3))
    halves = force_combinations(neighbors).T.dot(net.T).T
    psi = net @ frame_rows(terms, cluster, virial=False).forces @ W
    residual = derivative_variances(terms, neighbors, halves) - (psi**2).sum(axis=1)
    np.testing.assert_allclose(residual[:3], residual[3:], rtol=1e-8)
    assert residual.min() > 1e-3
    both = derivative_variances(terms, neighbors, halves[:3] + halves[3:])
    np.testing.assert_allclose(both, 0, atol=1e-12)
    np.testing.assert_allclose(psi[:3] + psi[3:], 0, atol=1e-12)


def test_full_uncertainty_of_an_isolated_atom_and_of_a_slab():
    model = fitted(2, 6, gas_frames(8, 7))
    atom = model.potential_.uncertainty(Atoms("Cu"), residual=True)
    assert np.array_equal(atom.forces_std, np.zeros((1, 3))) and atom.stress_std is None
    slab = gas_frames(1, 3)[0]
    slab.pbc = (True, True, False)
    full, posterior = (model.potential_.uncertainty(slab, residual=residual) for residual in (True, False))
    assert full.stress_std is None
    assert (full.forces_std >= posterior.forces_std).all() and full.energy_std >= posterior.energy_std
    np.testing.assert_array_equal(full.novelty, posterior.novelty)


def test_full_uncertainty_wants_a_word_it_knows():
    model = fitted(2, 6, gas_frames(8, 7))
    with pytest.raises(ValueError, match='False, True or "full"'):
        model.evaluate(gas_frames(1, 1), uncertainty="all")
