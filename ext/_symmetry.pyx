"""Thin door to the compiled symmetry functions: owns the arrays of a plan, releases the GIL."""

import numpy as np

cimport cython
include "centres.pxi"

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

    const centre_loops *symmetry_loops_find(const char *)


CUTOFF_FUNCTIONS = ("cosine", "tanh3")  # by their number in symmetry.h


@cython.final
cdef class Loops(CentreLoops):
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
        self.plan_at, self.n_columns = plan, plan.n_columns
