/* Numbers of centres from their rows, compiled once per instruction set with -DISA=... -DLANES=....
 *
 * Lanes are centres, as in gap_products.h, whose micro-kernel this uses: rows of up to MANY groups of centres are turned into
 * columns, and blocks of panels, chunk by chunk of the functions, are taken for all of them while they are in the cache.
 */
#include "uncertainty.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "gap_products.h"
#pragma GCC diagnostic pop

enum { MANY = 96 / GROUP, CENTRES = MANY * GROUP };
_Static_assert((int)UNCERTAINTY_PANEL == (int)GAP_PANEL, "tiles are of panels of this many rows");

typedef struct {
    int64_t index[CENTRES];      /* centres of the range */
    int32_t element[CENTRES];
    vec sums[MANY][WIDE];        /* of squares; largest */
    vec K[MANY][BLOCK * WIDE];   /* [BLOCK][GROUP] */
    double columns[];            /* [MANY][n][GROUP] */
} scratch;

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t scratch_size(const uncertainty_plan *plan)
{
    int64_t most = 0;
    for (int32_t b = 0; b < plan->n_blocks; b++)
        most = plan->blocks[b].n > most ? plan->blocks[b].n : most;
    return (int64_t)sizeof(scratch) + most * CENTRES * (int64_t)sizeof(double) + 64;
}

/* The functions of one group of centres as columns [n][GROUP]; lanes without a centre have 0. */
static void turn(const uncertainty_block *block, const int64_t *index, int64_t n_centres, const double *rows, int64_t stride,
                 double *to)
{
    const double *from[GROUP];
    for (int64_t k = 0; k < GROUP; k++)
        from[k] = k < n_centres ? rows + index[k] * stride : NULL;
    for (int64_t v = 0; v < n_centres; v += LANES) {
        int64_t b = 0, whole = v + LANES <= n_centres;
        for (; whole && b + LANES <= block->n; b += LANES) {
            const int32_t *at = block->columns + b;
            vec square[LANES];
            if (at[LANES - 1] - at[0] != LANES - 1) /* ascending, so these follow each other without a gap */
                break;
#pragma GCC unroll 8
            for (int u = 0; u < LANES; u++)
                square[u] = *(const uvec *)(from[v + u] + at[0]);
            transpose(square);
#pragma GCC unroll 8
            for (int u = 0; u < LANES; u++)
                *(vec *)(to + (b + u) * GROUP + v) = square[u];
        }
        for (; b < block->n; b++)
            for (int64_t u = v; u < v + LANES; u++)
                to[b * GROUP + u] = from[u] ? from[u][block->columns[b]] : 0.0;
    }
}

/* K [n panels][GAP_PANEL][GROUP] (+)= panels p0 .. times the functions f .. f + FEATURES - 1. */
INLINE void chunk_of_group(const int wide, const uncertainty_block *block, int64_t p0, int64_t n, int64_t f, const double *Q,
                           double *K)
{
    for (int64_t p = p0; p < p0 + n; p++, K += GAP_PANEL * GROUP) {
        int64_t count = least(block->lengths[p] - f, FEATURES);
        const double *X = block->panels + block->begins[p] + f * GAP_PANEL;
        if (count > 0)
            for (int t = 0; t < GAP_PANEL; t += TILE)
                tile_values(wide, count, X + t, Q + f * GROUP, K + t * GROUP, f > 0);
        else if (!f)
            memset(K, 0, GAP_PANEL * GROUP * sizeof(double));
    }
}

INLINE vec larger(vec a, vec b) /* a where one is not a number */
{
    ivec other = b > a;
    return (vec)((other & (ivec)b) | (~other & (ivec)a));
}

/* Constants of the element of each lane. */
INLINE vec constant_of(const uncertainty_plan *plan, const int32_t *element, int64_t n, int64_t row)
{
    vec c = ZERO;
    for (int64_t u = 0; u < LANES && u < n; u++)
        c[u] = plan->constants[element[u]][row];
    return c;
}

static void reduce(const uncertainty_plan *plan, const int32_t *element, int64_t n_centres, int64_t begin, int64_t n_rows,
                   const double *K, vec *sums)
{
    for (int64_t s = 0; s < n_rows; s++, K += GROUP)
        for (int64_t v = 0; v * LANES < n_centres; v++) {
            vec k = *(const vec *)(K + v * LANES);
            if (plan->kind != UNCERTAINTY_GRADE) {
                sums[v] += k * k;
                continue;
            }
            k += constant_of(plan, element + v * LANES, n_centres - v * LANES, begin + s);
            ivec odd = sums[v] != sums[v];
            sums[v] = larger(larger(k, -k), sums[v]);
            sums[v] = (vec)((ivec)sums[v] | odd); /* what was not a number stays that */
        }
}

static void sum_groups(const uncertainty_plan *plan, const uncertainty_block *block, int64_t n_centres, scratch *s)
{
    memset(s->sums, 0, sizeof s->sums);
    for (int64_t p = 0; p < block->n_panels; p += PANELS) {
        int64_t n = least(PANELS, block->n_panels - p), f = 0, longest = 0;
        for (int64_t k = p; k < p + n; k++)
            longest = block->lengths[k] > longest ? block->lengths[k] : longest;
        do {
            for (int64_t g = 0; g * GROUP < n_centres; g++) {
                int64_t rest = n_centres - g * GROUP;
                const double *Q = s->columns + g * block->n * GROUP;
                double *K = (double *)s->K[g];
                if (rest > 2 * LANES)
                    chunk_of_group(3, block, p, n, f, Q, K);
                else if (rest > LANES)
                    chunk_of_group(2, block, p, n, f, Q, K);
                else
                    chunk_of_group(1, block, p, n, f, Q, K);
            }
            f += FEATURES;
        } while (f < longest);
        for (int64_t g = 0; g * GROUP < n_centres; g++)
            reduce(plan, s->element + g * GROUP, least(n_centres - g * GROUP, GROUP), p * GAP_PANEL, n * GAP_PANEL,
                   (const double *)s->K[g], s->sums[g]);
    }
}

static double number_of(uncertainty_kind kind, double sum, double prior)
{
    if (kind == UNCERTAINTY_GRADE)
        return sum;
    if (kind == UNCERTAINTY_STD)
        return sqrt(sum);
    double least_share = 2.220446049250313e-16, share = prior > 0.0 ? (prior - sum) / prior : 1.0;
    return sqrt(share < least_share ? least_share : share);
}

static void measure_centres(const uncertainty_plan *plan, const uncertainty_block *block, int64_t n_centres, scratch *s,
                            const double *rows, int64_t stride, const double *priors, double *numbers)
{
    for (int64_t g = 0; g * GROUP < n_centres; g++)
        turn(block, s->index + g * GROUP, least(n_centres - g * GROUP, GROUP), rows, stride,
             s->columns + g * block->n * GROUP);
    sum_groups(plan, block, n_centres, s);
    for (int64_t k = 0; k < n_centres; k++)
        numbers[s->index[k]] = number_of(plan->kind, ((const double *)s->sums)[k], priors ? priors[s->index[k]] : 0.0);
}

static int32_t block_of(const uncertainty_plan *plan, int32_t element)
{
    return element < 0 || element >= plan->n_elements ? -1 : plan->block_of[element];
}

static void measure(const uncertainty_plan *plan, const centre_pairs *pairs, void *memory, const double *rows,
                    int64_t stride, const double *priors, double *numbers)
{
    scratch *s = memory;
    int64_t n_centres = pairs->stop - pairs->start;
    for (int32_t b = -1; b < plan->n_blocks; b++) {
        int64_t n = 0;
        for (int64_t i = 0; i < n_centres; i++) {
            int32_t element = pairs->species[pairs->start + i];
            if (block_of(plan, element) != b)
                continue;
            if (b < 0) {
                numbers[i] = plan->kind == UNCERTAINTY_STD ? 0.0 : plan->kind == UNCERTAINTY_NOVELTY ? 1.0 : INFINITY;
                continue;
            }
            s->index[n] = i, s->element[n] = element;
            if (++n == CENTRES) {
                measure_centres(plan, plan->blocks + b, n, s, rows, stride, priors, numbers);
                n = 0;
            }
        }
        if (n)
            measure_centres(plan, plan->blocks + b, n, s, rows, stride, priors, numbers);
    }
}

const uncertainty_loops JOIN(uncertainty_loops_, ISA) = {TEXT(ISA), LANES, scratch_size, measure};
