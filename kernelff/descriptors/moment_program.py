"""Contraction of moment tensors as a flat table of products.

The tensors of a graph are contracted two at a time. Two of them, 1 and 2, leave an open tensor

    X[rho, upsilon] = sum_alpha C(alpha) T1[alpha + ..] T2[alpha + ..]

with the indices rho that go to one further vertex and upsilon that go to another. Moments are symmetric,
so indices that go to the same vertex are counted, not listed: a multi-index (a, b, c) stands for a x, b y and c z in
any order, of which there are C = (a + b + c)! / (a! b! c!). Open tensors and their components are shared by all
scalars, and of the ways to contract a graph the one is taken that adds the fewest products to what is there.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache, lru_cache, reduce
from itertools import chain, combinations, product
from math import factorial, prod
from typing import NamedTuple

import numpy as np

from kernelff.descriptors.moment_graphs import Graph, canonical

_FEW = 16  # programs of the highest levels take some megabytes
_PASSES = 3  # over all graphs, to choose ways of contraction that share most


class ContractionProgram(NamedTuple):
    """Nodes are numbered: first the basic moments, then one for every `target` of the products, in order.

    A product adds ``coefficient * node[left] * node[right]`` to its target. This is also what
    ``alpha_index_basic``, ``alpha_index_times`` and ``alpha_moment_mapping`` of an .mtp file say.

    Attributes
    ----------
    basic : ndarray of shape (n_basic, 4)
        mu, a, b, c of sum_j f_mu(r_j) x^a y^b z^c / r^(a+b+c).
    products : ndarray of shape (n_products, 4)
        left, right, coefficient, target; sorted by target.
    scalars : ndarray of shape (n_scalars,)
        Their nodes.
    """

    basic: np.ndarray
    products: np.ndarray
    scalars: np.ndarray

    @property
    def n_nodes(self):
        return int(max(self.products[:, [0, 1, 3]].max(initial=-1), self.scalars.max(), len(self.basic) - 1)) + 1


@lru_cache(_FEW)
def contraction_program(graphs):
    """The program whose scalars are those of a tuple of graphs, in their order."""
    pieces = {part for graph in graphs for part in _parts(graph)}
    ways = _chosen_ways(sorted(pieces, key=lambda piece: (piece.level, piece)))
    moments = sorted({vertex for piece in pieces for vertex in _vertices(piece)})
    nodes = _Nodes([(mu, *abc) for mu, nu in moments for abc in multi_indices(nu)])
    return nodes.program([nodes.scalar(graph, ways) for graph in graphs])


# ---- ways to contract a graph ---------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Moment:
    """M_mu,nu; all its indices are one group."""

    mu: int
    nu: int

    parts = ()
    sizes = property(lambda self: (self.nu, 0))
    weighted = (False, False)
    cost = 0


@dataclass(frozen=True, order=True)
class Pair:
    """Two moments, m indices contracted; the others go to two groups, groups[g] = (from one, from two).

    Components of a group that both feed carry the weights C of both.
    """

    one: Moment
    two: Moment
    m: int
    groups: tuple

    parts = property(lambda self: (self.one, self.two))
    sizes = property(lambda self: tuple(map(sum, self.groups)))
    weighted = property(lambda self: tuple(all(group) for group in self.groups))
    cost = property(lambda self: _n(self.m) * _n(*(part for group in self.groups for part in group)))


@dataclass(frozen=True, order=True)
class Triple:
    """A pair whose first group is contracted with a moment; what remains of both is one group."""

    pair: Pair
    moment: Moment

    parts = property(lambda self: (self.pair, self.moment))
    rest = property(lambda self: self.moment.nu - self.pair.sizes[0])
    sizes = property(lambda self: (self.pair.sizes[1] + self.rest, 0))
    cost = property(lambda self: _n(*self.pair.sizes, self.rest))

    @property
    def weighted(self):
        both = self.pair.sizes[1] > 0 and self.rest > 0
        return (both or self.pair.weighted[1], False)


@dataclass(frozen=True, order=True)
class Dot:
    """Full contraction of two tensors with equal groups."""

    left: Pair | Triple | Moment
    right: Pair | Moment

    parts = property(lambda self: (self.left, self.right))
    cost = property(lambda self: _n(*self.left.sizes))


def _chosen_ways(graphs):
    """The way to contract each connected graph; few products in all."""
    listed = {graph: {way: _tensors(way) for way in _ways(graph)} for graph in graphs}
    users, chosen = Counter(), {}
    for _ in range(_PASSES):
        for graph, ways in listed.items():
            if graph in chosen:
                users.subtract(ways[chosen[graph]])
            chosen[graph] = min(ways, key=lambda way: sum(t.cost for t in ways[way] if users[t] <= 0))
            users.update(ways[chosen[graph]])
    return chosen


def _tensors(way):
    """A tensor and all that it is made of."""
    return frozenset([way]).union(*map(_tensors, way.parts))


def _ways(graph):
    """All ways to contract a connected graph two tensors at a time, adjacent ones first."""
    vertices, n = [Moment(*vertex) for vertex in _vertices(graph)], len(graph.mus)
    if n == 1:
        return [vertices[0]]
    if n == 2:
        return [Dot(*vertices)]
    ways = []
    for one, two in combinations(range(n), 2):
        if graph.edge(one, two):
            others = [v for v in range(n) if v not in (one, two)]
            ways += _ways_from(graph, vertices, one, two, others)
    return list(dict.fromkeys(ways))


def _ways_from(graph, vertices, one, two, others):
    """Ways that begin with the vertices one and two."""
    groups = [(graph.edge(one, v), graph.edge(two, v)) for v in others]
    three = vertices[others[0]]
    if len(others) == 1:
        return [Dot(_pair(vertices[one], vertices[two], graph.edge(one, two), (groups[0], (0, 0))), three)]
    ways = []
    for order in ((0, 1), (1, 0)):  # which of the others comes next
        v, w = (others[k] for k in order)
        pair = _pair(vertices[one], vertices[two], graph.edge(one, two), tuple(groups[k] for k in order))
        ways.append(Dot(Triple(pair, vertices[v]), vertices[w]))
        rho, upsilon = pair.sizes
        ways.append(Dot(pair, Pair(vertices[v], vertices[w], graph.edge(v, w), ((rho, 0), (0, upsilon)))))
    return ways


def _pair(one, two, m, groups):
    """The same pair, whichever moment is named first."""
    return min(Pair(one, two, m, groups), Pair(two, one, m, tuple(group[::-1] for group in groups)))


def _vertices(graph):
    return list(zip(graph.mus, graph.nus, strict=True))


def _parts(graph):
    """Connected pieces of a graph, in canonical form."""
    pieces = []
    for v in range(len(graph.mus)):
        touched = [piece for piece in pieces if any(graph.edge(u, v) for u in piece)]
        pieces = [piece for piece in pieces if piece not in touched] + [sorted([v, *chain(*touched)])]
    parts = []
    for piece in pieces:
        edges = tuple(graph.edge(a, b) for a, b in combinations(piece, 2))
        parts.append(canonical(Graph(tuple(graph.mus[v] for v in piece), edges)))
    return sorted(parts)


# ---- components -----------------------------------------------------------------------------------


class _Nodes:
    """Nodes of a program under construction; equal sums of products are one node."""

    def __init__(self, basic):
        self.basic = basic
        self.index = {moment: k for k, moment in enumerate(basic)}
        self.sums = {}  # terms -> node
        self.tensors = {}

    def scalar(self, graph, ways):
        """Node of a scalar: the product of its pieces."""
        pieces = [self.piece(ways[part]) for part in _parts(graph)]
        return reduce(lambda one, other: self.add({(min(one, other), max(one, other)): 1}), pieces)

    def piece(self, way):
        """Node of a connected scalar."""
        return self.index[way.mu, 0, 0, 0] if isinstance(way, Moment) else self.add(self.dot(way))

    def add(self, terms):
        """Node of sum of coefficient * left * right, `terms` {(left, right): coefficient} with left <= right."""
        key = tuple(sorted(terms.items()))
        return self.sums.setdefault(key, len(self.basic) + len(self.sums))

    def components(self, tensor):
        """Nodes of a tensor's components: {(rho, upsilon): node}."""
        if tensor not in self.tensors:
            if isinstance(tensor, Moment):
                found = {(rho, _NONE): self.index[(tensor.mu, *rho)] for rho in multi_indices(tensor.nu)}
            else:
                sums = defaultdict(Counter)
                for component, left, right, coefficient in (
                    self.pair_terms(tensor) if isinstance(tensor, Pair) else self.triple_terms(tensor)
                ):
                    sums[component][min(left, right), max(left, right)] += coefficient
                found = {component: self.add(terms) for component, terms in sums.items()}
            self.tensors[tensor] = found
        return self.tensors[tensor]

    def pair_terms(self, pair):
        """Yield (component, left, right, coefficient)."""
        one, two = self.components(pair.one), self.components(pair.two)
        (r1, r2), (u1, u2) = ([multi_indices(n) for n in group] for group in pair.groups)
        weigh_rho, weigh_upsilon = pair.weighted
        for a, r, s, u, v in product(multi_indices(pair.m), r1, r2, u1, u2):
            weight = _count(a) * (_count(r) * _count(s) if weigh_rho else 1)
            weight *= _count(u) * _count(v) if weigh_upsilon else 1
            yield (_sum(r, s), _sum(u, v)), one[_sum(a, r, u), _NONE], two[_sum(a, s, v), _NONE], weight

    def triple_terms(self, triple):
        pair, moment = self.components(triple.pair), self.components(triple.moment)
        known_rho, known_upsilon = triple.pair.weighted
        weigh = triple.weighted[0]
        for (rho, upsilon), node in pair.items():
            weight = 1 if known_rho else _count(rho)
            weight *= _count(upsilon) if weigh and not known_upsilon else 1
            for t in multi_indices(triple.rest):
                yield (_sum(upsilon, t), _NONE), node, moment[_sum(rho, t), _NONE], weight * (_count(t) if weigh else 1)

    def dot(self, way):
        """Terms of a full contraction."""
        left, right = self.components(way.left), self.components(way.right)
        known = [a or b for a, b in zip(way.left.weighted, way.right.weighted, strict=True)]
        terms = Counter()
        for groups, node in left.items():
            weight = prod(1 if k else _count(group) for k, group in zip(known, groups, strict=True))
            terms[min(node, right[groups]), max(node, right[groups])] += weight
        return terms

    def program(self, scalars):
        """Everything as arrays."""
        first = len(self.basic)
        rows = [(i, j, c, first + k) for k, terms in enumerate(self.sums) for (i, j), c in terms]
        basic, products = np.array(self.basic).reshape(-1, 4), np.array(rows, dtype=np.int64).reshape(-1, 4)
        return ContractionProgram(basic, products, np.array(scalars))


_NONE = (0, 0, 0)


@cache
def multi_indices(n):
    """(a, b, c) with a + b + c = n."""
    return tuple((a, b, n - a - b) for a in range(n, -1, -1) for b in range(n - a, -1, -1))


def _n(*sizes):
    """Number of components of groups of such sizes."""
    count = 1
    for n in sizes:
        count *= (n + 1) * (n + 2) // 2
    return count


@cache
def _count(abc):
    """Number of orders of a x, b y and c z."""
    return factorial(sum(abc)) // prod(map(factorial, abc))


def _sum(*indices):
    return tuple(map(sum, zip(*indices, strict=True)))
