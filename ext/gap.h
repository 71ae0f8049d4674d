/* Gaussian approximation potential on SOAP: local energies and pair gradients with weights bound in.
 *
 *     e_i = sum_s w_s (q_i . x_s)^zeta      x_s, w_s, zeta of the set that the element of centre i belongs to
 *
 * Plain C without Python. To run one from C or C++:
 *
 *     soap_plan soap = {...};                        sizes, tables, central (soap.h); then soap_plan_init(&soap)
 *     gap_set sets[n_sets];                          gap_set_points(&sets[k], n_features, n, x, w, zeta) each
 *     gap_plan plan = {&soap, n_sets, sets, set_of};
 *     const centre_kernel *kernel = gap_loops_find("avx512");
 *     void *scratch = aligned_alloc(64, kernel->scratch_size(&plan, most_pairs));    one per thread
 *     kernel->evaluate(&plan, &pairs, scratch, energies, gradients);                 adds; zero them before
 *     gap_set_free(&sets[k]);
 *
 * For the basis functions k(i, s) = amplitude (q_i . x_s)^zeta too, gap_set_keep(&sets[k], ...) before the plan is used, then
 * kernel->evaluate_rows(); their columns are those of the first set, then of the next. uncertainty.h goes on from there.
 *
 * The pieces of soap_table have rows of kernel->lanes numbers, so the tables go with the instruction set.
 * Lengths in Angstrom, energies in the unit of w (eV), float64 but for the products that gap_set_split() turns into float32.
 */
#ifndef KERNELFF_GAP_H
#define KERNELFF_GAP_H

#include "centres.h"
#include "soap.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { GAP_PANEL = 8 }; /* rows of a matrix that are packed together */

/* How a set gives e(q) and de/dq. */
enum {
    GAP_POWER,     /* sum_s w_s (q.x_s)^zeta from the rows x_s */
    GAP_QUADRATIC, /* q'Aq from the rows of A = sum_s w_s x_s x_s': zeta = 2 with many sparse points */
    GAP_LINEAR     /* q.v, v = sum_s w_s x_s: zeta = 1 */
};

typedef struct {
    int form;
    double zeta;          /* >= 1; q.x < 0 counts as 0 where zeta is no whole number */
    int64_t n_panels;
    double *rows;         /* [n_panels][round_up(n_features, 8)][GAP_PANEL], zeros in the pads */
    double *weights;      /* w_s, [n_panels][GAP_PANEL]; with GAP_LINEAR v, [round_up(n_features, 8)] */
    int64_t n_points;     /* of gap_set_keep(), 0 without */
    double amplitude;
    double *points;       /* x_s packed as rows, or rows themselves */
    int64_t n_lead;       /* of gap_set_split(), 0 without; then there are no rows. Packed as rows: */
    double *directions;   /* v_k, [n_lead / GAP_PANEL][round_up(n_features, 8)][GAP_PANEL] */
    double *lead;         /* x_s.v_k, [n_panels][n_lead][GAP_PANEL] */
    float *rest;          /* r_s = x_s - sum_k (x_s.v_k) v_k, as rows */
    double *usual;        /* S0_s = w_s zeta (m.x_s)^(zeta - 1) with the mean m of the points, as weights */
    double *constant;     /* sum_s S0_s r_s, [round_up(n_features, 8)] */
} gap_set;

typedef struct {
    const soap_plan *soap;
    int n_sets;
    const gap_set *sets;
    const int32_t *set_of; /* number of an element in centre_pairs -> its set, < 0: no energy from this term */
} gap_plan;

/* Fill a set from n sparse points x [n][n_features] and weights w [n]; the form follows from zeta and the sizes.
 * Returns 0, or 1 without memory. Both arrays stay the caller's. */
int gap_set_points(gap_set *set, int64_t n_features, int64_t n, const double *x, const double *w, double zeta);
/* The form that this would be. With GAP_QUADRATIC a fast matrix product makes A 30 times faster than gap_set_points: */
int gap_form(int64_t n_features, int64_t n, double zeta);
/* zeta = 2 from A [n_features][n_features] itself. Returns 0, or 1 without memory. */
int gap_set_square(gap_set *set, int64_t n_features, const double *A);
/* Keep the n points x [n][n_features] of a set that is filled, for evaluate_rows(). Returns 0, or 1 without memory. */
int gap_set_keep(gap_set *set, int64_t n_features, int64_t n, const double *x, double amplitude);
/* From now on products in single precision, as in gap_single.h, for a set that is filled from x and of the form GAP_POWER; it
 * no longer gives basis functions. The n_lead directions [n_lead][n_features] are orthonormal, the leading right singular
 * vectors of x; n_lead is a multiple of GAP_PANEL. Returns 0, or 1 without memory. */
int gap_set_split(gap_set *set, int64_t n_features, int64_t n, const double *x, int64_t n_lead, const double *directions);
void gap_set_free(gap_set *set);
const centre_kernel *gap_loops_find(const char *isa); /* "base", "avx2", "avx512"; NULL if not here */

#ifdef __cplusplus
}
#endif
#endif
