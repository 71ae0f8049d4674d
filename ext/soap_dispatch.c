/* Baseline part of the SOAP loops: constants of a plan and the choice of instruction set. */
#include "dispatch.h"
#include "soap.h"

#include <math.h>
#include <string.h>

DISPATCH(soap, centre_loops)

/* Normalised associated Legendre functions without (sin theta)^m, orthonormal real harmonics:
 *   P_mm = start[m],  P_lm = a[l][m] (z P_(l-1)m - b[l][m] P_(l-2)m). */
static void legendre_constants(soap_plan *plan)
{
    double start = sqrt(1.0 / (4.0 * M_PI));
    for (int m = 0; m <= SOAP_MAX_L; m++) {
        if (m > 0)
            start *= sqrt((2.0 * m + 1.0) / (2.0 * m));
        plan->legendre_start[m] = m == 0 ? start : start * sqrt(2.0);
        for (int l = m + 1; l <= SOAP_MAX_L; l++) {
            double l2 = (double)l * l, m2 = (double)m * m, k2 = (l - 1.0) * (l - 1.0);
            plan->legendre_a[l][m] = sqrt((4.0 * l2 - 1.0) / (l2 - m2));
            plan->legendre_b[l][m] = sqrt((k2 - m2) / (4.0 * k2 - 1.0)); /* 0 for l = m + 1 */
        }
    }
}

static void add_source(soap_move *move, int source, double coefficient)
{
    int slot = move->coefficient[0] != 0.0;
    move->source[slot] = source;
    move->coefficient[slot] = coefficient;
}

/* Gradients of real solid harmonics C_m = r^l Y_lm (m > 0: cos m phi), S_m (m < 0: sin |m| phi),
 * from d_z R_m = g R_m, (d_x + i d_y) R_m = p R_(m+1), (d_x - i d_y) R_m = -q R_(m-1) of the complex
 * R_lm = r^l Y_lm (Condon-Shortley), C_m = sqrt2 (-1)^m Re R_m, S_m = sqrt2 (-1)^m Im R_m, m > 0:
 *   d_x C_m = (-p C_(m+1) + q C_(m-1)) / 2      d_x S_m = (-p S_(m+1) + q S_(m-1)) / 2
 *   d_y C_m = (-p S_(m+1) - q S_(m-1)) / 2      d_y S_m = ( p C_(m+1) + q C_(m-1)) / 2
 * with sqrt2 C_0 in place of C_(m-1) for m = 1, S_0 = 0, and for m = 0
 *   d_x C_0 = -p C_1 / sqrt2                    d_y C_0 = -p S_1 / sqrt2. */
static void gradient_moves(soap_plan *plan)
{
    memset(plan->moves, 0, sizeof plan->moves);
    for (int l = 1; l <= plan->l_max; l++) {
        int from = l * l + l, to = (l - 1) * (l - 1) + (l - 1); /* the rows of m = 0 */
        double w = (2.0 * l + 1.0) / (2.0 * l - 1.0);
        for (int m = 0; m <= l; m++) {
            double g = sqrt(w * (l + m) * (l - m)), p = sqrt(w * (l - m) * (l - m - 1.0));
            double q = sqrt(w * (l + m) * (l + m - 1.0)) * (m == 1 ? sqrt(2.0) : 1.0);
            double half = m == 0 ? sqrt(0.5) : 0.5;
            soap_move *x = plan->moves[0] + to, *y = plan->moves[1] + to, *z = plan->moves[2] + to;
            if (m <= l - 1) {
                add_source(z + m, from + m, g);
                if (m > 0)
                    add_source(z - m, from - m, g);
            }
            if (m + 1 <= l - 1) {
                add_source(x + m + 1, from + m, -half * p);
                add_source(y - (m + 1), from + m, -half * p);
                if (m > 0) {
                    add_source(x - (m + 1), from - m, -half * p);
                    add_source(y + m + 1, from - m, half * p);
                }
            }
            if (m > 0) {
                add_source(x + m - 1, from + m, half * q);
                add_source(y + m - 1, from - m, half * q);
                if (m > 1) {
                    add_source(x - (m - 1), from - m, half * q);
                    add_source(y - (m - 1), from + m, -half * q);
                }
            }
        }
    }
}

void soap_plan_init(soap_plan *plan)
{
    plan->n_groups = plan->shared ? 1 : plan->n_species;
    plan->n_channels = plan->n_groups * plan->n_max;
    plan->n_features = (plan->l_max + 1) * plan->n_channels * (plan->n_channels + 1) / 2;
    legendre_constants(plan);
    gradient_moves(plan);
}
