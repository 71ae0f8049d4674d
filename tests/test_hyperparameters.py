"""Noise and prior widths chosen from the data: the known answer, indifference to the start, what is given stays."""

import numpy as np
import pytest
from labelled import emt_frames, small_model

from kernelff.io.label_keys import labels
from kernelff.io.label_noise import label_noise
from kernelff.models import fitted
from kernelff.regression.crossvalidation import CrossValidation
from kernelff.regression.factors import Factors
from kernelff.regression.hyperparameters import NO_NUISANCE, Hyperparameters, choose
from kernelff.regression.whitening import Columns, Whitening

SIGMA = {"forces": 0.1, "virial": 0.5}


def synthetic_folds(rng, prior_std=2.0, n=800, m=12, offset=0.3):
    """Five folds of linear data with known noise, prior width and offset of one kind of rows."""
    w = prior_std * rng.normal(size=m)
    validation = CrossValidation(Columns(np.array([1.0]), Whitening.of(np.eye(m), [slice(0, m)])))
    for _ in range(5):
        factors = Factors(m + 2)
        for name, sigma in SIGMA.items():
            A = rng.normal(size=(n, m))
            nuisance = np.full((n, 1), float(name == "virial"))
            y = A @ w + offset * nuisance[:, 0] + sigma * rng.normal(size=n)
            marks = np.tile([1.0, 0.0], (n, 1))
            factors.group(name).add(np.column_stack([A, nuisance, y]), np.ones(n), np.arange(n), marks)
        validation.add(factors)
    return validation


START = Hyperparameters({"forces": 1.0, "virial": 0.05}, (1.0,))


def test_evidence_finds_known_noise():
    found = choose("evidence", synthetic_folds(np.random.default_rng(1)), START, set(), {}, 100)
    assert found.sigmas == pytest.approx(SIGMA, rel=0.05)
    assert found.priors[0] == pytest.approx(2.0, rel=0.5)  # twelve weights


def test_errors_find_the_ratio_of_the_noises_and_evidence_their_size():
    found = choose("cv", synthetic_folds(np.random.default_rng(2), n=100), START, set(), {}, 100)
    assert found.sigmas["virial"] / found.sigmas["forces"] == pytest.approx(5.0, rel=0.5)
    assert found.sigmas["forces"] == pytest.approx(0.1, rel=0.4)


def test_copies_bound_the_noise():
    folds = synthetic_folds(np.random.default_rng(1))
    for method in ("evidence", "cv"):
        assert choose(method, folds, START, set(), {"forces": 0.25}, 100).sigmas["forces"] >= 0.25 * (1 - 1e-12)


@pytest.mark.parametrize(("offset", "kept"), [(0.0, False), (3.0, True)])
def test_nuisance_stays_only_where_it_helps(offset, kept):
    folds = synthetic_folds(np.random.default_rng(3), n=20, offset=offset)
    assert (choose("cv", folds, START, set(), {}, 100).nuisance != NO_NUISANCE) == kept


@pytest.fixture(scope="module")
def train():
    return emt_frames(40, 0)


@pytest.mark.parametrize("method", ["cv", "evidence"])
def test_start_does_not_matter(train, monkeypatch, method):
    test, plain = emt_frames(20, 60), small_model(80, hyperparameters=method).fit(train)
    best = {row["kind"]: row["mae"] for row in plain.evaluate(test).errors(by=None)}
    for factor in (10.0, 0.1):
        monkeypatch.setattr(fitted, "_SIGMAS", tuple(factor * sigma for sigma in (0.0025, 0.05, 0.2)))
        other = small_model(80, hyperparameters=method).fit(train)
        found = {row["kind"]: row["mae"] for row in other.evaluate(test).errors(by=None)}
        assert found["forces"] < 1.05 * best["forces"]
        assert found["energy"] < 1.2 * best["energy"]


@pytest.mark.parametrize("method", ["cv", "evidence"])
def test_what_is_given_stays(train, method):
    model = small_model(80, hyperparameters=method, sigma_forces=0.03, delta=1.5).fit(train)
    assert model.sigmas_["forces"] == 0.03
    assert model.delta_scales_ == [1.0]
    assert model.sigmas_["virial"] != 0.2
    settings = {"sigma_energy": 0.001, "sigma_forces": 0.03, "sigma_virial": 0.1, "delta": 1.0}
    all_given = small_model(80, hyperparameters=method, **settings).fit(train)
    fixed = small_model(80, **settings).fit(train)
    assert np.array_equal(all_given.predict(train), fixed.predict(train))
    assert small_model(80).fit(train).sigmas_["forces"] == 0.05


@pytest.mark.parametrize("method", ["cv", "evidence"])
def test_bad_sigmas_are_mended(train, monkeypatch, method):
    monkeypatch.setattr(fitted, "_SIGMAS", (0.025, 0.5, 2.0))
    fixed, chosen = small_model(80).fit(train), small_model(80, hyperparameters=method).fit(train)
    assert chosen.evidence_ > fixed.evidence_
    assert chosen.search_["cv_errors"] == fixed.cv_errors_
    assert chosen.cv_errors_["forces"]["rmse"] < fixed.cv_errors_["forces"]["rmse"]
    errors = [
        {row["kind"]: row["mae"] for row in model.evaluate(emt_frames(20, 60)).errors(by=None)}
        for model in (chosen, fixed)
    ]
    assert errors[0]["forces"] < errors[1]["forces"]


def test_sigmas_of_config_types_are_kept(train):
    marked = emt_frames(20, 3)
    for atoms in marked[:10]:
        atoms.info["config_type"] = "rough"
    for method in ("cv", "evidence"):
        model = small_model(80, hyperparameters=method, config_sigmas={"rough": {"forces": 0.2}}).fit(marked)
        assert model.sigmas_["forces:rough"] == 0.2


def test_labels_of_one_kind_are_enough():
    for method in ("cv", "evidence"):
        model = small_model(80, hyperparameters=method).fit(emt_frames(20, 0, ("energy",)))
        assert set(model.sigmas_) == {"energy"}
        assert np.isfinite(model.predict(emt_frames(2, 1))).all()


def test_two_frames_are_enough():
    for method in ("cv", "evidence"):
        model = small_model(80, hyperparameters=method).fit(emt_frames(2, 0))
        assert np.isfinite(model.predict(emt_frames(2, 1))).all()
        assert model.calibration_ is None and model.cv_errors_ == {}


def test_noise_of_copies():
    frames = emt_frames(3, 0)
    copy = frames[0].copy()
    copy.rotate(90, "z", rotate_cell=True)
    found = [labels(atoms) for atoms in frames]
    found.append(found[0]._replace(energy=found[0].energy + 0.02, forces=found[0].forces * 1.1))
    noise = label_noise([*frames, copy], found)
    assert noise["energy"] == pytest.approx(0.02 / np.sqrt(2 * len(copy)))
    lengths = np.linalg.norm(found[0].forces, axis=1)
    assert noise["forces"] == pytest.approx(0.1 * np.sqrt(np.mean(lengths**2) / 6))
    assert label_noise(frames, found[:3]) == {}
