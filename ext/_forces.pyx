"""Thin door to forces of a list of pairs: any compiled kernels, block by block."""

import numpy as np

from kernelff._soap import chosen_isa

include "centres.pxi"


cdef extern from "forces.h":
    ctypedef struct centre_term:
        const centre_kernel *kernel
        const void *plan
        double reach

    ctypedef struct force_sums:
        double *energies
        double *forces
        double virial[9]
        int64_t steepest

    ctypedef struct force_loops:
        int (*of_list)(const centre_term *, int, const centre_pairs *, force_sums *) noexcept nogil

    const force_loops *force_loops_find(const char *)


def forces_of_list(kernels, const int64_t[::1] first, const int64_t[::1] j, const double[:, ::1] vectors,
                   const int32_t[::1] elements, steepest=False):
    """Sum of compiled kernels over a list of pairs.

    Parameters
    ----------
    kernels : sequence of objects with `address` and `n_elements`
        And `reach`, Å, if they are nothing for pairs that are farther apart.
    first, j, vectors
        Of a NeighborList.
    elements : int32 array of shape (n_atoms,)
        As the kernels know them.
    steepest : bool
        Look for the largest component of a pair gradient; NaN counts as largest.

    Returns
    -------
    energies (n_atoms,), forces (n_atoms, 3), virial (3, 3) = -dE/dstrain, not symmetrised, and the centre of the largest
    component of a pair gradient, or -1.

    Raises
    ------
    ValueError
        For an element that a kernel has no place for.
    """
    cdef int64_t n_atoms = first.shape[0] - 1
    cdef const force_loops *loops = force_loops_find(chosen_isa().encode())
    cdef int64_t n_elements = min((kernel.n_elements for kernel in kernels), default=0)
    energies, forces, virial = np.zeros(n_atoms), np.zeros((n_atoms, 3)), np.zeros((3, 3))
    if not n_atoms or not kernels:
        return energies, forces, virial, -1
    cdef int64_t i
    for i in range(n_atoms):
        if not 0 <= elements[i] < n_elements:
            raise ValueError(f"elements: {elements[i]} of atom {i} is not from 0 to {n_elements - 1}.")
    cdef double[::1] e = energies
    cdef double[:, ::1] f = forces
    cdef force_sums sums
    sums.energies, sums.forces, sums.steepest = &e[0], &f[0, 0], 0 if steepest else -1
    cdef centre_pairs pairs = _pairs(first, j, vectors, elements, 0, n_atoms)
    cdef int n_terms = len(kernels), status
    cdef centre_term *terms = _terms(kernels)
    with nogil:
        status = loops.of_list(terms, n_terms, &pairs, &sums)
        free(terms)
    _raise(status)
    for i in range(9):
        virial[i // 3, i % 3] = sums.virial[i]
    return energies, forces, virial, sums.steepest


cdef centre_term *_terms(kernels) except NULL:
    cdef void *memory = NULL
    _raise(posix_memalign(&memory, 64, len(kernels) * sizeof(centre_term)))
    cdef centre_term *terms = <centre_term *>memory
    for k, kernel in enumerate(kernels):
        terms[k].kernel = <const centre_kernel *><size_t>kernel.address[0]
        terms[k].plan = <const void *><size_t>kernel.address[1]
        terms[k].reach = getattr(kernel, "reach", 0.0)
    return terms
