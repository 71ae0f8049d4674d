/* Screened repulsion of nuclei (Ziegler, Biersack, Littmark) as a centre_kernel; formulas in kernelff/zbl.py.
 *
 *     repulsion_plan plan = {...};
 *     const centre_kernel *kernel = repulsion_loops_find("avx512");
 *     kernel->evaluate(&plan, &pairs, NULL, energies, gradients);       adds half of every pair; zero them before
 */
#ifndef KERNELFF_REPULSION_H
#define KERNELFF_REPULSION_H

#include "centres.h"

typedef struct {
    int32_t n_elements, n_rows;
    const int32_t *row_of;           /* [n_elements] number of an element in centre_pairs -> row of the table */
    const double *table;             /* [n_rows][n_rows][4] outer, given, screening length, k Z1 Z2 */
    double cutoff;                   /* largest outer */
} repulsion_plan;

const centre_kernel *repulsion_loops_find(const char *isa); /* "base", "avx2", "avx512"; NULL if not here */

#endif
