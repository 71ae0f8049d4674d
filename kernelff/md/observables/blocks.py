"""Sums over a run of any length, in a bounded number of stretches of it that tell how sure their mean is."""

import numpy as np

_MOST = 16


class Blocks:
    """Sums over successive stretches of samples, of equal length, the last one begun.

    There are at most 16 of them: when they are full two and two become one, so that neither memory nor what is found
    depends on how long the run was meant to be.

    Parameters
    ----------
    shape : tuple of int
        Of what is summed.
    """

    def __init__(self, shape):
        self.sums = np.zeros((_MOST, *shape))
        self.span, self.n = 1, 0  # samples in a block; samples so far

    def next(self):
        """The sums (a view) that the next sample belongs to."""
        if self.n == _MOST * self.span:
            self.sums[: _MOST // 2] = self.sums[::2] + self.sums[1::2]
            self.sums[_MOST // 2 :] = 0.0
            self.span *= 2
        self.n += 1
        return self.sums[(self.n - 1) // self.span]

    def parts(self):
        """Sums (n_parts, ...) of nearly equal weight: a last block that is less than half full joins the one before."""
        whole, rest = divmod(self.n, self.span)
        parts = self.sums[: whole + (rest > 0)].copy()
        if 0 < 2 * rest < self.span and whole:
            parts[-2] += parts[-1]
            parts = parts[:-1]
        return parts

    def state(self):
        return {"sums": self.sums, "counts": np.array([self.span, self.n])}

    def restore(self, arrays):
        self.sums = np.array(arrays["sums"])
        self.span, self.n = (int(k) for k in arrays["counts"])


def jackknife(function, parts, overlapping=False):
    """A function of sums, and its standard error by leaving out one part after the other [1]_.

    Parameters
    ----------
    function : callable
        Of the sums over the parts (...), to an array.
    parts : ndarray of shape (n_parts, ...)
        Of the same weight.
    overlapping : bool
        Whether a part shares some of the run with the next one: their covariance is added.

    Returns
    -------
    value, error : ndarray
        The error is NaN with fewer than three parts.

    References
    ----------
    .. [1] Efron, Stein, Ann. Stat. 9, 586 (1981), doi:10.1214/aos/1176345462
    """
    total = parts.sum(axis=0)
    value = np.asarray(function(total), dtype=float)
    n = len(parts)
    if n < 3:
        return value, np.full_like(value, np.nan)
    off = np.array([function(total - part) for part in parts])
    off -= off.mean(axis=0)
    squares = (off**2).sum(axis=0)
    if overlapping:
        squares = squares + 2 * np.maximum((off[1:] * off[:-1]).sum(axis=0), 0.0)
    return value, np.sqrt((n - 1) / n * squares)


def ratio(sums, counts):
    """sums / counts, NaN where there is nothing."""
    return np.divide(sums, counts, out=np.full(np.broadcast(sums, counts).shape, np.nan), where=counts > 0)
