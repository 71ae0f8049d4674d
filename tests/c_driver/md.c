/* The loop of molecular dynamics without Python: a Lennard-Jones crystal, a skewed cell smaller than the cutoff, a slab.
 * Run by tests/c_driver/run under the address and undefined-behaviour sanitizers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "md.h"

enum { MOST = 512 };

typedef struct {
    double epsilon, sigma, cutoff;
} lennard_jones;

/* Half of 4 epsilon (s^12 - s^6) of every pair, with value and slope taken to zero at the cutoff. */
static void evaluate(const void *plan, const centre_pairs *pairs, void *scratch, double *energies, double *gradients)
{
    const lennard_jones *p = plan;
    double sc = pow(p->sigma / p->cutoff, 6), vc = 4 * p->epsilon * (sc * sc - sc);
    double dc = -24 * p->epsilon * (2 * sc * sc - sc) / p->cutoff;
    (void)scratch;
    for (int64_t i = pairs->start; i < pairs->stop; i++)
        for (int64_t k = pairs->first[i]; k < pairs->first[i + 1]; k++) {
            const double *d = pairs->vectors + 3 * k;
            double r = sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]), s = pow(p->sigma / r, 6);
            if (r >= p->cutoff || pairs->species[pairs->j[k]] != 18)
                continue;
            energies[i - pairs->start] += 0.5 * (4 * p->epsilon * (s * s - s) - vc - dc * (r - p->cutoff));
            for (int c = 0; c < 3; c++)
                gradients[3 * (k - pairs->first[pairs->start]) + c] +=
                    0.5 * (-24 * p->epsilon * (2 * s * s - s) / r - dc) * d[c] / r;
        }
}

static int64_t scratch_size(const void *plan, int64_t most_pairs) { return (void)plan, most_pairs; }

/* One basis function, the energy itself. */
static int64_t n_functions(const void *plan) { return (void)plan, 1; }

static void evaluate_rows(const void *plan, const centre_pairs *pairs, void *scratch, double *energies, double *gradients,
                          double *rows, int64_t stride, double *priors)
{
    int64_t n = pairs->stop - pairs->start;
    (void)priors;
    for (int64_t i = 0; i < n; i++)
        rows[i * stride] = -energies[i];
    evaluate(plan, pairs, scratch, energies, gradients);
    for (int64_t i = 0; i < n; i++)
        rows[i * stride] += energies[i];
}

static const centre_kernel kernel = {"base", 1, scratch_size, evaluate, n_functions, evaluate_rows};
static const lennard_jones argon = {0.0103, 3.4, 7.0};
static double x[4 * MOST], v[4 * MOST], f[4 * MOST], mass[MOST];
static int32_t numbers[MOST], ids[MOST], images[3 * MOST];
static int failures;

static void expect(int condition, const char *what)
{
    printf("%s: %s\n", condition ? "ok" : "FAILED", what);
    failures += !condition;
}

/* An fcc crystal of n x n x n cubes, sheared, its atoms off their places. */
static md_system crystal(int n, double shear, int threads)
{
    static const double sites[4][3] = {{0, 0, 0}, {0.5, 0.5, 0}, {0.5, 0, 0.5}, {0, 0.5, 0.5}};
    double a = 5.3;
    md_system s;
    memset(&s, 0, sizeof s);
    srand(1);
    for (int cube = 0; cube < n * n * n; cube++)
        for (int k = 0; k < 4; k++, s.n++) {
            double at[3] = {a * (cube % n + sites[k][0]), a * (cube / n % n + sites[k][1]), a * (cube / n / n + sites[k][2])};
            at[0] += shear * at[1];
            for (int c = 0; c < 3; c++) {
                x[4 * s.n + c] = at[c] + 0.1 * rand() / RAND_MAX - 3.0;
                v[4 * s.n + c] = 0.02 * ((double)rand() / RAND_MAX - 0.5);
            }
            mass[s.n] = 39.95, numbers[s.n] = 18, ids[s.n] = (int32_t)s.n;
        }
    memset(images, 0, sizeof images);
    double cell[9] = {n * a, 0, 0, shear * n * a, n * a, 0, 0, 0, n * a};
    memcpy(s.cell, cell, sizeof cell);
    s.x = x, s.v = v, s.f = f, s.mass = mass, s.numbers = numbers, s.ids = ids, s.images = images;
    s.periodic[0] = s.periodic[1] = s.periodic[2] = s.one_element = 1;
    s.n_terms = 1, s.terms[0] = (md_term){&kernel, &argon, 0.0, NULL, NULL, 0}, s.n_threads = threads;
    s.cutoff = argon.cutoff, s.skin = 0.5, s.timestep = 0.2, s.kt[0] = s.kt[1] = 0.005;
    s.freedom = 3.0 * (double)s.n, s.friction = 0.1, s.relaxation = 10.0, s.seed = 7;
    s.cell_mass = s.freedom * 0.005 * 400.0, s.cell_friction = 0.05, s.cell_relaxation = 20.0;
    s.most_force = 1e3, s.most_step = 0.5, s.least_distance = 0.5, s.most_stretch = 3.0;
    s.least_volume = md_volume(&s) / 3, s.most_volume = md_volume(&s) * 3;
    for (int k = 0; k < 3; k++)
        s.heights[k] = n * a;
    return s;
}

static void stages(md_system *s, int n, const md_stage *list)
{
    s->n_stages = n;
    memcpy(s->stages, list, (size_t)n * sizeof *list);
}

static const md_stage verlet[] = {{MD_KICK, 0.5}, {MD_DRIFT, 1}, {MD_FORCES, 1}, {MD_KICK, 0.5}};
static const md_stage everything[] = {
    {MD_CHAIN_STEP, 0.5}, {MD_CELL_CHAIN, 0.5}, {MD_CELL_KICK, 0.5}, {MD_KICK, 0.5}, {MD_DRIFT, 0.5}, {MD_NOISE, 1},
    {MD_CELL_NOISE, 1}, {MD_DRIFT, 0.5}, {MD_FORCES, 1}, {MD_KICK, 0.5}, {MD_CELL_KICK, 0.5}, {MD_RESCALE, 1},
};

/* Twice the energy of every atom as its uncertainty, in every fifth step. */
static void run_uncertain(const md_loops *loops, int threads)
{
    static double found[MOST];
    double T = 2.0, sum = 0.0;
    int32_t column = 0, block_of[19];
    for (int z = 0; z < 19; z++)
        block_of[z] = z == 18 ? 0 : -1;
    uncertainty_block block;
    if (uncertainty_fill(&block, 1, &column, 1, &T))
        exit(2);
    uncertainty_plan plan = {UNCERTAINTY_STD, 19, block_of, 1, &block, NULL};
    md_system s = crystal(3, 0.1, threads);
    stages(&s, 4, verlet);
    s.terms[0].row_kernel = &kernel, s.terms[0].row_plan = &argon;
    s.uncertainty = (md_uncertainty){.every = 5, .loops = uncertainty_loops_find(loops->isa), .plan = &plan,
                                     .n_functions = 1, .numbers = found, .most = INFINITY, .done = -1};
    int status = loops->compute(&s);
    for (int64_t i = 0; i < s.n; i++)
        sum += found[i];
    expect(!status && s.uncertainty.done == 0 && fabs(sum + 2.0 * s.energy) < 1e-12 * sum, "uncertainties of the start");
    expect(!loops->run(&s, 8) && s.uncertainty.done == 5, "uncertainties of some steps");
    s.uncertainty.most = 1e-6;
    status = loops->run(&s, 8);
    expect(status == MD_UNCERTAIN && s.step == 9 && s.worst > 1e-6 && s.worst < 1.0, "a limit on uncertainties");
    loops->release(&s);
    uncertainty_free(&block);
}

static void run_all(const md_loops *loops, int threads)
{
    for (int shape = 0; shape < 3; shape++) { /* crystal, small skewed cell, slab */
        md_system s = crystal(shape == 1 ? 1 : 3, shape == 1 ? 0.6 : 0.0, threads);
        s.periodic[2] = shape != 2;
        stages(&s, 4, verlet);
        int status = loops->compute(&s);
        double before = md_conserved(&s);
        status = status ? status : loops->run(&s, 60);
        expect(!status && fabs(md_conserved(&s) - before) < 2e-5 * (double)s.n, "constant energy");
        loops->release(&s);
    }
    double found[2][12];
    for (int again = 0; again < 2; again++) {
        md_system s = crystal(3, 0.1, threads);
        s.motion = MD_CELL_FLEXIBLE;
        stages(&s, 12, everything);
        int status = loops->compute(&s);
        expect(!(status ? status : loops->run(&s, 60)), "all stages");
        memcpy(found[again], x, sizeof found[again]);
        loops->release(&s);
    }
    expect(!memcmp(found[0], found[1], sizeof found[0]), "the same bits again");
    md_system s = crystal(2, 0.0, threads);
    memcpy(x + 20, x + 40, 3 * sizeof(double)), x[20] += 0.1;
    expect(loops->compute(&s) == MD_CLOSE && s.culprits[0] != s.culprits[1], "atoms that overlap");
    loops->release(&s);
}

int main(void)
{
    static const char *const isas[] = {"base", "avx2", "avx512"};
    for (int k = 0; k < 3; k++)
        for (int threads = 1; md_loops_find(isas[k]) && threads <= 3; threads += 2) {
            printf("%s, %d threads\n", isas[k], threads);
            run_all(md_loops_find(isas[k]), threads);
            run_uncertain(md_loops_find(isas[k]), threads);
        }
    return failures ? 1 : 0;
}
