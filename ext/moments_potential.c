/* Moment tensor potentials, compiled once per instruction set and precision with -DISA=... -DLANES=... [-DSINGLE].
 *
 * Lanes: LANES centres, neighbour k of each in slot k; lanes that have none hold one at the cutoff, where f = df = 0.
 * One pass: distances, radial functions and moments by groups of SLOTS neighbours, sums of products, their adjoints, and
 * one Horner polynomial per mu and neighbour for the gradients. A centre's numbers do not depend on the other lanes.
 */
#include "moments_potential.h"

#include "lanes.h"

#define SLOTS (BYTES == 64 ? 4 : 2)  /* neighbours of a lane taken together: independent chains of arithmetic */
#define UNROLL _Pragma("GCC unroll 16")
#define ONE ((vec)(ZERO + 1))
#ifdef SINGLE
#define PRECISION moments_single_loops_
#else
#define PRECISION moments_double_loops_
#endif

/* Neighbour k of every lane. */
typedef struct {
    vec x, y, z, r, inverse;         /* unit vector, distance, 1 / r */
    int32_t pair[LANES];             /* among the pairs of the centre */
    int32_t channel[LANES];          /* where the coefficients of both species begin */
} slot;

typedef struct {
    int64_t n;                       /* slots in use, a multiple of SLOTS */
    slot *slots;
    vec *f, *df;                     /* [n / SLOTS][n_mu][SLOTS] radial functions and slopes */
    vec *chebyshev;                  /* [n_beta][SLOTS] */
    vec *nodes, *adjoints;
    int64_t count[LANES];            /* neighbours of each centre */
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
    s->slots = carve(&at, n, sizeof(slot));
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

INLINE int32_t species_of(const moments_potential *plan, int32_t element)
{
    return element < 0 || element >= plan->n_elements ? -1 : plan->elements[element];
}

/* ---- neighbours ---------------------------------------------------------------------------------- */

/* Neighbours of centre i within the cutoff to the slots of lane u; their number. */
INLINE int64_t fill_lane(const scratch *s, const moments_potential *plan, const centre_pairs *pairs, int64_t i,
                         int64_t u, const int one_species)
{
    slot *to = s->slots;
    double limit = plan->cutoff * plan->cutoff;
    const double *v = pairs->vectors + 3 * pairs->first[i];
    const int64_t *j = pairs->j + pairs->first[i];
    int64_t n = pairs->first[i + 1] - pairs->first[i];
    int32_t own = species_of(plan, pairs->species[i]), size = plan->n_blocks * plan->n_beta * LANES;
    if (own < 0)
        return 0;
    for (int64_t k = 0; k < n; k++, v += 3) {
        ((real *)&to->x)[u] = (real)v[0], ((real *)&to->y)[u] = (real)v[1], ((real *)&to->z)[u] = (real)v[2];
        to->pair[u] = (int32_t)k;
        int near = v[0] * v[0] + v[1] * v[1] + v[2] * v[2] < limit;
        if (!one_species) {
            int32_t other = species_of(plan, pairs->species[j[k]]);
            to->channel[u] = (own * plan->n_species + other) * size;
            near &= other >= 0;
        }
        to += near;
    }
    return to - s->slots;
}

static void fill_slots(scratch *s, const moments_potential *plan, const centre_pairs *pairs, int64_t begin)
{
    int64_t most = 0;
    for (int64_t u = 0; u < LANES; u++) {
        s->count[u] = begin + u >= pairs->stop ? 0
                    : plan->n_species == 1    ? fill_lane(s, plan, pairs, begin + u, u, 1)
                                              : fill_lane(s, plan, pairs, begin + u, u, 0);
        most = s->count[u] > most ? s->count[u] : most;
    }
    s->n = (most + SLOTS - 1) / SLOTS * SLOTS;
    for (int64_t u = 0; u < LANES; u++)
        for (slot *to = s->slots + s->count[u]; to < s->slots + s->n; to++) {
            ((real *)&to->x)[u] = (real)(2.0 * plan->cutoff), ((real *)&to->y)[u] = ((real *)&to->z)[u] = 0;
            to->channel[u] = 0;
        }
}

#ifdef SINGLE
INLINE vec inverse_root(vec x) { return 1 / square_root(x); }
#else
typedef float half __attribute__((vector_size(4 * LANES)));

/* 1 / sqrt(x): as float, then Newton's steps; four times as fast as root and quotient of doubles. */
INLINE vec inverse_root(vec x)
{
    half low = __builtin_convertvector(x, half);
    for (int u = 0; u < LANES; u++)
        low[u] = sqrtf(low[u]);
    vec y = __builtin_convertvector(1 / low, vec);
    y += 0.5 * y * (1.0 - x * y * y);
    return y + 0.5 * y * (1.0 - x * y * y);
}
#endif

/* Distances, at most the cutoff, and unit vectors of SLOTS neighbours. */
INLINE void normalise(slot *of, real cutoff)
{
    for (int t = 0; t < SLOTS; t++) {
        vec x = of[t].x, y = of[t].y, z = of[t].z, square = x * x + y * y + z * z, inverse = inverse_root(square);
        vec rest = cutoff - square * inverse;
        of[t].r = cutoff - where(rest > 0, rest), of[t].inverse = inverse;
        of[t].x = x * inverse, of[t].y = y * inverse, of[t].z = z * inverse;
    }
}

/* ---- radial functions ---------------------------------------------------------------------------- */

/* T_k(xi) of SLOTS neighbours. */
INLINE void chebyshev(const slot *of, const moments_potential *plan, vec *values)
{
    real slope = (real)(2.0 / (plan->cutoff - plan->min_dist)), middle = (real)(0.5 * (plan->cutoff + plan->min_dist));
    vec xi[SLOTS], last[SLOTS], next[SLOTS];
    for (int t = 0; t < SLOTS; t++) {
        xi[t] = slope * (of[t].r - middle);
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

/* f_mu and slopes of SLOTS neighbours in a model of one species. */
INLINE void mix_alike(const moments_potential *plan, const vec *rest, const vec *values, vec *f, vec *df)
{
    const real *radial = plan->radial;
    for (int mu = 0; mu < plan->n_mu; mu++, f += SLOTS, df += SLOTS) {
        const real *c = radial + 2 * mu / LANES * plan->n_beta * LANES + 2 * mu % LANES;
        const vec *value = values;
        vec p[SLOTS], dp[SLOTS];
        for (int t = 0; t < SLOTS; t++)
            p[t] = dp[t] = ZERO;
        for (int b = 0; b < plan->n_beta; b++, c += LANES, value += SLOTS)
            for (int t = 0; t < SLOTS; t++) {
                p[t] += c[0] * value[t];
                dp[t] += c[1] * value[t];
            }
        for (int t = 0; t < SLOTS; t++)
            with_cutoff(rest[t], p[t], dp[t], f + t, df + t);
    }
}

/* The same for neighbours each of its own species: lanes are P_0, dP_0, P_1, .. meanwhile. */
INLINE void mix_different(const moments_potential *plan, const slot *of, const vec *rest, const vec *values, vec *f,
                          vec *df)
{
    for (int t = 0; t < SLOTS; t++)
        for (int block = 0; block < plan->n_blocks; block++) {
            const real *radial = (const real *)plan->radial + block * plan->n_beta * LANES, *at[LANES];
            const real *value = (const real *)(values + t);
            vec sum[LANES];
            UNROLL
            for (int u = 0; u < LANES; u++)
                sum[u] = ZERO, at[u] = radial + of[t].channel[u];
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

/* f_mu and slopes of SLOTS neighbours. */
INLINE void radial_functions(const scratch *s, const moments_potential *plan, const slot *of, vec *f, vec *df)
{
    vec rest[SLOTS];
    for (int t = 0; t < SLOTS; t++)
        rest[t] = (real)plan->cutoff - of[t].r;
    chebyshev(of, plan, s->chebyshev);
    if (plan->n_species == 1)
        mix_alike(plan, rest, s->chebyshev, f, df);
    else
        mix_different(plan, of, rest, s->chebyshev, f, df);
}

/* ---- moments and sums of products ---------------------------------------------------------------- */

/* nodes += f_mu x^a y^b z^s of SLOTS neighbours; `highest` is a constant where this is inlined. */
INLINE void accumulate(vec *node, const slot *of, const vec *f, const int highest)
{
    vec x[SLOTS], y[SLOTS];
    for (int t = 0; t < SLOTS; t++)
        x[t] = of[t].x, y[t] = of[t].y;
    UNROLL
    for (int power = 0; power <= 1 && power <= highest; power++) {
        vec lead[SLOTS];
        for (int t = 0; t < SLOTS; t++)
            lead[t] = power ? of[t].z : ONE;
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
    static __attribute__((noinline)) void moments_##highest(vec *nodes, const slot *of, const vec *f) \
    { \
        accumulate(nodes, of, f, highest); \
    }
MOMENTS(0) MOMENTS(1) MOMENTS(2) MOMENTS(3) MOMENTS(4) MOMENTS(5) MOMENTS(6) MOMENTS(7) MOMENTS(8)
static void (*const moments_of[])(vec *, const slot *, const vec *) = {
    moments_0, moments_1, moments_2, moments_3, moments_4, moments_5, moments_6, moments_7, moments_8};
enum { UNROLLED = sizeof moments_of / sizeof moments_of[0] };

static void all_moments(scratch *s, const moments_potential *plan)
{
    memset(s->nodes, 0, plan->one * sizeof(vec));
    s->nodes[plan->one] = ONE;
    for (int64_t k = 0; k < s->n; k += SLOTS) {
        vec *f = s->f + k * plan->n_mu;
        normalise(s->slots + k, (real)plan->cutoff);
        radial_functions(s, plan, s->slots + k, f, s->df + k * plan->n_mu);
        if (plan->highest < UNROLLED)
            moments_of[plan->highest](s->nodes, s->slots + k, f);
        else
            accumulate(s->nodes, s->slots + k, f, plan->highest);
    }
}

INLINE vec factor_at(const vec *nodes, uint32_t bytes) { return *(const vec *)((const char *)nodes + bytes); }

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
                for (int t = 0; t < SUMS_TOGETHER; t++)
                    sum[t] += weight[t] * factor_at(left, factor[2 * t]) * factor_at(right, factor[2 * t + 1]);
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
            store_pulls(&s, plan, pairs->first + begin, base, gradients);
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
