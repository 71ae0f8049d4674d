"""Thin door to the compiled SOAP loops: owns the arrays of a plan, releases the GIL."""

import os

import numpy as np

cimport cython
include "centres.pxi"


cdef extern from "soap.h":
    ctypedef struct soap_table:
        double split
        double inverse_step[2]
        int64_t n_intervals[2]
        const double *knots

    ctypedef struct soap_plan:
        int n_species, n_max, l_max, normalize, shared
        double cutoff
        const soap_table *tables
        const int32_t *table_of
        const int32_t *channels_of
        const double *central
        int n_channels, n_features

    void soap_plan_init(soap_plan *)
    const centre_loops *soap_loops_find(const char *)
    int SOAP_MAX_L


cdef enum:
    MAX_TABLES = 128  # one per element at most

ISAS = ("avx512", "avx2", "base")
MAX_L = SOAP_MAX_L


def available_isas():
    """Instruction sets this build and this CPU have, fastest first."""
    return tuple(isa for isa in ISAS if soap_loops_find(isa.encode()) != NULL)


def chosen_isa():
    """The fastest available set, or the one forced by KERNELFF_ISA."""
    forced = os.environ.get("KERNELFF_ISA")
    available = available_isas()
    if forced is None:
        return available[0]
    if forced not in available:
        raise ValueError(f"KERNELFF_ISA={forced!r} is not available here. Use one of {', '.join(available)}, or unset it.")
    return forced


@cython.final
cdef class Loops(CentreLoops):
    """Compiled loops bound to one set of radial tables; immutable, shared freely between threads.

    Parameters
    ----------
    cutoff : float
    tables : sequence of (split, steps (2,), n_intervals (2,), knots (n_knots, l_max + 1, 3, n_max))
    table_of : int array of shape (n_species, n_species)
    central : array of shape (1 + n_species, n_channels)
        Added to c_n00 of a centre of an element without channels, then of each species.
    shared : bool
        Neighbours of all species add to the same n_max channels, instead of channels of their own.
    normalize : bool
    isa : str, optional
    """

    cdef soap_plan plan
    cdef soap_table tables[MAX_TABLES]
    cdef object kept

    def __init__(self, cutoff, tables, table_of, central, shared, normalize, isa=None):
        isa = chosen_isa() if isa is None else isa
        self.loops = soap_loops_find(isa.encode())
        if self.loops == NULL:
            raise ValueError(f"isa: {isa!r} is not available here. Use one of {', '.join(available_isas())}.")
        if len(tables) > MAX_TABLES:
            raise ValueError(f"tables: {len(tables)} given, at most {MAX_TABLES} are supported.")
        cdef const int32_t[:, ::1] index = np.ascontiguousarray(table_of, dtype=np.int32)
        cdef const double[:, ::1] centre = np.ascontiguousarray(central, dtype=np.float64)
        cdef const double[::1] knots
        self.kept = [index, centre]
        for t, (split, steps, n_intervals, values) in enumerate(tables):
            knots = _to_lanes(values, self.loops.lanes)
            self.kept.append(knots)
            self.tables[t].knots = &knots[0]
            self.tables[t].split = split
            for segment in range(2):
                self.tables[t].inverse_step[segment] = 1.0 / steps[segment] if n_intervals[segment] else 0.0
                self.tables[t].n_intervals[segment] = n_intervals[segment]
        self.plan.n_species = index.shape[0]
        self.plan.n_max = tables[0][3].shape[3]
        self.plan.l_max = tables[0][3].shape[1] - 1
        self.plan.shared = shared
        self.plan.normalize = normalize
        self.plan.cutoff = cutoff
        self.plan.tables = self.tables
        self.plan.table_of = &index[0, 0]
        self.plan.central = &centre[0, 0]
        soap_plan_init(&self.plan)
        self.plan_at, self.n_columns = &self.plan, self.plan.n_features
        if (centre.shape[0], centre.shape[1]) != (self.plan.n_species + 1, self.plan.n_channels):
            raise ValueError(f"central: must be {self.plan.n_species + 1} rows of {self.plan.n_channels} channels.")


include "gap.pxi"


def _to_lanes(values, lanes):
    """(knot, l, 3, n) -> flat, 64-byte aligned [knot][n_vectors][l][3][lanes], padded with zeros."""
    n_knots, n_l, _, n_max = values.shape
    n_vectors = -(-n_max // lanes)
    padded = np.zeros((n_knots, n_l, 3, n_vectors * lanes))
    padded[..., :n_max] = values
    packed = padded.reshape(n_knots, n_l, 3, n_vectors, lanes).transpose(0, 3, 1, 2, 4)
    room = np.empty(packed.size + 8)
    skip = -(room.ctypes.data // 8) % 8
    flat = room[skip : skip + packed.size]
    flat[:] = packed.ravel()
    return flat
