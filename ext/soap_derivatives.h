/* Derivative rows of the SOAP loops for fitting; the formula stands in soap_adjoint.h. */
#include "soap_adjoint.h"

#include <stdlib.h>

static void *open_scratch(scratch *s, const soap_plan *plan, const centre_pairs *pairs, int purpose)
{
    size_scratch(s, plan, most_pairs(pairs), purpose);
    void *memory = NULL;
    if (posix_memalign(&memory, 64, layout(s, plan, NULL) + 64))
        return NULL;
    place_scratch(s, plan, memory);
    return memory;
}

/* ---- derivative rows -------------------------------------------------------------------------------- */

/* For two neighbours at once: out[l][0] = sum_m rows_lm Y_lm, out[l][1..3] = the same of the moves,
 * which belong to degree l + 1. */
static void contract_two(const soap_plan *plan, const vec *rows, const double *y0, const double *y1, double *out0,
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

/* Radial rows of neighbour k over all channels: s->rows[0] = R / r, [1] = slope; zero elsewhere. */
static void spread_radial(scratch *s, const soap_plan *plan, int g, int64_t k)
{
    int64_t n_l = plan->l_max + 1, column = s->front + (int64_t)g * plan->n_max;
    double inverse = s->inverse_r[k];
    for (int64_t v = 0; v < s->n_vectors; v++) {
        radial_row R, slope;
        radial_rows(s, n_l, v, k, R, slope);
        int64_t count = plan->n_max - v * LANES < LANES ? plan->n_max - v * LANES : LANES;
        for (int64_t l = 0; l < n_l; l++) {
            R[l] *= inverse;
            memcpy(s->rows + l * s->width + column + v * LANES, R + l, (size_t)count * sizeof(double));
            memcpy(s->rows + (n_l + l) * s->width + column + v * LANES, slope + l, (size_t)count * sizeof(double));
        }
    }
}

/* dp_a(u, v) = u_a (A_u t_v + A_v t_u) + B_u d^a_v + B_v d^a_u: a sum of outer products per degree,
 * A = slope, B = R / r, t = sum_m c Y, d^a = sum_m' (moved c)^a Y. Packed as power() does, into
 * s->derivative[a]. */
static void outer_products(scratch *s, const soap_plan *plan, int64_t k, const double *contracted)
{
    int64_t n = plan->n_channels, triangle = n * (n + 1) / 2, width = s->width, next = s->n_packed + 8;
    vec ux = ZERO + s->x[k], uy = ZERO + s->y[k], uz = ZERO + s->z[k];
    for (int64_t l = plan->l_max; l >= 0; l--) {
        const double *B = s->rows + l * width, *A = s->rows + (plan->l_max + 1 + l) * width;
        const double *t = contracted + 4 * l * width;
        const double *dx = t - 3 * width, *dy = t - 2 * width, *dz = t - width; /* moves of degree l - 1 */
        double *out = s->derivative + l * triangle;
        for (int64_t tile = width - ROWS; tile >= 0; tile -= ROWS)
            for (int64_t b = tile; b < width; b += LANES) {
                vec Ab = *(const vec *)(A + b), Bb = *(const vec *)(B + b), tb = *(const vec *)(t + b);
                vec xb = ZERO, yb = ZERO, zb = ZERO;
                if (l > 0)
                    xb = *(const vec *)(dx + b), yb = *(const vec *)(dy + b), zb = *(const vec *)(dz + b);
                for (int64_t U = tile + ROWS - 1; U >= tile && U >= s->front; U--) {
                    if (b + LANES <= U)
                        continue;
                    vec along = A[U] * tb + t[U] * Ab;
                    vec px = ux * along, py = uy * along, pz = uz * along;
                    if (l > 0) {
                        px += B[U] * xb + dx[U] * Bb;
                        py += B[U] * yb + dy[U] * Bb;
                        pz += B[U] * zb + dz[U] * Bb;
                    }
                    double *at = out + row_offset(U - s->front, n) + (b - U);
                    *(uvec *)at = px, *(uvec *)(at + next) = py, *(uvec *)(at + 2 * next) = pz;
                }
            }
    }
}

/* dq_a = (W dp_a - q (q . W dp_a)) / norm, W = packed weights. s->g holds W q. */
static void project(const scratch *s, const soap_plan *plan, double *dq)
{
    int64_t n_features = plan->n_features, whole = n_features / LANES * LANES;
    for (int a = 0; a < 3; a++, dq += n_features) {
        const double *dp = s->derivative + a * (s->n_packed + 8);
        vec sum0 = ZERO, sum1 = ZERO;
        double along = 0.0;
        int64_t d = 0;
        if (plan->normalize) {
            for (; d + 2 * LANES <= n_features; d += 2 * LANES) {
                sum0 += *(const vec *)(s->g + d) * *(const uvec *)(dp + d);
                sum1 += *(const vec *)(s->g + d + LANES) * *(const uvec *)(dp + d + LANES);
            }
            along = total(sum0 + sum1);
            for (; d < n_features; d++)
                along += s->g[d] * dp[d];
        }
        double scale = s->scale, back = along * s->scale;
        for (d = 0; d < whole; d += LANES)
            *(uvec *)(dq + d) = *(const vec *)(s->packed_weights + d) * *(const uvec *)(dp + d) * scale -
                                back * *(const uvec *)(s->p + d);
        for (; d < n_features; d++)
            dq[d] = s->packed_weights[d] * dp[d] * scale - back * s->p[d];
    }
}

static void gradients_of_centre(scratch *s, const soap_plan *plan, int64_t first_pair, double *dq)
{
    int64_t n_l = plan->l_max + 1, half = n_l * 4 * s->width, blocks = s->width / LANES;
    for (int64_t b = 0; b < blocks; b++)
        move_rows(s, plan, s->c, b * LANES, (vec *)s->moved + b * s->n_lm * 4);
    for (int64_t d = 0; d < s->n_packed; d++)
        s->g[d] = s->packed_weights[d] * s->p[d];
    for (int g = 0; g < plan->n_groups; g++) {
        memset(s->rows, 0, (size_t)(2 * n_l * s->width) * sizeof(double));
        for (int64_t k = s->group_start[g]; k < s->group_start[g + 1]; k += 2) {
            int64_t other = k + 1 < s->group_start[g + 1] ? k + 1 : k;
            for (int64_t b = 0; b < blocks; b++)
                contract_two(plan, (const vec *)s->moved + b * s->n_lm * 4, harmonics_of(s, k), harmonics_of(s, other),
                             s->contracted + b * LANES, s->contracted + half + b * LANES, s->width);
            for (int64_t e = k; e <= other; e++) {
                spread_radial(s, plan, g, e);
                outer_products(s, plan, e, s->contracted + (e - k) * half);
                project(s, plan, dq + (s->pair[e] - first_pair) * 3 * plan->n_features);
            }
        }
    }
}

static int gradients(const void *of, const centre_pairs *pairs, double *q, double *dq)
{
    const soap_plan *plan = of;
    scratch s;
    void *memory = open_scratch(&s, plan, pairs, GRADIENTS);
    if (!memory)
        return SOAP_NO_MEMORY;
    int64_t first_pair = pairs->first[pairs->start], row = 3 * (int64_t)plan->n_features;
    for (int64_t i = pairs->start; i < pairs->stop; i++, q += plan->n_features) {
        look_around(&s, plan, pairs, i);
        find_harmonics(&s, plan);
        spectrum(&s, plan, pairs, i);
        memcpy(q, s.p, (size_t)plan->n_features * sizeof(double));
        if (s.n < pairs->first[i + 1] - pairs->first[i]) /* pairs beyond the cutoff keep zero rows */
            memset(dq + (pairs->first[i] - first_pair) * row, 0,
                   (size_t)((pairs->first[i + 1] - pairs->first[i]) * row) * sizeof(double));
        gradients_of_centre(&s, plan, first_pair, dq);
    }
    free(memory);
    return SOAP_OK;
}
