"""The loop of molecular dynamics as C declares it; part of the module _md."""


cdef extern from "md.h":
    ctypedef struct md_uncertainty:
        int64_t every
        const uncertainty_loops *loops
        const uncertainty_plan *plan
        int64_t n_functions
        int (*ask)(void *, double *) noexcept nogil
        double *numbers
        double most
        int64_t done

    ctypedef struct md_stage:
        int32_t kind
        double part

    ctypedef struct md_chain:
        double position[4]
        double velocity[4]

    ctypedef enum md_cell_motion:
        MD_CELL_FIXED

    ctypedef enum md_status:
        MD_OK, MD_NO_MEMORY, MD_NOT_FINITE, MD_FORCE, MD_STEP, MD_CLOSE, MD_VOLUME, MD_SHAPE, MD_CROWDED, MD_REST, \
            MD_UNCERTAIN

    ctypedef struct md_system:
        int64_t n
        double *x
        double *v
        double *f
        const double *mass
        const int32_t *numbers
        const int32_t *ids
        int32_t *images
        double cell[9]
        int32_t periodic[3]
        int32_t one_element
        int32_t n_terms, n_threads
        centre_term *terms
        double cutoff, skin
        int (*rest)(void *, double *, double *, double *, double *, double *) noexcept nogil
        void *context
        int32_t n_stages
        md_stage *stages
        double timestep
        double kt[2]
        double pressure[2]
        int64_t step, n_ramp
        double freedom, friction, relaxation
        uint64_t seed
        md_cell_motion motion
        double cell_mass, cell_friction, cell_relaxation
        double rate[9]
        md_chain chain
        md_chain cell_chain
        double heat
        double most_force, most_step, least_distance, least_volume, most_volume
        double heights[3]
        double most_stretch
        int64_t culprits[2]
        double worst
        double energy
        double virial[9]
        double kinetic[9]
        double *energies
        double *virials
        int64_t n_rebuilds, n_pairs
        double rebuild_time, force_time
        md_uncertainty uncertainty

    ctypedef struct md_loops:
        int (*compute)(md_system *) noexcept nogil
        int (*run)(md_system *, int64_t) noexcept nogil
        void (*release)(md_system *) noexcept nogil

    const md_loops *md_loops_find(const char *)
    double md_conserved(const md_system *)
    double md_pressure_now(const md_system *)
    double md_kt_now(const md_system *)
    double md_volume(const md_system *)
    int MD_MAX_TERMS, MD_MAX_THREADS, MD_MAX_STAGES


cdef extern from "philox.h":
    ctypedef struct philox_words:
        uint32_t word[4]

    philox_words philox(uint64_t, uint64_t, uint32_t, uint32_t)
    void philox_normals(philox_words, double *)
