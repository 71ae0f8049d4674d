"""Standard deviations, novelty and grades of local energies: the compiled pass against the parts in numpy."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from labelled import emt_frames, small_model
from systems import frame

import kernelff as kff
from kernelff._pairs import PairKernel
from kernelff._uncertainty import RowMeasure, available_isas
from kernelff.assembly import local_values
from kernelff.descriptors import SOAPDescriptor
from kernelff.error_bars.calibration import Calibration, KindCalibration
from kernelff.error_bars.local_pass import LocalPass, error_bar_kinds, triangular
from kernelff.error_bars.uncertainty import Posterior
from kernelff.kernels import DotProduct, RadialBasis
from kernelff.terms import BasisTerm, EnvironmentTerm, PairTerm

pytestmark = pytest.mark.filterwarnings("ignore:atoms. .* get e0 alone")

SOAP = kff.SOAP(cutoff=4.0, n_max=3, l_max=2, scaling_exponent=0)
ZETAS = (1.0, 2.0, 3.0, 4.0, 2.5)


def alloy():
    atoms = bulk("Si", cubic=True) * (3, 2, 2)
    atoms.numbers[::3] = 6
    atoms.numbers[5] = 8
    atoms.rattle(0.1, seed=5)
    return atoms


def environment_term(keys=(6, 8, 14), zeta=4.0, n_sparse=21, soap=SOAP, species=(6, 8, 14), isa=None, delta=0.7):
    """Sparse points are environments of the alloy, moved a little."""
    descriptor = soap.build(species, 2.0)
    if isa is not None:
        descriptor = SOAPDescriptor.from_state(*descriptor.to_state(), isa=isa)
    rng, q = np.random.default_rng(1), descriptor.compute(kff.NeighborList.from_atoms(alloy(), descriptor.cutoff))
    points = {}
    for k, key in enumerate(keys):
        x = q[rng.choice(len(q), n_sparse + 3 * k)] + 0.02 * rng.normal(size=(n_sparse + 3 * k, q.shape[1]))
        points[key] = x / np.linalg.norm(x, axis=1)[:, None]
    return EnvironmentTerm(descriptor, DotProduct(zeta), delta, points)


def posterior_of(terms, calibration=None):
    """Whitening of the prior, and a posterior as of a fit to some rows."""
    n = sum(term.n_functions for term in terms)
    K, ends = np.zeros((n, n)), np.cumsum([0] + [term.n_functions for term in terms])
    for term, start, stop in zip(terms, ends[:-1], ends[1:], strict=True):
        K[start:stop, start:stop] = term.gram()
    scales, vectors = np.linalg.eigh(K)
    kept = scales > 1e-12 * scales[-1]
    W = vectors[:, kept] / np.sqrt(scales[kept])
    rows = 3.0 * np.random.default_rng(2).normal(size=(2 * n // 3, W.shape[1]))
    R = np.linalg.qr(np.vstack([rows, np.eye(W.shape[1])]), mode="r")
    return Posterior(W @ np.linalg.inv(R), W, calibration or Calibration())


def potential_of(*terms, **others):
    weights = np.random.default_rng(3).normal(size=sum(term.n_functions for term in terms))
    return kff.Potential(terms, weights, {6: -1.0, 8: -3.0, 14: -2.0}, posterior_of(terms, **others))


def agree(potential, atoms, rtol=1e-9):
    """The pass gives what numpy gives from the rows of a fit, and energies and forces as without."""
    found = LocalPass.of(potential, error_bar_kinds(potential.terms))
    assert found is not None
    results, compiled, _ = potential.compute_with(atoms, uncertainty=True)
    expected = potential.posterior.local(potential.terms, atoms)
    assert (expected.energies_std > 0).any() or len(atoms) == 0
    np.testing.assert_allclose(compiled.energies_std, expected.energies_std, rtol=rtol)
    assert compiled.energy_std == pytest.approx(expected.energy_std, rel=rtol)
    np.testing.assert_allclose(compiled.novelty**2, expected.novelty**2, rtol=0, atol=1e-8)  # 1 - nearly 1
    plain = potential.compute(atoms)
    assert np.array_equal(results.energies, plain.energies) and np.array_equal(results.forces, plain.forces)
    alone = potential.uncertainty(atoms, derivatives=False)
    assert np.array_equal(alone.energies_std, compiled.energies_std) and alone.energy_std == compiled.energy_std
    return compiled


# ---- Gaussian processes -----------------------------------------------------------------------------


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("zeta", ZETAS)
def test_parts(zeta, isa):
    compiled = agree(potential_of(environment_term(zeta=zeta, isa=isa)), alloy())
    assert compiled.novelty.max() > 1e-3 or zeta == 1.0


@pytest.mark.parametrize("zeta", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("keys", [((6, 14),), (0,), (14,), ((6, 14), 8)], ids=str)
def test_sets_shared_left_out_or_for_all(keys, zeta):
    compiled = agree(potential_of(environment_term(keys, zeta)), alloy())
    if keys == (14,):
        others = alloy().numbers != 14
        assert not compiled.energies_std[others].any() and (compiled.novelty[others] == 1.0).all()


@pytest.mark.parametrize("n_sparse", [1, 7, 8, 9, 64, 130])
def test_numbers_of_sparse_points(n_sparse):
    for zeta in (2.0, 4.0):
        agree(potential_of(environment_term((0,), zeta, n_sparse)), alloy())


def test_several_terms_have_a_common_covariance():
    wide = kff.SOAP(cutoff=5.0, n_max=2, l_max=1, scaling_exponent=0)
    terms = environment_term(), environment_term((6, 14), 2.0, 9, wide, delta=0.2)
    together = agree(potential_of(*terms), alloy())
    P = potential_of(*terms).posterior.P
    phi = [local_values([term], kff.NeighborList.from_atoms(alloy(), 5.0))[0] for term in terms]
    n = terms[0].n_functions
    apart = np.hypot(*(np.linalg.norm(one @ own, axis=1) for one, own in zip(phi, (P[:n], P[n:]), strict=True)))
    assert np.abs(together.energies_std / apart - 1.0).max() > 0.01


@pytest.mark.parametrize("name", ["isolated", "dimer", "molecule", "slab", "one_atom"])
def test_frames(name):
    atoms = frame(name)
    species = sorted(set(atoms.numbers))
    descriptor = SOAP.build(species, 1.5)
    q = descriptor.compute(kff.NeighborList.from_atoms(frame(name, rattle=0.2, seed=3), descriptor.cutoff))
    term = EnvironmentTerm(descriptor, DotProduct(3.0), 1.0, {0: q})
    e0 = {int(z): 0.0 for z in species}
    agree(kff.Potential([term], np.ones(term.n_functions), e0, posterior_of([term])), atoms, rtol=1e-7)


def test_no_atoms():
    found = potential_of(environment_term()).uncertainty(Atoms(), derivatives=False)
    assert found.energies_std.shape == found.novelty.shape == (0,) and found.energy_std == 0.0


def test_a_fitted_model():
    """Calibrated, with more sparse points than directions, in one pass with repulsion below the data's distances."""
    potential = small_model(n_sparse=60, n_jobs=1).fit(emt_frames(30, 0)).potential_
    assert potential.posterior.calibration.energy is not None and potential.repulsion is not None
    agree(potential, emt_frames(1, 9)[0], rtol=1e-7)


def pair_term(pair=None, n_sparse=20, scale=1.0, constant=0.0, powers=(1.0,)):
    descriptor = kff.PairDistances(5.0, 0.6, pair).build()
    kernel = kff.kernels.SquaredExponential(scale, constant, powers)
    return PairTerm(descriptor, kernel, 1.5, np.linspace(1.5, 5.0, n_sparse), np.linspace(1.0, 0.4, n_sparse))


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("pair", [None, (14, 14), (6, 14), (0, 8)], ids=str)
def test_pair_terms(pair, isa, monkeypatch):
    monkeypatch.setattr(
        "kernelff.terms.compiled.PairKernel", lambda *args, **kwargs: PairKernel(*args, isa=isa, **kwargs)
    )
    compiled = agree(potential_of(pair_term(pair)), alloy())
    beside = agree(potential_of(environment_term(), pair_term(pair), pair_term((6, 6), 9)), alloy())
    assert (beside.novelty > 1e-3).all()
    if pair == (14, 14):
        others = alloy().numbers != 14
        assert not compiled.energies_std[others].any() and (compiled.novelty[others] == 1.0).all()


@pytest.mark.parametrize("n_sparse", [1, 2, 8, 50])
@pytest.mark.parametrize("scale, constant, powers", [(0.8, 0.3, (1.0,)), ((0.9, 0.4), 0.0, (-1.0, 2.5))])
def test_rows_of_pair_terms(n_sparse, scale, constant, powers):
    """Fifty functions are all but alike: what a table of each would lose shows in the standard deviations."""
    term, weights = pair_term(None, n_sparse, scale, constant, powers), np.ones(n_sparse)
    agree(potential_of(term), alloy())
    phi, prior = term.values(kff.NeighborList.from_atoms(alloy(), term.cutoff))
    plain, rows = term.compiled(weights), np.full((len(phi), n_sparse + 2), 7.0)
    assert plain.row_kernel is None and plain.n_functions == 0
    energies, gradients, found = term.compiled(weights, rows=True).evaluate_rows(
        *arguments(term, alloy()), 0, len(phi), rows, 1
    )
    np.testing.assert_allclose(rows[:, 1:-1], phi, rtol=0, atol=1e-12 * phi.max())
    np.testing.assert_allclose(found, prior, rtol=1e-12)
    assert (rows[:, [0, -1]] == 7.0).all()
    alone = plain.evaluate(*arguments(term, alloy()), 0, len(phi))
    assert np.array_equal(energies, alone[0]) and np.array_equal(gradients, alone[1])


def test_pair_terms_without_neighbours():
    found = agree(potential_of(pair_term(), environment_term()), Atoms("Si2C", [[0, 0, 0], [0, 0, 2.1], [0, 0, 9.0]]))
    assert (found.energies_std > 0).all()
    alone = kff.Potential([pair_term()], np.ones(20), {6: 0.0, 14: 0.0}, posterior_of([pair_term()]))
    found = alone.uncertainty(Atoms("C"), derivatives=False)
    assert found.energies_std == [0.0] and found.novelty == [1.0] and found.energy_std == 0.0


def test_what_has_no_compiled_rows_goes_through_numpy():
    other = environment_term((0,))
    radial = EnvironmentTerm(other.descriptor, RadialBasis(0.5), 1.0, other.sparse_points)
    for terms in ([environment_term(), radial], [radial]):
        potential = potential_of(*terms)
        assert LocalPass.of(potential, ("std",)) is None
        expected = potential.posterior.local(terms, alloy())
        _, found, grades = potential.compute_with(alloy(), uncertainty=True)
        assert np.array_equal(found.energies_std, expected.energies_std) and grades is None


# ---- linear models ----------------------------------------------------------------------------------


def moment_term(level=10, species=(6, 14), **options):
    frames = [alloy_of(species, k) for k in range(3)]
    built = kff.MomentTensors(level, 4.5, radial_basis_size=6).build_for(frames, list(species), 1.8, **options)
    return BasisTerm(built, np.linspace(0.5, 2.0, built.n_features))


def alloy_of(species, seed):
    atoms = bulk("Si", cubic=True) * (2, 1, 1)
    atoms.numbers[:] = np.random.default_rng(seed).choice(species, len(atoms))
    atoms.numbers[: len(species)] = species
    atoms.rattle(0.15, seed=seed)
    return atoms


@pytest.mark.parametrize("level", [2, 8, 16])
def test_moment_tensors(level):
    term = moment_term(level)
    agree(potential_of(term), alloy_of((6, 14), 7))
    phi, _ = term.values(kff.NeighborList.from_atoms(alloy_of((6, 14), 7), term.cutoff))
    rows, kernel = np.zeros_like(phi), term.compiled(np.ones(term.n_functions), rows=True).row_kernel
    kernel.evaluate_rows(*arguments(term, alloy_of((6, 14), 7)), 0, len(phi), rows, 0)
    scale = np.abs(phi).max(axis=0)
    np.testing.assert_allclose(rows / scale, phi / scale, rtol=0, atol=1e-12)


def arguments(term, atoms):
    neighbors = kff.NeighborList.from_atoms(atoms, term.cutoff)
    return neighbors.first, neighbors.j, neighbors.vectors, neighbors.numbers.astype(np.int32)


def test_single_precision_has_rows_of_double():
    potential = potential_of(moment_term(8))
    small = kff.Potential(potential.terms, 1e-3 * potential.weights, potential.e0, potential.posterior)
    atoms = alloy_of((6, 14), 7)
    results, found, _ = small.with_precision("single").compute_with(atoms, uncertainty=True)
    assert np.array_equal(found.energies_std, small.uncertainty(atoms, derivatives=False).energies_std)
    assert np.array_equal(results.energies, small.with_precision("single").compute(atoms).energies)


@pytest.mark.parametrize("mode", ["neighborhood", "configuration"])
def test_grades(mode):
    term = moment_term(8)
    frames = [alloy_of((6, 14), k) for k in range(8)]
    active_set = kff.ActiveSet.select([term], frames, mode=mode)
    potential = potential_of(term).with_active_set(active_set)
    for atoms in (*frames[:2], alloy_of((6, 14), 99), Atoms("C")):
        expected = active_set.grades(active_set.rows_of(potential, atoms))
        np.testing.assert_allclose(potential.extrapolation_grade(atoms), np.squeeze(expected), rtol=1e-9, atol=1e-9)
        results, _, grades = potential.compute_with(atoms, grades=True)
        assert np.array_equal(grades, potential.extrapolation_grade(atoms))
        assert np.array_equal(results.forces, potential.compute(atoms).forces)
    with pytest.raises(ValueError, match=r"the active set knows the elements \[6, 14\], not \[8\]"):
        potential.extrapolation_grade(Atoms("O"))


# ---- the calculator ---------------------------------------------------------------------------------


def test_calculator():
    atoms = alloy()
    potential = potential_of(environment_term())
    atoms.calc = potential.calculator(uncertainty="local")
    atoms.get_forces()
    expected = potential.uncertainty(atoms, derivatives=False)
    assert np.array_equal(atoms.calc.results["energies_std"], expected.energies_std)
    assert "forces_std" not in atoms.calc.results and "novelty" in atoms.calc.results
    assert "energies_std" not in potential.calculator().results
    with pytest.raises(ValueError, match=r'uncertainty: must be True, False or "local", got "?\'std\''):
        potential.calculator(uncertainty="std")
    with pytest.raises(ValueError, match="extrapolation_grade: is for linear models"):
        potential.compute_with(atoms, grades=True)
    bare = kff.Potential(potential.terms, potential.weights, potential.e0)
    with pytest.raises(ValueError, match="carries no posterior"):
        bare.compute_with(atoms, uncertainty=True)


def test_copies_leave_measures_behind():
    potential = potential_of(environment_term())
    expected = potential.uncertainty(alloy(), derivatives=False).energies_std
    for other in (copy.deepcopy(potential), pickle.loads(pickle.dumps(potential))):
        assert np.array_equal(other.uncertainty(alloy(), derivatives=False).energies_std, expected)


def test_threads_share_a_potential():
    potential, atoms = potential_of(environment_term()), alloy()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: potential.uncertainty(atoms, derivatives=False).energies_std, range(20)))
    assert all(np.array_equal(found[0], other) for other in found)


# ---- the measure ------------------------------------------------------------------------------------


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("n_centres", [1, 2, 5, 8, 23, 24, 25, 96, 97, 211])
def test_measures_against_numpy(isa, n_centres):
    """Two blocks with functions of their own, and an element that is not known; any range gives the same bits."""
    rng = np.random.default_rng(n_centres)
    first, second = np.arange(0, 150), np.array([0, 3, 5, 150, 151, 152, 153, 154, 155, 156, 159])
    rows, priors = rng.normal(size=(n_centres, 160)), rng.uniform(0.0, 4e3, n_centres)
    elements = rng.integers(0, 3, n_centres).astype(np.int32)
    P, Q, block_of = rng.normal(size=(150, 140)), rng.normal(size=(11, 20)), [0, 1, -1]
    sums = np.stack([((rows[:, c] @ m) ** 2).sum(axis=1) for c, m in ((first, P), (second, Q))] + [0.0 * priors])
    sums = np.take_along_axis(sums, elements[None].astype(int), 0)[0]
    blocks = [(first, triangular(P)), (second, triangular(Q))]
    expected = {"std": np.sqrt(sums), "novelty": np.sqrt(np.maximum(1.0 - sums / priors, np.finfo(float).eps))}
    expected["novelty"][elements == 2] = 1.0
    for kind, numbers in expected.items():
        measure = RowMeasure(kind, blocks, block_of, isa=isa)
        found = measure.measure(elements, rows, priors)
        np.testing.assert_allclose(found, numbers, rtol=1e-12, atol=1e-8 * (kind == "novelty"))
        for start in range(0, n_centres, 7):
            part = slice(start, start + 7)
            assert np.array_equal(measure.measure(elements[part], rows[part], priors[part]), found[part])


@pytest.mark.parametrize("isa", available_isas())
def test_largest_of_grades(isa):
    rng = np.random.default_rng(0)
    rows, T, constants = rng.normal(size=(30, 11)), rng.normal(size=(13, 11)), 3.0 * rng.normal(size=(3, 13))
    elements = rng.integers(0, 3, 30).astype(np.int32)
    measure = RowMeasure("grade", [(np.arange(11), T)], [0, 0, -1], constants, isa)
    expected = np.abs(rows @ T.T + constants[elements]).max(axis=1)
    expected[elements == 2] = np.inf
    found = measure.measure(elements, rows, np.zeros(30))
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    rows[:3, 4] = np.nan
    assert np.isnan(measure.measure(elements, rows, np.zeros(30))[:3][elements[:3] < 2]).all()


def test_refusals_of_the_measure():
    T = np.eye(3)
    for blocks, match in (([([0, 2, 1], T)], "ascending"), ([([0, 1], T)], "ascending columns and a matrix")):
        with pytest.raises(ValueError, match=match):
            RowMeasure("std", blocks, [0])
    with pytest.raises(ValueError, match="block_of: numbers 1 blocks"):
        RowMeasure("std", [([0, 1, 2], T)], [1])
    with pytest.raises(ValueError, match="isa: 'sse' is not available"):
        RowMeasure("std", [], [], isa="sse")
    measure = RowMeasure("std", [([0, 1, 5], T)], [0])
    with pytest.raises(ValueError, match="rows: need 1 of 6 columns"):
        measure.measure(np.zeros(1, np.int32), np.zeros((1, 5)), np.zeros(1))
    kernel = environment_term().compiled(np.ones(72))
    with pytest.raises(ValueError, match="rows: 96 of 72 do not hold 0 functions"):
        kernel.evaluate_rows(*arguments(environment_term(), alloy()), 0, 96, np.zeros((96, 72)), 0)


def test_triangular_factor():
    for n, rank in ((7, 7), (9, 4), (3, 8)):
        P = np.random.default_rng(n).normal(size=(n, rank))
        T = triangular(P)
        assert T.shape == (min(n, rank), n) and np.array_equal(T[:, ::-1], np.triu(T[:, ::-1]))
        np.testing.assert_allclose(T.T @ T, P @ P.T, rtol=0, atol=1e-13 * (P**2).sum())


def test_calibration_and_back():
    several = KindCalibration({"": ((0.01, 0.1, 1.0), (0.05, 0.2, 4.0)), "14": ((1.0,), (2.5,))}, {}, {}, 9)
    calibration = Calibration(energy=several)
    for elements, stds in (("", (0.06, 0.1, 3.0, 70.0)), ("14", (1e-4, 0.2, 80.0))):
        for std in stds:
            back = calibration.posterior_std("energy", std, 1, elements)
            assert calibration.std("energy", back, 1, elements) == pytest.approx(std, rel=1e-12)
    assert calibration.posterior_std("energy", 0.05) == pytest.approx(0.01)
    assert calibration.least("energy") == 0.05 and calibration.least("energy", "14") == 0.0
    assert calibration.posterior_std("forces", 0.3) == 0.3 and calibration.least("forces") == 0.0
