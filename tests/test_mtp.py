"""The estimator of moment tensor potentials: what it learns, what it refuses, scikit-learn manners."""

import warnings
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from labelled import emt_frames, label
from sklearn.base import clone

import kernelff as kff
from kernelff.checks import SettingsWarning

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*carry no stress", "ignore:level. .*more than the", "ignore:e0. the compositions", "ignore:training frames"
)


@pytest.fixture(scope="module")
def train():
    return emt_frames(24, 0)


@pytest.fixture(scope="module")
def test():
    return emt_frames(6, 50)


@pytest.fixture(scope="module")
def fitted(train):
    return mtp().fit(train)


def mtp(level=8, **settings):
    return kff.MTP(level, **{"n_jobs": 1} | settings)


def mae(model, frames):
    return {row["kind"]: row["mae"] for row in model.evaluate(frames).errors(by=None)}


def alloy(n, seed=0):
    """Rattled cells of three copper atoms and a gold one, labelled by EMT."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n):
        atoms = bulk("Cu", cubic=True, a=3.8)
        atoms.numbers[k % 4] = 79
        atoms.positions += rng.normal(0, 0.1, (4, 3))
        frames.append(label(atoms))
    return frames


def open_frames(kind, n=8):
    """Slabs or molecules, without stress."""
    rng = np.random.default_rng(1)
    molecule = Atoms("Cu3", [[0, 0, 0], [2.4, 0, 0], [0, 2.4, 0]])
    frames = [fcc111("Cu", (1, 1, 3), vacuum=6.0) if kind == "slab" else molecule.copy() for _ in range(n)]
    for atoms in frames:
        atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
    return [label(atoms, ("energy", "forces")) for atoms in frames]


def assert_sound(model, frames):
    """Every prediction and error bar is a finite number."""
    found = model.evaluate(frames, uncertainty=True)
    assert np.isfinite(found.energy).all() and np.isfinite(np.concatenate(found.forces)).all()
    assert np.isfinite(found.energy_std).all() and (found.energy_std > 0).all()
    assert np.isfinite(np.concatenate(found.forces_std)).all()
    energy, std = model.predict(frames, return_std=True)
    np.testing.assert_allclose(energy, found.energy)
    np.testing.assert_allclose(std, found.energy_std)


# --- what it learns --------------------------------------------------------------


def test_learns_emt_copper(fitted, test):
    errors = mae(fitted, test)
    assert errors["energy"] < 2  # meV/atom; the frames scatter by about 100
    assert errors["forces"] < 30  # meV/Å, of about 1000
    assert errors["stress"] < 0.5  # GPa
    assert_sound(fitted, test)


def test_learnt_radial_functions_are_better_than_those_it_starts_with(fitted, train, test):
    start = mtp(learn_radial=False).fit(train)
    assert start.radial_history_ == [] and len(fitted.radial_history_) > 3
    assert mae(fitted, test)["forces"] < 0.3 * mae(start, test)["forces"]
    first, last = fitted.radial_history_[0], fitted.radial_history_[-1]
    assert last["objective"] < first["objective"] and last["forces"] < first["forces"]


@pytest.mark.parametrize("kind", ["energy", "forces", "stress"])
def test_learns_from_one_kind_of_label_alone(kind, test):
    model = mtp(6).fit(emt_frames(24, 0, (kind,)))
    flat = {"energy": 100.0, "forces": 900.0, "stress": 8.0}  # without a model, roughly
    assert mae(model, test)[kind] < 0.3 * flat[kind]
    assert_sound(model, test)


def test_two_elements_have_radial_functions_of_their_own():
    model = mtp(6).fit(alloy(12))
    coefficients = model.potential_.terms[0].descriptor.coefficients
    assert coefficients.shape[:2] == (2, 2) and model.potential_.species == (29, 79)
    assert np.abs(coefficients[0, 0] - coefficients[1, 1]).max() > 1e-3
    errors = mae(model, alloy(4, seed=9))
    assert errors["forces"] < 100 and errors["energy"] < 5
    assert_sound(model, alloy(2, seed=9))


@pytest.mark.parametrize("kind", ["slab", "molecule"])
def test_open_frames(kind):
    frames = open_frames(kind)
    model = mtp(6).fit(frames)
    assert mae(model, frames)["forces"] < 50
    assert_sound(model, frames)


@pytest.mark.parametrize("learn_radial", [True, False])
def test_single_frames_and_isolated_atoms_beside_others(train, learn_radial):
    alone = label(Atoms("Cu", cell=[20] * 3, pbc=True), ("energy",))
    for frames in (train[:1], [*train[:6], alone]):
        model = mtp(6, learn_radial=learn_radial).fit(frames)
        assert_sound(model, train[:3])
    assert model.predict([alone])[0] == pytest.approx(alone.get_potential_energy(), abs=1e-6)


def test_forces_that_symmetry_makes_zero_leave_energies_to_learn_from():
    frames = [label(bulk("Cu", a=a)) for a in (3.5, 3.55, 3.6, 3.65)]
    assert mae(mtp(4).fit(frames), frames)["energy"] < 1.0
    for atoms in frames:
        atoms.calc.results = {"forces": atoms.get_forces()}
    for learn_radial in (True, False):
        with pytest.raises(ValueError, match="Give frames with displaced atoms"):
            mtp(4, learn_radial=learn_radial).fit(frames)


# --- a fitted model --------------------------------------------------------------


def test_a_file_holds_everything(fitted, test, tmp_path):
    fitted.save(tmp_path / "cu.kff")
    loaded = kff.load_model(tmp_path / "cu.kff")
    assert loaded.get_params() == fitted.get_params()
    assert loaded.radial_history_ == fitted.radial_history_ and loaded.cv_errors_ == fitted.cv_errors_
    for one, other in zip(fitted.predict(test, return_std=True), loaded.predict(test, return_std=True), strict=True):
        np.testing.assert_array_equal(one, other)
    more = emt_frames(3, 77)
    again = copy(fitted).partial_fit(more)
    np.testing.assert_array_equal(loaded.partial_fit(more).predict(test), again.predict(test))


def refitted(model, frames):
    """A fit of the same functions, with the same e0."""
    other = clone(model).set_params(e0=dict(model.e0_), calibrate=False, hyperparameters="fixed")
    other.radial_history_ = model.radial_history_
    other._learned = lambda problem, saved, progress: replace(problem, terms=list(model.potential_.terms))
    return other.fit(frames)


def test_partial_fit_is_a_fit_of_all_frames_in_the_same_functions(fitted, train, test):
    whole, parts = refitted(fitted, train), refitted(fitted, train[:15]).partial_fit(train[15:])
    assert parts.evidence_ == pytest.approx(whole.evidence_, rel=1e-9)
    one, other = (model.evaluate(test, uncertainty=True) for model in (whole, parts))
    np.testing.assert_allclose(one.energy, other.energy, rtol=1e-9)
    np.testing.assert_allclose(np.concatenate(one.forces), np.concatenate(other.forces), atol=1e-8)
    np.testing.assert_allclose(one.energy_std, other.energy_std, rtol=1e-7)


def test_an_mtp_file_gives_the_same_energies(fitted, test, tmp_path):
    with pytest.warns(UserWarning, match="its ZBL repulsion"):
        kff.write_mtp(fitted, tmp_path / "cu.mtp")
    loaded = kff.load(tmp_path / "cu.mtp", species=["Cu"])
    for atoms in test:
        one, other = fitted.potential_.compute(atoms), loaded.compute(atoms)
        assert one.energy == pytest.approx(other.energy, abs=1e-9)
        np.testing.assert_allclose(one.forces, other.forces, atol=1e-9)
        np.testing.assert_allclose(one.stress, other.stress, atol=1e-10)


def test_scikit_learn_manners(fitted, train, test):
    bare = clone(fitted)
    assert bare.get_params() == fitted.get_params() and not hasattr(bare, "potential_")
    assert bare.set_params(level=4, cutoff=4.0) is bare and (bare.level, bare.cutoff) == (4, 4.0)
    with pytest.raises(ValueError, match="Invalid parameter 'levels'"):
        bare.set_params(levels=4)
    scores = [mtp(level, learn_radial=False).fit(train).score(test) for level in (2, 8)]
    assert scores[0] < scores[1] < 0
    assert fitted.predict(test).shape == (6,)


def test_forecast_grows_with_the_level_and_leaves_a_fitted_model_alone(fitted, train):
    before = dict(fitted.e0_)
    small, large, quick = (one.forecast(train) for one in (mtp(8), mtp(16), mtp(16, learn_radial=False)))
    assert small.flops < large.flops and quick.flops < 0.2 * large.flops and quick.seconds < large.seconds
    assert large.columns == 92 + 2 and large.rows == sum(1 + 3 * len(atoms) + 6 for atoms in train)
    fitted.forecast(train[:3])
    assert fitted.e0_ == before


# --- what it refuses -------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"level": 7}, "level: must be an even number from 2 to 28, got 7"),
        ({"level": 30}, "level: must be an even number from 2 to 28, got 30"),
        ({"level": "16"}, "level: must be an even number from 2 to 28, got '16'"),
        ({"cutoff": -1.0}, "cutoff: must be a length > 0"),
        ({"cutoff": 1.5}, "cutoff: no two atoms of the frames are within 1.5 Å"),
        ({"min_dist": 6.0}, "min_dist"),
        ({"radial_basis_size": 1}, "radial_basis_size"),
        ({"delta": -1.0}, "delta: must be a number > 0"),
        ({"learn_radial": "yes"}, "learn_radial: must be True or False, got 'yes'"),
        ({"hyperparameters": "guess"}, "hyperparameters: must be one of"),
        ({"n_jobs": 0}, "n_jobs: must be a number of threads"),
    ],
)
def test_settings_out_of_range_are_named(train, settings, message):
    with pytest.raises(ValueError, match=message):
        mtp(**settings).fit(train)


def test_isolated_atoms_alone_are_refused():
    with pytest.raises(ValueError, match="Give a larger cutoff, or frames with neighbours"):
        mtp().fit([label(Atoms("Cu", cell=[20] * 3, pbc=True), ("energy",))] * 2)


def test_min_dist_above_the_shortest_distance_is_said(train):
    with pytest.warns(SettingsWarning, match="min_dist: 3.0 Å is above the shortest distance"):
        mtp(4, min_dist=3.0).fit(train[:4])


def test_fewer_labels_than_unknowns_are_said(train):
    frames = emt_frames(2, 0, ("energy", "forces"), sizes=((1, 1, 1),))  # 26 labels
    with pytest.warns(SettingsWarning, match=r"16 has 92 weights, more than the 26 labels.*level=8\.$"):
        mtp(16, learn_radial=False).fit(frames)
    with pytest.warns(
        SettingsWarning, match="5 weights and 20 radial coefficients, more than the 13.*Give more frames.$"
    ):
        mtp(6).fit(frames[:1])
    with warnings.catch_warnings():
        warnings.simplefilter("error", SettingsWarning)
        mtp(6).fit(train)
