"""What the loops for derivatives by radial coefficients work through, made from the tables of a descriptor.

The coefficients c[z_i, z, mu, k] of one centre are columns, in the order z, mu, k. dE/dc needs the adjoints of the
accumulated moments alone; derivatives by positions need the change of these adjoints with every coefficient,
d^2 E / dM_q dc. Forward, the tangents of nodes follow from those of their factors; then those of adjoints:

    N_t = sum w N_a N_b              dN_t = sum w (N_b dN_a + N_a dN_b)
    D_a = sum over uses w D_t N_b    dD_a = sum over uses w (D_t dN_b + N_b dD_t)

Every tangent is thus a sum of earlier ones, each times a weight and one scalar, N or D. A coefficient of f_mu changes
only what depends on moments of mu; few nodes do for the higher mu, and the others are left out.
"""

from collections import defaultdict
from functools import lru_cache

import numpy as np

from kernelff.descriptors.moment_tables import _FEW, _accumulated, _ends


class _Nodes:
    """Which radial functions nodes and their adjoints depend on, and where the nodes are used.

    Attributes
    ----------
    depends, adjoint_depends : list of int
        Bit mu: on the radial function mu.
    uses : list of list of (node, other factor, weight)
    """

    def __init__(self, tables):
        self.first_sum = tables.n_accumulated + 1
        self.n_nodes = self.first_sum + len(tables.sums)
        self.sums = tables.sums
        self.depends = [1 << mu for mu, *_ in _accumulated(tables.degree)] + [0]
        self.uses = [[] for _ in range(self.n_nodes)]
        for t, terms in enumerate(self.sums, self.first_sum):
            bits = 0
            for i, j, weight in terms:
                bits |= self.depends[i] | self.depends[j]
                self.uses[i].append((t, j, weight))
                self.uses[j].append((t, i, weight))
            self.depends.append(bits)
        self.adjoint_depends = [0] * self.n_nodes
        for a in reversed(range(self.n_nodes)):
            for t, other, _ in self.uses[a]:
                self.adjoint_depends[a] |= self.adjoint_depends[t] | self.depends[other]

    def program(self, mus):
        """Tangents by coefficients of the radial functions in the bits `mus`, in the order in which they are made.

        Returns
        -------
        start : list of int
            Accumulated moments whose tangents are given: the first rows.
        rows : list of dict
            Of each further row: (row, scalar) -> weight; scalars are all nodes, then all adjoints.
        support : list of int
            Accumulated moments whose adjoints change; the last rows.
        """
        one = self.first_sum - 1
        start = [q for q in range(one) if self.depends[q] & mus]
        row_of, rows = {q: k for k, q in enumerate(start)}, []
        for t, terms in enumerate(self.sums, self.first_sum):
            if self.depends[t] & mus and self.uses[t]:
                given = [use for i, j, weight in terms for use in ((i, j, weight), (j, i, weight))]
                row_of[t] = len(start) + len(rows)
                rows.append(_sum_of(row_of, given))
        changed = [a for a in reversed(range(self.n_nodes)) if self.adjoint_depends[a] & mus and a != one]
        support = sorted(a for a in changed if a < one)
        n = self.n_nodes
        for a in [a for a in changed if a > one] + support:
            given = [use for t, b, weight in self.uses[a] for use in ((b, n + t, weight), (n + t, b, weight))]
            row_of[n + a] = len(start) + len(rows)
            rows.append(_sum_of(row_of, given))
        return start, rows, support


def _sum_of(row_of, given):
    """(row, scalar) -> weight of those (node or adjoint, scalar, weight) whose tangent is not zero."""
    merged = defaultdict(float)
    for name, scalar, weight in given:
        if name in row_of:
            merged[row_of[name], scalar] += weight
    return merged


@lru_cache(_FEW)
def tangent_tables(tables, n_species, n_beta, width, lanes):
    """Tables of ext/moments.h for derivatives by coefficients.

    Parameters
    ----------
    tables : LoopTables
    n_species, n_beta : int
    width : int
        Columns that are worked through together: a panel, a multiple of `lanes`.
    lanes : int

    Returns
    -------
    dict of arrays
    """
    n_mu = len(tables.degree)
    n_columns = n_species * n_mu * n_beta
    n_panels = -(-n_columns // width)
    columns = np.full((n_panels * width, 3), -1)
    columns[:n_columns] = np.stack(np.unravel_index(np.arange(n_columns), (n_species, n_mu, n_beta)), axis=1)
    panel_mus = [
        sum(1 << mu for mu in {int(mu) for mu in panel if mu >= 0}) for panel in columns[:, 1].reshape(-1, width)
    ]
    different = sorted(set(panel_mus))
    nodes = _Nodes(tables)
    programs = [nodes.program(mus) for mus in different]
    panel_program = [different.index(mus) for mus in panel_mus]
    supports = [programs[panel_program[first // width]][2] for first in range(0, n_columns, lanes)]
    rows = [row for _, rows, _ in programs for row in rows]
    entries = np.array([(*key, weight) for row in rows for key, weight in row.items()], dtype=float).reshape(-1, 3)
    side = max(tables.degree) + 1
    monomials = {abc: k for k, (_, *abc) in enumerate(map(tuple, _accumulated((side - 1,)))) for abc in [tuple(abc)]}
    return {
        "columns": columns,
        "panel_program": panel_program,
        "first_start": _ends([start for start, _, _ in programs]),
        "start": np.concatenate([start for start, _, _ in programs]),
        "first_row": _ends([rows for _, rows, _ in programs]),
        "first_entry": _ends(rows),
        "entries": entries[:, :2],
        "entry_weights": entries[:, 2],
        "first_support": _ends(supports),
        "support": np.concatenate(supports),
        "moment_mu": [mu for mu, *_ in _accumulated(tables.degree)],
        "moment_monomial": [monomials[tuple(abc)] for _, *abc in _accumulated(tables.degree)],
    }
