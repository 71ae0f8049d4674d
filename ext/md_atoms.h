/* Local energies and virials of the atoms, on request at the last step of a run. */
#ifndef KERNELFF_MD_ATOMS_H
#define KERNELFF_MD_ATOMS_H

#include "md_private.h"

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

/* Whether the forces that come next are those that leave the caller energies and virials. */
static void decide_atoms(md_system *s)
{
    md_private *p = s->own;
    p->want_atoms = s->virials && (p->last < 0 || s->step + 1 == p->last);
    for (int rank = 0; rank < s->n_threads && p->want_atoms; rank++)
        memset(p->parts[rank].virials, 0, 3 * (size_t)s->n * sizeof(vec));
}

/* What the block of centres begin .. begin + n - 1 has left: -r_ij (x) g_ij for every neighbour. */
static void keep_atoms(const md_system *s, thread_part *t, int64_t begin, int64_t n)
{
    vec *restrict virials = t->virials;
    memcpy(s->energies + begin, t->block_energies, (size_t)n * sizeof(double));
    for (int64_t k = 0; k < t->block_first[n]; k++) {
        vec g = (vec)*(const loose_vec *)(t->block_gradients + 3 * k);
        const double *d = t->block_vectors + 3 * k;
        vec *w = virials + 3 * (int64_t)t->block_other[k];
        w[0] -= d[0] * g, w[1] -= d[1] * g, w[2] -= d[2] * g;
    }
}

/* Add up what the threads have for these atoms, in the order of the threads. */
static void sum_atoms(md_system *s, int rank)
{
    const md_private *p = s->own;
    vec *virials = (vec *)s->virials;
    for (int other = 1; other < s->n_threads && p->want_atoms; other++) {
        const vec *from = p->parts[other].virials;
        for (int64_t i = 3 * p->parts[rank].begin; i < 3 * p->parts[rank].end; i++)
            virials[i] += from[i];
    }
}

#endif
