"""scikit-learn's searches on lists of frames, and the splitter for them."""

import numpy as np
import pytest
from labelled import emt_frames, small_model, small_soap
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score

import kernelff as kff
from kernelff.regression.crossvalidation import fold_of


@pytest.fixture(scope="module")
def frames():
    return emt_frames(12, 0)


def test_folds_are_those_of_our_fits(frames):
    splitter = kff.BlockKFold(3)
    folds = fold_of(frames, 3)
    splits = list(splitter.split(frames))
    assert splitter.get_n_splits(frames) == len(splits) == 3
    for fold, (train, test) in enumerate(splits):
        assert np.array_equal(test, np.flatnonzero(folds == fold))
        assert sorted([*train, *test]) == list(range(12))


def test_single_atoms_are_never_held_out(frames):
    mixed = [frames[0][:1], *frames]
    assert all(0 in train and 0 not in test for train, test in kff.BlockKFold(3).split(mixed))


def test_groups_stay_together(frames):
    groups = ["a", "b", "c", "d"] * 3
    for train, test in kff.BlockKFold(4).split(frames, groups=groups):
        assert not {groups[k] for k in train} & {groups[k] for k in test}


@pytest.mark.parametrize("n_splits", [1, 2.5, True, "five"])
def test_wrong_number_of_splits_is_named(frames, n_splits):
    with pytest.raises(ValueError, match="n_splits: must be a whole number > 1"):
        list(kff.BlockKFold(n_splits).split(frames))


def test_too_few_frames_are_refused(frames):
    with pytest.raises(ValueError, match=r"n_splits: 3 frames .* too few for 5 folds"):
        list(kff.BlockKFold(5).split(frames[:3]))


def test_grid_search_over_nested_parameters(frames):
    grid = {"descriptors__cutoff": [1.8, 3.8], "descriptors__n_max": [2, 3]}
    search = GridSearchCV(small_model(15, calibrate=False, n_jobs=1), grid, cv=kff.BlockKFold(3)).fit(frames)
    assert search.best_params_["descriptors__cutoff"] == search.best_estimator_.descriptors.cutoff
    assert search.best_params_["descriptors__cutoff"] == 3.8  # below 2 Å no atom sees another
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert np.isfinite(search.predict(frames[:2])).all()


def test_randomized_search_over_zeta(frames):
    model = small_model(15, calibrate=False, n_jobs=1)
    search = RandomizedSearchCV(model, {"zeta": [1.0, 2.0, 4.0]}, n_iter=2, cv=kff.BlockKFold(3), random_state=0)
    assert search.fit(frames).best_params_["zeta"] in (1.0, 2.0, 4.0)


def test_scores_are_of_frames_left_out(frames):
    model, splitter = small_model(15, calibrate=False, n_jobs=1), kff.BlockKFold(3)
    scores = cross_val_score(model, frames, cv=splitter)
    for score, (train, test) in zip(scores, splitter.split(frames), strict=True):
        fitted = clone(model).fit([frames[k] for k in train])
        assert score == fitted.score([frames[k] for k in test])


def test_score_does_not_depend_on_the_noise_that_a_model_expects(frames):
    loose = small_model(15, sigma_energy=0.01, sigma_forces=0.2, sigma_virial=0.8, delta=8.0, calibrate=False)
    tight = small_model(15, sigma_energy=0.001, sigma_forces=0.02, sigma_virial=0.08, delta=0.8, calibrate=False)
    settings = {"stress_offset": False}
    scores = [model.set_params(**settings).fit(frames).score(frames) for model in (loose, tight)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-6)  # the ratios are the same


def test_clones_share_nothing(frames):
    model = small_model(15)
    copy = clone(model).set_params(descriptors__cutoff=4.2)
    assert model.descriptors.cutoff == small_soap().cutoff and copy.descriptors.cutoff == 4.2


def test_nested_parameters_of_the_default_descriptor():
    model = kff.SparseGPR().set_params(descriptors__cutoff=4.5)
    assert model.descriptors.get_params() == kff.SOAP(cutoff=4.5).get_params()
    with pytest.raises(ValueError, match="cutof"):
        kff.SparseGPR().set_params(descriptors__cutof=4.5)
