/* Energies of pairs from tables without Python: a cluster of two elements against the formula in the tables.
 * Basis functions and their prior against the sums that they are.
 * Run by tests/c_driver/run under the address and undefined-behaviour sanitizers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pair_tables.h"

enum { N_ATOMS = 60, N_PIECES = 7, N_POINTS = 11, N_POWERS = 2, STRIDE = 13, PADDED = 16 };

static const double cutoff = 4.0;
static double x[N_ATOMS][3], vectors[N_ATOMS * N_ATOMS][3], e[N_ATOMS], g[N_ATOMS * N_ATOMS][3];
static int64_t first[N_ATOMS + 1], j[N_ATOMS * N_ATOMS];
static int32_t species[N_ATOMS];

static double *exactly(size_t n) /* so that a sanitizer sees one number more */
{
    double *memory = malloc(n * sizeof(double));
    if (!memory)
        exit(2);
    return memory;
}

/* Pieces of (1 - r / stop)^5: with u = (k + t) / n on piece k these are the binomials of u^5. */
static double *fifth_power(void)
{
    static const double binomial[6] = {1, 5, 10, 10, 5, 1};
    double *c = exactly(6 * N_PIECES);
    for (int k = 0; k < N_PIECES; k++)
        for (int p = 0; p < 6; p++)
            c[6 * k + p] = binomial[p] * pow(k, 5 - p) / pow(N_PIECES, 5);
    return c;
}

/* Pairs, and their energy when only those of different elements have one. */
static double list_pairs(void)
{
    int64_t n = 0;
    double energy = 0;
    for (int a = 0; a < N_ATOMS; a++) {
        first[a] = n;
        for (int b = 0; b < N_ATOMS; b++) {
            double r2 = 0;
            for (int c = 0; c < 3; c++)
                vectors[n][c] = x[b][c] - x[a][c], r2 += vectors[n][c] * vectors[n][c];
            if (a == b || r2 > 1.1 * cutoff * cutoff) /* also pairs beyond the cutoff, as a skin has them */
                continue;
            double r = sqrt(r2);
            energy += species[a] != species[b] && r < cutoff ? pow(1 - r / cutoff, 5) / r : 0;
            j[n++] = b;
        }
    }
    first[N_ATOMS] = n;
    return energy;
}

static double evaluate(const centre_kernel *kernel, const pair_plan *plan, int64_t step)
{
    double total = 0;
    memset(e, 0, sizeof e), memset(g, 0, sizeof g);
    for (int64_t start = 0; start < N_ATOMS; start += step) {
        int64_t stop = start + step < N_ATOMS ? start + step : N_ATOMS;
        centre_pairs pairs = {first, j, vectors[0], species, start, stop};
        kernel->evaluate(plan, &pairs, NULL, e + start, step == 1 ? NULL : g[first[start]]);
    }
    for (int a = 0; a < N_ATOMS; a++)
        total += e[a];
    return total;
}

static double force_error(const centre_kernel *kernel, const pair_plan *plan)
{
    static double force[3];
    double h = 1e-5, error = 0;
    for (int a = 0; a < N_ATOMS; a += 7) {
        list_pairs(), evaluate(kernel, plan, N_ATOMS);
        memset(force, 0, sizeof force);
        for (int i = 0; i < N_ATOMS; i++)
            for (int64_t p = first[i]; p < first[i + 1]; p++)
                for (int c = 0; c < 3; c++)
                    force[c] += (i == a ? g[p][c] : 0) - (j[p] == a ? g[p][c] : 0);
        for (int c = 0; c < 3; c++) {
            double before = x[a][c], difference = 0;
            for (int sign = -1; sign <= 1; sign += 2) {
                x[a][c] = before + sign * h;
                list_pairs();
                difference -= sign * evaluate(kernel, plan, N_ATOMS) / (2 * h);
            }
            x[a][c] = before;
            error = fmax(error, fabs(difference - force[c]) / (1 + fabs(force[c])));
        }
    }
    return error;
}

/* Covariance of distances, of the powers 1 and -1. */
static double covariance(const pair_functions *f, double r, double s)
{
    double square = pow((r - s) / f->scales[0], 2) + pow((1 / r - 1 / s) / f->scales[1], 2);
    return exp(-0.5 * square) + f->constant;
}

/* Largest error of the basis functions and of the prior of a centre, relative to the largest. */
static double row_error_of(const pair_functions *f, const double *r_b, int i, const double *row, double prior)
{
    double error = 0, largest = 1e-30, r[N_ATOMS], fcut[N_ATOMS], variance = 0;
    int n = 0;
    for (int64_t p = first[i]; p < first[i + 1]; p++) {
        double d = sqrt(pow(vectors[p][0], 2) + pow(vectors[p][1], 2) + pow(vectors[p][2], 2));
        if (species[i] != species[j[p]] && d < cutoff)
            r[n] = d, fcut[n++] = pow(1 - d / cutoff, 5) / d;
    }
    for (int b = 0; b < N_POINTS; b++) {
        double sum = 0;
        for (int m = 0; m < n; m++)
            sum += f->amplitudes[b] * fcut[m] * covariance(f, r[m], r_b[b]);
        error = fmax(error, fabs(sum - row[b])), largest = fmax(largest, fabs(sum));
    }
    for (int m = 0; m < n * n; m++)
        variance += f->variance * fcut[m / n] * fcut[m % n] * covariance(f, r[m / n], r[m % n]);
    return fmax(error, fabs(variance - prior)) / fmax(largest, variance);
}

/* Rows of ranges of `step` centres: what lies beside them stays, energies are those without. */
static int rows_of(const centre_kernel *kernel, const pair_plan *plan, int64_t step, double *rows, double *priors)
{
    static double energies[N_ATOMS];
    int differ = 0;
    memset(energies, 0, sizeof energies), memset(priors, 0, N_ATOMS * sizeof *priors);
    for (int64_t k = 0; k < N_ATOMS * STRIDE; k++)
        rows[k] = 7.0;
    for (int64_t start = 0; start < N_ATOMS; start += step) {
        int64_t stop = start + step < N_ATOMS ? start + step : N_ATOMS, most = 0;
        centre_pairs pairs = {first, j, vectors[0], species, start, stop};
        void *scratch = NULL;
        for (int64_t i = start; i < stop; i++)
            most = first[i + 1] - first[i] > most ? first[i + 1] - first[i] : most;
        if (posix_memalign(&scratch, 64, (size_t)kernel->scratch_size(plan, most)))
            exit(2);
        kernel->evaluate_rows(plan, &pairs, scratch, energies + start, NULL, rows + start * STRIDE, STRIDE,
                              step == 1 ? NULL : priors + start);
        free(scratch);
    }
    for (int i = 0; i < N_ATOMS; i++)
        differ |= rows[i * STRIDE + N_POINTS] != 7.0 || rows[i * STRIDE + N_POINTS + 1] != 7.0;
    return differ | (memcmp(energies, e, sizeof e) != 0);
}

static int check_rows(const centre_kernel *kernel, pair_plan plan)
{
    static double rows[N_ATOMS * STRIDE], other[N_ATOMS * STRIDE], priors[N_ATOMS], none[N_ATOMS];
    double powers[N_POWERS] = {1.0, -1.0}, scales[N_POWERS] = {0.9, 0.4}, r_b[N_POINTS], error = 0;
    double *points = exactly(N_POWERS * PADDED), *amplitudes = exactly(PADDED);
    memset(points, 0, N_POWERS * PADDED * sizeof *points), memset(amplitudes, 0, PADDED * sizeof *amplitudes);
    for (int b = 0; b < N_POINTS; b++) {
        r_b[b] = 1.0 + 0.3 * b, amplitudes[b] = 1.7 - 0.1 * b;
        points[b] = r_b[b] / scales[0], points[PADDED + b] = 1 / r_b[b] / scales[1];
    }
    plan.functions = (pair_functions){N_POINTS, N_POWERS, 0, powers, scales, points, amplitudes, 1.7, 0.3};
    evaluate(kernel, &plan, N_ATOMS);
    int wrong = rows_of(kernel, &plan, N_ATOMS, rows, priors) | rows_of(kernel, &plan, 1, other, none);
    wrong |= memcmp(rows, other, sizeof rows) || kernel->n_functions(&plan) != N_POINTS;
    for (int i = 0; i < N_ATOMS; i++)
        error = fmax(error, row_error_of(&plan.functions, r_b, i, rows + i * STRIDE, priors[i]));
    wrong |= !(error < 1e-13);
    printf("        basis functions to %.1e: rows of pairs %s\n", error, wrong ? "DIFFER" : "agree");
    free(points), free(amplitudes);
    return wrong;
}

static int check(const char *isa)
{
    const centre_kernel *kernel = pair_loops_find(isa);
    if (!kernel)
        return printf("%-7s not on this CPU\n", isa), 0;
    int32_t row_of[2] = {1, 0}, table_of[4] = {-1, 0, 0, -1}, first_segment[2] = {0, 2};
    /* the same function in two segments, the inner of which has the pieces beyond the third */
    double inner = cutoff * (1 - 3.0 / N_PIECES), rate = N_PIECES / cutoff, *pieces = fifth_power();
    pair_segment segments[2] = {{inner, rate, 3, N_PIECES - 3}, {cutoff, rate, 0, 3}};
    pair_plan plan = {2, 2, 1, row_of, table_of, first_segment, segments, pieces, cutoff, {0}};
    srand(3);
    for (int a = 0; a < N_ATOMS; a++) {
        species[a] = a % 3 == 0;
        for (int c = 0; c < 3; c++)
            x[a][c] = 8.0 * rand() / RAND_MAX;
    }
    double expected = list_pairs(), found = evaluate(kernel, &plan, N_ATOMS);
    double apart = evaluate(kernel, &plan, 1), error = force_error(kernel, &plan);
    int wrong = kernel->n_functions(&plan) != 0 || !(fabs(found - expected) < 1e-12 * fabs(expected)) || apart != found || !(error < 1e-6);
    printf("%-7s energy %.12f, forces to %.1e: pairs %s\n", isa, found, error, wrong ? "DIFFER" : "agree");
    list_pairs();
    wrong |= check_rows(kernel, plan);
    free(pieces);
    return wrong;
}

int main(void)
{
    return check("base") + check("avx2") + check("avx512") > 0;
}
