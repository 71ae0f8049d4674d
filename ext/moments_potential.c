/* Moment tensor potentials, compiled once per instruction set and precision with -DISA=... -DLANES=... [-DSINGLE].
 *
 * Lanes: LANES centres, neighbour k of each in slot k; lanes that have none hold one at the cutoff, where f = df = 0.
 * One pass: distances, radial functions and moments by groups of SLOTS neighbours, sums of products, their adjoints, and
 * one Horner polynomial per mu and neighbour for the gradients. A centre's numbers do not depend on the other lanes.
 */
#include "moments_potential.h"

#include "lanes.h"

#define SLOTS (BYTES == 64 ? 4 : 2)  /* neighbours of a lane taken together: independent chains of arithmetic */
#define MAX_BETA 64
#define UNROLL _Pragma("GCC unroll 16")
#define ONE ((vec)(ZERO + 1))
#ifdef SINGLE
#define PRECISION moments_single_loops_
#else
#define PRECISION moments_double_loops_
#endif

typedef struct {
    int64_t capacity, n;             /* slots: room, and in use; multiples of SLOTS */
    int32_t *pair;                   /* [capacity][LANES] among the pairs of the centre */
    int32_t *channel;                /* [capacity][LANES] where the coefficients of both species begin */
    vec *x, *y, *z, *r, *inverse;    /* [capacity] unit vectors, distance, 1 / r */
    vec *f, *df;                     /* [capacity / SLOTS][n_mu][SLOTS] radial functions and slopes */
    vec *chebyshev;                  /* [n_beta][SLOTS] */
    vec *nodes, *adjoints;
    int32_t count[LANES];            /* neighbours of each centre */
} scratch;

static void *carve(char **at, int64_t count, int64_t size)
{
    void *here = *at;
    *at += (count * size + 63) / 64 * 64;
    return here;
}

static int64_t layout(scratch *s, const moments_potential *plan, int64_t most_pairs, char *at)
{
    char *begin = at;
    int64_t n = s->capacity = (most_pairs + SLOTS - 1) / SLOTS * SLOTS, v = sizeof(vec);
    s->pair = carve(&at, n * LANES, sizeof(int32_t));
    s->channel = carve(&at, n * LANES, sizeof(int32_t));
    s->x = carve(&at, n, v), s->y = carve(&at, n, v), s->z = carve(&at, n, v);
    s->r = carve(&at, n, v), s->inverse = carve(&at, n, v);
    s->f = carve(&at, plan->n_mu * n, v), s->df = carve(&at, plan->n_mu * n, v);
    s->chebyshev = carve(&at, plan->n_beta * SLOTS, v);
    s->nodes = carve(&at, plan->n_nodes, v);
    s->adjoints = carve(&at, plan->n_adjoints, v);
    return at - begin;
}

static int64_t scratch_size(const void *plan, int64_t most_pairs)
{
    scratch s;
    return layout(&s, plan, most_pairs, NULL) + 64;
}

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

INLINE int32_t species_of(const moments_potential *plan, int32_t element)
{
    return element < 0 || element >= plan->n_elements ? -1 : plan->elements[element];
}

/* ---- neighbours ---------------------------------------------------------------------------------- */

/* Neighbours of centre i within the cutoff to the slots of lane u. */
INLINE int64_t fill_lane(scratch *s, const moments_potential *plan, const centre_pairs *pairs, int64_t i, int64_t u)
{
    real *x = (real *)s->x + u, *y = (real *)s->y + u, *z = (real *)s->z + u;
    int32_t *pair = s->pair + u, *channel = s->channel + u;
    double limit = plan->cutoff * plan->cutoff;
    int64_t begin = pairs->first[i], n = pairs->first[i + 1] - begin, at = 0;
    int32_t own = species_of(plan, pairs->species[i]), size = plan->n_blocks * plan->n_beta * LANES;
    if (own < 0)
        return 0;
    for (int64_t k = 0; k < n; k++) {
        const double *v = pairs->vectors + 3 * (begin + k);
        int32_t other = plan->n_species == 1 ? 0 : species_of(plan, pairs->species[pairs->j[begin + k]]);
        x[at] = (real)v[0], y[at] = (real)v[1], z[at] = (real)v[2];
        pair[at] = (int32_t)k;
        channel[at] = (own * plan->n_species + other) * size;
        at += (v[0] * v[0] + v[1] * v[1] + v[2] * v[2] < limit) & (other >= 0) ? LANES : 0;
    }
    return at / LANES;
}

static void fill_slots(scratch *s, const moments_potential *plan, const centre_pairs *pairs, int64_t begin)
{
    int64_t most = 0;
    real *x = (real *)s->x, *y = (real *)s->y, *z = (real *)s->z;
    for (int64_t u = 0; u < LANES; u++) {
        s->count[u] = begin + u < pairs->stop ? (int32_t)fill_lane(s, plan, pairs, begin + u, u) : 0;
        most = s->count[u] > most ? s->count[u] : most;
    }
    s->n = (most + SLOTS - 1) / SLOTS * SLOTS;
    for (int64_t u = 0; u < LANES; u++)
        for (int64_t at = s->count[u] * LANES + u; at < s->n * LANES; at += LANES) {
            x[at] = (real)plan->cutoff, y[at] = z[at] = 0;
            s->channel[at] = 0;
        }
}

/* Distances and unit vectors of SLOTS neighbours. */
INLINE void normalise(scratch *s, int64_t k)
{
    for (int t = 0; t < SLOTS; t++, k++) {
        vec x = s->x[k], y = s->y[k], z = s->z[k], r = square_root(x * x + y * y + z * z), inverse = 1 / r;
        s->r[k] = r, s->inverse[k] = inverse;
        s->x[k] = x * inverse, s->y[k] = y * inverse, s->z[k] = z * inverse;
    }
}

/* ---- radial functions ---------------------------------------------------------------------------- */

/* T_k(xi) of SLOTS neighbours. */
INLINE void chebyshev(const scratch *s, const moments_potential *plan, int64_t k, vec *values)
{
    real slope = (real)(2.0 / (plan->cutoff - plan->min_dist)), middle = (real)(0.5 * (plan->cutoff + plan->min_dist));
    vec xi[SLOTS], last[SLOTS], next[SLOTS];
    for (int t = 0; t < SLOTS; t++) {
        xi[t] = slope * (s->r[k + t] - middle);
        last[t] = ZERO, next[t] = ONE;
    }
    for (int b = 0; b < plan->n_beta; b++, values += SLOTS)
        for (int t = 0; t < SLOTS; t++) {
            vec value = next[t];
            values[t] = value;
            next[t] = b ? (vec)(2 * xi[t] * value - last[t]) : xi[t];
            last[t] = value;
        }
}

/* P_mu and slopes of SLOTS neighbours that are all of the same species. */
INLINE void mix_alike(const moments_potential *plan, const real *radial, const vec *values, vec *f, vec *df)
{
    for (int mu = 0; mu < plan->n_mu; mu++, f += SLOTS, df += SLOTS) {
        const real *c = radial + 2 * mu / LANES * plan->n_beta * LANES + 2 * mu % LANES;
        vec p[SLOTS], dp[SLOTS];
        for (int t = 0; t < SLOTS; t++)
            p[t] = dp[t] = ZERO;
        for (int b = 0; b < plan->n_beta; b++)
            for (int t = 0; t < SLOTS; t++) {
                p[t] += c[b * LANES] * values[b * SLOTS + t];
                dp[t] += c[b * LANES + 1] * values[b * SLOTS + t];
            }
        for (int t = 0; t < SLOTS; t++)
            f[t] = p[t], df[t] = dp[t];
    }
}

/* Lanes and rows of a square exchanged, by swapping blocks of 1, 2, 4, .. */
INLINE void transpose(vec *a)
{
    UNROLL
    for (int half = 1; half < LANES; half *= 2)
        UNROLL
        for (int i = 0; i < LANES; i++) {
            if (i & half)
                continue;
            ivec low, high;
            for (int u = 0; u < LANES; u++)
                low[u] = u & half ? LANES + u - half : u, high[u] = u & half ? LANES + u : u + half;
            vec one = a[i], two = a[i + half];
            a[i] = __builtin_shuffle(one, two, low), a[i + half] = __builtin_shuffle(one, two, high);
        }
}

/* The same for neighbours each of its own species: lanes are P_0, dP_0, P_1, .. meanwhile. */
INLINE void mix_different(const moments_potential *plan, const int32_t *channels, const vec *values, vec *f, vec *df)
{
    for (int t = 0; t < SLOTS; t++, channels += LANES)
        for (int block = 0; block < plan->n_blocks; block++) {
            const real *radial = (const real *)plan->radial + block * plan->n_beta * LANES, *at[LANES];
            vec sum[LANES];
            UNROLL
            for (int u = 0; u < LANES; u++)
                sum[u] = ZERO, at[u] = radial + channels[u];
            for (int b = 0; b < plan->n_beta; b++) {
                const real *value = (const real *)(values + b * SLOTS + t);
                UNROLL
                for (int u = 0; u < LANES; u++)
                    sum[u] += value[u] * *(const vec *)(at[u] + b * LANES);
            }
            transpose(sum);
            int first = block * LANES / 2;
            UNROLL
            for (int m = 0; m < LANES / 2; m++)
                if (first + m < plan->n_mu) {
                    f[(first + m) * SLOTS + t] = sum[2 * m];
                    df[(first + m) * SLOTS + t] = sum[2 * m + 1];
                }
        }
}

/* f_mu and slopes of SLOTS neighbours. */
INLINE void radial_functions(scratch *s, const moments_potential *plan, int64_t k, vec *f, vec *df)
{
    chebyshev(s, plan, k, s->chebyshev);
    if (plan->n_species == 1)
        mix_alike(plan, plan->radial, s->chebyshev, f, df);
    else
        mix_different(plan, s->channel + k * LANES, s->chebyshev, f, df);
    for (int mu = 0; mu < plan->n_mu; mu++)
        for (int t = 0; t < SLOTS; t++, f++, df++) {
            vec rest = (real)plan->cutoff - s->r[k + t], p = *f * rest;
            *f = p * rest;
            *df = *df * rest * rest - 2 * p;
        }
}

/* ---- moments and sums of products ---------------------------------------------------------------- */

/* nodes += f_mu x^a y^b z^s of SLOTS neighbours; `highest` is a constant where this is inlined. */
INLINE void accumulate(const scratch *s, int64_t k, const vec *f, const int highest)
{
    vec *node = s->nodes, x[SLOTS], y[SLOTS];
    for (int t = 0; t < SLOTS; t++)
        x[t] = s->x[k + t], y[t] = s->y[k + t];
    UNROLL
    for (int power = 0; power <= 1 && power <= highest; power++) {
        vec lead[SLOTS];
        for (int t = 0; t < SLOTS; t++)
            lead[t] = power ? s->z[k + t] : ONE;
        UNROLL
        for (int b = 0; b <= highest - power; b++) {
            vec m[SLOTS];
            for (int t = 0; t < SLOTS; t++)
                m[t] = lead[t];
            UNROLL
            for (int a = 0; a <= highest - power - b; a++) {
                UNROLL
                for (int mu = 0; mu <= (highest - power - b - a) / 2; mu++, node++)
                    for (int t = 0; t < SLOTS; t++)
                        *node += f[mu * SLOTS + t] * m[t];
                for (int t = 0; t < SLOTS; t++)
                    m[t] *= x[t];
            }
            for (int t = 0; t < SLOTS; t++)
                lead[t] *= y[t];
        }
    }
}

#define MOMENTS(highest) \
    static __attribute__((noinline)) void moments_##highest(const scratch *s, int64_t k, const vec *f) \
    { \
        accumulate(s, k, f, highest); \
    }
MOMENTS(0) MOMENTS(1) MOMENTS(2) MOMENTS(3) MOMENTS(4) MOMENTS(5) MOMENTS(6) MOMENTS(7) MOMENTS(8)
static void (*const moments_of[])(const scratch *, int64_t, const vec *) = {
    moments_0, moments_1, moments_2, moments_3, moments_4, moments_5, moments_6, moments_7, moments_8};
enum { UNROLLED = sizeof moments_of / sizeof moments_of[0] };

static void all_moments(scratch *s, const moments_potential *plan)
{
    memset(s->nodes, 0, plan->one * sizeof(vec));
    s->nodes[plan->one] = ONE;
    for (int64_t k = 0; k < s->n; k += SLOTS) {
        vec *f = s->f + k * plan->n_mu;
        normalise(s, k);
        radial_functions(s, plan, k, f, s->df + k * plan->n_mu);
        if (plan->highest < UNROLLED)
            moments_of[plan->highest](s, k, f);
        else
            accumulate(s, k, f, plan->highest);
    }
}

static void add_products(const product_sums *sums, const vec *left, const vec *right, vec *out)
{
    const int32_t *target = sums->targets, *factor = sums->factors;
    const real *weight = sums->weights;
    for (int64_t run = 0; run < sums->n_runs; run++)
        for (int32_t group = 0; group < sums->runs[2 * run + 1]; group++, target += SUMS_TOGETHER) {
            vec sum[SUMS_TOGETHER];
            for (int t = 0; t < SUMS_TOGETHER; t++)
                sum[t] = ZERO;
            for (int32_t p = 0; p < sums->runs[2 * run]; p++, factor += 2 * SUMS_TOGETHER, weight += SUMS_TOGETHER)
                for (int t = 0; t < SUMS_TOGETHER; t++)
                    sum[t] += weight[t] * left[factor[2 * t]] * right[factor[2 * t + 1]];
            for (int t = 0; t < SUMS_TOGETHER; t++)
                out[target[t]] = sum[t];
        }
}

#include "moments_pull.h"

static void evaluate(const void *of, const centre_pairs *pairs, void *memory, double *energies, double *gradients)
{
    const moments_potential *plan = of;
    scratch s;
    int64_t most = 0, base = pairs->first[pairs->start];
    for (int64_t i = pairs->start; i < pairs->stop; i++)
        if (pairs->first[i + 1] - pairs->first[i] > most)
            most = pairs->first[i + 1] - pairs->first[i];
    layout(&s, plan, most, memory);
    for (int64_t begin = pairs->start; begin < pairs->stop; begin += LANES) {
        int64_t n_centres = least(LANES, pairs->stop - begin);
        fill_slots(&s, plan, pairs, begin);
        all_moments(&s, plan);
        add_products(&plan->nodes, s.nodes, s.nodes, s.nodes);
        for (int64_t u = 0; u < n_centres; u++)
            for (int32_t e = 0; e < plan->n_energies; e++)
                energies[begin - pairs->start + u] += s.nodes[plan->n_nodes - plan->n_energies + e][u];
        if (gradients) {
            s.adjoints[plan->energy] = ONE;
            add_products(&plan->adjoints, s.adjoints, s.nodes, s.adjoints);
            store_pulls(&s, plan, pairs->first + begin, base, gradients);
        }
    }
}

const centre_kernel JOIN(PRECISION, ISA) = {TEXT(ISA), LANES, scratch_size, evaluate};
