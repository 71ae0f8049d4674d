"""The posterior against formulas that share no code with it."""

import mpmath
import numpy as np
import pytest
from labelled import emt_frames, small_soap

import kernelff as kff
from kernelff.assembly import frame_rows
from kernelff.models.base import _STRESS_OFFSET_STD


def local_kernel(model, frames, others):
    """Sum of k(q_i, q_j) over the environments of two lists of frames, from the features alone."""
    soap = model.potential_.terms[0].descriptor
    q, p = ([soap.compute(kff.NeighborList.from_atoms(a, soap.cutoff)) for a in side] for side in (frames, others))
    return np.array([[((x @ y.T) ** model.zeta).sum() for y in p] for x in q]) * model.delta**2


def test_all_environments_sparse_is_the_dense_gp():
    train, test = emt_frames(8, 1, ("energy",)), emt_frames(3, 2, ("energy",))
    settings = {"sigma_energy": 0.02, "delta": 1.0, "zbl": False, "calibrate": False, "n_jobs": 1}
    model = kff.SparseGPR(small_soap(), n_sparse=None, zeta=2, **settings).fit(train)
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


@pytest.mark.parametrize("zeta", [1, 2, 4])
def test_posterior_equals_dtc_formulas_in_extended_precision(zeta):
    train, test = emt_frames(4, 3, sizes=((1, 1, 1),)), emt_frames(2, 4, sizes=((1, 1, 1),))
    sigmas = {"sigma_energy": 0.01, "sigma_forces": 0.1, "sigma_virial": 0.2, "delta": 1.0}
    settings = sigmas | {"zbl": False, "calibrate": False, "n_jobs": 1}
    model = kff.SparseGPR(small_soap(), n_sparse=7, zeta=zeta, **settings).fit(train)
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
