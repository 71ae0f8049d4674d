"""The compiled GAP kernel on the loops of a SOAP descriptor; part of the module _soap."""


cdef extern from "gap.h":
    ctypedef struct gap_set:
        int form
        double zeta
        int64_t n_panels

    ctypedef struct gap_plan:
        const soap_plan *soap
        int n_sets
        const gap_set *sets
        const int32_t *set_of

    int GAP_QUADRATIC, GAP_POWER
    int gap_form(int64_t, int64_t, double)
    int gap_set_square(gap_set *, int64_t, const double *) noexcept nogil
    int gap_set_keep(gap_set *, int64_t, int64_t, const double *, double) noexcept nogil
    int gap_set_points(gap_set *, int64_t, int64_t, const double *, const double *, double) noexcept nogil
    int gap_set_split(gap_set *, int64_t, int64_t, const double *, int64_t, const double *) noexcept nogil
    void gap_set_free(gap_set *) noexcept nogil
    const centre_kernel *gap_loops_find(const char *)


cdef enum:
    MAX_SETS = 128  # one per element at most
    N_LEAD = 24  # directions of spectra that single precision leaves in double


@cython.final
cdef class GapKernel(CentreKernel):
    """sum_s w_s (q_i . x_s)^zeta with sparse points and weights bound in; immutable, shared freely between threads.

    Parameters
    ----------
    loops : Loops
        Of the descriptor; the kernel runs on the same instruction set.
    channels_of : int array of shape (n_elements,)
        Place of an element among those that have channels, -1 for one that is not seen.
    set_of : int array of shape (n_elements,)
        Which of the sets a centre of an element belongs to, -1 for none.
    sets : sequence of (points (n_sparse, n_features), weights (n_sparse,))
    zeta : float
        >= 1.
    amplitude : float, optional
        Of the basis functions amplitude (q_i . x_s)^zeta, for `evaluate_rows`.
    single : bool
        Products with sparse points in float32 where they are taken one by one (not with zeta 1, nor with many points and
        zeta 2, where there is little to gain).

    Attributes
    ----------
    row_kernel : GapKernel or None
        Itself where it has `evaluate_rows`.
    """

    cdef soap_plan soap
    cdef gap_plan plan
    cdef gap_set sets[MAX_SETS]
    cdef object kept

    def __init__(self, Loops loops, channels_of, set_of, sets, zeta, amplitude=None, single=False):
        cdef const int32_t[::1] channels = np.ascontiguousarray(channels_of, dtype=np.int32)
        cdef const int32_t[::1] numbers = np.ascontiguousarray(set_of, dtype=np.int32)
        if not zeta >= 1:
            raise ValueError(f"zeta: must be >= 1, got {zeta!r}.")
        if len(sets) > MAX_SETS or len(channels) != len(numbers):
            raise ValueError(f"sets: at most {MAX_SETS}, and one entry of channels_of and set_of for each element.")
        if max(channels_of, default=-1) >= loops.plan.n_species or max(set_of, default=-1) >= len(sets):
            raise ValueError("channels_of, set_of: name a set of channels or of sparse points that does not exist.")
        self.kept = (loops, channels, numbers)
        self.soap = loops.plan
        self.soap.channels_of = &channels[0]
        self.plan.soap = &self.soap
        self.plan.sets = self.sets
        self.plan.set_of = &numbers[0]
        self.n_elements = numbers.shape[0]
        self.plan_at = &self.plan
        self.kernel = gap_loops_find(loops.loops.isa)
        for points, weights in sets:
            self._add(points, weights, zeta, amplitude, single)

    @property
    def row_kernel(self):
        return self if self.n_functions else None

    cdef _add(self, points, weights, double zeta, amplitude, single):
        cdef const double[:, ::1] x = np.ascontiguousarray(points, dtype=np.float64)
        cdef const double[::1] w = np.ascontiguousarray(weights, dtype=np.float64)
        if x.shape[0] != w.shape[0] or x.shape[1] != self.soap.n_features:
            raise ValueError(f"sets: got points {points.shape} and {len(weights)} weights, need {self.soap.n_features} "
                             "features and a weight for each point.")
        cdef const double[:, ::1] A
        cdef const double *x_at = &x[0, 0] if len(w) else NULL
        cdef const double *w_at = &w[0] if len(w) else NULL
        cdef gap_set *new = self.sets + self.plan.n_sets
        cdef const double *v_at
        cdef int status
        if gap_form(x.shape[1], x.shape[0], zeta) == GAP_QUADRATIC:
            A = np.asarray(x).T @ (np.asarray(w)[:, None] * np.asarray(x))
            status = gap_set_square(new, x.shape[1], &A[0, 0])
        else:
            status = gap_set_points(new, x.shape[1], x.shape[0], x_at, w_at, zeta)
        _raise(status)
        self.plan.n_sets += 1
        if single and new.form == GAP_POWER and x.shape[1] > 2 * N_LEAD:
            directions = leading_directions(np.asarray(x), N_LEAD)
            v_at = <const double *>_at(directions)
            _raise(gap_set_split(new, x.shape[1], x.shape[0], x_at, N_LEAD, v_at))
        if amplitude is not None:
            _raise(gap_set_keep(new, x.shape[1], x.shape[0], x_at, amplitude))

    def __dealloc__(self):
        cdef int k
        for k in range(self.plan.n_sets):
            gap_set_free(self.sets + k)


def leading_directions(x, n):
    """Orthonormal rows (n, n_features), about the leading right singular vectors of x, by subspace iteration."""
    found = np.random.default_rng(0).normal(size=(n, x.shape[1]))
    for _ in range(4):
        found = np.linalg.qr(x.T @ (x @ found.T))[0].T
    return np.ascontiguousarray(found)
