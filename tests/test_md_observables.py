"""Observables against known answers: crystals, gases, walkers, oscillators, direct sums."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk

import kernelff as kff
from kernelff.checks import SettingsWarning
from kernelff.md.observables.blocks import Blocks, jackknife
from kernelff.md.observables.correlator import MultipleTau
from kernelff.md.observables.green_kubo import integrate
from kernelff.md.observables.results import Estimate
from kernelff.md.observables.sample import Sample, Watched
from kernelff.md.observables.stress import shear_components
from kernelff.md.settings import MDSettings

ZEROS = np.zeros((3, 3))


def watched(atoms, timestep=1.0, every=1, **settings):
    return Watched(atoms, MDSettings.checked("nve", timestep=timestep, **settings), None, every)


def at(atoms, positions=None, velocities=None, images=None, kinetic=ZEROS, virial=ZEROS):
    n = len(atoms)
    still = np.zeros((n, 3))
    return Sample(
        atoms.positions if positions is None else positions, np.zeros((n, 3), int) if images is None else images,
        atoms.cell.array, still if velocities is None else velocities, kinetic, virial,
    )  # fmt: skip


def gas(n, edge=20.0):
    return Atoms(f"Ar{n}", cell=[edge] * 3, pbc=True)


# ---- radial distributions ---------------------------------------------------------------------------


def test_radial_distribution_of_crystals():
    """Shells of fcc; a cell of one atom gives what a large one does; partial ones of rock salt."""
    one, large = bulk("Cu", a=3.61), bulk("Cu", a=3.61, cubic=True).repeat(3)
    found = []
    for atoms in (one, large):
        sampler = kff.md.RDF(cutoff=6.0, bins=60).begin(watched(atoms))
        for _ in range(4):
            sampler.sample(at(atoms))
        found.append(sampler.result())
    np.testing.assert_allclose(found[0].columns["g_Cu_Cu"], found[1].columns["g_Cu_Cu"], atol=1e-10)
    assert found[0].values["neighbours of Cu: Cu"].value == pytest.approx(12)
    neighbours = np.interp([2.7, 3.7, 4.6, 5.2], found[0].columns["r_A"] + 0.05, found[0].columns["n_Cu_Cu"])
    np.testing.assert_allclose(neighbours, [12, 18, 42, 54])
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    sampler = kff.md.RDF(cutoff=6.0).begin(watched(salt))
    for _ in range(4):
        sampler.sample(at(salt))
    found = sampler.result()
    assert found.values["neighbours of Na: Cl"].value == pytest.approx(6)
    assert found.values["neighbours of Cl: Cl"].value == pytest.approx(12)
    ordered = sum(found.columns[f"g_{pair}"] * weight for pair, weight in (("Na_Na", 1), ("Na_Cl", 2), ("Cl_Cl", 1)))
    np.testing.assert_allclose(found.columns["g"], ordered / 4)


def test_radial_distribution_of_an_ideal_gas():
    rng, atoms = np.random.default_rng(0), gas(100, 12.0)
    sampler = kff.md.RDF(cutoff=5.0, bins=5).begin(watched(atoms))
    for _ in range(60):
        sampler.sample(at(atoms, rng.uniform(0, 12.0, (100, 3))))
    found = sampler.result().columns
    assert (np.abs(found["g_Ar_Ar"] - 0.99) < 4 * found["g_Ar_Ar_error"]).all()
    assert found["g_Ar_Ar_error"][-1] < 0.01


# ---- displacements ----------------------------------------------------------------------------------


def test_mean_square_displacement_of_free_flight():
    """v^2 t^2 at every lag, across cell boundaries; nothing without the drift."""
    atoms = gas(4)
    v = np.tile([0.3, -0.2, 0.1], (4, 1))
    whole, relative = (kff.md.MSD(remove_drift=flag).begin(watched(atoms, 2.0)) for flag in (False, True))
    for step in range(300):
        path = v * 2.0 * step
        images = np.floor(path / 20.0).astype(int)
        for sampler in (whole, relative):
            sampler.sample(at(atoms, path - 20.0 * images, images=images))
    found = whole.result().columns
    np.testing.assert_allclose(found["msd_Ar_A2"], 0.14 * found["lag_fs"] ** 2, rtol=1e-9)
    assert found["lag_fs"][-1] == 2 * 256 and len(found["lag_fs"]) == 16 + 12 + 12
    assert np.abs(relative.result().columns["msd_Ar_A2"]).max() < 1e-18


def test_mean_square_displacement_against_direct_sums():
    rng, atoms = np.random.default_rng(1), Atoms("Ar2Kr", cell=[9.0] * 3, pbc=True)
    path = rng.normal(size=(90, 3, 3)).cumsum(axis=0)
    sampler = kff.md.MSD(remove_drift=False).begin(watched(atoms))
    for positions in path:
        sampler.sample(at(atoms, positions))
    found = sampler.result().columns
    for lag, argon, krypton in zip(*(found[k] for k in ("lag_fs", "msd_Ar_A2", "msd_Kr_A2")), strict=True):
        spacing = 1 if lag <= 16 else 4 if lag <= 64 else 16
        picked, k = path[::spacing], int(lag) // spacing
        square = ((picked[k:] - picked[:-k]) ** 2).sum(axis=2).mean(axis=0)
        np.testing.assert_allclose([argon, krypton], [square[:2].mean(), square[2]])


def test_diffusion_coefficient_of_walkers():
    """Known D, and an error bar that says how far off it is: over several walks."""
    atoms, deviations = gas(20), []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        sampler = kff.md.MSD(remove_drift=False).begin(watched(atoms))
        steps = rng.normal(0, np.sqrt(2 * 2e-3), (1500, 20, 3))  # 2 Å^2/ps
        for positions in steps.cumsum(axis=0):
            sampler.sample(at(atoms, positions))
        found = sampler.result().values["D Ar"]
        deviations.append((found.value - 2.0) / found.error)
    assert 0.5 < np.std(deviations) < 1.8 and abs(np.mean(deviations)) < 1.2


def test_a_crystal_does_not_diffuse():
    rng, atoms = np.random.default_rng(0), gas(10)
    sampler = kff.md.MSD().begin(watched(atoms))
    for _ in range(400):
        sampler.sample(at(atoms, rng.normal(0, 0.1, (10, 3))))
    assert "to the power of" in sampler.result().remarks[0]


def test_a_cell_that_breathes_does_not_move_atoms():
    """Atoms far out by their images: the path is a sum of steps within the present cell."""
    atoms, rng = gas(2), np.random.default_rng(0)
    sampler = kff.md.MSD(remove_drift=False).begin(watched(atoms))
    for _ in range(50):
        cell = np.eye(3) * (20 + rng.normal(0, 0.1))
        images = np.array([[50, 0, 0], [0, -70, 0]])
        sampler.sample(Sample(np.full((2, 3), 1.0), images, cell, np.zeros((2, 3)), ZEROS, ZEROS))
    assert sampler.result().columns["msd_Ar_A2"].max() == 0


# ---- velocities -------------------------------------------------------------------------------------


def test_spectrum_of_oscillators():
    """8 and 20 THz: peaks there, each normalised; a third of the atoms in the second."""
    atoms, rng = Atoms("Ar4Kr2", cell=[9.0] * 3, pbc=True), np.random.default_rng(0)
    sampler = kff.md.VACF(window=1000, remove_drift=False).begin(watched(atoms, 2.0))
    phases, frequency = rng.uniform(0, 6.28, (6, 3)), np.array([8.0] * 4 + [20.0] * 2)[:, None]
    for step in range(2400):
        sampler.sample(at(atoms, velocities=np.cos(2e-3 * np.pi * frequency * 2.0 * step + phases)))
    found = sampler.result()
    f = found.columns["frequency_THz"]
    for element, peak in (("Ar", 8.0), ("Kr", 20.0)):
        spectrum = found.columns[f"dos_{element}_per_THz"]
        assert f[np.argmax(spectrum)] == pytest.approx(peak, abs=0.3)
        assert np.trapezoid(spectrum, f) == pytest.approx(1.0, abs=1e-6)
    assert found.values["strongest frequency"].value == pytest.approx(8.0, abs=0.3)
    assert found.columns["vacf_Ar_A2_per_fs2"][0] == pytest.approx(1.5 * units.fs**2, rel=0.01)


@pytest.mark.parametrize("n", [7, 20, 33, 55])
def test_velocity_autocorrelation_against_direct_sums(n):
    atoms, window = Atoms("ArKr", cell=[9.0] * 3, pbc=True), 10
    v = np.random.default_rng(2).normal(size=(n, 2, 3))
    sampler = kff.md.VACF(window=window, remove_drift=False).begin(watched(atoms))
    for velocities in v:
        sampler.sample(at(atoms, velocities=velocities))
    found = sampler.result().columns
    assert len(found["lag_fs"]) == min(window, n // 2)
    for lag in range(len(found["lag_fs"])):
        products = (v[: n - lag] * v[lag:]).sum(axis=2).mean(axis=0) * units.fs**2
        both = [found[f"vacf_{element}_A2_per_fs2"][lag] for element in ("Ar", "Kr")]
        np.testing.assert_allclose(both, products, rtol=1e-5, atol=1e-6 * units.fs**2)


def test_diffusion_from_velocities():
    """Ornstein-Uhlenbeck velocities: D = <v^2> / 3 times the relaxation time."""
    atoms, rng = gas(60), np.random.default_rng(3)
    sampler = kff.md.VACF(window=300, remove_drift=False).begin(watched(atoms, 4.0))
    keep, v = np.exp(-4.0 / 40.0), rng.normal(size=(60, 3))
    for _ in range(3000):
        v = keep * v + np.sqrt(1 - keep**2) * rng.normal(size=(60, 3))
        sampler.sample(at(atoms, velocities=1e-2 / units.fs * v))
    found = sampler.result().values["D Ar"]
    assert found.error < 0.3 and found.value == pytest.approx(1e3 * 1e-4 * 40.0, abs=3 * found.error + 0.01)


def test_velocities_that_are_sampled_too_rarely_are_told():
    with pytest.warns(SettingsWarning, match=r"every 10 fs and misses vibrations above 50 THz"):
        kff.md.VACF().begin(watched(gas(2), 2.0, 5))


# ---- correlations of a few numbers ------------------------------------------------------------------


def test_correlator_against_direct_sums():
    """Exact at the first level, of means over 2^l samples above, whatever the blocks."""
    values, correlator = np.random.default_rng(0).normal(size=(400, 2)).cumsum(axis=0), MultipleTau(2)
    for vector in values:
        correlator.add(vector)
    lags, parts = correlator.found()
    assert lags[:18].tolist() == [*range(16), 16, 18] and len(parts) > 8
    sums = parts.sum(axis=0)
    for k, lag in enumerate(lags):
        width = 1 if lag < 16 else 2 ** int(np.log2(lag / 8))
        means = values[: len(values) // width * width].reshape(-1, width, 2).mean(axis=1)
        n, step = len(means), int(lag) // width
        np.testing.assert_allclose(sums[k, :-1], (means[: n - step] * means[step:]).sum(axis=0), rtol=1e-10)
        assert sums[k, -1] == n - step


def test_integral_of_an_ornstein_uhlenbeck_process():
    """Variance 1, relaxation time 30 samples: the integral is 30; errors say how far off it is."""
    values, errors, keep = [], [], np.exp(-1 / 30.0)
    for seed in range(8):
        rng, correlator, x = np.random.default_rng(seed), MultipleTau(3), np.zeros(3)
        for noise in rng.normal(0, np.sqrt(1 - keep**2), (5000, 3)):
            x = keep * x + noise
            correlator.add(x)
        found = integrate(correlator, 1.0)
        assert found.settled and 60 < found.limit <= 500
        values.append(found.value[0])
        errors.append(found.value[1])
    assert np.mean(values) == pytest.approx(30.0, abs=4.0)
    assert 0.5 < np.std(values) / np.mean(errors) < 1.6 and 2.0 < np.mean(errors) < 7.0


def test_viscosity_and_conductivity_are_in_their_units():
    """Stress and flux that decay as exp(-t / tau): eta = V <s^2> tau / kT, kappa = <J^2> tau / V k T^2."""
    atoms, rng = gas(10), np.random.default_rng(0)
    facts, keep = Watched(atoms, MDSettings.checked("nve", timestep=2.0), None, 1, _Parts()), np.exp(-2.0 / 20.0)
    stress, heat = kff.md.StressCorrelation().begin(facts), kff.md.HeatFlux().begin(facts)
    kinetic = np.eye(3) * 27 * units.kB * 300 / 3
    s, j, energies = np.zeros(3), np.zeros(3), np.zeros(10)
    for _ in range(6000):
        s, j = (keep * x + np.sqrt(1 - keep**2) * rng.normal(size=3) for x in (s, j))
        virial = 3.0 * np.array([[0, s[0], s[2]], [s[0], 0, s[1]], [s[2], s[1], 0]])
        virials = np.zeros((10, 3, 3))
        virials[0, :, 0], virials[1, :, 0] = 0.5 * j, -0.5 * j
        v = np.zeros((10, 3))
        v[0, 0], v[1, 0] = 1.0, -1.0
        sample = Sample(atoms.positions, ZEROS, atoms.cell.array, v, kinetic, virial, energies, virials)
        stress.sample(sample)
        heat.sample(sample)
    volume, kt, tau = 8000.0, 300 * units.kB, 20.0
    eta = 0.6 * volume * (3.0 / volume) ** 2 / kt * tau / units.Pascal * 1e-15 * 1e3  # 3 of 5 components move
    kappa = tau * units.fs / (volume * units.kB * 300**2) / (units.J / units.second / units.m)
    found = stress.result()
    assert found.values["temperature"].value == pytest.approx(300)
    assert found.values["shear viscosity"].value == pytest.approx(eta, rel=0.25)
    assert heat.result().values["thermal conductivity"].value == pytest.approx(kappa, rel=0.25)


class _Parts:
    rest = None


def test_shear_components_are_equal_in_an_isotropic_liquid():
    p = np.random.default_rng(0).normal(size=(20000, 3, 3))
    p = p + p.transpose(0, 2, 1)  # isotropic: the diagonal has twice the variance of the rest
    squares = np.mean([shear_components(one) ** 2 for one in p], axis=0)
    np.testing.assert_allclose(squares, 2.0, rtol=0.05)
    np.testing.assert_allclose(shear_components(np.eye(3)), 0.0, atol=1e-15)


# ---- sums of a bounded number -----------------------------------------------------------------------


def test_blocks():
    blocks = Blocks((1,))
    for k in range(1, 1001):
        view = blocks.next()
        view += k
        parts = blocks.parts()
        assert parts.sum() == k * (k + 1) / 2 and len(parts) <= 16
    assert len(parts) >= 8
    same = Blocks((1,))
    same.restore({name: array.copy() for name, array in blocks.state().items()})
    for one in (blocks, same):
        view = one.next()
        view += 7
    assert np.array_equal(blocks.parts(), same.parts())
    value, error = jackknife(lambda sums: sums, np.arange(8.0)[:, None])
    assert value == 28 and error == pytest.approx(np.sqrt(7 / 8 * ((np.arange(8) - 3.5) ** 2).sum()))


def test_numbers_are_shown_with_their_errors():
    assert str(Estimate(1.2345, 0.0234, "Å")) == "1.234 ± 0.023 Å"
    assert str(Estimate(1.2345, 1e-15, "eV")) == "1.234 eV"
    assert str(Estimate(-1.53e-22, 2.1e-23, "W/(m K)")) == "-1.5e-22 ± 2.1e-23 W/(m K)"
    assert str(Estimate(123.4, None, "K")) == "123.4 K" and str(Estimate(None, None, "K")) == "not determined"
