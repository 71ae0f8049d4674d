/* Baseline part of the GAP kernel: packing of sparse points and the choice of instruction set. */
#include "dispatch.h"
#include "gap.h"

#include <math.h>
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

/* Upper half of A [n_features][n_features] += sum_s w_s x_s x_s', eight rows at a time in the cache. */
static void add_squares(double *A, int64_t n_features, int64_t n, const double *x, const double *w)
{
    for (int64_t u0 = 0; u0 < n_features; u0 += 8)
        for (int64_t s = 0; s < n; s++) {
            const double *row = x + s * n_features;
            for (int64_t u = u0; u < u0 + 8 && u < n_features; u++)
                for (int64_t f = u0; f < n_features; f++)
                    A[u * n_features + f] += w[s] * row[u] * row[f];
        }
}

static int allocate(gap_set *set, int form, double zeta, int64_t n_features, int64_t n_rows)
{
    int64_t padded = round_up(n_features);
    memset(set, 0, sizeof *set);
    set->form = form, set->zeta = zeta;
    set->n_panels = form == GAP_LINEAR ? 0 : round_up(n_rows) / GAP_PANEL;
    set->rows = zeros(set->n_panels * GAP_PANEL * padded);
    set->weights = zeros(form == GAP_LINEAR ? padded : set->n_panels * GAP_PANEL);
    if (set->rows && set->weights)
        return 0;
    gap_set_free(set);
    return 1;
}

int gap_form(int64_t n_features, int64_t n, double zeta)
{
    /* multiplications per centre: n_features^2 against 2 n n_features */
    return zeta == 1.0 || !n ? GAP_LINEAR : zeta == 2.0 && n_features < 2 * n ? GAP_QUADRATIC : GAP_POWER;
}

int gap_set_square(gap_set *set, int64_t n_features, const double *A)
{
    if (allocate(set, GAP_QUADRATIC, 2.0, n_features, n_features))
        return 1;
    pack(set->rows, n_features, n_features, A);
    return 0;
}

static int set_squares(gap_set *set, int64_t n_features, int64_t n, const double *x, const double *w)
{
    double *A = zeros(n_features * n_features);
    if (!A)
        return 1;
    add_squares(A, n_features, n, x, w);
    for (int64_t u = 0; u < n_features; u++)
        for (int64_t f = 0; f < u; f++)
            A[u * n_features + f] = A[f * n_features + u];
    int status = gap_set_square(set, n_features, A);
    free(A);
    return status;
}

int gap_set_points(gap_set *set, int64_t n_features, int64_t n, const double *x, const double *w, double zeta)
{
    int form = gap_form(n_features, n, zeta);
    if (form == GAP_QUADRATIC)
        return set_squares(set, n_features, n, x, w);
    if (allocate(set, form, zeta, n_features, n))
        return 1;
    if (form == GAP_POWER) {
        pack(set->rows, n_features, n, x);
        memcpy(set->weights, w, (size_t)n * sizeof(double));
    } else
        for (int64_t s = 0; s < n; s++)
            for (int64_t f = 0; f < n_features; f++)
                set->weights[f] += w[s] * x[s * n_features + f];
    return 0;
}

int gap_set_keep(gap_set *set, int64_t n_features, int64_t n, const double *x, double amplitude)
{
    double *points = set->rows; /* the same where the form is GAP_POWER */
    if (set->form != GAP_POWER) {
        points = zeros(round_up(n) * round_up(n_features));
        if (!points)
            return 1;
        pack(points, n_features, n, x);
    }
    set->points = points, set->n_points = n, set->amplitude = amplitude;
    return 0;
}

/* What the directions leave of x, and its parts along them. */
static void take_apart(int64_t n_features, const double *x, int64_t n_lead, const double *directions, double *parts,
                       double *rest)
{
    memcpy(rest, x, (size_t)n_features * sizeof(double));
    for (int64_t k = 0; k < n_lead; k++) {
        const double *v = directions + k * n_features;
        parts[k] = 0.0;
        for (int64_t f = 0; f < n_features; f++)
            parts[k] += x[f] * v[f];
        for (int64_t f = 0; f < n_features; f++)
            rest[f] -= parts[k] * v[f];
    }
}

static double slope_at_mean(const gap_set *set, int64_t s, int64_t n_features, const double *x, const double *mean)
{
    double k = 0.0;
    for (int64_t f = 0; f < n_features; f++)
        k += x[f] * mean[f];
    return k > 0.0 ? set->weights[s] * set->zeta * pow(k, set->zeta - 1.0) : 0.0;
}

int gap_set_split(gap_set *set, int64_t n_features, int64_t n, const double *x, int64_t n_lead, const double *directions)
{
    int64_t padded = round_up(n_features), n_rows = set->n_panels * GAP_PANEL;
    double *mean = zeros(2 * padded + n_lead), *rest = mean + padded, *parts = rest + padded;
    set->directions = zeros(n_lead * padded), set->lead = zeros(n_rows * n_lead);
    set->rest = (float *)zeros(n_rows * padded / 2);
    set->usual = zeros(n_rows), set->constant = zeros(padded);
    if (!mean || !set->directions || !set->lead || !set->rest || !set->usual || !set->constant) {
        free(mean);
        return 1;
    }
    for (int64_t s = 0; s < n; s++)
        for (int64_t f = 0; f < n_features; f++)
            mean[f] += x[s * n_features + f] / (double)n;
    pack(set->directions, n_features, n_lead, directions);
    for (int64_t s = 0; s < n; s++) {
        const double *row = x + s * n_features;
        int64_t panel = s / GAP_PANEL, place = s % GAP_PANEL;
        take_apart(n_features, row, n_lead, directions, parts, rest);
        set->usual[s] = slope_at_mean(set, s, n_features, row, mean);
        for (int64_t k = 0; k < n_lead; k++)
            set->lead[(panel * n_lead + k) * GAP_PANEL + place] = parts[k];
        for (int64_t f = 0; f < n_features; f++) {
            set->rest[(panel * padded + f) * GAP_PANEL + place] = (float)rest[f];
            set->constant[f] += set->usual[s] * rest[f];
        }
    }
    free(mean), free(set->rows);
    set->rows = set->points = NULL, set->n_points = 0, set->n_lead = n_lead;
    return 0;
}

void gap_set_free(gap_set *set)
{
    free(set->directions), free(set->lead), free(set->rest), free(set->usual), free(set->constant);
    if (set->points != set->rows)
        free(set->points);
    free(set->rows);
    free(set->weights);
    memset(set, 0, sizeof *set);
}
