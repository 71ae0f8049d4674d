/* The choice of instruction set for moment tensor potentials in both precisions. */
#include "dispatch.h"
#include "moments_potential.h"

DISPATCH(moments_double, centre_kernel)
DISPATCH(moments_single, centre_kernel)
