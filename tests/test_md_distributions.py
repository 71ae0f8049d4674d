"""Molecular dynamics samples the ensembles that it names: velocities, kinetic energies, volumes and shapes of cells."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from labelled import emt_frames
from scipy.integrate import quad
from scipy.stats import gamma, kstest

import kernelff as kff
from kernelff.md.parts import parts_of
from kernelff.md.settings import MDSettings
from kernelff.md.state import make_system, start_state, state_of

KT = 300 * units.kB


@pytest.fixture(scope="module")
def potential():
    return kff.MTP(level=8, cutoff=4.0, n_jobs=1).fit(emt_frames(12, 1)).potential_


def samples_of(atoms, potential, ensemble, n_samples, every, function, burn=20, temperature=300, **settings):
    """function(system) every so many steps, after `burn` of them."""
    settings = MDSettings.checked(ensemble, temperature, **settings)
    state, parts = start_state(atoms, settings), parts_of(potential)
    system = make_system(atoms, state, parts, settings, 1, 1, state.cell)
    system.compute()
    found = []
    for _ in range(burn + n_samples):
        system.run(every)
        found.append(function(system))
    return np.array(found[burn:])


def mean_and_error(values, n_blocks=20):
    """Mean, and its standard error by blocks that are much longer than what the samples remember."""
    means = [block.mean() for block in np.array_split(np.asarray(values), n_blocks)]
    return np.mean(means), np.std(means, ddof=1) / np.sqrt(n_blocks)


# ---- velocities -------------------------------------------------------------------------------------


@pytest.mark.parametrize("thermostat", ["langevin", "bussi", "nose-hoover"])
def test_velocities_are_those_of_maxwell_and_boltzmann(thermostat, potential):
    """Of atoms of two masses in a warm crystal, each component; the kinetic energy has a gamma distribution."""
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.set_masses(np.where(np.arange(32) % 2, 63.5, 20.0))
    masses = atoms.get_masses()[:, None]
    n_samples = 500
    velocities = samples_of(
        atoms, potential, thermostat, n_samples, 100, lambda s: state_of(s).velocities, burn=50, temperature=800,
        timestep=2.0, thermostat_time=80.0, seed=2,
    )  # fmt: skip
    conserved, kt = 0.0 if thermostat == "langevin" else 1.0, 800 * units.kB
    width = np.sqrt(kt / masses * (1.0 - conserved * masses / masses.sum()))  # of an atom while the sum does not move
    for component in range(3):
        assert kstest((velocities / width)[::3, :, component].ravel(), "norm").pvalue > 1e-3
    kinetic = 0.5 * (masses * velocities**2).sum(axis=(1, 2))
    expected = gamma((96 - 3 * conserved) / 2, scale=kt)
    for values, wanted in ((kinetic, expected.mean()), ((kinetic - expected.mean()) ** 2, expected.var())):
        mean, error = mean_and_error(values)
        assert abs(mean - wanted) < 4.5 * error + 0.002 * wanted and error < 0.2 * wanted
    light, heavy = (mean_and_error(((velocities / width) ** 2)[:, k::2].mean(axis=(1, 2)), 10) for k in (0, 1))
    assert abs(light[0] - heavy[0]) < 4.5 * np.hypot(light[1], heavy[1])  # equipartition


# ---- volumes and shapes -----------------------------------------------------------------------------


class ElasticCell:
    """A box that resists changes of volume and shape, and does not feel its atoms, which are an ideal gas.

    U = K/2 ln(V/V0)^2 + G/2 [tr(h h')/(V/V0)^(2/3)/L0^2 - 3], from which p(V) ~ V^N exp[-(U_V + P V)/kT] whatever the
    cell may do, apart from its shape.
    """

    edge, bulk, shear = 12.0, 3.0, 4.0  # Å, eV, eV

    def shape_energy(self, cell):
        volume = abs(np.linalg.det(cell)) / self.edge**3
        return 0.5 * self.shear * ((cell**2).sum() / volume ** (2 / 3) / self.edge**2 - 3.0)

    def volume_energy(self, volume):
        return 0.5 * self.bulk * np.log(volume / self.edge**3) ** 2

    def get_potential_energy(self, atoms=None, **_):
        cell = atoms.cell.array
        return self.volume_energy(abs(np.linalg.det(cell))) + self.shape_energy(cell)

    def get_forces(self, atoms=None):
        return np.zeros((len(atoms), 3))

    def get_stress(self, atoms=None):
        """dU/dstrain / V, with h -> h (1 + strain)."""
        cell = atoms.cell.array
        volume = abs(np.linalg.det(cell))
        metric = cell.T @ cell / (volume / self.edge**3) ** (2 / 3) / self.edge**2
        tensor = self.bulk * np.log(volume / self.edge**3) * np.eye(3)
        tensor += self.shear * (metric - metric.trace() / 3 * np.eye(3))
        return tensor.ravel()[[0, 4, 8, 5, 2, 1]] / volume

    def mean_shape_energy(self, cell):
        """Exact, over log stretches a + b + c = 0: flat where edges keep their directions; where they turn with the
        invariant measure of positive definite matrices, |sinh(a - b) sinh(b - c) sinh(c - a)|."""
        if cell == "isotropic":
            return 0.0
        a, b = np.meshgrid(*[np.linspace(-0.6, 0.6, 601)] * 2)
        c = -a - b
        energy = 0.5 * self.shear * (np.exp(2 * a) + np.exp(2 * b) + np.exp(2 * c) - 3.0)
        weight = np.exp(-energy / KT)
        if cell == "flexible":
            weight *= np.abs(np.sinh(a - b) * np.sinh(b - c) * np.sinh(c - a))
        return (weight * energy).sum() / weight.sum()


def gas(n=8):
    return Atoms(f"Ar{n}", np.random.default_rng(0).uniform(0, 12, (n, 3)), cell=[12.0] * 3, pbc=True)


@pytest.mark.parametrize("cell", ["isotropic", "anisotropic", "flexible"])
@pytest.mark.parametrize("thermostat", ["langevin", "bussi"])
def test_volumes_and_shapes_of_an_elastic_cell(thermostat, cell):
    elastic, pressure = ElasticCell(), 0.3 * units.GPa
    cells = samples_of(
        gas(), elastic, "npt", 800, 8, lambda s: np.array(s.cell), thermostat=thermostat, cell=cell, pressure=0.3,
        timestep=5.0, thermostat_time=40.0, barostat_time=150.0, min_distance=0.0, max_step=5.0, seed=4,
    )  # fmt: skip
    n = 8 if thermostat == "langevin" else 7

    def density(volume, power=0):
        exponent = n * np.log(volume / 1728) - (elastic.volume_energy(volume) + pressure * (volume - 1728)) / KT
        return volume**power * np.exp(exponent)

    norm, first, second = (quad(density, 700, 2600, args=(power,))[0] for power in (0, 1, 2))
    volumes = np.abs(np.linalg.det(cells))
    mean, error = mean_and_error(volumes)
    assert abs(mean - first / norm) < 4.5 * error
    variance, error = mean_and_error((volumes - first / norm) ** 2)
    assert abs(variance - (second / norm - (first / norm) ** 2)) < 4.5 * error
    energy, error = mean_and_error([elastic.shape_energy(h) for h in cells])
    assert abs(energy - elastic.mean_shape_energy(cell)) < 4.5 * error + 1e-9


@pytest.mark.parametrize(
    "thermostat, cell, barostat_time",
    [("nose-hoover", "isotropic", 500.0), ("bussi", "anisotropic", 200.0), ("langevin", "flexible", 200.0)],
)
def test_volumes_of_a_crystal_fluctuate_as_they_answer_to_pressure(thermostat, cell, barostat_time, potential):
    """d<V>/dP = -<dV^2>/kT."""
    found = []
    for pressure in (-1.0, 1.0):
        volumes = samples_of(
            bulk("Cu", cubic=True).repeat(2), potential, "npt", 1200, 20, lambda s: abs(np.linalg.det(s.cell)),
            thermostat=thermostat, cell=cell, pressure=pressure, timestep=4.0, thermostat_time=60.0,
            barostat_time=barostat_time, seed=1,
        )  # fmt: skip
        found.append((*mean_and_error(volumes), *mean_and_error((volumes - volumes.mean()) ** 2)))
    (low, low_error, *one), (high, high_error, *two) = found
    slope, slope_error = np.array([high - low, np.hypot(low_error, high_error)]) / (2.0 * units.GPa)
    variance, variance_error = 0.5 * (one[0] + two[0]) / KT, 0.5 * np.hypot(one[1], two[1]) / KT
    assert abs(slope + variance) < 4.5 * np.hypot(slope_error, variance_error)
    assert variance_error < 0.12 * variance and slope_error < 0.05 * abs(slope)
