"""Mean square displacements and diffusion coefficients."""

from dataclasses import dataclass

import numpy as np

from kernelff.md.observables.blocks import Blocks, jackknife, ratio
from kernelff.md.observables.results import ObservableResult, estimate

_POINTS, _RATIO, _LEVELS = 16, 4, 14
_WINDOW = (0.025, 0.1)  # of the run


@dataclass(frozen=True)
class MSD:
    """Mean square displacement of every element over time, and the diffusion coefficient, its slope / 6.

    Every sample is an origin, by blocks whose spacing grows fourfold from level to level [1]_: 16 positions for each of
    log4(samples) levels, 0.4 kB per atom and level. Displacements are sums of steps within the present cell, so that a
    cell that breathes does not add to them [2]_. The slope is a weighted fit, its standard error that of leaving out
    stretches of the run. Periodic cells slow diffusion down by some 2.84 kT / (6 pi viscosity edge) [3]_, which is not
    corrected.

    Parameters
    ----------
    fit : (float, float), optional
        fs; between which times the slope is taken. By default a fortieth and a tenth of the run.
    remove_drift : bool
        Measure from the centre of mass, unless atoms are fixed. Of N atoms that move independently, as in Langevin
        dynamics, that leaves 1 - 1/N of D.
    every : int, optional
        Steps between samples; by default `observe_every`, or 10.

    References
    ----------
    .. [1] Frenkel, Smit, Understanding Molecular Simulation, 2nd ed., Academic Press (2002), section 4.4.2;
       Dubbeldam et al., Mol. Simul. 35, 1084 (2009), doi:10.1080/08927020902818039
    .. [2] von Bülow, Bullerjahn, Hummer, J. Chem. Phys. 153, 021101 (2020), doi:10.1063/5.0008316
    .. [3] Yeh, Hummer, J. Phys. Chem. B 108, 15873 (2004), doi:10.1021/jp0477147
    """

    fit: tuple | None = None
    remove_drift: bool = True
    every: int | None = None
    name, rarer, swings = "msd", 1, False

    def begin(self, watched):
        return _Displacements(self, watched)


class _Displacements:
    """Positions at every level, and sums of squared displacements: of each element, and how many samples."""

    needs_virials = False

    def __init__(self, settings, watched):
        ends = np.atleast_1d(np.asarray((0.0, 1.0) if settings.fit is None else settings.fit, dtype=float))
        if ends.shape != (2,) or not 0 <= ends[0] < ends[1] < np.inf:
            raise ValueError(f"MSD.fit: must be two times in fs, the first before the last, got {settings.fit!r}.")
        self.settings, self.watched = settings, watched
        n = len(watched.atoms)
        self.blocks = Blocks((_LEVELS, _POINTS, len(watched.elements) + 1))
        self.path, self.wrapped, self.images = np.zeros((n, 3)), None, None
        self.levels = []  # (16, n_atoms, 3) each

    @property
    def n_samples(self):
        return self.blocks.n

    def sample(self, sample):
        if self.wrapped is not None:
            crossed = (sample.images - self.images) @ sample.cell
            self.path = self.path + (sample.positions - self.wrapped) + crossed
        self.wrapped, self.images = sample.positions, sample.images
        place = self.watched.without_drift(self.path) if self.settings.remove_drift else self.path
        n, sums = self.n_samples, self.blocks.next()
        for level in range(_LEVELS):
            spacing = _RATIO**level
            if n % spacing or (level and n == 0):
                return
            self._displace(level, n // spacing, place, sums[level])

    def _displace(self, level, n, place, sums):
        """Displacements of the n-th position of a level from those before it; that at the start is zero."""
        if level == len(self.levels):
            self.levels.append(np.zeros((_POINTS, *place.shape)))
        kept = self.levels[level]
        lags = np.arange(_POINTS // _RATIO + 1 if level else 1, min(_POINTS, n) + 1)
        if len(lags):
            square = ((place - kept[(n - lags) % _POINTS]) ** 2).sum(axis=2)
            for k, atoms in enumerate(self.watched.elements.values()):
                sums[lags - 1, k] += square[:, atoms].mean(axis=1)
            sums[lags - 1, -1] += 1.0
        kept[n % _POINTS] = place

    def state(self):
        own = {f"level{k}": positions for k, positions in enumerate(self.levels)} | {"path": self.path}
        if self.wrapped is not None:
            own |= {"wrapped": self.wrapped, "images": self.images}
        return own | self.blocks.state()

    def restore(self, arrays):
        self.blocks.restore(arrays)
        self.path, self.wrapped, self.images = (arrays.get(name) for name in ("path", "wrapped", "images"))
        self.levels = [np.array(arrays[f"level{k}"]) for k in range(_LEVELS) if f"level{k}" in arrays]

    def result(self):
        spacing = np.arange(1, _POINTS + 1) * _RATIO ** np.arange(_LEVELS, dtype=float)[:, None]
        parts = self.blocks.parts()
        seen = parts[..., -1].sum(axis=0) > 0
        order = np.argsort(spacing[seen])
        times, parts = spacing[seen][order] * self.watched.interval, parts[:, seen][:, order]
        run = self.n_samples * self.watched.interval
        window = tuple(share * run for share in _WINDOW) if self.settings.fit is None else self.settings.fit
        columns, values, remarks = {"lag_fs": times}, {}, []
        for k, symbol in enumerate(self.watched.elements):
            msd, error = jackknife(lambda sums, k=k: ratio(sums[:, k], sums[:, -1]), parts, overlapping=True)
            columns |= {f"msd_{symbol}_A2": msd, f"msd_{symbol}_A2_error": error}
            (slope, power), errors = jackknife(
                lambda sums, k=k: _slope(times, sums[:, k], sums[:, -1], window), parts, overlapping=True
            )
            values[f"D {symbol}"] = estimate(1e3 * slope / 6, 1e3 * errors[0] / 6, "Å^2/ps")
            values[f"power of time {symbol}"] = estimate(power, errors[1], "")
            if np.isfinite(power) and abs(power - 1) > max(0.1, 2 * errors[1]):
                remarks.append(
                    f"The mean square displacement of {symbol} goes with time to the power of {power:.2f}, not 1, "
                    f"between {window[0]:.0f} and {window[1]:.0f} fs: no diffusion, or too short a run."
                )
        columns["fit_fs"] = np.array(window)
        return ObservableResult("msd", values, columns, self.n_samples, self.watched.interval, tuple(remarks))


def _slope(times, sums, counts, window):
    """Slope of a straight line through the mean squares within a window, and the power of time that they go with.

    The variance of a mean square grows as its square times the lag [1]_ of `MSD`, which gives the weights.
    """
    msd = ratio(sums, counts)
    used = (times >= window[0]) & (times <= window[1]) & (msd > 0)
    if used.sum() < 3:
        return np.array([np.nan, np.nan])
    t, y = times[used], msd[used]
    slope = np.polyfit(t, y, 1, w=t**-1.5)[0]
    power = np.polyfit(np.log(t), np.log(y), 1, w=t**-0.5)[0]
    return np.array([slope, power])
