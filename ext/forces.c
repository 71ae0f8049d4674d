/* Energy, forces and virial of a list of pairs, compiled once per instruction set with -DISA=... -DLANES=... */
#include "forces.h"

#include <math.h>

#include "block.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

typedef struct {
    void *scratch;
    double *gradients;
    int32_t *other;
    vec *forces, *virials;           /* [n_atoms], [n_atoms][3] */
    term_rows rows;
    void *row_scratch;
} workspace;

static int64_t most_in_blocks(const centre_pairs *pairs, int64_t size)
{
    int64_t most = 0;
    for (int64_t i = pairs->start; i < pairs->stop; i += size) {
        int64_t end = i + size < pairs->stop ? i + size : pairs->stop, n = pairs->first[end] - pairs->first[i];
        most = n > most ? n : most;
    }
    return most;
}

static int prepare_rows(workspace *w, const list_uncertainty *u)
{
    int64_t d = sizeof(double), size = 0;
    for (int k = 0; k < u->n_plans; k++) {
        int64_t wanted = u->loops->scratch_size(u->plans[k]);
        size = wanted > size ? wanted : size;
    }
    w->rows = (term_rows){u->n_functions, aligned(BLOCK * u->n_functions * d), aligned(BLOCK * d), aligned(BLOCK * d)};
    w->row_scratch = aligned(size);
    return w->rows.rows && w->rows.priors && w->rows.spare && w->row_scratch;
}

static int prepare(workspace *w, const centre_term *terms, int n_terms, const centre_pairs *pairs)
{
    int64_t most = most_in_blocks(pairs, BLOCK);
    w->scratch = aligned(scratch_of_terms(terms, n_terms, most_in_blocks(pairs, 1)));
    w->gradients = aligned((3 * most + 4) * (int64_t)sizeof(double));
    w->other = aligned(most * (int64_t)sizeof *w->other);
    w->forces = aligned(pairs->stop * (int64_t)sizeof(vec));
    return w->scratch && w->gradients && w->other && w->forces;
}

static void release(workspace *w)
{
    free(w->scratch), free(w->gradients), free(w->other), free(w->forces), free(w->virials);
    free(w->rows.rows), free(w->rows.priors), free(w->rows.spare), free(w->row_scratch);
}

/* Square of the smallest distance, if a term asks for it. */
static double least_square(const centre_term *terms, int n_terms, const double *vectors, int64_t n)
{
    double least = INFINITY;
    int asked = 0;
    for (int k = 0; k < n_terms; k++)
        asked |= terms[k].reach > 0.0;
    for (int64_t k = 0; asked && k < n; k++) {
        const double *d = vectors + 3 * k;
        double square = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
        least = square < least ? square : least;
    }
    return least;
}

typedef int64_t bits __attribute__((may_alias)); /* of a double; without its sign they are in its order, then NaN */

/* The centre of the largest component of a pair gradient, where that is above *most. */
static void find_steepest(const pair_block *b, int64_t *most, int64_t *steepest)
{
    const bits *gradients = (const bits *)b->gradients;
    for (int64_t u = 0; u < b->n; u++) {
        int64_t largest = 0;
        for (int64_t k = 3 * (b->first[u] - b->first[0]); k < 3 * (b->first[u + 1] - b->first[0]); k++) {
            int64_t size = gradients[k] & INT64_MAX;
            largest = size > largest ? size : largest;
        }
        if (largest > *most)
            *most = largest, *steepest = b->begin + u;
    }
}

/* Numbers of the centres of a block from their rows, and the sums of these. */
static void measure_block(const workspace *w, const list_uncertainty *u, const centre_pairs *part, int64_t from)
{
    const term_rows *rows = &w->rows;
    for (int k = 0; k < u->n_plans; k++)
        u->loops->measure(u->plans[k], part, w->row_scratch, rows->rows, rows->n_functions, rows->priors,
                          u->numbers[k] + from);
    for (int64_t i = 0; i < part->stop - part->start; i++)
        for (int64_t b = 0; b < rows->n_functions; b++)
            u->total[b] += rows->rows[i * rows->n_functions + b];
}

static void rows_of_three(const vec *from, int64_t n, double *to)
{
    for (int64_t i = 0; i < n; i++)
        for (int c = 0; c < 3; c++)
            to[3 * i + c] = from[i][c];
}

static int of_list(const centre_term *terms, int n_terms, const centre_pairs *pairs, force_sums *sums,
                   const list_uncertainty *uncertainty)
{
    workspace w = {0};
    int64_t most = -1;
    if (sums->virials && !(w.virials = aligned(3 * pairs->stop * (int64_t)sizeof(vec))))
        return 1;
    if (!prepare(&w, terms, n_terms, pairs) || (uncertainty && !prepare_rows(&w, uncertainty))) {
        release(&w);
        return 1;
    }
    memset(sums->virial, 0, sizeof sums->virial);
    for (int64_t begin = pairs->start; begin < pairs->stop; begin += BLOCK) {
        int64_t n = pairs->stop - begin < BLOCK ? pairs->stop - begin : BLOCK, from = pairs->first[begin];
        int64_t n_pairs = pairs->first[begin + n] - from;
        centre_pairs part = *pairs;
        pair_block block = {begin, n, pairs->first + begin, w.other, pairs->vectors + 3 * from, w.gradients};
        part.start = begin, part.stop = begin + n;
        for (int64_t k = 0; k < n_pairs; k++)
            w.other[k] = (int32_t)pairs->j[from + k];
        double least = least_square(terms, n_terms, block.vectors, n_pairs);
        evaluate_terms(terms, n_terms, &part, least, w.scratch, sums->energies + begin - pairs->start, w.gradients,
                       uncertainty ? &w.rows : NULL);
        if (uncertainty)
            measure_block(&w, uncertainty, &part, begin - pairs->start);
        if (sums->steepest >= 0)
            find_steepest(&block, &most, &sums->steepest);
        sums->virials ? scatter(&block, w.forces, sums->virial, w.virials, 1)
                      : scatter(&block, w.forces, sums->virial, NULL, 1);
    }
    rows_of_three(w.forces, pairs->stop, sums->forces);
    if (sums->virials)
        rows_of_three(w.virials, 3 * pairs->stop, sums->virials);
    release(&w);
    return 0;
}

const force_loops JOIN(force_loops_, ISA) = {TEXT(ISA), LANES, of_list};
