/* Derivatives of energies and pair gradients by radial coefficients; included by moments.c alone.
 *
 * With E = sum of w B, D_q = dE/dM_q and dM_q/dc = A_q = sum_j Q_k(r_j) Y_q(n_j), where mu of q and the neighbour's
 * species are those of c:
 *   dE/dc = sum_q D_q A_q,   d(dE/dr_ij)/dc = sum_q (dD_q/dc) dM_q/dr_ij + [species of j] d/dr_ij (Q_k sum_q D_q Y_q).
 * dD_q/dc is made panel by panel; its product with dM_q/dr_ij has the shape of derivative rows and shares their tiles.
 */

#define WIDE (MOMENTS_PANEL / LANES)

typedef struct {
    int64_t n_monomials, stride;     /* stride: n_beta rounded up to whole vectors */
    vec *pulls;                      /* [n_mu][4][capacity] see pull_parts, of LANES centres */
    /* of one centre */
    vec *monomials;                  /* [n_monomials] of LANES pairs */
    double *q, *dq;                  /* [capacity][stride] Q_k and slopes of every pair */
    double *sums;                    /* [n_species][n_monomials][stride] sum_j Q_k(r_j) x^a y^b z^s */
    double *values;                  /* [n_species][n_mu][stride] */
    double *scalars;                 /* [2][n_nodes] nodes and their adjoints */
    double *panel;                   /* [rows of the longest program][MOMENTS_PANEL] */
    vec *matrix;                     /* [support of all blocks] */
} tangent_scratch;

static size_t tangent_layout(tangent_scratch *t, const moments_plan *plan, const tangent_plan *of, int64_t capacity,
                             char *at)
{
    char *begin = at;
    int64_t side = plan->highest + 1, n_rows = 0, d = sizeof(double), v = sizeof(vec);
    for (int p = 0; p < of->n_programs; p++) {
        int64_t n = of->first_start[p + 1] - of->first_start[p] + of->first_row[p + 1] - of->first_row[p];
        n_rows = n > n_rows ? n : n_rows;
    }
    t->n_monomials = side * side, t->stride = (plan->n_beta + LANES - 1) / LANES * LANES;
    t->pulls = carve(&at, plan->n_mu * 4 * capacity, v);
    t->monomials = carve(&at, t->n_monomials, v);
    t->q = carve(&at, capacity * t->stride, d), t->dq = carve(&at, capacity * t->stride, d);
    t->sums = carve(&at, plan->n_species * t->n_monomials * t->stride, d);
    t->values = carve(&at, plan->n_species * plan->n_mu * t->stride, d);
    t->scalars = carve(&at, 2 * plan->n_nodes, d);
    t->panel = carve(&at, n_rows * MOMENTS_PANEL, d);
    t->matrix = carve(&at, of->rows.first_support[of->rows.n_blocks], v);
    return (size_t)(at - begin);
}

static void *open_tangents(tangent_scratch *t, const moments_plan *plan, const tangent_plan *of, int64_t capacity)
{
    void *memory = zeroed(tangent_layout(t, plan, of, capacity, NULL));
    if (memory)
        tangent_layout(t, plan, of, capacity, memory);
    return memory;
}

/* For every mu and all pairs of LANES centres: P = sum_q D_q Y_q, and its gradient by r_ij. */
static void pull_parts(const scratch *s, const tangent_scratch *t, const moments_plan *plan)
{
    for (int64_t k = 0; k < s->n; k += SLOTS) {
        const vec *d = s->adjoint;
        for (int mu = 0; mu < plan->n_mu; mu++) {
            pull sum[SLOTS];
            memset(sum, 0, sizeof sum);
            for (int power = 0; power <= 1 && power <= plan->degree[mu]; power++) {
                vec p[SLOTS], px[SLOTS], py[SLOTS];
                d = horner(d, plan->degree[mu] - power, s->x + k, s->y + k, p, px, py);
                for (int m = 0; m < SLOTS; m++) {
                    vec lead = power ? s->z[k + m] : ONE;
                    sum[m].along += lead * p[m], sum[m].x += lead * px[m], sum[m].y += lead * py[m];
                    if (power)
                        sum[m].z = p[m];
                }
            }
            vec *out = t->pulls + mu * 4 * s->capacity + k;
            for (int m = 0; m < SLOTS; m++, out++) {
                vec x = s->x[k + m], y = s->y[k + m], z = s->z[k + m], inverse = 1.0 / s->r[k + m];
                vec dot = x * sum[m].x + y * sum[m].y + z * sum[m].z;
                out[0] = sum[m].along;
                out[s->capacity] = (sum[m].x - x * dot) * inverse;
                out[2 * s->capacity] = (sum[m].y - y * dot) * inverse;
                out[3 * s->capacity] = (sum[m].z - z * dot) * inverse;
            }
        }
    }
}

/* x^a y^b z^s in the order s, b, a of LANES pairs. */
static void pair_monomials(vec x, vec y, vec z, int highest, vec *out)
{
    for (int power = 0; power <= 1 && power <= highest; power++) {
        vec lead = power ? z : ONE;
        for (int b = 0; b <= highest - power; b++, lead *= y) {
            vec m = lead;
            for (int a = 0; a <= highest - power - b; a++, m *= x)
                *out++ = m;
        }
    }
}

/* Add LANES pairs of the centre in lane u, those of one species, to the sums; their Q_k are at `q`. */
static void add_to_sums(const scratch *s, const tangent_scratch *t, const moments_plan *plan, int64_t k, int64_t u,
                        int species, const double *q)
{
    int mine[LANES], any = 0;
    for (int l = 0; l < LANES; l++) {
        int32_t channel = s->channel[(k + l) * LANES + u];
        any |= mine[l] = channel >= 0 && channel % plan->n_species == species;
    }
    for (int64_t b = 0; any && b < t->stride; b += LANES) {
        double *sum = t->sums + species * t->n_monomials * t->stride + b;
        vec own[LANES];
#pragma GCC unroll 8
        for (int l = 0; l < LANES; l++)
            own[l] = mine[l] ? *(const vec *)(q + l * t->stride + b) : ZERO;
        for (int64_t m = 0; m < t->n_monomials; m++, sum += t->stride) {
            const double *monomial = (const double *)(t->monomials + m);
            vec even = *(vec *)sum, odd = ZERO;
#pragma GCC unroll 4
            for (int l = 0; l < LANES; l += 2)
                even += monomial[l] * own[l], odd += monomial[l + 1] * own[l + 1];
            *(vec *)sum = even + odd;
        }
    }
}

/* Q_k and slopes of all pairs of the centre in lane u, and the sums over these pairs. */
static void basis_sums(const scratch *s, const tangent_scratch *t, const moments_plan *plan, int64_t u)
{
    vec q[MAX_BETA], dq[MAX_BETA];
    memset(t->sums, 0, plan->n_species * t->n_monomials * t->stride * sizeof(double));
    for (int64_t k = 0; k < s->n && s->pair[k * LANES + u] >= 0; k += LANES) {
        double *own = t->q + k * t->stride, *slopes = t->dq + k * t->stride;
        pair_monomials(of_one(s->x, k, u), of_one(s->y, k, u), of_one(s->z, k, u), plan->highest, t->monomials);
        chebyshev(plan, of_one(s->r, k, u), q, dq);
        for (int l = 0; l < LANES; l++)
            for (int b = 0; b < plan->n_beta; b++)
                own[l * t->stride + b] = q[b][l], slopes[l * t->stride + b] = dq[b][l];
        for (int species = 0; species < plan->n_species; species++)
            add_to_sums(s, t, plan, k, u, species, own);
    }
}

/* dE/dc of one centre; its adjoints are in the second half of the scalars. */
static void store_energy_slopes(const tangent_scratch *t, const moments_plan *plan, const tangent_plan *of, double *out)
{
    memset(t->values, 0, plan->n_species * plan->n_mu * t->stride * sizeof(double));
    for (int species = 0; species < plan->n_species; species++)
        for (int64_t m = 0; m < plan->n_accumulated; m++) {
            const double *sum = t->sums + (species * t->n_monomials + of->moment_monomial[m]) * t->stride;
            double *value = t->values + (species * plan->n_mu + of->moment_mu[m]) * t->stride;
            for (int64_t b = 0; b < t->stride; b += LANES)
                *(vec *)(value + b) += t->scalars[plan->n_nodes + m] * *(const vec *)(sum + b);
        }
    for (int64_t row = 0; row < plan->n_species * plan->n_mu; row++, out += plan->n_beta)
        memcpy(out, t->values + row * t->stride, plan->n_beta * sizeof(double));
}

/* A_q of the moments that the program of a panel starts from. */
static void start_panel(const tangent_scratch *t, const tangent_plan *of, int64_t panel)
{
    const int32_t *columns = of->columns + 3 * MOMENTS_PANEL * panel;
    const int64_t *range = of->first_start + of->panel_program[panel];
    double *out = t->panel;
    for (int64_t m = range[0]; m < range[1]; m++)
        for (int c = 0; c < MOMENTS_PANEL; c++) {
            const int32_t *column = columns + 3 * c, moment = of->start[m];
            int64_t row = column[0] * t->n_monomials + of->moment_monomial[moment];
            *out++ = column[1] == of->moment_mu[moment] ? t->sums[row * t->stride + column[2]] : 0.0;
        }
}

/* All further rows of the panel; returns their end. */
static const vec *run_panel(const tangent_scratch *t, const tangent_plan *of, int64_t panel)
{
    int64_t program = of->panel_program[panel], n_start = of->first_start[program + 1] - of->first_start[program];
    const int32_t *entry = of->entries + 2 * of->first_entry[of->first_row[program]];
    const double *weight = of->entry_weights + of->first_entry[of->first_row[program]];
    const double *scalars = t->scalars;
    const vec *rows = (const vec *)t->panel;
    vec *out = (vec *)t->panel + n_start * WIDE;
    for (int64_t row = of->first_row[program]; row < of->first_row[program + 1]; row++, out += WIDE) {
        vec sum[WIDE];
        for (int w = 0; w < WIDE; w++)
            sum[w] = ZERO;
        for (int64_t n = of->first_entry[row + 1] - of->first_entry[row]; n > 0; n--, entry += 2, weight++) {
            const vec *source = rows + (int64_t)entry[0] * WIDE;
            double factor = *weight * scalars[entry[1]];
            for (int w = 0; w < WIDE; w++)
                sum[w] += factor * source[w];
        }
        for (int w = 0; w < WIDE; w++)
            out[w] = sum[w];
    }
    return out;
}

/* dD_q/dc of one centre, block by block. */
static void adjoint_tangents(const tangent_scratch *t, const tangent_plan *of)
{
    vec *matrix = t->matrix;
    for (int64_t panel = 0; panel < of->n_panels; panel++) {
        start_panel(t, of, panel);
        const vec *end = run_panel(t, of, panel);
        for (int64_t w = 0; w < WIDE && panel * WIDE + w < of->rows.n_blocks; w++) {
            const int64_t *range = of->rows.first_support + panel * WIDE + w, n = range[1] - range[0];
            for (int64_t m = 0; m < n; m++)
                *matrix++ = end[(m - n) * WIDE + w];
        }
    }
}

/* Add d/dr (Q_k P) = n Q_k' P + Q_k dP/dr to the rows of the pairs in slots k.. of lane u. */
static void add_own(const scratch *s, const tangent_scratch *t, const moments_plan *plan, int64_t k, int64_t u,
                    int64_t base, double *rows)
{
    int64_t width = plan->n_species * plan->n_mu * plan->n_beta;
    for (int64_t slot = k; slot < k + LANES && s->pair[slot * LANES + u] >= 0; slot++) {
        const double n[3] = {s->x[slot][u], s->y[slot][u], s->z[slot][u]};
        const double *q = t->q + slot * t->stride, *dq = t->dq + slot * t->stride;
        int species = s->channel[slot * LANES + u] % plan->n_species;
        double *row = rows + 3 * (s->pair[slot * LANES + u] - base) * width + species * plan->n_mu * plan->n_beta;
        for (int mu = 0; mu < plan->n_mu; mu++, row += plan->n_beta) {
            const vec *parts = t->pulls + mu * 4 * s->capacity + slot;
            for (int c = 0; c < 3; c++) {
                double along = n[c] * parts[0][u], across = parts[(c + 1) * s->capacity][u];
                for (int b = 0; b < plan->n_beta; b++)
                    row[c * width + b] += dq[b] * along + q[b] * across;
            }
        }
    }
}

static int coefficients(const moments_plan *plan, const tangent_plan *of, const centre_pairs *pairs,
                        const double *weights, double *values, double *rows)
{
    scratch s;
    tangent_scratch t;
    int64_t base = pairs->first[pairs->start], width = of->rows.n;
    void *memory = open_scratch(&s, plan, pairs, COEFFICIENTS);
    void *further = memory ? open_tangents(&t, plan, of, s.capacity) : NULL;
    if (!further) {
        free(memory);
        return MOMENTS_NO_MEMORY;
    }
    zero_far(plan, pairs, width, rows);
    for (int64_t begin = pairs->start; begin < pairs->stop; begin += LANES) {
        int64_t n_centres = least(LANES, pairs->stop - begin);
        forward(&s, plan, pairs, begin, 1);
        adjoints(&s, plan, n_centres, weights, 0);
        pull_parts(&s, &t, plan);
        for (int64_t u = 0; u < n_centres; u++) {
            for (int64_t m = 0; m < plan->n_nodes; m++)
                t.scalars[m] = s.nodes[m][u], t.scalars[plan->n_nodes + m] = s.adjoint[m][u];
            basis_sums(&s, &t, plan, u);
            store_energy_slopes(&t, plan, of, values + (begin + u - pairs->start) * width);
            adjoint_tangents(&t, of);
            for (int64_t k = 0; k < s.n && s.pair[k * LANES + u] >= 0; k += LANES) {
                moment_slopes(&s, plan, k, u);
                store_rows(&s, &of->rows, t.matrix, k, u, base, rows);
                add_own(&s, &t, plan, k, u, base, rows);
            }
        }
    }
    free(further);
    free(memory);
    return MOMENTS_OK;
}
