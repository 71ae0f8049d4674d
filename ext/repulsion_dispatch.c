/* The choice of instruction set for the repulsion of nuclei. */
#include "dispatch.h"
#include "repulsion.h"

DISPATCH(repulsion, centre_kernel)
