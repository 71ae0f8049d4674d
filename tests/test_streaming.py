"""Streamed fits: the same bits for any number of threads, and after a kill."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from labelled import emt_frames, small_model

from kernelff.io.label_keys import labels
from kernelff.regression import streaming
from kernelff.regression.crossvalidation import fold_of


@pytest.fixture(scope="module")
def frames():
    return emt_frames(12, 7)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(streaming, "_MIN_ROWS", 40)
    monkeypatch.setattr(streaming, "_ROWS_PER_CHUNK", 1)


def weights(model):
    return model.potential_.weights


def test_threads_do_not_change_a_bit(frames, small_chunks):
    one = small_model(n_jobs=1).fit(frames)
    three = small_model(n_jobs=3).fit(frames)
    assert np.array_equal(weights(one), weights(three))


def test_chunks_change_rounding_only(frames, small_chunks, monkeypatch):
    many = small_model(n_jobs=1).fit(frames)
    monkeypatch.setattr(streaming, "_MIN_ROWS", 10**6)
    whole = small_model(n_jobs=1).fit(frames)
    np.testing.assert_allclose(many.predict(frames), whole.predict(frames), atol=1e-8)


class Killed(Exception):
    pass


def kill_after(n):
    calls = []

    def progress(done, total):
        calls.append(done)
        if len(calls) == n:
            raise Killed

    return progress


@pytest.mark.parametrize("n_chunks", [1, 3])
def test_resumed_fit_is_bitwise_the_same(frames, small_chunks, tmp_path, n_chunks):
    path = tmp_path / "fit.checkpoint"
    with pytest.raises(Killed):
        small_model(n_jobs=1).fit(frames, checkpoint=path, progress=kill_after(n_chunks))
    assert path.exists()
    seen = []
    resumed = small_model(n_jobs=2).fit(frames, checkpoint=path, progress=lambda done, total: seen.append(done))
    untouched = small_model(n_jobs=1).fit(frames)
    assert np.array_equal(weights(resumed), weights(untouched))
    assert len(seen) == n_chunks_of(frames) - n_chunks
    assert not path.exists()


def n_chunks_of(frames):
    problem = small_model()._make_problem(frames, [labels(atoms) for atoms in frames])
    folds = fold_of(frames)
    return sum(len(problem.part(folds == fold).chunks()) for fold in np.unique(folds))


def test_checkpoint_of_another_fit_is_refused(frames, small_chunks, tmp_path):
    path = tmp_path / "fit.checkpoint"
    with pytest.raises(Killed):
        small_model(n_jobs=1).fit(frames, checkpoint=path, progress=kill_after(1))
    with pytest.raises(ValueError, match="other data or other settings"):
        small_model(n_jobs=1, sigma_forces=0.2).fit(frames, checkpoint=path)


def test_damaged_checkpoint_is_refused(frames, small_chunks, tmp_path):
    path = tmp_path / "fit.checkpoint"
    with pytest.raises(Killed):
        small_model(n_jobs=1).fit(frames, checkpoint=path, progress=kill_after(1))
    part = next(path.iterdir())
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(ValueError, match="truncated"):
        small_model(n_jobs=1).fit(frames, checkpoint=path)


def test_checkpoint_needs_a_folder(frames, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; a folder is needed"):
        small_model().fit(frames, checkpoint=tmp_path / "file")
    with pytest.raises(ValueError, match="does not exist"):
        small_model().fit(frames, checkpoint=tmp_path / "nowhere" / "fit")


def test_fit_killed_without_warning_resumes_bitwise(frames, small_chunks, tmp_path):
    """kill -9 in the middle of a fit of another process."""
    path = tmp_path / "fit.checkpoint"
    script = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from kernelff.regression import streaming
from kernelff.regression.crossvalidation import fold_of
from labelled import emt_frames, small_model
streaming._MIN_ROWS, streaming._ROWS_PER_CHUNK, streaming._SECONDS_BETWEEN_CHECKPOINTS = 40, 1, -1.0
seen = []
def progress(done, total):
    seen.append(done)
    if len(seen) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
small_model(n_jobs=1).fit(emt_frames(12, 7), checkpoint={str(path)!r}, progress=progress)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    seen = []
    resumed = small_model(n_jobs=1).fit(frames, checkpoint=path, progress=lambda done, total: seen.append(done))
    untouched = small_model(n_jobs=1).fit(frames)
    assert np.array_equal(weights(resumed), weights(untouched))
    assert 0 < len(seen) < n_chunks_of(frames)


def test_kept_neighbor_lists_are_bounded_and_change_nothing(monkeypatch):
    frames = emt_frames(6, 2)
    model = small_model(n_sparse=20)
    problem = model._make_problem(frames, [labels(atoms) for atoms in frames])
    plain = streaming.stream(problem).groups["forces"].R
    monkeypatch.setattr(streaming, "_KEPT_PAIRS", 1)
    kept = problem.with_lists(3.8)
    assert [one is None for one in kept.lists] == [False] + 5 * [True]
    assert np.array_equal(streaming.stream(kept).groups["forces"].R, plain)
