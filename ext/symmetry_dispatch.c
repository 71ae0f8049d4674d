/* The choice of instruction set for the symmetry functions. */
#include "symmetry.h"

#include <string.h>

extern const symmetry_loops symmetry_loops_base;
#ifdef KERNELFF_X86
extern const symmetry_loops symmetry_loops_avx2, symmetry_loops_avx512;
#endif

const symmetry_loops *symmetry_loops_find(const char *isa)
{
    if (!strcmp(isa, "base"))
        return &symmetry_loops_base;
#ifdef KERNELFF_X86
    __builtin_cpu_init();
    if (!strcmp(isa, "avx2") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &symmetry_loops_avx2;
    if (!strcmp(isa, "avx512") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
        return &symmetry_loops_avx512;
#endif
    return 0;
}
