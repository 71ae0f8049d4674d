/* Neighbours from the rows of their centres to slots, where lanes are centres, and pair gradients back.
 * Included by moments_potential.c alone. */

/* ---- LANES numbers of a row, which are double -------------------------------------------------------- */

#ifdef SINGLE
typedef double half_row __attribute__((vector_size(4 * LANES), aligned(8), may_alias));
typedef float half_vec __attribute__((vector_size(2 * LANES), aligned(4), may_alias));

INLINE vec load_row(const double *from)
{
    union { half_vec half[2]; vec whole; } to;
    for (int h = 0; h < 2; h++)
        to.half[h] = __builtin_convertvector(*(const half_row *)(from + h * (LANES / 2)), half_vec);
    return to.whole;
}

INLINE void add_row_to(double *to, vec v)
{
    union { vec whole; half_vec half[2]; } from = {v};
    for (int h = 0; h < 2; h++)
        *(half_row *)(to + h * (LANES / 2)) += __builtin_convertvector(from.half[h], half_row);
}
#else
INLINE vec load_row(const double *from) { return *(const uvec *)from; }
INLINE void add_row_to(double *to, vec v) { *(uvec *)to += v; }
#endif

/* The same where the first `there` of them exist alone; the others are 0. */
INLINE vec load_part(const double *from, int64_t there)
{
    double part[LANES] = {0};
    if (there >= LANES)
        return load_row(from);
    for (int64_t t = 0; t < there; t++)
        part[t] = from[t];
    return load_row(part);
}

INLINE void add_part(double *to, vec v, int64_t there)
{
    if (there >= LANES) {
        add_row_to(to, v);
        return;
    }
    const real *part = (const real *)&v;
    for (int64_t t = 0; t < there; t++)
        to[t] += part[t];
}

/* ---- rows to slots ----------------------------------------------------------------------------------- */

INLINE int32_t species_of(const moments_potential *plan, int32_t element)
{
    return element < 0 || element >= plan->n_elements ? -1 : plan->elements[element];
}

/* Species of centre i, -1 where there is none. */
INLINE int32_t own_species(const moments_potential *plan, const centre_pairs *pairs, int64_t i)
{
    return i < pairs->stop ? species_of(plan, pairs->species[i]) : -1;
}

/* Where the coefficients of the neighbours of lane u begin; whether all are of species that the model knows. */
INLINE int fill_channels(const scratch *s, const moments_potential *plan, const centre_pairs *pairs, int64_t i, int64_t u)
{
    int32_t own = species_of(plan, pairs->species[i]), size = plan->n_blocks * plan->n_beta * LANES, known = 0;
    const int64_t *j = pairs->j + pairs->first[i];
    for (int64_t k = 0; k < s->count[u]; k++) {
        int32_t other = species_of(plan, pairs->species[j[k]]);
        s->channel[k * LANES + u] = (own * plan->n_species + other) * size;
        known |= other; /* < 0 from one on that is */
    }
    return known >= 0;
}

/* All neighbours of all lanes at once, squares of rows by transposition; 0 where some are beyond the cutoff or of species
 * that the model does not know: these are then sorted out one by one. */
static int fill_squares(scratch *s, const moments_potential *plan, const centre_pairs *pairs, int64_t begin)
{
    const double *end = pairs->vectors + 3 * pairs->first[pairs->stop], *rows[LANES];
    int64_t most = 0;
    for (int64_t u = 0; u < LANES; u++) {
        int64_t i = begin + u, there = own_species(plan, pairs, i) >= 0;
        s->count[u] = there ? pairs->first[i + 1] - pairs->first[i] : 0;
        rows[u] = there ? pairs->vectors + 3 * pairs->first[i] : end;
        most = s->count[u] > most ? s->count[u] : most;
    }
    for (int64_t at = 0; at < 3 * most; at += LANES) {
        vec square[LANES];
        UNROLL
        for (int u = 0; u < LANES; u++)
            square[u] = load_part(rows[u] + at, end - rows[u] - at); /* what follows a row is overwritten later */
        transpose(square);
        UNROLL
        for (int t = 0; t < LANES; t++)
            s->xyz[at + t] = square[t];
    }
    real limit = (real)(plan->cutoff * plan->cutoff);
    ivec far = {0};
    for (const vec *d = s->xyz; d < s->xyz + 3 * most; d += 3)
        far |= ~(d[0] * d[0] + d[1] * d[1] + d[2] * d[2] < limit);
    int near = 1;
    for (int u = 0; u < LANES; u++)
        near &= !far[u];
    for (int64_t u = 0; plan->n_species > 1 && near && u < LANES; u++)
        near = !s->count[u] || fill_channels(s, plan, pairs, begin + u, u);
    return near;
}

/* Neighbours of centre i within the cutoff to the slots of lane u; their number. */
static int64_t fill_lane(const scratch *s, const moments_potential *plan, const centre_pairs *pairs, int64_t i, int64_t u)
{
    double limit = plan->cutoff * plan->cutoff;
    const double *v = pairs->vectors + 3 * pairs->first[i];
    const int64_t *j = pairs->j + pairs->first[i];
    int64_t n = pairs->first[i + 1] - pairs->first[i], m = 0;
    int32_t own = species_of(plan, pairs->species[i]), size = plan->n_blocks * plan->n_beta * LANES;
    for (int64_t k = 0; k < n; k++, v += 3) {
        real *to = (real *)(s->xyz + 3 * m) + u;
        for (int c = 0; c < 3; c++)
            to[c * LANES] = (real)v[c];
        int32_t other = plan->n_species == 1 ? 0 : species_of(plan, pairs->species[j[k]]);
        s->pair[m * LANES + u] = (int32_t)k;
        s->channel[m * LANES + u] = (own * plan->n_species + other) * size;
        m += (v[0] * v[0] + v[1] * v[1] + v[2] * v[2] < limit) & (other >= 0);
    }
    return m;
}

static void fill_slots(scratch *s, const moments_potential *plan, const centre_pairs *pairs, int64_t begin)
{
    int64_t most = 0;
    s->sorted_out = !fill_squares(s, plan, pairs, begin);
    for (int64_t u = 0; u < LANES; u++) {
        if (s->sorted_out && s->count[u])
            s->count[u] = fill_lane(s, plan, pairs, begin + u, u);
        most = s->count[u] > most ? s->count[u] : most;
    }
    s->n = (most + SLOTS - 1) / SLOTS * SLOTS;
    for (int64_t u = 0; u < LANES; u++)
        for (int64_t k = s->count[u]; k < s->n; k++) {
            real *to = (real *)(s->xyz + 3 * k) + u;
            to[0] = (real)(2.0 * plan->cutoff), to[LANES] = to[2 * LANES] = 0;
            s->channel[k * LANES + u] = 0;
        }
}

/* ---- slots to rows ----------------------------------------------------------------------------------- */

/* Add the pair gradients that the slots hold to the rows of the centres. */
static void add_to_rows(const scratch *s, double *const *rows)
{
    for (int64_t at = 0; at < 3 * s->n && !s->sorted_out; at += LANES) {
        vec square[LANES];
        UNROLL
        for (int t = 0; t < LANES; t++)
            square[t] = s->xyz[at + t];
        transpose(square);
        UNROLL
        for (int u = 0; u < LANES; u++)
            add_part(rows[u] + at, square[u], 3 * s->count[u] - at);
    }
    for (int64_t u = 0; u < LANES && s->sorted_out; u++)
        for (int64_t k = 0; k < s->count[u]; k++)
            for (int c = 0; c < 3; c++)
                rows[u][3 * (int64_t)s->pair[k * LANES + u] + c] += ((const real *)(s->xyz + 3 * k + c))[u];
}
