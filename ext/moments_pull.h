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
    const vec *xyz = s->xyz + 3 * k;
    int64_t group = k / SLOTS * SLOTS * plan->n_mu + k % SLOTS;
    vec x[PULLS], y[PULLS], z[PULLS];
    for (int t = 0; t < PULLS; t++) {
        x[t] = xyz[3 * t], y[t] = xyz[3 * t + 1], z[t] = xyz[3 * t + 2];
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

/* Pair gradients in place of unit vectors n: n along + (1 - n n') g / r, g by the components of n. */
static void pull_slots(const scratch *s, const moments_potential *plan)
{
    for (int64_t k = 0; k < s->n; k += PULLS) {
        pull pulls;
        pull_all(s, plan, k, &pulls);
        for (int t = 0; t < PULLS; t++) {
            vec *n = s->xyz + 3 * (k + t), g[3] = {pulls.x[t], pulls.y[t], pulls.z[t]}, inverse = s->inverse[k + t];
            vec along = pulls.along[t] - (n[0] * g[0] + n[1] * g[1] + n[2] * g[2]) * inverse;
            for (int c = 0; c < 3; c++)
                n[c] = n[c] * along + g[c] * inverse;
        }
    }
}
