"""The molecular dynamics of the quickstart: the compiled loop, then error bars of the frames that it left."""

from dataclasses import dataclass

import numpy as np
from ase.io import read

from kernelff import md

_TIMESTEP = 2.0  # fs
_CUTOFF = 6.5  # Å; of the pair distribution


@dataclass(frozen=True, eq=False)
class MDTrace:
    """What a molecular dynamics leaves behind.

    Attributes
    ----------
    target : float
        K.
    n_atoms : int
    time, temperature, energy : ndarray of shape (n_lines,)
        fs, K, eV (potential energy).
    marked_time, energy_std, force_std, novelty : ndarray of shape (n_marks,)
        fs; eV; eV/Å, largest of the frame; largest of the frame.
    pair_distribution : tuple of ndarray
        Distances (Å) and g(r) of the second half.
    ns_per_day : float
    """

    target: float
    n_atoms: int
    time: np.ndarray
    temperature: np.ndarray
    energy: np.ndarray
    marked_time: np.ndarray
    energy_std: np.ndarray
    force_std: np.ndarray
    novelty: np.ndarray
    pair_distribution: tuple
    ns_per_day: float


def run_langevin(atoms, potential, temperature, trajectory, *, steps, marks=20, seed=0, progress=None):
    """Langevin dynamics at constant volume, and error bars of some of its frames.

    Parameters
    ----------
    atoms : ase.Atoms
        Start; not changed.
    potential : Potential
        A Gaussian process with posterior.
    temperature : float
        K.
    trajectory : path-like
        Where the frames go, with the novelty of every atom.
    steps, marks : int
        Steps, and frames on the way.
    seed : int
    progress : callable, optional
        Called with (steps done, steps).

    Returns
    -------
    MDTrace
    """
    every = max(1, steps // marks)
    result = md.run(
        atoms,
        potential,
        "langevin",
        temperature=temperature,
        timestep=_TIMESTEP,
        steps=steps,
        thermostat_time=50.0,
        seed=seed,
        trajectory=trajectory,
        trajectory_every=every,
        thermo_every=max(1, steps // 400),
        resume=False,
        uncertainty="novelty",
        uncertainty_every=every,
        observe=[md.RDF(cutoff=_CUTOFF, bins=130, every=max(1, every // 5))],
        observe_from=steps // 2,
        progress=False if progress is None else lambda done, total, note="": progress(done, total),
    )
    frames = read(trajectory, ":")
    found = [potential.uncertainty(frame) for frame in frames]
    pairs = result.observables["rdf"].columns
    return MDTrace(
        temperature,
        len(atoms),
        result.thermo["time_fs"],
        result.thermo["temperature_K"],
        result.thermo["potential_eV"],
        _TIMESTEP * every * np.arange(len(frames)),
        np.array([bars.energy_std for bars in found]),
        np.array([bars.forces_std.max() for bars in found]),
        np.array([bars.novelty.max() for bars in found]),
        (pairs["r_A"], next(pairs[name] for name in pairs if name.startswith("g"))),
        result.ns_per_day,
    )
