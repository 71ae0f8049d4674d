"""Thin door to the compiled loop of molecular dynamics: owns the arrays of a system, releases the GIL."""

import numpy as np

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset
include "centres.pxi"
include "uncertainty.pxi"
include "centre_term.pxi"
include "md.pxi"


ISAS = ("avx512", "avx2", "base")
STATUSES = {
    MD_NO_MEMORY: "memory", MD_NOT_FINITE: "finite", MD_FORCE: "force", MD_STEP: "step", MD_CLOSE: "close",
    MD_VOLUME: "volume", MD_SHAPE: "shape", MD_CROWDED: "crowded", MD_REST: "rest",
    MD_UNCERTAIN: "uncertain",
}


def available_isas():
    """Instruction sets this build and this CPU have, fastest first."""
    return tuple(isa for isa in ISAS if md_loops_find(isa.encode()) != NULL)


def random_words(uint64_t seed, uint64_t step, uint32_t place, uint32_t stream):
    """Four words of 32 bits of the generator, Philox4x32-10."""
    words = philox(seed, step, place, stream)
    return [words.word[k] for k in range(4)]


def random_normals(uint64_t seed, uint64_t step, uint32_t place, uint32_t stream):
    """Four normal deviates from those words."""
    cdef double normals[4]
    philox_normals(philox(seed, step, place, stream), normals)
    return [normals[k] for k in range(4)]


class Stopped(Exception):
    """The loop stopped: `reason` (of STATUSES), `culprits` (two atoms in the caller's order), `worst` (its number)."""

    def __init__(self, reason, culprits, worst):
        super().__init__(reason)
        self.reason, self.culprits, self.worst = reason, culprits, worst


@cython.final
cdef class System:
    """Atoms in motion; arrays are in an order of its own, `ids` are the places in the caller's.

    Parameters
    ----------
    numbers, ids : int32 array of shape (n,)
    x, v : array of shape (n, 3)
        Å, and ASE's unit of velocity.
    mass : array of shape (n,)
        amu; 0 for atoms that stay where they are.
    images : int32 array of shape (n, 3)
    cell : array of shape (3, 3)
        Å; with volume, also where it is not periodic.
    periodic : sequence of three bool
    kernels : sequence of objects with `address`
    rest : callable or None
        (positions (n, 3), cell (3, 3), of_atoms) -> energy, forces (n, 3), virial (3, 3): what has no kernel; of_atoms
        asks for two more, energies (n,) and virials (n, 3, 3) of the atoms.
    stages : sequence of (kind, part)
    isa : str
    settings
        Numbers of md_system by name.
    """

    cdef md_system s
    cdef const md_loops *loops
    cdef object kept, rest, error, asked
    cdef readonly object x, v, f, images, ids, energies, virials, uncertainties

    def __init__(self, numbers, ids, x, v, mass, images, cell, periodic, kernels, rest, stages, isa, **settings):
        cdef int64_t n = len(numbers)
        cdef int k
        if len(kernels) > MD_MAX_TERMS or len(stages) > MD_MAX_STAGES:
            raise ValueError(f"kernels: at most {MD_MAX_TERMS}, got {len(kernels)}.")
        self.loops = md_loops_find(isa.encode())
        if self.loops == NULL:
            raise ValueError(f"isa: {isa!r} is not available here. Use one of {', '.join(available_isas())}.")
        self.x, self.v, self.f = _rows(n, x), _rows(n, v), _rows(n, 0.0)
        self.images = np.array(images, dtype=np.int32, order="C").reshape(n, 3)
        self.ids = np.array(ids, dtype=np.int32)
        elements, masses = np.array(numbers, dtype=np.int32), np.array(mass, dtype=np.float64)
        self.kept, self.rest = (kernels, elements, masses), rest
        s = &self.s
        memset(s, 0, sizeof(md_system))
        s.n, s.n_terms, s.n_stages = n, len(kernels), len(stages)
        s.x, s.v, s.f = <double *>_at(self.x), <double *>_at(self.v), <double *>_at(self.f)
        s.mass, s.numbers, s.ids = <double *>_at(masses), <int32_t *>_at(elements), <int32_t *>_at(self.ids)
        s.images = <int32_t *>_at(self.images)
        s.one_element = bool(n) and bool((elements == elements[0]).all())
        for k in range(9):
            s.cell[k] = cell[k // 3][k % 3]
        for k in range(3):
            s.periodic[k] = bool(periodic[k])
        for k, kernel in enumerate(kernels):
            s.terms[k].kernel = <const centre_kernel *><size_t>kernel.address[0]
            s.terms[k].plan = <const void *><size_t>kernel.address[1]
            s.terms[k].reach = getattr(kernel, "reach", 0.0)
        for k, (kind, part) in enumerate(stages):
            s.stages[k].kind, s.stages[k].part = kind, part
        if rest is not None:
            s.rest, s.context = _call_rest, <void *>self
        self._set(settings)

    def _set(self, settings):
        s = &self.s
        s.n_threads = min(max(settings["n_threads"], 1), MD_MAX_THREADS)
        s.cutoff, s.skin, s.timestep = settings["cutoff"], settings["skin"], settings["timestep"]
        s.kt[0], s.kt[1] = settings["kt"]
        s.pressure[0], s.pressure[1] = settings["pressure"]
        s.step, s.n_ramp, s.seed = settings["step"], settings["n_ramp"], settings["seed"]
        s.freedom, s.friction, s.relaxation = settings["freedom"], settings["friction"], settings["relaxation"]
        s.motion = <md_cell_motion><int>settings["motion"]
        s.cell_mass, s.cell_friction = settings["cell_mass"], settings["cell_friction"]
        s.cell_relaxation, s.heat = settings["cell_relaxation"], settings["heat"]
        s.most_force, s.most_step = settings["most_force"], settings["most_step"]
        s.least_distance = settings["least_distance"]
        volume, s.most_stretch = settings["volume"], settings["most_change"]
        s.least_volume, s.most_volume = volume / s.most_stretch, volume * s.most_stretch
        for k in range(3):
            s.heights[k] = settings["heights"][k]
        for k in range(9):
            s.rate[k] = settings["rate"][k // 3][k % 3]
        for k in range(4):
            s.chain.position[k], s.chain.velocity[k] = settings["chain"][0][k], settings["chain"][1][k]
            s.cell_chain.position[k] = settings["cell_chain"][0][k]
            s.cell_chain.velocity[k] = settings["cell_chain"][1][k]

    def watch(self, every, double most, numbers, int64_t done, row_kernels=None, measure=None, asked=None):
        """Have numbers of the atoms made at every so many steps; before the first `compute`.

        Parameters
        ----------
        every : int
        most : float
            `run` stops above it.
        numbers : array of shape (n,)
            Of step `done`, in the system's order; those of the next compute() if that is negative.
        row_kernels : sequence of (CentreKernel or None, column), optional
            For each of the kernels.
        measure : RowMeasure, optional
            With `row_kernels`.
        asked : callable, optional
            (positions (n, 3), cell (3, 3)) -> numbers (n,), in place of both.
        """
        cdef int k
        u = &self.s.uncertainty
        self.uncertainties = np.array(numbers, dtype=np.float64)
        u.every, u.most, u.done, u.numbers = every, most, done, <double *>_at(self.uncertainties)
        self.kept, self.asked = (*self.kept, row_kernels, measure), asked
        if asked is not None:
            u.ask, self.s.context = _call_asked, <void *>self
            return
        u.loops = <const uncertainty_loops *><size_t>measure.address[0]
        u.plan = <const uncertainty_plan *><size_t>measure.address[1]
        for k, (kernel, column) in enumerate(row_kernels):
            if kernel is not None:
                self.s.terms[k].row_kernel = <const centre_kernel *><size_t>kernel.address[0]
                self.s.terms[k].row_plan = <const void *><size_t>kernel.address[1]
                self.s.terms[k].column = column
                u.n_functions = max(u.n_functions, column + kernel.n_functions)

    def compute(self, of_atoms=False):
        """Energy, forces and virial of the positions; see `run`."""
        cdef int status
        self._want(of_atoms)
        with nogil:
            status = self.loops.compute(&self.s)
        self._judge(status)

    def run(self, int64_t n_steps, of_atoms=False):
        """Go on by n_steps; raises Stopped, or what `rest` raised.

        With `of_atoms` the last step leaves `energies` (n,) and `virials` (n, 3, 4) of the atoms, the last number of a row
        not used; without, they are None.
        """
        cdef int status
        self._want(of_atoms)
        with nogil:
            status = self.loops.run(&self.s, n_steps)
        self._judge(status)

    cdef _want(self, of_atoms):
        if of_atoms and self.energies is None:
            self.energies, self.virials = np.zeros(self.s.n), _rows(3 * self.s.n, 0.0).reshape(self.s.n, 3, 4)
        elif not of_atoms:
            self.energies = self.virials = None
        self.s.energies = <double *>_at(self.energies) if of_atoms else NULL
        self.s.virials = <double *>_at(self.virials) if of_atoms else NULL

    cdef _judge(self, int status):
        if status == MD_NO_MEMORY:
            raise MemoryError("md: no memory for the neighbour list and the forces of the threads.")
        if status == MD_REST:
            error, self.error = self.error, None
            raise error
        if status:
            raise Stopped(STATUSES[status], (self.s.culprits[0], self.s.culprits[1]), self.s.worst)

    def state(self):
        """What the future depends on beside positions, velocities and images."""
        s = &self.s
        return {
            "step": s.step, "heat": s.heat, "cell": self.cell, "rate": _matrix(s.rate),
            "chain": np.array([s.chain.position, s.chain.velocity]),
            "cell_chain": np.array([s.cell_chain.position, s.cell_chain.velocity]),
        }

    @property
    def cell(self):
        return _matrix(self.s.cell)

    @property
    def virial(self):
        return _matrix(self.s.virial)

    @property
    def kinetic(self):
        """sum m v v' (3, 3), eV."""
        return _matrix(self.s.kinetic)

    @property
    def energy(self):
        return self.s.energy

    @property
    def conserved(self):
        return md_conserved(&self.s)

    @property
    def step(self):
        return self.s.step

    @property
    def uncertainty_step(self):
        """Step that `uncertainties` are of; negative before the first."""
        return self.s.uncertainty.done

    @property
    def counts(self):
        """Rebuilds of the list, its pairs, seconds for both lists and forces."""
        return self.s.n_rebuilds, self.s.n_pairs, self.s.rebuild_time, self.s.force_time

    def __dealloc__(self):
        if self.loops != NULL:
            self.loops.release(&self.s)


cdef int _call_rest(void *context, double *energy, double *forces, double *virial, double *energies,
                    double *virials) noexcept with gil:
    system = <System>context
    try:
        e, f, w, *of_atoms = system.rest(system.x[:, :3], system.cell, energies != NULL)
        if of_atoms:
            system.energies += of_atoms[0]
            system.virials[:, :, :3] += of_atoms[1]
        system.f[:, :3] += f
        energy[0] += e
        for k in range(9):
            virial[k] += w[k // 3][k % 3]
    except BaseException as error:  # raised again when the loop has returned
        system.error = error
        return 1
    return 0


cdef int _call_asked(void *context, double *numbers) noexcept with gil:
    system = <System>context
    try:
        system.uncertainties[:] = system.asked(system.x[:, :3], system.cell)
    except BaseException as error:  # raised again when the loop has returned
        system.error = error
        return 1
    return 0


cdef _rows(int64_t n, values):
    """(n, 4) rows that begin at a multiple of 64 bytes, the last number of each 0."""
    room = np.zeros(4 * n + 16)
    skip = -(room.ctypes.data // 8) % 8
    rows = room[skip : skip + 4 * n].reshape(n, 4)
    rows[:, :3] = values
    return rows


cdef _matrix(double *a):
    return np.array([a[k] for k in range(9)]).reshape(3, 3)
