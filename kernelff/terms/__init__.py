"""Basis functions: what the linear model is linear in.

The local energy is e_i = e0(z_i) + sum_b w_b phi_b(i). A *term* holds a family
of functions phi_b. Letters: a = centre, p = pair, c = Cartesian, f = feature,
b = basis function. Every term offers

- ``n_functions``, ``cutoff``, and ``gram()``, the covariance K_MM of its functions, block-diagonal in ``blocks``,
- ``values(neighbors)`` -> phi_ab and its prior variance, for energies and their sd,
- ``gradient_blocks(neighbors)`` -> dphi_b(i)/dr_ij block by block, for fitting only,
- ``compiled(weights, rows)`` -> its kernel with these weights bound in, None where there is none; with `rows` it
  gives the functions themselves too, those of ``columns_for(z)`` for a centre of element z,
- ``evaluate(neighbors, weights)`` -> local energies and pair gradients, where forces and virial are not enough.
"""

from kernelff.terms.basis import BasisTerm
from kernelff.terms.environment import EnvironmentTerm
from kernelff.terms.pair import PairTerm

__all__ = ["BasisTerm", "EnvironmentTerm", "PairTerm", "term_from_state"]

_KINDS = {"environment": EnvironmentTerm, "pair": PairTerm, "basis": BasisTerm}


def term_from_state(params, arrays):
    """The term that ``to_state`` described."""
    return _KINDS[params["kind"]].from_state(params, arrays)
