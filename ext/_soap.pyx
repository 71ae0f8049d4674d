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
        const double *pieces

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
        cdef const double[::1] pieces
        self.kept = [index, centre]
        for t, (split, steps, n_intervals, values) in enumerate(tables):
            pieces = _to_lanes(_pieces(values, n_intervals), self.loops.lanes)
            self.kept.append(pieces)
            self.tables[t].pieces = &pieces[0]
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


def _pieces(knots, n_intervals):
    """Values and derivatives at the knots (knot, l, 3, n) -> coefficients of the pieces between them (piece, l, 6, n)."""
    begin = np.concatenate([np.arange(n_intervals[0]), n_intervals[0] + 1 + np.arange(n_intervals[1])])
    (f0, f1, f2), (g0, g1, g2) = (np.moveaxis(knots[k], 2, 0) for k in (begin, begin + 1))
    value, slope, bend = g0 - f0 - f1 - 0.5 * f2, g1 - f1 - f2, 0.5 * (g2 - f2)  # what the first three leave at t = 1
    cubic = 10.0 * value - 4.0 * slope + bend
    quartic = -15.0 * value + 7.0 * slope - 2.0 * bend
    quintic = 6.0 * value - 3.0 * slope + bend
    return np.stack([f0, f1, 0.5 * f2, cubic, quartic, quintic], axis=2)


def _to_lanes(values, lanes):
    """(piece, l, 6, n) -> flat, 64-byte aligned [piece][n_vectors][l][6][lanes], padded with zeros."""
    n_pieces, n_l, n_terms, n_max = values.shape
    n_vectors = -(-n_max // lanes)
    padded = np.zeros((n_pieces, n_l, n_terms, n_vectors * lanes))
    padded[..., :n_max] = values
    packed = padded.reshape(n_pieces, n_l, n_terms, n_vectors, lanes).transpose(0, 3, 1, 2, 4)
    room = np.empty(packed.size + 8)
    skip = -(room.ctypes.data // 8) % 8
    flat = room[skip : skip + packed.size]
    flat[:] = packed.ravel()
    return flat
