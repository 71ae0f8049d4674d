/* Neighbour list of the MD loop: all pairs closer than cutoff + skin, in cells of any shape and size.
 *
 * Atoms are sorted into bins of half the reach along the cell vectors. The bins around a centre are counted on beyond the
 * edges of the cell, where bin q stands for bin q - s n_bins moved by s cell vectors: one rule for large cells and for
 * those smaller than the cutoff. An entry holds the neighbour and the number of its shift in one word. */
#ifndef KERNELFF_MD_LIST_H
#define KERNELFF_MD_LIST_H

#include "md_private.h"

INLINE int floor_ratio(int a, int b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

static double range_of(const double *fraction, int64_t n, int k, double *low)
{
    double high = -INFINITY;
    *low = INFINITY;
    for (int64_t i = 0; i < n; i++) {
        double s = fraction[3 * i + k];
        *low = s < *low ? s : *low, high = s > high ? s : high;
    }
    return high - *low;
}

static void choose_bins(const md_system *s, grid *g, const double *fraction)
{
    double reach = s->cutoff + s->skin, most = 4.0 * (double)s->n + 64.0;
    for (int k = 0; k < 3; k++) {
        double height = 1.0 / sqrt(SQUARE(g->inverse[k]) + SQUARE(g->inverse[3 + k]) + SQUARE(g->inverse[6 + k]));
        double extent = 1.0;
        g->low[k] = 0.0;
        if (!s->periodic[k])
            extent = range_of(fraction, s->n, k, &g->low[k]);
        g->length[k] = extent * height;
        double wanted = floor(2.0 * g->length[k] / reach);
        g->bins[k] = wanted < 1.0 ? 1 : wanted > most ? (int)most : (int)wanted;
        g->per_fraction[k] = extent;
    }
    while ((double)g->bins[0] * g->bins[1] * g->bins[2] > most) {
        int k = g->bins[0] > g->bins[1] ? 0 : 1;
        k = g->bins[k] > g->bins[2] ? k : 2;
        g->bins[k] = (g->bins[k] + 1) / 2;
    }
    for (int k = 0; k < 3; k++) {
        g->per_fraction[k] = g->per_fraction[k] > 0.0 ? g->bins[k] / g->per_fraction[k] : 0.0;
        g->reach[k] = g->bins[k] == 1 && !s->periodic[k] ? 0 : (int)(reach * g->bins[k] / g->length[k]) + 1;
        g->most[k] = s->periodic[k] ? (g->reach[k] + g->bins[k] - 1) / g->bins[k] : 0;
    }
}

/* Shift vectors of the present cell; a cell that moves needs them anew. */
static void set_shifts(md_system *s)
{
    grid *g = &s->own->grid;
    vec *to = g->shifts;
    for (int a = -g->most[0]; a <= g->most[0]; a++)
        for (int b = -g->most[1]; b <= g->most[1]; b++)
            for (int c = -g->most[2]; c <= g->most[2]; c++)
                *to++ = (vec){a * s->cell[0] + b * s->cell[3] + c * s->cell[6],
                              a * s->cell[1] + b * s->cell[4] + c * s->cell[7],
                              a * s->cell[2] + b * s->cell[5] + c * s->cell[8], 0.0};
}

static int make_shifts(md_system *s)
{
    grid *g = &s->own->grid;
    double wanted = 1.0;
    for (int k = 0; k < 3; k++)
        wanted *= 2.0 * g->most[k] + 1.0;
    if (wanted > 1e7)
        return MD_CROWDED;
    int64_t n_shifts = (int64_t)wanted;
    for (g->bits = 0; (int64_t)1 << g->bits < n_shifts; g->bits++)
        ;
    if ((double)s->n * (double)((int64_t)1 << g->bits) > 4294967295.0)
        return MD_CROWDED;
    free(g->shifts);
    g->shifts = aligned(n_shifts * (int64_t)sizeof(vec));
    if (!g->shifts)
        return MD_NO_MEMORY;
    set_shifts(s);
    return MD_OK;
}

/* Take every atom back into the cell, and find its bin. */
static void wrap(md_system *s, double *fraction)
{
    grid *g = &s->own->grid;
    for (int64_t i = 0; i < s->n; i++) {
        double *x = s->x + 4 * i, *at = fraction + 3 * i;
        for (int k = 0; k < 3; k++)
            at[k] = x[0] * g->inverse[k] + x[1] * g->inverse[3 + k] + x[2] * g->inverse[6 + k];
        for (int k = 0; k < 3; k++) {
            double turns = s->periodic[k] ? floor(at[k]) : 0.0;
            if (turns == 0.0)
                continue;
            at[k] -= turns;
            s->images[3 * i + k] += (int32_t)turns;
            for (int c = 0; c < 3; c++)
                x[c] -= turns * s->cell[3 * k + c];
        }
    }
}

INLINE int bin_of(const grid *g, const double *fraction, int k)
{
    int bin = (int)((fraction[k] - g->low[k]) * g->per_fraction[k]);
    return bin < 0 ? 0 : bin >= g->bins[k] ? g->bins[k] - 1 : bin;
}

/* Atoms in the order of their bins, those along the first cell vector next to each other. */
static int sort_into_bins(md_system *s, const double *fraction)
{
    md_private *p = s->own;
    grid *g = &p->grid;
    int64_t n_bins = (int64_t)g->bins[0] * g->bins[1] * g->bins[2];
    free(g->start);
    g->start = calloc((size_t)n_bins + 2, sizeof *g->start);
    if (!g->start)
        return MD_NO_MEMORY;
    uint32_t *start = g->start + 1;
    for (int64_t i = 0; i < s->n; i++) {
        const double *at = fraction + 3 * i;
        int64_t bin = ((int64_t)bin_of(g, at, 2) * g->bins[1] + bin_of(g, at, 1)) * g->bins[0] + bin_of(g, at, 0);
        g->bin[i] = (uint32_t)bin;
        start[bin + 1]++;
    }
    for (int64_t b = 1; b <= n_bins; b++)
        start[b] += start[b - 1];
    for (int64_t i = 0; i < s->n; i++) { /* start[b] moves to the end of bin b, which g->start[b + 1] then is */
        uint32_t place = start[g->bin[i]]++;
        g->members[place] = (uint32_t)i;
        memcpy(&g->sorted[place], s->x + 4 * i, sizeof(vec));
        g->sorted[place][3] = 0.0;
    }
    return MD_OK;
}

INLINE int make_room(thread_part *part, int64_t wanted)
{
    if (wanted <= part->room)
        return 1;
    int64_t room = wanted + wanted / 4 + 1024;
    uint32_t *rows = realloc(part->rows, (size_t)room * sizeof *rows);
    if (!rows)
        return 0;
    part->rows = rows, part->room = room;
    return 1;
}

/* Append the atoms of bins begin .. end - 1 of the sorted order that are near the centre. */
INLINE int64_t near_ones(const grid *g, uint32_t *rows, int64_t m, vec from, double limit, uint32_t begin, uint32_t end,
                         uint32_t shift, uint32_t self)
{
    for (uint32_t k = begin; k < end; k++) {
        vec d = g->sorted[k] - from;
        uint32_t entry = g->members[k] << g->bits | shift;
        d *= d;
        rows[m] = entry;
        m += (d[0] + d[1] + d[2] < limit) & (entry != self);
    }
    return m;
}

static int64_t row_of(const md_system *s, thread_part *part, int64_t i, int64_t m)
{
    const grid *g = &s->own->grid;
    double limit = SQUARE(s->cutoff + s->skin);
    int64_t bin = g->bin[i];
    int at[3] = {(int)(bin % g->bins[0]), (int)(bin / g->bins[0] % g->bins[1]), (int)(bin / g->bins[0] / g->bins[1])};
    const int *n = g->bins, *w = g->most;
    uint32_t none = (uint32_t)((w[0] * (2 * w[1] + 1) + w[1]) * (2 * w[2] + 1) + w[2]);
    uint32_t self = (uint32_t)i << g->bits | none;
    vec here = *(const vec *)(s->x + 4 * i);
    here[3] = 0.0;
    for (int z = at[2] - g->reach[2]; z <= at[2] + g->reach[2]; z++) {
        int sz = floor_ratio(z, n[2]);
        if (sz < -w[2] || sz > w[2])
            continue;
        for (int y = at[1] - g->reach[1]; y <= at[1] + g->reach[1]; y++) {
            int sy = floor_ratio(y, n[1]);
            if (sy < -w[1] || sy > w[1])
                continue;
            const uint32_t *row = g->start + ((int64_t)(z - sz * n[2]) * n[1] + (y - sy * n[1])) * n[0];
            int last = at[0] + g->reach[0];
            for (int x = at[0] - g->reach[0], next; x <= last; x = next) {
                int sx = floor_ratio(x, n[0]);
                next = (sx + 1) * n[0] <= last ? (sx + 1) * n[0] : last + 1;
                if (sx < -w[0] || sx > w[0])
                    continue;
                uint32_t begin = row[x - sx * n[0]], end = row[next - sx * n[0]];
                uint32_t shift = (uint32_t)(((sx + w[0]) * (2 * w[1] + 1) + sy + w[1]) * (2 * w[2] + 1) + sz + w[2]);
                if (!make_room(part, m + end - begin + 1))
                    return -1;
                m = near_ones(g, part->rows, m, here - g->shifts[shift], limit, begin, end, shift, self);
            }
        }
    }
    return m;
}

static void list_share(md_system *s, int rank)
{
    md_private *p = s->own;
    thread_part *part = &p->parts[rank];
    int64_t m = 0, *first = p->first + part->begin + rank;
    part->most_pairs = 0;
    for (int64_t i = part->begin; i < part->end; i++) {
        int64_t before = m;
        *first++ = m;
        m = row_of(s, part, i, m);
        if (m < 0) {
            part->status = MD_NO_MEMORY;
            return;
        }
        part->most_pairs = m - before > part->most_pairs ? m - before : part->most_pairs;
    }
    *first = m;
    part->n_pairs = m;
    if (make_room(part, m + 4))
        memset(part->rows + m, 0, 4 * sizeof *part->rows); /* entries are read four at a time */
    else
        part->status = MD_NO_MEMORY;
}

static int rebuild(md_system *s)
{
    md_private *p = s->own;
    grid *g = &p->grid;
    double *fraction = malloc((size_t)(3 * s->n + 1) * sizeof *fraction);
    if (!fraction)
        return MD_NO_MEMORY;
    invert(s->cell, g->inverse);
    memcpy(p->cell0, s->cell, sizeof p->cell0);
    wrap(s, fraction);
    choose_bins(s, g, fraction);
    int status = make_shifts(s);
    if (!status)
        status = sort_into_bins(s, fraction);
    free(fraction);
    if (status)
        return status;
    for (int64_t i = 0; i < s->n; i++)
        memcpy(p->x0 + 3 * i, s->x + 4 * i, 3 * sizeof(double));
    md_team_run(&p->team, list_share);
    s->n_pairs = 0;
    for (int rank = 0; rank < s->n_threads; rank++) {
        if (p->parts[rank].status)
            return p->parts[rank].status;
        s->n_pairs += p->parts[rank].n_pairs;
    }
    p->moved = 0.0;
    s->n_rebuilds++;
    return prepare_blocks(s);
}

/* Whether a pair within the cutoff may be missing. Since the list was made the cell went from h0 to h0 F and atom i
 * from x0 to x0 F + u, with |u| <= moved: a pair at r now was at most at (r + 2 moved) |1/F| then. */
static int list_is_old(const md_system *s)
{
    const md_private *p = s->own;
    double stretch = 1.0;
    if (s->motion) {
        double inverse[9], back[9], sum = 0.0;
        invert(s->cell, inverse);
        multiply(inverse, p->cell0, back); /* 1/F = 1/h h0 */
        for (int k = 0; k < 9; k++)
            sum += SQUARE(back[k] - (k % 4 == 0));
        stretch += sqrt(sum); /* Frobenius norm of the rest: not less than the norm of 1/F */
    }
    return !((s->cutoff + 2.0 * sqrt(p->moved)) * stretch < s->cutoff + s->skin);
}

#endif
