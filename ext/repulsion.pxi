"""The compiled repulsion of nuclei; part of the module _md."""


cdef extern from "repulsion.h":
    ctypedef struct repulsion_plan:
        int32_t n_elements, n_rows
        const int32_t *row_of
        const double *table
        double cutoff

    const centre_kernel *repulsion_loops_find(const char *)


@cython.final
cdef class RepulsionKernel(CentreKernel):
    """Screened repulsion of nuclei; immutable, shared freely between threads.

    Parameters
    ----------
    row_of : int array of shape (n_elements,)
        Row of the table of an element; the last row is that of elements without repulsion.
    table : array of shape (n_rows, n_rows, 4)
        Outer and given distances, screening lengths (Å) and charges k Z1 Z2 (eV Å).
    cutoff : float
        Å.
    isa : str
    """

    cdef repulsion_plan plan
    cdef object kept

    def __init__(self, row_of, table, cutoff, isa):
        rows = np.array(row_of, dtype=np.int32)
        numbers = np.array(table, dtype=np.float64, order="C")
        rows[rows < 0] = len(numbers) - 1
        self.kept = (rows, numbers)
        self.n_elements = self.plan.n_elements = len(rows)
        self.plan.n_rows, self.plan.cutoff = len(numbers), cutoff
        self.plan.row_of, self.plan.table = <const int32_t *>_at(rows), <const double *>_at(numbers)
        self.plan_at = &self.plan
        self.kernel = repulsion_loops_find(isa.encode())

    @property
    def reach(self):
        """Å; pairs that are farther apart feel nothing."""
        return self.plan.cutoff
