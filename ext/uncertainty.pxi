"""Numbers of centres from rows of basis functions; part of the module _uncertainty."""


cdef extern from "uncertainty.h":
    ctypedef enum uncertainty_kind:
        UNCERTAINTY_STD, UNCERTAINTY_NOVELTY, UNCERTAINTY_GRADE

    ctypedef struct uncertainty_block:
        int64_t n, n_panels

    ctypedef struct uncertainty_plan:
        uncertainty_kind kind
        int32_t n_elements
        const int32_t *block_of
        int32_t n_blocks
        const uncertainty_block *blocks
        const double **constants

    ctypedef struct uncertainty_loops:
        const char *isa
        int64_t (*scratch_size)(const uncertainty_plan *) noexcept nogil
        void (*measure)(const uncertainty_plan *, const centre_pairs *, void *, const double *, int64_t, const double *,
                        double *) noexcept nogil

    int UNCERTAINTY_PANEL
    int uncertainty_fill(uncertainty_block *, int64_t, const int32_t *, int64_t, const double *) noexcept nogil
    void uncertainty_free(uncertainty_block *) noexcept nogil
    const uncertainty_loops *uncertainty_loops_find(const char *)
