/* Baseline part of the GAP kernel: packing of sparse points and the choice of instruction set. */
#include "dispatch.h"
#include "gap.h"

#include <stdlib.h>

DISPATCH(gap, centre_kernel)

static double *zeros(int64_t n)
{
    void *memory = NULL;
    size_t size = (size_t)(n + 1) * sizeof(double);
    return posix_memalign(&memory, 64, size) ? NULL : memset(memory, 0, size);
}

static int64_t round_up(int64_t n) { return (n + 7) / 8 * 8; }

static void pack(double *rows, int64_t n_features, int64_t n, const double *x)
{
    for (int64_t s = 0; s < n; s++) {
        double *to = rows + s / GAP_PANEL * round_up(n_features) * GAP_PANEL + s % GAP_PANEL;
        for (int64_t f = 0; f < n_features; f++)
            to[f * GAP_PANEL] = x[s * n_features + f];
    }
}

/* The packed rows of A = sum_s w_s x_s x_s', a panel at a time. */
static void pack_square(double *rows, int64_t n_features, int64_t n, const double *x, const double *w)
{
    for (int64_t u = 0; u < n_features; u += GAP_PANEL) {
        double *to = rows + u * round_up(n_features);
        int64_t count = n_features - u < GAP_PANEL ? n_features - u : GAP_PANEL;
        for (int64_t s = 0; s < n; s++) {
            double left[GAP_PANEL] = {0.0};
            for (int64_t k = 0; k < count; k++)
                left[k] = w[s] * x[s * n_features + u + k];
            for (int64_t f = 0; f < n_features; f++)
                for (int k = 0; k < GAP_PANEL; k++)
                    to[f * GAP_PANEL + k] += left[k] * x[s * n_features + f];
        }
    }
}

int gap_set_points(gap_set *set, int64_t n_features, int64_t n, const double *x, const double *w, double zeta)
{
    int64_t padded = round_up(n_features);
    memset(set, 0, sizeof *set);
    set->zeta = zeta;
    /* multiplications per centre: 2 n n_features against n_features^2 */
    set->form = zeta == 1.0 || !n ? GAP_LINEAR : zeta == 2.0 && n_features < 2 * n ? GAP_QUADRATIC : GAP_POWER;
    if (set->form != GAP_LINEAR)
        set->n_panels = round_up(set->form == GAP_QUADRATIC ? n_features : n) / GAP_PANEL;
    set->rows = zeros(set->n_panels * GAP_PANEL * padded);
    set->weights = zeros(set->form == GAP_LINEAR ? padded : set->n_panels * GAP_PANEL);
    if (!set->rows || !set->weights) {
        gap_set_free(set);
        return 1;
    }
    if (set->form == GAP_QUADRATIC)
        pack_square(set->rows, n_features, n, x, w);
    else if (set->form == GAP_POWER) {
        pack(set->rows, n_features, n, x);
        memcpy(set->weights, w, (size_t)n * sizeof(double));
    } else
        for (int64_t s = 0; s < n; s++)
            for (int64_t f = 0; f < n_features; f++)
                set->weights[f] += w[s] * x[s * n_features + f];
    return 0;
}

void gap_set_free(gap_set *set)
{
    free(set->rows);
    free(set->weights);
    memset(set, 0, sizeof *set);
}
