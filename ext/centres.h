/* What the compiled descriptors of environments have in common: pairs in, features and their derivatives out. */
#ifndef KERNELFF_CENTRES_H
#define KERNELFF_CENTRES_H

#include <stdint.h>

/* Pairs of the centres start .. stop-1, sorted by centre; all arrays belong to the caller. */
typedef struct {
    const int64_t *first, *j;          /* [n_atoms + 1], [n_pairs] */
    const double *vectors;             /* [n_pairs][3] */
    const int32_t *species;            /* [n_atoms], number of the element; < 0: not seen */
    int64_t start, stop;
} centre_pairs;

/* The loops of one instruction set; `plan` is the descriptor's own. They return 0, or 1 without memory. */
typedef struct {
    const char *isa;
    int lanes;                         /* float64 taken together */
    int (*compute)(const void *plan, const centre_pairs *, double *q); /* q [stop - start][n_columns] */
    /* dq [pairs of these centres][3][n_columns] = dq_i/dr_ij in list order */
    int (*gradients)(const void *plan, const centre_pairs *, double *q, double *dq);
    /* dE_dq [stop - start][n_columns] -> dE_dr [pairs of these centres][3], zeroed by the caller */
    int (*backward)(const void *plan, const centre_pairs *, const double *dE_dq, double *dE_dr);
} centre_loops;

#endif
