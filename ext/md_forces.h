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
    t->scratch_pairs = t->most_pairs + t->most_pairs / 8 + 8;
    free(t->scratch);
    t->scratch = aligned(scratch_of_terms(s->terms, s->n_terms, t->scratch_pairs));
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

/* Room for the virials of the atoms, if they are wanted: rank 0 has the caller's. */
static int prepare_virials(md_system *s)
{
    for (int rank = 0; rank < s->n_threads && s->virials; rank++) {
        thread_part *t = &s->own->parts[rank];
        if (!rank)
            t->virials = (vec *)s->virials;
        else if (!t->virials && !(t->virials = aligned(3 * s->n * (int64_t)sizeof(vec))))
            return MD_NO_MEMORY;
    }
    return MD_OK;
}

/* Squares of the lengths of four rows, of which the fourth number does not count. */
INLINE void four_squares(const vec *d, vec *square)
{
    const four low = {0, 4, 2, 6}, high = {1, 5, 3, 7}, left = {0, 1, 4, 5}, right = {2, 3, 6, 7};
    vec xz0 = __builtin_shuffle(d[0], d[1], low), xz1 = __builtin_shuffle(d[2], d[3], low);
    vec y0 = __builtin_shuffle(d[0], d[1], high), y1 = __builtin_shuffle(d[2], d[3], high);
    vec x = __builtin_shuffle(xz0, xz1, left), y = __builtin_shuffle(y0, y1, left);
    vec z = __builtin_shuffle(xz0, xz1, right);
    *square = x * x + y * y + z * z;
}

/* Of each of four how many before it hold, and of all of them in the last place. */
INLINE void places_of(four holds, int64_t *places)
{
    four one = -holds, none = {0};
    one += __builtin_shuffle(one, none, (four){4, 0, 1, 2});
    one += __builtin_shuffle(one, none, (four){4, 5, 0, 1});
    *(four_at *)(places + 1) = one;
    places[0] = 0;
}

/* Pairs of one centre within the cutoff, behind the m that the block holds; four entries of the list at a time, those
 * that follow the last one not counted. */
INLINE int64_t gather(const md_system *s, thread_part *t, int64_t i, int64_t m, vec *least, const int one_element)
{
    const md_private *p = s->own;
    const int64_t *first = p->first + i + (t - p->parts);
    const uint32_t *entry = t->rows + first[0];
    const vec *x = (const vec *)s->x, *shifts = p->grid.shifts;
    const int32_t *numbers = s->numbers;
    const four number = {0, 1, 2, 3};
    double *vectors = t->block_vectors;
    int32_t *other = t->block_other, *species = t->block_species + BLOCK;
    int bits = p->grid.bits;
    uint32_t mask = ((uint32_t)1 << bits) - 1;
    vec here = x[i], nearest = *least, limit = (vec){0} + SQUARE(s->cutoff);
    for (int64_t left = first[1] - first[0]; left > 0; left -= 4, entry += 4) {
        vec d[4];
        for (int q = 0; q < 4; q++)
            d[q] = x[entry[q] >> bits] + shifts[entry[q] & mask] - here;
        vec square;
        four_squares(d, &square);
        four near = (square < limit) & (number < left);
        int64_t places[5];
        places_of(near, places);
        for (int q = 0; q < 4; q++) {
            int64_t k = m + places[q];
            uint32_t j = entry[q] >> bits;
            *(loose_vec *)(vectors + 3 * k) = (loose_vec)d[q];
            other[k] = (int32_t)j;
            if (!one_element)
                species[k] = numbers[j];
        }
        near &= square < nearest;
        nearest = (vec)((near & (four)square) | (~near & (four)nearest));
        m += places[4];
    }
    *least = nearest;
    return m;
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

static int block_of(md_system *s, thread_part *t, int64_t begin, int64_t n)
{
    const md_private *p = s->own;
    int64_t m = 0;
    vec nearest = (vec){0} + INFINITY;
    for (int64_t u = 0; u < n; u++) {
        t->block_first[u] = m;
        if (!s->one_element)
            t->block_species[u] = s->numbers[begin + u];
        m = s->one_element ? gather(s, t, begin + u, m, &nearest, 1) : gather(s, t, begin + u, m, &nearest, 0);
    }
    t->block_first[n] = m;
    double least = nearest[0];
    for (int q = 1; q < 4; q++)
        least = nearest[q] < least ? nearest[q] : least;
    if (least < SQUARE(s->least_distance)) {
        t->status = MD_CLOSE;
        find_close(s, t, begin, n);
        return 0;
    }
    centre_pairs pairs = {t->block_first, t->block_j, t->block_vectors, t->block_species, 0, n};
    int measured = s->uncertainty.now && s->uncertainty.plan;
    term_rows rows = rows_of_block(s, t);
    evaluate_terms(s->terms, s->n_terms, &pairs, least, t->scratch, t->block_energies, t->block_gradients,
                   measured ? &rows : NULL);
    if (measured)
        measure_rows(s, begin, &pairs, t->row_scratch, &rows);
    for (int64_t u = 0; u < n; u++)
        t->energy += t->block_energies[u];
    pair_block block = {begin, n, t->block_first, t->block_other, t->block_vectors, t->block_gradients};
    if (p->want_atoms) {
        memcpy(s->energies + begin, t->block_energies, (size_t)n * sizeof(double));
        scatter(&block, t->forces, t->virial, t->virials, 1);
    } else
        p->want_virial ? scatter(&block, t->forces, t->virial, NULL, 1) : scatter(&block, t->forces, NULL, NULL, 0);
    return 1;
}

static void force_share(md_system *s, int rank)
{
    thread_part *t = &s->own->parts[rank];
    memset(t->forces, 0, (size_t)s->n * sizeof(vec));
    memset(t->virial, 0, sizeof t->virial);
    if (s->own->want_atoms)
        memset(t->virials, 0, 3 * (size_t)s->n * sizeof(vec));
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
    vec *virials = (vec *)s->virials;
    for (int other = 1; other < s->n_threads && p->want_atoms; other++) {
        const vec *from = p->parts[other].virials;
        for (int64_t i = 3 * t->begin; i < 3 * t->end; i++)
            virials[i] += from[i];
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
        md_team_run_light(&p->team, sum_share);
    s->energy = 0.0;
    memset(s->virial, 0, sizeof s->virial);
    for (int rank = 0; rank < s->n_threads; rank++) {
        s->energy += p->parts[rank].energy;
        for (int k = 0; k < 9; k++)
            s->virial[k] += p->parts[rank].virial[k];
    }
    double *energies = p->want_atoms ? s->energies : NULL, *virials = p->want_atoms ? s->virials : NULL;
    if (s->rest && s->rest(s->context, &s->energy, s->f, s->virial, energies, virials))
        return MD_REST;
    md_team_run_light(&p->team, check_share);
    status = verdict(s);
    if (!status && !isfinite(s->energy))
        status = MD_NOT_FINITE;
    return status || !s->uncertainty.now ? status : judge_uncertainty(s);
}

#endif
