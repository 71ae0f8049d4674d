"""What the doors to the compiled descriptors have in common; included by each of them."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free


cdef extern from "centres.h":
    ctypedef struct centre_pairs:
        const int64_t *first
        const int64_t *j
        const double *vectors
        const int32_t *species
        int64_t start, stop

    ctypedef struct centre_loops:
        const char *isa
        int lanes
        int (*compute)(const void *, const centre_pairs *, double *) noexcept nogil
        int (*gradients)(const void *, const centre_pairs *, double *, double *) noexcept nogil
        int (*backward)(const void *, const centre_pairs *, const double *, double *) noexcept nogil

    ctypedef struct centre_kernel:
        const char *isa
        int64_t (*scratch_size)(const void *, int64_t) noexcept nogil
        void (*evaluate)(const void *, const centre_pairs *, void *, double *, double *) noexcept nogil
        int64_t (*n_functions)(const void *) noexcept nogil
        void (*evaluate_rows)(const void *, const centre_pairs *, void *, double *, double *, double *, int64_t,
                              double *) noexcept nogil


cdef extern from "stdlib.h":
    int posix_memalign(void **, size_t, size_t) nogil


cdef class CentreLoops:
    """Compiled loops bound to a plan; a subclass keeps the plan and sets the attributes below."""

    cdef const void *plan_at
    cdef const centre_loops *loops
    cdef int64_t n_columns

    @property
    def isa(self):
        return self.loops.isa.decode()

    @property
    def n_features(self):
        return self.n_columns

    def compute(self, const int64_t[::1] first, const int64_t[::1] j, const double[:, ::1] vectors,
                const int32_t[::1] species, int64_t start, int64_t stop):
        """q (stop - start, n_features) of centres start..stop-1."""
        q = np.empty((stop - start, self.n_columns))
        cdef double[:, ::1] out = q
        cdef centre_pairs pairs = _pairs(first, j, vectors, species, start, stop)
        cdef int status
        if stop > start:
            with nogil:
                status = self.loops.compute(self.plan_at, &pairs, &out[0, 0])
            _raise(status)
        return q

    def gradients(self, const int64_t[::1] first, const int64_t[::1] j, const double[:, ::1] vectors,
                  const int32_t[::1] species, int64_t start, int64_t stop):
        """q (stop - start, n_features) and dq_i/dr_ij (their pairs, 3, n_features)."""
        cdef int64_t n_pairs = first[stop] - first[start] if stop > start else 0
        q = np.empty((stop - start, self.n_columns))
        dq = np.empty((n_pairs, 3, self.n_columns))
        cdef double[:, ::1] out = q
        cdef double[:, :, ::1] slopes = dq
        cdef centre_pairs pairs = _pairs(first, j, vectors, species, start, stop)
        cdef double *slopes_at = &slopes[0, 0, 0] if n_pairs else NULL
        cdef int status
        if stop > start:
            with nogil:
                status = self.loops.gradients(self.plan_at, &pairs, &out[0, 0], slopes_at)
            _raise(status)
        return q, dq

    def backward(self, const int64_t[::1] first, const int64_t[::1] j, const double[:, ::1] vectors,
                 const int32_t[::1] species, int64_t start, int64_t stop, const double[:, ::1] dE_dq):
        """dE_i/dr_ij (pairs of centres start..stop-1, 3) from dE_i/dq_i (stop - start, n_features)."""
        cdef int64_t n_pairs = first[stop] - first[start] if stop > start else 0
        dE_dr = np.zeros((n_pairs, 3))
        cdef double[:, ::1] out = dE_dr
        cdef centre_pairs pairs = _pairs(first, j, vectors, species, start, stop)
        cdef int status
        if n_pairs:
            with nogil:
                status = self.loops.backward(self.plan_at, &pairs, &dE_dq[0, 0], &out[0, 0])
            _raise(status)
        return dE_dr


cdef class CentreKernel:
    """Compiled model bound to its weights; a subclass keeps the plan and sets the attributes below."""

    cdef const void *plan_at
    cdef const centre_kernel *kernel
    cdef int64_t n_elements  # elements are numbers below this

    @property
    def isa(self):
        return self.kernel.isa.decode()

    @property
    def address(self):
        """Where C finds the centre_kernel and the plan, as two whole numbers; they live as long as this object."""
        return <size_t>self.kernel, <size_t>self.plan_at

    @property
    def n_functions(self):
        """Columns of `evaluate_rows`; 0 if this kernel cannot give them."""
        return self.kernel.n_functions(self.plan_at) if self.kernel.n_functions != NULL else 0

    def evaluate(self, const int64_t[::1] first, const int64_t[::1] j, const double[:, ::1] vectors,
                 const int32_t[::1] elements, int64_t start, int64_t stop):
        """Local energies (stop - start,) and de_i/dr_ij (their pairs, 3) of centres start..stop-1."""
        energies, gradients, _ = self._evaluate(first, j, vectors, elements, start, stop, None, 0)
        return energies, gradients

    def evaluate_rows(self, const int64_t[::1] first, const int64_t[::1] j, const double[:, ::1] vectors,
                      const int32_t[::1] elements, int64_t start, int64_t stop, double[:, ::1] rows, int64_t column):
        """`evaluate`, basis functions to rows (stop - start, ..) from a column on, and what they add to the priors."""
        if not self.n_functions or rows.shape[0] < stop - start or rows.shape[1] < column + self.n_functions:
            raise ValueError(f"rows: {rows.shape[0]} of {rows.shape[1]} do not hold {self.n_functions} functions of "
                             f"{stop - start} centres from column {column} on.")
        return self._evaluate(first, j, vectors, elements, start, stop, rows, column)

    cdef _evaluate(self, const int64_t[::1] first, const int64_t[::1] j, const double[:, ::1] vectors,
                   const int32_t[::1] elements, int64_t start, int64_t stop, double[:, ::1] rows, int64_t column):
        cdef int64_t n_pairs = first[stop] - first[start] if stop > start else 0
        cdef int64_t i, most = 0
        energies, gradients = np.zeros(max(stop - start, 0)), np.zeros((n_pairs, 3))
        priors = np.zeros(max(stop - start, 0))
        if stop <= start:
            return energies, gradients, priors
        for i in range(elements.shape[0]):
            if not 0 <= elements[i] < self.n_elements:
                raise ValueError(f"elements: {elements[i]} of atom {i} is not from 0 to {self.n_elements - 1}.")
        for i in range(start, stop):
            most = max(most, first[i + 1] - first[i])
        cdef centre_pairs pairs = _pairs(first, j, vectors, elements, start, stop)
        cdef double[::1] e = energies, k = priors
        cdef double[:, ::1] g = gradients
        cdef double *g_at = &g[0, 0] if n_pairs else NULL
        cdef void *scratch = NULL
        _raise(posix_memalign(&scratch, 64, self.kernel.scratch_size(self.plan_at, most)))
        with nogil:
            if rows is None:
                self.kernel.evaluate(self.plan_at, &pairs, scratch, &e[0], g_at)
            else:
                self.kernel.evaluate_rows(self.plan_at, &pairs, scratch, &e[0], g_at, &rows[0, column], rows.shape[1], &k[0])
            free(scratch)
        return energies, gradients, priors


cdef centre_pairs _pairs(const int64_t[::1] first, const int64_t[::1] j, const double[:, ::1] vectors,
                         const int32_t[::1] species, int64_t start, int64_t stop):
    cdef centre_pairs pairs
    pairs.first = &first[0]
    pairs.j = &j[0] if j.shape[0] else NULL
    pairs.vectors = &vectors[0, 0] if vectors.shape[0] else NULL
    pairs.species = &species[0] if species.shape[0] else NULL
    pairs.start = start
    pairs.stop = stop
    return pairs


cdef _raise(int status):
    if status:
        raise MemoryError("no memory for the scratch of the compiled loops.")


cdef inline const void *_at(array):
    """Address of an array that the caller keeps."""
    return <const void *><size_t>array.ctypes.data
