/* The GAP kernel from plain C, without Python: two elements in a random cluster, every instruction set of this CPU,
 * with and without threads. Checks pair gradients against differences of energies, basis functions against energies and
 * standard deviations of local energies against plain sums, and that neither ranges nor threads change a bit. tests/c_driver/run builds it with sanitizers; with -fopenmp the ranges run in parallel. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gap.h"
#include "uncertainty.h"

enum { N_ATOMS = 61, N_MAX = 5, L_MAX = 4, N_SPARSE = 37, N_PIECES = 64, N_FUNCTIONS = 2 * N_SPARSE };
static const double CUTOFF = 4.0;

static double uniform(void) { return (double)rand() / RAND_MAX; }

static void *aligned(size_t size)
{
    void *memory = NULL;
    if (posix_memalign(&memory, 64, size + 64))
        exit(2);
    return memset(memory, 0, size + 64);
}

/* R_nl = (1 - x)^(n + 3) x^l, x = r / cutoff, and its first two derivatives by x times s, s^2. */
static void knot(double x, double s, int n, int l, double f[3])
{
    double p = n + 3, a = pow(1 - x, p), b = pow(x, l);
    double da = -p * pow(1 - x, p - 1), db = l ? l * pow(x, l - 1) : 0;
    double dda = p * (p - 1) * pow(1 - x, p - 2), ddb = l > 1 ? l * (l - 1) * pow(x, l - 2) : 0;
    f[0] = a * b, f[1] = s * (da * b + a * db), f[2] = s * s * (dda * b + 2 * da * db + a * ddb);
}

/* Quintic pieces of R_nl on equal intervals, from values and derivatives at their ends. */
static double *radial_pieces(int lanes)
{
    int n_vectors = (N_MAX + lanes - 1) / lanes;
    double *out = aligned(sizeof(double) * N_PIECES * n_vectors * (L_MAX + 1) * 6 * lanes), s = 1.0 / N_PIECES;
    for (int k = 0; k < N_PIECES; k++)
        for (int l = 0; l <= L_MAX; l++)
            for (int n = 0; n < N_MAX; n++) {
                double f[3], g[3], *to = out + (((k * n_vectors + n / lanes) * (L_MAX + 1) + l) * 6) * lanes + n % lanes;
                knot(k * s, s, n, l, f), knot((k + 1) * s, s, n, l, g);
                double value = g[0] - f[0] - f[1] - f[2] / 2, slope = g[1] - f[1] - f[2], bend = (g[2] - f[2]) / 2;
                to[0] = f[0], to[lanes] = f[1], to[2 * lanes] = f[2] / 2;
                to[3 * lanes] = 10 * value - 4 * slope + bend;
                to[4 * lanes] = -15 * value + 7 * slope - 2 * bend;
                to[5 * lanes] = 6 * value - 3 * slope + bend;
            }
    return out;
}

typedef struct {
    double x[N_ATOMS][3], vectors[N_ATOMS * N_ATOMS][3];
    int64_t first[N_ATOMS + 1], j[N_ATOMS * N_ATOMS], most;
    int32_t species[N_ATOMS];
} cluster;

static void list_pairs(cluster *c)
{
    int64_t n = 0;
    c->most = 0;
    for (int i = 0; i < N_ATOMS; i++) {
        c->first[i] = n;
        for (int j = 0; j < N_ATOMS; j++) {
            double r2 = 0, *v = c->vectors[n];
            for (int a = 0; a < 3; a++)
                v[a] = c->x[j][a] - c->x[i][a], r2 += v[a] * v[a];
            if (j != i && r2 < 1.1 * CUTOFF * CUTOFF) /* also pairs beyond the cutoff, as a skin has them */
                c->j[n++] = j;
        }
        c->most = n - c->first[i] > c->most ? n - c->first[i] : c->most;
    }
    c->first[N_ATOMS] = n;
}

/* Ranges of `step` centres, each with scratch of its own. */
static void evaluate(const centre_kernel *kernel, const gap_plan *plan, const cluster *c, int64_t step, double *e, double *g)
{
    memset(e, 0, N_ATOMS * sizeof *e);
    memset(g, 0, (size_t)c->first[N_ATOMS] * 3 * sizeof *g);
#pragma omp parallel for
    for (int64_t start = 0; start < N_ATOMS; start += step) {
        int64_t stop = start + step < N_ATOMS ? start + step : N_ATOMS;
        centre_pairs pairs = {c->first, c->j, c->vectors[0], c->species, start, stop};
        void *scratch = NULL; /* exactly as much as asked for, so that a sanitizer sees one byte more */
        if (posix_memalign(&scratch, 64, (size_t)kernel->scratch_size(plan, c->most)))
            exit(2);
        kernel->evaluate(plan, &pairs, scratch, e + start, g + 3 * c->first[start]);
        free(scratch);
    }
}

static double sum(const double *e)
{
    double total = 0;
    for (int i = 0; i < N_ATOMS; i++)
        total += e[i];
    return total;
}

/* Largest difference of analytic and numerical forces of some atoms, relative to the largest force. */
static double force_error(const centre_kernel *kernel, const gap_plan *plan, cluster *c, const double *g)
{
    static double forces[N_ATOMS][3], e[N_ATOMS], other[3 * N_ATOMS * N_ATOMS];
    double largest = 0, error = 0, h = 1e-4;
    memset(forces, 0, sizeof forces);
    for (int i = 0; i < N_ATOMS; i++)
        for (int64_t p = c->first[i]; p < c->first[i + 1]; p++)
            for (int a = 0; a < 3; a++)
                forces[i][a] += g[3 * p + a], forces[c->j[p]][a] -= g[3 * p + a];
    for (int i = 0; i < N_ATOMS; i += 7)
        for (int a = 0; a < 3; a++) {
            double difference = 0, before = c->x[i][a];
            for (int sign = 1; sign >= -1; sign -= 2) {
                c->x[i][a] = before + sign * h;
                list_pairs(c);
                evaluate(kernel, plan, c, N_ATOMS, e, other);
                difference -= sign * sum(e) / (2 * h);
            }
            c->x[i][a] = before;
            error = fmax(error, fabs(difference - forces[i][a])), largest = fmax(largest, fabs(forces[i][a]));
        }
    list_pairs(c);
    return error / largest;
}

/* The second set in single precision, along unit vectors, which are orthonormal though not the best: what went wrong. */
static int check_split(const centre_kernel *kernel, const gap_plan *plan, gap_set *set, const cluster *c, const double *x,
                       const double *e, const double *g)
{
    static double found_e[N_ATOMS], found_g[3 * N_ATOMS * N_ATOMS], other_e[N_ATOMS], other_g[3 * N_ATOMS * N_ATOMS];
    int64_t d = plan->soap->n_features, n = 3 * c->first[N_ATOMS];
    if (set->form != GAP_POWER)
        return 0;
    double *unit = aligned(sizeof(double) * 16 * (size_t)d), error = 0, largest = 0;
    for (int k = 0; k < 16; k++)
        unit[k * d + k] = 1.0;
    if (gap_set_split(set, d, N_SPARSE, x, 16, unit))
        return 1;
    evaluate(kernel, plan, c, N_ATOMS, found_e, found_g);
    evaluate(kernel, plan, c, 10, other_e, other_g);
    int differ = memcmp(found_e, other_e, sizeof other_e) || memcmp(found_g, other_g, sizeof(double) * (size_t)n);
    for (int64_t k = 0; k < n; k++)
        error = fmax(error, fabs(found_g[k] - g[k])), largest = fmax(largest, fabs(g[k]));
    for (int i = 0; i < N_ATOMS; i++)
        error = fmax(error, fabs(found_e[i] - e[i]));
    printf("        in single precision to %.1e, ranges %s\n", error / largest, differ ? "DIFFER" : "agree");
    free(unit);
    return differ || !(error < 1e-5 * largest) || error == 0;
}

/* Rows and numbers of ranges of `step` centres. */
static void measure(const centre_kernel *kernel, const gap_plan *plan, const uncertainty_plan *doubt,
                    const uncertainty_loops *loops, const cluster *c, int64_t step, double *rows, double *numbers)
{
    memset(rows, 0, N_ATOMS * N_FUNCTIONS * sizeof *rows);
    for (int64_t start = 0; start < N_ATOMS; start += step) {
        int64_t stop = start + step < N_ATOMS ? start + step : N_ATOMS;
        centre_pairs pairs = {c->first, c->j, c->vectors[0], c->species, start, stop};
        double e[N_ATOMS] = {0}, priors[N_ATOMS] = {0}, *mine = rows + start * N_FUNCTIONS;
        void *scratch = NULL, *more = NULL;
        if (posix_memalign(&scratch, 64, (size_t)kernel->scratch_size(plan, c->most)) ||
            posix_memalign(&more, 64, (size_t)loops->scratch_size(doubt)))
            exit(2);
        kernel->evaluate_rows(plan, &pairs, scratch, e, NULL, mine, N_FUNCTIONS, priors);
        loops->measure(doubt, &pairs, more, mine, N_FUNCTIONS, priors, numbers + start);
        free(scratch), free(more);
    }
}

/* Largest error of sum_b w_b phi_b(i) = e_i, and of |phi_i T'|, relative to the largest. */
static double row_error(const double *rows, const double *w, const double *e, const double *T, const double *numbers)
{
    double error = 0, largest = 0;
    for (int i = 0; i < N_ATOMS; i++) {
        double energy = 0, square = 0;
        for (int b = 0; b < N_FUNCTIONS; b++)
            energy += w[b] * rows[i * N_FUNCTIONS + b];
        for (int k = 0; k < N_FUNCTIONS; k++) {
            double sum = 0;
            for (int b = 0; b < N_FUNCTIONS; b++)
                sum += T[k * N_FUNCTIONS + b] * rows[i * N_FUNCTIONS + b];
            square += sum * sum;
        }
        error = fmax(error, fmax(fabs(energy - e[i]), fabs(sqrt(square) - numbers[i])));
        largest = fmax(largest, fmax(fabs(e[i]), numbers[i]));
    }
    return error / largest;
}

/* Standard deviations for a triangular T of both sets together; what went wrong. */
static double check_rows(const centre_kernel *kernel, const gap_plan *plan, const cluster *c, const double *w, const double *e,
                         int *differ)
{
    static double T[N_FUNCTIONS * N_FUNCTIONS], rows[N_ATOMS * N_FUNCTIONS], other_rows[N_ATOMS * N_FUNCTIONS];
    double numbers[N_ATOMS], other_numbers[N_ATOMS];
    int32_t columns[N_FUNCTIONS], block_of[2] = {0, 0};
    for (int k = 0; k < N_FUNCTIONS; k++) {
        columns[k] = k;
        for (int b = 0; b < N_FUNCTIONS; b++)
            T[k * N_FUNCTIONS + b] = k + b < N_FUNCTIONS ? uniform() - 0.5 : 0.0;
    }
    uncertainty_block block;
    if (uncertainty_fill(&block, N_FUNCTIONS, columns, N_FUNCTIONS, T))
        exit(2);
    uncertainty_plan doubt = {UNCERTAINTY_STD, 2, block_of, 1, &block, NULL};
    const uncertainty_loops *loops = uncertainty_loops_find(kernel->isa);
    measure(kernel, plan, &doubt, loops, c, N_ATOMS, rows, numbers);
    measure(kernel, plan, &doubt, loops, c, 10, other_rows, other_numbers);
    *differ |= memcmp(rows, other_rows, sizeof rows) || memcmp(numbers, other_numbers, sizeof numbers);
    uncertainty_free(&block);
    return kernel->n_functions(plan) == N_FUNCTIONS ? row_error(rows, w, e, T, numbers) : INFINITY;
}

static int check(const char *isa, double zeta)
{
    static cluster c;
    static double e[N_ATOMS], other_e[N_ATOMS], g[3 * N_ATOMS * N_ATOMS], other_g[3 * N_ATOMS * N_ATOMS];
    const centre_kernel *kernel = gap_loops_find(isa);
    if (!kernel)
        return printf("%-7s not on this CPU\n", isa), 0;
    srand(7);
    for (int i = 0; i < N_ATOMS; i++) {
        c.species[i] = i % 3 == 0;
        for (int a = 0; a < 3; a++)
            c.x[i][a] = 7.0 * uniform();
    }
    list_pairs(&c);

    soap_plan soap = {.n_species = 2, .n_max = N_MAX, .l_max = L_MAX, .normalize = 1, .cutoff = CUTOFF};
    double *pieces = radial_pieces(kernel->lanes), central[3][2 * N_MAX] = {{0}};
    soap_table table = {CUTOFF, {N_PIECES / CUTOFF, 0}, {N_PIECES, 0}, pieces};
    int32_t table_of[4] = {0}, set_of[2] = {1, 0};
    central[1][0] = central[2][N_MAX] = 0.5;
    soap.tables = &table, soap.table_of = table_of, soap.central = central[0];
    soap_plan_init(&soap);

    gap_set sets[2];
    double *x = aligned(sizeof(double) * N_SPARSE * soap.n_features), all_weights[N_FUNCTIONS];
    for (int k = 0; k < 2; k++) {
        for (int64_t n = 0; n < (int64_t)N_SPARSE * soap.n_features; n++)
            x[n] = uniform() / sqrt(soap.n_features);
        double *w = all_weights + k * N_SPARSE;
        for (int s = 0; s < N_SPARSE; s++)
            w[s] = uniform() - 0.3;
        if (gap_set_points(sets + k, soap.n_features, N_SPARSE, x, w, zeta) ||
            gap_set_keep(sets + k, soap.n_features, N_SPARSE, x, 1.0))
            return 1;
    }
    gap_plan plan = {&soap, 2, sets, set_of};
    evaluate(kernel, &plan, &c, N_ATOMS, e, g);
    evaluate(kernel, &plan, &c, 10, other_e, other_g);
    int differ = memcmp(e, other_e, sizeof e) || memcmp(g, other_g, sizeof(double) * 3 * (size_t)c.first[N_ATOMS]);
    double error = force_error(kernel, &plan, &c, g), of_rows = check_rows(kernel, &plan, &c, all_weights, e, &differ);
    printf("%-7s zeta %.1f: energy %.12f, forces to %.1e, rows and sds to %.1e, ranges %s\n", isa, zeta, sum(e), error,
           of_rows, differ ? "DIFFER" : "agree");
    differ |= check_split(kernel, &plan, sets + 1, &c, x, e, g);
    for (int k = 0; k < 2; k++)
        gap_set_free(sets + k);
    free(pieces), free(x);
    return differ || !(error < 1e-6) || !(of_rows < 1e-12);
}

int main(void)
{
    const char *isas[] = {"base", "avx2", "avx512"};
    const double zetas[] = {1.0, 2.0, 3.5, 4.0};
    int failed = 0;
    for (int k = 0; k < 3; k++)
        for (int z = 0; z < 4; z++)
            failed += check(isas[k], zetas[z]);
    return failed > 0;
}
