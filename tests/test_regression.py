"""Selection of functions: relevance determination and lasso against their definitions, and models that use them."""

import numpy as np
import pytest
from labelled import emt_frames
from sklearn.linear_model import Lasso

import kernelff as kff
from kernelff.regression.crossvalidation import CrossValidation
from kernelff.regression.factors import Factors
from kernelff.regression.hyperparameters import Hyperparameters
from kernelff.regression.normal import grams
from kernelff.regression.selection import GONE, lasso_path, relevant, select, together
from kernelff.regression.whitening import Columns, Whitening

SIGMAS = {"forces": 0.1, "virial": 0.5}
PARAMETERS = Hyperparameters(SIGMAS, (1.0,))
TRUE = np.array([1.0, 0, 0, -2.0, 0, 0.5, 0, 0, 0, 0])
COLUMNS = Columns(np.array([1.0]), Whitening.of(np.eye(10), [slice(0, 10)]))


def synthetic_rows(rng, n=60):
    """Rows [phi, nuisance, y] of two kinds; three of ten columns and an offset of one kind make the targets."""
    mixing = np.eye(10) + 0.3 * rng.normal(size=(10, 10))
    found = {}
    for name, sigma in SIGMAS.items():
        A = rng.normal(size=(n, 10)) @ mixing
        nuisance = np.full(n, float(name == "virial"))
        y = A @ TRUE + 0.7 * nuisance + sigma * rng.normal(size=n)
        found[name] = np.column_stack([A, nuisance, y])
    return found


def factors_of(rows):
    factors = Factors(12)
    for name, block in rows.items():
        n = len(block)
        factors.group(name).add(block.copy(), np.ones(n), np.arange(n), np.tile([1.0, 0.0], (n, 1)))
    return factors


@pytest.fixture(scope="module")
def rows():
    return synthetic_rows(np.random.default_rng(0))


@pytest.fixture(scope="module")
def folds():
    rng, found = np.random.default_rng(1), CrossValidation(COLUMNS)
    for _ in range(5):
        found.add(factors_of(synthetic_rows(rng)))
    return found


def test_relevance_removes_what_is_irrelevant(rows):
    gram = together(grams(factors_of(rows), COLUMNS), SIGMAS)
    kept, std, evidence = relevant(gram, np.ones(11), n_fixed=1)
    assert {0, 1, 4, 6} <= set(kept) and len(kept) <= 8  # the nuisance column first; a third of the others by chance
    assert std[0] == 1.0
    assert (np.diff(evidence) > -1e-9).all() and evidence[-1] > evidence[0] + 5


def test_relevance_is_a_maximum_of_evidence(rows):
    """No prior width of a column that is left, changed by itself, has more evidence."""
    gram = together(grams(factors_of(rows), COLUMNS), SIGMAS)
    kept, std, evidence = relevant(gram, np.ones(11), n_fixed=1)
    part = gram.restricted(np.append(kept, -1))
    for k in range(1, len(kept)):
        for factor in (0.5, 2.0):
            other = np.where(np.arange(len(kept)) == k, factor * std, std)
            assert relevant(part, other, n_fixed=len(kept))[2][0] < evidence[-1] + 0.02


def test_zero_columns_and_zero_targets_are_survived(rows):
    zero = {name: np.column_stack([block[:, :2], 0 * block[:, 2:10], block[:, 10:]]) for name, block in rows.items()}
    kept, _, _ = relevant(together(grams(factors_of(zero), COLUMNS), SIGMAS), np.ones(11), n_fixed=1)
    assert set(kept) <= {0, 1, 2}
    for name in zero:
        zero[name] = np.column_stack([rows[name][:, :-1], 0 * rows[name][:, -1]])
    gram = together(grams(factors_of(zero), COLUMNS), SIGMAS)
    kept, std, _ = relevant(gram, np.ones(11), n_fixed=1)
    assert len(kept) > 1 and np.isfinite(std).all() and (std > 0).all()
    assert np.isfinite(lasso_path(gram, np.ones(11), 1)[1]).all()


@pytest.mark.parametrize("adaptive", [False, True])
def test_lasso_agrees_with_scikit_learn_on_the_rows(rows, adaptive):
    gram = together(grams(factors_of(rows), COLUMNS), SIGMAS)
    alphas, weights = lasso_path(gram, np.ones(11), 1, adaptive)
    A = np.vstack([rows[name] / SIGMAS[name] for name in SIGMAS] + [np.eye(12)[10]])  # the prior of the nuisance
    ridge = np.linalg.solve(A[:, :11].T @ A[:, :11] + np.diag([1.0] * 10 + [0.0]), A[:, :11].T @ A[:, 11])
    offset = A[:, 10] / np.linalg.norm(A[:, 10])
    A = A - np.outer(offset, offset @ A)
    scales = np.abs(ridge[:10]) if adaptive else np.ones(10)
    for alpha in (0.3 * alphas[0], 0.003 * alphas[0]):
        found = Lasso(alpha=alpha / len(A), fit_intercept=False, tol=1e-12, max_iter=100_000)
        expected = scales * found.fit(A[:, :10] * scales, A[:, 11]).coef_
        ours = [np.interp(-alpha, -alphas, weights[:, j]) for j in range(10)]
        np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert (weights[0] == 0).all() and (weights[-1] != 0).all()


@pytest.mark.parametrize("method", ["ard", "lasso"])
def test_folds_select_for_themselves(folds, method):
    selected = select(method, folds, PARAMETERS)
    assert {0, 3, 5} <= set(np.flatnonzero(selected.shares[1:] > GONE))
    assert selected.shares[0] == 1.0 and len(selected.fold_shares) == 5
    assert (selected.shares > GONE).sum() <= (8 if method == "ard" else 5)
    assert selected.score(PARAMETERS)[0] < folds.score(PARAMETERS)[0] + 0.02
    assert (folds.shares == 1.0).all()
    assert select("ridge", folds, PARAMETERS) is folds


SETTINGS = {"cutoff": 4.0, "radial_basis_size": 6, "learn_radial": False, "n_jobs": 1, "e0": {"Cu": -0.1}}


def model_of(regression="ridge", level=12, **settings):
    return kff.MTP(level, regression=regression, **SETTINGS | settings)


@pytest.fixture(scope="module")
def train():
    return emt_frames(24, 0)


@pytest.fixture(scope="module")
def test():
    return emt_frames(3, 50)


@pytest.fixture(scope="module", params=["ard", "lasso"])
def fitted(request, train):
    return model_of(request.param).fit(train)


def assert_same(one, other, frames):
    a, b = (model.evaluate(frames, uncertainty=True) for model in (one, other))
    for name in ("energy", "stress", "energy_std", "stress_std"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-6, atol=1e-8, err_msg=name)
    np.testing.assert_allclose(np.vstack(a.forces), np.vstack(b.forces), rtol=1e-6, atol=1e-8)


def test_fewer_functions_as_accurate(fitted, train, test):
    ridge = model_of().fit(train)
    assert fitted.n_functions_ == fitted.rank_ == len(fitted.potential_.weights) < ridge.n_functions_
    assert fitted.cv_errors_["forces"]["mae"] < 1.1 * ridge.cv_errors_["forces"]["mae"]
    result = fitted.evaluate(test, uncertainty=True)
    assert (result.energy_std > 0).all() and (np.vstack(result.forces_std) > 0).any()
    assert fitted.calibration_ is not None
    terms = fitted.cross_validate(train).terms
    assert terms[0].n_functions == fitted.n_functions_


def test_more_frames_file_and_refit_agree(fitted, train, test, tmp_path):
    more = emt_frames(4, 80)
    fitted.save(tmp_path / "cu.kff")
    loaded = kff.load_model(tmp_path / "cu.kff")
    assert loaded.regression == fitted.regression and loaded.n_functions_ == fitted.n_functions_
    assert np.array_equal(loaded.predict(test), fitted.predict(test))
    sigmas = {f"sigma_{kind}": sigma for kind, sigma in fitted.sigmas_.items()}
    whole = model_of(hyperparameters="fixed", calibrate=False, **sigmas)
    whole._make_terms = lambda frames: [fitted.potential_.terms[0]]
    whole._learned = lambda problem, saved, progress: problem
    chosen = Hyperparameters(fitted.sigmas_, tuple(fitted.delta_scales_), fitted.offset_scale_)
    whole._start = lambda validation: chosen
    loaded.calibration_ = None
    loaded.partial_fit(more)
    whole.fit(train + more)
    assert loaded.evidence_ == pytest.approx(whole.evidence_, rel=1e-9)
    assert_same(loaded, whole, test)


def test_prior_widths_by_degree(train, test, tmp_path):
    model = model_of(prior="graded", hyperparameters="evidence").fit(train)
    assert len(model.delta_scales_) == 4 and len(set(model.delta_scales_)) > 1
    model.save(tmp_path / "cu.kff")
    loaded = kff.load_model(tmp_path / "cu.kff")
    more = emt_frames(4, 80)
    assert_same(loaded.partial_fit(more), model.partial_fit(more), test)
    fewer = model_of("ard", prior="graded").fit(train)
    assert np.isfinite(fewer.partial_fit(more).predict(test)).all()


def test_a_descriptor_without_some_scalars(train):
    descriptor = kff.MomentTensors(12, 4.0, radial_basis_size=6).build([29], 2.2)
    kept = np.array([0, 3, 7, 12])
    neighbors = kff.NeighborList.from_atoms(train[1], 4.0)
    np.testing.assert_allclose(
        descriptor.restricted(kept).compute(neighbors), descriptor.compute(neighbors)[:, kept], rtol=1e-12, atol=1e-14
    )


@pytest.mark.filterwarnings("ignore:model. its ZBL repulsion")
def test_mtp_file_of_a_model_without_some_scalars(fitted, test, tmp_path):
    kff.write_mtp(fitted.potential_, tmp_path / "cu.mtp")
    again = kff.load(tmp_path / "cu.mtp", species=["Cu"])
    ours = fitted.potential_.compute(test[0])
    theirs = again.compute(test[0])
    np.testing.assert_allclose(theirs.forces, ours.forces, atol=1e-8)
    assert theirs.energy == pytest.approx(ours.energy, rel=1e-10)


def test_diagonal_whitening_is_the_product():
    rng = np.random.default_rng(3)
    scales, phi = rng.uniform(0.1, 10, 6), rng.normal(size=(4, 6))
    diagonal = Whitening.of(np.diag(scales**-2.0), [slice(k, k + 1) for k in range(6)], owners=[0, 0, 0, 1, 1, 1])
    assert np.array_equal(diagonal.rows(phi), phi @ diagonal.W)
    assert np.array_equal(diagonal.owner, [0, 0, 0, 1, 1, 1])
    dense = Whitening(rng.normal(size=(6, 6)), np.zeros(6, dtype=int))
    assert np.array_equal(dense.rows(phi), phi @ dense.W)


def test_without_held_out_frames(train):
    with pytest.raises(ValueError, match="regression: 'lasso' chooses its penalty by the errors of held-out frames"):
        model_of("lasso", level=6).fit(train[:3])
    few = model_of("ard", level=6).fit(train[:3])
    assert np.isfinite(few.predict(train)).all()
    fixed = model_of("lasso", level=8, hyperparameters="fixed", calibrate=False).fit(train)
    assert fixed.delta_scales_ == [1.0] and fixed.calibration_ is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"regression": "elastic"}, "regression: must be one of .*'ridge', 'ard', 'lasso'.*got 'elastic'"),
        ({"regression": None}, "regression: must be one of .*got None"),
        ({"prior": "steep"}, "prior: must be one of .*'flat', 'graded'.*got 'steep'"),
    ],
)
def test_bad_settings(train, settings, message):
    with pytest.raises(ValueError, match=message):
        kff.MTP(6, **SETTINGS | settings).fit(train[:2])
