"""SparseGPR with symmetry functions and with the squared-exponential covariance of environments."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from labelled import emt_frames, label, small_soap
from sklearn.base import clone

import kernelff as kff
from kernelff.assembly import frame_rows
from kernelff.error_bars.residual import derivative_variances, energy_variance, force_combinations, virial_combinations
from kernelff.kernels import DotProduct, RadialBasis


def small_functions(**settings):
    return kff.SymmetryFunctions(cutoff=4.2, n_radial=5, n_shells=1, **settings)


def alloy_frames(n, seed):
    """Rattled, strained cells of copper and gold labelled by EMT."""
    rng, frames = np.random.default_rng(seed), []
    for _ in range(n):
        atoms = bulk("Cu", "fcc", a=3.8, cubic=True)
        atoms.numbers[rng.permutation(4)[: rng.integers(1, 4)]] = 79
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(0, 0.02, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
        frames.append(label(atoms))
    return frames


MODELS = {
    "functions, dot product": lambda: (small_functions(), {}),
    "functions, squared exponential": lambda: (small_functions(), {"covariance": "squared_exponential"}),
    "weighted": lambda: (small_functions(weighted=True), {}),
    "SOAP, squared exponential": lambda: (small_soap(), {"covariance": "squared_exponential"}),
    "sum": lambda: (
        [small_functions(), small_soap(), kff.PairDistances(3.5)],
        {"covariance": ["squared_exponential", "dot_product", "dot_product"], "n_sparse": [20, 20, 6]},
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    descriptors, settings = MODELS[request.param]()
    return kff.SparseGPR(descriptors, **{"n_sparse": 24, "n_jobs": 1} | settings).fit(alloy_frames(24, 0))


def test_learns_an_alloy(model):
    errors = {row["kind"]: row["mae"] for row in model.evaluate(alloy_frames(8, 50)).errors(by=None)}
    scatter = 1e3 * np.abs(np.concatenate([a.get_forces() for a in alloy_frames(8, 50)])).mean()
    assert errors["forces"] < 0.35 * scatter


def test_forces_and_stress_are_derivatives_of_the_energy(model):
    atoms, step = alloy_frames(1, 7)[0], 1e-4
    found = model.potential_.compute(atoms)
    for a, c in ((0, 0), (1, 2), (3, 1)):
        energies = []
        for h in (step, -step):
            moved = atoms.copy()
            moved.positions[a, c] += h
            energies.append(model.potential_.compute(moved).energy)
        numeric = -(energies[0] - energies[1]) / (2 * step)
        assert found.forces[a, c] == pytest.approx(numeric, abs=1e-6 * np.abs(found.forces).max())
    strain = np.array([[0.3, 0.1, -0.2], [0.1, -0.4, 0.2], [-0.2, 0.2, 0.5]])
    energies = []
    for h in (step, -step):
        moved = atoms.copy()
        moved.set_cell(atoms.cell.array @ (np.eye(3) + h * strain), scale_atoms=True)
        energies.append(model.potential_.compute(moved).energy)
    numeric = -(energies[0] - energies[1]) / (2 * step)
    assert np.sum(found.virial * strain) == pytest.approx(numeric, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("periodic", [True, False])
def test_fitting_rows_are_the_potential(model, periodic):
    atoms = alloy_frames(1, 9)[0].repeat((2, 1, 1))
    atoms.pbc = periodic
    potential = model.potential_
    rows, found = frame_rows(potential.terms, atoms), potential.compute(atoms)
    w, e0 = potential.weights, sum(potential.e0[int(z)] for z in atoms.numbers)
    tolerance = 1e-9 * np.abs(rows.energy * w).sum()
    assert rows.energy[0] @ w + e0 == pytest.approx(found.energy, abs=tolerance)
    np.testing.assert_allclose((rows.forces @ w).reshape(-1, 3), found.forces, atol=tolerance)
    voigt = found.virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    np.testing.assert_allclose(rows.virial @ w, voigt, atol=tolerance)


def test_saved_and_loaded_model_is_the_same(model, tmp_path):
    model.save(tmp_path / "alloy.kff")
    potential, again = kff.load(tmp_path / "alloy.kff"), kff.load_model(tmp_path / "alloy.kff")
    atoms = alloy_frames(1, 11)[0]
    for one, other in zip(model.potential_.compute(atoms), potential.compute(atoms), strict=True):
        assert np.array_equal(one, other)
    assert again.potential_.uncertainty(atoms).energy_std == model.potential_.uncertainty(atoms).energy_std
    np.testing.assert_allclose(
        clone(again).set_params(n_jobs=1).fit(alloy_frames(24, 0)).predict([atoms]), model.predict([atoms]), atol=1e-9
    )


def test_prior_variances_of_derivatives_are_derivatives_of_the_covariance(model):
    """var(dE/dx) = d2 K(x, x') / dx dx' of the covariance K of two total energies."""
    terms = [term for term in model.potential_.terms if hasattr(term.descriptor, "n_features")]
    atoms, step = alloy_frames(1, 13)[0], 2e-3
    neighbors = kff.NeighborList.from_atoms(atoms, max(term.cutoff for term in terms))

    def features(displacement, strain):
        moved = atoms.copy()
        moved.positions += displacement
        moved.set_cell(moved.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        return [term.descriptor.compute(kff.NeighborList.from_atoms(moved, neighbors.cutoff)) for term in terms]

    def covariance(one, other):
        total = 0.0
        for term, q, p in zip(terms, one, other, strict=True):
            for _, mine in term.centres_by_species(atoms.numbers):
                total += term.delta**2 * term.kernel(q[mine], p[mine]).sum()
        return total

    push, pull = np.zeros((4, 3)), np.zeros((3, 3))
    push[1, 2], pull[0, 0] = step, step
    forces = derivative_variances(terms, neighbors, force_combinations(neighbors))
    virials = derivative_variances(terms, neighbors, virial_combinations(neighbors))
    for found, way in ((forces[3 * 1 + 2], (push, 0 * pull)), (virials[0], (0 * push, pull))):
        plus, minus = features(*way), features(*(-x for x in way))
        twice = [covariance(a, b) for a, b in ((plus, plus), (minus, minus), (plus, minus))]
        numeric = (twice[0] + twice[1] - 2 * twice[2]) / (4 * step**2)
        assert found == pytest.approx(numeric, rel=1e-3)
    here = features(0 * push, 0 * pull)
    assert energy_variance(terms, neighbors) == pytest.approx(covariance(here, here), rel=1e-10)


def test_error_bars_and_novelty(model):
    known, odd = alloy_frames(1, 15)[0], Atoms("Cu3", [[0, 0, 0], [0, 0, 2.2], [0, 0, 4.4]])
    near, far = (model.potential_.uncertainty(atoms) for atoms in (known, odd))
    assert np.isfinite(near.forces_std).all() and far.novelty.min() > near.novelty.max()


# ---- how the covariance is chosen -----------------------------------------------------------------


def test_defaults():
    frames = emt_frames(6, 0)
    one = kff.SparseGPR(small_functions(), n_sparse=10, n_jobs=1).fit(frames).potential_.terms[0]
    assert one.kernel == DotProduct(3.0, 16.0 * 15, normalize=True)
    settings = {"n_sparse": 10, "covariance": "squared_exponential", "n_jobs": 1}
    term = kff.SparseGPR(small_functions(), **settings).fit(frames).potential_.terms[0]
    distances = np.linalg.norm(term.sparse_points[29][:, None] - term.sparse_points[29], axis=2)
    expected = 3.0 * np.median(distances[np.triu_indices(10, 1)])
    assert term.kernel.length_scale == pytest.approx(expected, rel=1e-10)
    given = kff.SparseGPR(small_functions(), length_scale=7.0, **settings).fit(frames)
    assert given.potential_.terms[0].kernel == RadialBasis(7.0)
    q = np.concatenate([one.descriptor.compute(kff.NeighborList.from_atoms(a, one.cutoff)) for a in frames])
    np.testing.assert_allclose(q.mean(axis=0), 0, atol=1e-10)


def test_results_do_not_depend_on_the_unit_of_a_function():
    """Weights by atomic number only scale the features of one element, and the model scales them back."""
    plain = [kff.G2(1.0, r) for r in (2.0, 3.0)] + [kff.G5(0.1, z) for z in (1, 4)]
    weighted = [kff.W2(1.0, r) for r in (2.0, 3.0)] + [kff.W5(0.1, z) for z in (1, 4)]
    found = [
        kff.SparseGPR(kff.SymmetryFunctions(f, 4.2), n_sparse=10, n_jobs=1)
        .fit(emt_frames(6, 0))
        .predict(emt_frames(3, 9))
        for f in (plain, weighted)
    ]
    np.testing.assert_allclose(*found, atol=1e-5)


def test_one_environment_alone_has_a_length_scale():
    atoms = bulk("Cu", cubic=True)
    frames = [label(atoms.copy()) for _ in range(2)]
    frames[1].info["config_type"] = "again"
    model = kff.SparseGPR(small_functions(), covariance="squared_exponential", n_sparse=5, calibrate=False, n_jobs=1)
    assert np.isfinite(model.fit(frames[:1]).predict(frames[:1])).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"covariance": "matern"}, "covariance: must be one of .*'squared_exponential'.*, got 'matern'"),
        ({"covariance": ["dot_product"] * 2}, "covariance: 2 values for 1 descriptors"),
        ({"covariance": "squared_exponential", "length_scale": -1.0}, "length_scale: must be a number > 0"),
        ({"zeta": 0.0}, "zeta"),
    ],
)
def test_bad_settings_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        kff.SparseGPR(small_functions(), n_sparse=5, n_jobs=1, **settings).fit(emt_frames(3, 0))


@pytest.mark.parametrize("name", ["functions, dot product", "SOAP, squared exponential"])
def test_gap_xml_cannot_hold_it(name, tmp_path):
    descriptors, settings = MODELS[name]()
    model = kff.SparseGPR(descriptors, n_sparse=5, zbl=False, n_jobs=1, **settings).fit(emt_frames(3, 0))
    with pytest.raises(ValueError, match=r"gap\.xml holds SOAP with the dot-product covariance, not"):
        kff.write_gap(tmp_path / "gap.xml", model)
