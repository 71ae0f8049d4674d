/* The choice of instruction set for the symmetry functions. */
#include "dispatch.h"
#include "symmetry.h"

DISPATCH(symmetry, centre_loops)
