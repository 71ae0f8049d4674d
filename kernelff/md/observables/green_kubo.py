"""Transport coefficients: integrals of autocorrelation functions, and where to end them.

A coefficient is factor * integral_0^inf C(t) dt [1]_ [2]_. The running integral has an error that grows with its upper
limit, so it is ended where going on tells nothing more: at 2 t for the first t such that to double any limit from t to
2 t changes the integral by less than two standard errors of that change. Errors are those of leaving out one stretch of
the run and one component at a time. Longer lags than a tenth of the run are not looked at.

References
----------
.. [1] Green, J. Chem. Phys. 22, 398 (1954), doi:10.1063/1.1740082; Kubo, J. Phys. Soc. Jpn. 12, 570 (1957)
.. [2] Jones, Mandadapu, J. Chem. Phys. 136, 154102 (2012), doi:10.1063/1.3700344: errors and upper limits
"""

from typing import NamedTuple

import numpy as np
from scipy.integrate import cumulative_trapezoid

from kernelff.md.observables.blocks import jackknife, ratio

_LONGEST = 0.1  # of the run


class Integral(NamedTuple):
    """A correlation function and its running integral."""

    lags: np.ndarray  # (n_lags,), in the unit of `interval`
    correlation: np.ndarray  # (n_lags,)
    correlation_error: np.ndarray
    running: np.ndarray  # (n_lags,)
    running_error: np.ndarray
    limit: float  # where the integral is taken; NaN if the run is too short
    settled: bool  # whether it has stopped changing there

    @property
    def value(self):
        """The integral up to its limit, and its standard error."""
        if not np.isfinite(self.limit):
            return np.nan, np.nan
        both = self.running, self.running_error
        return tuple(float(np.interp(self.limit, self.lags, column)) for column in both)


def integrate(correlator, interval):
    """The integral of the autocorrelation that components of a MultipleTau share.

    Parameters
    ----------
    correlator : MultipleTau
    interval : float
        Time between two samples.

    Returns
    -------
    Integral
    """
    lags, parts = correlator.found()
    kept = lags <= max(_LONGEST * correlator.n_samples, 1)
    times, parts = lags[kept] * interval, parts[:, kept]
    n_parts, n_lags, n = parts.shape[0], parts.shape[1], parts.shape[2] - 1
    counts = np.repeat(parts[:, None, :, -1], n, axis=1)
    pieces = np.stack([np.moveaxis(parts[..., :-1], 2, 1), counts], axis=-1).reshape(n_parts * n, n_lags, 2)

    def curves(sums):
        c = ratio(sums[:, 0], sums[:, 1])
        running = cumulative_trapezoid(c, times, initial=0.0)
        doubled = np.interp(2 * times, times, running, right=np.nan) - running
        return np.stack([c, running, doubled])

    if n_lags < 2 or n_parts < 3:
        c = ratio(parts[..., :-1].sum(axis=(0, 2)), n * parts[..., -1].sum(axis=0))
        nothing = np.full(n_lags, np.nan)
        return Integral(times, c, nothing, cumulative_trapezoid(c, times, initial=0.0), nothing, np.nan, False)
    (c, running, doubled), errors = jackknife(curves, pieces)
    limit, settled = _limit(times, doubled, errors[2])
    return Integral(times, c, errors[0], running, errors[1], limit, settled)


def _limit(times, doubled, error):
    """2 t, and True, for the first t such that no doubling from t to 2 t matters; else the longest time, and False."""
    known = np.flatnonzero(np.isfinite(doubled) & (times > 0))
    for k in known:
        following = known[(known >= k) & (times[known] <= 2 * times[k])]
        if 4 * times[k] <= times[-1] and (np.abs(doubled[following]) < 2 * error[following]).all():
            return 2 * times[k], True
    return times[-1], False
