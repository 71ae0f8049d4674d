/* The adjoint of the SOAP loops: dE/dq of one centre -> dE_i/dr_ij of its pairs.
 *
 * With u = r_ij / r and solid harmonics S_lm = r^l Y_lm, whose gradients are combinations of degree
 * l - 1 (plan->moves),
 *   d(R_l Y_lm)/dr_a = u_a (R_l' - l R_l / r) Y_lm + (R_l / r) sum_m' G^a_(lm, l-1 m') Y_(l-1)m'.
 * The constant G is applied once per centre to the rows that are contracted with Y (the adjoint h
 * for backward, c itself for gradients), so that a neighbour needs only its own Y and R.
 */

#ifndef KERNELFF_SOAP_ADJOINT_H
#define KERNELFF_SOAP_ADJOINT_H

#include "soap_expansion.h"

typedef vec radial_row[SOAP_MAX_L + 1]; /* of one neighbour, by degree */

enum { TOGETHER = LANES > 4 ? 4 : 2 }; /* neighbours whose sums are in registers at a time */

/* Row lm of `rows` and its three moves, interleaved for one block of channels starting at `column`. */
static void move_rows(const scratch *s, const soap_plan *plan, const double *rows, int64_t column, vec *out)
{
    int64_t inner = (int64_t)plan->l_max * plan->l_max;
    for (int64_t q = 0; q < s->n_lm; q++)
        out[4 * q] = *(const uvec *)(rows + q * s->stride + column);
    for (int a = 0; a < 3; a++)
        for (int64_t q = 0; q < inner; q++) {
            const soap_move *move = &plan->moves[a][q];
            out[4 * q + a + 1] =
                move->coefficient[0] * *(const uvec *)(rows + move->source[0] * s->stride + column) +
                move->coefficient[1] * *(const uvec *)(rows + move->source[1] * s->stride + column);
        }
}

static const double *harmonics_of(const scratch *s, int64_t k)
{
    return s->harmonics + k / LANES * s->n_lm * LANES + k % LANES;
}

/* R_l and dR_l/dr - l R_l / r of neighbour k in block v of channels, all degrees. */
INLINE void radial_rows(const scratch *s, int64_t n_l, int64_t v, int64_t k, vec *R, vec *slope)
{
    const vec *c = piece_of(s, n_l, v, 0, k);
    vec t = all_lanes(s->t[k]), step = all_lanes(s->inverse_step[k]), inverse = all_lanes(s->inverse_r[k]);
    vec l_by_r = ZERO;
    for (int64_t l = 0; l < n_l; l++, c += 6) {
        vec value = c[5], by_t = c[5];
#pragma GCC unroll 4
        for (int i = 4; i > 0; i--)
            value = value * t + c[i], by_t = by_t * t + value;
        R[l] = value * t + c[0];
        slope[l] = by_t * step - l_by_r * R[l];
        l_by_r += inverse;
    }
}

/* ---- adjoint --------------------------------------------------------------------------------------- */

/* dE/dp (packed, weighted, norm included) -> dE/dc in s->h. */
static void adjoint_rows(scratch *s, const soap_plan *plan)
{
    int64_t n = plan->n_channels, triangle = n * (n + 1) / 2, front = s->front;
    for (int64_t l = 0; l <= plan->l_max; l++) {
        const double *g = s->g + l * triangle;
        for (int64_t u = 0; u < n; u++) { /* p_uv is c_u c_v: dE/dc_u = g_uv c_v, twice on the diagonal */
            double *row = s->symmetric + (front + u) * s->width + front;
            row[u] = 2.0 * *g++;
            for (int64_t v = u + 1; v < n; v++, g++)
                row[v] = s->symmetric[(front + v) * s->width + front + u] = *g;
        }
        int64_t n_m = 2 * l + 1;
        for (int64_t b = 0; b < s->width; b += LANES)
            for (int64_t m = 0; m < n_m; m += 4) {
                const double *c[4];
                vec sum[4] = {ZERO, ZERO, ZERO, ZERO};
                for (int t = 0; t < 4; t++) /* rows past the end repeat the last one */
                    c[t] = s->c + (l * l + (m + t < n_m ? m + t : n_m - 1)) * s->stride;
                for (int64_t u = front; u < s->width; u++) {
                    vec a = *(const vec *)(s->symmetric + u * s->width + b);
#pragma GCC unroll 4
                    for (int t = 0; t < 4; t++)
                        sum[t] += a * c[t][u];
                }
                for (int t = 0; t < 4 && m + t < n_m; t++)
                    *(uvec *)(s->h + (l * l + m + t) * s->stride + b) = sum[t];
            }
    }
}

/* sum[a][n] = sum_m rows_lm Y_lm of the n_m rows of one degree (a = 0) and of their moves (a > 0), for TOGETHER
 * neighbours n, of which y belongs to the first. */
INLINE void contract_degree(int64_t n_m, const vec *rows, const double *y, vec sum[4][TOGETHER], const int n_sums)
{
#pragma GCC unroll 4
    for (int a = 0; a < n_sums; a++)
#pragma GCC unroll 4
        for (int n = 0; n < TOGETHER; n++)
            sum[a][n] = ZERO;
    for (int64_t m = 0; m < n_m; m++, rows += 4, y += LANES) {
        vec here[TOGETHER];
#pragma GCC unroll 4
        for (int n = 0; n < TOGETHER; n++)
            here[n] = all_lanes(y[n]);
#pragma GCC unroll 4
        for (int a = 0; a < n_sums; a++) {
            vec row = rows[a];
#pragma GCC unroll 4
            for (int n = 0; n < TOGETHER; n++)
                sum[a][n] += row * here[n];
        }
    }
}

/* out[0] = sum_l slope_l (rows_l.Y_l), out[1..3] = sum_l R_l (moves_(l-1).Y_(l-1)) of TOGETHER neighbours. */
INLINE void contract(int64_t n_l, const vec *rows, const double *y, const radial_row *R, const radial_row *slope,
                     vec *const out[4])
{
    vec sum[4][TOGETHER], all[4][TOGETHER];
    for (int a = 0; a < 4; a++)
        for (int n = 0; n < TOGETHER; n++)
            all[a][n] = ZERO;
    for (int64_t l = 0; l + 1 < n_l; l++) {
        contract_degree(2 * l + 1, rows, y, sum, 4);
#pragma GCC unroll 4
        for (int n = 0; n < TOGETHER; n++) {
            all[0][n] += slope[n][l] * sum[0][n];
#pragma GCC unroll 4
            for (int a = 1; a < 4; a++) /* the moves of degree l belong to degree l + 1 */
                all[a][n] += R[n][l + 1] * sum[a][n];
        }
        rows += 4 * (2 * l + 1), y += (2 * l + 1) * LANES;
    }
    contract_degree(2 * n_l - 1, rows, y, sum, 1); /* the moves of the last degree are not used */
    for (int n = 0; n < TOGETHER; n++)
        all[0][n] += slope[n][n_l - 1] * sum[0][n];
    for (int a = 0; a < 4; a++)
        for (int n = 0; n < TOGETHER; n++)
            out[a][n] = all[a][n];
}

/* Pair gradients of n neighbours from k on, of one block of lanes and one group, whose moved adjoint block v is
 * `moved`. */
static void adjoint_block(const scratch *s, int64_t n_l, int64_t v, int64_t k, int64_t n, double (*out)[3],
                          int64_t first_pair)
{
    radial_row R[TOGETHER], slope[TOGETHER];
    vec sums[4][LANES]; /* along the pair and across it */
    for (int64_t e = 0; e < LANES; e += TOGETHER) {
        vec *to[4] = {sums[0] + e, sums[1] + e, sums[2] + e, sums[3] + e};
        for (int64_t t = 0; t < TOGETHER && e < n; t++) /* what is past the end takes the place of the last */
            radial_rows(s, n_l, v, k + (e + t < n ? e + t : n - 1), R[t], slope[t]);
        if (e < n)
            contract(n_l, (const vec *)s->moved, harmonics_of(s, k + e), (const radial_row *)R,
                     (const radial_row *)slope, to);
        else /* lanes that nobody reads */
            for (int t = 0; t < TOGETHER; t++)
                to[0][t] = to[1][t] = to[2][t] = to[3][t] = ZERO;
    }
    vec along = totals(sums[0]), x = totals(sums[1]), y = totals(sums[2]), z = totals(sums[3]);
    for (int64_t e = 0; e < n; e++) {
        double inverse = s->inverse_r[k + e], *g = out[s->pair[k + e] - first_pair];
        g[0] += along[e] * s->x[k + e] + x[e] * inverse;
        g[1] += along[e] * s->y[k + e] + y[e] * inverse;
        g[2] += along[e] * s->z[k + e] + z[e] * inverse;
    }
}

/* dE/dp in s->g (packed, weighted, norm included) -> dE_i/dr_ij, added to the rows of centre i in `out`. */
static void adjoint(scratch *s, const soap_plan *plan, double (*out)[3], int64_t first_pair)
{
    adjoint_rows(s, plan);
    for (int g = 0; g < plan->n_groups; g++)
        for (int64_t v = 0; v < s->n_vectors && s->group_start[g] < s->group_start[g + 1]; v++) {
            move_rows(s, plan, s->h, s->front + g * plan->n_max + v * LANES, (vec *)s->moved);
            for (int64_t k = s->group_start[g], stop = s->group_start[g + 1], n; k < stop; k += n) {
                n = LANES - k % LANES;
                n = n < stop - k ? n : stop - k;
                adjoint_block(s, plan->l_max + 1, v, k, n, out, first_pair);
            }
        }
}

#endif
