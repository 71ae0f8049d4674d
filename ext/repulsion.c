/* Screened repulsion of nuclei, compiled once per instruction set with -DISA=... -DLANES=... Few pairs are close enough. */
#include "repulsion.h"

#include <math.h>
#include <stddef.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

static const double amounts[4] = {0.18175, 0.50986, 0.28022, 0.02817};
static const double decays[4] = {3.19980, 0.94229, 0.40290, 0.20162};
#define INNER 0.3 /* inner / outer */

/* V and dV/dr of one pair at a distance r < outer. */
static void pair_energy(double r, double outer, double screening, double charge, double *value, double *slope)
{
    double phi = 0.0, d_phi = 0.0;
    for (int k = 0; k < 4; k++) {
        double term = amounts[k] * exp(-decays[k] * r / screening);
        phi += term, d_phi -= decays[k] / screening * term;
    }
    double v = charge / r * phi, dv = -v / r + charge / r * d_phi;
    double width = (1.0 - INNER) * outer, t = fmax(1.0 - (outer - r) / width, 0.0), u = 1.0 - t;
    double turn = u * u * u * (1.0 + 3.0 * t + 6.0 * t * t), d_turn = -30.0 * t * t * u * u / width;
    *value = v * turn, *slope = dv * turn + v * d_turn;
}

static void add_pair(const double *entry, const double *d, double r, double *energy, double *gradient)
{
    double value, slope;
    if (!(r < entry[0] && entry[1] < entry[0]))
        return;
    pair_energy(r, entry[0], entry[2], entry[3], &value, &slope);
    if (r < entry[1]) {
        double there, d_there;
        pair_energy(r, entry[1], entry[2], entry[3], &there, &d_there);
        value -= there, slope -= d_there;
    }
    *energy += 0.5 * value;
    for (int c = 0; c < 3 && gradient; c++)
        gradient[c] += 0.5 * slope / r * d[c];
}

static int32_t row_of(const repulsion_plan *plan, int32_t element)
{
    return element < 0 || element >= plan->n_elements ? plan->n_rows - 1 : plan->row_of[element];
}

static void evaluate(const void *plan_at, const centre_pairs *pairs, void *scratch, double *energies, double *gradients)
{
    const repulsion_plan *plan = plan_at;
    double limit = plan->cutoff * plan->cutoff;
    int64_t begin = pairs->first[pairs->start];
    (void)scratch;
    for (int64_t i = pairs->start; i < pairs->stop; i++)
        for (int64_t p = pairs->first[i]; p < pairs->first[i + 1]; p++) {
            const double *d = pairs->vectors + 3 * p;
            double r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
            if (r2 >= limit)
                continue;
            int32_t own = row_of(plan, pairs->species[i]), other = row_of(plan, pairs->species[pairs->j[p]]);
            add_pair(plan->table + 4 * ((int64_t)own * plan->n_rows + other), d, sqrt(r2), energies + i - pairs->start,
                     gradients ? gradients + 3 * (p - begin) : NULL);
        }
}

static int64_t scratch_size(const void *plan, int64_t most_pairs)
{
    (void)plan, (void)most_pairs;
    return 64;
}

const centre_kernel JOIN(repulsion_loops_, ISA) = {TEXT(ISA), LANES, scratch_size, evaluate, NULL, NULL};
