"""fold() against numpy's QR."""

import numpy as np
import pytest

from kernelff._linalg import fold

SHAPES = [(1, 1), (1, 5), (3, 5), (5, 5), (40, 17), (90, 130), (2000, 200), (900, 65), (4, 64)]


def expected_factor(*blocks):
    R = np.linalg.qr(np.vstack(blocks), mode="r")
    return R * np.where(np.diag(R) < 0, -1.0, 1.0)[:, None]


@pytest.mark.parametrize(("n", "m"), SHAPES)
def test_same_factor_as_numpy(n, m):
    rng = np.random.default_rng(n + m)
    R, rows = np.triu(rng.normal(size=(m, m))), rng.normal(size=(n, m))
    expected = expected_factor(R, rows)
    fold(R, rows)
    np.testing.assert_allclose(np.triu(R), expected, atol=1e-12 * np.abs(expected).max())
    assert (np.diag(R) >= 0).all()


def test_streaming_equals_one_block_and_is_deterministic():
    rows = np.random.default_rng(0).normal(size=(700, 90)) * np.logspace(-6, 6, 90)
    found = []
    for _ in range(2):
        R = np.zeros((90, 90))
        for part in (rows[:13], rows[13:13], rows[13:400], rows[400:]):
            fold(R, part.copy())
        found.append(R)
    np.testing.assert_array_equal(*found)
    expected = expected_factor(rows)
    np.testing.assert_allclose(R / np.diag(expected), expected / np.diag(expected), rtol=1e-9, atol=1e-9)


def test_no_rows_and_zero_rows_change_nothing():
    R = np.triu(np.random.default_rng(1).normal(size=(30, 30)))
    np.fill_diagonal(R, np.abs(np.diag(R)))
    before = R.copy()
    fold(R, np.zeros((0, 30)))
    np.testing.assert_array_equal(R, before)
    fold(R, np.zeros((10, 30)))
    np.testing.assert_array_equal(R, before)


def test_rank_deficient_rows():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 80))
    rows[:, 10] = 0.0
    gram = rows.T @ rows
    R = np.zeros((80, 80))
    fold(R, rows)
    assert np.isfinite(R).all()
    np.testing.assert_allclose(R.T @ R, gram, atol=1e-12 * np.abs(gram).max())


def test_nothing_below_the_diagonal_is_touched():
    R = np.full((70, 70), np.nan)
    R[np.triu_indices(70)] = 0.0
    fold(R, np.random.default_rng(3).normal(size=(100, 70)))
    assert np.isfinite(R[np.triu_indices(70)]).all() and np.isnan(R[np.tril_indices(70, -1)]).all()


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="rows: 3 columns do not fit a factor of shape 4 x 4"):
        fold(np.zeros((4, 4)), np.zeros((2, 3)))
