/* Energies of pairs from tables, as a centre_kernel: e_i = sum_j g(r_ij) / r_ij, g of the elements of i and j.
 *
 *     pair_plan plan = {...};
 *     const centre_kernel *kernel = pair_loops_find("avx512");
 *     kernel->evaluate(&plan, &pairs, NULL, energies, gradients);       adds; zero them before
 *
 * Tables hold g and not g / r so that repulsions of nuclei are finite in them; kernelff/basis/pieces.py makes them.
 * Lengths in Angstrom, energies in the unit of g / r (eV), float64 throughout.
 */
#ifndef KERNELFF_PAIR_TABLES_H
#define KERNELFF_PAIR_TABLES_H

#include "centres.h"

typedef struct {
    double stop, rate;                /* Angstrom; pieces per Angstrom */
    int64_t first, n;                 /* its pieces */
} pair_segment;

typedef struct {
    int32_t n_elements, n_rows, n_tables;
    const int32_t *row_of;            /* [n_elements] number of an element in centre_pairs -> row */
    const int32_t *table_of;          /* [n_rows][n_rows] row of centre and neighbour -> table, < 0: no energy */
    const int32_t *first_segment;     /* [n_tables + 1]; segments of a table ascend without gaps from 0 */
    const pair_segment *segments;
    const double *pieces;             /* [][6] g = c0 + c1 t + ... + c5 t^5, t in [0, 1] along the piece, inwards */
    double cutoff;                    /* largest stop */
} pair_plan;

#ifdef __cplusplus
extern "C" {
#endif
const centre_kernel *pair_loops_find(const char *isa); /* "base", "avx2", "avx512"; NULL if not here */
#ifdef __cplusplus
}
#endif
#endif
