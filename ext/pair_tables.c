/* Pair energies from tables, compiled once per instruction set with -DISA=... -DLANES=...
 * Energies and gradients are scalar: a few nanoseconds a pair, where the terms beside it take twenty to four hundred. */
#include "pair_tables.h"

#include "lanes.h"

#define SQUARE(a) ((a) * (a))

/* g / r and its slope; 0 from the last segment on. */
static inline double look_up(const pair_plan *plan, int32_t table, double r, double *slope)
{
    const pair_segment *s = plan->segments + plan->first_segment[table];
    const pair_segment *end = plan->segments + plan->first_segment[table + 1];
    while (s < end && !(r < s->stop))
        s++;
    *slope = 0.0;
    if (s == end)
        return 0.0;
    double x = (s->stop - r) * s->rate, over = 1.0 / r;
    int64_t k = (int64_t)x < s->n ? (int64_t)x : s->n - 1;
    const double *c = plan->pieces + 6 * (s->first + k);
    double t = x - (double)k;
    double g = c[0] + t * (c[1] + t * (c[2] + t * (c[3] + t * (c[4] + t * c[5]))));
    double dg = c[1] + t * (2.0 * c[2] + t * (3.0 * c[3] + t * (4.0 * c[4] + t * 5.0 * c[5])));
    *slope = -over * (dg * s->rate + g * over);
    return g * over;
}

#include "pair_rows.h"

static void evaluate(const void *of, const centre_pairs *pairs, void *scratch, double *energies, double *gradients)
{
    const pair_plan *plan = of;
    double limit = plan->cutoff * plan->cutoff;
    int64_t begin = pairs->first[pairs->start];
    (void)scratch;
    for (int64_t i = pairs->start; i < pairs->stop; i++) {
        const int32_t *tables = plan->table_of + (int64_t)plan->row_of[pairs->species[i]] * plan->n_rows;
        double energy = 0.0;
        for (int64_t p = pairs->first[i]; p < pairs->first[i + 1]; p++) {
            const double *d = pairs->vectors + 3 * p;
            double r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2], slope;
            if (r2 >= limit)
                continue;
            int32_t table = tables[plan->row_of[pairs->species[pairs->j[p]]]];
            if (table < 0)
                continue;
            double r = sqrt(r2);
            energy += look_up(plan, table, r, &slope);
            double along = slope / r;
            for (int c = 0; c < 3 && gradients; c++)
                gradients[3 * (p - begin) + c] += along * d[c];
        }
        energies[i - pairs->start] += energy;
    }
}

static int64_t scratch_size(const void *plan, int64_t most_pairs)
{
    return neighbour_space(&((const pair_plan *)plan)->functions, most_pairs);
}

static int64_t n_functions(const void *plan) { return ((const pair_plan *)plan)->functions.n; }

static void evaluate_rows(const void *of, const centre_pairs *pairs, void *scratch, double *energies, double *gradients,
                          double *rows, int64_t stride, double *priors)
{
    const pair_plan *plan = of;
    evaluate(plan, pairs, scratch, energies, gradients);
    for (int64_t i = pairs->start; i < pairs->stop; i++) {
        int64_t most = padded(pairs->first[i + 1] - pairs->first[i]);
        pair_neighbours own = {.stride = most, .fcut = scratch, .x = (double *)scratch + most};
        gather(plan, pairs, i, &own);
        store_functions(&plan->functions, &own, rows + (i - pairs->start) * stride);
        if (priors)
            priors[i - pairs->start] += prior_of(&plan->functions, &own);
    }
}

const centre_kernel JOIN(pair_loops_, ISA) = {TEXT(ISA), LANES, scratch_size, evaluate, n_functions, evaluate_rows};
