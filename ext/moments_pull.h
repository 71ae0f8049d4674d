/* From adjoints of the moments to pair gradients; included by moments_potential.c alone. */

#define PULLS (SLOTS / 2)            /* neighbours of a lane taken together */

INLINE vec fused(vec a, vec b, vec c) { return a * b + c; }

/* One polynomial p = sum_q D_q x^a y^b and its derivatives by x and y, row by row of b, for PULLS neighbours. */
typedef struct {
    vec p[PULLS], px[PULLS], py[PULLS];
} polynomial;

/* Add the row of x^n y^b .. y^b to a polynomial of which `row` rows are there; returns where the next one begins. */
INLINE const vec *add_row(polynomial *out, const vec *d, const int n, const int row, const vec *x, const vec *y)
{
    vec q[PULLS], dq[PULLS];
    for (int t = 0; t < PULLS; t++)
        q[t] = d[0], dq[t] = ZERO;
    UNROLL
    for (int a = 1; a <= n; a++)
        for (int t = 0; t < PULLS; t++) {
            dq[t] = a == 1 ? q[t] : fused(dq[t], x[t], q[t]);
            q[t] = fused(q[t], x[t], d[a]);
        }
    for (int t = 0; t < PULLS; t++) {
        out->py[t] = row == 0 ? (vec)ZERO : row == 1 ? out->p[t] : fused(out->py[t], y[t], out->p[t]);
        out->p[t] = row == 0 ? q[t] : fused(out->p[t], y[t], q[t]);
        out->px[t] = row <= 1 ? dq[t] : fused(out->px[t], y[t], dq[t]);
    }
    return d + n + 1;
}

typedef struct {
    vec along[PULLS], x[PULLS], y[PULLS], z[PULLS]; /* de/dr by the radial functions, and by each of the unit vector */
} pull;

/* Add what one mu gives; `degree` is a constant where this is inlined. */
INLINE const vec *pull_one(pull *out, const vec *d, const int degree, const vec *f, const vec *df, const vec *x,
                           const vec *y, const vec *z)
{
    polynomial even = {{ZERO}}, odd = {{ZERO}}; /* of z^0 and z^1 */
    UNROLL
    for (int b = degree; b >= 0; b--) {
        d = add_row(&even, d, degree - b, degree - b, x, y);
        if (b < degree)
            d = add_row(&odd, d, degree - 1 - b, degree - 1 - b, x, y);
    }
    for (int t = 0; t < PULLS; t++)
        if (degree == 0) {
            out->along[t] += df[t] * even.p[t];
        } else {
            out->along[t] += df[t] * (even.p[t] + z[t] * odd.p[t]);
            out->x[t] += f[t] * (degree == 1 ? even.px[t] : fused(z[t], odd.px[t], even.px[t]));
            out->y[t] += f[t] * (degree == 1 ? even.py[t] : fused(z[t], odd.py[t], even.py[t]));
            out->z[t] += f[t] * odd.p[t];
        }
    return d;
}

#define PULL(n) \
    case n: \
        d = pull_one(out, d, n, f, df, x, y, z); \
        break;

INLINE void pull_all(const scratch *s, const moments_potential *plan, int64_t k, pull *out)
{
    const vec *d = s->adjoints;
    const slot *of = s->slots + k;
    int64_t group = k / SLOTS * SLOTS * plan->n_mu + k % SLOTS;
    vec x[PULLS], y[PULLS], z[PULLS];
    for (int t = 0; t < PULLS; t++) {
        x[t] = of[t].x, y[t] = of[t].y, z[t] = of[t].z;
        out->along[t] = out->x[t] = out->y[t] = out->z[t] = ZERO;
    }
    for (int mu = 0; mu < plan->n_mu; mu++) {
        const vec *f = s->f + group + mu * SLOTS, *df = s->df + group + mu * SLOTS;
        switch (plan->degree[mu]) {
        PULL(0) PULL(1) PULL(2) PULL(3) PULL(4) PULL(5) PULL(6) PULL(7) PULL(8)
        default:
            if (plan->degree[mu] >= 0)
                d = pull_one(out, d, plan->degree[mu], f, df, x, y, z);
        }
    }
}

/* Add de/dr = n along + (1 - n n') g / r, g by the components of n, of neighbour k. */
INLINE void store_one(const scratch *s, int64_t k, const pull *from, int t, double *const *rows)
{
    const slot *of = s->slots + k;
    vec n[3] = {of->x, of->y, of->z}, g[3] = {from->x[t], from->y[t], from->z[t]};
    vec along = from->along[t] - (n[0] * g[0] + n[1] * g[1] + n[2] * g[2]) * of->inverse;
    vec out[3];
    for (int c = 0; c < 3; c++)
        out[c] = n[c] * along + g[c] * of->inverse;
    const real *parts = (const real *)out;
    UNROLL
    for (int u = 0; u < LANES; u++)
        if (k < s->count[u]) {
            double *row = rows[u] + 3 * (int64_t)of->pair[u];
            for (int c = 0; c < 3; c++)
                row[c] += parts[c * LANES + u];
        }
}

/* `first` of the centres in the lanes; gradients begin at pair `base`. */
static void store_pulls(const scratch *s, const moments_potential *plan, const int64_t *first, int64_t base,
                        double *gradients)
{
    double *rows[LANES];
    for (int u = 0; u < LANES; u++)
        rows[u] = gradients + (s->count[u] ? 3 * (first[u] - base) : 0);
    for (int64_t k = 0; k < s->n; k += PULLS) {
        pull pulls;
        pull_all(s, plan, k, &pulls);
        for (int t = 0; t < PULLS; t++)
            store_one(s, k + t, &pulls, t, rows);
    }
}
