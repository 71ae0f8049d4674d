/* Moment tensor potentials: local energies and pair gradients with the linear weights bound in.
 *
 *     e_i = sum over energy terms of w M_a M_b,   M the nodes: moments of the neighbourhood and sums of their products
 *
 * Plain C without Python. To run one from C or C++ (tests/c_driver does):
 *
 *     moments_potential plan = {...};                tables as kernelff/descriptors/moment_folding.py makes them
 *     const centre_kernel *kernel = moments_double_loops_find("avx512");
 *     void *scratch = aligned_alloc(64, kernel->scratch_size(&plan, most_pairs));    one per thread
 *     kernel->evaluate(&plan, &pairs, scratch, energies, gradients);                 adds; zero them before
 *
 * With the tables for rows the double kernel gives the scalars too, evaluate_rows(); uncertainty.h makes standard deviations
 * and extrapolation grades of them.
 *
 * Tables of numbers are of the kernel's type, double or float, and some are laid out for its lanes. Positions go in and
 * energies and gradients come out as double in either case. Lengths in Angstrom, energies in the unit of the weights.
 */
#ifndef KERNELFF_MOMENTS_POTENTIAL_H
#define KERNELFF_MOMENTS_POTENTIAL_H

#include "centres.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SUMS_TOGETHER = 4 }; /* sums that are worked through side by side: independent chains of arithmetic */

/* Sums of products weight * left[.] * right[.], SUMS_TOGETHER of the same length at a time. Runs of equal length follow
 * each other such that every sum comes after those that it is made of. */
typedef struct {
    int64_t n_runs;
    const int32_t *runs;         /* [n_runs][2] number of products in a sum, number of groups of sums */
    const int32_t *targets;      /* [n_groups][SUMS_TOGETHER] */
    const uint32_t *factors;     /* [n_groups][length][SUMS_TOGETHER][2] left, right: where they begin, in bytes */
    const void *weights;         /* [n_groups][length][SUMS_TOGETHER] */
} product_sums;

/* Nodes: moments sum_j f_mu(r_j) x^a y^b z^s of unit vectors in the order s, b, a, mu with s = 0 or 1,
 * a + b + s <= highest and mu <= (highest - a - b - s) / 2, then the number 1, then sums; the last n_energies add up to
 * e_i. Adjoints de_i/dnode: of the moments of degree up to degree[mu] in the order mu, b, s, a, with b and a
 * descending, then the number 1 for the energy, then of the sums. Both end with room for sums that fill a group. */
typedef struct {
    int32_t n_elements;
    const int32_t *elements;     /* [n_elements] number in centre_pairs.species -> species, < 0: not seen */
    int32_t n_species, n_mu, n_beta, n_blocks, highest;
    double cutoff, min_dist;
    /* P_mu and dP_mu/dr alternating, in n_blocks blocks of whole vectors: f_mu = (cutoff - r)^2 P_mu,
     * P_mu = sum_k c_k T_k(xi); [n_species (centre)][n_species][n_blocks][n_beta][lanes] */
    const void *radial;
    const int32_t *degree;       /* [n_mu] -1: not used */
    int32_t n_nodes, n_energies, one;
    int32_t n_adjoints, energy;
    product_sums nodes, adjoints;
    /* For evaluate_rows(), else 0: the scalars, without weights. Nodes as above up to the number 1, then sums of their own. */
    int32_t n_functions, n_row_nodes;
    const int32_t *functions;    /* [n_functions] nodes; double alone */
    product_sums rows;
} moments_potential;

const centre_kernel *moments_double_loops_find(const char *isa); /* "base", "avx2", "avx512"; NULL if not here */
const centre_kernel *moments_single_loops_find(const char *isa);

#ifdef __cplusplus
}
#endif
#endif
