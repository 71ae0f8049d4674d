"""Terms with their weights bound in, as kernels that C runs: local energies and pair gradients in one pass."""

import numpy as np
from ase.data import chemical_symbols

from kernelff._soap import GapKernel
from kernelff.descriptors import SOAPDescriptor
from kernelff.kernels import DotProduct
from kernelff.threads import one_blas_thread

_N_ELEMENTS = len(chemical_symbols)


def can_compile(descriptor, kernel):
    """Whether there is a compiled kernel for covariances of these environments.

    Of SOAP by powers >= 1 of the plain dot product, as in published GAPs; other descriptors and covariances take
    `EnvironmentTerm.evaluate_by_parts`.
    """
    plain = isinstance(kernel, DotProduct) and not kernel.constant and not kernel.normalize and kernel.zeta >= 1
    return plain and isinstance(descriptor, SOAPDescriptor)


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
    GapKernel
    """
    sets = [(points, term.delta**2 * weights[term.columns[key]]) for key, points in term.sparse_points.items()]
    channels_of, set_of = _channels_of(term.descriptor), _set_of(term.sparse_points)
    with one_blas_thread():  # a matrix product with zeta = 2: the same bits for any number of threads
        amplitude = term.delta**2 if rows else None
        return GapKernel(term.descriptor.loops, channels_of, set_of, sets, float(term.kernel.zeta), amplitude)


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
