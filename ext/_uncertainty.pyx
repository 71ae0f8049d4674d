"""Thin door to what rows of basis functions say of the centres: owns the packed matrices, releases the GIL."""

import numpy as np

cimport cython
include "centres.pxi"
include "uncertainty.pxi"

ISAS = ("avx512", "avx2", "base")
KINDS = {"std": UNCERTAINTY_STD, "novelty": UNCERTAINTY_NOVELTY, "grade": UNCERTAINTY_GRADE}


def available_isas():
    """Instruction sets this build and this CPU have, fastest first."""
    return tuple(isa for isa in ISAS if uncertainty_loops_find(isa.encode()) != NULL)


cdef enum:
    MAX_BLOCKS = 128  # one per element at most
    MAX_ELEMENTS = 128


@cython.final
cdef class RowMeasure:
    """One number of each centre from its row of basis functions; immutable, shared freely between threads.

    Parameters
    ----------
    kind : str
        "std": |row T'|; "novelty": sqrt(1 - |row T'|^2 / prior); "grade": max |row T' + c|.
    blocks : sequence of (columns (n,), T (n_rows, n))
        Ascending columns of a row, and the matrix, for the centres that have these functions alone.
    block_of : int array of shape (n_elements,)
        Atomic number -> block, -1 for elements that are not known.
    constants : array of shape (n_elements, n_rows), optional
        c of each element, of "grade".
    isa : str
    """

    cdef uncertainty_plan plan
    cdef uncertainty_block blocks[MAX_BLOCKS]
    cdef const double *constants[MAX_ELEMENTS]
    cdef const uncertainty_loops *loops
    cdef object kept
    cdef int64_t least_columns

    def __init__(self, kind, blocks, block_of, constants=None, isa=ISAS[0]):
        self.loops = uncertainty_loops_find(isa.encode())
        if self.loops == NULL:
            raise ValueError(f"isa: {isa!r} is not available here. Use one of {', '.join(available_isas())}.")
        block_of = np.array(block_of, dtype=np.int32)
        if len(block_of) > MAX_ELEMENTS or len(blocks) > MAX_BLOCKS or (len(block_of) and block_of.max() >= len(blocks)):
            raise ValueError(f"block_of: numbers {len(blocks)} blocks of at most {MAX_BLOCKS}, got {block_of}.")
        self.kept = [block_of]
        self.plan.kind = KINDS[kind]
        self.plan.n_elements = len(block_of)
        self.plan.block_of = <const int32_t *>_at(block_of)
        self.plan.blocks, self.plan.constants = self.blocks, self.constants
        for columns, T in blocks:
            self._add(columns, T)
        if constants is not None:
            self._add_constants(np.asarray(constants, dtype=np.float64))

    cdef _add(self, columns, T):
        columns, T = np.ascontiguousarray(columns, dtype=np.int32), np.ascontiguousarray(T, dtype=np.float64)
        if T.ndim != 2 or T.shape[1] != len(columns) or (len(columns) and (np.diff(columns, prepend=-1) < 1).any()):
            raise ValueError(f"blocks: need ascending columns and a matrix with as many, got {T.shape} for {columns}.")
        self.least_columns = max(self.least_columns, columns.max(initial=-1) + 1)
        _raise(uncertainty_fill(self.blocks + self.plan.n_blocks, len(columns), <const int32_t *>_at(columns), len(T),
                                <const double *>_at(T)))
        self.plan.n_blocks += 1

    cdef _add_constants(self, constants):
        cdef int64_t z, n = 0
        for z in range(self.plan.n_blocks):
            n = max(n, self.blocks[z].n_panels * UNCERTAINTY_PANEL)
        padded = np.zeros((self.plan.n_elements, max(n, constants.shape[1])))
        padded[:, :constants.shape[1]] = constants
        self.kept.append(padded)
        for z in range(self.plan.n_elements):
            self.constants[z] = <const double *>_at(padded[z])

    @property
    def isa(self):
        return self.loops.isa.decode()

    @property
    def address(self):
        """Where C finds the loops and the plan, as two whole numbers; they live as long as this object."""
        return <size_t>self.loops, <size_t>&self.plan

    def measure(self, const int32_t[::1] elements, const double[:, ::1] rows, const double[::1] priors):
        """Numbers (n_centres,) of centres from their elements, rows (n_centres, n_functions) and priors (n_centres,)."""
        cdef int64_t n = elements.shape[0]
        if rows.shape[0] < n or priors.shape[0] < n or (n and rows.shape[1] < self.least_columns):
            raise ValueError(f"rows: need {n} of {self.least_columns} columns and as many priors, got {rows.shape[0]} of "
                             f"{rows.shape[1]}, {priors.shape[0]}.")
        numbers = np.zeros(n)
        if not n:
            return numbers
        cdef double[::1] out = numbers
        cdef centre_pairs pairs
        pairs.first, pairs.j, pairs.vectors, pairs.species = NULL, NULL, NULL, &elements[0]
        pairs.start, pairs.stop = 0, n
        cdef void *scratch = NULL
        cdef const double *rows_at = &rows[0, 0] if rows.shape[1] else NULL
        _raise(posix_memalign(&scratch, 64, self.loops.scratch_size(&self.plan)))
        with nogil:
            self.loops.measure(&self.plan, &pairs, scratch, rows_at, rows.shape[1], &priors[0], &out[0])
            free(scratch)
        return numbers

    def __dealloc__(self):
        cdef int k
        for k in range(self.plan.n_blocks):
            uncertainty_free(self.blocks + k)
