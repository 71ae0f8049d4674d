/* A moment tensor potential without Python: driver TABLES double|single ISA -> a line "e fx fy fz" for each atom, then
 * the virial's nine components; with tables for rows in double precision then a line of all scalars for each atom.
 *
 * TABLES is a sequence of records "name type count\n" (type i, u, q, f or d: int32, uint32, int64, float, double; count
 * of numbers) each followed by that many numbers in the machine's order and a line end; tables.py writes them. Sizes
 * and lengths are records of one number.
 */
#include "forces.h"
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

/* The scalars of every centre, a line each, if the tables have what they need. */
static void print_rows(const centre_kernel *kernel, const moments_potential *plan, const centre_pairs *list)
{
    centre_pairs pairs = *list;
    int64_t n = list->stop, n_functions = kernel->n_functions(plan), most = 0;
    for (int64_t i = 0; i < n; i++)
        if (pairs.first[i + 1] - pairs.first[i] > most)
            most = pairs.first[i + 1] - pairs.first[i];
    void *scratch = aligned((size_t)kernel->scratch_size(plan, most));
    double *energies = calloc((size_t)n + 1, sizeof(double)), *rows = calloc((size_t)(n * n_functions) + 1, sizeof(double));
    for (pairs.start = 0; n_functions && pairs.start < n; pairs.start = pairs.stop) {
        pairs.stop = pairs.start + RANGE < n ? pairs.start + RANGE : n;
        kernel->evaluate_rows(plan, &pairs, scratch, energies + pairs.start, NULL, rows + pairs.start * n_functions,
                              n_functions, NULL);
    }
    for (int64_t k = 0; k < n * n_functions; k++)
        printf("%.17g%c", rows[k], (k + 1) % n_functions ? ' ' : '\n');
    free(energies), free(rows), free(scratch);
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
    int64_t n_atoms = find("species", 'i')->count;
    centre_pairs pairs = {at("first", 'q'), at("j", 'q'), at("vectors", 'd'), at("species", 'i'), 0, n_atoms};
    centre_term term = {kernel, &plan, 0.0};
    double *energies = calloc((size_t)n_atoms + 1, sizeof(double)), *forces = calloc(3 * (size_t)n_atoms + 1, sizeof(double));
    force_sums sums = {energies, forces, {0.0}, NULL, -1};
    if (force_loops_find(argv[3])->of_list(&term, 1, &pairs, &sums, NULL))
        stop("no memory for", "forces");
    for (int64_t i = 0; i < n_atoms; i++)
        printf("%.17g %.17g %.17g %.17g\n", energies[i], forces[3 * i], forces[3 * i + 1], forces[3 * i + 2]);
    for (int c = 0; c < 9; c++)
        printf("%.17g%c", sums.virial[c], c < 8 ? ' ' : '\n');
    print_rows(kernel, &plan, &pairs);
    free(energies), free(forces);
    for (int k = 0; k < n_records; k++)
        free(records[k].data);
    return 0;
}
