"""Terms with their weights bound in, as kernels that C runs: local energies and pair gradients in one pass."""

from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols

from kernelff._pairs import PairKernel
from kernelff._soap import GapKernel
from kernelff.basis.pieces import PieceTable, tabulate_pieces
from kernelff.descriptors import SOAPDescriptor
from kernelff.kernels import DotProduct
from kernelff.single_precision import BothPrecisions
from kernelff.threads import one_blas_thread

_N_ELEMENTS = len(chemical_symbols)
# Å; powers of distances below 1 have no derivatives at 0: tables begin with the first and are exact from the second on
_NEAREST, _ROUGH = 1e-3, 0.1


def can_compile(descriptor, kernel):
    """Whether there is a compiled kernel for covariances of these environments.

    Of SOAP by powers >= 1 of the plain dot product, as in published GAPs; other descriptors and covariances take
    `EnvironmentTerm.evaluate_by_parts`.
    """
    plain = isinstance(kernel, DotProduct) and not kernel.constant and not kernel.normalize and kernel.zeta >= 1
    return plain and isinstance(descriptor, SOAPDescriptor)


class SingleKernel(BothPrecisions):
    """The kernel of a term in single precision, and the one in double precision that it is judged by."""

    def __init__(self, kernel, exact):
        self.kernel, self.exact, self.row_kernel = kernel, exact, exact.row_kernel

    def evaluate(self, *arguments):
        """As CentreKernel."""
        return self.kernel.evaluate(*arguments)


def kept_kernel(term, compile_term, weights, rows):
    """The kernel that a term keeps as `_bound`, until other weights come or basis functions that it does not give.

    Parameters
    ----------
    term : EnvironmentTerm, PairTerm or BasisTerm
    compile_term : callable
        (term, weights, rows) -> kernel with `row_kernel`.
    weights : ndarray of shape (n_functions,)
    rows : bool
        Whether `row_kernel` is wanted.
    """
    bound = term._bound  # one look: another thread may put another pair there
    fits = bound is not None and np.array_equal(bound[0], weights)
    if not fits or (rows and bound[1].row_kernel is None):
        bound = term._bound = (np.array(weights), compile_term(term, weights, rows))
    return bound[1]


def compile_environments(term, weights, rows=False):
    """Kernel of an EnvironmentTerm; it knows elements by their atomic numbers.

    Parameters
    ----------
    term : EnvironmentTerm
        For which `can_compile` holds.
    weights : ndarray of shape (n_functions,)
    rows : bool
        Whether the kernel shall give the basis functions too; with zeta 1 and 2 it then keeps the sparse points.

    Returns
    -------
    GapKernel, or SingleKernel of two of them where the term is in single precision
    """
    sets = [(points, term.delta**2 * weights[term.columns[key]]) for key, points in term.sparse_points.items()]
    channels_of, set_of = _channels_of(term.descriptor), _set_of(term.sparse_points)
    with one_blas_thread():  # a matrix product with zeta = 2: the same bits for any number of threads
        amplitude = term.delta**2 if rows else None
        plain = term.descriptor.loops, channels_of, set_of, sets, float(term.kernel.zeta)
        exact = GapKernel(*plain, amplitude)
        return exact if term.precision == "double" else SingleKernel(GapKernel(*plain, single=True), exact)


class PairFunctions(NamedTuple):
    """Basis functions and prior of a PairTerm, as the compiled kernel takes them.

    Attributes
    ----------
    powers, scales : ndarray of shape (n_powers,)
        Of the covariance.
    points : ndarray of shape (n_powers, n_functions)
        Sparse distances to each power, by its scale.
    amplitudes : ndarray of shape (n_functions,)
        eV^2.
    cutoff_table : PieceTable
        Of r times the cutoff of the covariance.
    variance : float
        eV^2.
    constant : float
        Added to the covariance.
    """

    powers: np.ndarray
    scales: np.ndarray
    points: np.ndarray
    amplitudes: np.ndarray
    cutoff_table: PieceTable
    variance: float
    constant: float

    @classmethod
    def of(cls, term):
        """Those of a term."""

        def cutoff(r):
            fcut, slope = term.descriptor.covariance_cutoff(r)
            return r * fcut, fcut + r * slope, np.finfo(float).eps

        powers, scales = np.array(term.kernel.powers, dtype=float), np.array(term.kernel.length_scales, dtype=float)
        points = term.sparse_points ** powers[:, None] / scales[:, None]
        variance = term.delta**2
        amplitudes = variance * term.sparse_cutoffs
        table = tabulate_pieces(cutoff, _breaks(term.descriptor))
        return cls(powers, scales, points, amplitudes, table, variance, float(term.kernel.constant))


def compile_pairs(term, weights, rows=False):
    """Kernel of a PairTerm; it knows elements by their atomic numbers.

    Parameters
    ----------
    term : PairTerm
    weights : ndarray of shape (n_functions,)
    rows : bool
        Whether the kernel shall give the basis functions too.

    Returns
    -------
    PairKernel
    """

    def profile(r):
        r = np.maximum(r, _NEAREST) if singular else r
        r = r.astype(np.longdouble)  # weights cancel, and a table's slopes would show the rounding of its values
        f, slope, rounding = term.profile(r, weights)
        return tuple(found.astype(float) for found in (r * f, f + r * slope, r * rounding))

    singular = any(power < 1 or not float(power).is_integer() for power in term.kernel.powers)
    row_of, table_of = _rows_of(term.descriptor)
    table = tabulate_pieces(profile, _breaks(term.descriptor), _ROUGH if singular else 0.0)
    return PairKernel(row_of, table_of, [table], functions=PairFunctions.of(term) if rows else None)


def _breaks(descriptor):
    """0, kink and end of the cutoff, Å."""
    kink = descriptor.cutoff - descriptor.cutoff_width
    return [0.0, kink, descriptor.cutoff] if kink > 0 else [0.0, descriptor.cutoff]


def _rows_of(descriptor):
    """Row of every element, and 0 where a pair of rows is one of the descriptor's, else -1."""
    named = sorted(set(descriptor.species_pair or ()) - {0})
    row_of = np.full(_N_ELEMENTS, len(named), dtype=np.int32)  # the last row: elements that are not named
    row_of[named] = np.arange(len(named))
    elements = np.array([*named, -1])
    return row_of, descriptor.takes(elements[:, None], elements).astype(int) - 1


def _channels_of(descriptor):
    """Place of every element among those with channels, -1 for the others."""
    if descriptor.species is None:
        return np.zeros(_N_ELEMENTS, dtype=np.int32)
    places = np.full(_N_ELEMENTS, -1, dtype=np.int32)
    places[list(descriptor.species)] = np.arange(len(descriptor.species))
    return places


def _set_of(sparse_points):
    """Number of the set of sparse points for centres of every element, -1 for none."""
    numbers = np.full(_N_ELEMENTS, -1, dtype=np.int32)
    for k, key in enumerate(sparse_points):
        if key == 0:
            numbers[:] = k
        else:
            numbers[list(key) if isinstance(key, tuple) else key] = k
    return numbers
