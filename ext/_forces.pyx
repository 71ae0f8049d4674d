"""Thin door to forces of a list of pairs: any compiled kernels, block by block."""

import numpy as np

from kernelff._soap import chosen_isa

include "centres.pxi"
include "uncertainty.pxi"
include "centre_term.pxi"


cdef extern from "forces.h":
    ctypedef struct force_sums:
        double *energies
        double *forces
        double virial[9]
        double *virials
        int64_t steepest

    ctypedef struct list_uncertainty:
        const uncertainty_loops *loops
        int n_plans
        const uncertainty_plan **plans
        double **numbers
        int64_t n_functions
        double *total

    ctypedef struct force_loops:
        int (*of_list)(const centre_term *, int, const centre_pairs *, force_sums *, list_uncertainty *) noexcept nogil

    const force_loops *force_loops_find(const char *)

cdef enum:
    MAX_MEASURES = 8


def forces_of_list(kernels, const int64_t[::1] first, const int64_t[::1] j, const double[:, ::1] vectors,
                   const int32_t[::1] elements, columns=(), measures=(), int64_t n_functions=0, steepest=False,
                   virials=False):
    """Sum of compiled kernels over a list of pairs.

    Parameters
    ----------
    kernels : sequence of objects with `address` and `n_elements`
        And `reach`, Å, if they are nothing for pairs that are farther apart; for measures, the first ones need a
        `row_kernel`.
    first, j, vectors
        Of a NeighborList.
    elements : int32 array of shape (n_atoms,)
        As the kernels know them.
    columns : sequence of int
        Where the functions of those kernels begin in a row of n_functions.
    measures : sequence of RowMeasure
    steepest : bool
        Look for the largest component of a pair gradient; NaN counts as largest.
    virials : bool
        Of the atoms.

    Returns
    -------
    energies (n_atoms,), forces (n_atoms, 3), virial (3, 3) = -dE/dstrain, not symmetrised, virials of the atoms (n_atoms,
    3, 3) or None, the centre of the largest component of a pair gradient or -1, numbers (n_measures, n_atoms), and the sum
    of all rows (n_functions,).

    Raises
    ------
    ValueError
        For an element that a kernel has no place for.
    """
    cdef int64_t n_atoms = first.shape[0] - 1
    cdef const force_loops *loops = force_loops_find(chosen_isa().encode())
    cdef int64_t n_elements = min((kernel.n_elements for kernel in kernels), default=0)
    energies, forces, virial = np.zeros(n_atoms), np.zeros((n_atoms, 3)), np.zeros((3, 3))
    numbers, total = np.zeros((len(measures), n_atoms)), np.zeros(n_functions)
    of_atoms = np.zeros((n_atoms, 3, 3)) if virials else None
    if not n_atoms or not kernels:
        return energies, forces, virial, of_atoms, -1, numbers, total
    cdef int64_t i
    for i in range(n_atoms):
        if not 0 <= elements[i] < n_elements:
            raise ValueError(f"elements: {elements[i]} of atom {i} is not from 0 to {n_elements - 1}.")
    cdef force_sums sums
    sums.energies, sums.forces, sums.steepest = <double *>_at(energies), <double *>_at(forces), 0 if steepest else -1
    sums.virials = <double *>_at(of_atoms) if virials else NULL
    cdef centre_pairs pairs = _pairs(first, j, vectors, elements, 0, n_atoms)
    cdef int n_terms = len(kernels), status
    cdef const uncertainty_plan *plans[MAX_MEASURES]
    cdef double *found[MAX_MEASURES]
    cdef list_uncertainty wanted
    wanted.n_plans, wanted.n_functions, wanted.total = len(measures), n_functions, <double *>_at(total)
    wanted.plans, wanted.numbers = plans, found
    for i, measure in enumerate(measures[:MAX_MEASURES]):
        wanted.loops = <const uncertainty_loops *><size_t>measure.address[0]
        plans[i] = <const uncertainty_plan *><size_t>measure.address[1]
        found[i] = <double *>_at(numbers[i])
    cdef list_uncertainty *uncertainty = &wanted if measures else NULL
    cdef centre_term *terms = _terms(kernels, columns if measures else ())
    with nogil:
        status = loops.of_list(terms, n_terms, &pairs, &sums, uncertainty)
        free(terms)
    _raise(status)
    for i in range(9):
        virial[i // 3, i % 3] = sums.virial[i]
    return energies, forces, virial, of_atoms, sums.steepest, numbers, total


cdef centre_term *_terms(kernels, columns) except NULL:
    cdef void *memory = NULL
    _raise(posix_memalign(&memory, 64, len(kernels) * sizeof(centre_term)))
    cdef centre_term *terms = <centre_term *>memory
    for k, kernel in enumerate(kernels):
        terms[k].kernel = <const centre_kernel *><size_t>kernel.address[0]
        terms[k].plan = <const void *><size_t>kernel.address[1]
        terms[k].reach, terms[k].row_kernel = getattr(kernel, "reach", 0.0), NULL
        if k < len(columns):
            terms[k].row_kernel = <const centre_kernel *><size_t>kernel.row_kernel.address[0]
            terms[k].row_plan = <const void *><size_t>kernel.row_kernel.address[1]
            terms[k].column = columns[k]
    return terms
