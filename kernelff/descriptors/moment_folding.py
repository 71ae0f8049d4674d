"""What compiled moment tensor potentials work through: contraction tables with the linear weights folded in.

Scalars that only enter the energy are no nodes: their products are terms of the energy, each with one weight, and
scalars of weight zero vanish with all that only they need. Energy and adjoints are sums of products of two arrays,

    node_t = sum_p w_p node_a node_b,    adjoint_a = sum_p w_p adjoint_t node_b,

where the energy counts as a node with adjoint 1; ext/moments_potential.h describes the tables.
"""

from collections import defaultdict
from itertools import groupby
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols
from numpy.polynomial.chebyshev import chebder

from kernelff.descriptors.moment_tables import accumulated_moments

TOGETHER = 4  # SUMS_TOGETHER of moments_potential.h
_ENERGIES = 4  # partial sums of the energy


class FoldedProgram(NamedTuple):
    """The sums that are left. Nodes as in LoopTables, the energy is node -1.

    Attributes
    ----------
    sums : dict
        Node -> {(left, right): weight}, in order.
    energy : dict
        {(left, right): weight}.
    """

    sums: dict
    energy: dict


def folded(tables, weights):
    """Fold linear weights (n_scalars,) into the sums of a LoopTables."""
    one, energy = tables.n_accumulated, defaultdict(float)
    for node, weight in zip(tables.scalars, weights, strict=True):
        energy[min(one, node), max(one, node)] += weight
    energy = {key: weight for key, weight in energy.items() if weight != 0}
    sums, factors = {}, set()  # factors: nodes that a product of two needs
    for k in reversed(range(len(tables.sums))):
        node, terms = one + 1 + k, tables.sums[k]
        if node in factors:
            sums[node] = {(i, j): w for i, j, w in terms if w != 0}
            factors.update(n for i, j, _ in terms for n in (i, j))
        elif (one, node) in energy:
            weight = energy.pop((one, node))
            for i, j, w in terms:
                energy[i, j] = energy.get((i, j), 0.0) + weight * w
            factors.update(n for i, j, _ in terms if one not in (i, j) for n in (i, j))
    return FoldedProgram(dict(reversed(sums.items())), energy)


def potential_tables(tables, weights, coefficients, lengths, species, lanes, dtype, rows=False):
    """Everything that a moments_potential holds, by name.

    Parameters
    ----------
    tables : LoopTables
    weights : ndarray of shape (n_scalars,)
        eV.
    coefficients : ndarray of shape (n_species, n_species, n_mu, n_beta)
    lengths : tuple of float
        min_dist and cutoff, Å, and the scaling of the radial functions.
    species : tuple of int, or None
    lanes : int
        Numbers that the loops take together.
    dtype : numpy dtype
        Of the loops, float64 or float32.
    rows : bool
        Also what makes the scalars themselves.

    Returns
    -------
    dict of arrays and numbers

    Raises
    ------
    ValueError
        If weights or radial coefficients are too large for float32.
    """
    min_dist, cutoff, scaling = lengths
    order = sorted((mu for mu, n in enumerate(tables.degree) if n >= 0), key=lambda mu: -tables.degree[mu])
    degree = [tables.degree[mu] for mu in order]
    highest = max(n + 2 * rank for rank, n in enumerate(degree))
    n_mu = highest // 2 + 1
    sums = _Numbered(tables, folded(tables, weights), order, highest)
    found = {
        "elements": _elements(species),
        "n_species": len(coefficients),
        "n_beta": coefficients.shape[3],
        "highest": highest,
        "degree": np.array(degree + [-1] * (n_mu - len(degree)), dtype=np.int32),
        "radial": _radial(scaling * coefficients[:, :, order], n_mu, 2.0 / (cutoff - min_dist), lanes, dtype),
        "cutoff": cutoff,
        "min_dist": min_dist,
        "one": sums.one,
        "n_energies": _ENERGIES,
        "n_nodes": sums.n_nodes,
        "energy": sums.energy,
        "n_adjoints": sums.n_adjoints,
        **_named("nodes", sums.forward(), lanes, dtype),
        **_named("adjoints", sums.reverse(), lanes, dtype),
    }
    if rows:
        found |= _row_tables(tables, order, highest, lanes, dtype)
    if dtype == np.float32:
        _require_finite(found)
    return found


def _row_tables(tables, order, highest, lanes, dtype):
    """Sums of all scalars, and their nodes."""
    first = tables.n_accumulated + 1
    sums = {first + k: {(i, j): w for i, j, w in terms} for k, terms in enumerate(tables.sums)}
    numbered = _Numbered(tables, FoldedProgram(sums, {}), order, highest)
    return {
        "functions": np.array([numbered.node[scalar] for scalar in tables.scalars], dtype=np.int32),
        "n_row_nodes": numbered.n_nodes,
        **_named("rows", numbered.forward(), lanes, dtype),
    }


class _Numbered:
    """Places of nodes and of adjoints, and the sums in terms of them."""

    def __init__(self, tables, program, order, highest):
        self.program, old_one = program, tables.n_accumulated
        rank = {mu: k for k, mu in enumerate(order)}
        by_moment = {moment: k for k, moment in enumerate(_accumulation_order(highest))}
        moments = [(rank.get(mu), a, b, s) for mu, a, b, s in accumulated_moments(tables.degree)]
        self.node = {old: by_moment[moment] for old, moment in enumerate(moments)}
        self.one = self.node[old_one] = len(by_moment)
        self.depth = _depths(program.sums, old_one)
        ordered = _in_groups(program.sums, self.depth, {n: len(terms) for n, terms in program.sums.items()})
        first = self.one + 1
        self.node |= {node: first + k for k, node in enumerate(ordered) if node is not None}
        self.sums_in_order, self.n_nodes = ordered, first + len(ordered) + _ENERGIES
        by_horner = {moment: k for k, moment in enumerate(_horner_order([tables.degree[mu] for mu in order]))}
        self.adjoint = {old: by_horner[moment] for old, moment in enumerate(moments)}
        self.energy = len(by_horner)
        self.adjoint |= {node: self.energy + 1 + k for k, node in enumerate(program.sums)}
        self.spare = self.energy + 1 + len(program.sums)  # where sums that fill a group go
        self.n_adjoints, self.old_one = self.spare + 1, old_one

    def forward(self):
        """Runs of (targets, terms) that make the nodes and then the energies."""
        first, sums = self.one + 1, []
        for k, node in enumerate(self.sums_in_order):
            terms = {} if node is None else self.program.sums[node]
            sums.append((first + k, [(self.node[i], self.node[j], w) for (i, j), w in terms.items()]))
        energy = [(self.node[i], self.node[j], w) for (i, j), w in self.program.energy.items()]
        sums += [(self.n_nodes - _ENERGIES + k, energy[k::_ENERGIES]) for k in range(_ENERGIES)]
        return [sums[k : k + TOGETHER] for k in range(0, len(sums), TOGETHER)], (self.one, self.one)

    def reverse(self):
        """Runs of (targets, terms) that make the adjoints, those of later nodes first."""
        terms, one = defaultdict(list), self.old_one
        for target, products in [(None, self.program.energy), *self.program.sums.items()]:
            above = self.energy if target is None else self.adjoint[target]
            for (i, j), w in products.items():
                for own, other, weight in ((i, j, w), (j, i, w)) if i != j else ((i, i, 2.0 * w),):
                    if own != one:
                        terms[own].append((above, self.node[other], weight))
        depth = {node: -self.depth.get(node, 0) for node in self.adjoint}
        ordered = _in_groups(self.adjoint, depth, {node: len(terms[node]) for node in self.adjoint})
        sums = [(self.spare, []) if n is None else (self.adjoint[n], sorted(terms[n])) for n in ordered]
        return [sums[k : k + TOGETHER] for k in range(0, len(sums), TOGETHER)], (self.energy, self.one)


def _depths(sums, one):
    """How many sums stand one upon another in each, 1 for sums of products of moments."""
    depth = {}
    for node, terms in sums.items():
        depth[node] = 1 + max((depth.get(n, 0) for key in terms for n in key), default=0)
    return depth


def _in_groups(nodes, depth, length):
    """The nodes by depth, then by length, with None where a group of TOGETHER is not full."""
    ordered = []
    by_depth = sorted(nodes, key=lambda node: (depth[node], length[node]))
    for _, same in groupby(by_depth, key=lambda node: depth[node]):
        ordered += same
        ordered += [None] * (-len(ordered) % TOGETHER)
    return ordered


def _named(name, groups_and_filling, lanes, dtype):
    """Tables of product_sums; sums of a group are filled up with products of weight 0 of two nodes that are 1."""
    groups, (left, right) = groups_and_filling
    lengths = [max(len(terms) for _, terms in group) for group in groups]
    filled = [
        [terms + [(left, right, 0.0)] * (length - len(terms)) for _, terms in group]
        for group, length in zip(groups, lengths, strict=True)
    ]
    rows = [term for group in filled for products in zip(*group, strict=True) for term in products]
    rows = np.array(rows, dtype=float).reshape(-1, 3)
    return {
        f"{name}.runs": np.array([(n, len(list(same))) for n, same in groupby(lengths)], dtype=np.int32),
        f"{name}.targets": np.array([target for group in groups for target, _ in group], dtype=np.int32),
        f"{name}.factors": (rows[:, :2] * (lanes * np.dtype(dtype).itemsize)).astype(np.uint32),
        f"{name}.weights": _cast(rows[:, 2], dtype),
    }


def _require_finite(tables):
    """Refuse float32 that overflowed."""
    for name in ("radial", "nodes.weights", "adjoints.weights"):
        if not np.isfinite(tables[name]).all():
            raise ValueError(f'precision: {name} are beyond the range of single precision. Use precision="double".')


def _radial(coefficients, n_mu, slope, lanes, dtype):
    """Coefficients of P_mu and dP_mu/dr, P_mu = f_mu / (cutoff - r)^2, in blocks of `lanes`."""
    n, _, known, n_beta = coefficients.shape
    n_blocks = -(-2 * n_mu // lanes)
    wide = np.zeros((n, n, n_blocks * lanes, n_beta))
    wide[:, :, 0 : 2 * known : 2] = coefficients
    if n_beta > 1:
        wide[:, :, 1 : 2 * known : 2, :-1] = slope * chebder(coefficients, axis=3)
    blocks = wide.reshape(n, n, n_blocks, lanes, n_beta)
    return _cast(np.swapaxes(blocks, 3, 4), dtype)


def _cast(array, dtype):
    """C-contiguous and of a type, infinite where that is too small."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=dtype)


def _accumulation_order(highest):
    """(rank of mu, a, b, s) as the loops accumulate them."""
    return [
        (rank, a, b, s)
        for s in range(min(1, highest) + 1)
        for b in range(highest - s + 1)
        for a in range(highest - s - b + 1)
        for rank in range((highest - s - b - a) // 2 + 1)
    ]


def _horner_order(degree):
    """(rank of mu, a, b, s) as Horner's rule takes them."""
    return [
        (rank, a, b, s)
        for rank, n in enumerate(degree)
        for b in range(n, -1, -1)
        for s in (0, 1)
        for a in range(n - s - b, -1, -1)
    ]


def _elements(species):
    """Place of every element among the species, -1 for the others; all 0 for None."""
    if species is None:
        return np.zeros(len(chemical_symbols), dtype=np.int32)
    places = np.full(len(chemical_symbols), -1, dtype=np.int32)
    places[list(species)] = np.arange(len(species))
    return places
