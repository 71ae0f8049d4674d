"""Hyperparameters by evidence: derivatives, the known answer, indifference to the start."""

import numpy as np
import pytest
from labelled import emt_frames, small_model

from kernelff.evidence import ENERGY_RATIO, evidence_gradient, maximise_evidence
from kernelff.factors import Factors, Whitening, whitened
from kernelff.models import base

STEP = 1e-5  # of a logarithm


def synthetic_groups(rng, sigma, prior_std, n=4000, m=12):
    """Linear data with known noise and prior width; two kinds of rows and one nuisance column."""
    w = prior_std * rng.normal(size=m)
    factors = Factors(m + 2)
    for name in ("forces", "virial"):
        A = rng.normal(size=(n, m))
        nuisance = np.ones((n, 1)) if name == "virial" else np.zeros((n, 1))
        y = A @ w + 0.3 * nuisance[:, 0] + sigma[name] * rng.normal(size=n)
        factors.group(name).add(np.column_stack([A, nuisance, y]))
    return whitened(factors, Whitening.of(np.eye(m), [slice(0, m)]), np.array([1.0]))


def test_gradient_against_finite_differences():
    groups = synthetic_groups(np.random.default_rng(0), {"forces": 0.1, "virial": 0.5}, 2.0, n=50)
    at = {"forces": 0.2, "virial": 0.3}
    _, slopes, by_prior = evidence_gradient(groups, at, 1, 1.5)
    for name in at:
        values = [evidence_gradient(groups, at | {name: at[name] * np.exp(s)}, 1, 1.5)[0] for s in (STEP, -STEP)]
        assert slopes[name] == pytest.approx((values[0] - values[1]) / (2 * STEP), rel=1e-5)
    values = [evidence_gradient(groups, at, 1, 1.5 * np.exp(s))[0] for s in (STEP, -STEP)]
    assert by_prior == pytest.approx((values[0] - values[1]) / (2 * STEP), rel=1e-5)


def test_known_noise_is_found():
    sigma = {"forces": 0.1, "virial": 0.5}
    groups = synthetic_groups(np.random.default_rng(1), sigma, 2.0)
    found = maximise_evidence(groups, {"forces": 1.0, "virial": 0.05}, 1)
    assert found.sigmas == pytest.approx(sigma, rel=0.05)
    assert found.delta_scale == pytest.approx(2.0, rel=0.5)  # twelve weights


@pytest.fixture(scope="module")
def train():
    return emt_frames(40, 0)


def evidence_model(train, **settings):
    return small_model(80, **{"hyperparameters": "evidence"} | settings).fit(train)


def test_start_does_not_matter(train, monkeypatch):
    test, plain = emt_frames(5, 60), evidence_model(train)
    assert plain.sigmas_["energy"] == pytest.approx(ENERGY_RATIO * plain.sigmas_["forces"])
    for factor in (10.0, 0.1):
        monkeypatch.setattr(base, "_SIGMAS", tuple(factor * sigma for sigma in (0.0025, 0.05, 0.2)))
        other = evidence_model(train)
        assert other.sigmas_ == pytest.approx(plain.sigmas_, rel=0.02)
        np.testing.assert_allclose(other.predict(test), plain.predict(test), atol=2e-3)


def test_what_is_given_stays(train):
    model = evidence_model(train, sigma_forces=0.03, delta=1.5)
    assert model.sigmas_["forces"] == 0.03
    assert model.sigmas_["energy"] == pytest.approx(ENERGY_RATIO * 0.03)
    assert model.delta_scale_ == 1.0
    assert model.sigmas_["virial"] != 0.2
    settings = {"sigma_energy": 0.001, "sigma_forces": 0.03, "sigma_virial": 0.1}
    all_given = evidence_model(train, **settings, delta=1.0)
    fixed = evidence_model(train, **settings, delta=1.0, hyperparameters="fixed")
    assert np.array_equal(all_given.predict(train), fixed.predict(train))
    assert evidence_model(train, hyperparameters="fixed").sigmas_["forces"] == 0.05


def test_evidence_rises_and_errors_do_not(train):
    fixed = small_model(80, sigma_forces=0.5, sigma_virial=2.0, sigma_energy=0.025).fit(train)
    chosen = evidence_model(train)
    assert chosen.evidence_ > fixed.evidence_
    errors = [
        {row["kind"]: row["mae"] for row in model.evaluate(emt_frames(20, 60)).errors(by=None)}
        for model in (chosen, fixed)
    ]
    assert errors[0]["forces"] < errors[1]["forces"]


def test_sigmas_of_config_types_are_kept(train):
    marked = emt_frames(20, 3)
    for atoms in marked[:10]:
        atoms.info["config_type"] = "rough"
    model = evidence_model(marked, config_sigmas={"rough": {"forces": 0.2}})
    assert model.sigmas_["forces:rough"] == 0.2
    assert model.sigmas_["forces"] < 0.2


def test_labels_of_one_kind_are_enough():
    model = evidence_model(emt_frames(20, 0, ("energy",)))
    assert set(model.sigmas_) == {"energy"}
    assert 1e-5 <= model.sigmas_["energy"] <= 0.1
