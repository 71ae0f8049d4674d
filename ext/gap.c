/* GAP kernel, compiled once per instruction set with -DISA=... -DLANES=....
 *
 * For a block of centres of one set: spectra into columns of Q, their products with the sparse points (gap_products.h),
 * and the adjoint of the spectrum. Where the neighbours are and the expansion coefficients are kept (7 kB a centre);
 * radial functions and harmonics are computed again for the adjoint: keeping them too (80 kB) gained 2 % at most.
 */
#include "gap_products.h"
#include "soap_adjoint.h"
#include "gap_single.h"

enum { CENTRES = 48, CACHE = 512 * 1024 }; /* most centres of a block, bytes for its Q and G */

typedef struct {
    scratch s;
    int64_t n_features;  /* padded to a multiple of 8 */
    int64_t most;        /* centres of a block, whole groups */
    size_t size_kept;
    int64_t *index;      /* [most] centres */
    char *kept;          /* [most][size_kept] layout_centre() of each */
    double *scale;       /* [most] 1 / norm of the spectra */
    double *Q, *G;       /* [most / GROUP][n_features][GROUP] */
    double *K;           /* [BLOCK][GROUP] */
    vec *e;              /* [most / LANES] */
    row_places *places;  /* [most / GROUP] */
    int64_t n_lead;      /* of sets in single precision, 0: none */
    split_scratch split;
} block;

static size_t layout_block(block *b, char *at)
{
    char *begin = at;
    int64_t d = sizeof(double), size = b->most * b->n_features;
    b->index = carve(&at, b->most, sizeof(int64_t));
    b->kept = carve(&at, b->most, (int64_t)b->size_kept);
    b->scale = carve(&at, b->most, d);
    b->Q = carve(&at, size, d), b->G = carve(&at, size, d);
    b->K = carve(&at, BLOCK * GROUP, d);
    b->e = carve(&at, b->most, d);
    b->places = carve(&at, b->most / GROUP, sizeof(row_places));
    if (b->n_lead)
        layout_split(&b->split, &at, b->n_features, b->n_lead);
    return (size_t)(at - begin);
}

/* For at most `n_centres` centres of at most `most` pairs. */
static void size_block(block *b, const gap_plan *plan, int64_t n_centres, int64_t most)
{
    size_scratch(&b->s, plan->soap, most, ADJOINT);
    b->n_features = b->s.n_packed;
    int64_t fit = CACHE / (2 * b->n_features * (int64_t)sizeof(double));
    fit = fit < CENTRES ? fit / GROUP * GROUP : CENTRES / GROUP * GROUP;
    b->n_lead = most_lead(plan);
    fit = b->n_lead ? fit / BOTH * BOTH : fit;
    int64_t least = b->n_lead ? BOTH : GROUP;
    b->most = fit > least ? fit : least;
    if (b->most > n_centres)
        b->most = round_up(n_centres, GROUP);
    b->size_kept = layout_centre(&b->s, plan->soap, NULL);
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
        layout_centre(&b->s, soap, b->kept + k * b->size_kept);
        look_around(&b->s, soap, pairs, b->index[k]);
        find_harmonics(&b->s, soap);
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

static void pull_back(block *b, const soap_plan *soap, int64_t first_pair, int64_t n, double *gradients)
{
    for (int64_t k = 0; k < n; k++) {
        layout_centre(&b->s, soap, b->kept + k * b->size_kept);
        b->s.n = b->s.species_start[soap->n_species];
        find_harmonics(&b->s, soap);
        const double *g = column(b, b->G, k);
        for (int64_t f = 0; f < soap->n_features; f++)
            b->s.g[f] = g[f * GROUP];
        adjoint(&b->s, soap, (double (*)[3])gradients, first_pair);
    }
}

static void evaluate_block(block *b, const gap_plan *plan, const gap_set *set, const centre_pairs *pairs, int64_t n,
                           double *energies, double *gradients, const row_output *out)
{
    fill_spectra(b, plan->soap, pairs, n);
    if (out)
        find_places(out, b->index, n, b->places);
    if (set->n_lead)
        split_products(set, b->n_features, n, b->Q, &b->split, b->G, b->e);
    else
        products(set, b->n_features, n, b->Q, b->K, b->G, b->e, out ? b->places : NULL);
    if (out && set->form != GAP_POWER)
        rows_of_points(set, b->n_features, n, b->Q, b->K, b->places);
    if (out && out->priors)
        add_priors(set, b->n_features, n, b->Q, b->index, out->priors - pairs->start);
    for (int64_t k = 0; k < n; k++)
        energies[b->index[k] - pairs->start] += ((double *)b->e)[k];
    if (!gradients)
        return;
    unscale(b, plan->soap, n);
    pull_back(b, plan->soap, pairs->first[pairs->start], n, gradients);
}

static void evaluate_sets(const gap_plan *plan, const centre_pairs *pairs, void *memory, double *energies,
                          double *gradients, row_output *out)
{
    block b;
    if (pairs->stop <= pairs->start)
        return;
    size_block(&b, plan, pairs->stop - pairs->start, most_pairs(pairs));
    size_t size = place_scratch(&b.s, plan->soap, memory);
    layout_block(&b, (char *)memory + size);
    memset(b.Q, 0, (size_t)(b.most * b.n_features) * sizeof(double)); /* the rows of pad features stay 0 */
    if (b.n_lead)
        memset(b.split.Q, 0, (size_t)(BOTH * b.n_features) * sizeof(float)); /* and lanes without a centre finite */
    for (int set = 0; set < plan->n_sets; set++) {
        int64_t n = 0;
        for (int64_t i = pairs->start; i < pairs->stop; i++) {
            if (plan->set_of[pairs->species[i]] != set)
                continue;
            b.index[n++] = i;
            if (n == b.most) {
                evaluate_block(&b, plan, plan->sets + set, pairs, n, energies, gradients, out);
                n = 0;
            }
        }
        if (n)
            evaluate_block(&b, plan, plan->sets + set, pairs, n, energies, gradients, out);
        if (out)
            out->rows += plan->sets[set].n_points;
    }
}

static void evaluate(const void *plan, const centre_pairs *pairs, void *memory, double *energies, double *gradients)
{
    evaluate_sets(plan, pairs, memory, energies, gradients, NULL);
}

static int64_t n_functions(const void *of)
{
    const gap_plan *plan = of;
    int64_t sum = 0;
    for (int set = 0; set < plan->n_sets; set++)
        sum += plan->sets[set].n_points;
    return sum;
}

static void evaluate_rows(const void *plan, const centre_pairs *pairs, void *memory, double *energies, double *gradients,
                          double *rows, int64_t stride, double *priors)
{
    row_output out = {rows, stride, priors, pairs->start};
    evaluate_sets(plan, pairs, memory, energies, gradients, &out);
}

const centre_kernel JOIN(gap_loops_, ISA) = {TEXT(ISA), LANES, scratch_size, evaluate, n_functions, evaluate_rows};
