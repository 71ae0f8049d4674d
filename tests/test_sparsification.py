"""Choice of sparse points."""

import numpy as np
import pytest

from kernelff import sparsification
from kernelff.sparsification import distinct, farthest_points, select_points, shares


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(400, 6))


def stream(features, size=37):
    return lambda: (features[k : k + size] for k in range(0, len(features), size))


@pytest.mark.parametrize("method", sparsification.METHODS)
def test_points_are_rows_of_the_stream_each_once(features, method):
    doubled = np.vstack([features, features])
    points = select_points(stream(doubled), 50, method, np.random.default_rng(1))
    assert points.shape == (50, 6)
    assert len(distinct(points)) == 50
    assert all((np.abs(features - p).max(axis=1) == 0).any() for p in points)


@pytest.mark.parametrize("method", sparsification.METHODS)
def test_same_seed_same_points_whatever_the_blocks(features, method):
    one = select_points(stream(features, 400), 20, method, np.random.default_rng(3))
    many = select_points(stream(features, 11), 20, method, np.random.default_rng(3))
    np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize("method", [*sparsification.METHODS, None])
def test_asking_for_more_than_there_is_gives_all(features, method):
    n = 1000 if method else None
    points = select_points(stream(features), n, method or "cur", np.random.default_rng(0))
    assert len(points) == 400


def test_farthest_points_equal_the_exhaustive_search(features):
    points = features[:60]
    chosen = [int(np.argmax(((points - points.mean(0)) ** 2).sum(1)))]
    while len(chosen) < 9:
        distances = np.array([min(((p - points[c]) ** 2).sum() for c in chosen) for p in points])
        chosen.append(int(np.argmax(distances)))
    np.testing.assert_array_equal(farthest_points(points, 9), points[chosen])


def test_leverage_prefers_the_rare(features):
    features = np.hstack([features, np.zeros((400, 1))])
    features[17, -1] = 5.0  # the only row in its direction
    drawn = [select_points(stream(features), 10, "cur", np.random.default_rng(s)) for s in range(30)]
    assert np.mean([(points[:, -1] > 0).any() for points in drawn]) > 0.5  # evenly drawn: 0.025


def test_unknown_method_is_named():
    with pytest.raises(ValueError, match=r"sparse_method.*'best'"):
        select_points(stream(np.eye(3)), 2, "best", np.random.default_rng(0))


def test_shares_follow_the_root_of_the_counts():
    assert shares({1: 6400, 6: 1600, 8: 400}, 700) == {8: 100, 6: 200, 1: 400}
    assert shares({1: 5000, 8: 50}, 1000) == {8: 50, 1: 950}  # what the rare ones lack goes to the others
    assert shares({1: 30, 8: 20}, 1000) == {8: 20, 1: 30}
    assert shares({1: 10**6, 8: 1}, 1) == {8: 1, 1: 1}  # no element goes without
