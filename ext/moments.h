/* Moment tensor contractions: values, derivative rows and adjoint for a block of centres.
 *
 * Plain C without Python, as soap.h: moments.c is compiled once per instruction set and exports one
 * table `moments_loops_<isa>`. Plans are immutable while loops run, scratch is private to each call.
 */
#ifndef KERNELFF_MOMENTS_H
#define KERNELFF_MOMENTS_H

#include "centres.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MOMENTS_OK = 0, MOMENTS_NO_MEMORY = 1 };
enum { MOMENTS_PANEL = 16 }; /* columns of a tangent_plan that are worked through together */

/* Columns of derivative rows in blocks of LANES, and the accumulated moments whose slopes each block is made of. */
typedef struct {
    int32_t n, n_blocks;
    const int64_t *first_support;               /* [n_blocks + 1] */
    const int32_t *support;
} moments_columns;

/* Nodes: first the accumulated moments sum_j f_mu(r_j) x^a y^b z^s of unit vectors, s = 0 or 1, in the order mu, s, b, a
 * (all with a + b + s <= degree[mu]), then the number 1, then sums of products of earlier nodes. */
typedef struct {
    int32_t n_species, n_mu, n_beta, mu_stride; /* mu_stride: n_mu rounded up to whole vectors */
    int32_t n_accumulated, n_nodes;
    int32_t highest;                            /* of the degrees */
    double cutoff, min_dist, scaling;
    const int32_t *degree;                      /* [n_mu], -1: not used */
    const int64_t *first_product;               /* [n_nodes - n_accumulated], of the node n_accumulated + 1 + t */
    const int32_t *factors;                     /* [n_products][2] nodes */
    const double *weights;                      /* [n_products] */
    moments_columns rows;                       /* one for each scalar */
    const int32_t *scalars;                     /* [rows.n] nodes */
    /* For each scalar: the sums that it depends on, later ones first, and the accumulated moments with their places
     * in the matrix of adjoints. */
    const int64_t *first_sum, *first_moment;    /* [rows.n + 1] */
    const int32_t *sums, *moments, *places;
    const double *coefficients;                 /* [n_species (centre)][n_species][n_mu][n_beta] */
    const double *wide;                         /* the same [n_species][n_species][n_beta][mu_stride] */
} moments_plan;

/* Derivatives by the coefficients of one centre: columns in the order species of the neighbour, mu, beta, in panels.
 * The program of a panel makes rows of MOMENTS_PANEL tangents, first those of the accumulated moments `start`, then
 * sums of earlier rows, each times a weight and one scalar: the nodes, then their adjoints. The last rows are the
 * tangents of the adjoints of the support of the panel's columns. */
typedef struct {
    int32_t n_panels, n_programs;
    moments_columns rows;
    const int32_t *columns;                     /* [n_panels MOMENTS_PANEL][3] species, mu, beta; -1 beyond the last */
    const int32_t *panel_program;               /* [n_panels] */
    const int64_t *first_start, *first_row;     /* [n_programs + 1] */
    const int32_t *start;
    const int64_t *first_entry;                 /* [first_row[n_programs] + 1] */
    const int32_t *entries;                     /* [n_entries][2] row, scalar */
    const double *entry_weights;                /* [n_entries] */
    const int32_t *moment_mu, *moment_monomial; /* [n_accumulated]; x^a y^b z^s, numbered as moments of degree highest */
} tangent_plan;

typedef struct {
    centre_loops loops;
    /* weights [scalars] of E_i = sum of w B(i) -> values [stop - start][columns] = dE_i/dc[z_i] and
     * rows [pairs of these centres][3][columns] = d(dE_i/dr_ij)/dc[z_i] in list order */
    int (*coefficients)(const moments_plan *, const tangent_plan *, const centre_pairs *, const double *weights,
                        double *values, double *rows);
} moments_loops;

const moments_loops *moments_loops_find(const char *isa); /* "base", "avx2", "avx512"; NULL if not here */

#ifdef __cplusplus
}
#endif
#endif
