/* Basis functions of the GAP kernel, amplitude (q.x_s)^zeta, to the rows of their centres. Where the form has the products
 * with all sparse points anyway they are taken on the way, else made from the points that gap_set_keep() left. */
#ifndef KERNELFF_GAP_ROWS_H
#define KERNELFF_GAP_ROWS_H

/* Where evaluate_rows() writes, from the columns of the present set on. */
typedef struct {
    double *rows;
    int64_t stride;
    double *priors;
    int64_t start;
} row_output;

/* The rows of the centres of one group. */
typedef struct {
    int64_t n;
    double *to[GROUP];
} row_places;

INLINE void find_places(const row_output *out, const int64_t *index, int64_t n, row_places *places)
{
    for (int64_t k = 0; k < n; k++) {
        places[k / GROUP].to[k % GROUP] = out->rows + (index[k] - out->start) * out->stride;
        places[k / GROUP].n = k % GROUP + 1;
    }
}

/* zeta as a whole number, 0 if it is none. */
INLINE int whole_of(double zeta) { return zeta <= 1e6 && zeta == (int)zeta ? (int)zeta : 0; }

INLINE vec power_of(vec x, double zeta, int whole) { return x * power_below(x, whole, zeta); }

/* K [n_rows][GROUP] of the points from `begin` on; rows beyond the last point are pads. */
static void store_rows(const gap_set *set, int64_t begin, int64_t n_rows, const double *K, const row_places *places)
{
    int whole = whole_of(set->zeta);
    int64_t n = set->n_points - begin < n_rows ? set->n_points - begin : n_rows;
    for (int64_t v = 0; v < places->n; v += LANES) {
        int64_t count = places->n - v < LANES ? places->n - v : LANES, s = 0;
        for (; count == LANES && s + LANES <= n; s += LANES) {
            vec square[LANES];
#pragma GCC unroll 8
            for (int u = 0; u < LANES; u++)
                square[u] = set->amplitude * power_of(*(const vec *)(K + (s + u) * GROUP + v), set->zeta, whole);
            transpose(square);
#pragma GCC unroll 8
            for (int u = 0; u < LANES; u++)
                *(uvec *)(places->to[v + u] + begin + s) = square[u];
        }
        for (; s < n; s++) {
            vec k = set->amplitude * power_of(*(const vec *)(K + s * GROUP + v), set->zeta, whole);
            for (int64_t u = 0; u < count; u++)
                places->to[v + u][begin + s] = k[u];
        }
    }
}

static void rows_of_points(const gap_set *set, int64_t n_features, int64_t n_centres, const double *Q, double *K,
                           const row_places *places)
{
    int64_t n_panels = (set->n_points + GAP_PANEL - 1) / GAP_PANEL;
    for (int64_t p = 0; p < n_panels; p += PANELS) {
        int64_t n = n_panels - p < PANELS ? n_panels - p : PANELS;
        const double *X = set->points + p * n_features * GAP_PANEL;
        for (int64_t g = 0; g * GROUP < n_centres; g++) {
            const double *q = Q + g * n_features * GROUP;
            if (places[g].n > 2 * LANES)
                values(3, n, n_features, X, q, K);
            else if (places[g].n > LANES)
                values(2, n, n_features, X, q, K);
            else
                values(1, n, n_features, X, q, K);
            store_rows(set, p * GAP_PANEL, n * GAP_PANEL, K, places + g);
        }
    }
}

/* k(q, q) = amplitude (q.q)^zeta of the centres index[..]. */
static void add_priors(const gap_set *set, int64_t n_features, int64_t n_centres, const double *Q, const int64_t *index,
                       double *priors)
{
    for (int64_t k = 0; k < n_centres; k += LANES) {
        const double *q = Q + k / GROUP * n_features * GROUP + k % GROUP;
        vec square = ZERO;
        for (int64_t f = 0; f < n_features; f++)
            square += *(const vec *)(q + f * GROUP) * *(const vec *)(q + f * GROUP);
        vec prior = set->amplitude * power_of(square, set->zeta, whole_of(set->zeta));
        for (int64_t u = 0; u < LANES && k + u < n_centres; u++)
            priors[index[k + u]] += prior[u];
    }
}

#endif
