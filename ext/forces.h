/* Energy, forces and virial of a list of pairs: any sum of centre_kernels, in plain C without Python.
 *
 *     const force_loops *loops = force_loops_find("avx512");
 *     loops->of_list(terms, n_terms, &pairs, &sums, NULL);  0, or 1 without memory
 *
 * Kernels run on blocks of centres, whose pair gradients become forces while they are in the cache: there is never an
 * array of all of them. The MD loop does the same with the blocks of its own list.
 */
#ifndef KERNELFF_FORCES_H
#define KERNELFF_FORCES_H

#include "uncertainty.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const centre_kernel *kernel;
    const void *plan;
    double reach;                    /* where pairs are farther apart the term is nothing, of a pair potential; else 0 */
    const centre_kernel *row_kernel; /* for uncertainties: the same kernel, or that of double precision; NULL: no rows */
    const void *row_plan;
    int64_t column;                  /* where the functions of the term begin in a row */
} centre_term;

typedef struct {
    double *energies;                /* [n_atoms] local energies */
    double *forces;                  /* [n_atoms][3] */
    double virial[9];                /* -dE/dstrain, not symmetrised */
    double *virials;                 /* [n_atoms][9] of each atom as a neighbour, which sum to it; NULL: not wanted */
    int64_t steepest;                /* on request, unless it is < 0: centre of the largest component of a pair gradient */
} force_sums;

/* Numbers of the centres that are made of their basis functions, for which all terms need a row_kernel. */
typedef struct {
    const uncertainty_loops *loops;
    int n_plans;
    const uncertainty_plan *const *plans;
    double *const *numbers;          /* [n_plans][n_atoms] */
    int64_t n_functions;             /* of all terms together */
    double *total;                   /* [n_functions] sums over the centres, added to */
} list_uncertainty;

typedef struct {
    const char *isa;
    int lanes;
    /* uncertainty: NULL where it is not wanted */
    int (*of_list)(const centre_term *terms, int n_terms, const centre_pairs *pairs, force_sums *sums,
                   const list_uncertainty *uncertainty);
} force_loops;

const force_loops *force_loops_find(const char *isa); /* "base", "avx2", "avx512"; NULL if not here */

#ifdef __cplusplus
}
#endif
#endif
