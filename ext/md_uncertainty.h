/* Uncertainties of the atoms in the MD loop: rows of basis functions and their numbers beside the forces, in some steps. */
#ifndef KERNELFF_MD_UNCERTAINTY_H
#define KERNELFF_MD_UNCERTAINTY_H

#include "md_private.h"

/* Rows of a block and scratch for their numbers, of one thread. */
static int prepare_rows(const md_system *s, thread_part *t)
{
    const md_uncertainty *u = &s->uncertainty;
    if (!u->plan || t->rows_of_block)
        return 1;
    t->rows_of_block = aligned(BLOCK * u->n_functions * (int64_t)sizeof(double));
    t->priors = aligned(2 * BLOCK * (int64_t)sizeof(double));
    t->row_scratch = aligned(u->loops->scratch_size(u->plan));
    return t->rows_of_block && t->priors && t->row_scratch;
}

static void release_rows(thread_part *t) { free(t->rows_of_block), free(t->priors), free(t->row_scratch); }

static term_rows rows_of_block(const md_system *s, const thread_part *t)
{
    const md_uncertainty *u = &s->uncertainty;
    double *priors = u->plan && u->plan->kind == UNCERTAINTY_NOVELTY ? t->priors : NULL;
    return (term_rows){u->n_functions, t->rows_of_block, priors, t->priors + BLOCK};
}

/* Numbers of the centres of the block. */
static void measure_rows(const md_system *s, int64_t begin, const centre_pairs *pairs, void *scratch, const term_rows *rows)
{
    const md_uncertainty *u = &s->uncertainty;
    u->loops->measure(u->plan, pairs, scratch, rows->rows, rows->n_functions, rows->priors, rows->spare);
    memcpy(u->numbers + begin, rows->spare, (size_t)pairs->stop * sizeof(double));
}

/* The largest number against its limit. */
static int judge_uncertainty(md_system *s)
{
    md_uncertainty *u = &s->uncertainty;
    if (u->ask && u->ask(s->context, u->numbers))
        return MD_REST;
    int64_t largest = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (!(u->numbers[i] <= u->numbers[largest])) /* also where it is not a number */
            largest = i;
    u->done = u->at;
    if (u->numbers[largest] <= u->most)
        return MD_OK;
    s->culprits[0] = s->ids[largest], s->worst = u->numbers[largest];
    return MD_UNCERTAIN;
}

#endif
