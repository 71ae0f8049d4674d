"""Streamed QR: fold rows into a triangular factor, on the BLAS that scipy brings, without the GIL."""

from libc.math cimport copysign, hypot, sqrt
from libc.stdlib cimport free, malloc
from scipy.linalg.cython_blas cimport ddot, dgemm, dgemv, dger, dscal, dtrmm, dtrmv

cdef enum:
    PANEL = 64   # columns factored at a time
    LEAF = 8     # columns factored by matrix-vector products
    CHUNK = 768  # rows folded at a time: a chunk stays in cache, the flop count does not change


def fold(double[:, ::1] factor, double[:, ::1] rows):
    """Fold rows into a triangular factor: R'R <- R'R + rows'rows by Householder reflections.

    Parameters
    ----------
    factor : ndarray of shape (m, m)
        Upper triangular; replaced by the new factor, its diagonal >= 0. What
        stands below the diagonal is neither read nor written.
    rows : ndarray of shape (n, m)
        Any n >= 0; overwritten (workspace, so that nothing is copied).

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Notes
    -----
    2 n m^2 operations. Reflectors have the form [e_k; v], as in LAPACK's dtpqrt, which needs
    column-major blocks; here only a panel of 64 columns is transposed. Cholesky of
    R'R + rows'rows would take half the work and lose half the digits.
    """
    cdef int m = <int>factor.shape[1], n = <int>rows.shape[0], start, count, status = 0
    if factor.shape[0] != m or rows.shape[1] != m:
        raise ValueError(
            f"rows: {rows.shape[1]} columns do not fit a factor of shape {factor.shape[0]} x {factor.shape[1]}."
        )
    cdef double *work
    if n == 0 or m == 0:
        return
    with nogil:
        work = <double *>malloc(sizeof(double) * (<size_t>CHUNK * PANEL + PANEL * PANEL + <size_t>m * PANEL))
        if work != NULL:
            start = 0
            while start < n:
                count = min(CHUNK, n - start)
                _fold_chunk(&factor[0, 0], m, &rows[start, 0], count, work)
                start += count
            _positive_diagonal(&factor[0, 0], m)
            free(work)
        else:
            status = 1
    if status:
        raise MemoryError("fold: no memory for the workspace.")


cdef void _fold_chunk(double *R, int m, double *rows, int n, double *work) noexcept nogil:
    """One chunk: panel by panel, apply each block reflector to the columns right of it."""
    cdef double *V = work
    cdef double *T = V + CHUNK * PANEL
    cdef double *W = T + PANEL * PANEL
    cdef double one = 1.0, minus = -1.0
    cdef int p, j, w, i, k, rest, ld = PANEL
    for p in range((m + PANEL - 1) // PANEL):
        j = p * PANEL
        w = min(PANEL, m - j)
        rest = m - j - w
        for i in range(n):
            for k in range(w):
                V[k * n + i] = rows[<size_t>i * m + j + k]
        _factor_panel(R + <size_t>j * m + j, m, V, n, w, T, PANEL)
        if rest == 0:
            break
        # row-major arrays are column-major transposes: W' = C1' + C2' V, W' <- W' T, C1' -= W', C2' -= W' V'
        for k in range(w):
            for i in range(rest):
                W[<size_t>k * rest + i] = R[<size_t>(j + k) * m + j + w + i]
        dgemm("N", "N", &rest, &w, &n, &one, rows + j + w, &m, V, &n, &one, W, &rest)
        dtrmm("R", "U", "N", "N", &rest, &w, &one, T, &ld, W, &rest)
        for k in range(w):
            for i in range(rest):
                R[<size_t>(j + k) * m + j + w + i] -= W[<size_t>k * rest + i]
        dgemm("N", "T", &rest, &n, &w, &minus, W, &rest, V, &n, &one, rows + j + w, &m)


cdef void _factor_panel(double *R, int ldr, double *V, int n, int w, double *T, int ldt) noexcept nogil:
    """QR of [R; V]: R (w, w) row-major upper, V (n, w) column-major. V becomes the reflectors, T (w, w)
    column-major upper the block reflector 1 - [1; V] T [1; V]'. Recursive: two halves, Elmroth & Gustavson [1].

    [1] IBM J. Res. Dev. 44, 605 (2000), doi:10.1147/rd.444.0605
    """
    cdef int a = w // 2, b = w - w // 2, i, k
    cdef double one = 1.0, minus = -1.0
    cdef double *V2
    cdef double *X = T + a * ldt  # the corner of T above its second diagonal block, workspace before
    if w <= LEAF:
        _factor_leaf(R, ldr, V, n, w, T, ldt)
        return
    V2 = V + <size_t>a * n
    _factor_panel(R, ldr, V, n, a, T, ldt)
    for k in range(b):  # X = T1' (R12 + V1' V2)
        for i in range(a):
            X[k * ldt + i] = R[<size_t>i * ldr + a + k]
    dgemm("T", "N", &a, &b, &n, &one, V, &n, V2, &n, &one, X, &ldt)
    dtrmm("L", "U", "T", "N", &a, &b, &one, T, &ldt, X, &ldt)
    for k in range(b):
        for i in range(a):
            R[<size_t>i * ldr + a + k] -= X[k * ldt + i]
    dgemm("N", "N", &n, &b, &a, &minus, V, &n, X, &ldt, &one, V2, &n)
    _factor_panel(R + <size_t>a * ldr + a, ldr, V2, n, b, X + a, ldt)
    cdef double zero = 0.0  # T12 = -T1 (V1' V2) T2
    dgemm("T", "N", &a, &b, &n, &minus, V, &n, V2, &n, &zero, X, &ldt)
    dtrmm("L", "U", "N", "N", &a, &b, &one, T, &ldt, X, &ldt)
    dtrmm("R", "U", "N", "N", &a, &b, &one, X + a, &ldt, X, &ldt)


cdef void _factor_leaf(double *R, int ldr, double *V, int n, int w, double *T, int ldt) noexcept nogil:
    """The same, column by column."""
    cdef int one = 1, k, c, right
    cdef double *v
    cdef double sigma, alpha, beta, tau, factor, unit = 1.0, zero = 0.0, minus
    cdef double s[LEAF]
    for k in range(w):
        v = V + <size_t>k * n
        alpha = R[<size_t>k * ldr + k]
        sigma = sqrt(ddot(&n, v, &one, v, &one))
        tau = 0.0
        if sigma > 0.0:
            beta = -copysign(hypot(alpha, sigma), alpha)
            tau = (beta - alpha) / beta
            factor = 1.0 / (alpha - beta)
            dscal(&n, &factor, v, &one)
            R[<size_t>k * ldr + k] = beta
        right = w - k - 1
        if right:
            dgemv("T", &n, &right, &unit, v + n, &n, v, &one, &zero, s, &one)
            for c in range(right):
                s[c] = tau * (s[c] + R[<size_t>k * ldr + k + 1 + c])
                R[<size_t>k * ldr + k + 1 + c] -= s[c]
            minus = -1.0
            dger(&n, &right, &minus, v, &one, s, &one, v + n, &n)
        minus = -tau
        if k:
            dgemv("T", &n, &k, &minus, V, &n, v, &one, &zero, T + k * ldt, &one)
            dtrmv("U", "N", "N", &k, T, &ldt, T + k * ldt, &one)
        T[k * ldt + k] = tau


cdef void _positive_diagonal(double *R, int m) noexcept nogil:
    cdef int i, k
    for i in range(m):
        if R[<size_t>i * m + i] < 0.0:
            for k in range(i, m):
                R[<size_t>i * m + k] = -R[<size_t>i * m + k]
