/* Atom-centred symmetry functions: values, derivative rows and adjoint for a block of centres.
 *
 * Plain C without Python, as soap.h: symmetry.c is compiled once per instruction set and exports one
 * table `symmetry_loops_<isa>`. A plan is immutable while loops run, scratch is private to each call.
 */
#ifndef KERNELFF_SYMMETRY_H
#define KERNELFF_SYMMETRY_H

#include "centres.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SYMMETRY_OK = 0, SYMMETRY_NO_MEMORY = 1 };
enum { SYMMETRY_COSINE = 0, SYMMETRY_TANH3 = 1 };

/* u(r) = exp(-eta (r - r_s)^2) fc(r; cutoff), ordered by cutoff */
typedef struct {
    double eta, r_s, cutoff;
} symmetry_radial;

/* (1 + lambda cos)^zeta */
typedef struct {
    double lambda, zeta;
} symmetry_angular;

/* sum_j u(r_ij) over neighbours of one channel, or of all (channel -1) weighted by their numbers */
typedef struct {
    int32_t column, radial, channel;
} symmetry_two_body;

/* Three-body functions that share sum_{j<k} u(r_ij) u(r_ik) [u(r_jk) if closed]: members first .. first + count - 1. */
typedef struct {
    int32_t radial, closed, first, count;
} symmetry_group;

typedef struct {
    int32_t column, angular;
} symmetry_member;

/* The groups first .. first + count - 1 of one pair of channels for j and k, or of all pairs (channels -1)
 * weighted by both numbers; `open` if one of them does without u(r_jk). Lists of the angular factors that they use and
 * of the radial functions of r_jk that the closed ones use. */
typedef struct {
    int32_t channels[2], first, count, open;
    int32_t first_angular, n_angulars, first_closed, n_closed;
} symmetry_run;

typedef struct {
    int32_t n_species, n_columns, cutoff_kind;
    int32_t n_radials, n_angulars, n_two_bodies, n_groups, n_runs;
    double cutoff;                     /* the largest */
    const double *numbers;             /* [n_species] weights of the neighbours */
    const symmetry_radial *radials;
    const symmetry_angular *angulars;
    const symmetry_two_body *two_bodies;
    const symmetry_group *groups;
    const symmetry_member *members;
    const symmetry_run *runs;
    const int32_t *run_angulars, *run_closed;
    const double *factors, *offsets;   /* [n_species (centre)][n_columns]: q = factor sum + offset; factor 0: not listed */
} symmetry_plan;


const centre_loops *symmetry_loops_find(const char *isa); /* "base", "avx2", "avx512"; NULL if not here */

#ifdef __cplusplus
}
#endif
#endif
