/* The choice of instruction set for energies of pairs. */
#include "dispatch.h"
#include "pair_tables.h"

DISPATCH(pair, centre_kernel)
