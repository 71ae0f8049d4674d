/* Tiles of the matrix products, included by gap_products.h for each type: NUMBER, VECTOR of it, OF(name) for the names.
 * WIDE vectors of centres are COLUMNS: GROUP, or with float32 two of them. */
#define STEP ((int)(sizeof(VECTOR) / sizeof(NUMBER)))
#define COLUMNS (WIDE * STEP)

/* K [TILE][COLUMNS] (+)= rows of one panel times Q over n features; X [n][GAP_PANEL]. */
INLINE void OF(tile_values)(const int wide, int64_t n, const NUMBER *X, const NUMBER *Q, NUMBER *K, int more)
{
    VECTOR sum[TILE][WIDE];
#pragma GCC unroll 8
    for (int s = 0; s < TILE; s++)
#pragma GCC unroll 3
        for (int v = 0; v < wide; v++)
            sum[s][v] = more ? *(VECTOR *)(K + s * COLUMNS + v * STEP) : (VECTOR){0};
    for (int64_t f = 0; f < n; f++, X += GAP_PANEL, Q += COLUMNS) {
        __builtin_prefetch(X + AHEAD * GAP_PANEL);
        VECTOR q[WIDE];
#pragma GCC unroll 3
        for (int v = 0; v < wide; v++)
            q[v] = *(const VECTOR *)(Q + v * STEP);
#pragma GCC unroll 8
        for (int s = 0; s < TILE; s++)
#pragma GCC unroll 3
            for (int v = 0; v < wide; v++)
                sum[s][v] += X[s] * q[v];
    }
#pragma GCC unroll 8
    for (int s = 0; s < TILE; s++)
#pragma GCC unroll 3
        for (int v = 0; v < wide; v++)
            *(VECTOR *)(K + s * COLUMNS + v * STEP) = sum[s][v];
}

/* G [TILE features][COLUMNS] (+)= sum over rows of n panels of X times S [row][COLUMNS]; panels are `stride` apart. */
INLINE void OF(tile_slopes)(const int wide, int64_t n, const NUMBER *X, int64_t stride, const NUMBER *S, NUMBER *G,
                        int more)
{
    VECTOR sum[TILE][WIDE];
#pragma GCC unroll 8
    for (int f = 0; f < TILE; f++)
#pragma GCC unroll 3
        for (int v = 0; v < wide; v++)
            sum[f][v] = more ? *(VECTOR *)(G + f * COLUMNS + v * STEP) : (VECTOR){0};
    for (int64_t p = 0; p < n; p++, X += stride)
        for (int row = 0; row < GAP_PANEL; row++, S += COLUMNS) {
            VECTOR s[WIDE];
#pragma GCC unroll 3
            for (int v = 0; v < wide; v++)
                s[v] = *(const VECTOR *)(S + v * STEP);
#pragma GCC unroll 8
            for (int f = 0; f < TILE; f++)
#pragma GCC unroll 3
                for (int v = 0; v < wide; v++)
                    sum[f][v] += X[f * GAP_PANEL + row] * s[v];
        }
#pragma GCC unroll 8
    for (int f = 0; f < TILE; f++)
#pragma GCC unroll 3
        for (int v = 0; v < wide; v++)
            *(VECTOR *)(G + f * COLUMNS + v * STEP) = sum[f][v];
}

/* K [n panels][GAP_PANEL][COLUMNS] = X Q. */
INLINE void OF(values)(const int wide, int64_t n, int64_t n_features, const NUMBER *X, const NUMBER *Q, NUMBER *K)
{
    for (int64_t f = 0; f < n_features; f += FEATURES) {
        int64_t count = n_features - f < FEATURES ? n_features - f : FEATURES;
        for (int64_t p = 0; p < n; p++)
            for (int t = 0; t < GAP_PANEL; t += TILE)
                OF(tile_values)(wide, count, X + (p * n_features + f) * GAP_PANEL + t, Q + f * COLUMNS,
                            K + (p * GAP_PANEL + t) * COLUMNS, f > 0);
    }
}

/* G [n_features][COLUMNS] (+)= X' S. */
INLINE void OF(slopes)(const int wide, int64_t n, int64_t n_features, const NUMBER *X, const NUMBER *S, NUMBER *G, int more)
{
    for (int64_t f = 0; f < n_features; f += TILE)
        OF(tile_slopes)(wide, n, X + f * GAP_PANEL, n_features * GAP_PANEL, S, G + f * COLUMNS, more);
}

/* The same for so many centres of a group. */
static void OF(values_of)(int64_t n_centres, int64_t n, int64_t n_features, const NUMBER *X, const NUMBER *Q, NUMBER *K)
{
    if (n_centres > 2 * STEP)
        OF(values)(3, n, n_features, X, Q, K);
    else if (n_centres > STEP)
        OF(values)(2, n, n_features, X, Q, K);
    else
        OF(values)(1, n, n_features, X, Q, K);
}

static void OF(slopes_of)(int64_t n_centres, int64_t n, int64_t n_features, const NUMBER *X, const NUMBER *S, NUMBER *G,
                          int more)
{
    if (n_centres > 2 * STEP)
        OF(slopes)(3, n, n_features, X, S, G, more);
    else if (n_centres > STEP)
        OF(slopes)(2, n, n_features, X, S, G, more);
    else
        OF(slopes)(1, n, n_features, X, S, G, more);
}

#undef STEP
#undef COLUMNS
