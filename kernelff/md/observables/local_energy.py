"""Standard deviations of local energies along a run."""

import warnings
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from kernelff.checks import require_whole
from kernelff.md.observables.blocks import Blocks, jackknife
from kernelff.md.observables.results import ObservableResult, estimate

_STRETCHES = 256  # of the run, in the course over time


@dataclass(frozen=True)
class LocalUncertainty:
    """Standard deviations of the local energies: mean, largest, course over time and histogram.

    Times are counted from the first sample. The course has at most 256 points; in a longer run each is the mean and the
    largest of some samples.

    Parameters
    ----------
    bins : int
        Of the histogram, evenly over the logarithm of 1e-6 to 10 eV.
    every : int, optional
        Steps between samples; by default ten times `observe_every`, or 100, since each costs some evaluations of the
        potential. In a run with ``uncertainty="std"`` the numbers of the run itself are taken in the steps that have
        them, which by default are those that are looked at.
    """

    bins: int = 140
    every: int | None = None
    name, rarer, swings = "uncertainty", 10, False

    def begin(self, watched):
        return _LocalUncertainty(self, watched)


class _LocalUncertainty:
    needs_virials = False

    def __init__(self, settings, watched):
        require_whole("LocalUncertainty.bins", settings.bins, 1, 100_000)
        self.watched, self.potential = watched, getattr(watched.potential, "potential", watched.potential)
        if not hasattr(self.potential, "uncertainty"):
            raise ValueError("observe: uncertainty needs a fitted potential, an ASE calculator has no error bars.")
        self._of(watched.atoms)  # refuses potentials without a posterior
        self.edges = np.logspace(-6, 1, int(settings.bins) + 1)
        self.blocks = Blocks((int(settings.bins) + 2,))  # histogram, sum of means, samples
        # Means and largest of stretches of `span` samples
        self.course, self.span, self.n = np.zeros((_STRETCHES, 2)), 1, 0
        self.largest = np.zeros(3)  # eV, atom, sample

    @property
    def n_samples(self):
        return self.n

    def sample(self, sample):
        sds = self._of(self._frame(sample)) if sample.energies_std is None else sample.energies_std
        sums = self.blocks.next()
        sums[:-2] += np.histogram(np.clip(sds, 1.001 * self.edges[0], 0.999 * self.edges[-1]), self.edges)[0]
        sums[-2:] += (sds.mean(), 1.0)
        if sds.max() > self.largest[0]:
            self.largest = np.array([sds.max(), np.argmax(sds), self.n])
        self._add_to_course(sds.mean(), sds.max())

    def _add_to_course(self, mean, largest):
        if self.n == _STRETCHES * self.span:
            even, odd = self.course[::2], self.course[1::2]
            both = np.column_stack([even[:, 0] + odd[:, 0], np.maximum(even[:, 1], odd[:, 1])])
            self.course = np.concatenate([both, np.zeros_like(both)])
            self.span *= 2
        row = self.course[self.n // self.span]
        row += (mean, 0.0)
        row[1] = max(row[1], largest)
        self.n += 1

    def _frame(self, sample):
        atoms, given = self.watched.atoms, self.watched.atoms.cell.array.any(axis=1)
        cell = np.where(given[:, None], sample.cell, 0.0)
        return Atoms(atoms.numbers, sample.positions, cell=cell, pbc=atoms.pbc)

    def _of(self, atoms):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # said once, at the start of the run
            return self.potential.uncertainty(atoms, derivatives=False).energies_std

    def state(self):
        own = {"course": self.course, "place": np.array([self.span, self.n]), "largest": self.largest}
        return own | self.blocks.state()

    def restore(self, arrays):
        self.blocks.restore(arrays)
        self.course, self.largest = np.array(arrays["course"]), np.array(arrays["largest"])
        self.span, self.n = (int(k) for k in arrays["place"])

    def result(self):
        n = -(-self.n // self.span)
        sizes = np.minimum(self.span, self.n - self.span * np.arange(n))
        mean, error = jackknife(lambda sums: sums[-2] / sums[-1], self.blocks.parts())
        histogram = self.blocks.sums[:, :-2].sum(axis=0)
        centres = np.sqrt(self.edges[1:] * self.edges[:-1])
        columns = {
            "time_fs": (np.cumsum(sizes) - 0.5 * (sizes + 1)) * self.watched.interval,
            "mean_eV": self.course[:n, 0] / sizes, "largest_eV": self.course[:n, 1],
            "sd_eV": centres, "share": histogram / max(histogram.sum(), 1.0),
        }  # fmt: skip
        values = {
            "mean sd of a local energy": estimate(1e3 * mean, 1e3 * error, "meV"),
            "largest sd": estimate(1e3 * self.largest[0], np.nan, "meV"),
            "atom of the largest": estimate(self.largest[1], np.nan, ""),
            "time of the largest": estimate(self.largest[2] * self.watched.interval, np.nan, "fs"),
        }
        return ObservableResult("uncertainty", values, columns, self.n, self.watched.interval)
