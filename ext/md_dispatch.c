/* Baseline part of the MD loop: its few numbers per step, and the choice of instruction set. */
#include "dispatch.h"
#include "md.h"

#include <math.h>

DISPATCH(md, md_loops)

static double ramp(const md_system *s, const double *ends)
{
    double share = s->n_ramp > 0 ? (double)s->step / (double)s->n_ramp : 1.0;
    return ends[0] + (ends[1] - ends[0]) * (share < 1.0 ? share : 1.0);
}

double md_pressure_now(const md_system *s) { return ramp(s, s->pressure); }
double md_kt_now(const md_system *s) { return ramp(s, s->kt); }

double md_volume(const md_system *s)
{
    const double *a = s->cell, *b = a + 3, *c = a + 6;
    return fabs(a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0]));
}

double md_cell_freedom(const md_system *s)
{
    return s->motion == MD_CELL_ISOTROPIC ? 1.0 : s->motion == MD_CELL_ANISOTROPIC ? 3.0 : 6.0;
}

static double chain_energy(const md_chain *chain, double freedom, double kt, double relaxation)
{
    double q = kt * relaxation * relaxation, energy = 0.0;
    for (int k = 0; k < MD_CHAIN; k++) {
        double one = 0.5 * q * chain->velocity[k] * chain->velocity[k] + kt * chain->position[k];
        energy += k ? one : freedom * one;
    }
    return energy;
}

double md_conserved(const md_system *s)
{
    double kt = md_kt_now(s), energy = s->energy - s->heat;
    energy += 0.5 * (s->kinetic[0] + s->kinetic[4] + s->kinetic[8]);
    energy += chain_energy(&s->chain, s->freedom, kt, s->relaxation);
    if (!s->motion)
        return energy;
    for (int k = 0; k < 9; k++)
        energy += 0.5 * s->cell_mass * s->rate[k] * s->rate[k];
    energy += chain_energy(&s->cell_chain, md_cell_freedom(s), kt, s->cell_relaxation);
    return energy + md_pressure_now(s) * md_volume(s);
}
