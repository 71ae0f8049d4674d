/* Scratch of the SOAP loops for one centre, and how its arrays lie; for sources that are compiled once per instruction
 * set.
 *
 * Lanes: neighbours in geometry and harmonics, radial index (channels) everywhere else, so that
 * nothing is summed across lanes except four numbers per neighbour in the adjoint.
 *
 * Rows of channels (expansion c, adjoint h) are `width` doubles, a multiple of 8, with the real
 * channels at the END: `front = width - n_channels` pad lanes stand before them. Row u of a packed
 * upper triangle then ends where its last aligned block ends, and storing rows in descending order
 * lets a block spill only over elements that are written later: no masks, no lane shuffles.
 */
#ifndef KERNELFF_SOAP_SCRATCH_H
#define KERNELFF_SOAP_SCRATCH_H

#include "lanes.h"
#include "soap.h"

#define ROWS 8 /* rows of a power spectrum tile; divides `width` */

enum { VALUES, ADJOINT, GRADIENTS }; /* what a scratch is for: each needs more than the one before */
enum { MAX_ACCUMULATORS = 13 };

typedef struct {
    int purpose;
    int64_t n_vectors, width, front, stride, n_lm, n_packed;
    int64_t capacity;                       /* neighbours of one centre, a multiple of LANES */
    int64_t n;                              /* neighbours of this centre inside the cutoff, by channel */
    int64_t *species_start;                 /* [n_species + 1] neighbours by element */
    int64_t *group_start;                   /* [n_groups + 1] and by channels: the same, or all of them */
    int64_t *pair;                          /* [capacity] */
    double *x, *y, *z, *r, *inverse_r;      /* [capacity]; x, y, z become unit vectors */
    double *t, *inverse_step;               /* [capacity] place in the table's piece */
    const double **piece;                   /* [capacity] */
    double *harmonics;                      /* [capacity / LANES][n_lm][LANES] */
    double *c, *h;                          /* [n_lm][stride] */
    double *moved;                          /* [width / LANES][n_lm][4][LANES]: row and its 3 gradient moves */
    double *contracted;                     /* 2 neighbours x [l_max + 1][4][width] */
    double *rows;                           /* [2][l_max + 1][width]: R / r and slope over all channels */
    double *symmetric;                      /* [width][width] */
    double *packed_weights, *p, *g;         /* [n_packed] with pads around p */
    double *derivative;                     /* [3][n_packed + 8] with a pad before each */
    double scale;                           /* 1 / norm of this centre's spectrum (0 if the norm is 0) */
} scratch;

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

static void *carve(char **at, int64_t count, int64_t size)
{
    void *here = *at;
    *at += round_up(count * size, 64);
    return here;
}

/* What is known of one centre after look_around() and spectrum(): a kernel keeps these arrays for many centres. */
static size_t layout_centre(scratch *s, const soap_plan *plan, char *at)
{
    char *begin = at;
    int64_t n = s->capacity, d = sizeof(double);
    s->species_start = carve(&at, plan->n_species + 1, sizeof(int64_t));
    s->group_start = carve(&at, plan->n_groups + 1, sizeof(int64_t));
    s->pair = carve(&at, n, sizeof(int64_t));
    s->x = carve(&at, n, d), s->y = carve(&at, n, d), s->z = carve(&at, n, d);
    s->inverse_r = carve(&at, n, d);
    s->t = carve(&at, n, d), s->inverse_step = carve(&at, n, d);
    s->piece = carve(&at, n, sizeof(double *));
    s->c = carve(&at, s->n_lm * s->stride + 2 * LANES, d);
    return (size_t)(at - begin);
}

static size_t layout(scratch *s, const soap_plan *plan, char *at)
{
    char *begin = at;
    int64_t n = s->capacity, n_l = plan->l_max + 1, d = sizeof(double);
    at += layout_centre(s, plan, at);
    s->r = carve(&at, n, d);
    s->harmonics = carve(&at, n * s->n_lm, d);
    s->packed_weights = carve(&at, s->n_packed, d);
    s->p = (double *)carve(&at, s->n_packed + 16, d) + 8;
    if (s->purpose >= ADJOINT) {
        s->h = carve(&at, s->n_lm * s->stride + 2 * LANES, d);
        s->moved = carve(&at, (s->width + LANES) * s->n_lm * 4, d);
        s->symmetric = carve(&at, s->width * s->width, d);
        s->g = carve(&at, s->n_packed, d);
    }
    if (s->purpose == GRADIENTS) {
        s->contracted = carve(&at, 2 * n_l * 4 * s->width, d);
        s->rows = carve(&at, 2 * n_l * s->width + LANES, d);
        s->derivative = (double *)carve(&at, 3 * (s->n_packed + 8) + 8, d) + 8;
    }
    return (size_t)(at - begin);
}

/* Packed weights: f_l = 1 / sqrt(2l + 1), times sqrt2 off the diagonal; zero in the pad. */
static void fill_packed_weights(scratch *s, const soap_plan *plan)
{
    double *w = s->packed_weights;
    for (int l = 0; l <= plan->l_max; l++)
        for (int u = 0; u < plan->n_channels; u++)
            for (int v = u; v < plan->n_channels; v++)
                *w++ = (u == v ? 1.0 : sqrt(2.0)) / sqrt(2.0 * l + 1.0);
}

/* Sizes for centres of at most `most` pairs. */
static void size_scratch(scratch *s, const soap_plan *plan, int64_t most, int purpose)
{
    memset(s, 0, sizeof *s);
    s->purpose = purpose;
    s->n_vectors = (plan->n_max + LANES - 1) / LANES;
    s->width = round_up(plan->n_channels, ROWS);
    s->front = s->width - plan->n_channels;
    /* the pad lanes of the last group may spill behind its row */
    s->stride = s->width + (s->n_vectors * LANES > plan->n_max + s->front ? 8 : 0);
    s->n_lm = (int64_t)(plan->l_max + 1) * (plan->l_max + 1);
    s->n_packed = round_up(plan->n_features, 8);
    s->capacity = round_up(most + 1, LANES); /* gather() writes one past the last */
}

static int64_t most_pairs(const centre_pairs *pairs)
{
    int64_t most = 1;
    for (int64_t i = pairs->start; i < pairs->stop; i++)
        if (pairs->first[i + 1] - pairs->first[i] > most)
            most = pairs->first[i + 1] - pairs->first[i];
    return most;
}

/* Arrays of a scratch of known sizes in `memory`, 64-byte aligned; returns the bytes. */
static size_t place_scratch(scratch *s, const soap_plan *plan, void *memory)
{
    size_t size = layout(s, plan, memory);
    memset(memory, 0, size);
    fill_packed_weights(s, plan);
    return size;
}

#endif
