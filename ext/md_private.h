/* What the parts of md.c share: its own arrays, and matrices of three by three. */
#ifndef KERNELFF_MD_PRIVATE_H
#define KERNELFF_MD_PRIVATE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "md.h"
#include "md_team.h"

typedef int64_t four __attribute__((vector_size(32), aligned(32), may_alias));
typedef int64_t four_at __attribute__((vector_size(32), aligned(8), may_alias)); /* anywhere */

typedef struct {
    int bins[3], reach[3], most[3];  /* bins; bins looked at on both sides; cell vectors that these extend over */
    double low[3], length[3], per_fraction[3];
    double inverse[9];               /* x . inverse = fraction of the cell vectors */
    int bits;                        /* of the number of a shift in an entry */
    vec *shifts;
    uint32_t *start, *members, *bin; /* [n_bins + 2], [n], [n] */
    vec *sorted;                     /* [n] positions in the order of the bins */
} grid;

/* What one thread owns. */
typedef struct {
    int64_t begin, end;              /* its centres */
    uint32_t *rows;                  /* their entries */
    int64_t room, n_pairs, most_pairs;
    int64_t block_pairs;             /* room of the arrays of a block */
    int64_t scratch_pairs;           /* pairs of a centre that the scratch is for */
    int64_t *block_first, *block_j;
    int32_t *block_species, *block_other;
    double *block_vectors, *block_gradients, *block_energies;
    void *scratch;
    double *rows_of_block, *priors;  /* [BLOCK][n_functions]; [2][BLOCK] priors, then energies that are not wanted or numbers */
    void *row_scratch;
    vec *forces;                     /* [n], of rank 0 those of the system */
    vec *virials;                    /* [n][3] likewise, once they have been asked for */
    int status;
    int64_t culprits[2];
    double worst;
    double energy, virial[9], kinetic[9], heat, moved, step2;
    int64_t fastest;
} thread_part;

typedef struct md_private {
    md_team team;
    grid grid;
    int64_t *first;                  /* [n + n_threads] rows of the centres among those of their thread */
    double *x0, cell0[9];            /* positions [n][3] and cell when the list was made */
    double moved;                    /* square of the largest displacement since then, in the cell that moves along */
    thread_part *parts;
    int want_virial, want_atoms, listed;
    /* of the stage that is being run */
    double part, time, kt;
    double turn[9], follow[9];       /* matrices on velocities, positions */
    double keep, draw, scale;        /* of noise and rescaling */
    uint32_t stream;
} md_private;

/* ---- matrices, row-major --------------------------------------------------------------------------- */

static void multiply(const double *a, const double *b, double *out)
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            out[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
}

static double determinant(const double *a)
{
    return a[0] * (a[4] * a[8] - a[5] * a[7]) - a[1] * (a[3] * a[8] - a[5] * a[6]) + a[2] * (a[3] * a[7] - a[4] * a[6]);
}

static void invert(const double *a, double *out)
{
    double d = 1.0 / determinant(a);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            int r = (j + 1) % 3, q = (j + 2) % 3, c = (i + 1) % 3, e = (i + 2) % 3;
            out[3 * i + j] = d * (a[3 * r + c] * a[3 * q + e] - a[3 * r + e] * a[3 * q + c]);
        }
}

/* exp(h a) by its series; a cell moves by some 1e-3 in a step, so that few terms do. */
static void exponential(const double *a, double h, double *out)
{
    double term[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, next[9];
    memcpy(out, term, sizeof term);
    for (int k = 1; k <= 12; k++) {
        multiply(term, a, next);
        for (int c = 0; c < 9; c++) {
            term[c] = next[c] * h / k;
            out[c] += term[c];
        }
    }
}

INLINE void apply(const double *matrix, double *row) /* row . matrix */
{
    double a = row[0], b = row[1], c = row[2];
    for (int k = 0; k < 3; k++)
        row[k] = a * matrix[k] + b * matrix[3 + k] + c * matrix[6 + k];
}

#endif
