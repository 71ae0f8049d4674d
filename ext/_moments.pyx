"""Thin door to the compiled moment tensors: owns the arrays of a plan, releases the GIL."""

import numpy as np

cimport cython
include "centres.pxi"

from kernelff._soap import available_isas, chosen_isa


cdef extern from "moments.h":
    enum: MOMENTS_PANEL

    ctypedef struct moments_columns:
        int32_t n, n_blocks
        const int64_t *first_support
        const int32_t *support

    ctypedef struct moments_plan:
        int32_t n_species, n_mu, n_beta, mu_stride
        int32_t n_accumulated, n_nodes
        int32_t highest
        double cutoff, min_dist, scaling
        const int32_t *degree
        const int64_t *first_product
        const int32_t *factors
        const double *weights
        moments_columns rows
        const int32_t *scalars
        const int64_t *first_sum
        const int64_t *first_moment
        const int32_t *sums
        const int32_t *moments
        const int32_t *places
        const double *coefficients
        const double *wide

    ctypedef struct tangent_plan:
        int32_t n_panels, n_programs
        moments_columns rows
        const int32_t *columns
        const int32_t *panel_program
        const int64_t *first_start
        const int64_t *first_row
        const int32_t *start
        const int64_t *first_entry
        const int32_t *entries
        const double *entry_weights
        const int32_t *moment_mu
        const int32_t *moment_monomial

    ctypedef struct moments_loops:
        centre_loops loops
        int (*coefficients)(const moments_plan *, const tangent_plan *, const centre_pairs *, const double *,
                            double *, double *) noexcept nogil

    const moments_loops *moments_loops_find(const char *)


MAX_BETA = 64  # of moments.c
PANEL = MOMENTS_PANEL
_MU_STRIDE = 8


def lanes_of(isa=None):
    """Number of float64 that the loops of an instruction set take together, and its name."""
    isa = chosen_isa() if isa is None else isa
    cdef const moments_loops *found = moments_loops_find(isa.encode())
    if found == NULL:
        raise ValueError(f"isa: {isa!r} is not available here. Use one of {', '.join(available_isas())}.")
    return found.loops.lanes, found.loops.isa.decode()


@cython.final
cdef class Loops(CentreLoops):
    """Compiled loops bound to one program and one set of radial coefficients; immutable, shared between threads.

    Parameters
    ----------
    tables : mapping of arrays
        The tables of moments.h by name, made for the lanes of `isa`.
    coefficients : ndarray of shape (n_species, n_species, n_mu, n_beta)
    min_dist, cutoff, scaling : float
    isa : str
    """

    cdef moments_plan plan
    cdef const moments_loops *own_loops
    cdef object kept

    def __init__(self, tables, coefficients, min_dist, cutoff, scaling, isa):
        self.own_loops = moments_loops_find(isa.encode())
        self.loops = &self.own_loops.loops
        self.kept = {name: np.ascontiguousarray(table, dtype=_dtype(name)) for name, table in tables.items()}
        coefficients = np.ascontiguousarray(coefficients, dtype=np.float64)
        cdef moments_plan *plan = &self.plan
        plan.n_species, plan.n_mu, plan.n_beta = coefficients.shape[1:]
        plan.mu_stride = -(-plan.n_mu // _MU_STRIDE) * _MU_STRIDE
        wide = np.zeros((plan.n_species, plan.n_species, plan.n_beta, plan.mu_stride))
        wide[..., : plan.n_mu] = np.swapaxes(coefficients, 2, 3)
        self.kept |= {"coefficients": coefficients, "wide": wide}
        plan.highest = self.kept["degree"].max()
        plan.n_accumulated = ((self.kept["degree"] + 1) ** 2).sum()
        plan.n_nodes = plan.n_accumulated + len(self.kept["first_product"])
        plan.cutoff, plan.min_dist, plan.scaling = cutoff, min_dist, scaling
        plan.degree = <const int32_t *>_at(self.kept["degree"])
        plan.first_product = <const int64_t *>_at(self.kept["first_product"])
        plan.factors = <const int32_t *>_at(self.kept["factors"])
        plan.weights = <const double *>_at(self.kept["weights"])
        plan.rows = _columns(self.kept, len(self.kept["scalars"]))
        plan.scalars = <const int32_t *>_at(self.kept["scalars"])
        plan.first_sum = <const int64_t *>_at(self.kept["first_sum"])
        plan.first_moment = <const int64_t *>_at(self.kept["first_moment"])
        plan.sums = <const int32_t *>_at(self.kept["sums"])
        plan.moments = <const int32_t *>_at(self.kept["moments"])
        plan.places = <const int32_t *>_at(self.kept["places"])
        plan.coefficients = <const double *>_at(coefficients)
        plan.wide = <const double *>_at(wide)
        self.plan_at, self.n_columns = plan, plan.rows.n

    def coefficient_gradients(self, const int64_t[::1] first, const int64_t[::1] j, const double[:, ::1] vectors,
                              const int32_t[::1] species, int64_t start, int64_t stop, Tangents tangents,
                              const double[::1] weights):
        """dE_i/dc (stop - start, n_columns) and d(dE_i/dr_ij)/dc (their pairs, 3, n_columns)."""
        cdef int64_t n_pairs = first[stop] - first[start] if stop > start else 0
        values = np.empty((stop - start, tangents.plan.rows.n))
        rows = np.empty((n_pairs, 3, tangents.plan.rows.n))
        cdef double[:, ::1] out = values
        cdef double[:, :, ::1] slopes = rows
        cdef centre_pairs pairs = _pairs(first, j, vectors, species, start, stop)
        cdef double *slopes_at = &slopes[0, 0, 0] if n_pairs else NULL
        cdef int status
        if stop > start:
            with nogil:
                status = self.own_loops.coefficients(&self.plan, &tangents.plan, &pairs, &weights[0], &out[0, 0],
                                                     slopes_at)
            _raise(status)
        return values, rows


@cython.final
cdef class Tangents:
    """Tables for derivatives by radial coefficients; immutable, shared between threads.

    Parameters
    ----------
    tables : mapping of arrays
        The tables of tangent_plan in moments.h by name, made for the lanes of the loops.
    n_columns : int
        Coefficients of one centre.
    """

    cdef tangent_plan plan
    cdef object kept

    def __init__(self, tables, n_columns):
        self.kept = {name: np.ascontiguousarray(table, dtype=_dtype(name)) for name, table in tables.items()}
        cdef tangent_plan *plan = &self.plan
        plan.n_panels = len(self.kept["panel_program"])
        plan.n_programs = len(self.kept["first_row"]) - 1
        plan.rows = _columns(self.kept, n_columns)
        plan.columns = <const int32_t *>_at(self.kept["columns"])
        plan.panel_program = <const int32_t *>_at(self.kept["panel_program"])
        plan.first_start = <const int64_t *>_at(self.kept["first_start"])
        plan.first_row = <const int64_t *>_at(self.kept["first_row"])
        plan.start = <const int32_t *>_at(self.kept["start"])
        plan.first_entry = <const int64_t *>_at(self.kept["first_entry"])
        plan.entries = <const int32_t *>_at(self.kept["entries"])
        plan.entry_weights = <const double *>_at(self.kept["entry_weights"])
        plan.moment_mu = <const int32_t *>_at(self.kept["moment_mu"])
        plan.moment_monomial = <const int32_t *>_at(self.kept["moment_monomial"])


cdef moments_columns _columns(kept, int32_t n):
    cdef moments_columns columns
    columns.n, columns.n_blocks = n, len(kept["first_support"]) - 1
    columns.first_support = <const int64_t *>_at(kept["first_support"])
    columns.support = <const int32_t *>_at(kept["support"])
    return columns


cdef _dtype(name):
    """Type of a table."""
    return np.int64 if name.startswith("first") else np.float64 if name.endswith("weights") else np.int32


include "moments_potential.pxi"
