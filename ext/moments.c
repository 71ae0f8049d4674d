/* Moment tensor loops, compiled once per instruction set with -DISA=... -DLANES=....
 *
 * Lanes: LANES centres, neighbour k of each in slot k. Derivative rows are the slopes of the moments, of
 * LANES pairs of one centre, times the matrix of the adjoints of the moments, LANES scalars at a time. Unit
 * vectors have z^2 = 1 - x^2 - y^2, so only powers 0 and 1 of z are accumulated (n_accumulated nodes).
 */
#include "moments.h"

#include <stdlib.h>

#include "lanes.h"

enum { VALUES, ADJOINT, ROWS, COEFFICIENTS };
#define SLOTS (LANES == 8 ? 4 : 2)   /* neighbours of a lane taken together: independent chains of arithmetic */
#define MAX_BETA 64
#define ONE ((vec)(ZERO + 1.0))
#define COLUMNS (3 * LANES)          /* of a tile of derivatives: 3 directions of LANES pairs */

typedef struct {
    int64_t capacity, n;             /* slots: room, and in use (a multiple of SLOTS) */
    int64_t *pair;                   /* [capacity][LANES] index into the list, -1: none */
    int32_t *channel;                /* [capacity][LANES] species of centre and neighbour, -1: none */
    vec *x, *y, *z, *r;              /* [capacity] unit vectors, distance */
    vec *f, *df;                     /* [n_mu][capacity] radial functions and slopes */
    vec *monomials;                  /* [(highest + 1)^2][SLOTS] */
    vec *nodes, *adjoint;            /* [n_nodes] */
    vec *matrix;                     /* [LANES centres][support of all blocks] adjoints for LANES scalars */
    vec *slopes;                     /* [n_accumulated][3] of LANES pairs of one centre */
} scratch;

static void *carve(char **at, int64_t count, int64_t size)
{
    void *here = *at;
    *at += (count * size + 63) / 64 * 64;
    return here;
}

static void *zeroed(size_t size)
{
    void *memory = NULL;
    if (posix_memalign(&memory, 64, size + 64))
        return NULL;
    return memset(memory, 0, size + 64);
}

static size_t layout(scratch *s, const moments_plan *plan, int mode, char *at)
{
    char *begin = at;
    int64_t n = s->capacity, v = sizeof(vec), side = plan->highest + 1;
    s->pair = carve(&at, n * LANES, sizeof(int64_t));
    s->channel = carve(&at, n * LANES, sizeof(int32_t));
    s->x = carve(&at, n, v), s->y = carve(&at, n, v), s->z = carve(&at, n, v), s->r = carve(&at, n, v);
    s->f = carve(&at, plan->n_mu * n, v), s->df = carve(&at, plan->n_mu * n, v);
    s->monomials = carve(&at, side * side * SLOTS, v);
    s->nodes = carve(&at, plan->n_nodes, v);
    s->adjoint = carve(&at, mode == VALUES ? 0 : plan->n_nodes, v);
    s->matrix = carve(&at, mode == ROWS ? plan->rows.first_support[plan->rows.n_blocks] * LANES : 0, v);
    s->slopes = carve(&at, mode >= ROWS ? 3 * plan->n_accumulated : 0, v);
    return (size_t)(at - begin);
}

static void *open_scratch(scratch *s, const moments_plan *plan, const centre_pairs *pairs, int mode)
{
    int64_t most = 0;
    for (int64_t i = pairs->start; i < pairs->stop; i++)
        if (pairs->first[i + 1] - pairs->first[i] > most)
            most = pairs->first[i + 1] - pairs->first[i];
    memset(s, 0, sizeof *s);
    s->capacity = (most / LANES + 1) * LANES; /* tiles of LANES slots of one centre, also */
    void *memory = zeroed(layout(s, plan, mode, NULL));
    if (memory)
        layout(s, plan, mode, memory);
    return memory;
}

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- neighbours and radial functions ------------------------------------------------------------- */

/* Neighbour k of the centre in lane u goes to slot k; lanes that have none hold one at the cutoff, where f = df = 0. */
static void fill_slots(scratch *s, const moments_plan *plan, const centre_pairs *pairs, int64_t begin)
{
    int64_t count[LANES] = {0}, most = 0;
    double limit = plan->cutoff * plan->cutoff, *x = (double *)s->x, *y = (double *)s->y, *z = (double *)s->z;
    double *r = (double *)s->r;
    for (int64_t u = 0; u < LANES && begin + u < pairs->stop; u++) {
        int64_t i = begin + u;
        for (int64_t p = pairs->first[i]; p < pairs->first[i + 1]; p++) {
            const double *v = pairs->vectors + 3 * p;
            double square = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
            if (!(square < limit))
                continue;
            int64_t at = count[u]++ * LANES + u;
            double distance = sqrt(square), inverse = 1.0 / distance;
            x[at] = v[0] * inverse, y[at] = v[1] * inverse, z[at] = v[2] * inverse, r[at] = distance;
            s->pair[at] = p;
            s->channel[at] = pairs->species[i] * plan->n_species + pairs->species[pairs->j[p]];
        }
        most = count[u] > most ? count[u] : most;
    }
    s->n = (most + SLOTS - 1) / SLOTS * SLOTS;
    for (int64_t u = 0; u < LANES; u++)
        for (int64_t at = count[u] * LANES + u; at < s->capacity * LANES; at += LANES) {
            x[at] = y[at] = z[at] = 0.0, r[at] = plan->cutoff;
            s->pair[at] = s->channel[at] = -1;
        }
}

/* Q_k = scaling T_k(xi) (cutoff - r)^2 and slopes by r. */
INLINE void chebyshev(const moments_plan *plan, vec r, vec *q, vec *dq)
{
    double slope = 2.0 / (plan->cutoff - plan->min_dist);
    vec xi = slope * (r - 0.5 * (plan->cutoff + plan->min_dist)), rest = plan->cutoff - r;
    q[0] = plan->scaling * rest * rest, dq[0] = -2.0 * plan->scaling * rest;
    q[1] = xi * q[0], dq[1] = xi * dq[0] + slope * q[0];
    for (int k = 2; k < plan->n_beta; k++) {
        q[k] = 2.0 * xi * q[k - 1] - q[k - 2];
        dq[k] = 2.0 * xi * dq[k - 1] + 2.0 * slope * q[k - 1] - dq[k - 2];
    }
}

/* f_mu of LANES pairs that are of the same species. */
INLINE void mix_alike(const moments_plan *plan, int32_t channel, const vec *q, vec *f, int64_t stride)
{
    const double *c = plan->coefficients + (int64_t)channel * plan->n_mu * plan->n_beta;
    for (int mu = 0; mu < plan->n_mu; mu++, c += plan->n_beta) {
        vec sum = ZERO;
        for (int k = 0; k < plan->n_beta; k++)
            sum += c[k] * q[k];
        f[mu * stride] = sum;
    }
}

/* f_mu of LANES pairs, each of its own species: lanes are mu meanwhile. */
INLINE void mix_different(const moments_plan *plan, const int32_t *channels, const vec *q, vec *f, int64_t stride)
{
    const double *values = (const double *)q;
    double *out = (double *)f;
    for (int u = 0; u < LANES; u++) {
        const double *c = plan->wide + (int64_t)(channels[u] < 0 ? 0 : channels[u]) * plan->n_beta * plan->mu_stride;
        for (int m = 0; m < plan->mu_stride; m += LANES) {
            vec sum = ZERO;
            for (int k = 0; k < plan->n_beta; k++)
                sum += *(const uvec *)(c + k * plan->mu_stride + m) * values[k * LANES + u];
            for (int mu = m; mu < plan->n_mu && mu < m + LANES; mu++)
                out[mu * stride * LANES + u] = sum[mu - m];
        }
    }
}

static void radial_functions(scratch *s, const moments_plan *plan, int slopes)
{
    vec q[MAX_BETA], dq[MAX_BETA];
    for (int64_t k = 0; k < s->n; k++) {
        const int32_t *channels = s->channel + k * LANES;
        int32_t one = -1, alike = 1;
        for (int u = 0; u < LANES; u++) {
            alike &= one < 0 || channels[u] < 0 || channels[u] == one;
            one = channels[u] < 0 ? one : channels[u];
        }
        chebyshev(plan, s->r[k], q, dq);
        for (int part = 0; part < 1 + slopes; part++)
            if (alike)
                mix_alike(plan, one < 0 ? 0 : one, part ? dq : q, (part ? s->df : s->f) + k, s->capacity);
            else
                mix_different(plan, channels, part ? dq : q, (part ? s->df : s->f) + k, s->capacity);
    }
}

/* ---- moments and their contraction --------------------------------------------------------------- */

/* x^a y^b z^s in the order s, b, a, each for SLOTS neighbours. */
INLINE void all_monomials(const scratch *s, int64_t k, int highest, vec *out)
{
    for (int power = 0; power <= 1 && power <= highest; power++) {
        vec lead[SLOTS];
        for (int t = 0; t < SLOTS; t++)
            lead[t] = power ? s->z[k + t] : ONE;
        for (int b = 0; b <= highest - power; b++) {
            vec m[SLOTS];
            memcpy(m, lead, sizeof m);
            for (int a = 0; a <= highest - power - b; a++, out += SLOTS)
                for (int t = 0; t < SLOTS; t++) {
                    out[t] = m[t];
                    m[t] *= s->x[k + t];
                }
            for (int t = 0; t < SLOTS; t++)
                lead[t] *= s->y[k + t];
        }
    }
}

static void accumulate(scratch *s, const moments_plan *plan)
{
    memset(s->nodes, 0, plan->n_accumulated * sizeof(vec));
    for (int64_t k = 0; k < s->n; k += SLOTS) {
        all_monomials(s, k, plan->highest, s->monomials);
        vec *node = s->nodes;
        for (int mu = 0; mu < plan->n_mu; mu++) {
            vec f[SLOTS];
            memcpy(f, s->f + mu * s->capacity + k, sizeof f);
            const vec *row = s->monomials;
            for (int power = 0; power <= 1; power++)
                for (int b = 0; b <= plan->highest - power; b++) {
                    const vec *m = row;
                    for (int a = 0; a <= plan->degree[mu] - power - b; a++, m += SLOTS, node++) {
                        vec sum = *node;
                        for (int t = 0; t < SLOTS; t++)
                            sum += f[t] * m[t];
                        *node = sum;
                    }
                    row += (plan->highest - power - b + 1) * SLOTS;
                }
        }
    }
}

static void contract(const moments_plan *plan, vec *nodes)
{
    int64_t p = 0;
    nodes[plan->n_accumulated] = ONE;
    for (int64_t t = plan->n_accumulated + 1; t < plan->n_nodes; t++) {
        int64_t end = plan->first_product[t - plan->n_accumulated];
        vec even = ZERO, odd = ZERO;
        for (; p + 1 < end; p += 2) {
            const int32_t *n = plan->factors + 2 * p;
            even += plan->weights[p] * nodes[n[0]] * nodes[n[1]];
            odd += plan->weights[p + 1] * nodes[n[2]] * nodes[n[3]];
        }
        for (; p < end; p++)
            even += plan->weights[p] * nodes[plan->factors[2 * p]] * nodes[plan->factors[2 * p + 1]];
        nodes[t] = even + odd;
    }
}

static void store_values(const scratch *s, const moments_plan *plan, int64_t n_centres, double *q)
{
    const double *nodes = (const double *)s->nodes;
    for (int64_t u = 0; u < n_centres; u++)
        for (int64_t b = 0; b < plan->rows.n; b++)
            q[u * plan->rows.n + b] = nodes[(int64_t)plan->scalars[b] * LANES + u];
}

static void forward(scratch *s, const moments_plan *plan, const centre_pairs *pairs, int64_t begin, int slopes)
{
    fill_slots(s, plan, pairs, begin);
    radial_functions(s, plan, slopes);
    accumulate(s, plan);
    contract(plan, s->nodes);
}

static int compute(const void *of, const centre_pairs *pairs, double *q)
{
    const moments_plan *plan = of;
    scratch s;
    void *memory = open_scratch(&s, plan, pairs, VALUES);
    if (!memory)
        return MOMENTS_NO_MEMORY;
    for (int64_t begin = pairs->start; begin < pairs->stop; begin += LANES) {
        forward(&s, plan, pairs, begin, 0);
        store_values(&s, plan, least(LANES, pairs->stop - begin), q + (begin - pairs->start) * plan->rows.n);
    }
    free(memory);
    return MOMENTS_OK;
}

#include "moments_derivatives.h"
#include "moments_coefficients.h"

const moments_loops JOIN(moments_loops_, ISA) = {{TEXT(ISA), LANES, compute, gradients, backward}, coefficients};
