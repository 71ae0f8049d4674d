/* A block of centres: all terms on it, then forces from its pair gradients. */
#ifndef KERNELFF_BLOCK_H
#define KERNELFF_BLOCK_H

#include <stdlib.h>
#include <string.h>

#include "forces.h"

#define INLINE static inline __attribute__((always_inline))
#define SQUARE(a) ((a) * (a))

typedef double vec __attribute__((vector_size(32), aligned(32), may_alias));       /* a row of four */
typedef double loose_vec __attribute__((vector_size(32), aligned(8), may_alias));  /* a row of three and what follows it */

enum { BLOCK = 96 }; /* centres that a kernel is given at a time: their pairs stay in the cache */

static void *aligned(int64_t size)
{
    void *memory = NULL;
    return posix_memalign(&memory, 64, (size_t)(size + 64)) ? NULL : memset(memory, 0, (size_t)(size + 64));
}

/* Scratch that serves every term, for centres of up to most_pairs. */
static int64_t scratch_of_terms(const centre_term *terms, int n_terms, int64_t most_pairs)
{
    int64_t size = 64;
    for (const centre_term *t = terms; t < terms + n_terms; t++) {
        int64_t wanted = t->kernel->scratch_size(t->plan, most_pairs);
        size = wanted > size ? wanted : size;
        wanted = t->row_kernel ? t->row_kernel->scratch_size(t->row_plan, most_pairs) : 0;
        size = wanted > size ? wanted : size;
    }
    return size;
}

/* Where the basis functions of a block go. */
typedef struct {
    int64_t n_functions;             /* of all terms together */
    double *rows;                    /* [n][n_functions] */
    double *priors, *spare;          /* [n]; priors NULL: not wanted */
} term_rows;

/* Add a term and its basis functions. */
static void evaluate_with_rows(const centre_term *t, const centre_pairs *pairs, void *scratch, double *energies,
                               double *gradients, const term_rows *to)
{
    double *rows = to->rows + t->column;
    if (t->row_plan != t->plan) { /* in another precision */
        t->kernel->evaluate(t->plan, pairs, scratch, energies, gradients);
        energies = to->spare, gradients = NULL;
    }
    t->row_kernel->evaluate_rows(t->row_plan, pairs, scratch, energies, gradients, rows, to->n_functions, to->priors);
}

/* Local energies and pair gradients [n_pairs + 2][3] of all terms; `least` is the square of the smallest distance.
 * On request (NULL: none) their basis functions. */
INLINE void evaluate_terms(const centre_term *terms, int n_terms, const centre_pairs *pairs, double least, void *scratch,
                           double *energies, double *gradients, const term_rows *rows)
{
    int64_t n = pairs->stop - pairs->start, n_pairs = pairs->first[pairs->stop] - pairs->first[pairs->start];
    memset(gradients, 0, (size_t)(3 * n_pairs + 4) * sizeof(double));
    memset(energies, 0, (size_t)n * sizeof(double));
    if (rows) {
        memset(rows->rows, 0, (size_t)(n * rows->n_functions) * sizeof(double));
        if (rows->priors)
            memset(rows->priors, 0, (size_t)n * sizeof(double));
    }
    for (const centre_term *t = terms; t < terms + n_terms; t++) {
        if (t->reach && !(least < SQUARE(t->reach)))
            continue;
        if (rows && t->row_kernel)
            evaluate_with_rows(t, pairs, scratch, energies, gradients, rows);
        else
            t->kernel->evaluate(t->plan, pairs, scratch, energies, gradients);
    }
}

/* The pairs of n centres from `begin` on, those of centre begin + u from first[u] on. */
typedef struct {
    int64_t begin, n;
    const int64_t *first;            /* [n + 1] */
    const int32_t *other;            /* neighbours, */
    const double *vectors;           /* [][3] and what follows belong to first[0] */
    const double *gradients;         /* [][3], one number more can be read */
} pair_block;

typedef struct {
    vec own, w[3];                   /* sum of the gradients of a centre; sums of their products with x, y, z */
} pair_sums;

INLINE void add_pair_of_block(const pair_block *b, int64_t k, vec *f, vec *virials, pair_sums *sums, const int want_virial)
{
    vec g = (vec)*(const loose_vec *)(b->gradients + 3 * k);
    sums->own += g;
    f[b->other[k]] -= g;
    for (int c = 0; c < 3 && want_virial; c++)
        sums->w[c] += b->vectors[3 * k + c] * g;
    for (int c = 0; c < 3 && virials; c++)
        virials[3 * (int64_t)b->other[k] + c] -= b->vectors[3 * k + c] * g;
}

/* Forces on both atoms of every pair, four numbers a row; on request -dE/dstrain, and (not NULL) the part of it that every
 * neighbour has, [][3] rows. Pairs add to two sums in turns: one would have to wait for itself. */
INLINE void scatter(const pair_block *block, vec *f, double *virial, vec *virials, const int want_virial)
{
    const pair_block b = *block;
    pair_sums even = {0}, odd = {0};
    for (int64_t u = 0; u < b.n; u++) {
        int64_t k = b.first[u] - b.first[0], end = b.first[u + 1] - b.first[0];
        even.own = odd.own = (vec){0};
        for (; k + 1 < end; k += 2) {
            add_pair_of_block(&b, k, f, virials, &even, want_virial);
            add_pair_of_block(&b, k + 1, f, virials, &odd, want_virial);
        }
        if (k < end)
            add_pair_of_block(&b, k, f, virials, &even, want_virial);
        f[b.begin + u] += even.own + odd.own;
    }
    for (int c = 0; c < 9 && want_virial; c++)
        virial[c] -= even.w[c / 3][c % 3] + odd.w[c / 3][c % 3];
}

#endif
