/* Basis functions of a pair term, phi_b(i) = a_b sum_j fcut(r_ij) (k(r_ij, r_b) + constant), and their prior; part of
 * pair_tables.c.
 *
 * Covariances are taken one by one, by vectors over sparse distances, and not from tables of each function: the functions are
 * so alike that what a posterior makes of them is a difference of nearly equal numbers, where the error of a table would show.
 * That of fcut is in all functions alike and does no such harm. */
#ifndef KERNELFF_PAIR_ROWS_H
#define KERNELFF_PAIR_ROWS_H

/* Neighbours of a centre that have energy, padded with fcut = 0 to whole vectors. */
typedef struct {
    int64_t n, stride;
    double *fcut, *x;                /* [stride]; [n_powers][stride] r^power / scale */
} pair_neighbours;

INLINE int64_t padded(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

static int64_t neighbour_space(const pair_functions *f, int64_t most_pairs)
{
    return (1 + f->n_powers) * padded(most_pairs) * (int64_t)sizeof(double) + 64;
}

static void gather(const pair_plan *plan, const centre_pairs *pairs, int64_t i, pair_neighbours *to)
{
    const pair_functions *f = &plan->functions;
    const int32_t *tables = plan->table_of + (int64_t)plan->row_of[pairs->species[i]] * plan->n_rows;
    to->n = 0;
    for (int64_t p = pairs->first[i]; p < pairs->first[i + 1]; p++) {
        const double *d = pairs->vectors + 3 * p;
        double r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2], slope;
        if (r2 >= SQUARE(plan->cutoff) || tables[plan->row_of[pairs->species[pairs->j[p]]]] < 0)
            continue;
        double r = sqrt(r2);
        to->fcut[to->n] = look_up(plan, f->cutoff_table, r, &slope);
        for (int32_t a = 0; a < f->n_powers; a++)
            to->x[a * to->stride + to->n] = (f->powers[a] == 1.0 ? r : pow(r, f->powers[a])) / f->scales[a];
        to->n++;
    }
    for (int64_t m = to->n; m % LANES; m++) {
        to->fcut[m] = 0.0;
        for (int32_t a = 0; a < f->n_powers; a++)
            to->x[a * to->stride + m] = 0.0;
    }
}

/* k of neighbour m and the vectors of x at y [n_powers][stride]. */
INLINE vec covariance(const pair_functions *f, const pair_neighbours *own, int64_t m, const double *y, int64_t stride)
{
    vec square = ZERO;
    for (int32_t a = 0; a < f->n_powers; a++) {
        vec apart = own->x[a * own->stride + m] - *(const uvec *)(y + a * stride);
        square += apart * apart;
    }
    return exponential(-0.5 * square) + f->constant;
}

static void store_functions(const pair_functions *f, const pair_neighbours *own, double *row)
{
    int64_t stride = (f->n + PAIR_PAD - 1) / PAIR_PAD * PAIR_PAD;
    for (int64_t b = 0; b < f->n; b += LANES) {
        vec sum = ZERO;
        for (int64_t m = 0; m < own->n; m++)
            sum += own->fcut[m] * covariance(f, own, m, f->points + b, stride);
        sum *= *(const uvec *)(f->amplitudes + b);
        for (int64_t u = 0; u < LANES && b + u < f->n; u++)
            row[b + u] = sum[u];
    }
}

/* Variance of the sum over neighbours, fcut' K fcut: two neighbours twice, but those of one vector from either side. */
static double prior_of(const pair_functions *f, const pair_neighbours *own)
{
    vec sum = ZERO;
    for (int64_t v = 0; v < own->n; v += LANES) {
        vec before = ZERO, within = ZERO;
        for (int64_t m = 0; m < v; m++)
            before += own->fcut[m] * covariance(f, own, m, own->x + v, own->stride);
        for (int64_t m = v; m < v + LANES; m++)
            within += own->fcut[m] * covariance(f, own, m, own->x + v, own->stride);
        sum += (2.0 * before + within) * *(const uvec *)(own->fcut + v);
    }
    return f->variance * total(sum);
}

#endif
