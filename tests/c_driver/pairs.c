/* Energies of pairs from tables without Python: a cluster of two elements against the formula in the tables.
 * Run by tests/c_driver/run under the address and undefined-behaviour sanitizers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pair_tables.h"

enum { N_ATOMS = 60, N_PIECES = 7 };

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

static int check(const char *isa)
{
    const centre_kernel *kernel = pair_loops_find(isa);
    if (!kernel)
        return printf("%-7s not on this CPU\n", isa), 0;
    int32_t row_of[2] = {1, 0}, table_of[4] = {-1, 0, 0, -1}, first_segment[2] = {0, 2};
    /* the same function in two segments, the inner of which has the pieces beyond the third */
    double inner = cutoff * (1 - 3.0 / N_PIECES), rate = N_PIECES / cutoff, *pieces = fifth_power();
    pair_segment segments[2] = {{inner, rate, 3, N_PIECES - 3}, {cutoff, rate, 0, 3}};
    pair_plan plan = {2, 2, 1, row_of, table_of, first_segment, segments, pieces, cutoff};
    srand(3);
    for (int a = 0; a < N_ATOMS; a++) {
        species[a] = a % 3 == 0;
        for (int c = 0; c < 3; c++)
            x[a][c] = 8.0 * rand() / RAND_MAX;
    }
    double expected = list_pairs(), found = evaluate(kernel, &plan, N_ATOMS);
    double apart = evaluate(kernel, &plan, 1), error = force_error(kernel, &plan);
    int wrong = !(fabs(found - expected) < 1e-12 * fabs(expected)) || apart != found || !(error < 1e-6);
    printf("%-7s energy %.12f, forces to %.1e: pairs %s\n", isa, found, error, wrong ? "DIFFER" : "agree");
    free(pieces);
    return wrong;
}

int main(void)
{
    return check("base") + check("avx2") + check("avx512") > 0;
}
