"""Terms with their weights bound in, as kernels that C runs: local energies and pair gradients in one pass."""

import numpy as np
from ase.data import chemical_symbols

from kernelff._pairs import PairKernel
from kernelff._soap import GapKernel
from kernelff.basis.pieces import tabulate_pieces
from kernelff.descriptors import SOAPDescriptor
from kernelff.kernels import DotProduct
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


class SingleKernel:
    """The kernel of a term in single precision, and the one in double precision that it is judged by.

    Attributes
    ----------
    kernel, exact : CentreKernel
    row_kernel : CentreKernel or None
        `exact`, where that gives basis functions: they are too large for single precision.
    """

    def __init__(self, kernel, exact):
        self.kernel, self.exact, self.row_kernel = kernel, exact, exact.row_kernel

    @property
    def address(self):
        """Of the kernel in single precision, as CentreKernel."""
        return self.kernel.address

    @property
    def n_elements(self):
        """Elements are numbers below this."""
        return self.kernel.n_elements

    def evaluate(self, *arguments):
        """As CentreKernel."""
        return self.kernel.evaluate(*arguments)


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


def compile_pairs(term, weights):
    """Kernel of a PairTerm; it knows elements by their atomic numbers.

    Parameters
    ----------
    term : PairTerm
    weights : ndarray of shape (n_functions,)

    Returns
    -------
    PairKernel
    """

    def profile(r):
        r = np.maximum(r, _NEAREST) if singular else r
        r = r.astype(np.longdouble)  # weights cancel, and a table's slopes would show the rounding of its values
        f, slope, rounding = term.profile(r, weights)
        return tuple(found.astype(float) for found in (r * f, f + r * slope, r * rounding))

    descriptor = term.descriptor
    singular = any(power < 1 or not float(power).is_integer() for power in term.kernel.powers)
    kink = descriptor.cutoff - descriptor.cutoff_width
    breaks = [0.0, kink, descriptor.cutoff] if kink > 0 else [0.0, descriptor.cutoff]
    row_of, table_of = _rows_of(descriptor)
    return PairKernel(row_of, table_of, [tabulate_pieces(profile, breaks, _ROUGH if singular else 0.0)])


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
