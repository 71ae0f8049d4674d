/* SOAP loops: expansion, power spectrum, derivative rows and adjoint for a block of centres.
 *
 * Plain C without Python; callable from OpenMP loops and C++. soap.c is compiled once per
 * instruction set and exports one table `soap_loops_<isa>`; soap_loops_find() returns it if the
 * CPU has that set. A plan is immutable while loops run, scratch is private to each call, so any
 * number of threads may share a plan. Lengths in Angstrom, float64 throughout.
 */
#ifndef KERNELFF_SOAP_H
#define KERNELFF_SOAP_H

#include "centres.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SOAP_MAX_L 16 /* largest degree the fixed tables of a plan hold */

enum { SOAP_OK = 0, SOAP_NO_MEMORY = 1 };

/* Radial functions of one (centre species, neighbour channel): quintic pieces on two segments of equal
 * intervals, [0, split] and [split, cutoff]. A piece holds the coefficients c_0..c_5 of sum_k c_k t^k,
 * 0 <= t <= 1, for every degree: pieces[piece][n_vectors][l_max + 1][6][lanes], 64-byte aligned, segment 0 first. */
typedef struct {
    double split, inverse_step[2];
    int64_t n_intervals[2];
    const double *pieces;
} soap_table;

/* Component of d(r^l Y_lm)/dx_a on r^(l-1) Y_(l-1)m', gathered: target (a, l-1, m') takes
 * coefficient[0] of row source[0] plus coefficient[1] of row source[1]. */
typedef struct {
    double coefficient[2];
    int32_t source[2];
} soap_move;

typedef struct {
    int n_species, n_max, l_max, normalize;
    int shared;                      /* neighbours of all elements add to the same n_max channels (1), or
                                        to n_max channels of their own (0) */
    double cutoff;
    const soap_table *tables;
    const int32_t *table_of;         /* [n_species (centre)][n_species (neighbour)] -> index in tables */
    const int32_t *channels_of;      /* number of an element in centre_pairs -> its place among n_species, < 0:
                                        not seen; NULL: they are the same */
    const double *central;           /* [1 + n_species (centre)][n_channels]: added to c_n00; row 0 for an
                                        element without channels */
    /* filled by soap_plan_init */
    int n_groups, n_channels, n_features; /* groups of neighbours with channels of their own */
    double legendre_start[SOAP_MAX_L + 1];
    double legendre_a[SOAP_MAX_L + 1][SOAP_MAX_L + 1], legendre_b[SOAP_MAX_L + 1][SOAP_MAX_L + 1];
    soap_move moves[3][SOAP_MAX_L * SOAP_MAX_L];
} soap_plan;


void soap_plan_init(soap_plan *plan);
const centre_loops *soap_loops_find(const char *isa); /* "base", "avx2", "avx512"; NULL if not here */

#ifdef __cplusplus
}
#endif
#endif
