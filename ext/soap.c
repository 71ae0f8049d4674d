/* SOAP loops, compiled once per instruction set with -DISA=... -DLANES=.... */
#include "soap_derivatives.h"

static int compute(const void *of, const centre_pairs *pairs, double *q)
{
    const soap_plan *plan = of;
    scratch s;
    void *memory = open_scratch(&s, plan, pairs, VALUES);
    if (!memory)
        return SOAP_NO_MEMORY;
    for (int64_t i = pairs->start; i < pairs->stop; i++, q += plan->n_features) {
        look_around(&s, plan, pairs, i);
        find_harmonics(&s, plan);
        spectrum(&s, plan, pairs, i);
        memcpy(q, s.p, (size_t)plan->n_features * sizeof(double));
    }
    free(memory);
    return SOAP_OK;
}

static int backward(const void *of, const centre_pairs *pairs, const double *dE_dq, double *dE_dr)
{
    const soap_plan *plan = of;
    scratch s;
    void *memory = open_scratch(&s, plan, pairs, ADJOINT);
    if (!memory)
        return SOAP_NO_MEMORY;
    int64_t first_pair = pairs->first[pairs->start];
    memset(dE_dr, 0, (size_t)(pairs->first[pairs->stop] - first_pair) * 3 * sizeof(double));
    for (int64_t i = pairs->start; i < pairs->stop; i++, dE_dq += plan->n_features) {
        look_around(&s, plan, pairs, i);
        find_harmonics(&s, plan);
        spectrum(&s, plan, pairs, i);
        double along = 0.0; /* part of dE/dq along q, which normalisation removes */
        if (plan->normalize)
            for (int64_t d = 0; d < plan->n_features; d++)
                along += dE_dq[d] * s.p[d];
        for (int64_t d = 0; d < plan->n_features; d++)
            s.g[d] = (dE_dq[d] - along * s.p[d]) * s.packed_weights[d] * s.scale;
        adjoint(&s, plan, (double (*)[3])dE_dr, first_pair);
    }
    free(memory);
    return SOAP_OK;
}

const centre_loops JOIN(soap_loops_, ISA) = {TEXT(ISA), LANES, compute, gradients, backward};
