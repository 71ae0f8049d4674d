/* Energies of pairs from tables, as a centre_kernel: e_i = sum_j g(r_ij) / r_ij, g of the elements of i and j.
 *
 *     pair_plan plan = {...};
 *     const centre_kernel *kernel = pair_loops_find("avx512");
 *     kernel->evaluate(&plan, &pairs, NULL, energies, gradients);       adds; zero them before
 *
 * Tables hold g and not g / r so that repulsions of nuclei are finite in them; kernelff/basis/pieces.py makes them.
 * Lengths in Angstrom, energies in the unit of g / r (eV), float64 throughout.
 *
 * Of a Gaussian process with sparse distances r_b, whose covariance of two pairs is
 *     variance fcut(r) fcut(s) (exp(-sum_a (r^p_a - s^p_a)^2 / (2 scale_a^2)) + constant),
 * evaluate_rows() gives the basis functions too, for uncertainty.h.
 */
#ifndef KERNELFF_PAIR_TABLES_H
#define KERNELFF_PAIR_TABLES_H

#include "centres.h"

typedef struct {
    double stop, rate;                /* Angstrom; pieces per Angstrom */
    int64_t first, n;                 /* its pieces */
} pair_segment;

enum { PAIR_PAD = 8 }; /* arrays over functions are padded with zeros to a multiple of it */

/* For evaluate_rows(); n = 0 without. */
typedef struct {
    int64_t n;                        /* sparse distances */
    int32_t n_powers, cutoff_table;   /* table of r fcut(r), which no pair of elements needs to have */
    const double *powers, *scales;    /* [n_powers] */
    const double *points;             /* [n_powers][padded n] r_b^power / scale */
    const double *amplitudes;         /* [padded n] variance, times fcut of the sparse distance where that is wanted */
    double variance, constant;        /* eV^2; 1 */
} pair_functions;

typedef struct {
    int32_t n_elements, n_rows, n_tables;
    const int32_t *row_of;            /* [n_elements] number of an element in centre_pairs -> row */
    const int32_t *table_of;          /* [n_rows][n_rows] row of centre and neighbour -> table, < 0: no energy */
    const int32_t *first_segment;     /* [n_tables + 1]; segments of a table ascend without gaps from 0 */
    const pair_segment *segments;
    const double *pieces;             /* [][6] g = c0 + c1 t + ... + c5 t^5, t in [0, 1] along the piece, inwards */
    double cutoff;                    /* largest stop */
    pair_functions functions;         /* of all pairs that have energy */
} pair_plan;

#ifdef __cplusplus
extern "C" {
#endif
const centre_kernel *pair_loops_find(const char *isa); /* "base", "avx2", "avx512"; NULL if not here */
#ifdef __cplusplus
}
#endif
#endif
