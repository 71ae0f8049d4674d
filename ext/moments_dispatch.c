/* The choice of instruction set for the moment tensors. */
#include "moments.h"

#include <string.h>

extern const moments_loops moments_loops_base;
#ifdef KERNELFF_X86
extern const moments_loops moments_loops_avx2, moments_loops_avx512;
#endif

const moments_loops *moments_loops_find(const char *isa)
{
    if (!strcmp(isa, "base"))
        return &moments_loops_base;
#ifdef KERNELFF_X86
    __builtin_cpu_init();
    if (!strcmp(isa, "avx2") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &moments_loops_avx2;
    if (!strcmp(isa, "avx512") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
        return &moments_loops_avx512;
#endif
    return 0;
}
