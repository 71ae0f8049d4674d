"""Energies of pairs from tables, and sums over pairs: forces and virial from pair gradients."""

import numpy as np

from kernelff._soap import available_isas, chosen_isa

cimport cython
include "centres.pxi"
include "pair_tables.pxi"


def forces_and_virial(const int64_t[::1] first, const int64_t[::1] j, const double[:, ::1] vectors,
                      const double[:, ::1] gradients):
    """Forces (n_atoms, 3) and virial (3, 3) of pairs sorted by centre, from de_i/dr_ij (n_pairs, 3)."""
    cdef int64_t n_atoms = first.shape[0] - 1, n_pairs = j.shape[0]
    if first[n_atoms] != n_pairs or vectors.shape[0] != n_pairs or gradients.shape[0] != n_pairs:
        raise ValueError(f"pair_gradients: must be of shape ({n_pairs}, 3), got ({gradients.shape[0]}, 3).")
    forces, strain = np.zeros((n_atoms, 3)), np.zeros((3, 3))
    cdef double[:, ::1] f = forces, s = strain
    if n_pairs:
        with nogil:
            _add(n_atoms, &first[0], &j[0], &vectors[0, 0], &gradients[0, 0], &f[0, 0], &s[0, 0])
    return forces, -0.5 * (strain + strain.T)


cdef void _add(int64_t n_atoms, const int64_t *first, const int64_t *j, const double *r, const double *g, double *f,
               double *strain) noexcept nogil:
    """f_i += g, f_j -= g, strain += r (x) g."""
    cdef int64_t i, p
    cdef int c, d
    cdef double own[3]
    cdef double sums[9]
    for c in range(9):
        sums[c] = 0.0
    for i in range(n_atoms):
        for c in range(3):
            own[c] = 0.0
        for p in range(first[i], first[i + 1]):
            for c in range(3):
                own[c] += g[3 * p + c]
                f[3 * j[p] + c] -= g[3 * p + c]
                for d in range(3):
                    sums[3 * c + d] += r[3 * p + c] * g[3 * p + d]
        for c in range(3):
            f[3 * i + c] += own[c]
    for c in range(9):
        strain[c] = sums[c]
