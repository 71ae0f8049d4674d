"""What the sparse set cannot express of sums and derivatives, with all cross terms between centres.

The residual of a functional a of the local energies is k(a, a) - |psi_a|^2, its exact prior variance less the
part within the model [1]_. For a sum over centres the prior couples all pairs of them, for derivatives too:

    cov(de_i/dx, de_j/dy) = k'' (dq_i/dx . q_j)(q_i . dq_j/dy) + k' (dq_i/dx . dq_j/dy),   k = k(q_i . q_j).

Letters: t = functional, p = pair, c = Cartesian, f = feature.

References
----------
.. [1] Quiñonero-Candela, Rasmussen, J. Mach. Learn. Res. 6, 1939 (2005), section 6: FITC and PITC add it to DTC.
"""

import numpy as np
from scipy.sparse import csr_array

from kernelff.assembly import VOIGT
from kernelff.terms import EnvironmentTerm


def energy_variance(terms, neighbors):
    """Prior variance of the total energy, eV^2."""
    _require_environments(terms)
    return float(sum(_coupling(term, neighbors)[1].sum() for term in terms))


def derivative_variances(terms, neighbors, combinations):
    """Prior variances of linear combinations of the pair gradients de_i/dr_ij.

    Parameters
    ----------
    terms : list of EnvironmentTerm
    neighbors : NeighborList
    combinations : sparse array of shape (n_functionals, 3 n_pairs)
        See `force_combinations` and `virial_combinations`.

    Returns
    -------
    ndarray of shape (n_functionals,)

    Raises
    ------
    ValueError
        If a term is none of local environments.

    Notes
    -----
    Holds dq/dr of the whole frame: 24 n_pairs n_features bytes. Time O(n_neighbours^2 n_features) for a force
    component, O(n_atoms^2 n_features) for a virial component.
    """
    _require_environments(terms)
    combinations = csr_array(combinations)
    variances = np.zeros(combinations.shape[0])
    for term in terms:
        q_af, _, first, second = _coupling(term, neighbors)
        dq_pf = term.descriptor.gradients(neighbors)[1].reshape(-1, term.descriptor.n_features)
        for t in range(len(variances)):
            part = slice(combinations.indptr[t], combinations.indptr[t + 1])
            columns, factors = combinations.indices[part], combinations.data[part]
            centres, row = np.unique(neighbors.i[columns // 3], return_inverse=True)
            shape = (len(centres), len(dq_pf))
            dq = csr_array((factors, (row, columns)), shape=shape) @ dq_pf  # of each centre, along the functional
            along = dq @ q_af[centres].T
            among = np.ix_(centres, centres)
            variances[t] += np.sum(first[among] * (dq @ dq.T)) + np.sum(second[among] * along * along.T)
    return variances


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


def _coupling(term, neighbors):
    """q_af, and delta^2 k, delta^2 k', delta^2 k'' of all pairs of centres, 0 between elements without covariance."""
    q_af = term.descriptor.compute(neighbors)
    k, first, second = np.zeros((3, neighbors.n_atoms, neighbors.n_atoms))
    for _, centres in term.centres_by_species(neighbors.numbers):
        products, among = q_af[centres] @ q_af[centres].T, np.ix_(centres, centres)
        value, slope = term.kernel.value_and_slope(products)
        k[among], first[among] = term.delta**2 * value, term.delta**2 * slope
        second[among] = term.delta**2 * term.kernel.curvature(products)
    return q_af, k, first, second


def _require_environments(terms):
    for term in terms:
        if not isinstance(term, EnvironmentTerm):
            raise ValueError(
                f"residual: not supported for a model with a {type(term).__name__} ({term.descriptor.kind}), "
                "only for descriptors of environments such as SOAP. Ask for the posterior alone: "
                "uncertainty(atoms), evaluate(frames, uncertainty=True)."
            )
