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
    t->priors = aligned(3 * BLOCK * (int64_t)sizeof(double));
    t->row_scratch = aligned(u->loops->scratch_size(u->plan));
    return t->rows_of_block && t->priors && t->row_scratch;
}

static void release_rows(thread_part *t) { free(t->rows_of_block), free(t->priors), free(t->row_scratch); }

/* Add a term; its basis functions to the rows too where they are wanted. */
static void evaluate_term(const md_system *s, thread_part *t, const md_term *term, const centre_pairs *pairs)
{
    const md_uncertainty *u = &s->uncertainty;
    double *rows = u->now && u->plan && term->row_kernel ? t->rows_of_block + term->column : NULL, *spare = t->priors + BLOCK;
    if (!rows || term->row_plan != term->plan)
        term->kernel->evaluate(term->plan, pairs, t->scratch, t->block_energies, t->block_gradients);
    if (rows && term->row_plan == term->plan)
        term->row_kernel->evaluate_rows(term->row_plan, pairs, t->scratch, t->block_energies, t->block_gradients, rows,
                                        u->n_functions, t->priors);
    else if (rows) /* in another precision */
        term->row_kernel->evaluate_rows(term->row_plan, pairs, t->scratch, spare, NULL, rows, u->n_functions, t->priors);
}

static void clear_rows(const md_system *s, thread_part *t, int64_t n)
{
    memset(t->rows_of_block, 0, (size_t)(n * s->uncertainty.n_functions) * sizeof(double));
    memset(t->priors, 0, 3 * BLOCK * sizeof(double));
}

/* Numbers of the centres of the block. */
static void measure_rows(const md_system *s, thread_part *t, int64_t begin, const centre_pairs *pairs)
{
    const md_uncertainty *u = &s->uncertainty;
    double *numbers = t->priors + 2 * BLOCK;
    u->loops->measure(u->plan, pairs, t->row_scratch, t->rows_of_block, u->n_functions, t->priors, numbers);
    memcpy(u->numbers + begin, numbers, (size_t)pairs->stop * sizeof(double));
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
