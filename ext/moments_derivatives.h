/* Adjoint and derivative rows of moment tensors; included by moments.c alone, after its forward part. */

/* ---- adjoint ------------------------------------------------------------------------------------- */

/* Hand the adjoint of a sum on to the factors of its products, for LANES centres. */
INLINE void push_back(const moments_plan *plan, const vec *nodes, vec *adjoint, int64_t t)
{
    const int64_t *range = plan->first_product + (t - plan->n_accumulated - 1);
    vec d = adjoint[t];
    for (int64_t p = range[0]; p < range[1]; p++) {
        int32_t left = plan->factors[2 * p], right = plan->factors[2 * p + 1];
        vec x = plan->weights[p] * d;
        adjoint[left] += x * nodes[right];
        adjoint[right] += x * nodes[left];
    }
}

/* Adjoints of all nodes of LANES centres, their dE/dq `stride` apart. */
static void adjoints(scratch *s, const moments_plan *plan, int64_t n_centres, const double *dE_dq, int64_t stride)
{
    memset(s->adjoint, 0, plan->n_nodes * sizeof(vec));
    for (int64_t u = 0; u < n_centres; u++)
        for (int64_t b = 0; b < plan->rows.n; b++)
            s->adjoint[plan->scalars[b]][u] += dE_dq[u * stride + b];
    for (int64_t t = plan->n_nodes - 1; t > plan->n_accumulated; t--)
        push_back(plan, s->nodes, s->adjoint, t);
}

typedef struct {
    vec along, x, y, z;              /* dE/dr by the radial functions, and by each component of the unit vector */
} pull;

/* sum_q D_q x^a y^b and its derivatives by x and y, by Horner's rule; D in the order b, a. */
INLINE const vec *horner(const vec *d, int degree, const vec *x, const vec *y, vec *p, vec *px, vec *py)
{
    const vec *end = d + (degree + 1) * (degree + 2) / 2;
    for (int t = 0; t < SLOTS; t++)
        p[t] = px[t] = py[t] = ZERO;
    for (int b = degree; b >= 0; b--) {
        vec q[SLOTS], dq[SLOTS];
        d = end - (degree - b + 1) * (degree - b + 2) / 2;
        for (int t = 0; t < SLOTS; t++)
            q[t] = d[degree - b], dq[t] = ZERO;
        for (int a = degree - b - 1; a >= 0; a--)
            for (int t = 0; t < SLOTS; t++) {
                dq[t] = dq[t] * x[t] + q[t];
                q[t] = q[t] * x[t] + d[a];
            }
        for (int t = 0; t < SLOTS; t++) {
            py[t] = py[t] * y[t] + p[t];
            p[t] = p[t] * y[t] + q[t];
            px[t] = px[t] * y[t] + dq[t];
        }
    }
    return end;
}

INLINE void pull_slots(const scratch *s, const moments_plan *plan, int64_t k, pull *out)
{
    const vec *d = s->adjoint;
    memset(out, 0, SLOTS * sizeof *out);
    for (int mu = 0; mu < plan->n_mu; mu++) {
        const vec *f = s->f + mu * s->capacity + k, *df = s->df + mu * s->capacity + k;
        for (int power = 0; power <= 1 && power <= plan->degree[mu]; power++) {
            vec p[SLOTS], px[SLOTS], py[SLOTS];
            d = horner(d, plan->degree[mu] - power, s->x + k, s->y + k, p, px, py);
            for (int t = 0; t < SLOTS; t++) {
                vec lead = power ? s->z[k + t] : ONE;
                out[t].along += df[t] * lead * p[t];
                out[t].x += f[t] * lead * px[t];
                out[t].y += f[t] * lead * py[t];
                if (power)
                    out[t].z += f[t] * p[t];
            }
        }
    }
}

/* dE/dr = n along + (1 - n n') g / r, g by the components of n. */
static void store_pulls(const scratch *s, const moments_plan *plan, int64_t base, double *dE_dr)
{
    for (int64_t k = 0; k < s->n; k += SLOTS) {
        pull pulls[SLOTS];
        pull_slots(s, plan, k, pulls);
        for (int t = 0; t < SLOTS; t++) {
            vec n[3] = {s->x[k + t], s->y[k + t], s->z[k + t]}, g[3] = {pulls[t].x, pulls[t].y, pulls[t].z};
            vec inverse = 1.0 / s->r[k + t], dot = n[0] * g[0] + n[1] * g[1] + n[2] * g[2];
            vec along = pulls[t].along - dot * inverse;
            for (int c = 0; c < 3; c++) {
                vec out = n[c] * along + g[c] * inverse;
                for (int u = 0; u < LANES; u++) {
                    int64_t p = s->pair[(k + t) * LANES + u];
                    if (p >= 0)
                        dE_dr[3 * (p - base) + c] = out[u];
                }
            }
        }
    }
}

static int backward(const void *of, const centre_pairs *pairs, const double *dE_dq, double *dE_dr)
{
    const moments_plan *plan = of;
    scratch s;
    void *memory = open_scratch(&s, plan, pairs, ADJOINT);
    if (!memory)
        return MOMENTS_NO_MEMORY;
    for (int64_t begin = pairs->start; begin < pairs->stop; begin += LANES) {
        forward(&s, plan, pairs, begin, 1);
        adjoints(&s, plan, least(LANES, pairs->stop - begin), dE_dq + (begin - pairs->start) * plan->rows.n,
                 plan->rows.n);
        store_pulls(&s, plan, pairs->first[pairs->start], dE_dr);
    }
    free(memory);
    return MOMENTS_OK;
}

/* ---- derivative rows ----------------------------------------------------------------------------- */

/* Adjoints of the accumulated moments for every scalar, to the matrices of LANES centres. */
static void adjoint_matrices(scratch *s, const moments_plan *plan)
{
    const vec *nodes = s->nodes;
    vec *adjoint = s->adjoint;
    double *matrix = (double *)s->matrix;
    int64_t size = plan->rows.first_support[plan->rows.n_blocks] * LANES;
    for (int64_t b = 0; b < plan->rows.n; b++) {
        int64_t begin = plan->first_sum[b], end = plan->first_sum[b + 1];
        for (int64_t m = begin; m < end; m++)
            adjoint[plan->sums[m]] = ZERO;
        for (int64_t m = plan->first_moment[b]; m < plan->first_moment[b + 1]; m++)
            adjoint[plan->moments[m]] = ZERO;
        adjoint[plan->scalars[b]] = ONE;
        for (int64_t m = begin; m < end; m++)
            push_back(plan, nodes, adjoint, plan->sums[m]);
        for (int64_t m = plan->first_moment[b]; m < plan->first_moment[b + 1]; m++)
            for (int u = 0; u < LANES; u++)
                matrix[u * size + plan->places[m]] = adjoint[plan->moments[m]][u];
    }
}

/* Slots k.. of lane u: LANES pairs of one centre side by side. */
INLINE vec of_one(const vec *slots, int64_t k, int64_t u)
{
    const double *at = (const double *)(slots + k) + u;
    vec out;
    for (int l = 0; l < LANES; l++)
        out[l] = at[l * LANES];
    return out;
}

/* d/dr of f_mu x^a y^b z^s for LANES pairs of the centre in lane u:
 *   n (df - f (a + b + s) / r) x^a y^b z^s + f / r (derivatives of the monomial by x, y, z). */
static void moment_slopes(scratch *s, const moments_plan *plan, int64_t k, int64_t u)
{
    vec x = of_one(s->x, k, u), y = of_one(s->y, k, u), z = of_one(s->z, k, u), inverse = 1.0 / of_one(s->r, k, u);
    vec *out = s->slopes;
    for (int mu = 0; mu < plan->n_mu; mu++) {
        vec f = of_one(s->f + mu * s->capacity, k, u) * inverse, df = of_one(s->df + mu * s->capacity, k, u);
        for (int power = 0; power <= 1 && power <= plan->degree[mu]; power++) {
            vec lead = power ? z : ONE, y_b = ONE, y_less = ZERO; /* y^b and b y^(b-1) */
            for (int b = 0; b <= plan->degree[mu] - power; b++) {
                vec x_a = ONE, x_less = ZERO;
                for (int a = 0; a <= plan->degree[mu] - power - b; a++, out += 3) {
                    vec xy = x_a * y_b, along = (df - (double)(a + b + power) * f) * xy * lead;
                    out[0] = x * along + f * x_less * y_b * lead;
                    out[1] = y * along + f * x_a * y_less * lead;
                    out[2] = z * along + (double)power * f * xy;
                    x_less = x_less * x + x_a;
                    x_a *= x;
                }
                y_less = y_less * y + y_b;
                y_b *= y;
            }
        }
    }
}

/* One tile of rows: LANES scalars x (3 directions of `n_pairs` pairs); n_pairs is a constant where this is inlined. */
INLINE void tile(const vec *matrix, const int32_t *support, int64_t n, const double *slopes, const int n_pairs, vec *out)
{
    vec sum[COLUMNS];
#pragma GCC unroll 24
    for (int c = 0; c < 3 * n_pairs; c++)
        sum[c] = ZERO;
    for (int64_t m = 0; m < n; m++) {
        const double *d = slopes + (int64_t)support[m] * COLUMNS;
        vec a = matrix[m];
#pragma GCC unroll 24
        for (int c = 0; c < 3 * n_pairs; c++)
            sum[c] += a * d[c / n_pairs * LANES + c % n_pairs];
    }
#pragma GCC unroll 24
    for (int c = 0; c < 3 * n_pairs; c++)
        out[c / n_pairs * LANES + c % n_pairs] = sum[c];
}

/* Rows of the pairs in slots k.. of lane u: `matrix` has the adjoints for each block of columns. */
static void store_rows(const scratch *s, const moments_columns *columns, const vec *matrix, int64_t k, int64_t u,
                       int64_t base, double *dq)
{
    int64_t width = columns->n;
    double *rows[LANES];
    int n_pairs = 0;
    for (; n_pairs < LANES && s->pair[(k + n_pairs) * LANES + u] >= 0; n_pairs++)
        rows[n_pairs] = dq + 3 * (s->pair[(k + n_pairs) * LANES + u] - base) * width;
    for (int64_t block = 0; block < columns->n_blocks; block++) {
        int64_t begin = columns->first_support[block], n = columns->first_support[block + 1] - begin;
        int64_t first = block * LANES;
        size_t bytes = (size_t)least(LANES, width - first) * sizeof(double);
        vec out[COLUMNS];
        if (2 * n_pairs <= LANES)
            tile(matrix + begin, columns->support + begin, n, (const double *)s->slopes, LANES / 2, out);
        else
            tile(matrix + begin, columns->support + begin, n, (const double *)s->slopes, LANES, out);
        for (int l = 0; l < n_pairs; l++)
            for (int c = 0; c < 3; c++)
                if (bytes == sizeof(vec))
                    *(uvec *)(rows[l] + c * width + first) = out[c * LANES + l];
                else
                    memcpy(rows[l] + c * width + first, &out[c * LANES + l], bytes);
    }
}

static void zero_far(const moments_plan *plan, const centre_pairs *pairs, int64_t width, double *dq)
{
    int64_t base = pairs->first[pairs->start];
    for (int64_t p = base; p < pairs->first[pairs->stop]; p++) {
        const double *v = pairs->vectors + 3 * p;
        if (!(v[0] * v[0] + v[1] * v[1] + v[2] * v[2] < plan->cutoff * plan->cutoff))
            memset(dq + 3 * (p - base) * width, 0, 3 * width * sizeof(double));
    }
}

static int gradients(const void *of, const centre_pairs *pairs, double *q, double *dq)
{
    const moments_plan *plan = of;
    scratch s;
    void *memory = open_scratch(&s, plan, pairs, ROWS);
    if (!memory)
        return MOMENTS_NO_MEMORY;
    zero_far(plan, pairs, plan->rows.n, dq);
    for (int64_t begin = pairs->start; begin < pairs->stop; begin += LANES) {
        int64_t n_centres = least(LANES, pairs->stop - begin);
        forward(&s, plan, pairs, begin, 1);
        store_values(&s, plan, n_centres, q + (begin - pairs->start) * plan->rows.n);
        adjoint_matrices(&s, plan);
        for (int64_t u = 0; u < n_centres; u++) {
            const vec *matrix = s.matrix + u * plan->rows.first_support[plan->rows.n_blocks];
            for (int64_t k = 0; k < s.n && s.pair[k * LANES + u] >= 0; k += LANES) {
                moment_slopes(&s, plan, k, u);
                store_rows(&s, &plan->rows, matrix, k, u, pairs->first[pairs->start], dq);
            }
        }
    }
    free(memory);
    return MOMENTS_OK;
}
