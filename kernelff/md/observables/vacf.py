"""Velocity autocorrelation functions and vibrational spectra."""

import warnings
from dataclasses import dataclass

import numpy as np
from ase import units
from scipy import fft
from scipy.integrate import cumulative_trapezoid

from kernelff.checks import SettingsWarning, require_positive
from kernelff.md.observables.blocks import Blocks, jackknife, ratio
from kernelff.md.observables.results import ObservableResult, estimate

_COARSE = 5.0  # fs; light atoms swing up to 100 THz, a period of 10 fs
_MOST_BYTES = 8e9
_COLUMNS = 512  # components that are transformed at a time


@dataclass(frozen=True)
class VACF:
    """Velocity autocorrelation <v(0) . v(t)> of every element, its spectrum, and the diffusion coefficient.

    The spectrum is 4 integral_0^window C(t) / C(0) cos(2 pi f t) h(t) dt with h = cos^2(pi t / 2 window): the
    vibrational density of states of a crystal, 1 over all frequencies [1]_. D is the integral of C / 3. Velocities are
    collected for the length of the window and correlated by Fourier transforms; two windows are kept, and go into
    checkpoints, in float32, 24 bytes per atom and sample: 12 kB per atom with 2000 fs and samples every 4 fs.

    Parameters
    ----------
    window : float
        fs, the longest lag. Frequencies are resolved to about 1 / window.
    remove_drift : bool
        Less the velocity of the centre of mass, unless atoms are fixed.
    every : int, optional
        Steps between samples; by default `observe_every`, or without it 4 fs at most. Above 5 fs fast vibrations are
        missed, and appear elsewhere.

    References
    ----------
    .. [1] Dickey, Paskin, Phys. Rev. 188, 1407 (1969), doi:10.1103/PhysRev.188.1407
    """

    window: float = 2000.0
    remove_drift: bool = True
    every: int | None = None
    name, rarer, swings = "vacf", 1, True

    def begin(self, watched):
        return _Velocities(self, watched)


class _Velocities:
    """The present stretch of velocities, the one before it, and the sums over all: of each element, and how many."""

    needs_virials = False

    def __init__(self, settings, watched):
        require_positive("VACF.window", settings.window, "fs")
        self.settings, self.watched = settings, watched
        self.n_lags = max(int(np.ceil(settings.window / watched.interval)), 2)
        if watched.interval > _COARSE:
            warnings.warn(
                f"observe: vacf sees velocities every {watched.interval:g} fs and misses vibrations above "
                f"{500 / watched.interval:.0f} THz. Sample at least every {_COARSE:g} fs, by observe_every, "
                "kff.md.VACF(every=...) or a smaller timestep.",
                SettingsWarning,
                stacklevel=2,
            )
        size = 24.0 * len(watched.atoms) * self.n_lags
        if size > _MOST_BYTES:
            raise ValueError(
                f"observe: vacf would keep {size / 1e9:.0f} GB of velocities. Take a shorter window than "
                f"{settings.window:g} fs, or samples farther apart: kff.md.VACF(window=..., every=...)."
            )
        self.before, self.now = None, np.zeros((self.n_lags, len(watched.atoms), 3), dtype=np.float32)
        self.filled = self.n_samples = 0
        self.blocks = Blocks((self.n_lags, len(watched.elements) + 1))

    def sample(self, sample):
        v = self.watched.without_drift(sample.velocities) if self.settings.remove_drift else sample.velocities
        self.now[self.filled] = v
        self.filled += 1
        self.n_samples += 1
        if self.filled < self.n_lags:
            return
        if self.before is not None:
            sums = self.blocks.next()
            sums += self._correlated(self.before, np.concatenate([self.before, self.now]))
            self.now, self.before = self.before, self.now
        else:
            self.before, self.now = self.now, np.zeros_like(self.now)
        self.filled = 0

    def _correlated(self, origins, values):
        """Sums (n_lags, n_elements + 1) of v(origin) . v(origin + lag), mean of the atoms, and number of origins."""
        n, room = len(values), fft.next_fast_len(len(values) + self.n_lags, real=True)
        sums = np.zeros((self.n_lags, len(self.watched.elements) + 1))
        for k, atoms in enumerate(self.watched.elements.values()):
            spectrum = 0.0
            for some in np.array_split(atoms, -(-3 * len(atoms) // _COLUMNS)):
                first, second = (a[:, some].reshape(len(a), -1).astype(float) for a in (origins, values))
                product = np.conj(fft.rfft(first, room, axis=0)) * fft.rfft(second, room, axis=0)
                spectrum = spectrum + product.sum(axis=1)
            sums[:, k] = fft.irfft(spectrum, room)[: self.n_lags] / len(atoms)
        sums[:, -1] = np.clip(n - np.arange(self.n_lags), 0, len(origins))
        return sums

    def state(self):
        own = {"now": self.now[: self.filled], "counts_of_samples": np.array([self.filled, self.n_samples])}
        own |= {} if self.before is None else {"before": self.before}
        return own | self.blocks.state()

    def restore(self, arrays):
        self.blocks.restore(arrays)
        self.filled, self.n_samples = (int(k) for k in arrays["counts_of_samples"])
        self.now[: self.filled] = arrays["now"]
        self.before = np.array(arrays["before"]) if "before" in arrays else None

    def result(self):
        rest = (
            self.now[: self.filled] if self.before is None else np.concatenate([self.before, self.now[: self.filled]])
        )
        parts = [*self.blocks.parts(), self._correlated(rest, rest)]
        if self.filled < 0.5 * self.n_lags and len(parts) > 1:
            parts[-2:] = [parts[-2] + parts[-1]]
        kept = max(min(self.n_lags, self.n_samples // 2), 2)
        parts = np.array(parts)[:, :kept]
        parts[..., :-1] *= units.fs**2  # Å^2/fs^2
        times = np.arange(kept) * self.watched.interval
        columns, values, remarks = {"lag_fs": times}, {}, []
        if kept < self.n_lags:
            remarks.append(f"The run is short: lags up to {times[-1]:.0f} fs instead of {self.settings.window:g}.")
        total = 0.0
        for k, symbol in enumerate(self.watched.elements):
            c, error = jackknife(lambda sums, k=k: ratio(sums[:, k], sums[:, -1]), parts)
            columns |= {f"vacf_{symbol}_A2_per_fs2": c, f"vacf_{symbol}_A2_per_fs2_error": error}
            frequencies, spectrum = _spectrum(times, c)
            columns |= {"frequency_THz": frequencies, f"dos_{symbol}_per_THz": spectrum}
            total = total + spectrum * len(self.watched.elements[symbol]) / len(self.watched.atoms)
            d, d_error = jackknife(lambda sums, k=k: _diffusion(times, ratio(sums[:, k], sums[:, -1])), parts)
            values[f"D {symbol}"] = estimate(1e3 * d, 1e3 * d_error, "Å^2/ps")
        if len(self.watched.elements) > 1:
            columns["dos_per_THz"] = total
        strongest = float(frequencies[np.argmax(total)]) if np.isfinite(total).all() else np.nan
        values["strongest frequency"] = estimate(strongest, np.nan, "THz")
        if self.watched.interval > _COARSE:
            remarks.append(f"Samples are {self.watched.interval:g} fs apart: faster vibrations appear at wrong places.")
        return ObservableResult("vacf", values, columns, self.n_samples, self.watched.interval, tuple(remarks))


def _diffusion(times, c):
    """Integral of C / 3, the mean of upper limits in the second half of the window: vibrations do not end there."""
    return cumulative_trapezoid(c, times, initial=0.0)[len(times) // 2 :].mean() / 3


def _spectrum(times, c):
    """Frequencies (THz) and normalised spectrum (1/THz) of an autocorrelation, four times as fine as resolved."""
    n = len(c)
    faded = np.zeros(4 * (n - 1) + 1)
    faded[:n] = c * np.cos(0.5 * np.pi * np.arange(n) / (n - 1)) ** 2
    step = 1e-3 * (times[1] - times[0])  # ps
    spectrum = 2 * step * fft.dct(faded, type=1) / c[0] if c[0] > 0 else np.full(len(faded), np.nan)
    return np.arange(len(faded)) / (2 * (len(faded) - 1) * step), spectrum
