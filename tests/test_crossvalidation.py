"""Cross-validation from folded rows: the same as fitting again without each fold."""

import numpy as np
import pytest
from labelled import emt_frames, small_model

from kernelff.regression.crossvalidation import (
    ALWAYS_TRAINED,
    CrossValidation,
    fold_of,
    fold_scores,
    mean_errors,
    total_score,
)
from kernelff.regression.factors import Factors
from kernelff.regression.hyperparameters import Hyperparameters
from kernelff.regression.whitening import Columns, Whitening

STEP = 1e-5  # of a logarithm
AT = Hyperparameters({"energy": 0.02, "forces": 0.1, "virial": 0.3}, (1.2, 0.6))


@pytest.fixture(scope="module")
def folds():
    """Three folds of random rows over seven functions in two families and one nuisance column."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=7)
    columns = Columns(np.array([0.5]), Whitening.of(np.eye(7), [slice(0, 3), slice(3, 7)], owners=[0, 1]))
    validation, rows = CrossValidation(columns), []
    for _ in range(3):
        factors, mine = Factors(9), {}
        for name, n in (("energy", 4), ("forces", 30), ("virial", 6)):
            A = rng.normal(size=(n, 7))
            offset = np.full(n, float(name == "virial"))
            mine[name] = np.column_stack([A, offset, A @ w + 0.4 * offset + 0.2 * rng.normal(size=n)])
            factors.group(name).add(mine[name].copy(), np.ones(n), np.arange(n), np.tile([2.0, 0.0], (n, 1)))
        validation.add(factors)
        rows.append(mine)
    return validation, rows, columns


def dense_errors(rows, columns, k):
    """Errors and sds on fold k by ridge regression on the others."""
    prior = np.append(np.array(AT.priors)[columns.whitening.owner], columns.nuisance_std)
    precision, right = np.diag(prior**-2.0), np.zeros(8)
    for j, fold in enumerate(rows):
        for name, block in fold.items():
            if j != k:
                precision = precision + block[:, :8].T @ block[:, :8] / AT.sigmas[name] ** 2
                right += block[:, :8].T @ block[:, 8] / AT.sigmas[name] ** 2
    w, covariance = np.linalg.solve(precision, right), np.linalg.inv(precision)[:7, :7]
    return {
        name: (
            block[:, :8] @ w - block[:, 8],
            np.sqrt(np.einsum("ti,ij,tj->t", block[:, :7], covariance, block[:, :7])),
        )
        for name, block in rows[k].items()
    }


def test_residuals_are_those_of_fits_without_the_fold(folds):
    validation, rows, columns = folds
    found = validation.residuals(AT)
    for kind in AT.sigmas:
        dense = [dense_errors(rows, columns, k)[kind] for k in range(3)]
        np.testing.assert_allclose(found[kind][:, 0], np.concatenate([d[0] for d in dense]), atol=1e-10)
        sds = np.concatenate([d[1] for d in dense]) * np.sqrt(2 / 3)  # as of a model of all three folds
        np.testing.assert_allclose(found[kind][:, 1], sds, rtol=1e-9)
    errors = mean_errors(found)
    assert errors["forces"]["mae"] == pytest.approx(2 * np.abs(found["forces"][:, 0]).mean())
    assert errors["forces"]["n"] == 90


def test_score_is_of_held_out_errors(folds):
    validation, rows, columns = folds
    expected = 0.0
    for kind, weight in (("forces", 1.0), ("energy", 0.25), ("virial", 0.1)):
        errors = np.concatenate([dense_errors(rows, columns, k)[kind][0] for k in range(3)])
        expected += weight * np.log(2 * np.abs(errors).mean())  # two units each
        deviations = validation.deviations(AT)[kind]
        assert list(deviations[:, 1]) == [len(errors) / 3] * 3
    assert validation.score(AT)[0] == pytest.approx(expected, abs=1e-9)
    assert total_score(validation.deviations(AT)) == pytest.approx(expected, abs=1e-9)


def test_one_label_met_by_chance_does_not_make_a_score():
    deviations = {"energy": np.array([[1.0, 1], [1.0, 1], [1.0, 1], [1.0, 1], [1e-30, 1]])}
    assert fold_scores(deviations)[4] > fold_scores(deviations)[0] - 0.1


def test_slopes_of_the_score_against_finite_differences(folds):
    validation, _, columns = folds
    _, by_sigma, by_column = validation.score(AT)
    for name, sigma in AT.sigmas.items():
        shifted = [AT._replace(sigmas=AT.sigmas | {name: sigma * np.exp(s)}) for s in (STEP, -STEP)]
        values = [validation.score(p)[0] for p in shifted]
        assert by_sigma[name] == pytest.approx((values[0] - values[1]) / (2 * STEP), rel=1e-4, abs=1e-9)
    for k, slope in enumerate(columns.by_owner(by_column)):
        shifted = [[p * np.exp(s * (j == k)) for j, p in enumerate(AT.priors)] for s in (STEP, -STEP)]
        values = [validation.score(AT._replace(priors=priors))[0] for priors in shifted]
        assert slope == pytest.approx((values[0] - values[1]) / (2 * STEP), rel=1e-4, abs=1e-9)


def test_neighbours_of_a_trajectory_share_a_fold():
    frames = emt_frames(40, 0)
    for k, atoms in enumerate(frames):
        atoms.info["config_type"] = "hot" if k < 20 else "cold"
    folds = fold_of(frames)
    assert list(folds[:20]) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4] * 2
    assert list(folds[20:]) == list(folds[:20])


def test_single_atoms_and_too_few_frames_are_always_trained():
    frames = emt_frames(6, 0)
    assert (fold_of(frames[:4]) == ALWAYS_TRAINED).all()
    frames[2] = frames[2][:1]
    folds = fold_of(frames)
    assert folds[2] == ALWAYS_TRAINED and (np.delete(folds, 2) >= 0).all()


def test_reported_errors_are_those_of_fits_without_the_fold():
    """The whole way: a fit's cross-validated errors against refits of the frames, same functions."""
    frames, settings = emt_frames(15, 3), {"stress_offset": False, "e0": {"Cu": 0.0}, "zbl": False}
    model = small_model(25, **settings).fit(frames)
    folds, errors = fold_of(frames), []
    for k in range(5):
        without = small_model(25, **settings, calibrate=False)
        without._make_terms = lambda frames: list(model.potential_.terms)
        test = [atoms for atoms, fold in zip(frames, folds, strict=True) if fold == k]
        without.fit([atoms for atoms, fold in zip(frames, folds, strict=True) if fold != k])
        result = without.evaluate(test)
        errors += list(np.abs(result.energy - result.energy_ref) / result.n_atoms)
    assert model.cv_errors_["energy"]["mae"] == pytest.approx(np.mean(errors), rel=1e-6)
