"""Thin door to the compiled moment tensors: owns the arrays of a plan, releases the GIL."""

import numpy as np

cimport cython
include "centres.pxi"

from kernelff._soap import available_isas, chosen_isa


cdef extern from "moments.h":
    ctypedef struct moments_plan:
        int32_t n_species, n_mu, n_beta, mu_stride
        int32_t n_accumulated, n_nodes, n_scalars, n_blocks
        int32_t highest
        double cutoff, min_dist, scaling
        const int32_t *degree
        const int64_t *first_product
        const int32_t *factors
        const double *weights
        const int32_t *scalars
        const int64_t *first_sum
        const int64_t *first_moment
        const int32_t *sums
        const int32_t *moments
        const int32_t *places
        const int64_t *first_support
        const int32_t *support
        const double *coefficients
        const double *wide

    const centre_loops *moments_loops_find(const char *)


MAX_BETA = 64  # of moments.c
_MU_STRIDE = 8


def lanes_of(isa=None):
    """Number of float64 that the loops of an instruction set take together, and its name."""
    isa = chosen_isa() if isa is None else isa
    cdef const centre_loops *loops = moments_loops_find(isa.encode())
    if loops == NULL:
        raise ValueError(f"isa: {isa!r} is not available here. Use one of {', '.join(available_isas())}.")
    return loops.lanes, loops.isa.decode()


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
    cdef object kept

    def __init__(self, tables, coefficients, min_dist, cutoff, scaling, isa):
        self.loops = moments_loops_find(isa.encode())
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
        plan.n_scalars = len(self.kept["scalars"])
        plan.n_blocks = len(self.kept["first_support"]) - 1
        plan.cutoff, plan.min_dist, plan.scaling = cutoff, min_dist, scaling
        plan.degree = <const int32_t *>_at(self.kept["degree"])
        plan.first_product = <const int64_t *>_at(self.kept["first_product"])
        plan.factors = <const int32_t *>_at(self.kept["factors"])
        plan.weights = <const double *>_at(self.kept["weights"])
        plan.scalars = <const int32_t *>_at(self.kept["scalars"])
        plan.first_sum = <const int64_t *>_at(self.kept["first_sum"])
        plan.first_moment = <const int64_t *>_at(self.kept["first_moment"])
        plan.sums = <const int32_t *>_at(self.kept["sums"])
        plan.moments = <const int32_t *>_at(self.kept["moments"])
        plan.places = <const int32_t *>_at(self.kept["places"])
        plan.first_support = <const int64_t *>_at(self.kept["first_support"])
        plan.support = <const int32_t *>_at(self.kept["support"])
        plan.coefficients = <const double *>_at(coefficients)
        plan.wide = <const double *>_at(wide)
        self.plan_at, self.n_columns = plan, plan.n_scalars


cdef _dtype(name):
    """Type of a table."""
    return np.int64 if name.startswith("first") else np.float64 if name == "weights" else np.int32
