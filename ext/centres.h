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

/* Local energies and pair gradients of a model whose weights are part of `plan`: what a calculator or an MD loop runs.
 *
 * A plan is immutable. Each thread brings scratch of its own, 64-byte aligned, of scratch_size() bytes for the largest
 * number of pairs that a centre of its ranges has; it carries nothing from call to call. evaluate() allocates nothing
 * and cannot fail. A centre's numbers are the same to the last bit in whatever range it is evaluated; ranges of
 * hundreds of centres are fastest. centre_pairs.species are the numbers that the plan knows elements by. */
typedef struct {
    const char *isa;
    int lanes;
    int64_t (*scratch_size)(const void *plan, int64_t most_pairs);
    /* energies [stop - start] += e_i, gradients [pairs of these centres][3] += de_i/dr_ij; the terms of a potential
     * add up in the same arrays. Without gradients (NULL) energies alone. */
    void (*evaluate)(const void *plan, const centre_pairs *, void *scratch, double *energies, double *gradients);
    /* Basis functions phi_b of the linear model, sum_b w_b phi_b = e_i: what uncertainty.h takes. Of a kernel that has
     * none both are NULL; a plan that was made without them says 0. */
    int64_t (*n_functions)(const void *plan);
    /* evaluate(), and in the same pass rows [stop - start][stride] = phi_b(i) from the first column on; functions of
     * other elements stay as they are. Where a Gaussian process stands behind them, priors [stop - start] += k(i, i), its
     * variance before the fit; NULL: not wanted. Energies and gradients have the same bits as from evaluate(). */
    void (*evaluate_rows)(const void *plan, const centre_pairs *, void *scratch, double *energies, double *gradients,
                          double *rows, int64_t stride, double *priors);
} centre_kernel;

#endif
