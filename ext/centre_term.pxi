"""One term of a potential on the compiled kernels; part of the modules _forces and _md."""


cdef extern from "forces.h":
    ctypedef struct centre_term:
        const centre_kernel *kernel
        const void *plan
        double reach
        const centre_kernel *row_kernel
        const void *row_plan
        int64_t column
