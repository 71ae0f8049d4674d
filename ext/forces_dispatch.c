/* The choice of instruction set for forces of a list. */
#include "dispatch.h"
#include "forces.h"

DISPATCH(force, force_loops)
