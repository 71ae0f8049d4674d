/* GAP kernel, compiled once per instruction set with -DISA=... -DLANES=....
 *
 * For a block of centres of one set: spectra into columns of Q, their products with the sparse points (gap_products.h),
 * and the adjoint of the spectrum. The expansion coefficients of the block are kept; radial functions and harmonics of
 * the neighbours are computed again for the adjoint, since writing and reading them (80 kB a centre) costs more.
 */
#include "gap_products.h"
#include "soap_adjoint.h"

enum { CENTRES = 96, CACHE = 512 * 1024 }; /* most centres of a block, bytes for its Q and G */

typedef struct {
    scratch s;
    int64_t n_features;  /* padded to a multiple of 8 */
    int64_t most;        /* centres of a block, whole groups */
    int64_t size_c;
    int64_t *index;      /* [most] centres */
    double *c;           /* [most][size_c] */
    double *scale;       /* [most] 1 / norm of the spectra */
    double *Q, *G;       /* [most / GROUP][n_features][GROUP] */
    double *K;           /* [BLOCK][GROUP] */
    vec *e;              /* [most / LANES] */
} block;

static size_t layout_block(block *b, char *at)
{
    char *begin = at;
    int64_t d = sizeof(double), size = b->most * b->n_features;
    b->index = carve(&at, b->most, sizeof(int64_t));
    b->c = carve(&at, b->most * b->size_c, d);
    b->scale = carve(&at, b->most, d);
    b->Q = carve(&at, size, d), b->G = carve(&at, size, d);
    b->K = carve(&at, BLOCK * GROUP, d);
    b->e = carve(&at, b->most, d);
    return (size_t)(at - begin);
}

/* For at most `n_centres` centres of at most `most` pairs. */
static void size_block(block *b, const gap_plan *plan, int64_t n_centres, int64_t most)
{
    size_scratch(&b->s, plan->soap, most, 1);
    b->n_features = b->s.n_packed;
    int64_t fit = CACHE / (2 * b->n_features * (int64_t)sizeof(double));
    fit = fit < CENTRES ? fit / GROUP * GROUP : CENTRES / GROUP * GROUP;
    b->most = fit > GROUP ? fit : GROUP;
    if (b->most > n_centres)
        b->most = round_up(n_centres, GROUP);
    b->size_c = round_up(b->s.n_lm * b->s.stride + 2 * LANES, 8);
}

static int64_t scratch_size(const void *of, int64_t most_pairs)
{
    const gap_plan *plan = of;
    block b;
    size_block(&b, plan, CENTRES, most_pairs > 1 ? most_pairs : 1);
    return (int64_t)(layout(&b.s, plan->soap, NULL) + layout_block(&b, NULL));
}

/* Column k of Q or G. */
INLINE double *column(const block *b, double *matrix, int64_t k)
{
    return matrix + k / GROUP * b->n_features * GROUP + k % GROUP;
}

static void fill_spectra(block *b, const soap_plan *soap, const centre_pairs *pairs, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        b->s.c = b->c + k * b->size_c;
        look_around(&b->s, soap, pairs, b->index[k], 0);
        spectrum(&b->s, soap, pairs, b->index[k]);
        b->scale[k] = b->s.scale;
        double *q = column(b, b->Q, k);
        for (int64_t f = 0; f < soap->n_features; f++)
            q[f * GROUP] = b->s.p[f];
    }
    for (int64_t k = n; k % LANES; k++) { /* lanes without a centre: whatever lies there might be NaN, which is slow */
        double *q = column(b, b->Q, k);
        for (int64_t f = 0; f < b->n_features; f++)
            q[f * GROUP] = 0.0;
        b->scale[k] = 0.0;
    }
}

/* de/dq -> de/dp in place: without its part along q where the spectrum is normalised, then the weights of p. */
static void unscale(block *b, const soap_plan *soap, int64_t n)
{
    for (int64_t k = 0; k < n; k += LANES) {
        const double *q = column(b, b->Q, k);
        double *g = column(b, b->G, k);
        vec along = ZERO, scale = *(vec *)(b->scale + k);
        if (soap->normalize)
            for (int64_t f = 0; f < b->n_features; f++)
                along += *(const vec *)(q + f * GROUP) * *(vec *)(g + f * GROUP);
        for (int64_t f = 0; f < b->n_features; f++) {
            vec across = *(vec *)(g + f * GROUP) - along * *(const vec *)(q + f * GROUP);
            *(vec *)(g + f * GROUP) = across * b->s.packed_weights[f] * scale;
        }
    }
}

static void pull_back(block *b, const soap_plan *soap, const centre_pairs *pairs, int64_t n, double *gradients)
{
    for (int64_t k = 0; k < n; k++) {
        b->s.c = b->c + k * b->size_c;
        look_around(&b->s, soap, pairs, b->index[k], 1);
        const double *g = column(b, b->G, k);
        for (int64_t f = 0; f < soap->n_features; f++)
            b->s.g[f] = g[f * GROUP];
        adjoint(&b->s, soap, (double (*)[3])gradients, pairs->first[pairs->start]);
    }
}

static void evaluate_block(block *b, const gap_plan *plan, const gap_set *set, const centre_pairs *pairs, int64_t n,
                           double *energies, double *gradients)
{
    fill_spectra(b, plan->soap, pairs, n);
    products(set, b->n_features, n, b->Q, b->K, b->G, b->e);
    for (int64_t k = 0; k < n; k++)
        energies[b->index[k] - pairs->start] += ((double *)b->e)[k];
    if (!gradients)
        return;
    unscale(b, plan->soap, n);
    pull_back(b, plan->soap, pairs, n, gradients);
}

static void evaluate(const void *of, const centre_pairs *pairs, void *memory, double *energies, double *gradients)
{
    const gap_plan *plan = of;
    block b;
    if (pairs->stop <= pairs->start)
        return;
    size_block(&b, plan, pairs->stop - pairs->start, most_pairs(pairs));
    size_t size = place_scratch(&b.s, plan->soap, memory);
    layout_block(&b, (char *)memory + size);
    memset(b.Q, 0, (size_t)(b.most * b.n_features) * sizeof(double)); /* the rows of pad features stay 0 */
    for (int set = 0; set < plan->n_sets; set++) {
        int64_t n = 0;
        for (int64_t i = pairs->start; i < pairs->stop; i++) {
            if (plan->set_of[pairs->species[i]] != set)
                continue;
            b.index[n++] = i;
            if (n == b.most) {
                evaluate_block(&b, plan, plan->sets + set, pairs, n, energies, gradients);
                n = 0;
            }
        }
        if (n)
            evaluate_block(&b, plan, plan->sets + set, pairs, n, energies, gradients);
    }
}

const centre_kernel JOIN(gap_loops_, ISA) = {TEXT(ISA), LANES, scratch_size, evaluate};
