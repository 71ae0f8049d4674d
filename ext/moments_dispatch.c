/* The choice of instruction set for the moment tensors. */
#include "dispatch.h"
#include "moments.h"

DISPATCH(moments, moments_loops)
