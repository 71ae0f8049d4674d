"""Screened repulsion of the nuclei, for distances at which there are no data.

Universal potential of Ziegler, Biersack and Littmark [1]_ times a switch,

    V(r) = k Z1 Z2 / r phi(r / a) s(t),   a = 0.46850 Å / (Z1^0.23 + Z2^0.23),
    phi(x) = sum_k c_k exp(-d_k x),   k = e^2 / (4 pi eps0),
    s(t) = 1 - 10 t^3 + 15 t^4 - 6 t^5,   t = (r - inner) / (outer - inner) clipped to [0, 1],

so energy, forces and their derivatives are continuous. `outer` is the shortest
distance of the two elements in the data: no pair of the data feels anything,
and a fit is the same with and without.

References
----------
.. [1] Ziegler, Biersack, Littmark, The Stopping and Range of Ions in Solids, Pergamon, New York (1985)
"""

import numba
import numpy as np
from ase.data import covalent_radii
from ase.units import Bohr, Hartree

from kernelff.assembly import atom_virials, forces_and_virial
from kernelff.neighbors import NeighborList
from kernelff.results import Results, stress_of

_COULOMB = Hartree * Bohr  # e^2 / (4 pi eps0), eV Å
_C = (0.18175, 0.50986, 0.28022, 0.02817)
_D = (3.19980, 0.94229, 0.40290, 0.20162)
_SCREENING = 0.46850  # Å
# inner / outer. Below `outer` the fit extrapolates, and turns attractive by some eV/Å where its kernels see nothing
# they know, in dimers of silicon and copper from about 0.8 outer inwards: with any ratio from 0 to 0.7 their
# total force is repulsive all the way. The smaller the ratio, the less a frame that is a little closer than the data is
# disturbed, as (1 - ratio)^-3; from 0.7 on the force of a silicon dimer no longer grows inwards; 0 would never be ZBL.
_INNER = 0.3
_CONTACT = 1.0  # Å beyond the sum of the covalent radii: closest distances above that say nothing of the core


class ZBL:
    """Pair repulsion that ends, for each pair of elements, where the data begin.

    Parameters
    ----------
    species : sequence of int
        Atomic numbers, ascending; other elements feel nothing.
    outer : ndarray of shape (n_species, n_species)
        Å, symmetric; from here on the repulsion is zero. It is unswitched below 0.3 of that.
    given : ndarray of shape (n_species, n_species), optional
        `outer` of a repulsion that is there already, in a baseline; 0 (the default) where there is none.
        What this one adds is then V(outer) - V(given) >= 0, and nothing where `given` reaches as far as `outer`.
    """

    def __init__(self, species, outer, given=None):
        self.species = tuple(int(z) for z in species)
        self.outer = np.array(outer, dtype=float)
        if self.outer.shape != (len(self.species),) * 2 or not np.array_equal(self.outer, self.outer.T):
            raise ValueError(f"outer: must be symmetric with a row for each of {self.species}, got {outer!r}.")
        if not (np.isfinite(self.outer) & (self.outer > 0)).all():
            raise ValueError(f"outer: distances must be finite and > 0 Å, got {outer!r}.")
        given = np.zeros_like(self.outer) if given is None else np.array(given, dtype=float)
        if given.shape != self.outer.shape or not (np.array_equal(given, given.T) and (given >= 0).all()):
            raise ValueError(f"given: must be like outer, distances >= 0 Å, got {given!r}.")
        self.given = np.minimum(given, self.outer)
        self.outer.flags.writeable = self.given.flags.writeable = False
        self.cutoff = float(self.outer.max(initial=0.0))
        self._row = np.full(len(covalent_radii) + 1, -1)  # the last row of the table: no repulsion
        self._row[list(self.species)] = np.arange(len(self.species))
        z = np.array(self.species, dtype=float)
        screening = _SCREENING / np.add.outer(z**0.23, z**0.23)
        parameters = np.stack([self.outer, self.given, screening, _COULOMB * np.multiply.outer(z, z)], axis=-1)
        self._table = np.pad(parameters, ((0, 1), (0, 1), (0, 0)))  # (n_species + 1, n_species + 1, 4)

    @classmethod
    def below(cls, frames, before=None, baseline=None):
        """The repulsion that leaves a data set alone.

        Parameters
        ----------
        frames : list of ase.Atoms
        before : ZBL, optional
            The repulsion that leaves earlier frames alone; its elements are kept.
        baseline : Potential or ZBL or ase Calculator, optional
            What the model adds to; a ZBL repulsion in it is not added again. That of other
            calculators is not known.

        Returns
        -------
        ZBL
            Each pair of elements up to its shortest distance in the frames; up to the sum of their covalent
            radii where they never come closer than that sum + 1 Å.
        """
        seen = {int(z) for atoms in frames for z in set(atoms.numbers)}
        species = sorted(seen.union(before.species if before else ()))
        radii = covalent_radii[species]
        bond = radii[:, None] + radii
        shortest = np.full(bond.shape, np.inf)
        for atoms in frames:
            neighbors = NeighborList.from_atoms(atoms, bond.max() + _CONTACT)
            row = np.searchsorted(species, neighbors.numbers)
            np.minimum.at(shortest, (row[neighbors.i], row[neighbors.j]), neighbors.distances)
        shortest = np.minimum(shortest, shortest.T)  # i-j and j-i may differ in the last bit
        outer = np.where(shortest < bond + _CONTACT, shortest, bond)
        given = np.max([np.zeros_like(outer), *(zbl.reach(species) for zbl in _repulsions(baseline))], axis=0)
        return cls(species, np.minimum(outer, before.outer) if before else outer, given)

    def reach(self, species):
        """`outer` between the given elements, Å, shape (n, n); 0 where this repulsion does not know them."""
        rows = self._row[list(species)]
        return self._table[np.ix_(rows, rows)][..., 0]

    @property
    def tables(self):
        """Row of each element and, by rows, outer, given, screening length and charge: what a kernel needs."""
        return self._row, self._table

    def evaluate(self, neighbors):
        """Local energies (n_atoms,), half of each pair, and pair gradients de_i/dr_ij (n_pairs, 3)."""
        energies, gradients = np.zeros(neighbors.n_atoms), np.zeros((neighbors.n_pairs, 3))
        if neighbors.distances.min(initial=np.inf) < self.cutoff:
            pairs = neighbors.i, neighbors.j, neighbors.distances, neighbors.vectors
            _add_pairs(*pairs, self._row[neighbors.numbers], self._table, energies, gradients)
        return energies, gradients

    def compute(self, atoms, virials=False):
        """Energy and derivatives of a frame from the repulsion alone, as `Potential.compute`."""
        neighbors = NeighborList.from_atoms(atoms, self.cutoff)
        energies, gradients = self.evaluate(neighbors)
        forces, virial = forces_and_virial(neighbors, gradients)
        of_atoms = atom_virials(neighbors, gradients) if virials else None
        return Results(float(energies.sum()), energies, forces, virial, stress_of(virial, neighbors.volume), of_atoms)

    def to_state(self):
        """JSON-able dict."""
        state = {"kind": "zbl", "species": list(self.species), "outer": self.outer.tolist()}
        return state | ({"given": self.given.tolist()} if self.given.any() else {})

    @classmethod
    def from_state(cls, params):
        return cls(params["species"], params["outer"], params.get("given"))


def _repulsions(baseline):
    """The ZBL repulsions in a baseline, those of its own baselines included.

    Each of them adds what the ones below it leave of V(outer), so that together they are V of the largest outer.
    """
    found = []
    while baseline is not None:
        baseline = getattr(baseline, "potential", baseline)  # of our own calculator
        zbl = baseline if isinstance(baseline, ZBL) else getattr(baseline, "repulsion", None)
        found += [zbl] if isinstance(zbl, ZBL) else []
        baseline = baseline.baseline if hasattr(baseline, "repulsion") else None
    return found


@numba.njit(cache=True, nogil=True)
def _add_pairs(i, j, distances, vectors, rows, table, energies, gradients):
    """Add half of every pair closer than its outer distance to the energy of i, and the gradient by r_ij."""
    for p in range(len(i)):
        outer, given, screening, charge = table[rows[i[p]], rows[j[p]]]
        r = distances[p]
        if r < outer and given < outer:
            value, slope = _pair_energy(r, outer, screening, charge)
            if r < given:
                there = _pair_energy(r, given, screening, charge)
                value, slope = value - there[0], slope - there[1]
            energies[i[p]] += 0.5 * value
            for c in range(3):
                gradients[p, c] = 0.5 * slope / r * vectors[p, c]


@numba.njit(cache=True, nogil=True)
def _pair_energy(r, outer, screening, charge):
    """V and dV/dr, eV and eV/Å, of one pair at a distance r < outer; `charge` is k Z1 Z2, `screening` is a."""
    phi = d_phi = 0.0
    for k in range(len(_C)):
        term = _C[k] * np.exp(-_D[k] * r / screening)
        phi += term
        d_phi -= _D[k] / screening * term
    value = charge / r * phi
    slope = -value / r + charge / r * d_phi
    width = (1 - _INNER) * outer
    t = max(1 - (outer - r) / width, 0.0)  # 1 at `outer`
    switch = (1 - t) ** 3 * (1 + 3 * t + 6 * t**2)  # as above, without its cancellation near t = 1
    d_switch = -30 * t**2 * (1 - t) ** 2 / width
    return value * switch, slope * switch + value * d_switch
