/* Stages of a time step of the MD loop.
 *
 * Atoms: velocity Verlet; Langevin dynamics as BAOAB, B. Leimkuhler, C. Matthews, Appl. Math. Res. Express 2013, 34,
 * doi:10.1093/amrx/abs010; stochastic velocity rescaling, G. Bussi, D. Donadio, M. Parrinello, J. Chem. Phys. 126, 014101
 * (2007), doi:10.1063/1.2408420; Nose-Hoover chains, G. J. Martyna, M. E. Tuckerman, D. J. Tobias, M. L. Klein, Mol. Phys.
 * 87, 1117 (1996), doi:10.1080/00268979600100761.
 * Cell: the equations of Martyna, Tobias and Klein, J. Chem. Phys. 101, 4177 (1994), doi:10.1063/1.467468, with a symmetric
 * velocity gradient n, so that the cell does not turn:
 *
 *     dx/dt = v + x n,   dv/dt = f / m - v (n + tr n / N),   dh/dt = h n,
 *     W dn/dt = sum m v v' + virial - P V + sum m v^2 / N,   N degrees of freedom of the atoms
 *
 * They conserve K + U + P V + W tr n^2 / 2. An isotropic cell has the average of the diagonal, an anisotropic one the
 * diagonal. */
#ifndef KERNELFF_MD_STAGES_H
#define KERNELFF_MD_STAGES_H

#include "md_private.h"
#include "philox.h"

enum { CELL_STREAM = 1 << 8, RESCALE_STREAM = 1 << 9, MOST_DRAWS = 1 << 20 };

INLINE double sum_of_squares(const double *row) { return row[0] * row[0] + row[1] * row[1] + row[2] * row[2]; }

/* ---- kinetic energy -------------------------------------------------------------------------------- */

static void kinetic_share(md_system *s, int rank)
{
    thread_part *t = &s->own->parts[rank];
    double k[9] = {0};
    for (int64_t i = t->begin; i < t->end; i++) {
        const double *v = s->v + 4 * i;
        for (int a = 0; a < 3; a++)
            for (int b = 0; b <= a; b++)
                k[3 * a + b] += s->mass[i] * v[a] * v[b];
    }
    k[1] = k[3], k[2] = k[6], k[5] = k[7];
    memcpy(t->kinetic, k, sizeof k);
}

static void sum_kinetic(md_system *s)
{
    md_team_run_light(&s->own->team, kinetic_share);
    memset(s->kinetic, 0, sizeof s->kinetic);
    for (int rank = 0; rank < s->n_threads; rank++)
        for (int k = 0; k < 9; k++)
            s->kinetic[k] += s->own->parts[rank].kinetic[k];
}

INLINE double trace(const double *a) { return a[0] + a[4] + a[8]; }

static void scale_share(md_system *s, int rank)
{
    const thread_part *t = &s->own->parts[rank];
    for (int64_t i = 4 * t->begin; i < 4 * t->end; i++)
        s->v[i] *= s->own->scale;
}

static void scale_velocities(md_system *s, double scale)
{
    s->own->scale = scale;
    md_team_run_light(&s->own->team, scale_share);
}

/* ---- positions and velocities ---------------------------------------------------------------------- */

static void kick_share(md_system *s, int rank)
{
    const md_private *p = s->own;
    const thread_part *t = &p->parts[rank];
    for (int64_t i = t->begin; i < t->end; i++) {
        double *v = s->v + 4 * i, h = s->mass[i] > 0.0 ? p->time / s->mass[i] : 0.0;
        if (s->motion)
            apply(p->turn, v);
        for (int c = 0; c < 3; c++)
            v[c] += h * s->f[4 * i + c];
        if (s->motion)
            apply(p->turn, v);
    }
}

static void kick(md_system *s)
{
    md_private *p = s->own;
    if (s->motion) {
        double gradient[9], extra = s->freedom > 0.0 ? trace(s->rate) / s->freedom : 0.0;
        for (int k = 0; k < 9; k++)
            gradient[k] = s->rate[k] + (k % 4 ? 0.0 : extra);
        exponential(gradient, -0.5 * p->time, p->turn);
    }
    md_team_run_light(&p->team, kick_share);
}

static void drift_share(md_system *s, int rank)
{
    const md_private *p = s->own;
    thread_part *t = &p->parts[rank];
    double moved = 0.0, fastest = 0.0;
    t->fastest = t->begin;
    for (int64_t i = t->begin; i < t->end; i++) {
        double *x = s->x + 4 * i, from[3] = {p->x0[3 * i], p->x0[3 * i + 1], p->x0[3 * i + 2]};
        const double *v = s->v + 4 * i;
        double speed = sum_of_squares(v);
        if (!(speed <= fastest)) /* also where it is not a number */
            fastest = speed, t->fastest = i;
        if (s->motion)
            apply(p->turn, x);
        for (int c = 0; c < 3; c++)
            x[c] += p->time * v[c];
        if (s->motion)
            apply(p->turn, x), apply(p->follow, from);
        for (int c = 0; c < 3; c++)
            from[c] = x[c] - from[c];
        double u = sum_of_squares(from);
        moved = u > moved ? u : moved;
    }
    t->moved = moved, t->step2 = fastest;
}

static int check_volume(md_system *s)
{
    double volume = md_volume(s), inverse[9];
    invert(s->cell, inverse);
    if (!(volume >= s->least_volume && volume <= s->most_volume)) {
        s->worst = volume;
        return MD_VOLUME;
    }
    for (int k = 0; k < 3; k++) { /* a cell without resistance to shear would become flat */
        double height = 1.0 / sqrt(SQUARE(inverse[k]) + SQUARE(inverse[3 + k]) + SQUARE(inverse[6 + k]));
        s->worst = height / s->heights[k], s->culprits[0] = k;
        if (!(s->worst < s->most_stretch && s->worst > 1.0 / s->most_stretch))
            return MD_SHAPE;
    }
    return MD_OK;
}

static int drift(md_system *s)
{
    md_private *p = s->own;
    if (s->motion) {
        double cell[9], inverse[9], whole[9];
        exponential(s->rate, 0.5 * p->time, p->turn);
        multiply(p->turn, p->turn, whole);
        multiply(s->cell, whole, cell);
        memcpy(s->cell, cell, sizeof cell);
        invert(p->cell0, inverse);
        multiply(inverse, s->cell, p->follow);
    }
    md_team_run_light(&p->team, drift_share);
    double limit = SQUARE(s->most_step / s->timestep);
    p->moved = 0.0;
    for (int rank = 0; rank < s->n_threads; rank++) {
        const thread_part *t = &p->parts[rank];
        p->moved = t->moved > p->moved ? t->moved : p->moved;
        if (!(t->step2 <= limit)) {
            s->culprits[0] = s->ids[t->fastest];
            s->worst = sqrt(t->step2) * s->timestep;
            return isfinite(t->step2) ? MD_STEP : MD_NOT_FINITE;
        }
    }
    return s->motion ? check_volume(s) : MD_OK;
}

/* ---- thermostats of the atoms ---------------------------------------------------------------------- */

static void noise_share(md_system *s, int rank)
{
    const md_private *p = s->own;
    thread_part *t = &p->parts[rank];
    double normals[3][PHILOX_BATCH];
    int32_t places[PHILOX_BATCH];
    t->heat = 0.0;
    for (int64_t begin = t->begin; begin < t->end; begin += PHILOX_BATCH) {
        int64_t n = t->end - begin < PHILOX_BATCH ? t->end - begin : PHILOX_BATCH;
        for (int64_t u = 0; u < PHILOX_BATCH; u++)
            places[u] = s->ids[begin + (u < n ? u : 0)];
        philox_batch(s->seed, (uint64_t)s->step, places, p->stream, normals);
        for (int64_t u = 0; u < n; u++) {
            double *v = s->v + 4 * (begin + u), mass = s->mass[begin + u], before = sum_of_squares(v);
            double width = mass > 0.0 ? p->draw / sqrt(mass) : 0.0;
            for (int c = 0; c < 3; c++)
                v[c] = p->keep * v[c] + width * normals[c][u];
            t->heat += 0.5 * mass * (sum_of_squares(v) - before);
        }
    }
}

static void noise(md_system *s)
{
    md_private *p = s->own;
    p->keep = exp(-s->friction * p->time);
    p->draw = sqrt((1.0 - SQUARE(p->keep)) * p->kt);
    md_team_run(&p->team, noise_share);
    for (int rank = 0; rank < s->n_threads; rank++)
        s->heat += p->parts[rank].heat;
}

/* Gamma deviate of shape a >= 1/2: G. Marsaglia, W. W. Tsang, ACM Trans. Math. Softw. 26, 363 (2000). */
static double gamma_deviate(const md_system *s, double a)
{
    double boost = 1.0, d, c, normals[4];
    if (a < 1.0) {
        boost = pow(philox_uniform(philox(s->seed, (uint64_t)s->step, 1, RESCALE_STREAM).word[0]), 1.0 / a);
        a += 1.0;
    }
    d = a - 1.0 / 3.0, c = 1.0 / sqrt(9.0 * d);
    for (uint32_t draw = 2; draw < MOST_DRAWS; draw++) { /* all but 5 % of the draws are taken */
        philox_words words = philox(s->seed, (uint64_t)s->step, draw, RESCALE_STREAM);
        philox_normals(words, normals);
        double u = philox_uniform(philox(s->seed, (uint64_t)s->step, draw, RESCALE_STREAM + 1).word[0]);
        double v = 1.0 + c * normals[0];
        v = v * v * v;
        if (v > 0.0 && log(u) < 0.5 * SQUARE(normals[0]) + d - d * v + d * log(v))
            return boost * d * v;
    }
    return a;
}

/* Eq. (A7) of Bussi, Donadio and Parrinello. */
static void rescale(md_system *s)
{
    md_private *p = s->own;
    double normals[4];
    sum_kinetic(s);
    double now = 0.5 * trace(s->kinetic), keep = exp(-p->time / s->relaxation);
    if (!(now > 0.0) || s->freedom < 1.0)
        return;
    philox_normals(philox(s->seed, (uint64_t)s->step, 0, RESCALE_STREAM), normals);
    double one = normals[0], rest = s->freedom > 1.0 ? 2.0 * gamma_deviate(s, 0.5 * (s->freedom - 1.0)) : 0.0;
    double share = 0.5 * p->kt * (1.0 - keep) / now;
    double square = keep + share * (SQUARE(one) + rest) + 2.0 * one * sqrt(keep * share);
    double scale = sqrt(square > 0.0 ? square : 0.0);
    if (one + sqrt(keep / share) < 0.0)
        scale = -scale;
    scale_velocities(s, scale);
    s->heat += now * (SQUARE(scale) - 1.0);
}

/* A Nose-Hoover chain over a time h, with the weights of Suzuki and Yoshida; the factor on the velocities. */
static double chain_step(md_chain *chain, double twice_kinetic, double freedom, double kt, double relaxation, double h)
{
    static const double weights[3] = {1.3512071919596578, -1.7024143839193153, 1.3512071919596578};
    double q = kt * SQUARE(relaxation), scale = 1.0, *v = chain->velocity;
    if (freedom < 1.0) /* one atom that keeps its momentum has nothing to heat */
        return scale;
    for (int part = 0; part < 3; part++) {
        double w = weights[part] * h;
        for (int way = 0; way < 2; way++) { /* from the end of the chain to its head, then back */
            for (int k = way ? 0 : MD_CHAIN - 1; k >= 0 && k < MD_CHAIN; k += way ? 1 : -1) {
                double force = k ? (k == 1 ? freedom * q : q) * SQUARE(v[k - 1]) - kt
                                 : SQUARE(scale) * twice_kinetic - freedom * kt;
                double mass = k ? q : freedom * q, brake = k + 1 < MD_CHAIN ? exp(-0.125 * w * v[k + 1]) : 1.0;
                v[k] = brake * (brake * v[k] + 0.25 * w * force / mass);
            }
            if (way == 0) {
                scale *= exp(-0.5 * w * v[0]);
                for (int k = 0; k < MD_CHAIN; k++)
                    chain->position[k] += 0.5 * w * v[k];
            }
        }
    }
    return scale;
}

static void chain_stage(md_system *s)
{
    md_private *p = s->own;
    sum_kinetic(s);
    scale_velocities(s, chain_step(&s->chain, trace(s->kinetic), s->freedom, p->kt, s->relaxation, 2.0 * p->time));
}

/* ---- the cell -------------------------------------------------------------------------------------- */

/* Leave of a symmetric matrix what this cell may do. */
static void restrict_to(md_cell_motion motion, double *a)
{
    double mean = trace(a) / 3.0;
    for (int k = 0; k < 9 && motion != MD_CELL_FLEXIBLE; k++)
        a[k] = k % 4 ? 0.0 : motion == MD_CELL_ISOTROPIC ? mean : a[k];
}

static double twice_kinetic_of_cell(const md_system *s)
{
    double sum = 0.0;
    for (int k = 0; k < 9; k++)
        sum += SQUARE(s->rate[k]);
    return s->cell_mass * sum;
}

static void cell_kick(md_system *s)
{
    sum_kinetic(s);
    double push[9], pv = md_pressure_now(s) * md_volume(s);
    double extra = s->freedom > 0.0 ? trace(s->kinetic) / s->freedom : 0.0;
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) {
            double virial = 0.5 * (s->virial[3 * a + b] + s->virial[3 * b + a]);
            push[3 * a + b] = s->kinetic[3 * a + b] + virial + (a == b ? extra - pv : 0.0);
        }
    restrict_to(s->motion, push);
    for (int k = 0; k < 9; k++)
        s->rate[k] += s->own->time / s->cell_mass * push[k];
}

static void cell_noise(md_system *s)
{
    double normals[8], before = twice_kinetic_of_cell(s), keep = exp(-s->cell_friction * s->own->time);
    double draw = sqrt((1.0 - SQUARE(keep)) * s->own->kt / s->cell_mass), *n = s->rate;
    philox_normals(philox(s->seed, (uint64_t)s->step, 0, CELL_STREAM + s->own->stream), normals);
    philox_normals(philox(s->seed, (uint64_t)s->step, 1, CELL_STREAM + s->own->stream), normals + 4);
    /* A component off the diagonal counts twice in the kinetic energy. The mean of three on it has a third of their
     * variance, as an isotropic cell should. */
    double kicks[9] = {normals[0], normals[3] * M_SQRT1_2, normals[4] * M_SQRT1_2, normals[3] * M_SQRT1_2, normals[1],
                       normals[5] * M_SQRT1_2, normals[4] * M_SQRT1_2, normals[5] * M_SQRT1_2, normals[2]};
    restrict_to(s->motion, kicks);
    for (int k = 0; k < 9; k++)
        n[k] = keep * n[k] + draw * kicks[k];
    s->heat += 0.5 * (twice_kinetic_of_cell(s) - before);
}

static void cell_chain(md_system *s)
{
    double freedom = md_cell_freedom(s), h = 2.0 * s->own->time;
    double scale = chain_step(&s->cell_chain, twice_kinetic_of_cell(s), freedom, s->own->kt, s->cell_relaxation, h);
    for (int k = 0; k < 9; k++)
        s->rate[k] *= scale;
}

#endif
