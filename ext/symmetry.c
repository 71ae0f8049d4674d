/* Symmetry function loops, compiled once per instruction set with -DISA=... -DLANES=....
 *
 * Lanes: neighbours, in three-body sums those k that go with one j. Every triplet computes its angle and
 * r_jk once; functions that differ in the angular factor alone share one radial product. Derivatives by
 * r_ij are kept as (along n_ij, and three components of what points along the other bond n_ik):
 *   d cos / dr_ij = (n_ik - cos n_ij) / r_ij,   d r_jk / dr_ij = (r_ij n_ij - r_ik n_ik) / r_jk.
 */
#include "symmetry.h"

#include <stdlib.h>

#include "lanes.h"

enum { VALUES, ROWS, ADJOINT };

typedef struct {
    int mode;
    int64_t capacity, n;               /* neighbours of one centre: room, and those inside the cutoff by channel */
    int64_t *channel_start, *pair;     /* [n_species + 1], [capacity] */
    int32_t *active;                   /* [n_groups] those of a run that the centre lists */
    double *x, *y, *z;                 /* [capacity] unit vectors */
    double *r, *inverse_r, *number;    /* [capacity] */
    double *u, *du;                    /* [n_radials][capacity] */
    double *near_u, *near_du;          /* [n_radials][LANES] of r_jk */
    double *p, *dp;                    /* [n_angulars][LANES] angular factors and slopes by cos */
    double *sums;                      /* [n_columns][LANES] */
    double *beta;                      /* [n_columns] dE/d(sum) */
    double *slopes;                    /* [n_columns, or 1 for the adjoint][4][capacity], see above; along n last */
    double *mine;                      /* [n_columns][4][LANES]: those of r_ij, summed over k */
} scratch;

static void *carve(char **at, int64_t count, int64_t size)
{
    void *here = *at;
    *at += (count * size + 63) / 64 * 64;
    return here;
}

static size_t layout(scratch *s, const symmetry_plan *plan, char *at)
{
    char *begin = at;
    int64_t n = s->capacity, d = sizeof(double), columns = plan->n_columns;
    s->channel_start = carve(&at, plan->n_species + 1, sizeof(int64_t));
    s->pair = carve(&at, n, sizeof(int64_t));
    s->active = carve(&at, plan->n_groups, sizeof(int32_t));
    s->x = carve(&at, n, d), s->y = carve(&at, n, d), s->z = carve(&at, n, d);
    s->r = carve(&at, n, d), s->inverse_r = carve(&at, n, d), s->number = carve(&at, n, d);
    s->u = carve(&at, plan->n_radials * n, d), s->du = carve(&at, plan->n_radials * n, d);
    s->near_u = carve(&at, plan->n_radials * LANES, d), s->near_du = carve(&at, plan->n_radials * LANES, d);
    s->p = carve(&at, plan->n_angulars * LANES, d), s->dp = carve(&at, plan->n_angulars * LANES, d);
    s->sums = carve(&at, columns * LANES, d);
    s->beta = carve(&at, columns, d);
    s->slopes = carve(&at, s->mode == VALUES ? 0 : (s->mode == ROWS ? columns : 1) * 4 * n, d);
    s->mine = carve(&at, s->mode == ROWS ? columns * 4 * LANES : 0, d);
    return (size_t)(at - begin);
}

static void *open_scratch(scratch *s, const symmetry_plan *plan, const centre_pairs *pairs, int mode)
{
    int64_t most = 0;
    for (int64_t i = pairs->start; i < pairs->stop; i++)
        if (pairs->first[i + 1] - pairs->first[i] > most)
            most = pairs->first[i + 1] - pairs->first[i];
    memset(s, 0, sizeof *s);
    s->mode = mode;
    s->capacity = (most + 2 * LANES) / LANES * LANES; /* a block may begin anywhere and end behind the last */
    size_t size = layout(s, plan, NULL);
    void *memory = NULL;
    if (posix_memalign(&memory, 64, size + 64))
        return NULL;
    memset(memory, 0, size + 64);
    layout(s, plan, memory);
    return memory;
}

/* ---- radial and angular factors ------------------------------------------------------------------ */

/* fc and its slope; 0 from the cutoff on. */
INLINE void cutoff_function(int kind, double cutoff, vec r, vec *f, vec *df)
{
    ivec inside = r < cutoff;
    double inverse = 1.0 / cutoff;
    if (kind == SYMMETRY_TANH3) {
        vec e = exponential(where(inside, -2.0 * (1.0 - r * inverse))), t = (1.0 - e) / (1.0 + e);
        *f = where(inside, t * t * t);
        *df = where(inside, -3.0 * inverse * t * t * (1.0 - t * t));
        return;
    }
    /* (1 + cos pi x) / 2 = (1 - sin v) / 2, v = pi (x - 1/2): Taylor series on [-pi/2, pi/2] */
    static const double sine[10] = {-8.22063524662432972e-18, 2.81145725434552076e-15, -7.64716373181981648e-13,
                                    1.60590438368216146e-10,  -2.50521083854417188e-8, 2.75573192239858907e-6,
                                    -1.98412698412698413e-4,  8.33333333333333333e-3,  -1.66666666666666667e-1, 1.0};
    static const double cosine[11] = {4.11031762331216486e-19, -1.56192069685862265e-16, 4.77947733238738530e-14,
                                      -1.14707455977297247e-11, 2.08767569878680990e-9,  -2.75573192239858907e-7,
                                      2.48015873015873016e-5,  -1.38888888888888889e-3,  4.16666666666666667e-2,
                                      -0.5,                     1.0};
    vec v = M_PI * (where(inside, r * inverse) - 0.5), v2 = v * v, a = ZERO + sine[0], b = ZERO + cosine[0];
#pragma GCC unroll 16
    for (int k = 1; k < 10; k++)
        a = a * v2 + sine[k];
#pragma GCC unroll 16
    for (int k = 1; k < 11; k++)
        b = b * v2 + cosine[k];
    *f = where(inside, 0.5 - 0.5 * v * a);
    *df = where(inside, -0.5 * M_PI * inverse * b);
}

/* u(r) and du/dr of some radial functions (NULL: all) at LANES distances; stored `stride` apart. */
INLINE void radial_functions(const symmetry_plan *plan, const int32_t *chosen, int count, vec r, double *u, double *du,
                             int64_t stride)
{
    vec f = ZERO, df = ZERO;
    double cutoff = -1.0;
    for (int m = 0; m < count; m++) {
        int64_t a = chosen ? chosen[m] : m;
        const symmetry_radial *radial = plan->radials + a;
        if (radial->cutoff != cutoff) {
            cutoff = radial->cutoff;
            cutoff_function(plan->cutoff_kind, cutoff, r, &f, &df);
        }
        vec d = r - radial->r_s, g = exponential(-radial->eta * d * d);
        *(uvec *)(u + a * stride) = g * f;
        *(uvec *)(du + a * stride) = g * (df - 2.0 * radial->eta * d * f);
    }
}

INLINE void angular_factors(const symmetry_plan *plan, const symmetry_run *run, vec c, double *p, double *dp)
{
    const int32_t *chosen = plan->run_angulars + run->first_angular;
    for (int m = 0; m < run->n_angulars; m++) {
        const symmetry_angular *angular = plan->angulars + chosen[m];
        vec base = 1.0 + angular->lambda * c, power = ZERO + 1.0, square = base;
        if (angular->zeta == floor(angular->zeta)) {
            for (int n = (int)angular->zeta - 1; n; n >>= 1, square *= square)
                if (n & 1)
                    power *= square;
        } else { /* cos may leave [-1, 1] by rounding */
            for (int lane = 0; lane < LANES; lane++)
                power[lane] = pow(base[lane] > 0.0 ? base[lane] : 0.0, angular->zeta - 1.0);
        }
        *(vec *)(p + chosen[m] * LANES) = power * base;
        *(vec *)(dp + chosen[m] * LANES) = angular->zeta * angular->lambda * power;
    }
}

/* ---- one centre ---------------------------------------------------------------------------------- */

/* Pairs of centre i inside the cutoff, sorted by channel, with their radial functions; pads see nothing. */
static void gather(scratch *s, const symmetry_plan *plan, const centre_pairs *pairs, int64_t i)
{
    int64_t n = 0;
    for (int a = 0; a < plan->n_species; a++) {
        s->channel_start[a] = n;
        for (int64_t p = pairs->first[i]; p < pairs->first[i + 1]; p++) {
            if (pairs->species[pairs->j[p]] != a)
                continue;
            const double *v = pairs->vectors + 3 * p;
            double r = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
            if (r >= plan->cutoff)
                continue;
            s->x[n] = v[0] / r, s->y[n] = v[1] / r, s->z[n] = v[2] / r;
            s->r[n] = r, s->inverse_r[n] = 1.0 / r;
            s->number[n] = plan->numbers[a];
            s->pair[n++] = p;
        }
    }
    s->channel_start[plan->n_species] = s->n = n;
    for (int64_t k = n; k < s->capacity; k++)
        s->x[k] = 1.0, s->y[k] = s->z[k] = s->number[k] = s->inverse_r[k] = 0.0, s->r[k] = plan->cutoff;
    for (int64_t k = 0; k < s->capacity; k += LANES)
        radial_functions(plan, NULL, plan->n_radials, *(vec *)(s->r + k), s->u + k, s->du + k, s->capacity);
}

/* Lanes k, k + 1, ... before `end`. */
INLINE ivec lanes_before(int64_t k, int64_t end)
{
    ivec lane;
    for (int u = 0; u < LANES; u++)
        lane[u] = k + u;
    return lane < end;
}

INLINE void two_bodies(scratch *s, const symmetry_plan *plan, const double *factors, const int mode)
{
    for (int t = 0; t < plan->n_two_bodies; t++) {
        const symmetry_two_body *f = plan->two_bodies + t;
        if (factors[f->column] == 0.0)
            continue;
        int64_t begin = f->channel < 0 ? 0 : s->channel_start[f->channel];
        int64_t end = f->channel < 0 ? s->n : s->channel_start[f->channel + 1];
        const double *u = s->u + f->radial * s->capacity, *du = s->du + f->radial * s->capacity;
        double *along = s->slopes + (mode == ROWS ? 4 * f->column + 3 : 3) * s->capacity;
        double beta = s->beta[f->column], sum = 0.0;
        for (int64_t k = begin; k < end; k++) {
            double weight = f->channel < 0 ? s->number[k] : 1.0;
            sum += weight * u[k];
            if (mode == ROWS)
                along[k] += weight * du[k];
            if (mode == ADJOINT)
                along[k] += beta * weight * du[k];
        }
        s->sums[f->column * LANES] += sum;
    }
}

/* Everything the groups of a run need to know of one j and LANES k. */
typedef struct {
    ivec inside;
    vec x, y, z, r, inverse_r, c, near, weight; /* of k; near = 1 / r_jk */
    double xj, yj, zj, rj, inverse_rj;
    int64_t j, k;
} triplets;

/* dE = a (along n_ij) + b (along n_ik) for the derivative by r_ij, and the same by r_ik with j and k exchanged. */
typedef struct {
    vec along_j, cross_j, along_k, cross_k;
} bonds;

/* From the derivatives by r_ij, r_ik (the angle and r_jk held), by cos, and by r_jk over r_jk. */
INLINE bonds to_bonds(const triplets *t, vec by_rj, vec by_rk, vec by_c, vec by_near)
{
    vec per_j = by_c * t->inverse_rj, per_k = by_c * t->inverse_r;
    return (bonds){by_rj - t->c * per_j + by_near * t->rj, per_j - by_near * t->r,
                   by_rk - t->c * per_k + by_near * t->r, per_k - by_near * t->rj};
}

INLINE void add_slopes(scratch *s, const triplets *t, bonds b, double *slopes, double *mine)
{
    double *k = slopes + t->k;
    *(uvec *)k += b.cross_k * t->xj;
    *(uvec *)(k + s->capacity) += b.cross_k * t->yj;
    *(uvec *)(k + 2 * s->capacity) += b.cross_k * t->zj;
    *(uvec *)(k + 3 * s->capacity) += b.along_k;
    vec *sum = (vec *)mine;
    sum[0] += b.cross_j * t->x, sum[1] += b.cross_j * t->y, sum[2] += b.cross_j * t->z, sum[3] += b.along_j;
}

INLINE void group_block(scratch *s, const symmetry_plan *plan, const symmetry_group *g, const triplets *t, vec *by,
                        const int mode)
{
    const double *u = s->u + g->radial * s->capacity, *du = s->du + g->radial * s->capacity;
    const symmetry_member *members = plan->members + g->first;
    vec uj = ZERO + u[t->j], uk = *(uvec *)(u + t->k) * t->weight, near = ZERO + 1.0, near_slope = ZERO;
    if (g->closed) {
        near = *(vec *)(s->near_u + g->radial * LANES);
        near_slope = *(vec *)(s->near_du + g->radial * LANES) * t->near;
    }
    vec open = uj * uk, w = open * near;
    if (mode == VALUES) {
        for (int m = 0; m < g->count; m++)
            *(vec *)(s->sums + members[m].column * LANES) += w * *(vec *)(s->p + members[m].angular * LANES);
        return;
    }
    vec wj = du[t->j] * uk * near, wk = uj * (*(uvec *)(du + t->k) * t->weight) * near, wn = open * near_slope;
    if (mode == ADJOINT) {
        vec p = ZERO, dp = ZERO;
        for (int m = 0; m < g->count; m++) {
            double beta = s->beta[members[m].column];
            p += beta * *(vec *)(s->p + members[m].angular * LANES);
            dp += beta * *(vec *)(s->dp + members[m].angular * LANES);
        }
        by[0] += p * wj, by[1] += p * wk, by[2] += dp * w, by[3] += p * wn;
        return;
    }
    bonds radial = to_bonds(t, wj, wk, ZERO, wn), angle = to_bonds(t, ZERO, ZERO, w, ZERO);
    for (int m = 0; m < g->count; m++) {
        int64_t column = members[m].column;
        vec p = *(vec *)(s->p + members[m].angular * LANES), dp = *(vec *)(s->dp + members[m].angular * LANES);
        bonds b = {p * radial.along_j + dp * angle.along_j, p * radial.cross_j + dp * angle.cross_j,
                   p * radial.along_k + dp * angle.along_k, p * radial.cross_k + dp * angle.cross_k};
        *(vec *)(s->sums + column * LANES) += w * p;
        add_slopes(s, t, b, s->slopes + 4 * column * s->capacity, s->mine + 4 * column * LANES);
    }
}

/* One j with the k from `begin` on: the innermost loop. */
INLINE void bond(scratch *s, const symmetry_plan *plan, const symmetry_run *run, int n_active, int64_t j, int64_t begin,
                 int64_t end, vec *mine, const int mode)
{
    triplets t = {.xj = s->x[j], .yj = s->y[j], .zj = s->z[j], .rj = s->r[j], .j = j};
    t.inverse_rj = s->inverse_r[j];
    for (t.k = begin; t.k < end; t.k += LANES) {
        t.inside = lanes_before(t.k, end);
        t.x = *(uvec *)(s->x + t.k), t.y = *(uvec *)(s->y + t.k), t.z = *(uvec *)(s->z + t.k);
        t.r = *(uvec *)(s->r + t.k), t.inverse_r = *(uvec *)(s->inverse_r + t.k), t.near = ZERO;
        t.c = t.xj * t.x + t.yj * t.y + t.zj * t.z;
        if (run->n_closed) {
            vec r2 = t.rj * t.rj + t.r * t.r - 2.0 * t.rj * t.r * t.c;
            ivec safe = t.inside & (r2 < plan->cutoff * plan->cutoff);
            if (!run->open && total(where(safe, ZERO + 1.0)) == 0.0)
                continue;
            t.inside = run->open ? t.inside : safe;
            vec r = square_root(where(safe, r2) + where(~safe, ZERO + plan->cutoff * plan->cutoff));
            t.near = 1.0 / r;
            radial_functions(plan, plan->run_closed + run->first_closed, run->n_closed, r, s->near_u, s->near_du, LANES);
        }
        angular_factors(plan, run, t.c, s->p, s->dp);
        vec weight = run->channels[0] < 0 ? s->number[j] * (vec)*(uvec *)(s->number + t.k) : ZERO + 1.0;
        t.weight = where(t.inside, weight);
        vec by[4] = {ZERO, ZERO, ZERO, ZERO};
        for (int g = 0; g < n_active; g++)
            group_block(s, plan, plan->groups + s->active[g], &t, by, mode);
        if (mode == ADJOINT)
            add_slopes(s, &t, to_bonds(&t, by[0], by[1], by[2], by[3]), s->slopes, (double *)mine);
    }
}

/* The groups of a run that this centre lists. */
static int choose_active(scratch *s, const symmetry_plan *plan, const symmetry_run *run, const double *factors)
{
    int n = 0;
    for (int g = run->first; g < run->first + run->count; g++)
        for (int m = 0; m < plan->groups[g].count; m++)
            if (factors[plan->members[plan->groups[g].first + m].column] != 0.0) {
                s->active[n++] = g;
                break;
            }
    return n;
}

/* Sums across lanes of what one r_ij got from the active groups, which are then empty again. */
static void close_bond(scratch *s, const symmetry_plan *plan, int n_active, int64_t j)
{
    for (int g = 0; g < n_active; g++) {
        const symmetry_group *group = plan->groups + s->active[g];
        for (int m = group->first; m < group->first + group->count; m++) {
            int64_t rows = 4 * plan->members[m].column;
            for (int64_t row = rows; row < rows + 4; row++) {
                vec *sum = (vec *)s->mine + row;
                s->slopes[row * s->capacity + j] += total(*sum);
                *sum = ZERO;
            }
        }
    }
}

INLINE void three_bodies(scratch *s, const symmetry_plan *plan, const double *factors, const int mode)
{
    for (int q = 0; q < plan->n_runs; q++) {
        const symmetry_run *run = plan->runs + q;
        int n_active = choose_active(s, plan, run, factors), all = run->channels[0] < 0;
        if (!n_active)
            continue;
        int same = all || run->channels[0] == run->channels[1];
        int64_t j_end = all ? s->n : s->channel_start[run->channels[0] + 1];
        int64_t k_begin = same ? 0 : s->channel_start[run->channels[1]];
        int64_t k_end = all ? s->n : s->channel_start[run->channels[1] + 1];
        for (int64_t j = all ? 0 : s->channel_start[run->channels[0]]; j < j_end; j++) {
            vec mine[4] = {ZERO, ZERO, ZERO, ZERO};
            bond(s, plan, run, n_active, j, same ? j + 1 : k_begin, k_end, mine, mode);
            if (mode == ADJOINT)
                for (int row = 0; row < 4; row++)
                    s->slopes[row * s->capacity + j] += total(mine[row]);
            if (mode == ROWS)
                close_bond(s, plan, n_active, j);
        }
    }
}

/* Sums of one centre and, by mode, their slopes; q unless NULL. */
INLINE void centre(scratch *s, const symmetry_plan *plan, const centre_pairs *pairs, int64_t i, double *q,
                   const int mode)
{
    int64_t columns = plan->n_columns, row = pairs->species[i] * columns;
    const double *factors = plan->factors + row, *offsets = plan->offsets + row;
    gather(s, plan, pairs, i);
    memset(s->sums, 0, (size_t)(columns * LANES) * sizeof(double));
    memset(s->slopes, 0, (size_t)(mode == VALUES ? 0 : (mode == ROWS ? columns : 1) * 4 * s->capacity) * sizeof(double));
    two_bodies(s, plan, factors, mode);
    three_bodies(s, plan, factors, mode);
    for (int64_t f = 0; q && f < columns; f++)
        q[f] = factors[f] * total(*(vec *)(s->sums + f * LANES)) + offsets[f];
}

static int compute(const void *of, const centre_pairs *pairs, double *q)
{
    const symmetry_plan *plan = of;
    scratch s;
    void *memory = open_scratch(&s, plan, pairs, VALUES);
    if (!memory)
        return SYMMETRY_NO_MEMORY;
    for (int64_t i = pairs->start; i < pairs->stop; i++, q += plan->n_columns)
        centre(&s, plan, pairs, i, q, VALUES);
    free(memory);
    return SYMMETRY_OK;
}

/* factor x (along n + the rest) of one neighbour's direction c. */
static double slope(const scratch *s, const double *slopes, int64_t k, int c)
{
    const double *unit = c == 0 ? s->x : c == 1 ? s->y : s->z;
    return slopes[3 * s->capacity + k] * unit[k] + slopes[c * s->capacity + k];
}

static int gradients(const void *of, const centre_pairs *pairs, double *q, double *dq)
{
    const symmetry_plan *plan = of;
    scratch s;
    int64_t columns = plan->n_columns;
    void *memory = open_scratch(&s, plan, pairs, ROWS);
    if (!memory)
        return SYMMETRY_NO_MEMORY;
    memset(dq, 0, sizeof(double) * 3 * columns * (pairs->first[pairs->stop] - pairs->first[pairs->start]));
    for (int64_t i = pairs->start; i < pairs->stop; i++, q += columns) {
        centre(&s, plan, pairs, i, q, ROWS);
        const double *factors = plan->factors + pairs->species[i] * columns;
        for (int64_t k = 0; k < s.n; k++) {
            double *row = dq + 3 * columns * (s.pair[k] - pairs->first[pairs->start]);
            for (int c = 0; c < 3; c++, row += columns)
                for (int64_t f = 0; f < columns; f++)
                    row[f] = factors[f] * slope(&s, s.slopes + 4 * f * s.capacity, k, c);
        }
    }
    free(memory);
    return SYMMETRY_OK;
}

static int backward(const void *of, const centre_pairs *pairs, const double *dE_dq, double *dE_dr)
{
    const symmetry_plan *plan = of;
    scratch s;
    void *memory = open_scratch(&s, plan, pairs, ADJOINT);
    if (!memory)
        return SYMMETRY_NO_MEMORY;
    for (int64_t i = pairs->start; i < pairs->stop; i++, dE_dq += plan->n_columns) {
        const double *factors = plan->factors + pairs->species[i] * plan->n_columns;
        for (int64_t f = 0; f < plan->n_columns; f++)
            s.beta[f] = factors[f] * dE_dq[f];
        centre(&s, plan, pairs, i, NULL, ADJOINT);
        for (int64_t k = 0; k < s.n; k++)
            for (int c = 0; c < 3; c++)
                dE_dr[3 * (s.pair[k] - pairs->first[pairs->start]) + c] = slope(&s, s.slopes, k, c);
    }
    free(memory);
    return SYMMETRY_OK;
}

const centre_loops JOIN(symmetry_loops_, ISA) = {TEXT(ISA), LANES, compute, gradients, backward};
