"""Calibrated error bars: recovered from synthetic errors, and true on new frames."""

import numpy as np
import pytest
from labelled import emt_frames, small_model

import kernelff as kff
from kernelff.calibration import Calibration, KindCalibration, held_out


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("scale", "floor"), [(10.0, 0.05), (3.0, 0.1), (30.0, 0.1)])
def test_scale_and_floor_are_recovered(rng, scale, floor):
    sds = 10 ** rng.uniform(-3, -1, 5000)
    errors = rng.normal(size=5000) * np.sqrt(scale**2 * sds**2 + floor**2)
    found = KindCalibration.fit(errors, sds)
    assert found.scale == pytest.approx(scale, rel=0.1)
    assert found.floor == pytest.approx(floor, rel=0.15)
    assert found.quantiles["0.68"] == pytest.approx(1.0, abs=0.06)
    assert found.quantiles["0.95"] == pytest.approx(1.96, abs=0.12)


def test_labels_fixed_by_symmetry_do_not_spoil_the_floor(rng):
    sds = np.concatenate([np.zeros(500), rng.uniform(0.01, 0.02, 500)])
    errors = np.concatenate([np.zeros(500), rng.normal(0, 0.1, 500)])
    found = KindCalibration.fit(errors, sds)
    assert 0 < found.floor < 0.05
    assert np.isfinite(list(found.quantiles.values())).all()


def test_few_labels_keep_to_the_expected_scale(rng):
    sds = rng.uniform(0.01, 0.02, 8)
    errors = 0.1 * sds  # by luck ten times too good
    alone, guided = KindCalibration.fit(errors, sds), KindCalibration.fit(errors, sds, expected_scale=10.0)
    assert guided.scale > 1.2 * alone.scale


def test_held_out_frames_are_the_last_of_every_group():
    frames = emt_frames(40, 0)
    for k, atoms in enumerate(frames):
        atoms.info["config_type"] = "hot" if k < 20 else "cold"
    assert list(np.flatnonzero(held_out(frames))) == [18, 19, 38, 39]
    assert not held_out(frames[:4]).any()


def test_error_bars_cover_new_frames():
    model = small_model(60).fit(emt_frames(60, 0))
    bare = small_model(60, calibrate=False).fit(emt_frames(60, 0))
    np.testing.assert_allclose(model.predict(emt_frames(5, 9)), bare.predict(emt_frames(5, 9)), atol=1e-7)
    result = model.evaluate(emt_frames(25, 50), uncertainty=True)
    inside = [
        np.abs(np.concatenate(result.forces) - np.concatenate(result.forces_ref)) < np.concatenate(result.forces_std),
        np.abs(result.energy - result.energy_ref) < result.energy_std,
        np.abs(result.stress - result.stress_ref) < result.stress_std,
    ]
    for share in map(np.mean, inside):
        assert 0.35 < share < 0.9  # 0.68 aimed at; six held-out energies are few
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
