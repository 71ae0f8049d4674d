"""The scalars of moment tensor potentials as graphs.

A vertex of colour mu and degree nu is the moment tensor M_mu,nu = sum_j f_mu(r_j) n_j (x) ... (x) n_j of rank nu, an
edge of multiplicity m contracts m indices of its two tensors:

    B_G = sum_{j1..jk} prod_v f_mu_v(r_jv) prod_edges (n_ja . n_jb)^m_ab

No edge joins a vertex to itself, for a trace of M_mu,nu is M_mu,nu-2; graphs in several pieces are products of scalars.

References
----------
.. [1] Shapeev, Multiscale Model. Simul. 14, 1153 (2016), doi:10.1137/15M1054183
.. [2] Novikov, Gubaev, Podryabinkin, Shapeev, Mach. Learn.: Sci. Technol. 2, 025002 (2021),
   doi:10.1088/2632-2153/abc9fe
"""

from functools import cache
from itertools import combinations, combinations_with_replacement, permutations
from typing import NamedTuple

from kernelff.descriptors.base import is_whole, require

HIGHEST_LEVEL = 28
_MOST_VERTICES, _HIGHEST_MU, _HIGHEST_NU = 4, 5, 10  # of the standard templates


class Graph(NamedTuple):
    """One scalar.

    Attributes
    ----------
    mus : tuple of int
        Colour of each vertex, descending.
    edges : tuple of int
        Multiplicity of the edges (0, 1), (0, 2), .. of `vertex_pairs`.
    """

    mus: tuple
    edges: tuple

    @property
    def nus(self):
        """Degree of each vertex: the rank of its moment tensor."""
        joined = zip(self.edges, vertex_pairs(len(self.mus)), strict=True)
        nus = [0] * len(self.mus)
        for m, (a, b) in joined:
            nus[a] += m
            nus[b] += m
        return tuple(nus)

    @property
    def level(self):
        """Sum of 2 + 4 mu + nu over the vertices."""
        return sum(2 + 4 * mu for mu in self.mus) + 2 * sum(self.edges)

    def edge(self, a, b):
        """Multiplicity of the edge between two vertices."""
        return self.edges[vertex_pairs(len(self.mus)).index((min(a, b), max(a, b)))]


def checked_graph(mus, edges):
    """The graph of plain lists.

    Raises
    ------
    ValueError
        Unless it is one of `scalar_graphs(HIGHEST_LEVEL)`.
    """
    graph = Graph(tuple(mus), tuple(edges))
    valid = all(is_whole(n) and 0 <= n <= HIGHEST_LEVEL for n in (*graph.mus, *graph.edges))
    valid = valid and 1 <= len(graph.mus) <= _MOST_VERTICES and len(graph.edges) == len(vertex_pairs(len(graph.mus)))
    valid = valid and graph.mus[0] <= _HIGHEST_MU and list(graph.mus) == sorted(graph.mus, reverse=True)
    valid = valid and max(graph.nus) <= _HIGHEST_NU and graph.level <= HIGHEST_LEVEL and canonical(graph) == graph
    rule = f"a canonical graph of up to {_MOST_VERTICES} vertices and level {HIGHEST_LEVEL}"
    require(valid, "graph", (list(mus), list(edges)), rule)
    return graph


@cache
def vertex_pairs(n_vertices):
    """Pairs (a, b), a < b, in the order of `Graph.edges`."""
    return tuple(combinations(range(n_vertices), 2))


@cache
def scalar_graphs(level):
    """One graph of every scalar up to a level.

    Those with up to 4 vertices, mu <= 5, nu <= 10, as in the standard templates of MLIP; one of every class of
    isomorphic graphs. Sorted by their tensors, the largest first, so that neighbours in the
    list have most tensors in common: rows of derivatives are made for a few scalars at a time.

    Parameters
    ----------
    level : int
        Even, 2 to 28.

    Returns
    -------
    tuple of Graph
    """
    graphs = [graph for k in range(1, _MOST_VERTICES + 1) for graph in _graphs(k, level)]
    return tuple(sorted(graphs, key=lambda graph: sorted(set(zip(graph.nus, graph.mus, strict=True)), reverse=True)))


def _graphs(n_vertices, level):
    """Yield the graphs with some number of vertices."""
    n_edges = len(vertex_pairs(n_vertices))
    for mus in combinations_with_replacement(range(_HIGHEST_MU, -1, -1), n_vertices):
        left = (level - sum(2 + 4 * mu for mu in mus)) // 2
        for n in range(left + 1):
            for edges in _compositions(n, n_edges):
                graph = Graph(mus, edges)
                if max(graph.nus) <= _HIGHEST_NU and canonical(graph) == graph:
                    yield graph


def canonical(graph):
    """The one of all isomorphic graphs that stands for them; the colours must be in descending order."""
    return Graph(graph.mus, max(tuple(graph.edges[e] for e in order) for order in _relabellings(graph.mus)))


@cache
def _relabellings(mus):
    """Orders that permutations of vertices of the same colour put the edges into."""
    pairs = vertex_pairs(len(mus))
    orders = set()
    for p in permutations(range(len(mus))):
        if all(mus[v] == mus[image] for v, image in enumerate(p)):
            orders.add(tuple(pairs.index((min(p[a], p[b]), max(p[a], p[b]))) for a, b in pairs))
    return orders


def _compositions(total, n_parts):
    """Yield the tuples of `n_parts` whole numbers >= 0 whose sum is `total`."""
    if n_parts <= 1:
        if n_parts == 1 or total == 0:
            yield (total,) * n_parts
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, n_parts - 1):
            yield (first, *rest)
