"""A short molecular dynamics through ASE that keeps error bars along the way."""

from dataclasses import dataclass, field

import numpy as np
from ase import units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary

from kernelff.neighbors import NeighborList

_RANGE, _BINS = 6.5, 130  # Å; of the pair distribution


@dataclass(eq=False)
class MDTrace:
    """What a molecular dynamics leaves behind; lists are arrays once it is over.

    Attributes
    ----------
    target : float
        K.
    n_atoms : int
    time, temperature, energy : ndarray of shape (n_steps + 1,)
        fs, K, eV (potential energy).
    marked_time, energy_std, force_std, novelty : ndarray of shape (n_marks,)
        fs; eV; eV/Å, largest of the frame; largest of the frame.
    frames : list of ase.Atoms
        At the marks.
    pair_distribution : tuple of ndarray
        Distances (Å) and g(r), averaged over the second half.
    """

    target: float
    n_atoms: int
    time: list = field(default_factory=list)
    temperature: list = field(default_factory=list)
    energy: list = field(default_factory=list)
    marked_time: list = field(default_factory=list)
    energy_std: list = field(default_factory=list)
    force_std: list = field(default_factory=list)
    novelty: list = field(default_factory=list)
    frames: list = field(default_factory=list)
    pair_distribution: tuple = ()


def run_langevin(atoms, potential, temperature, *, n_steps, n_marks, rng, timestep=2.0, progress=None):
    """Langevin dynamics at constant volume.

    Parameters
    ----------
    atoms : ase.Atoms
        Start; not changed.
    potential : Potential
    temperature : float
        K.
    n_steps, n_marks : int
        Steps, and how often on the way error bars are computed.
    rng : numpy.random.Generator
    timestep : float
        fs.
    progress : callable, optional
        Called without arguments after every step.

    Returns
    -------
    MDTrace
    """
    atoms = atoms.copy()
    atoms.calc = potential.calculator()
    # In a harmonic crystal half of the kinetic energy turns into potential energy.
    MaxwellBoltzmannDistribution(atoms, temperature_K=2 * temperature, rng=rng)
    Stationary(atoms)
    trace = MDTrace(temperature, len(atoms))
    dynamics = Langevin(
        atoms, timestep * units.fs, temperature_K=temperature, friction=0.02 / units.fs, rng=rng, fixcm=False
    )
    every = max(1, n_steps // n_marks)

    def record():
        step = dynamics.nsteps
        trace.time.append(step * timestep)
        trace.temperature.append(atoms.get_temperature())
        trace.energy.append(atoms.get_potential_energy())
        if step % every == 0:
            _mark(trace, atoms, potential)
        if progress is not None:
            progress()

    dynamics.attach(record)
    dynamics.run(n_steps)
    for name in ("time", "temperature", "energy", "marked_time", "energy_std", "force_std", "novelty"):
        setattr(trace, name, np.array(getattr(trace, name)))
    trace.pair_distribution = pair_distribution(trace.frames[len(trace.frames) // 2 :])
    return trace


def pair_distribution(frames):
    """Radial distribution function, averaged over frames.

    Parameters
    ----------
    frames : list of ase.Atoms
        Periodic in three directions.

    Returns
    -------
    r : ndarray of shape (n_bins,)
        Middles of the bins, Å.
    g : ndarray of shape (n_bins,)
        1 for an ideal gas.
    """
    edges = np.linspace(0, _RANGE, _BINS + 1)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    g = np.zeros(_BINS)
    for atoms in frames:
        neighbors = NeighborList.from_atoms(atoms, _RANGE)
        ideal = len(atoms) ** 2 / neighbors.volume * shells
        g += np.histogram(neighbors.distances, edges)[0] / ideal / len(frames)
    return 0.5 * (edges[1:] + edges[:-1]), g


def _mark(trace, atoms, potential):
    found = potential.uncertainty(atoms)
    trace.marked_time.append(trace.time[-1])
    trace.energy_std.append(found.energy_std)
    trace.force_std.append(found.forces_std.max())
    trace.novelty.append(found.novelty.max())
    frame = atoms.copy()
    frame.info = {
        "temperature": trace.target,
        "time_fs": trace.time[-1],
        "potential_energy": trace.energy[-1],
        "energy_std": found.energy_std,
    }
    frame.arrays["novelty"] = found.novelty
    trace.frames.append(frame)
