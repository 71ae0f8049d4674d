/* First half of the SOAP loops: neighbours -> expansion -> power spectrum of one centre. */
#ifndef KERNELFF_SOAP_EXPANSION_H
#define KERNELFF_SOAP_EXPANSION_H

#include "soap_scratch.h"

/* ---- geometry, harmonics, radial functions ------------------------------------------------------ */

/* The place of atom i's element among those with channels; < 0: not seen. */
INLINE int32_t element(const soap_plan *plan, const centre_pairs *pairs, int64_t i)
{
    return plan->channels_of ? plan->channels_of[pairs->species[i]] : pairs->species[i];
}

/* Pairs of centre i inside the cutoff, sorted by element; the last block is padded with r = cutoff. */
static void gather(scratch *s, const soap_plan *plan, const centre_pairs *pairs, int64_t i)
{
    double cutoff2 = plan->cutoff * plan->cutoff;
    int64_t n = 0;
    for (int a = 0; a < plan->n_species; a++) {
        s->species_start[a] = n;
        for (int64_t p = pairs->first[i]; p < pairs->first[i + 1]; p++) {
            const double *v = pairs->vectors + 3 * p;
            s->x[n] = v[0], s->y[n] = v[1], s->z[n] = v[2];
            s->pair[n] = p;
            n += v[0] * v[0] + v[1] * v[1] + v[2] * v[2] < cutoff2 && element(plan, pairs, pairs->j[p]) == a;
        }
    }
    s->species_start[plan->n_species] = s->n = n;
    for (int g = 0; g <= plan->n_groups; g++)
        s->group_start[g] = plan->shared ? g * n : s->species_start[g];
    for (; n % LANES; n++)
        s->x[n] = plan->cutoff, s->y[n] = s->z[n] = 0.0;
    for (int64_t k = 0; k < n; k += LANES) {
        vec x = *(vec *)(s->x + k), y = *(vec *)(s->y + k), z = *(vec *)(s->z + k);
        vec r = square_root(x * x + y * y + z * z);
        vec inverse = 1.0 / r;
        *(vec *)(s->x + k) = x * inverse, *(vec *)(s->y + k) = y * inverse, *(vec *)(s->z + k) = z * inverse;
        *(vec *)(s->r + k) = r, *(vec *)(s->inverse_r + k) = inverse;
    }
}

/* Orthonormal real harmonics, row l^2 + l + m, of LANES unit vectors. */
INLINE void harmonics_block(const soap_plan *plan, vec x, vec y, vec z, vec *out)
{
    vec cosine = ZERO + 1.0, sine = ZERO; /* (x + i y)^m */
    for (int m = 0; m <= plan->l_max; m++) {
        if (m > 0) {
            vec previous = cosine;
            cosine = previous * x - sine * y, sine = previous * y + sine * x;
        }
        vec p1 = ZERO + plan->legendre_start[m], p2 = ZERO;
        for (int l = m; l <= plan->l_max; l++) {
            vec p = p1;
            if (l > m) {
                p = plan->legendre_a[l][m] * (z * p1 - plan->legendre_b[l][m] * p2);
                p2 = p1, p1 = p;
            }
            vec *row = out + l * l + l;
            row[m] = p * cosine;
            if (m > 0)
                row[-m] = p * sine;
        }
    }
}

/* Pieces of one table for neighbours begin..end-1 and their places there. The arrays are apart, so that lanes take it. */
static void locate_in(const soap_table *of, int64_t size, int64_t begin, int64_t end, const double *restrict r,
                      double *restrict place, double *restrict inverse_step, const double **restrict piece)
{
    const soap_table table = *of;
    for (int64_t k = begin; k < end; k++) {
        int outer = r[k] >= table.split;
        double step = outer ? table.inverse_step[1] : table.inverse_step[0];
        double t = (r[k] - (outer ? table.split : 0.0)) * step;
        int64_t bin = (int64_t)t, last = (outer ? table.n_intervals[1] : table.n_intervals[0]) - 1;
        bin = bin > last ? last : bin;
        place[k] = t - (double)bin;
        inverse_step[k] = step;
        piece[k] = table.pieces + (bin + (outer ? table.n_intervals[0] : 0)) * size;
    }
}

/* The same for all neighbours. */
static void locate(scratch *s, const soap_plan *plan, int centre_species)
{
    int64_t size = s->n_vectors * (plan->l_max + 1) * 6 * LANES;
    int row = centre_species < 0 ? 0 : centre_species; /* -1: an element without channels */
    for (int a = 0; a < plan->n_species; a++)
        locate_in(plan->tables + plan->table_of[row * plan->n_species + a], size, s->species_start[a],
                  s->species_start[a + 1], s->r, s->t, s->inverse_step, s->piece);
}

/* Coefficients of R_l of neighbour k in block v of channels. */
INLINE const vec *piece_of(const scratch *s, int64_t n_l, int64_t v, int64_t l, int64_t k)
{
    return (const vec *)s->piece[k] + (v * n_l + l) * 6;
}

/* R_l. Polynomials take a third less arithmetic than values and derivatives at both knots, for tables twice as large. */
INLINE vec radial(const scratch *s, int64_t n_l, int64_t v, int64_t l, int64_t k)
{
    const vec *c = piece_of(s, n_l, v, l, k);
    double t = s->t[k];
    return ((((c[5] * t + c[4]) * t + c[3]) * t + c[2]) * t + c[1]) * t + c[0];
}

/* ---- expansion ---------------------------------------------------------------------------------- */

/* c[lm] = sum_k R_l(k) Y_lm(k) for `count` neighbouring rows of one degree, all in registers. The radial functions
 * come straight from the tables: waiting for the L2 cache and arithmetic then overlap. */
INLINE void expand_run(const int count, const scratch *s, int64_t n_l, int64_t v, int64_t l, int64_t k0, int64_t k1,
                       const double *Y, double *c)
{
    vec sum[MAX_ACCUMULATORS];
#pragma GCC unroll 16
    for (int q = 0; q < count; q++)
        sum[q] = ZERO;
    for (int64_t k = k0; k < k1; k++) {
        const double *y = Y + k / LANES * s->n_lm * LANES + k % LANES;
        vec r = radial(s, n_l, v, l, k);
#pragma GCC unroll 16
        for (int q = 0; q < count; q++)
            sum[q] += r * y[q * LANES];
    }
#pragma GCC unroll 16
    for (int q = 0; q < count; q++)
        *(uvec *)(c + q * s->stride) = sum[q];
}

static void expand_rows(int count, const scratch *s, int64_t n_l, int64_t v, int64_t l, int64_t k0, int64_t k1,
                        const double *Y, double *c)
{
#define CASE(n) \
    case n: expand_run(n, s, n_l, v, l, k0, k1, Y, c); break
    switch (count) {
        CASE(1); CASE(2); CASE(3); CASE(4); CASE(5); CASE(6); CASE(7);
        CASE(8); CASE(9); CASE(10); CASE(11); CASE(12); CASE(13);
    }
#undef CASE
}

/* The nine lowest rows (l = 0, 1, 2) together: one degree alone would wait for its own sums. */
static void expand_low(const scratch *s, int64_t n_l, int64_t v, int64_t k0, int64_t k1, double *c)
{
    vec sum[9];
#pragma GCC unroll 16
    for (int q = 0; q < 9; q++)
        sum[q] = ZERO;
    for (int64_t k = k0; k < k1; k++) {
        const double *y = s->harmonics + k / LANES * s->n_lm * LANES + k % LANES;
        vec r0 = radial(s, n_l, v, 0, k), r1 = radial(s, n_l, v, 1, k), r2 = radial(s, n_l, v, 2, k);
        sum[0] += r0 * y[0];
#pragma GCC unroll 16
        for (int q = 1; q < 4; q++)
            sum[q] += r1 * y[q * LANES];
#pragma GCC unroll 16
        for (int q = 4; q < 9; q++)
            sum[q] += r2 * y[q * LANES];
    }
#pragma GCC unroll 16
    for (int q = 0; q < 9; q++)
        *(uvec *)(c + q * s->stride) = sum[q];
}

static void expand(scratch *s, const soap_plan *plan, int centre_species)
{
    int64_t n_l = plan->l_max + 1;
    memset(s->c, 0, (size_t)(s->n_lm * s->stride) * sizeof(double));
    for (int g = 0; g < plan->n_groups; g++)
        for (int64_t v = 0; v < s->n_vectors; v++) {
            double *c = s->c + s->front + g * plan->n_max + v * LANES;
            int64_t k0 = s->group_start[g], k1 = s->group_start[g + 1];
            int l = 0;
            if (plan->l_max >= 2) {
                expand_low(s, n_l, v, k0, k1, c);
                l = 3;
            }
            for (; l <= plan->l_max; l++)
                for (int m = 0; m < 2 * l + 1; m += MAX_ACCUMULATORS) {
                    int64_t q = l * l + m;
                    int count = 2 * l + 1 - m < MAX_ACCUMULATORS ? 2 * l + 1 - m : MAX_ACCUMULATORS;
                    expand_rows(count, s, n_l, v, l, k0, k1, s->harmonics + q * LANES, c + q * s->stride);
                }
        }
    const double *central = plan->central + (centre_species + 1) * plan->n_channels;
    for (int u = 0; u < plan->n_channels; u++)
        s->c[s->front + u] += central[u];
}

/* ---- power spectrum ------------------------------------------------------------------------------- */

static int64_t row_offset(int64_t u, int64_t n_channels) { return u * n_channels - u * (u - 1) / 2; }

/* p_l(u, v) = sum_m c_u c_v, packed upper triangles, not yet weighted. */
static void power(scratch *s, const soap_plan *plan)
{
    int64_t n = plan->n_channels, triangle = n * (n + 1) / 2;
    for (int64_t l = plan->l_max; l >= 0; l--) {
        const double *c = s->c + l * l * s->stride;
        double *p = s->p + l * triangle;
        for (int64_t tile = s->width - ROWS; tile >= 0; tile -= ROWS)
            for (int64_t b = tile; b < s->width; b += LANES) {
                vec sum[ROWS];
#pragma GCC unroll 8
                for (int u = 0; u < ROWS; u++)
                    sum[u] = ZERO;
                for (int64_t m = 0; m < 2 * l + 1; m++) {
                    const double *row = c + m * s->stride;
                    vec right = *(const uvec *)(row + b);
#pragma GCC unroll 8
                    for (int u = 0; u < ROWS; u++)
                        sum[u] += row[tile + u] * right;
                }
#pragma GCC unroll 8
                for (int u = ROWS - 1; u >= 0; u--) {
                    int64_t row = tile + u - s->front;
                    if (row >= 0 && b + LANES > tile + u)
                        *(uvec *)(p + row_offset(row, n) + (b - tile - u)) = sum[u];
                }
            }
    }
}

/* Weights and norm; leaves the raw weighted spectrum in s->p and 1/norm (1 if not wanted) in s->scale. */
static void weigh(scratch *s, const soap_plan *plan)
{
    vec sum = ZERO;
    for (int64_t d = 0; d < s->n_packed; d += LANES) {
        vec p = *(uvec *)(s->p + d) * *(vec *)(s->packed_weights + d);
        *(uvec *)(s->p + d) = p;
        sum += p * p;
    }
    double norm2 = total(sum);
    s->scale = !plan->normalize ? 1.0 : norm2 > 0.0 ? 1.0 / sqrt(norm2) : 0.0;
}

/* Unit vectors of the neighbours of centre i and their places in the tables. */
static void look_around(scratch *s, const soap_plan *plan, const centre_pairs *pairs, int64_t i)
{
    gather(s, plan, pairs, i);
    locate(s, plan, element(plan, pairs, i));
}

/* Harmonics of the neighbours. */
static void find_harmonics(scratch *s, const soap_plan *plan)
{
    for (int64_t k = 0; k < s->n; k += LANES)
        harmonics_block(plan, *(vec *)(s->x + k), *(vec *)(s->y + k), *(vec *)(s->z + k),
                        (vec *)(s->harmonics + k * s->n_lm));
}

/* From the neighbours of centre i to the weighted spectrum times scale, in s->p. */
static void spectrum(scratch *s, const soap_plan *plan, const centre_pairs *pairs, int64_t i)
{
    expand(s, plan, element(plan, pairs, i));
    power(s, plan);
    weigh(s, plan);
    for (int64_t d = 0; d < s->n_packed; d += LANES)
        *(uvec *)(s->p + d) *= s->scale;
}

#endif
