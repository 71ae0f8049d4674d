/* What the basis functions of a centre say of its local energy: one number from each row that evaluate_rows() makes.
 *
 *     UNCERTAINTY_STD      |phi T'|                        standard deviation, T'T = C the covariance of the weights
 *     UNCERTAINTY_NOVELTY  sqrt(1 - |phi T'|^2 / k(i, i))  T'T the inverse of the covariance of the functions
 *     UNCERTAINTY_GRADE    max_k |phi T' + c|_k            T' the inverse of the active rows, c its row of the element
 *
 * Plain C without Python. With the kernels of a potential (tests/c_driver/gap.c does):
 *
 *     uncertainty_block block;                             for the centres that share the same functions
 *     uncertainty_fill(&block, n, columns, n_rows, T);     T [n_rows][n]; triangular, it costs half
 *     uncertainty_plan plan = {UNCERTAINTY_STD, n_elements, block_of, 1, &block, NULL};
 *     const uncertainty_loops *loops = uncertainty_loops_find("avx512");
 *     kernel->evaluate_rows(&gap, &pairs, scratch, energies, gradients, rows, stride, priors);
 *     loops->measure(&plan, &pairs, scratch, rows, stride, priors, numbers);
 *     uncertainty_free(&block);
 *
 * The functions of several terms stand one behind the other in a row (pass rows + column to each): they have a common
 * covariance. float64 throughout: large numbers of both signs cancel in the sums. What is best is T of a QR
 * factorisation, columns in reverse, of any matrix P' with P P' = C: exact, and upper triangular with its long rows
 * first, so that no product with 0 is done.
 */
#ifndef KERNELFF_UNCERTAINTY_H
#define KERNELFF_UNCERTAINTY_H

#include "centres.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { UNCERTAINTY_STD, UNCERTAINTY_NOVELTY, UNCERTAINTY_GRADE } uncertainty_kind;

enum { UNCERTAINTY_PANEL = 8 }; /* rows of T that are packed together */

/* Functions and matrix of the elements whose centres have the same functions. */
typedef struct {
    int64_t n, n_panels;
    int32_t *columns;            /* [n] where the functions stand in a row */
    int64_t *lengths, *begins;   /* [n_panels] functions up to the last that a panel needs; where it begins */
    double *panels;              /* [lengths][UNCERTAINTY_PANEL] each */
} uncertainty_block;

typedef struct {
    uncertainty_kind kind;
    int32_t n_elements;
    const int32_t *block_of;     /* [n_elements] number in centre_pairs.species -> block; < 0: not known */
    int32_t n_blocks;
    const uncertainty_block *blocks;
    const double *const *constants; /* [n_elements] c [n_panels][UNCERTAINTY_PANEL] of each, of UNCERTAINTY_GRADE */
} uncertainty_plan;

/* Plans are immutable; each thread brings scratch, 64-byte aligned. numbers [stop - start] are set; a centre's is the same
 * to the last bit in whatever range. Of elements that are not known: 0, novelty 1, grade infinity. Of pairs first and
 * vectors are not looked at. priors [stop - start] are those of evaluate_rows(), for UNCERTAINTY_NOVELTY. */
typedef struct {
    const char *isa;
    int lanes;
    int64_t (*scratch_size)(const uncertainty_plan *);
    void (*measure)(const uncertainty_plan *, const centre_pairs *, void *scratch, const double *rows, int64_t stride,
                    const double *priors, double *numbers);
} uncertainty_loops;

/* Pack T [n_rows][n] for the functions at columns [n]. Returns 0, or 1 without memory. Both arrays stay the caller's. */
int uncertainty_fill(uncertainty_block *, int64_t n, const int32_t *columns, int64_t n_rows, const double *T);
void uncertainty_free(uncertainty_block *);
const uncertainty_loops *uncertainty_loops_find(const char *isa); /* "base", "avx2", "avx512"; NULL if not here */

#ifdef __cplusplus
}
#endif
#endif
