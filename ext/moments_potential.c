/* Moment tensor potentials, compiled once per instruction set and precision with -DISA=... -DLANES=... [-DSINGLE].
 *
 * Lanes: LANES centres, neighbour k of each in slot k; lanes that have none hold one at the cutoff, where f = df = 0.
 * One pass: distances, radial functions and moments by groups of SLOTS neighbours, sums of products, their adjoints, and
 * one Horner polynomial per mu and neighbour for the gradients. A centre's numbers do not depend on the other lanes.
 */
#include "moments_potential.h"

#include "lanes.h"

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#define SLOTS (BYTES == 64 ? 4 : 2)  /* neighbours of a lane taken together: independent chains of arithmetic */
#define UNROLL _Pragma("GCC unroll 16")
#define ONE ((vec)(ZERO + 1))
#ifdef SINGLE
#define PRECISION moments_single_loops_
#else
#define PRECISION moments_double_loops_
#endif

typedef struct {
    int64_t n;                       /* slots in use, a multiple of SLOTS; slot k holds neighbour k of every lane */
    int64_t count[LANES];            /* neighbours of each centre */
    int sorted_out;                  /* pairs of the list were left out: those of slot k are `pair` */
    vec *xyz;                        /* [n][3] vector, then unit vector, then pair gradient */
    vec *inverse;                    /* [n] 1 / r */
    int32_t *pair;                   /* [n][LANES] among the pairs of the centre */
    int32_t *channel;                /* [n][LANES] where the coefficients of both species begin */
    vec *f, *df;                     /* [n / SLOTS][n_mu][SLOTS] radial functions and slopes */
    vec *chebyshev;                  /* [n_beta][SLOTS] */
    vec *nodes, *adjoints;
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
    int64_t n = (most_pairs + SLOTS - 1) / SLOTS * SLOTS, v = sizeof(vec);
    s->xyz = carve(&at, 3 * n + LANES, v); /* whole squares */
    s->inverse = carve(&at, n, v);
    s->pair = carve(&at, n * LANES, sizeof *s->pair), s->channel = carve(&at, n * LANES, sizeof *s->channel);
    s->f = carve(&at, plan->n_mu * n, v), s->df = carve(&at, plan->n_mu * n, v);
    s->chebyshev = carve(&at, plan->n_beta * SLOTS, v);
    s->nodes = carve(&at, plan->n_nodes > plan->n_row_nodes ? plan->n_nodes : plan->n_row_nodes, v);
    s->adjoints = carve(&at, plan->n_adjoints, v);
    return at - begin;
}

static int64_t scratch_size(const void *plan, int64_t most_pairs)
{
    scratch s;
    return layout(&s, plan, most_pairs, NULL) + 64;
}

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

#include "moments_slots.h"

/* ---- radial functions ---------------------------------------------------------------------------- */

/* A step of Newton's towards 1 / sqrt(x): twice as many digits. */
INLINE vec closer_root(vec y, vec x) { return y + (real)0.5 * y * (1 - x * y * y); }

/* 1 / sqrt(x) without a root or a quotient of the full width, which take longer than all that follows here. */
#if defined(__AVX512F__) && defined(SINGLE)
INLINE vec inverse_root(vec x) { return closer_root((vec)_mm512_rsqrt14_ps((__m512)x), x); }
#elif defined(__AVX512F__)
INLINE vec inverse_root(vec x) { return closer_root(closer_root((vec)_mm512_rsqrt14_pd((__m512d)x), x), x); }
#elif defined(SINGLE)
INLINE vec inverse_root(vec x) { return 1 / square_root(x); }
#else
typedef float half __attribute__((vector_size(4 * LANES)));

INLINE vec inverse_root(vec x)
{
    half low = __builtin_convertvector(x, half);
    for (int u = 0; u < LANES; u++)
        low[u] = sqrtf(low[u]);
    return closer_root(closer_root(__builtin_convertvector(1 / low, vec), x), x);
}
#endif

/* What distances of SLOTS neighbours leave of the cutoff, 0 beyond it; their unit vectors. */
INLINE void normalise(vec *xyz, vec *inverses, real cutoff, vec *rest)
{
    for (int t = 0; t < SLOTS; t++) {
        vec x = xyz[3 * t], y = xyz[3 * t + 1], z = xyz[3 * t + 2], square = x * x + y * y + z * z;
        vec inverse = inverse_root(square), left = cutoff - square * inverse;
        rest[t] = where(left > 0, left), inverses[t] = inverse;
        xyz[3 * t] = x * inverse, xyz[3 * t + 1] = y * inverse, xyz[3 * t + 2] = z * inverse;
    }
}

/* T_k(xi) of SLOTS neighbours. */
INLINE void chebyshev(const moments_potential *plan, const vec *rest, vec *values)
{
    real slope = (real)(2.0 / (plan->cutoff - plan->min_dist));
    vec xi[SLOTS], last[SLOTS], next[SLOTS];
    for (int t = 0; t < SLOTS; t++) {
        xi[t] = 1 - slope * rest[t];
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

/* f = rest^2 p and its slope, rest = cutoff - r. */
INLINE void with_cutoff(vec rest, vec p, vec dp, vec *f, vec *df)
{
    vec once = p * rest;
    *f = once * rest;
    *df = dp * rest * rest - 2 * once;
}

/* f_mu and slopes of SLOTS neighbours in a model of one species, for `together` mu: values are loaded once for all. */
INLINE void mix_some(const moments_potential *plan, int mu, const int together, const vec *rest, const vec *values,
                     vec *f, vec *df)
{
    const real *c[2];
    vec p[2][SLOTS], dp[2][SLOTS];
    for (int m = 0; m < together; m++) {
        c[m] = (const real *)plan->radial + 2 * (mu + m) / LANES * plan->n_beta * LANES + 2 * (mu + m) % LANES;
        for (int t = 0; t < SLOTS; t++)
            p[m][t] = dp[m][t] = ZERO;
    }
    for (int64_t b = 0; b < plan->n_beta; b++, values += SLOTS)
        for (int t = 0; t < SLOTS; t++) {
            vec value = values[t];
            for (int m = 0; m < together; m++) {
                p[m][t] += c[m][b * LANES] * value;
                dp[m][t] += c[m][b * LANES + 1] * value;
            }
        }
    for (int m = 0; m < together; m++)
        for (int t = 0; t < SLOTS; t++)
            with_cutoff(rest[t], p[m][t], dp[m][t], f + (mu + m) * SLOTS + t, df + (mu + m) * SLOTS + t);
}

INLINE void mix_alike(const moments_potential *plan, const vec *rest, const vec *values, vec *f, vec *df)
{
    int mu = 0;
    for (; mu + 1 < plan->n_mu; mu += 2)
        mix_some(plan, mu, 2, rest, values, f, df);
    if (mu < plan->n_mu)
        mix_some(plan, mu, 1, rest, values, f, df);
}

/* The same for neighbours each of its own species: lanes are P_0, dP_0, P_1, .. meanwhile. */
INLINE void mix_different(const moments_potential *plan, const int32_t *channels, const vec *rest, const vec *values, vec *f,
                          vec *df)
{
    for (int t = 0; t < SLOTS; t++)
        for (int block = 0; block < plan->n_blocks; block++) {
            const real *radial = (const real *)plan->radial + block * plan->n_beta * LANES, *at[LANES];
            const real *value = (const real *)(values + t);
            vec sum[LANES];
            UNROLL
            for (int u = 0; u < LANES; u++)
                sum[u] = ZERO, at[u] = radial + channels[t * LANES + u];
            for (int64_t b = 0; b < plan->n_beta; b++, value += SLOTS * LANES)
                UNROLL
                for (int u = 0; u < LANES; u++)
                    sum[u] += value[u] * *(const vec *)(at[u] + b * LANES);
            transpose(sum);
            int first = block * LANES / 2;
            UNROLL
            for (int m = 0; m < LANES / 2; m++)
                if (first + m < plan->n_mu) {
                    int64_t at = (first + m) * SLOTS + t;
                    with_cutoff(rest[t], sum[2 * m], sum[2 * m + 1], f + at, df + at);
                }
        }
}

/* f_mu and slopes of the SLOTS neighbours from k on. */
INLINE void radial_functions(const scratch *s, const moments_potential *plan, int64_t k, vec *f, vec *df)
{
    vec rest[SLOTS];
    normalise(s->xyz + 3 * k, s->inverse + k, (real)plan->cutoff, rest);
    chebyshev(plan, rest, s->chebyshev);
    if (plan->n_species == 1)
        mix_alike(plan, rest, s->chebyshev, f, df);
    else
        mix_different(plan, s->channel + k * LANES, rest, s->chebyshev, f, df);
}

/* ---- moments and sums of products ---------------------------------------------------------------- */

/* nodes += f_mu x^a y^b z^s of SLOTS neighbours; `highest` is a constant where this is inlined. */
INLINE void accumulate(vec *node, const vec *xyz, const vec *f, const int highest)
{
    vec x[SLOTS], y[SLOTS];
    for (int t = 0; t < SLOTS; t++)
        x[t] = xyz[3 * t], y[t] = xyz[3 * t + 1];
    UNROLL
    for (int power = 0; power <= 1 && power <= highest; power++) {
        vec lead[SLOTS];
        for (int t = 0; t < SLOTS; t++)
            lead[t] = power ? xyz[3 * t + 2] : ONE;
        UNROLL
        for (int b = 0; b <= highest - power; b++) {
            vec m[SLOTS];
            for (int t = 0; t < SLOTS; t++)
                m[t] = lead[t];
            UNROLL
            for (int a = 0; a <= highest - power - b; a++) {
                UNROLL
                for (int mu = 0; mu <= (highest - power - b - a) / 2; mu++, node++) {
                    vec sum = *node; /* one store: the compiler cannot know that node and f are apart */
                    for (int t = 0; t < SLOTS; t++)
                        sum += f[mu * SLOTS + t] * m[t];
                    *node = sum;
                }
                for (int t = 0; t < SLOTS; t++)
                    m[t] *= x[t];
            }
            for (int t = 0; t < SLOTS; t++)
                lead[t] *= y[t];
        }
    }
}

#define MOMENTS(highest) \
    static __attribute__((noinline)) void moments_##highest(vec *nodes, const vec *xyz, const vec *f) \
    { \
        accumulate(nodes, xyz, f, highest); \
    }
MOMENTS(0) MOMENTS(1) MOMENTS(2) MOMENTS(3) MOMENTS(4) MOMENTS(5) MOMENTS(6) MOMENTS(7) MOMENTS(8)
static void (*const moments_of[])(vec *, const vec *, const vec *) = {
    moments_0, moments_1, moments_2, moments_3, moments_4, moments_5, moments_6, moments_7, moments_8};
enum { UNROLLED = sizeof moments_of / sizeof moments_of[0] };

static void all_moments(scratch *s, const moments_potential *plan)
{
    memset(s->nodes, 0, plan->one * sizeof(vec));
    s->nodes[plan->one] = ONE;
    for (int64_t k = 0; k < s->n; k += SLOTS) {
        vec *f = s->f + k * plan->n_mu;
        radial_functions(s, plan, k, f, s->df + k * plan->n_mu);
        if (plan->highest < UNROLLED)
            moments_of[plan->highest](s->nodes, s->xyz + 3 * k, f);
        else
            accumulate(s->nodes, s->xyz + 3 * k, f, plan->highest);
    }
}

INLINE vec factor_at(const vec *nodes, uint32_t bytes) { return *(const vec *)((const char *)nodes + bytes); }

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
INLINE uint32_t first_of(uint64_t both) { return (uint32_t)both; }
INLINE uint32_t second_of(uint64_t both) { return (uint32_t)(both >> 32); }
#else
INLINE uint32_t first_of(uint64_t both) { return (uint32_t)(both >> 32); }
INLINE uint32_t second_of(uint64_t both) { return (uint32_t)both; }
#endif

static void add_products(const product_sums *sums, const vec *left, const vec *right, vec *out)
{
    const int32_t *target = sums->targets;
    const uint32_t *factor = sums->factors;
    const real *weight = sums->weights;
    for (int64_t run = 0; run < sums->n_runs; run++)
        for (int32_t group = 0; group < sums->runs[2 * run + 1]; group++, target += SUMS_TOGETHER) {
            vec sum[SUMS_TOGETHER];
            for (int t = 0; t < SUMS_TOGETHER; t++)
                sum[t] = ZERO;
            for (int32_t p = 0; p < sums->runs[2 * run]; p++, factor += 2 * SUMS_TOGETHER, weight += SUMS_TOGETHER)
                for (int t = 0; t < SUMS_TOGETHER; t++) {
                    uint64_t both; /* in one load: loads are what bounds this */
                    memcpy(&both, factor + 2 * t, sizeof both);
                    sum[t] += weight[t] * factor_at(left, first_of(both)) * factor_at(right, second_of(both));
                }
            for (int t = 0; t < SUMS_TOGETHER; t++)
                out[target[t]] = sum[t];
        }
}

#include "moments_pull.h"

/* Values of the scalars to the rows of the centres of a block; the sums of the energy overwrite them next. */
static void store_rows(scratch *s, const moments_potential *plan, int64_t n_centres, double *rows, int64_t stride)
{
    const real *nodes = (const real *)s->nodes;
    add_products(&plan->rows, s->nodes, s->nodes, s->nodes);
    for (int64_t u = 0; u < n_centres; u++, rows += stride)
        for (int64_t b = 0; b < plan->n_functions; b++)
            rows[b] = (double)nodes[(int64_t)plan->functions[b] * LANES + u];
}

INLINE void evaluate_all(const moments_potential *plan, const centre_pairs *pairs, void *memory, double *energies,
                         double *gradients, double *rows, int64_t stride)
{
    scratch s;
    double *pulled[LANES];
    int64_t most = 0, base = pairs->first[pairs->start];
    for (int64_t i = pairs->start; i < pairs->stop; i++)
        if (pairs->first[i + 1] - pairs->first[i] > most)
            most = pairs->first[i + 1] - pairs->first[i];
    layout(&s, plan, most, memory);
    for (int64_t begin = pairs->start; begin < pairs->stop; begin += LANES) {
        int64_t n_centres = least(LANES, pairs->stop - begin);
        fill_slots(&s, plan, pairs, begin);
        all_moments(&s, plan);
        if (rows)
            store_rows(&s, plan, n_centres, rows + (begin - pairs->start) * stride, stride);
        add_products(&plan->nodes, s.nodes, s.nodes, s.nodes);
        for (int64_t u = 0; u < n_centres; u++)
            for (int32_t e = 0; e < plan->n_energies; e++)
                energies[begin - pairs->start + u] += s.nodes[plan->n_nodes - plan->n_energies + e][u];
        if (gradients) {
            s.adjoints[plan->energy] = ONE;
            add_products(&plan->adjoints, s.adjoints, s.nodes, s.adjoints);
            pull_slots(&s, plan);
            for (int64_t u = 0; u < LANES; u++)
                pulled[u] = gradients + (s.count[u] ? 3 * (pairs->first[begin + u] - base) : 0);
            add_to_rows(&s, pulled);
        }
    }
}

static void evaluate(const void *plan, const centre_pairs *pairs, void *memory, double *energies, double *gradients)
{
    evaluate_all(plan, pairs, memory, energies, gradients, NULL, 0);
}

static int64_t n_functions(const void *plan) { return ((const moments_potential *)plan)->n_functions; }

static void evaluate_rows(const void *plan, const centre_pairs *pairs, void *memory, double *energies, double *gradients,
                          double *rows, int64_t stride, double *priors)
{
    (void)priors; /* no Gaussian process */
    evaluate_all(plan, pairs, memory, energies, gradients, rows, stride);
}

const centre_kernel JOIN(PRECISION, ISA) = {TEXT(ISA), LANES, scratch_size, evaluate, n_functions, evaluate_rows};
