"""The compiled energies of pairs; part of the module _pairs."""


cdef extern from "pair_tables.h":
    ctypedef struct pair_segment:
        int64_t first, n

    ctypedef struct pair_functions:
        int64_t n
        int32_t n_powers, cutoff_table
        const double *powers
        const double *scales
        const double *points
        const double *amplitudes
        double variance, constant

    ctypedef struct pair_plan:
        int32_t n_elements, n_rows, n_tables
        const int32_t *row_of
        const int32_t *table_of
        const int32_t *first_segment
        const pair_segment *segments
        const double *pieces
        double cutoff
        pair_functions functions

    int PAIR_PAD
    const centre_kernel *pair_loops_find(const char *)


@cython.final
cdef class PairKernel(CentreKernel):
    """e_i = sum_j g(r_ij) / r_ij with tables g by elements; immutable, shared freely between threads.

    Parameters
    ----------
    row_of : int array of shape (n_elements,)
        Row of an element.
    table_of : int array of shape (n_rows, n_rows)
        Table of the rows of centre and neighbour, -1 where there is no energy.
    tables : sequence of PieceTable
        Of r times the energy that the centre gets, eV Å.
    isa : str, optional
    functions : PairFunctions, optional
        For `evaluate_rows`.

    Attributes
    ----------
    row_kernel : PairKernel or None
        Itself with `functions`.
    """

    cdef pair_plan plan
    cdef object kept

    def __init__(self, row_of, table_of, tables, isa=None, functions=None):
        isa = isa or chosen_isa()
        self.kernel = pair_loops_find(isa.encode())
        if self.kernel == NULL:
            raise ValueError(f"isa: {isa!r} is not available here. Use one of {', '.join(available_isas())}.")
        rows, chosen = np.array(row_of, dtype=np.int32), np.array(table_of, dtype=np.int32, order="C")
        if chosen.shape != (len(chosen), len(chosen)) or not (0 <= rows.min() and rows.max() < len(chosen) > 0):
            raise ValueError("row_of, table_of: name a row that does not exist.")
        if not tables or chosen.max() >= len(tables):
            raise ValueError("table_of: names a table that does not exist.")
        if functions is not None:
            tables = [*tables, functions.cutoff_table]
        segments = np.concatenate([table.segments for table in tables])
        starts = np.cumsum([0] + [len(table.pieces) for table in tables])
        counts = [len(table.segments) for table in tables]
        segments["first"] += np.repeat(np.array(starts)[: len(tables)], counts)
        first = np.array([0, *np.cumsum(counts)], dtype=np.int32)
        pieces = np.concatenate([table.pieces for table in tables])
        self.kept = (rows, chosen, first, segments, pieces, None if functions is None else self._keep(functions, len(tables)))
        self.n_elements = self.plan.n_elements = len(rows)
        self.plan.n_rows, self.plan.n_tables, self.plan.cutoff = len(chosen), len(tables), segments["stop"].max()
        self.plan.row_of, self.plan.table_of = <const int32_t *>_at(rows), <const int32_t *>_at(chosen)
        self.plan.first_segment = <const int32_t *>_at(first)
        self.plan.segments, self.plan.pieces = <const pair_segment *>_at(segments), <const double *>_at(pieces)
        self.plan_at = &self.plan

    cdef _keep(self, functions, int n_tables):
        """Bind the basis functions; returns the arrays that must live on."""
        cdef pair_functions *f = &self.plan.functions
        powers, scales, points, amplitudes = (np.array(a, dtype=np.float64, order="C") for a in functions[:4])
        n = len(amplitudes)
        if points.shape != (len(powers), n) or scales.shape != powers.shape:
            raise ValueError(f"functions: {len(powers)} powers, {len(scales)} scales and {n} amplitudes do not go with "
                             f"points of shape {points.shape}.")
        pads = -n % PAIR_PAD
        points, amplitudes = np.pad(points, ((0, 0), (0, pads))), np.pad(amplitudes, (0, pads))
        f.n, f.n_powers, f.cutoff_table = n, len(powers), n_tables - 1
        f.powers, f.scales = <const double *>_at(powers), <const double *>_at(scales)
        f.points, f.amplitudes = <const double *>_at(points), <const double *>_at(amplitudes)
        f.variance, f.constant = functions.variance, functions.constant
        return powers, scales, points, amplitudes

    @property
    def row_kernel(self):
        return self if self.n_functions else None

    @property
    def reach(self):
        """Å; pairs that are farther apart feel nothing."""
        return self.plan.cutoff
