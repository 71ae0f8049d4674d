/* The loop of molecular dynamics, compiled once per instruction set with -DISA=... -DLANES=... */
#include "md.h"

#include <time.h>

#include "md_private.h"
#include "md_forces.h"
#include "md_list.h"
#include "md_stages.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void release(md_system *s)
{
    md_private *p = s->own;
    if (!p)
        return;
    for (int rank = 0; p->parts && rank < s->n_threads; rank++) {
        thread_part *t = &p->parts[rank];
        free(t->rows), free(t->block_first), free(t->block_j), free(t->block_species), free(t->block_other);
        free(t->block_vectors), free(t->block_gradients), free(t->block_energies), free(t->scratch);
        release_rows(t);
        if (rank)
            free(t->forces);
    }
    free(p->parts), free(p->first), free(p->x0);
    free(p->grid.shifts), free(p->grid.start), free(p->grid.members), free(p->grid.bin), free(p->grid.sorted);
    free(p);
    s->own = NULL;
}

static int prepare_parts(md_system *s)
{
    for (int rank = 0; rank < s->n_threads; rank++) {
        thread_part *t = &s->own->parts[rank];
        t->begin = s->n * rank / s->n_threads, t->end = s->n * (rank + 1) / s->n_threads;
        t->block_first = aligned((BLOCK + 1) * (int64_t)sizeof *t->block_first);
        t->block_energies = aligned(BLOCK * (int64_t)sizeof *t->block_energies);
        t->forces = rank ? aligned(s->n * (int64_t)sizeof(vec)) : (vec *)s->f;
        if (!t->block_first || !t->block_energies || !t->forces)
            return 0;
    }
    return 1;
}

static int prepare(md_system *s)
{
    if (s->own)
        return MD_OK;
    md_private *p = s->own = aligned(sizeof *p);
    if (!p)
        return MD_NO_MEMORY;
    grid *g = &p->grid;
    p->parts = aligned(s->n_threads * (int64_t)sizeof *p->parts);
    p->first = aligned((s->n + s->n_threads) * (int64_t)sizeof *p->first);
    p->x0 = aligned(3 * s->n * (int64_t)sizeof *p->x0);
    g->members = aligned(s->n * (int64_t)sizeof *g->members);
    g->bin = aligned(s->n * (int64_t)sizeof *g->bin);
    g->sorted = aligned(s->n * (int64_t)sizeof *g->sorted);
    if (p->parts && p->first && p->x0 && g->members && g->bin && g->sorted && prepare_parts(s))
        return MD_OK;
    release(s);
    return MD_NO_MEMORY;
}

static int forces(md_system *s)
{
    md_private *p = s->own;
    double start = now(), listed;
    if (!p->listed || list_is_old(s)) {
        int status = rebuild(s);
        if (status)
            return status;
        p->listed = 1;
    } else if (s->motion)
        set_shifts(s);
    listed = now();
    int status = add_forces(s);
    s->rebuild_time += listed - start, s->force_time += now() - listed;
    return status;
}

static int stage_of(md_system *s, int k)
{
    md_private *p = s->own;
    p->time = s->stages[k].part * s->timestep;
    p->kt = md_kt_now(s);
    p->stream = (uint32_t)k;
    switch (s->stages[k].kind) {
    case MD_FORCES: return forces(s);
    case MD_DRIFT: return drift(s);
    case MD_KICK: kick(s); break;
    case MD_NOISE: noise(s); break;
    case MD_RESCALE: rescale(s); break;
    case MD_CHAIN_STEP: chain_stage(s); break;
    case MD_CELL_KICK: cell_kick(s); break;
    case MD_CELL_NOISE: cell_noise(s); break;
    case MD_CELL_CHAIN: cell_chain(s); break;
    }
    return MD_OK;
}

static int begin(md_system *s)
{
    int status = prepare(s);
    if (status)
        return status;
    for (int rank = 0; rank < s->n_threads; rank++)
        s->own->parts[rank].status = MD_OK;
    return md_team_begin(&s->own->team, s);
}

static int compute(md_system *s)
{
    int status = begin(s);
    if (status)
        return status;
    s->own->want_virial = 1;
    s->uncertainty.at = s->step;
    s->uncertainty.now = s->uncertainty.every && s->uncertainty.done < 0;
    status = forces(s);
    sum_kinetic(s);
    md_team_end(&s->own->team);
    return status;
}

static int run(md_system *s, int64_t n_steps)
{
    int status = begin(s);
    if (status)
        return status;
    for (int64_t k = 0; k < n_steps && !status; k++) {
        s->own->want_virial = s->motion || k + 1 == n_steps;
        s->uncertainty.at = s->step + 1;
        s->uncertainty.now = s->uncertainty.every && (s->step + 1) % s->uncertainty.every == 0;
        for (int stage = 0; stage < s->n_stages && !status; stage++)
            status = stage_of(s, stage);
        s->step += !status;
    }
    if (!status)
        sum_kinetic(s);
    md_team_end(&s->own->team);
    return status;
}

const md_loops JOIN(md_loops_, ISA) = {TEXT(ISA), LANES, compute, run, release};
