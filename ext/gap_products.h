/* Matrix products of the GAP kernel: e and de/dq of a group of centres from their spectra.
 *
 * Lanes are centres: a spectrum is a column of Q [feature][GROUP], and a number of a packed row is spread over the
 * lanes. Both products, K = X Q and G = X' S, then read the same packing of X, and the power between them runs over
 * lanes without transposition. Tiles are WIDE vectors of centres by TILE rows or features, all sums in registers;
 * chunks of FEATURES keep a group's part of Q in the L1 cache for all rows of a block, and a block of PANELS rows
 * stays in the L2 cache for all groups.
 */
#ifndef KERNELFF_GAP_PRODUCTS_H
#define KERNELFF_GAP_PRODUCTS_H

#include "gap.h"
#include "lanes.h"

enum {
    WIDE = 3,                      /* vectors of centres in a tile */
    GROUP = WIDE * LANES,          /* centres in a group */
    TILE = LANES == 8 ? 8 : 4,     /* WIDE x TILE sums: 24 of 32 registers, or 12 of 16 */
    PANELS = 8,                    /* of GAP_PANEL rows in a block */
    BLOCK = PANELS * GAP_PANEL,
    FEATURES = 128,
    AHEAD = 16                     /* features; the rows come from the L2 or L3 cache */
};

typedef float single_vec __attribute__((vector_size(2 * LANES * sizeof(float)), aligned(LANES * sizeof(double)), may_alias));

#define NUMBER double
#define VECTOR vec
#define OF(name) name
#include "gap_tiles.h"
#undef NUMBER
#undef VECTOR
#undef OF
#define NUMBER float
#define VECTOR single_vec
#define OF(name) name##_single
#include "gap_tiles.h"
#undef NUMBER
#undef VECTOR
#undef OF

/* x^(zeta - 1) of a vector; 0 where x is not positive and zeta no whole number. */
INLINE vec power_below(vec x, const int whole, double zeta)
{
    vec result = ZERO + 1.0, square = x;
    if (!whole) {
        for (int u = 0; u < LANES; u++)
            result[u] = x[u] > 0.0 ? pow(x[u], zeta - 1.0) : 0.0;
        return result;
    }
    for (int n = whole - 1; n; n >>= 1, square *= square)
        if (n & 1)
            result *= square;
    return result;
}

/* K -> w zeta K^(zeta - 1) in place; e [wide] += w K^zeta. `whole` is zeta as a whole number, 0 if it is none. */
INLINE void weigh_powers(const int wide, const int whole, double zeta, int64_t n_rows, const double *w, double *K, vec *e)
{
    for (int64_t s = 0; s < n_rows; s++, K += GROUP)
#pragma GCC unroll 3
        for (int v = 0; v < wide; v++) {
            vec k = *(vec *)(K + v * LANES), slope = w[s] * power_below(k, whole, zeta);
            e[v] += slope * k;
            *(vec *)(K + v * LANES) = zeta * slope;
        }
}

static void weigh_by(const int wide, double zeta, int64_t n_rows, const double *w, double *K, vec *e)
{
    int whole = zeta <= 1e6 && zeta == (int)zeta ? (int)zeta : 0;
#define CASE(n) \
    case n: weigh_powers(WIDE, n, zeta, n_rows, w, K, e); return
    if (wide == WIDE) /* the others are the rest of a range */
        switch (whole) {
            CASE(2); CASE(3); CASE(4);
        }
#undef CASE
    weigh_powers(wide, whole, zeta, n_rows, w, K, e);
}

#include "gap_rows.h"

/* One block of panels p0 .. p0 + n - 1 of a set for one group: e += ..., G (+)= .... */
INLINE void block_of_rows(const int wide, const gap_set *set, int64_t n_features, int64_t p0, int64_t n,
                          const double *Q, double *K, double *G, vec *e, const row_places *places)
{
    const double *X = set->rows + p0 * n_features * GAP_PANEL;
    if (set->form == GAP_QUADRATIC) { /* A is symmetric: G = 2 A Q */
        double *g = G + p0 * GAP_PANEL * GROUP;
        values(wide, n, n_features, X, Q, g);
        for (int64_t s = p0 * GAP_PANEL; s < (p0 + n) * GAP_PANEL; s++, g += GROUP)
            for (int v = 0; v < wide; v++) {
                vec k = *(vec *)(g + v * LANES);
                e[v] += k * *(const vec *)(Q + s * GROUP + v * LANES);
                *(vec *)(g + v * LANES) = 2.0 * k;
            }
        return;
    }
    values(wide, n, n_features, X, Q, K);
    if (places)
        store_rows(set, p0 * GAP_PANEL, n * GAP_PANEL, K, places);
    weigh_by(wide, set->zeta, n * GAP_PANEL, set->weights + p0 * GAP_PANEL, K, e);
    slopes(wide, n, n_features, X, K, G, p0 > 0);
}

/* q.v and v itself. */
static void linear(const gap_set *set, int64_t n_features, const double *Q, double *G, vec *e)
{
    for (int64_t f = 0; f < n_features; f++)
        for (int v = 0; v < WIDE; v++) {
            e[v] += set->weights[f] * *(const vec *)(Q + f * GROUP + v * LANES);
            *(vec *)(G + f * GROUP + v * LANES) = ZERO + set->weights[f];
        }
}

/* Energies e [n_groups][WIDE] and slopes G [n_groups][n_features][GROUP] of spectra Q, laid out as G; the basis functions
 * to places [n_groups] on the way where the form has them. */
static void products(const gap_set *set, int64_t n_features, int64_t n_centres, const double *Q, double *K, double *G,
                     vec *e, const row_places *places)
{
    int64_t size = n_features * GROUP, n_groups = (n_centres + GROUP - 1) / GROUP;
    for (int64_t v = 0; v < n_groups * WIDE; v++)
        e[v] = ZERO;
    for (int64_t g = 0; g < n_groups && set->form == GAP_LINEAR; g++)
        linear(set, n_features, Q + g * size, G + g * size, e + g * WIDE);
    for (int64_t p = 0; p < set->n_panels; p += PANELS) {
        int64_t n = set->n_panels - p < PANELS ? set->n_panels - p : PANELS;
        for (int64_t g = 0; g < n_groups; g++) {
            int64_t rest = n_centres - g * GROUP;
            const double *q = Q + g * size;
            const row_places *to = places ? places + g : NULL;
            if (rest > 2 * LANES)
                block_of_rows(3, set, n_features, p, n, q, K, G + g * size, e + g * WIDE, to);
            else if (rest > LANES)
                block_of_rows(2, set, n_features, p, n, q, K, G + g * size, e + g * WIDE, to);
            else
                block_of_rows(1, set, n_features, p, n, q, K, G + g * size, e + g * WIDE, to);
        }
    }
}

#endif
