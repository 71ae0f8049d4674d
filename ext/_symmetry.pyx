"""Thin door to the compiled symmetry functions: owns the arrays of a plan, releases the GIL."""

import numpy as np

cimport cython
from libc.stdint cimport int32_t, int64_t

from kernelff._soap import available_isas, chosen_isa


cdef extern from "symmetry.h":
    ctypedef struct symmetry_radial:
        pass

    ctypedef struct symmetry_angular:
        pass

    ctypedef struct symmetry_two_body:
        pass

    ctypedef struct symmetry_group:
        pass

    ctypedef struct symmetry_member:
        pass

    ctypedef struct symmetry_run:
        pass

    ctypedef struct symmetry_plan:
        int32_t n_species, n_columns, cutoff_kind
        int32_t n_radials, n_angulars, n_two_bodies, n_groups, n_runs
        double cutoff
        const double *numbers
        const symmetry_radial *radials
        const symmetry_angular *angulars
        const symmetry_two_body *two_bodies
        const symmetry_group *groups
        const symmetry_member *members
        const symmetry_run *runs
        const int32_t *run_angulars
        const int32_t *run_closed
        const double *factors
        const double *offsets

    ctypedef struct symmetry_pairs:
        const int64_t *first
        const int64_t *j
        const double *vectors
        const int32_t *species
        int64_t start, stop

    ctypedef struct symmetry_loops:
        const char *isa
        int (*compute)(const symmetry_plan *, const symmetry_pairs *, double *) noexcept nogil
        int (*gradients)(const symmetry_plan *, const symmetry_pairs *, double *, double *) noexcept nogil
        int (*backward)(const symmetry_plan *, const symmetry_pairs *, const double *, double *) noexcept nogil

    const symmetry_loops *symmetry_loops_find(const char *)


CUTOFF_FUNCTIONS = ("cosine", "tanh3")  # by their number in symmetry.h


@cython.final
cdef class Loops:
    """Compiled loops bound to one list of symmetry functions; immutable, shared freely between threads.

    Parameters
    ----------
    tables : mapping of arrays
        The tables of symmetry.h by name: rows of integers for its structs of integers, of
        doubles for the others; "factors" and "offsets" of shape (n_species, n_columns).
    cutoff_function : str
    isa : str, optional
    """

    cdef symmetry_plan plan
    cdef const symmetry_loops *loops
    cdef object kept

    def __init__(self, tables, cutoff_function, isa=None):
        isa = chosen_isa() if isa is None else isa
        self.loops = symmetry_loops_find(isa.encode())
        if self.loops == NULL:
            raise ValueError(f"isa: {isa!r} is not available here. Use one of {', '.join(available_isas())}.")
        reals = ("numbers", "radials", "angulars", "factors", "offsets")
        self.kept = {
            name: np.ascontiguousarray(table, dtype=np.float64 if name in reals else np.int32)
            for name, table in tables.items()
        }
        cdef symmetry_plan *plan = &self.plan
        plan.cutoff_kind = CUTOFF_FUNCTIONS.index(cutoff_function)
        plan.n_species, plan.n_columns = self.kept["factors"].shape
        plan.n_radials, plan.n_angulars = len(self.kept["radials"]), len(self.kept["angulars"])
        plan.n_two_bodies, plan.n_groups = len(self.kept["two_bodies"]), len(self.kept["groups"])
        plan.n_runs = len(self.kept["runs"])
        plan.cutoff = self.kept["radials"][:, 2].max()
        plan.numbers = <const double *>_at(self.kept["numbers"])
        plan.radials = <const symmetry_radial *>_at(self.kept["radials"])
        plan.angulars = <const symmetry_angular *>_at(self.kept["angulars"])
        plan.two_bodies = <const symmetry_two_body *>_at(self.kept["two_bodies"])
        plan.groups = <const symmetry_group *>_at(self.kept["groups"])
        plan.members = <const symmetry_member *>_at(self.kept["members"])
        plan.runs = <const symmetry_run *>_at(self.kept["runs"])
        plan.run_angulars = <const int32_t *>_at(self.kept["run_angulars"])
        plan.run_closed = <const int32_t *>_at(self.kept["run_closed"])
        plan.factors = <const double *>_at(self.kept["factors"])
        plan.offsets = <const double *>_at(self.kept["offsets"])

    @property
    def isa(self):
        return self.loops.isa.decode()

    def compute(self, const int64_t[::1] first, const int64_t[::1] j, const double[:, ::1] vectors,
                const int32_t[::1] species, int64_t start, int64_t stop):
        """q (stop - start, n_columns) of centres start..stop-1."""
        q = np.empty((stop - start, self.plan.n_columns))
        cdef double[:, ::1] out = q
        cdef symmetry_pairs pairs = _pairs(first, j, vectors, species, start, stop)
        cdef int status
        if stop > start:
            with nogil:
                status = self.loops.compute(&self.plan, &pairs, &out[0, 0])
            _raise(status)
        return q

    def gradients(self, const int64_t[::1] first, const int64_t[::1] j, const double[:, ::1] vectors,
                  const int32_t[::1] species, int64_t start, int64_t stop):
        """q (stop - start, n_columns) and dq_i/dr_ij (their pairs, 3, n_columns)."""
        cdef int64_t n_pairs = first[stop] - first[start] if stop > start else 0
        q = np.empty((stop - start, self.plan.n_columns))
        dq = np.zeros((n_pairs, 3, self.plan.n_columns))
        cdef double[:, ::1] out = q
        cdef double[:, :, ::1] slopes = dq
        cdef symmetry_pairs pairs = _pairs(first, j, vectors, species, start, stop)
        cdef double *slopes_at = &slopes[0, 0, 0] if n_pairs else NULL
        cdef int status
        if stop > start:
            with nogil:
                status = self.loops.gradients(&self.plan, &pairs, &out[0, 0], slopes_at)
            _raise(status)
        return q, dq

    def backward(self, const int64_t[::1] first, const int64_t[::1] j, const double[:, ::1] vectors,
                 const int32_t[::1] species, int64_t start, int64_t stop, const double[:, ::1] dE_dq):
        """dE_i/dr_ij (pairs of centres start..stop-1, 3) from dE_i/dq_i (stop - start, n_columns)."""
        cdef int64_t n_pairs = first[stop] - first[start] if stop > start else 0
        dE_dr = np.zeros((n_pairs, 3))
        cdef double[:, ::1] out = dE_dr
        cdef symmetry_pairs pairs = _pairs(first, j, vectors, species, start, stop)
        cdef int status
        if n_pairs:
            with nogil:
                status = self.loops.backward(&self.plan, &pairs, &dE_dq[0, 0], &out[0, 0])
            _raise(status)
        return dE_dr


cdef const void *_at(array):
    """Address of an array that the caller keeps."""
    return <const void *><size_t>array.ctypes.data


cdef symmetry_pairs _pairs(const int64_t[::1] first, const int64_t[::1] j, const double[:, ::1] vectors,
                           const int32_t[::1] species, int64_t start, int64_t stop):
    cdef symmetry_pairs pairs
    pairs.first = &first[0]
    pairs.j = &j[0] if j.shape[0] else NULL
    pairs.vectors = &vectors[0, 0] if vectors.shape[0] else NULL
    pairs.species = &species[0] if species.shape[0] else NULL
    pairs.start = start
    pairs.stop = stop
    return pairs


cdef _raise(int status):
    if status:
        raise MemoryError("symmetry functions: no memory for their scratch.")
