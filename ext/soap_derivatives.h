/* Second half of soap.c: derivative rows for fitting and the adjoint for everything else.
 *
 * With u = r_ij / r and solid harmonics S_lm = r^l Y_lm, whose gradients are combinations of degree
 * l - 1 (plan->moves),
 *   d(R_l Y_lm)/dr_a = u_a (R_l' - l R_l / r) Y_lm + (R_l / r) sum_m' G^a_(lm, l-1 m') Y_(l-1)m'.
 * The constant G is applied once per centre to the rows that are contracted with Y (the adjoint h
 * for backward, c itself for gradients), so that a neighbour needs only its own Y and R.
 */

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

static int backward(const void *of, const centre_pairs *pairs, const double *dE_dq, double *dE_dr)
{
    const soap_plan *plan = of;
    scratch s;
    void *memory = open_scratch(&s, plan, pairs, 1);
    if (!memory)
        return SOAP_NO_MEMORY;
    int64_t first_pair = pairs->first[pairs->start];
    memset(dE_dr, 0, (size_t)(pairs->first[pairs->stop] - first_pair) * 3 * sizeof(double));
    for (int64_t i = pairs->start; i < pairs->stop; i++, dE_dq += plan->n_features) {
        centre(&s, plan, pairs, i);
        double along = 0.0; /* part of dE/dq along q, which normalisation removes */
        if (plan->normalize)
            for (int64_t d = 0; d < plan->n_features; d++)
                along += dE_dq[d] * s.p[d];
        for (int64_t d = 0; d < plan->n_features; d++)
            s.g[d] = (dE_dq[d] - along * s.p[d]) * s.packed_weights[d] * s.scale;
        adjoint_rows(&s, plan);
        for (int g = 0; g < plan->n_groups; g++)
            for (int64_t v = 0; v < s.n_vectors && s.group_start[g] < s.group_start[g + 1]; v++) {
                move_rows(&s, plan, s.h, s.front + g * plan->n_max + v * LANES, (vec *)s.moved);
                adjoint_pairs(&s, plan, v, s.group_start[g], s.group_start[g + 1], (double (*)[3])dE_dr, first_pair);
            }
    }
    free(memory);
    return SOAP_OK;
}

/* ---- derivative rows -------------------------------------------------------------------------------- */

/* Radial rows of neighbour k over all channels: s->rows[0] = R / r, [1] = slope; zero elsewhere. */
static void spread_radial(scratch *s, const soap_plan *plan, int g, int64_t k)
{
    int64_t n_l = plan->l_max + 1, column = s->front + (int64_t)g * plan->n_max;
    double inverse = s->inverse_r[k];
    for (int64_t v = 0; v < s->n_vectors; v++) {
        const double *R = s->radial + (v * s->capacity + k) * n_l * LANES;
        const double *slope = s->slope + (v * s->capacity + k) * n_l * LANES;
        int64_t count = plan->n_max - v * LANES < LANES ? plan->n_max - v * LANES : LANES;
        for (int64_t l = 0; l < n_l; l++)
            for (int64_t n = 0; n < count; n++) {
                s->rows[l * s->width + column + v * LANES + n] = R[l * LANES + n] * inverse;
                s->rows[(n_l + l) * s->width + column + v * LANES + n] = slope[l * LANES + n];
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
                contract(plan, (const vec *)s->moved + b * s->n_lm * 4, harmonics_of(s, k), harmonics_of(s, other),
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
    void *memory = open_scratch(&s, plan, pairs, 1);
    if (!memory)
        return SOAP_NO_MEMORY;
    int64_t first_pair = pairs->first[pairs->start], row = 3 * (int64_t)plan->n_features;
    for (int64_t i = pairs->start; i < pairs->stop; i++, q += plan->n_features) {
        centre(&s, plan, pairs, i);
        memcpy(q, s.p, (size_t)plan->n_features * sizeof(double));
        if (s.n < pairs->first[i + 1] - pairs->first[i]) /* pairs beyond the cutoff keep zero rows */
            memset(dq + (pairs->first[i] - first_pair) * row, 0,
                   (size_t)((pairs->first[i + 1] - pairs->first[i]) * row) * sizeof(double));
        gradients_of_centre(&s, plan, first_pair, dq);
    }
    free(memory);
    return SOAP_OK;
}
