"""What the compiled loops of moment tensors work through, made from a contraction program."""

from functools import lru_cache

import numpy as np

from kernelff.descriptors.moment_program import contraction_program

_FEW = 16


class LoopTables:
    """Tables of ext/moments.h for one program.

    Basic moments with powers of z above 1 become sums: z^2 = 1 - x^2 - y^2 on unit vectors. Then products of
    the same two nodes are one product, equal sums are one node, and what no scalar needs is left out.

    Attributes
    ----------
    degree : tuple of int
        Highest nu of each mu; -1 for a mu without moments.
    n_accumulated : int
        Moments that are summed over neighbours; node `n_accumulated` is the number 1.
    sums : list of tuple of (left, right, weight)
        Terms of every further node.
    scalars : list of int
        Nodes.
    """

    def __init__(self, program):
        basic = [tuple(row) for row in program.basic.tolist()]
        n_mu = 1 + max(mu for mu, *_ in basic)
        self.degree = tuple(max((sum(abc) for m, *abc in basic if m == mu), default=-1) for mu in range(n_mu))
        accumulated = accumulated_moments(self.degree)
        self.n_accumulated = len(accumulated)
        self._index = {moment: node for node, moment in enumerate(accumulated)}
        self.sums, self._found = [], {}
        node = [self._moment(moment) for moment in basic]
        for terms in _grouped(program, len(basic)):
            node.append(self._add([(node[i], node[j], float(c)) for i, j, c in terms]))
        self.scalars = [node[k] for k in program.scalars]
        self._drop_unused()

    def arrays(self, lanes):
        """The tables by name, with scalars in blocks of `lanes`."""
        needed = [self._needed(bits) for bits in self._needs()]
        sums = [nodes[nodes > self.n_accumulated][::-1] for nodes in needed]
        moments = [nodes[nodes < self.n_accumulated] for nodes in needed]
        support, places, size = [], [], 0
        for begin in range(0, len(moments), lanes):
            block = moments[begin : begin + lanes]
            support.append(np.unique(np.concatenate(block)))
            places += [(size + np.searchsorted(support[-1], own)) * lanes + k for k, own in enumerate(block)]
            size += len(support[-1])
        terms = np.array([term for terms in self.sums for term in terms], dtype=float).reshape(-1, 3)
        return {
            "degree": self.degree,
            "first_product": ends(self.sums),
            "factors": terms[:, :2],
            "weights": terms[:, 2],
            "scalars": self.scalars,
            "first_sum": ends(sums),
            "sums": np.concatenate(sums),
            "first_moment": ends(moments),
            "moments": np.concatenate(moments),
            "places": np.concatenate(places),
            "first_support": ends(support),
            "support": np.concatenate(support),
        }

    def _moment(self, moment):
        """Node of a basic moment, by z^c = z^(c-2) (1 - x^2 - y^2)."""
        mu, a, b, c = moment
        if moment not in self._index:
            less = [(mu, a, b, c - 2), (mu, a + 2, b, c - 2), (mu, a, b + 2, c - 2)]
            one = self.n_accumulated
            terms = [(self._moment(m), one, sign) for m, sign in zip(less, (1.0, -1.0, -1.0), strict=True)]
            self._index[moment] = self._add(terms)
        return self._index[moment]

    def _add(self, terms):
        """Node of a sum of products."""
        merged = {}
        for i, j, weight in terms:
            key = (min(i, j), max(i, j))
            merged[key] = merged.get(key, 0.0) + weight
        key = tuple((i, j, weight) for (i, j), weight in sorted(merged.items()))
        if key not in self._found:
            self._found[key] = self.n_accumulated + 1 + len(self.sums)
            self.sums.append(key)
        return self._found[key]

    def _drop_unused(self):
        first, used = self.n_accumulated + 1, set(self.scalars)
        for k in reversed(range(len(self.sums))):
            if first + k in used:
                used.update(node for i, j, _ in self.sums[k] for node in (i, j))
        kept = [k for k in range(len(self.sums)) if first + k in used]
        new = {first + k: first + n for n, k in enumerate(kept)}
        self.sums = [tuple((new.get(i, i), new.get(j, j), w) for i, j, w in self.sums[k]) for k in kept]
        self.scalars = [new.get(k, k) for k in self.scalars]

    def _needs(self):
        """For every scalar the nodes that it depends on and itself, as bits of a whole number."""
        needs = [1 << k for k in range(self.n_accumulated)] + [0]
        for k, terms in enumerate(self.sums):
            bits = 1 << (self.n_accumulated + 1 + k)
            for i, j, _ in terms:
                bits |= needs[i] | needs[j]
            needs.append(bits)
        return [needs[k] for k in self.scalars]

    def _needed(self, bits):
        """Nodes whose bits are set, ascending."""
        n = -(-(self.n_accumulated + 1 + len(self.sums)) // 8)
        return np.flatnonzero(np.unpackbits(np.frombuffer(bits.to_bytes(n, "little"), np.uint8), bitorder="little"))


@lru_cache(_FEW)
def graph_tables(graphs, lanes):
    """`LoopTables` of a tuple of graphs and its arrays; made once."""
    tables = LoopTables(contraction_program(graphs))
    return tables, tables.arrays(lanes)


def accumulated_moments(degree):
    """(mu, a, b, s) in the order of moments.h."""
    return [
        (mu, a, b, s)
        for mu, highest in enumerate(degree)
        for s in (0, 1)
        for b in range(highest - s + 1)
        for a in range(highest - s - b + 1)
    ]


def _grouped(program, n_basic):
    """Terms (left, right, coefficient) of every node after the basic ones, in order."""
    groups = [[] for _ in range(program.n_nodes - n_basic)]
    for i, j, c, k in program.products.tolist():
        groups[k - n_basic].append((i, j, c))
    return groups


def ends(lists):
    """Where each of some lists begins in their concatenation, and its end."""
    return np.cumsum([0] + [len(entries) for entries in lists])
