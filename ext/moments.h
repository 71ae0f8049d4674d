/* Moment tensor contractions: values, derivative rows and adjoint for a block of centres.
 *
 * Plain C without Python, as soap.h: moments.c is compiled once per instruction set and exports one
 * table `moments_loops_<isa>`. A plan is immutable while loops run, scratch is private to each call.
 */
#ifndef KERNELFF_MOMENTS_H
#define KERNELFF_MOMENTS_H

#include "centres.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MOMENTS_OK = 0, MOMENTS_NO_MEMORY = 1 };

/* Nodes: first the accumulated moments sum_j f_mu(r_j) x^a y^b z^s of unit vectors, s = 0 or 1, in the order mu, s, b, a
 * (all with a + b + s <= degree[mu]), then the number 1, then sums of products of earlier nodes. */
typedef struct {
    int32_t n_species, n_mu, n_beta, mu_stride; /* mu_stride: n_mu rounded up to whole vectors */
    int32_t n_accumulated, n_nodes, n_scalars, n_blocks;
    int32_t highest;                            /* of the degrees */
    double cutoff, min_dist, scaling;
    const int32_t *degree;                      /* [n_mu], -1: not used */
    const int64_t *first_product;               /* [n_nodes - n_accumulated], of the node n_accumulated + 1 + t */
    const int32_t *factors;                     /* [n_products][2] nodes */
    const double *weights;                      /* [n_products] */
    const int32_t *scalars;                     /* [n_scalars] nodes */
    /* For each scalar: the sums that it depends on, later ones first, and the accumulated moments with their places
     * in the matrix of adjoints; for each block of LANES scalars the accumulated moments of them all. */
    const int64_t *first_sum, *first_moment;    /* [n_scalars + 1] */
    const int32_t *sums, *moments, *places;
    const int64_t *first_support;               /* [n_blocks + 1] */
    const int32_t *support;
    const double *coefficients;                 /* [n_species (centre)][n_species][n_mu][n_beta] */
    const double *wide;                         /* the same [n_species][n_species][n_beta][mu_stride] */
} moments_plan;


const centre_loops *moments_loops_find(const char *isa); /* "base", "avx2", "avx512"; NULL if not here */

#ifdef __cplusplus
}
#endif
#endif
