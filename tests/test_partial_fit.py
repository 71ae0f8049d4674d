"""More frames into a fitted model: the same as a fit of all, in any order, from a file too."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones
from labelled import emt_frames, gas_frames, label, small_model, small_soap
from sklearn.exceptions import NotFittedError

import kernelff as kff
from kernelff.regression import streaming

pytestmark = pytest.mark.filterwarnings("ignore:.*carry no stress")


@pytest.fixture(scope="module")
def parts():
    """Three batches of environments so different that rounding stays small; the last without stress."""
    C = gas_frames(4, 2)
    for atoms in C:
        del atoms.calc.results["stress"]
    return gas_frames(10, 0), gas_frames(5, 1), C


@pytest.fixture(scope="module")
def test():
    return gas_frames(3, 9)


def fitted(frames, terms=None, **settings):
    """A fit with given basis functions and e0."""
    settings = {"e0": {"Cu": -0.1}, "calibrate": False, "n_jobs": 1, **settings}
    model = small_model(**settings)
    if terms is not None:
        model._make_terms = lambda frames: list(terms)
    return model.fit(frames)


def assert_same_model(one, other, frames):
    assert one.evidence_ == pytest.approx(other.evidence_, rel=1e-9, abs=1e-7)  # terms of order 1e3 cancel
    assert one.stress_offset_ == pytest.approx(other.stress_offset_, abs=1e-8)
    a, b = (model.evaluate(frames, uncertainty=True) for model in (one, other))
    for name in ("energy", "stress", "energy_std", "stress_std"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-8, atol=1e-8, err_msg=name)
    for name in ("forces", "forces_std"):
        np.testing.assert_allclose(
            np.vstack(getattr(a, name)), np.vstack(getattr(b, name)), rtol=1e-8, atol=1e-8, err_msg=name
        )


def test_equals_a_fit_of_all_frames_in_any_order(parts, test):
    A, B, C = parts
    first = fitted(A)
    terms = first.potential_.terms
    together = fitted(A + B + C, terms)
    assert_same_model(first.partial_fit(B).partial_fit(C), together, test)
    assert_same_model(fitted(A, terms).partial_fit(C + B[::-1]), together, test)
    assert_same_model(fitted(C, terms).partial_fit(B).partial_fit(A), together, test)


def test_many_new_frames_are_streamed_in_chunks(parts, test, monkeypatch):
    A, B, C = parts
    model, whole = fitted(A), fitted(A).partial_fit(B + C)
    monkeypatch.setattr(streaming, "_MIN_ROWS", 40)
    monkeypatch.setattr(streaming, "_ROWS_PER_CHUNK", 1)
    assert_same_model(model.set_params(n_jobs=2).partial_fit(B + C), whole, test)


def test_baseline_and_own_noise_of_the_new_frames_count(parts, test):
    A, B, _ = parts
    new = [atoms.copy() for atoms in B]
    for atoms, old in zip(new, B, strict=True):
        atoms.info |= {"config_type": "hot", "force_sigma": 0.3}
        atoms.calc = old.calc
    settings = {"baseline": LennardJones(epsilon=0.05, sigma=2.2, rc=4), "config_sigmas": {"hot": {"energy": 0.1}}}
    model = fitted(A, **settings)
    assert_same_model(model.partial_fit(new), fitted(A + new, model.potential_.terms, **settings), test)


def test_goes_on_after_saving(parts, test, tmp_path):
    A, B, _ = parts
    model = fitted(A)
    model.save(tmp_path / "cu.kff")
    again = kff.load_model(tmp_path / "cu.kff").partial_fit(B)
    assert_same_model(again, model.partial_fit(B), test)
    again.save(tmp_path / "more.kff")
    assert kff.load_model(tmp_path / "more.kff").potential_.metadata == model.potential_.metadata


def test_calibration_and_sparse_set_stay_and_metadata_grow(parts):
    A, B = emt_frames(20, 0), parts[1]
    model = fitted(A, calibrate=True)
    before, calibration, n_sparse = model.potential_, model.calibration_, model.n_sparse_
    model.partial_fit(B)
    assert calibration is not None and model.calibration_ == calibration
    assert model.potential_.posterior.calibration == calibration
    assert model.n_sparse_ == n_sparse
    assert model.potential_.metadata["n_frames"] == len(A) + len(B)
    assert model.potential_.metadata["data_hash"] != before.metadata["data_hash"]
    assert model.potential_.metadata["rank"] == model.rank_ == before.metadata["rank"]


def test_what_cannot_be_learnt_is_refused_and_changes_nothing(parts, tmp_path):
    A, B, _ = parts
    with pytest.raises(NotFittedError):
        small_model().partial_fit(A)
    model = fitted(A)
    potential, R = model.potential_, model.factors_.group("forces").R.copy()
    aluminium = label(bulk("Al", cubic=True).repeat((2, 1, 1)))
    with pytest.raises(ValueError, match="hold Al, which this model of Cu"):
        model.partial_fit([aluminium])
    bare = B[0].copy()
    with pytest.raises(ValueError, match="new frames"):
        model.partial_fit([bare])
    assert model.potential_ is potential and np.array_equal(model.factors_.group("forces").R, R)
    model.save(tmp_path / "small.kff", compact=True)
    with pytest.raises(ValueError, match="saved with compact=True"):
        kff.load_model(tmp_path / "small.kff").partial_fit(B)


def test_functions_are_chosen_anew_when_the_frames_have_doubled(parts):
    A, B, C = parts  # 10, 5 and 4 frames
    model = fitted(A)
    terms = model.potential_.terms
    assert model.partial_fit(B, earlier=A).potential_.terms == terms
    model.partial_fit(C, earlier=A + B)
    assert model.potential_.terms == terms and model.potential_.metadata["n_frames"] == 19
    more = gas_frames(1, 7)
    model.partial_fit(more, earlier=A + B + C)
    whole = fitted(A + B + C + more)
    assert np.array_equal(model.potential_.weights, whole.potential_.weights)
    assert model.potential_.metadata == whole.potential_.metadata
    with pytest.raises(ValueError, match="earlier: 10 frames, but this model has learnt from 20"):
        model.partial_fit(B, earlier=A)


def test_several_descriptors(parts, test):
    A, B, _ = parts
    settings = {"n_sparse": [20, 4], "delta": [1.0, 0.1], "e0": {"Cu": -0.1}, "calibrate": False, "n_jobs": 1}
    settings["hyperparameters"] = "fixed"
    model = kff.SparseGPR([small_soap(), kff.PairDistances(cutoff=3.0)], **settings).fit(A)
    whole = kff.SparseGPR([small_soap(), kff.PairDistances(cutoff=3.0)], **settings)
    whole._make_terms = lambda frames: list(model.potential_.terms)
    assert_same_model(model.partial_fit(B), whole.fit(A + B), test)
