/* Energy, forces and virial of a list of pairs: any sum of centre_kernels, in plain C without Python.
 *
 *     const force_loops *loops = force_loops_find("avx512");
 *     loops->of_list(terms, n_terms, &pairs, &sums);        0, or 1 without memory
 *
 * Kernels run on blocks of centres, whose pair gradients become forces while they are in the cache: there is never an
 * array of all of them. The MD loop does the same with the blocks of its own list.
 */
#ifndef KERNELFF_FORCES_H
#define KERNELFF_FORCES_H

#include "centres.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const centre_kernel *kernel;
    const void *plan;
    double reach;                    /* where pairs are farther apart the term is nothing, of a pair potential; else 0 */
} centre_term;

typedef struct {
    double *energies;                /* [n_atoms] local energies */
    double *forces;                  /* [n_atoms][3] */
    double virial[9];                /* -dE/dstrain, not symmetrised */
    int64_t steepest;                /* on request, unless it is < 0: centre of the largest component of a pair gradient */
} force_sums;

typedef struct {
    const char *isa;
    int lanes;
    int (*of_list)(const centre_term *terms, int n_terms, const centre_pairs *pairs, force_sums *sums);
} force_loops;

const force_loops *force_loops_find(const char *isa); /* "base", "avx2", "avx512"; NULL if not here */

#ifdef __cplusplus
}
#endif
#endif
