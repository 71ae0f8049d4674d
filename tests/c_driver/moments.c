/* A moment tensor potential without Python: driver TABLES double|single ISA -> a line "e fx fy fz" for each atom, then
 * the virial's nine components; with tables for rows in double precision then a line of all scalars for each atom.
 *
 * TABLES is a sequence of records "name type count\n" (type i, u, q, f or d: int32, uint32, int64, float, double; count
 * of numbers) each followed by that many numbers in the machine's order and a line end; tables.py writes them. Sizes
 * and lengths are records of one number. The centres are worked through in ranges, as an MD loop would do.
 */
#include "moments_potential.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RECORDS = 64, RANGE = 5, ALIGNED = 64 };

typedef struct {
    char name[32], type;
    long count;
    void *data;
} record;

static record records[MOST_RECORDS];
static int n_records;

static void stop(const char *why, const char *what)
{
    fprintf(stderr, "driver: %s %s\n", why, what);
    exit(1);
}

static void *aligned(size_t size)
{
    void *memory = aligned_alloc(ALIGNED, (size + ALIGNED - 1) / ALIGNED * ALIGNED);
    if (!memory)
        stop("no memory for", "arrays");
    return memory;
}

static void read_records(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        stop("cannot open", path);
    for (record *to = records; n_records < MOST_RECORDS; to++, n_records++) {
        if (fscanf(file, "%31s %c %ld", to->name, &to->type, &to->count) != 3)
            break;
        size_t size = strchr("iuf", to->type) ? 4 : 8;
        to->data = aligned((size_t)to->count * size);
        if (fgetc(file) != '\n' || fread(to->data, size, (size_t)to->count, file) != (size_t)to->count)
            stop("the file ends within", to->name);
    }
    fclose(file);
}

static const record *look_for(const char *name, char type)
{
    for (int k = 0; k < n_records; k++)
        if (!strcmp(records[k].name, name) && records[k].type == type)
            return records + k;
    return NULL;
}

static const record *find(const char *name, char type)
{
    const record *found = look_for(name, type);
    if (!found)
        stop("there is no record", name);
    return found;
}

static const void *at(const char *name, char type) { return find(name, type)->data; }

static int32_t size_of(const char *name) { return *(const int32_t *)at(name, 'i'); }

static product_sums sums_of(const char *name, char real)
{
    char full[32];
    product_sums sums;
    snprintf(full, sizeof full, "%s.runs", name);
    sums.runs = at(full, 'i'), sums.n_runs = find(full, 'i')->count / 2;
    snprintf(full, sizeof full, "%s.targets", name);
    sums.targets = at(full, 'i');
    snprintf(full, sizeof full, "%s.factors", name);
    sums.factors = at(full, 'u');
    snprintf(full, sizeof full, "%s.weights", name);
    sums.weights = at(full, real);
    return sums;
}

static moments_potential plan_of(char real)
{
    moments_potential plan = {0};
    plan.n_elements = (int32_t)find("elements", 'i')->count, plan.elements = at("elements", 'i');
    plan.n_species = size_of("n_species"), plan.n_beta = size_of("n_beta"), plan.n_blocks = size_of("n_blocks");
    plan.n_mu = (int32_t)find("degree", 'i')->count, plan.degree = at("degree", 'i');
    plan.highest = size_of("highest"), plan.radial = at("radial", real);
    plan.cutoff = *(const double *)at("cutoff", 'd'), plan.min_dist = *(const double *)at("min_dist", 'd');
    plan.n_nodes = size_of("n_nodes"), plan.n_energies = size_of("n_energies"), plan.one = size_of("one");
    plan.n_adjoints = size_of("n_adjoints"), plan.energy = size_of("energy");
    plan.nodes = sums_of("nodes", real), plan.adjoints = sums_of("adjoints", real);
    if (real == 'd' && look_for("functions", 'i')) {
        plan.functions = at("functions", 'i'), plan.n_functions = (int32_t)find("functions", 'i')->count;
        plan.rows = sums_of("rows", real), plan.n_row_nodes = size_of("n_row_nodes");
    }
    return plan;
}

/* Add the forces and -dE/dstrain of the pairs of a range, whose gradients g are. */
static void add_forces(const centre_pairs *pairs, const double *g, double *forces, double *virial)
{
    for (int64_t i = pairs->start; i < pairs->stop; i++)
        for (int64_t p = pairs->first[i]; p < pairs->first[i + 1]; p++, g += 3)
            for (int c = 0; c < 3; c++) {
                forces[3 * i + c] += g[c];
                forces[3 * pairs->j[p] + c] -= g[c];
                for (int d = 0; d < 3; d++)
                    virial[3 * c + d] -= pairs->vectors[3 * p + c] * g[d];
            }
}

int main(int argc, char **argv)
{
    if (argc != 4)
        stop("usage:", "driver TABLES double|single ISA");
    int single = !strcmp(argv[2], "single");
    read_records(argv[1]);
    moments_potential plan = plan_of(single ? 'f' : 'd');
    const centre_kernel *kernel = single ? moments_single_loops_find(argv[3]) : moments_double_loops_find(argv[3]);
    if (!kernel)
        stop("not available:", argv[3]);
    centre_pairs pairs = {at("first", 'q'), at("j", 'q'), at("vectors", 'd'), at("species", 'i'), 0, 0};
    int64_t n_atoms = find("species", 'i')->count, most = 0;
    for (int64_t i = 0; i < n_atoms; i++)
        if (pairs.first[i + 1] - pairs.first[i] > most)
            most = pairs.first[i + 1] - pairs.first[i];
    void *scratch = aligned((size_t)kernel->scratch_size(&plan, most));
    double *energies = calloc((size_t)n_atoms + 1, sizeof(double)), *forces = calloc(3 * (size_t)n_atoms + 1, sizeof(double));
    int64_t n_functions = kernel->n_functions(&plan);
    double virial[9] = {0.0}, *rows = calloc((size_t)(n_atoms * n_functions) + 1, sizeof(double));
    for (pairs.start = 0; pairs.start < n_atoms; pairs.start = pairs.stop) {
        pairs.stop = pairs.start + RANGE < n_atoms ? pairs.start + RANGE : n_atoms;
        size_t n_pairs = (size_t)(pairs.first[pairs.stop] - pairs.first[pairs.start]);
        double *gradients = calloc(3 * n_pairs + 1, sizeof(double));
        if (n_functions)
            kernel->evaluate_rows(&plan, &pairs, scratch, energies + pairs.start, gradients,
                                  rows + pairs.start * n_functions, n_functions, NULL);
        else
            kernel->evaluate(&plan, &pairs, scratch, energies + pairs.start, gradients);
        add_forces(&pairs, gradients, forces, virial);
        free(gradients);
    }
    for (int64_t i = 0; i < n_atoms; i++)
        printf("%.17g %.17g %.17g %.17g\n", energies[i], forces[3 * i], forces[3 * i + 1], forces[3 * i + 2]);
    for (int c = 0; c < 9; c++)
        printf("%.17g%c", virial[c], c < 8 ? ' ' : '\n');
    for (int64_t k = 0; k < n_atoms * n_functions; k++)
        printf("%.17g%c", rows[k], (k + 1) % n_functions ? ' ' : '\n');
    free(energies), free(forces), free(scratch), free(rows);
    for (int k = 0; k < n_records; k++)
        free(records[k].data);
    return 0;
}
