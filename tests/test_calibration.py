"""Calibrated error bars: recovered from synthetic errors, and true on new frames."""

import numpy as np
import pytest
from labelled import emt_frames, small_model

import kernelff as kff
from kernelff.error_bars.calibration import Calibration, KindCalibration


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("scale", "floor"), [(10.0, 0.05), (3.0, 0.1), (30.0, 0.1)])
def test_true_sds_are_recovered(rng, scale, floor):
    sds = 10 ** rng.uniform(-3, -1, 5000)
    truth = np.sqrt(scale**2 * sds**2 + floor**2)
    found = KindCalibration.fit(rng.normal(size=5000) * truth, sds)
    np.testing.assert_allclose(found.std(sds), truth, rtol=0.25)
    assert found.quantiles["0.68"] == pytest.approx(1.0, abs=0.06)
    assert found.quantiles["0.95"] == pytest.approx(1.96, abs=0.12)


def test_sds_rise_and_go_on_in_proportion(rng):
    sds = 10 ** rng.uniform(-3, -1, 500)
    found = KindCalibration.fit(rng.normal(size=500) * 5 * sds, sds)
    assert (np.diff(found.std(np.geomspace(1e-6, 10, 200))) >= 0).all()
    assert found.std(2.0) == pytest.approx(2 * found.std(1.0))
    assert found.std(0.8, n_atoms=16) == pytest.approx(8 * found.std(0.1))


def test_labels_fixed_by_symmetry_keep_to_themselves(rng):
    sds = np.concatenate([np.zeros(500), rng.uniform(0.01, 0.02, 500)])
    errors = np.concatenate([np.zeros(500), rng.normal(0, 0.1, 500)])
    found = KindCalibration.fit(errors, sds)
    assert found.std(0.0) < 1e-6
    assert found.std(0.015) == pytest.approx(0.1, rel=0.2)
    assert np.isfinite(list(found.quantiles.values())).all()


def test_sets_of_elements_have_curves_of_their_own(rng):
    sds = rng.uniform(0.01, 0.02, 900)
    elements = np.repeat(["41", "42", "41-42"], [600, 270, 30])
    errors = rng.normal(size=900) * sds * np.repeat([2.0, 10.0, 5.0], [600, 270, 30])
    found = KindCalibration.fit(errors, sds, elements)
    assert found.std(0.015, 1, "41") == pytest.approx(0.03, rel=0.3)
    assert found.std(0.015, 1, "42") == pytest.approx(0.15, rel=0.3)
    assert set(found.curves) == {"", "41", "42"}  # thirty labels are too few
    assert found.std(0.015, 1, "41-42") == found.std(0.015, 1, "79") == found.std(0.015)
    assert found.quantiles["0.68"] == pytest.approx(1.0, abs=0.1)


def test_few_labels_of_a_kind_take_the_factor_of_the_forces(rng):
    sds = rng.uniform(0.01, 0.02, 500)
    forces = np.column_stack([rng.normal(size=500) * 10 * sds, sds, np.ones(500), np.zeros(500)])
    found = Calibration.fit({"forces": forces, "energy": forces[:4]})
    assert found.energy.std(0.01) == pytest.approx(0.01 * found.forces.factor)
    assert found.energy.std(0.001) == pytest.approx(0.001 * found.forces.factor)
    assert Calibration.fit({"energy": forces[:4]}) == Calibration()


def test_error_bars_cover_new_frames():
    model = small_model(60, stress_offset=False).fit(emt_frames(60, 0))
    bare = small_model(60, stress_offset=False, calibrate=False).fit(emt_frames(60, 0))
    np.testing.assert_allclose(model.predict(emt_frames(5, 9)), bare.predict(emt_frames(5, 9)), atol=1e-7)
    result = model.evaluate(emt_frames(25, 50), uncertainty=True)
    inside = [
        np.abs(np.concatenate(result.forces) - np.concatenate(result.forces_ref)) < np.concatenate(result.forces_std),
        np.abs(result.energy - result.energy_ref) < result.energy_std,
        np.abs(result.stress - result.stress_ref) < result.stress_std,
    ]
    for share in map(np.mean, inside):
        assert 0.45 < share < 0.9  # 0.68 aimed at; 25 energies are few
    unscaled = bare.evaluate(emt_frames(25, 50), uncertainty=True)
    assert np.mean(np.abs(unscaled.energy - unscaled.energy_ref) < unscaled.energy_std) < 0.2


def test_calibration_goes_into_the_model_file(tmp_path):
    model = small_model(20).fit(emt_frames(30, 0))
    model.save(tmp_path / "m.kff")
    again = kff.load_model(tmp_path / "m.kff")
    assert again.calibration_ == model.calibration_
    frame = emt_frames(1, 4)[0]
    assert again.predict([frame], return_std=True)[1] == model.predict([frame], return_std=True)[1]


def test_without_calibration_sds_are_the_posteriors():
    assert Calibration().std("forces", np.array([0.1, 0.2])) == pytest.approx([0.1, 0.2])
    assert Calibration.from_dict(Calibration().to_dict()) == Calibration()


def test_error_bars_of_earlier_versions_are_refused():
    old = {"energy": None, "virial": None, "forces": {"scale": 10.0, "floor": 0.1, "quantiles": {}, "n": 9}}
    with pytest.raises(ValueError, match="earlier development version"):
        Calibration.from_dict(old)
