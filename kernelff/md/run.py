"""Molecular dynamics in one call."""

from dataclasses import dataclass, field

import numpy as np
from ase import Atoms

from kernelff.md.observables import Observers
from kernelff.md.settings import MDSettings
from kernelff.md.simulation import Simulation
from kernelff.progress import as_callback


@dataclass(frozen=True, eq=False)
class MDResult:
    """What a run leaves behind.

    Attributes
    ----------
    atoms : ase.Atoms
        The last frame, with momenta, not wrapped into the cell; with `uncertainty` its numbers among the arrays.
    energy : float
        Potential energy of the last frame, eV.
    forces : ndarray of shape (n_atoms, 3)
        eV/Å.
    thermo : dict of str -> ndarray
        Columns step, time_fs, temperature_K, potential_eV, kinetic_eV, conserved_eV (the energy with what thermostat
        and barostat hold), pressure_GPa and volume_A3 (NaN where there is none); with `uncertainty` the largest and the
        mean of its numbers.
    ns_per_day : float
    observables : dict of str -> ObservableResult
        What was observed: numbers with errors, data, and their pictures by ``figure()``.
    """

    atoms: Atoms
    energy: float
    forces: np.ndarray
    thermo: dict
    ns_per_day: float
    observables: dict = field(default_factory=dict)


def run(
    atoms,
    potential,
    ensemble="nve",
    *,
    temperature=None,
    pressure=None,
    timestep=1.0,
    steps=1000,
    thermostat=None,
    thermostat_time=100.0,
    cell=None,
    barostat_time=1000.0,
    seed=0,
    trajectory=None,
    trajectory_every=100,
    thermo=None,
    thermo_every=100,
    checkpoint=None,
    checkpoint_every=None,
    resume=True,
    observe=(),
    observe_every=None,
    observe_from=0,
    observables=None,
    threads=1,
    precision="double",
    skin=0.5,
    max_force=1000.0,
    max_step=0.5,
    min_distance=0.3,
    max_volume_change=3.0,
    uncertainty=None,
    uncertainty_every=10,
    max_uncertainty=None,
    max_temperature=None,
    progress=False,
):
    """Run molecular dynamics in compiled code.

    Parameters
    ----------
    atoms : ase.Atoms
        Start; not changed. Its momenta are kept; without any they are drawn at `temperature` (a crystal turns half of
        them into potential energy). `FixAtoms` is respected.
    potential : Potential, fitted model, or ase Calculator
        Terms without a compiled kernel, baselines, and calculators are asked through Python at every step.
    ensemble : str
        "nve", "nvt", "npt", "nph"; "langevin", "bussi" and "nose-hoover" are "nvt" with that thermostat.
    temperature : float or (float, float), optional
        K; two for a ramp over the run.
    pressure : float or (float, float), optional
        GPa, of "npt" and "nph"; 0 by default.
    timestep : float
        fs.
    steps : int
        Of the whole run, those before a checkpoint included.
    thermostat : str, optional
        "langevin" (default), "bussi" (stochastic velocity rescaling) or "nose-hoover" (chains). Chains on a moving cell
        take no energy from a crystal that breathes: volumes remember for tens of ps, where the others forget in one.
    thermostat_time : float
        fs; relaxation time, for Langevin dynamics 1 / friction.
    cell : str, optional
        "isotropic" (default), "anisotropic" (edges along their directions) or "flexible", of "npt" and "nph".
    barostat_time : float
        fs.
    seed : int
        Of velocities and noise.
    trajectory : path-like, optional
        .xyz, .extxyz or .traj.
    thermo : path-like, optional
        Comma-separated table.
    trajectory_every, thermo_every : int
        Steps.
    checkpoint : path-like, optional
        By default beside the first of the files above, with the suffix .checkpoint; none without files.
    checkpoint_every : int, optional
        Steps; by default a few seconds' work, from the number of atoms. Atoms are sorted and the list is made anew at
        each, so that runs of other intervals agree to rounding.
    resume : bool
        Go on where the checkpoint is, with the same bits as without the stop; False starts anew and overwrites.
    observe : sequence of str or observable
        What to gather while the run goes on: "rdf", "msd", "vacf", "stress", "heat_flux", "uncertainty", or objects
        with options such as kff.md.RDF(cutoff=6.0) and kff.md.VACF(every=2). It does not change the run, and memory
        does not grow with its length; checkpoints keep what was gathered.
    observe_every : int, optional
        Steps between samples, ten times as many for "rdf" and "uncertainty". By default what swings with the atoms
        ("vacf", "stress", "heat_flux") is seen every 4 fs, or as near below as the timestep allows, and others every 10
        steps.
    observe_from : int
        The step from which on samples are taken, after equilibration.
    observables : path-like, optional
        Where to write what was found when the run is over (.json); a picture of each stands beside it. If a guard rail
        or Ctrl-C stops the run, what was found until then, which says so.
    threads : int
        The same number gives the same bits, others agree to rounding. Each has at least 48 atoms: few take fewer.
    precision : str
        "double", or "single": forces from float32 where the potential has them, see `Potential.with_precision`. At the
        start and at every checkpoint they are compared with those of double precision.
    skin : float
        Å, of the neighbour list.
    max_force, max_step, min_distance, max_volume_change : float
        Guard rails: eV/Å, Å per step, Å, factor on the volume. Beyond them the run stops.
    uncertainty : str, optional
        A number of every atom: "std", the calibrated standard deviation of its local energy, eV; "novelty", the share
        of its environment that the sparse set of a Gaussian process cannot express, 0..1; "grade", the extrapolation
        grade of a linear model with an active set. The table gets the largest and the mean, frames the numbers of all
        atoms, those of the last step that they were made in. SOAP-GAP, pair terms and moment tensors have them in the
        compiled pass of the forces, which then costs 1.2 to 2.9 times as much; others through Python.
    uncertainty_every : int
        Steps.
    max_uncertainty : float, optional
        Guard rail: above it the run stops. What training frames have is a scale, see `Potential.calculator`.
    max_temperature : float, optional
        K, looked at with every line of the thermo table: a guard rail against heating that is too slow for the others.
        By default ten times the highest temperature asked for, 1000 K at least, and more where atoms are few.
    progress : bool or callable
        True shows a bar; or a function (steps done, steps).

    Returns
    -------
    MDResult

    Raises
    ------
    ValueError
        For arguments that mean nothing, unknown species, broken geometry, a checkpoint of another run, something to
        observe that the frame or the potential does not have, or a potential whose forces single precision misses by
        more than 1e-4 eV/Å.
    MDStopped
        If a guard rail stopped the run, or single precision became too coarse on the way. The last checkpoint is kept;
        the exception has what was observed as `observables`.
    OSError
        If a file cannot be written. The last checkpoint is kept.
    """
    settings = MDSettings.checked(
        ensemble, temperature, pressure, thermostat, cell, timestep=timestep, thermostat_time=thermostat_time,
        barostat_time=barostat_time, seed=seed, skin=skin, max_force=max_force, max_step=max_step,
        min_distance=min_distance, max_volume_change=max_volume_change, precision=precision,
        uncertainty=uncertainty, uncertainty_every=uncertainty_every, max_uncertainty=max_uncertainty,
        max_temperature=max_temperature,
    )  # fmt: skip
    simulation = Simulation(
        atoms, potential, settings, steps, trajectory, thermo, checkpoint,
        (trajectory_every, thermo_every, checkpoint_every), threads,
        Observers(observe, observe_every, observe_from, observables, settings),
    )  # fmt: skip
    with as_callback(progress, "molecular dynamics", unit="steps") as callback:
        rate = simulation.go(resume, callback)
    frame, found = simulation.frame(), simulation.observers.results()
    simulation.observers.write(found)
    return MDResult(frame["atoms"], frame["energy"], frame["forces"], simulation.table(), rate, found)
