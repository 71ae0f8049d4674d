"""Error bars of properties against models with other weights, drawn along the posterior."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

import kernelff as kff
from kernelff.error_bars.calibration import Calibration
from kernelff.error_bars.uncertainty import Posterior
from kernelff.io import silicon_set
from kernelff.potential import Potential
from kernelff.properties import (
    barrier,
    equation_of_state,
    phonons,
    relax_crystal,
    stiffness,
    surfaces,
    vacancies,
    vacancy_jump,
)
from kernelff.properties.linear import PosteriorRows

N_DIRECTIONS = 3  # of the posterior that the model keeps here, so that few other models span it


@pytest.fixture(scope="module")
def fitted():
    soap = kff.SOAP(cutoff=4.5, n_max=4, l_max=3)
    model = kff.SparseGPR(soap, n_sparse=60, hyperparameters="fixed", n_jobs=1).fit(silicon_set("train")[::2])
    return model.potential_


@pytest.fixture(scope="module")
def potential(fitted):
    """The fitted model with the widest directions of its posterior, uncalibrated."""
    left, sizes, _ = np.linalg.svd(fitted.posterior.P, full_matrices=False)
    reduced = Posterior(left[:, :N_DIRECTIONS] * sizes[:N_DIRECTIONS], fitted.posterior.W)
    return Potential(fitted.terms, fitted.weights, fitted.e0, reduced, repulsion=fitted.repulsion)


@pytest.fixture(scope="module")
def crystal(potential):
    return relax_crystal(bulk("Si", a=5.47, cubic=True), potential.calculator(), fmax=1e-5)


def spread(potential, compute, step=0.02):
    """sd of a property of models w + P z with z ~ N(0, 1), by differences along each column of P."""
    slopes = []
    for column in potential.posterior.P.T:
        ends = []
        for sign in (step, -step):
            other = Potential(
                potential.terms, potential.weights + sign * column, potential.e0, repulsion=potential.repulsion
            )
            ends.append(np.asarray(compute(other.calculator())))
        slopes.append((ends[0] - ends[1]) / (2 * step))
    return np.linalg.norm(slopes, axis=0)


def test_equation_of_state(potential, crystal):
    def compute(calculator):
        found = equation_of_state(crystal, calculator, n_points=7)
        return found.volume, found.lattice_constant, found.bulk_modulus

    found = equation_of_state(crystal, potential.calculator(), n_points=7, error_bars=True)
    stds = found.volume_std, found.lattice_constant_std, found.bulk_modulus_std
    assert np.array(stds) == pytest.approx(spread(potential, compute, step=0.5), rel=0.01)  # fits end at an error
    points = spread(potential, lambda c: equation_of_state(crystal, c, n_points=7).energies)
    assert found.energies_std == pytest.approx(points, rel=1e-3)


def test_elastic_constants_with_internal_strain(potential, crystal):
    """Without the answer of the atoms C44 would have another error bar; C11 and C12 would not."""

    def compute(calculator):
        return stiffness(crystal, calculator, fmax=1e-6).tensor

    found = stiffness(crystal, potential.calculator(), fmax=1e-6, error_bars=True)
    expected = spread(potential, compute)
    assert found.std[:3, :3] == pytest.approx(expected[:3, :3], rel=0.01)
    assert np.diag(found.std)[3:] == pytest.approx(np.diag(expected)[3:], rel=0.02)
    clamped = stiffness(crystal, potential.calculator(), fmax=1e6, error_bars=True)
    assert abs(clamped.std[3, 3] / found.std[3, 3] - 1) > 0.1
    c11 = spread(potential, lambda c: stiffness(crystal, c, fmax=1e-6).quantities()["C11"][0])
    assert found.quantities()["C11"][1] == pytest.approx(float(c11), rel=0.01)


def test_relaxed_vacancy(potential, crystal):
    def compute(calculator):
        return vacancies(crystal, calculator, min_length=5.0, fmax=1e-4)[0].energy

    (found,) = vacancies(crystal, potential.calculator(), min_length=5.0, fmax=1e-4, error_bars=True)
    assert found.energy_std == pytest.approx(float(spread(potential, compute)), rel=0.02)


def test_relaxed_surface(potential, crystal):
    def compute(calculator):
        return surfaces(crystal, calculator, (1, 1, 0), min_thickness=6, fmax=1e-4)[0].energy

    found = surfaces(crystal, potential.calculator(), (1, 1, 0), min_thickness=6, fmax=1e-4, error_bars=True)[0]
    assert found.energy_std == pytest.approx(float(spread(potential, compute)), rel=0.02)


def test_barrier_has_the_error_bar_of_a_difference(potential, crystal):
    found = barrier(
        *vacancy_jump(crystal, min_length=5.0), potential.calculator(), n_images=1, fmax=0.05, error_bars=True
    )
    top = found.images[int(np.argmax(found.energies))]

    def compute(calculator):
        energies = []
        for frame in (top, found.images[0]):
            copy = frame.copy()
            copy.calc = calculator
            energies.append(copy.get_potential_energy())
        return energies[0] - energies[1]

    assert found.energy_std == pytest.approx(float(spread(potential, compute)), rel=1e-6)


def test_calibration_scales_and_shared_errors_cancel(fitted, crystal):
    calculator = fitted.calculator()
    rows = PosteriorRows.of(calculator)
    assert rows.factor("energy", crystal) == fitted.posterior.calibration.energy.factor_of("14")
    bare = Potential(fitted.terms, fitted.weights, fitted.e0, fitted.posterior._replace(calibration=Calibration()))
    plain = PosteriorRows.of(bare.calculator())
    row = plain.energy(crystal)
    assert rows.std("energy", row, crystal) == pytest.approx(
        rows.factor("energy", crystal) * plain.std("energy", row, crystal)
    )
    assert rows.std("energy", rows.energy(crystal.repeat(2)) - 8 * row, crystal) < 1e-6 * rows.std(
        "energy", row, crystal
    )


def test_no_error_bars_without_a_posterior(fitted, crystal):
    compact = Potential(fitted.terms, fitted.weights, fitted.e0)
    assert PosteriorRows.of(compact.calculator()) is None and PosteriorRows.of(EMT()) is None
    found = equation_of_state(crystal, compact.calculator(), error_bars=True)
    assert found.energies_std is None and found.bulk_modulus_std is None
    assert stiffness(crystal, compact.calculator(), error_bars=True).std is None


def test_phonons(potential, crystal):
    """Bands and zero-point energy, along each direction of the posterior that is left."""
    settings = {"min_length": 8.0, "mesh": 4}

    def compute(calculator):
        one = phonons(crystal, calculator, **settings)
        return np.concatenate([leg.ravel() for leg in one.frequencies] + [[one.zero_point_energy, one.highest]])

    found = phonons(crystal, potential.calculator(), error_bars=True, **settings)
    expected = spread(potential, compute)
    stds = np.concatenate([leg.ravel() for leg in found.frequencies_std])
    high = np.concatenate([leg.ravel() for leg in found.frequencies]) > 1.0  # THz
    assert stds[high] == pytest.approx(expected[:-2][high], rel=0.01)
    assert found.zero_point_energy_std == pytest.approx(expected[-2], rel=0.01)
    assert found.highest_std == pytest.approx(expected[-1], rel=0.01)
    centre = found.frequencies_std[0][0]
    assert centre[:3].max() < 1e-3 < centre[3:].min()  # acoustic modes at the zone centre are zero with any weights


def test_phonons_of_models_drawn_from_the_posterior(fitted):
    """All directions at once, the atoms of unequal mass, so that eigenvectors are complex."""
    posterior = fitted.posterior._replace(calibration=Calibration())
    plain = Potential(fitted.terms, fitted.weights, fitted.e0, posterior, repulsion=fitted.repulsion)
    uneven = relax_crystal(bulk("Si", a=5.47), plain.calculator())
    uneven.set_masses([28.0, 70.0])
    found = phonons(uneven, plain.calculator(), min_length=5.0, mesh=1, error_bars=True)
    rng, draws, step = np.random.default_rng(0), [], 0.1  # of an sd, for the first order
    for _ in range(12):
        weights = fitted.weights + step * posterior.P @ rng.normal(size=posterior.P.shape[1])
        other = Potential(fitted.terms, weights, fitted.e0, repulsion=fitted.repulsion)
        draws.append(phonons(uneven, other.calculator(), min_length=5.0, mesh=1).frequencies[1][20])
    assert found.frequencies_std[1][20] == pytest.approx(np.std(draws, axis=0) / step, rel=0.4)


def test_no_error_bars_of_phonons_without_a_posterior(fitted, crystal):
    compact = Potential(fitted.terms, fitted.weights, fitted.e0, repulsion=fitted.repulsion)
    found = phonons(crystal, compact.calculator(), min_length=5.0, mesh=2, error_bars=True)
    assert found.frequencies_std is None and found.highest_std is None and found.zero_point_energy_std is None
