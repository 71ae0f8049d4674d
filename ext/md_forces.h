/* Energy, forces and virial of the MD loop: kernels over blocks of centres, one range of centres for each thread. */
#ifndef KERNELFF_MD_FORCES_H
#define KERNELFF_MD_FORCES_H

#include "md_private.h"
#include "md_uncertainty.h"

/* Scratch for every kernel, for centres of up to that many pairs. */
static int prepare_scratch(const md_system *s, thread_part *t)
{
    if (t->scratch && t->most_pairs <= t->scratch_pairs)
        return 1;
    int64_t size = 64;
    t->scratch_pairs = t->most_pairs + t->most_pairs / 8 + 8;
    for (int k = 0; k < s->n_terms; k++) {
        int64_t wanted = s->terms[k].kernel->scratch_size(s->terms[k].plan, t->scratch_pairs);
        size = wanted > size ? wanted : size;
        if (s->uncertainty.plan && s->terms[k].row_kernel)
            wanted = s->terms[k].row_kernel->scratch_size(s->terms[k].row_plan, t->scratch_pairs);
        size = wanted > size ? wanted : size;
    }
    free(t->scratch);
    t->scratch = aligned(size);
    return t->scratch != NULL;
}

static int prepare_block(const md_system *s, thread_part *t, int64_t n_pairs)
{
    if (t->block_j && n_pairs <= t->block_pairs)
        return 1;
    int64_t room = t->block_pairs = n_pairs + n_pairs / 8 + 64;
    free(t->block_j), free(t->block_species), free(t->block_other), free(t->block_vectors), free(t->block_gradients);
    t->block_j = aligned(room * (int64_t)sizeof *t->block_j);
    t->block_species = aligned((room + BLOCK) * (int64_t)sizeof *t->block_species);
    t->block_other = aligned(room * (int64_t)sizeof *t->block_other);
    t->block_vectors = aligned((3 * room + 4) * (int64_t)sizeof(double));
    t->block_gradients = aligned((3 * room + 4) * (int64_t)sizeof(double));
    if (!t->block_j || !t->block_species || !t->block_other || !t->block_vectors || !t->block_gradients)
        return 0;
    for (int64_t k = 0; k < room; k++)
        t->block_j[k] = BLOCK + k; /* the elements of the neighbours stand behind those of the centres */
    for (int64_t k = 0; s->one_element && k < room + BLOCK; k++)
        t->block_species[k] = s->numbers[0];
    return 1;
}

/* Room for the pairs of the largest block of every thread. */
static int prepare_blocks(md_system *s)
{
    md_private *p = s->own;
    for (int rank = 0; rank < s->n_threads; rank++) {
        thread_part *t = &p->parts[rank];
        const int64_t *first = p->first + t->begin + rank;
        int64_t n = t->end - t->begin, most = 0;
        for (int64_t i = 0; i < n; i += BLOCK) {
            int64_t pairs = first[i + BLOCK < n ? i + BLOCK : n] - first[i];
            most = pairs > most ? pairs : most;
        }
        if (!prepare_block(s, t, most + 1) || !prepare_scratch(s, t) || !prepare_rows(s, t))
            return MD_NO_MEMORY;
    }
    return MD_OK;
}

/* Pairs of one centre within the cutoff, behind the m that the block holds. */
INLINE int64_t gather(const md_system *s, thread_part *t, int64_t i, int64_t m, double *restrict least, const int one_element)
{
    const md_private *p = s->own;
    const int64_t *first = p->first + i + (t - p->parts);
    const uint32_t *restrict entry = t->rows + first[0], *restrict end = t->rows + first[1];
    const vec *restrict x = (const vec *)s->x, *restrict shifts = p->grid.shifts;
    const int32_t *restrict numbers = s->numbers;
    double *restrict to = t->block_vectors + 3 * m, limit = SQUARE(s->cutoff), nearest = *least;
    int32_t *restrict other = t->block_other + m, *restrict species = t->block_species + BLOCK + m;
    int bits = p->grid.bits;
    uint32_t mask = ((uint32_t)1 << bits) - 1;
    vec here = x[i];
    for (; entry < end; entry++) {
        uint32_t j = *entry >> bits;
        vec d = x[j] + shifts[*entry & mask] - here, square = d * d;
        double r2 = square[0] + square[1] + square[2];
        int near = r2 < limit;
        *(loose_vec *)to = (loose_vec)d;
        *other = (int32_t)j;
        to += 3 * near, other += near;
        if (!one_element) {
            *species = numbers[j];
            species += near;
        }
        nearest = r2 < nearest ? r2 : nearest;
    }
    *least = nearest;
    return other - t->block_other;
}

/* Which pair of the block is too close. */
static void find_close(const md_system *s, thread_part *t, int64_t begin, int64_t n)
{
    t->worst = INFINITY;
    for (int64_t u = 0; u < n; u++)
        for (int64_t k = t->block_first[u]; k < t->block_first[u + 1]; k++) {
            const double *d = t->block_vectors + 3 * k;
            double r = sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
            if (r < t->worst) {
                t->worst = r;
                t->culprits[0] = s->ids[begin + u], t->culprits[1] = s->ids[t->block_other[k]];
            }
        }
}

/* Forces on both atoms of every pair of the block; on request dE/dstrain. */
INLINE void scatter(thread_part *t, int64_t begin, int64_t n, const int want_virial)
{
    vec *restrict f = t->forces, w0 = {0}, w1 = {0}, w2 = {0};
    const double *restrict gradients = t->block_gradients, *restrict vectors = t->block_vectors;
    const int64_t *restrict first = t->block_first;
    const int32_t *restrict other = t->block_other;
    for (int64_t u = 0; u < n; u++) {
        vec own = {0};
        int64_t end = first[u + 1];
        for (int64_t k = first[u]; k < end; k++) {
            vec g = (vec)*(const loose_vec *)(gradients + 3 * k);
            own += g;
            f[other[k]] -= g;
            if (want_virial) {
                const double *d = vectors + 3 * k;
                w0 += d[0] * g, w1 += d[1] * g, w2 += d[2] * g;
            }
        }
        f[begin + u] += own;
    }
    for (int c = 0; c < 3 && want_virial; c++)
        t->virial[c] -= w0[c], t->virial[3 + c] -= w1[c], t->virial[6 + c] -= w2[c];
}

static int block_of(md_system *s, thread_part *t, int64_t begin, int64_t n)
{
    const md_private *p = s->own;
    int64_t m = 0;
    double least = INFINITY;
    for (int64_t u = 0; u < n; u++) {
        t->block_first[u] = m;
        if (!s->one_element)
            t->block_species[u] = s->numbers[begin + u];
        m = s->one_element ? gather(s, t, begin + u, m, &least, 1) : gather(s, t, begin + u, m, &least, 0);
    }
    t->block_first[n] = m;
    if (least < SQUARE(s->least_distance)) {
        t->status = MD_CLOSE;
        find_close(s, t, begin, n);
        return 0;
    }
    memset(t->block_gradients, 0, (size_t)(3 * m + 4) * sizeof(double));
    memset(t->block_energies, 0, (size_t)n * sizeof(double));
    centre_pairs pairs = {t->block_first, t->block_j, t->block_vectors, t->block_species, 0, n};
    int measured = s->uncertainty.now && s->uncertainty.plan;
    if (measured)
        clear_rows(s, t, n);
    for (int k = 0; k < s->n_terms; k++) {
        const md_term *term = &s->terms[k];
        if (!term->reach || least < SQUARE(term->reach))
            evaluate_term(s, t, term, &pairs);
    }
    if (measured)
        measure_rows(s, t, begin, &pairs);
    for (int64_t u = 0; u < n; u++)
        t->energy += t->block_energies[u];
    p->want_virial ? scatter(t, begin, n, 1) : scatter(t, begin, n, 0);
    return 1;
}

static void force_share(md_system *s, int rank)
{
    thread_part *t = &s->own->parts[rank];
    memset(t->forces, 0, (size_t)s->n * sizeof(vec));
    memset(t->virial, 0, sizeof t->virial);
    t->energy = 0.0;
    for (int64_t i = t->begin; i < t->end; i += BLOCK)
        if (!block_of(s, t, i, t->end - i < BLOCK ? t->end - i : BLOCK))
            return;
}

/* Add up what the threads have for these atoms, in the order of the threads. */
static void sum_share(md_system *s, int rank)
{
    md_private *p = s->own;
    thread_part *t = &p->parts[rank];
    vec *f = (vec *)s->f;
    for (int other = 1; other < s->n_threads; other++) {
        const vec *from = p->parts[other].forces;
        for (int64_t i = t->begin; i < t->end; i++)
            f[i] += from[i];
    }
}

static void check_share(md_system *s, int rank)
{
    thread_part *t = &s->own->parts[rank];
    double limit = SQUARE(s->most_force);
    for (int64_t i = t->begin; i < t->end; i++) {
        const double *f = s->f + 4 * i;
        double square = f[0] * f[0] + f[1] * f[1] + f[2] * f[2];
        if (square <= limit || t->status)
            continue;
        t->status = isfinite(square) ? MD_FORCE : MD_NOT_FINITE;
        t->culprits[0] = s->ids[i], t->worst = sqrt(square);
    }
}

/* The status of the first thread that has one. */
static int verdict(md_system *s)
{
    for (int rank = 0; rank < s->n_threads; rank++) {
        const thread_part *t = &s->own->parts[rank];
        if (t->status) {
            memcpy(s->culprits, t->culprits, sizeof s->culprits);
            s->worst = t->worst;
            return t->status;
        }
    }
    return MD_OK;
}

static int add_forces(md_system *s)
{
    md_private *p = s->own;
    md_team_run(&p->team, force_share);
    int status = verdict(s);
    if (status)
        return status;
    if (s->n_threads > 1)
        md_team_run(&p->team, sum_share);
    s->energy = 0.0;
    memset(s->virial, 0, sizeof s->virial);
    for (int rank = 0; rank < s->n_threads; rank++) {
        s->energy += p->parts[rank].energy;
        for (int k = 0; k < 9; k++)
            s->virial[k] += p->parts[rank].virial[k];
    }
    if (s->rest && s->rest(s->context, &s->energy, s->f, s->virial))
        return MD_REST;
    md_team_run(&p->team, check_share);
    status = verdict(s);
    if (!status && !isfinite(s->energy))
        status = MD_NOT_FINITE;
    return status || !s->uncertainty.now ? status : judge_uncertainty(s);
}

#endif
