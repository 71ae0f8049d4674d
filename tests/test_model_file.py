"""Model files: exact round trips, refusal of anything damaged."""

import json
import os

import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from labelled import emt_frames, small_model, small_soap

import kernelff as kff
from kernelff.io.safe_file import write_whole


@pytest.fixture(scope="module")
def frames():
    return emt_frames(6, 0)


@pytest.fixture(scope="module")
def model(frames):
    descriptors = [small_soap(), kff.PairDistances(cutoff=3.0)]
    return kff.SparseGPR(descriptors, n_sparse=[20, 4], delta=[1.0, 0.1], e0={"Cu": -0.1}, n_jobs=1).fit(frames)


@pytest.fixture
def path(model, tmp_path):
    model.save(tmp_path / "cu.kff")
    return tmp_path / "cu.kff"


def test_loaded_potential_is_the_same_to_the_bit(model, path, frames):
    potential = kff.load(path)
    for atoms in frames:
        for one, other in zip(model.potential_.compute(atoms), potential.compute(atoms), strict=True):
            assert np.array_equal(one, other)
        assert np.array_equal(model.potential_.uncertainty(atoms).forces_std, potential.uncertainty(atoms).forces_std)


def test_loaded_estimator_has_its_parameters(model, path, frames):
    again = kff.load_model(path)
    assert again.e0_ == model.e0_
    assert again.rank_ == model.rank_
    assert [d.get_params() for d in again.descriptors] == [d.get_params() for d in model.descriptors]
    assert np.array_equal(again.predict(frames), model.predict(frames))
    assert np.array_equal(again.factors_.group("forces").R, model.factors_.group("forces").R)


def test_compact_file_predicts_without_error_bars(model, path, tmp_path, frames):
    model.save(tmp_path / "small.kff", compact=True)
    assert (tmp_path / "small.kff").stat().st_size < 0.75 * path.stat().st_size
    potential = kff.load(tmp_path / "small.kff")
    assert potential.compute(frames[0]).energy == model.potential_.compute(frames[0]).energy
    with pytest.raises(ValueError, match="compact=True"):
        potential.uncertainty(frames[0])


@pytest.mark.parametrize("keep", [0, 5, 8, 300, -1])
def test_truncated_file_is_refused(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="not a whole kernelff file"):
        kff.load(path)


def test_altered_file_is_refused(path):
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="altered"):
        kff.load_model(path)


def test_altered_header_is_refused(path):
    data = path.read_bytes()
    assert data.count(b"sigma_energy") == 1
    path.write_bytes(data.replace(b"sigma_energy", b"sigma_enerXy"))
    with pytest.raises(ValueError, match="altered"):
        kff.load(path)


def test_other_files_are_refused(tmp_path):
    text = tmp_path / "x.kff"
    text.write_text("no model at all, but some text")
    with pytest.raises(ValueError, match="not a whole kernelff file"):
        kff.load(text)
    with pytest.raises(ValueError, match="there is no file"):
        kff.load(tmp_path / "absent.kff")


def test_file_is_data_with_a_readable_header(path):
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["kernelff"])
    assert header["params"]["units"]["energy"] == "eV"
    assert header["params"]["potential"]["terms"][0]["kind"] == "environment"


def test_failed_write_keeps_the_old_file(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, b"half")
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_links_stay_and_pipes_are_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", b"whole")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_bytes() == b"whole"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe' is a device or a pipe"):
        write_whole(tmp_path / "pipe", b"lost")
    assert (tmp_path / "pipe").is_fifo()


def test_missing_folder_is_named(model, tmp_path):
    with pytest.raises(ValueError, match=r"folder .*absent.* does not exist"):
        model.save(tmp_path / "absent" / "m.kff")


def test_model_on_an_ase_calculator_asks_for_it(frames, tmp_path):
    lj = LennardJones(sigma=2.2, epsilon=0.1, rc=4.0)
    model = small_model(n_sparse=8, n_jobs=1, baseline=lj).fit(frames)
    model.save(tmp_path / "m.kff")
    with pytest.raises(ValueError, match="LennardJones"):
        kff.load(tmp_path / "m.kff")
    again = kff.load(tmp_path / "m.kff", baseline=lj)
    assert again.compute(frames[0]).energy == model.potential_.compute(frames[0]).energy
