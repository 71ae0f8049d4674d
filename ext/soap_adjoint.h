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

enum { PAIR = 2 }; /* neighbours taken together */

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

/* sum[0] = sum_m rows_lm Y_lm of the n_m rows of one degree, sum[1..3] = the same of their moves, for PAIR neighbours
 * at once. */
INLINE void contract_degree(int64_t n_m, const vec *rows, const double *const *y, vec sum[PAIR][4])
{
#pragma GCC unroll 4
    for (int n = 0; n < PAIR; n++)
        sum[n][0] = sum[n][1] = sum[n][2] = sum[n][3] = ZERO;
    for (int64_t m = 0; m < n_m; m++, rows += 4) {
        vec row[4] = {rows[0], rows[1], rows[2], rows[3]};
#pragma GCC unroll 4
        for (int n = 0; n < PAIR; n++) {
            double here = y[n][m * LANES];
#pragma GCC unroll 4
            for (int a = 0; a < 4; a++)
                sum[n][a] += row[a] * here;
        }
    }
}

/* Pair gradients of neighbours k0..k1-1 of one group, whose moved adjoint block v is `moved`. Radial functions are
 * interpolated here, as in expand_run(). */
static void adjoint_pairs(scratch *s, const soap_plan *plan, int64_t v, int64_t k0, int64_t k1,
                          double (*out)[3], int64_t first_pair)
{
    int64_t n_l = plan->l_max + 1;
    for (int64_t k = k0; k < k1; k += PAIR) {
        const double *y[PAIR];
        radial_place at[PAIR];
        vec sum[PAIR][4], along[PAIR], across[PAIR][3];
        for (int n = 0; n < PAIR; n++) {
            int64_t e = k + n < k1 ? k + n : k;
            at[n] = place_of(s, n_l, v, e), y[n] = harmonics_of(s, e);
            along[n] = across[n][0] = across[n][1] = across[n][2] = ZERO;
        }
        const vec *rows = (const vec *)s->moved;
        for (int64_t l = 0; l < n_l; l++) {
            vec R[PAIR], slope[PAIR];
#pragma GCC unroll 4
            for (int n = 0; n < PAIR; n++) {
                int64_t e = k + n < k1 ? k + n : k;
                R[n] = radial(at[n], l, 0);
                slope[n] = radial(at[n], l, 6) - (double)l * s->inverse_r[e] * R[n];
                if (l > 0) /* the moves of degree l - 1 belong to degree l */
                    for (int a = 0; a < 3; a++)
                        across[n][a] += R[n] * sum[n][a + 1];
            }
            contract_degree(2 * l + 1, rows, y, sum); /* the moves of the last degree are not used */
            rows += 4 * (2 * l + 1);
#pragma GCC unroll 4
            for (int n = 0; n < PAIR; n++)
                along[n] += slope[n] * sum[n][0], y[n] += (2 * l + 1) * LANES;
        }
        for (int n = 0; n < PAIR && k + n < k1; n++) {
            int64_t e = k + n;
            double f = total(along[n]), inverse = s->inverse_r[e], *g = out[s->pair[e] - first_pair];
            g[0] += f * s->x[e] + total(across[n][0]) * inverse;
            g[1] += f * s->y[e] + total(across[n][1]) * inverse;
            g[2] += f * s->z[e] + total(across[n][2]) * inverse;
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
