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

/* For two neighbours at once: out[l][0] = sum_m rows_lm Y_lm, out[l][1..3] = the same of the moves,
 * which belong to degree l + 1. */
static void contract(const soap_plan *plan, const vec *rows, const double *y0, const double *y1, double *out0,
                     double *out1, int64_t stride)
{
    for (int l = 0; l < plan->l_max; l++) {
        vec a0 = ZERO, a1 = ZERO, a2 = ZERO, a3 = ZERO, b0 = ZERO, b1 = ZERO, b2 = ZERO, b3 = ZERO;
        for (int m = 0; m < 2 * l + 1; m++, rows += 4, y0 += LANES, y1 += LANES) {
            a0 += rows[0] * *y0, a1 += rows[1] * *y0, a2 += rows[2] * *y0, a3 += rows[3] * *y0;
            b0 += rows[0] * *y1, b1 += rows[1] * *y1, b2 += rows[2] * *y1, b3 += rows[3] * *y1;
        }
        *(vec *)out0 = a0, *(vec *)(out0 + stride) = a1, *(vec *)(out0 + 2 * stride) = a2;
        *(vec *)(out0 + 3 * stride) = a3;
        *(vec *)out1 = b0, *(vec *)(out1 + stride) = b1, *(vec *)(out1 + 2 * stride) = b2;
        *(vec *)(out1 + 3 * stride) = b3;
        out0 += 4 * stride, out1 += 4 * stride;
    }
    vec a0 = ZERO, b0 = ZERO;
    for (int m = 0; m < 2 * plan->l_max + 1; m++, rows += 4, y0 += LANES, y1 += LANES)
        a0 += rows[0] * *y0, b0 += rows[0] * *y1;
    *(vec *)out0 = a0, *(vec *)out1 = b0;
}

static const double *harmonics_of(const scratch *s, int64_t k)
{
    return s->harmonics + k / LANES * s->n_lm * LANES + k % LANES;
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

/* Pair gradients of neighbours k0..k1-1 of one group, whose moved adjoint block v is `moved`. */
static void adjoint_pairs(scratch *s, const soap_plan *plan, int64_t v, int64_t k0, int64_t k1,
                          double (*out)[3], int64_t first_pair)
{
    int64_t n_l = plan->l_max + 1, half = n_l * 4 * LANES;
    for (int64_t k = k0; k < k1; k += 2) {
        int64_t other = k + 1 < k1 ? k + 1 : k;
        contract(plan, (const vec *)s->moved, harmonics_of(s, k), harmonics_of(s, other), s->contracted,
                 s->contracted + half, LANES);
        for (int64_t e = k; e <= other; e++) {
            const vec *t = (const vec *)(s->contracted + (e - k) * half);
            const vec *R = (const vec *)s->radial + (v * s->capacity + e) * n_l;
            const vec *slope = (const vec *)s->slope + (v * s->capacity + e) * n_l;
            vec along = slope[0] * t[0], x = ZERO, y = ZERO, z = ZERO;
            for (int64_t l = 1; l < n_l; l++) {
                along += slope[l] * t[4 * l];
                x += R[l] * t[4 * l - 3], y += R[l] * t[4 * l - 2], z += R[l] * t[4 * l - 1];
            }
            double f = total(along), inverse = s->inverse_r[e], *g = out[s->pair[e] - first_pair];
            g[0] += f * s->x[e] + total(x) * inverse;
            g[1] += f * s->y[e] + total(y) * inverse;
            g[2] += f * s->z[e] + total(z) * inverse;
        }
    }
}
/* dE/dp in s->g (packed, weighted, norm included) -> dE_i/dr_ij, added to the rows of centre i in `out`. */
static void adjoint(scratch *s, const soap_plan *plan, double (*out)[3], int64_t first_pair)
{
    adjoint_rows(s, plan);
    for (int g = 0; g < plan->n_groups; g++)
        for (int64_t v = 0; v < s->n_vectors && s->group_start[g] < s->group_start[g + 1]; v++) {
            move_rows(s, plan, s->h, s->front + g * plan->n_max + v * LANES, (vec *)s->moved);
            adjoint_pairs(s, plan, v, s->group_start[g], s->group_start[g + 1], out, first_pair);
        }
}

#endif
