"""What basis functions say of each local energy, in the same compiled pass as energies and pair gradients.

Kernels give the basis functions phi of blocks of centres on the way; ext/uncertainty.c makes one number of each row:
"std" |phi P|, the posterior sd before calibration; "novelty", the share that the sparse set cannot express; "grade",
the extrapolation grade. Letters: a = centre, b = basis function, over all terms.
"""

from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols

from kernelff._uncertainty import RowMeasure, available_isas
from kernelff.assembly import n_functions, term_columns
from kernelff.terms import BasisTerm
from kernelff.threads import one_blas_thread

KINDS = ("std", "novelty", "grade")
_N_ELEMENTS = len(chemical_symbols)


class LocalPass(NamedTuple):
    """Kernels of all terms, and measures of the rows that they give; `kernel_forces` runs them.

    Attributes
    ----------
    kernels : list
        Of each term, with a `row_kernel`.
    columns : list of int
        Where the functions of each begin in a row.
    measures : dict
        Kind -> RowMeasure.
    n_functions : int
        Of all terms.
    """

    kernels: list
    columns: list
    measures: dict
    n_functions: int

    @classmethod
    def of(cls, potential, kinds):
        """The pass for some kinds of a Potential; None where one of its terms or a kind has no compiled rows."""
        terms = potential.terms
        if not terms or not kinds or ("grade" in kinds and not _linear_in_weights(potential.active_set)):
            return None
        if "novelty" in kinds and any(isinstance(term, BasisTerm) for term in terms):
            return None  # whose kernels know no prior
        kernels = row_kernels(terms, potential.weights)
        if kernels is None:
            return None
        columns = [own.start for own in term_columns(terms)]
        return cls(kernels, columns, {kind: _kept_measure(potential, kind) for kind in kinds}, n_functions(terms))


def error_bar_kinds(terms):
    """What the error bars of energies are made of; functions of linear models alone leave nothing unexpressed."""
    return ("std",) if all(isinstance(term, BasisTerm) for term in terms) else ("std", "novelty")


def row_kernels(terms, weights):
    """Kernels of all terms that give rows of basis functions too, or None if one of them has none."""
    kernels = []
    for term, columns in zip(terms, term_columns(terms), strict=True):
        kernel = term.compiled(weights[columns], rows=True)
        if kernel is None or kernel.row_kernel is None:
            return None
        kernels.append(kernel)
    return kernels


def require_kind(potential, kind):
    """Refuse a kind that means nothing for a Potential.

    Raises
    ------
    ValueError
    """
    if kind not in KINDS:
        raise ValueError(f'uncertainty: must be "std", "novelty", "grade" or None, got {kind!r}.')
    if kind == "grade":
        potential.require_active_set('uncertainty: "grade"')
        if potential.active_set.mode != "neighborhood":
            raise ValueError(
                'uncertainty: "grade" is of atoms, but this active set is one of configurations. Select another: '
                'ActiveSet.select(potential, frames, mode="neighborhood").'
            )
        return
    potential.require_posterior()
    if kind == "novelty" and any(isinstance(term, BasisTerm) for term in potential.terms):
        raise ValueError(
            'uncertainty: "novelty" is of Gaussian processes; the functions of a linear model express all that it can. '
            'Use "std", or "grade" with an active set.'
        )


def local_numbers(potential, atoms, kind):
    """Numbers (n_atoms,) of a kind that `require_kind` accepts, for any potential; sds are calibrated."""
    if kind == "grade":
        return potential.extrapolation_grade(atoms)
    found = potential.uncertainty(atoms, derivatives=False)
    return found.energies_std if kind == "std" else found.novelty


def triangular(P):
    """T (min(n, rank), n) with T'T = P P', row k without the last k functions.

    R of a QR factorisation of P' with its columns in reverse: exact, where a Cholesky factor of P P' would need jitter.
    Long rows first: then its rounding errors are small beside each row, not only beside the longest.
    """
    long_first = np.argsort(-np.linalg.norm(P, axis=0), kind="stable")
    return np.linalg.qr(P[::-1, long_first].T, mode="r")[:, ::-1]


def row_measure(potential, kind):
    """RowMeasure of a kind for the rows of all terms; functions that an element does not have are left out."""
    supports = {z: _columns_for(potential.terms, z) for z in range(_N_ELEMENTS)}
    if kind == "grade":
        species = potential.active_set.species
        inverse, constants = potential.active_set.inverse, np.zeros((_N_ELEMENTS, potential.active_set.n_columns))
        constants[list(species)] = inverse[: len(species)]
        supports = {z: supports[z] for z in species}
        weights, factor = inverse[len(species) :], np.transpose
    else:
        constants, factor = None, triangular
        weights = potential.posterior.P if kind == "std" else potential.posterior.W
    numbered = {columns.tobytes(): k for k, columns in enumerate(_distinct(supports.values()))}
    block_of = np.full(_N_ELEMENTS, -1)
    for z, columns in supports.items():
        block_of[z] = numbered[columns.tobytes()]
    with one_blas_thread():  # the same bits for any number of threads
        blocks = [(columns, factor(weights[columns])) for columns in _distinct(supports.values())]
    return RowMeasure(kind, blocks, block_of, constants, available_isas()[0])


def _kept_measure(potential, kind):
    if kind not in potential.measures:
        potential.measures[kind] = row_measure(potential, kind)
    return potential.measures[kind]


def _linear_in_weights(active_set):
    return active_set is not None and active_set.mode == "neighborhood" and not active_set.n_radial


def _columns_for(terms, z):
    """Ascending columns of the functions that centres of an element have."""
    own = [c.start + t.columns_for(z) for t, c in zip(terms, term_columns(terms), strict=True)]
    return np.concatenate(own).astype(np.int32)


def _distinct(arrays):
    return list({array.tobytes(): array for array in arrays}.values())
