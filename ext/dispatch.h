/* The choice of instruction set: DISPATCH(soap, centre_loops) defines soap_loops_find over the
 * tables soap_loops_base, _avx2 and _avx512 of that type. */
#include "centres.h"

#include <string.h>

#ifdef KERNELFF_X86
#define DECLARE_WIDE(name, table) extern const table name##_loops_avx2, name##_loops_avx512;
#define CHOOSE_WIDE(name) \
    __builtin_cpu_init(); \
    if (!strcmp(isa, "avx2") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) \
        return &name##_loops_avx2; \
    if (!strcmp(isa, "avx512") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && \
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma")) \
        return &name##_loops_avx512;
#else
#define DECLARE_WIDE(name, table)
#define CHOOSE_WIDE(name)
#endif

#define DISPATCH(name, table) \
    extern const table name##_loops_base; \
    DECLARE_WIDE(name, table) \
    const table *name##_loops_find(const char *isa) \
    { \
        if (!strcmp(isa, "base")) \
            return &name##_loops_base; \
        CHOOSE_WIDE(name) \
        return 0; \
    }
