"""What the sparse set cannot express of sums and derivatives, with all cross terms between centres.

The residual of a functional a of the local energies is k(a, a) - |psi_a|^2, its exact prior variance less the
part within the model [1]_. For a sum over centres the prior couples all pairs of them, for derivatives too:

    cov(de_i/dx, de_j/dy) = k' (dq_i/dx . dq_j/dy) + sum_ab k_ab (dq_i/dx . a)(b . dq_j/dy),   a, b = q_i, q_j,

k' = dk/d(q_i . q_j) and k_ab the second derivatives by the products that hold a and b; of k(q_i . q_j) alone
only a = q_j, b = q_i is left.

A pair term is a sum over pairs p of fcut(r_p) f(r_p) with one function f whose prior is delta^2 k(r, r'), so
every energy, force and virial is sum_p a_p f(r_p) + b_p f'(r_p), of variance

    delta^2 sum_pq (a_p a_q k + 2 b_p a_q dk/dr_p + b_p b_q d2k/dr_p dr_q),   k = k(r_p, r_q).

Terms are independent a priori: their variances add. Letters: t = functional, p = pair, c = Cartesian, f = feature.

References
----------
.. [1] Quiñonero-Candela, Rasmussen, J. Mach. Learn. Res. 6, 1939 (2005), section 6: FITC and PITC add it to DTC.
"""

import numpy as np
from scipy.sparse import csr_array

from kernelff.assembly import VOIGT
from kernelff.kernels import squares
from kernelff.terms import BasisTerm, PairTerm

_PAIRS_PER_BLOCK = 256  # of rows of the covariance between pairs, which is never held whole


def energy_variance(terms, neighbors):
    """Prior variance of the total energy, eV^2."""
    of_term = {PairTerm: _pair_energy, BasisTerm: _basis_energy}
    return float(sum(of_term.get(type(term), _energy)(term, neighbors) for term in terms))


def derivative_variances(terms, neighbors, combinations):
    """Prior variances of linear combinations of the pair gradients de_i/dr_ij.

    Parameters
    ----------
    terms : list of EnvironmentTerm, PairTerm and BasisTerm
    neighbors : NeighborList
    combinations : sparse array of shape (n_functionals, 3 n_pairs)
        See `force_combinations` and `virial_combinations`.

    Returns
    -------
    ndarray of shape (n_functionals,)

    Notes
    -----
    Holds dq/dr of the whole frame: 24 n_pairs n_features bytes. Time O(n_neighbours^2 n_features) for a force
    component, O(n_atoms^2 n_features) for a virial component; of a pair term O(n_neighbours^2), O(n_pairs^2).
    """
    combinations = csr_array(combinations)
    variances = np.zeros(combinations.shape[0])
    of_term = {PairTerm: _pair_derivatives, BasisTerm: _basis_derivatives}
    for term in terms:
        variances += of_term.get(type(term), _derivatives)(term, neighbors, combinations)
    return np.maximum(variances, 0.0)  # rounding, where symmetry makes them vanish


def force_combinations(neighbors):
    """The forces, row 3 i + c, as combinations of pair gradients: F_i += g, F_j -= g."""
    column = np.arange(3 * neighbors.n_pairs)
    pair, c = column // 3, column % 3
    rows = np.concatenate([3 * neighbors.i[pair] + c, 3 * neighbors.j[pair] + c])
    signs = np.repeat([1.0, -1.0], len(column))
    shape = (3 * neighbors.n_atoms, len(column))
    return csr_array((signs, (rows, np.concatenate([column, column]))), shape=shape)


def virial_combinations(neighbors):
    """The virial -sum_p r_p (x) g_p, components xx yy zz yz xz xy."""
    dense = np.zeros((6, neighbors.n_pairs, 3))
    for row, (a, b) in enumerate(VOIGT):
        dense[row, :, b] = -neighbors.vectors[:, a]
    return csr_array(dense.reshape(6, -1))


def _basis_energy(term, neighbors):
    """Prior variance of the total energy of a BasisTerm."""
    return np.sum((term.values(neighbors)[0].sum(axis=0) * term.stds) ** 2)


def _basis_derivatives(term, neighbors, combinations):
    """Prior variances of the combinations of a BasisTerm's pair gradients."""
    dq_pf = term.descriptor.gradients(neighbors)[1].reshape(-1, term.n_functions)
    return np.sum((combinations @ dq_pf * term.stds) ** 2, axis=1)


def _energy(term, neighbors):
    """Prior variance of the total energy of an EnvironmentTerm."""
    return _coupling(term, neighbors)[1].sum()


def _derivatives(term, neighbors, combinations):
    """Prior variances of the combinations of an EnvironmentTerm's pair gradients."""
    variances = np.zeros(combinations.shape[0])
    q_af, _, first, seconds = _coupling(term, neighbors)
    dq_pf = term.descriptor.gradients(neighbors)[1].reshape(-1, term.descriptor.n_features)
    for t in range(len(variances)):
        columns, factors = _row(combinations, t)
        centres, row = np.unique(neighbors.i[columns // 3], return_inverse=True)
        shape = (len(centres), len(dq_pf))
        dq = csr_array((factors, (row, columns)), shape=shape) @ dq_pf  # of each centre, along the functional
        along = dq @ q_af[centres].T
        own = np.diag(along)
        among = np.ix_(centres, centres)
        variances[t] = np.sum(first[among] * (dq @ dq.T))
        # (dq_i.q_j)(q_i.dq_j), (dq_i.q_j)(q_j.dq_j), (dq_i.q_i)(q_i.dq_j), (dq_i.q_i)(q_j.dq_j)
        shapes = along * along.T, along * own, own[:, None] * along.T, own[:, None] * own
        variances[t] += sum(np.sum(k[among] * shape) for k, shape in zip(seconds, shapes, strict=True) if k is not None)
    return variances


def _coupling(term, neighbors):
    """q_af, and delta^2 k, delta^2 k' and the four delta^2 k_ab of all pairs of centres.

    0 between elements without covariance, None for a k_ab that vanishes everywhere; k_ab in the order of
    `DotProduct.curvatures`.
    """
    q_af = term.descriptor.compute(neighbors)
    n, kernel = neighbors.n_atoms, term.kernel
    k, first = np.zeros((2, n, n))
    seconds = [None] * 4
    for _, centres in term.centres_by_species(neighbors.numbers):
        q, among = q_af[centres], np.ix_(centres, centres)
        products, xx = q @ q.T, squares(q)
        value, slope = kernel.value_and_slope(products, xx, xx)
        k[among], first[among] = term.delta**2 * value, term.delta**2 * slope
        for which, second in enumerate(kernel.curvatures(products, xx, xx)):
            if second is not None:
                seconds[which] = np.zeros((n, n)) if seconds[which] is None else seconds[which]
                seconds[which][among] = term.delta**2 * second
    return q_af, k, first, seconds


def _pair_energy(term, neighbors):
    """Prior variance of the total energy of a PairTerm."""
    pairs = term.descriptor.compute(neighbors)
    return _pair_variance(term, pairs.r, pairs.fcut, np.zeros_like(pairs.r))


def _pair_derivatives(term, neighbors, combinations):
    """Prior variances of the combinations of a PairTerm's pair gradients: d(fcut f)/dr along r_ij."""
    pairs = term.descriptor.compute(neighbors)
    column = 3 * pairs.index[:, None] + np.arange(3)
    instance = np.repeat(np.arange(len(pairs.r)), 3)
    directions = term.descriptor.gradients(neighbors, pairs)
    shape = (combinations.shape[1], len(pairs.r))
    along = csr_array(combinations @ csr_array((directions.ravel(), (column.ravel(), instance)), shape=shape))
    variances = np.zeros(combinations.shape[0])
    for t in range(len(variances)):
        p, factors = _row(along, t)
        variances[t] = _pair_variance(term, pairs.r[p], factors * pairs.dfcut[p], factors * pairs.fcut[p])
    return variances


def _pair_variance(term, r, values, slopes):
    """Prior variance of sum_p values_p f(r_p) + slopes_p f'(r_p)."""
    total = 0.0
    for start in range(0, len(r), _PAIRS_PER_BLOCK):
        p = slice(start, start + _PAIRS_PER_BLOCK)
        k, dk = term.kernel.value_and_slope(r[p], r)
        total += values[p] @ (k @ values) + 2 * slopes[p] @ (dk @ values)
        total += slopes[p] @ (term.kernel.mixed_curvature(r[p], r) @ slopes)
    return term.delta**2 * total


def _row(matrix, t):
    """Columns and values of row t of a sparse matrix."""
    part = slice(matrix.indptr[t], matrix.indptr[t + 1])
    return matrix.indices[part], matrix.data[part]
