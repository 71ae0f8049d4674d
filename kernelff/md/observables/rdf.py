"""Radial distribution functions and coordination numbers."""

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import vesin

from kernelff.checks import require_positive, require_whole
from kernelff.md.observables.blocks import Blocks, jackknife
from kernelff.md.observables.results import ObservableResult, estimate

_MOST_PAIRS = 5e7  # of one sample: 1.2 GB
_DEPTH = 0.7  # the first minimum ends when g has risen again by this share of the way back to 1


@dataclass(frozen=True)
class RDF:
    """Radial distribution function g(r), of every pair of elements and of all atoms.

    The mean number of b-atoms at a distance r .. r + dr from an a-atom is N_b / V g_ab(r) 4 pi r^2 dr, periodic images
    included, so that any cell will do; beyond half its height g repeats the images of the cell. For an ideal gas of N
    atoms g = 1 - 1/N within the cell. Where the volume changes, each sample counts with its own.

    Parameters
    ----------
    cutoff : float
        Å.
    bins : int
    every : int, optional
        Steps between samples; by default ten times `observe_every`, or 100, since neighbouring samples are alike and
        each lists all pairs, 24 bytes for one.
    """

    cutoff: float = 8.0
    bins: int = 200
    every: int | None = None
    name, rarer, swings = "rdf", 10, False

    def begin(self, watched):
        return _Pairs(self, watched)


class _Pairs:
    """Histograms of distances times volume; columns of the sums are pairs of elements."""

    needs_virials = False

    def __init__(self, settings, watched):
        require_positive("RDF.cutoff", settings.cutoff, "Å")
        require_whole("RDF.bins", settings.bins, 1, 100_000)
        watched.require_periodic("rdf")
        atoms = watched.atoms
        n_pairs = len(atoms) ** 2 / atoms.get_volume() * 2 / 3 * np.pi * settings.cutoff**3
        if n_pairs > _MOST_PAIRS:
            raise ValueError(
                f"observe: rdf would list {n_pairs:.1g} pairs at each sample, more than {_MOST_PAIRS:.0g}. Take a "
                f"smaller cutoff than {settings.cutoff:g} Å: observe=[kff.md.RDF(cutoff=...)]."
            )
        self.watched, self.edges = watched, np.linspace(0.0, settings.cutoff, int(settings.bins) + 1)
        self.symbols = list(watched.elements)
        self.pairs = list(combinations_with_replacement(range(len(self.symbols)), 2))
        self.element = np.searchsorted(np.unique(atoms.numbers), atoms.numbers)
        self.counts = np.array([len(ids) for ids in watched.elements.values()], dtype=float)
        # Sums per pair of elements: histogram of ordered pairs times volume, histogram; then the samples.
        self.blocks = Blocks((len(self.pairs), 2, len(self.edges)))

    @property
    def n_samples(self):
        return self.blocks.n

    def sample(self, sample):
        search = vesin.NeighborList(cutoff=float(self.edges[-1]), full_list=False, n_threads=1)
        i, j, distances = search.compute(sample.positions, sample.cell, [True] * 3, "ijd", copy=False)
        low, high = np.minimum(self.element[i], self.element[j]), np.maximum(self.element[i], self.element[j])
        sums = self.blocks.next()
        for k, (a, b) in enumerate(self.pairs):
            which = distances if len(self.symbols) == 1 else distances[(low == a) & (high == b)]
            # a half list holds one of a-b and b-a; both are neighbours of a centre of the element where a = b
            histogram = np.histogram(which, self.edges)[0] * (2.0 if a == b else 1.0)
            sums[k, 0, :-1] += histogram * sample.volume
            sums[k, 1, :-1] += histogram
        sums[:, :, -1] += 1.0

    def state(self):
        return self.blocks.state()

    def restore(self, arrays):
        self.blocks.restore(arrays)

    def result(self):
        r, parts = 0.5 * (self.edges[1:] + self.edges[:-1]), self.blocks.parts()
        columns, values = {"r_A": r}, {}
        if len(self.pairs) > 1:
            columns["g"], columns["g_error"] = jackknife(self._total, parts)
        for k, (a, b) in enumerate(self.pairs):
            one, two = self.symbols[a], self.symbols[b]
            g, error = jackknife(lambda sums, k=k: self._partial(sums, k), parts)
            columns |= {f"g_{one}_{two}": g, f"g_{one}_{two}_error": error}
            neighbours = np.cumsum(parts[:, k, 1, :-1].sum(axis=0)) / parts[:, k, 1, -1].sum()
            columns |= {f"n_{one}_{two}": neighbours / self.counts[a], f"n_{two}_{one}": neighbours / self.counts[b]}
            values |= self._first_shell(k, g, r, parts)
        return ObservableResult("rdf", values, columns, self.blocks.n, self.watched.interval)

    def _partial(self, sums, k):
        """g (n_bins,) of a pair of elements, of sums over samples."""
        a, b = self.pairs[k]
        return sums[k, 0, :-1] / (self.counts[a] * self.counts[b] * self._shells * sums[k, 0, -1])

    def _total(self, sums):
        """g (n_bins,) of all atoms."""
        ordered = sum(sums[k, 0, :-1] * (1 if a == b else 2) for k, (a, b) in enumerate(self.pairs))
        return ordered / (self.counts.sum() ** 2 * self._shells * sums[0, 0, -1])

    @property
    def _shells(self):
        return 4 / 3 * np.pi * np.diff(self.edges**3)

    def _first_shell(self, k, g, r, parts):
        """Where the first peak is, how high, and how many neighbours there are up to the minimum behind it."""
        a, b = self.pairs[k]
        name = f"{self.symbols[a]}-{self.symbols[b]}"
        peak = _first_peak(g)
        if peak is None:
            return {}
        end = _minimum_behind(g, peak)
        height = jackknife(lambda sums: self._partial(sums, k)[peak], parts)
        values = {
            f"first peak {name}": estimate(r[peak], np.nan, "Å"),
            f"height of the first peak {name}": estimate(*height, ""),
        }
        if end is not None:
            inside = jackknife(lambda sums: sums[k, 1, : end + 1].sum() / sums[k, 1, -1] / self.counts[a], parts)
            values[f"first minimum {name}"] = estimate(r[end], np.nan, "Å")
            values[f"neighbours of {self.symbols[a]}: {self.symbols[b]}"] = estimate(*inside, "")
        return values


def _first_peak(g):
    """Bin of the highest g before it first falls below 1 again after having risen above; None without."""
    above = np.flatnonzero(g > 1.2)
    if not len(above):
        return None
    behind = np.flatnonzero(g[above[0] :] < 1.0)
    end = above[0] + behind[0] if len(behind) else len(g)
    return above[0] + int(np.argmax(g[above[0] : end]))


def _minimum_behind(g, peak):
    """Bin of the lowest g behind the peak, before g has risen again to most of the way back to 1; None without."""
    lowest = np.minimum.accumulate(g[peak:])
    again = np.flatnonzero((lowest < 1.0) & (g[peak:] > lowest + _DEPTH * (1.0 - lowest)))
    again = again[again > np.argmax(lowest < 1.0)] if len(again) else again
    if not len(again):
        return None
    valley = g[peak : peak + again[0] + 1]
    bottom = np.flatnonzero(valley == valley.min())  # of a crystal a wide one
    return peak + int(bottom[len(bottom) // 2])
