"""Time correlation functions of a few numbers, in memory that does not grow with the run.

Multiple-tau correlator [1]_: level l holds the last 16 means over 2^l samples and correlates them at lags of 2^l
samples; a lag is followed at the first level that has it. What the means lose is below 1 % where a correlation function
changes over the time of its own lag.

References
----------
.. [1] Ramirez, Sukumaran, Vorselaars, Likhtman, J. Chem. Phys. 133, 154103 (2010), doi:10.1063/1.3491098
"""

import numpy as np

from kernelff.md.observables.blocks import Blocks

_POINTS, _RATIO, _LEVELS = 16, 2, 32


class MultipleTau:
    """Autocorrelation of each component of a sequence of vectors.

    Parameters
    ----------
    n_components : int
    """

    def __init__(self, n_components):
        self.blocks = Blocks((_LEVELS, _POINTS, n_components + 1))  # sums of products, and how many they are
        self._last = np.zeros((_LEVELS, _POINTS, n_components))
        self._begun = np.zeros((_LEVELS, n_components))  # sums that become the next mean of a level
        self._n = np.zeros(_LEVELS, dtype=np.int64)  # means that each level has had

    @property
    def n_samples(self):
        return self.blocks.n

    def add(self, vector):
        """The next vector (n_components,)."""
        vector, sums = np.asarray(vector, dtype=float), self.blocks.next()
        for level in range(_LEVELS):
            self._correlate(level, vector, sums[level])
            self._begun[level] += vector
            if self._n[level] % _RATIO:
                return
            vector = self._begun[level] / _RATIO
            self._begun[level] = 0.0

    def _correlate(self, level, vector, sums):
        n, last = int(self._n[level]), self._last[level]
        last[n % _POINTS] = vector
        self._n[level] = n + 1
        lags = np.arange(_POINTS // _RATIO if level else 0, min(_POINTS, n + 1))
        sums[lags, :-1] += vector * last[(n - lags) % _POINTS]
        sums[lags, -1] += 1.0

    def found(self):
        """Lags in samples (n_lags,), and the sums (n_parts, n_lags, n_components + 1) of products and their number."""
        parts = self.blocks.parts()
        lags = np.arange(_POINTS) * _RATIO ** np.arange(_LEVELS, dtype=float)[:, None]
        seen = parts[..., -1].sum(axis=0) > 0
        return lags[seen], parts[:, seen]

    def state(self):
        own = {"last": self._last, "begun": self._begun, "n": self._n}
        return own | {f"blocks.{name}": array for name, array in self.blocks.state().items()}

    def restore(self, arrays):
        self._last, self._begun, self._n = (np.array(arrays[name]) for name in ("last", "begun", "n"))
        self.blocks.restore({name: arrays[f"blocks.{name}"] for name in ("sums", "counts")})
