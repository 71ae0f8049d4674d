"""The estimator: what it learns, what it refuses, scikit-learn manners."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import GPa
from labelled import emt_frames, small_model, small_soap
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import kernelff as kff


@pytest.fixture(scope="module")
def train():
    return emt_frames(30, 0)


@pytest.fixture(scope="module")
def test():
    return emt_frames(10, 50)


def mae(model, frames):
    return {row["kind"]: row["mae"] for row in model.evaluate(frames).errors(by=None)}


def test_learns_emt_copper(train, test):
    soap = kff.SOAP(cutoff=4.5, n_max=6, l_max=4, atom_sigma=0.5)
    errors = mae(kff.SparseGPR(soap, n_sparse=200).fit(train), test)
    assert errors["energy"] < 2  # meV/atom; the frames scatter by about 100
    assert errors["forces"] < 60  # meV/Å, of about 1000
    assert errors["stress"] < 0.5  # GPa


def test_more_sparse_points_fit_better(train, test):
    few, many = (mae(small_model(n).fit(train), test)["forces"] for n in (5, 100))
    assert many < 0.7 * few


@pytest.mark.parametrize(("kind", "fraction"), [("energy", 0.2), ("forces", 0.1), ("stress", 0.2)])
def test_learns_from_one_kind_of_label_alone(test, kind, fraction):
    model = small_model(60).fit(emt_frames(30, 0, (kind,)))
    result = model.evaluate(test)
    spread = {
        "energy": 1e3 * np.std(result.energy_ref / result.n_atoms),
        "forces": 1e3 * np.abs(np.concatenate(result.forces_ref)).mean(),
        "stress": np.abs(result.stress_ref).mean() / GPa,
    }
    assert mae(model, test)[kind] < fraction * spread[kind]
    assert model.stress_offset_ == pytest.approx(0, abs=1e-6)


def test_stress_offset_of_the_labels_is_found(train):
    shifted = emt_frames(60, 0)
    for atoms in shifted:
        atoms.calc.results["stress"] = atoms.calc.results["stress"] + 6 * GPa * np.array([1, 1, 1, 0, 0, 0])
    plain, offset = small_model(100).fit(emt_frames(60, 0)), small_model(100).fit(shifted)
    assert plain.stress_offset_ == pytest.approx(0.0, abs=1e-6)  # too small to be told from nothing
    assert offset.stress_offset_ == pytest.approx(6.0, abs=0.5)
    np.testing.assert_allclose(offset.predict(train), plain.predict(train), atol=1e-2)


def test_config_sigmas_and_frame_sigmas_weigh_alike(train):
    marked, own = emt_frames(12, 1), emt_frames(12, 1)
    for k in range(6):
        marked[k].info["config_type"] = "trusted"
        own[k].info |= {"energy_sigma": 1e-3, "force_sigma": 0.01}
    by_config = small_model(config_sigmas={"trusted": {"energy": 1e-3, "forces": 0.01}}).fit(marked)
    by_frame = small_model().fit(own)
    np.testing.assert_allclose(by_config.predict(train), by_frame.predict(train), atol=1e-8)
    assert np.abs(by_config.predict(train) - small_model().fit(marked).predict(train)).max() > 1e-5


def test_loss_weights_are_inverse_variances(train):
    weighed = small_model(loss_weights=(1e4, 100, 25), delta=1.0).fit(train[:8])
    noisy = small_model(sigma_energy=0.01, sigma_forces=0.1, sigma_virial=0.2, delta=1.0).fit(train[:8])
    assert np.array_equal(weighed.predict(train), noisy.predict(train))


def test_e0_given_isolated_and_fitted(train):
    atom = Atoms("Cu")
    atom.calc = SinglePointCalculator(atom, energy=3.25)
    assert small_model(e0={"Cu": 1.5}).fit(train[:4]).e0_ == {29: 1.5}
    assert small_model().fit([atom, *train[:4]]).e0_ == {29: 3.25}
    per_atom = [a.get_potential_energy() / len(a) for a in train[:4]]
    assert min(per_atom) <= small_model().fit(train[:4]).e0_[29] <= max(per_atom)


def test_e0_warns_when_compositions_are_all_alike(train):
    alloy = emt_frames(4, 2, sizes=((1, 1, 1),))
    for atoms in alloy:
        atoms.numbers[0] = atoms.calc.atoms.numbers[0] = 47
    with pytest.warns(UserWarning, match="cannot tell the species"):
        model = small_model(n_sparse=10).fit(alloy)
    assert set(model.e0_) == {29, 47}


def test_clone_and_grid_search(train):
    search = GridSearchCV(small_model(n_jobs=1), {"n_sparse": [5, 40]}, cv=3).fit(train)
    assert search.best_params_ == {"n_sparse": 40}
    copy = clone(small_model(zeta=3, random_state=4))
    assert copy.zeta == 3
    assert copy.random_state == 4


def test_nested_parameters_are_reached():
    model = clone(small_model()).set_params(descriptors__cutoff=4.25)
    assert model.descriptors.cutoff == 4.25


def test_same_seed_same_model(train):
    one, two = (small_model(20, random_state=1).fit(train[:6]).predict(train) for _ in range(2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, small_model(20, random_state=2).fit(train[:6]).predict(train))


def test_order_of_frames_changes_rounding_only(train):
    terms = small_model(None).fit(train[:5]).predict(train)
    again = small_model(None).fit(train[:5][::-1]).predict(train)
    np.testing.assert_allclose(terms, again, atol=1e-6)


def test_forecast_leaves_a_fitted_model_alone(train):
    model = small_model(10).fit(train[:4])
    e0 = dict(model.e0_)
    shifted = emt_frames(3, 8)
    for atoms in shifted:
        atoms.calc.results["energy"] += 5.0 * len(atoms)
    model.forecast(shifted)
    assert model.e0_ == e0


def test_forecast_names_rows_and_memory(train):
    forecast = small_model(20).forecast(train)
    assert forecast.rows == sum(1 + 3 * len(a) + 6 for a in train)
    assert forecast.seconds > 0
    assert forecast.memory == pytest.approx(small_model(20).forecast(train * 1).memory)
    assert "rows" in str(forecast)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_sparse": 0}, "n_sparse"),
        ({"n_sparse": 2.5}, "n_sparse"),
        ({"delta": -1.0}, "delta"),
        ({"delta": [1.0, 2.0]}, "delta: 2 values for 1 descriptors"),
        ({"zeta": 0}, "zeta"),
        ({"sigma_energy": 0.0}, "sigma_energy"),
        ({"sigma_forces": np.nan}, "sigma_forces"),
        ({"sparse_method": "magic"}, "sparse_method"),
        ({"config_sigmas": {"a": {"force": 1.0}}}, "unknown kind 'force'"),
        ({"loss_weights": (1, 2)}, "loss_weights"),
        ({"loss_weights": (1, 2, 0)}, "loss_weights"),
        ({"zeta": "four"}, "zeta"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"e0": {"Xx": 1.0}}, "e0: 'Xx'"),
    ],
)
def test_bad_settings_are_refused_by_name(train, settings, message):
    with pytest.raises(ValueError, match=message):
        small_model(**{"n_sparse": 10} | settings).fit(train[:3])


def test_frames_without_labels_are_refused():
    bare = [atoms.copy() for atoms in emt_frames(3, 0)]
    with pytest.raises(ValueError, match="no frame carries energies"):
        small_model().fit(bare)


def test_unfitted_model_says_so(test):
    with pytest.raises(Exception, match="not fitted"):
        small_model().predict(test)


def test_default_descriptor_is_soap(train):
    model = kff.SparseGPR(n_sparse=10).fit(train[:3])
    assert isinstance(model.potential_.terms[0].descriptor.cutoff, float)
    assert small_soap().get_params()["n_max"] == 3
