"""The compiled moment tensor potential; part of the module _moments."""


from libc.stdint cimport uint32_t


cdef extern from "moments_potential.h":
    ctypedef struct product_sums:
        int64_t n_runs
        const int32_t *runs
        const int32_t *targets
        const uint32_t *factors
        const void *weights

    ctypedef struct moments_potential:
        int32_t n_elements
        const int32_t *elements
        int32_t n_species, n_mu, n_beta, n_blocks, highest
        double cutoff, min_dist
        const void *radial
        const int32_t *degree
        int32_t n_nodes, n_energies, one
        int32_t n_adjoints, energy
        product_sums nodes
        product_sums adjoints
        int32_t n_functions, n_row_nodes
        const int32_t *functions
        product_sums rows

    const centre_kernel *moments_double_loops_find(const char *)
    const centre_kernel *moments_single_loops_find(const char *)


@cython.final
cdef class PotentialKernel(CentreKernel):
    """A moment tensor potential with its linear weights bound in; immutable, shared freely between threads.

    Parameters
    ----------
    tables : mapping
        As `potential_tables` of moment_folding.py makes them, for the lanes of `isa` and the precision.
    isa : str
    single : bool
        Loops of float32.
    """

    cdef moments_potential plan
    cdef object kept

    def __init__(self, tables, isa, single=False):
        self.kernel = moments_single_loops_find(isa.encode()) if single else moments_double_loops_find(isa.encode())
        self.kept = tables = dict(tables)
        cdef moments_potential *plan = &self.plan
        plan.n_elements = self.n_elements = len(tables["elements"])
        plan.elements = <const int32_t *>_at(tables["elements"])
        plan.n_species, plan.n_mu = tables["n_species"], len(tables["degree"])
        plan.n_beta, plan.n_blocks = tables["n_beta"], tables["radial"].shape[2]
        plan.highest = tables["highest"]
        plan.cutoff, plan.min_dist = tables["cutoff"], tables["min_dist"]
        plan.radial = _at(tables["radial"])
        plan.degree = <const int32_t *>_at(tables["degree"])
        plan.n_nodes, plan.n_energies, plan.one = tables["n_nodes"], tables["n_energies"], tables["one"]
        plan.n_adjoints, plan.energy = tables["n_adjoints"], tables["energy"]
        plan.nodes, plan.adjoints = _sums(tables, "nodes"), _sums(tables, "adjoints")
        if "functions" in tables:
            plan.n_functions, plan.n_row_nodes = len(tables["functions"]), tables["n_row_nodes"]
            plan.functions, plan.rows = <const int32_t *>_at(tables["functions"]), _sums(tables, "rows")
        self.plan_at = plan


cdef product_sums _sums(tables, name):
    cdef product_sums sums
    sums.n_runs = len(tables[f"{name}.runs"])
    sums.runs = <const int32_t *>_at(tables[f"{name}.runs"])
    sums.targets = <const int32_t *>_at(tables[f"{name}.targets"])
    sums.factors = <const uint32_t *>_at(tables[f"{name}.factors"])
    sums.weights = _at(tables[f"{name}.weights"])
    return sums
