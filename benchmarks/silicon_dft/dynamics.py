"""Snapshots of Langevin dynamics with a first model, fitted on the training frames of stage 1.

The snapshots are written to ``WORK/md/<origin>.xyz`` when a trajectory ends and read back on a rerun: rounding
makes trajectories of another machine part after some picoseconds, the labelled snapshots stay what they are.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import structures
from ase import units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.neighborlist import neighbor_list
from label import find, rounded

CLOSEST = 1.7  # Å; a snapshot with nearer atoms is where the first model has failed


class Run(NamedTuple):
    """One trajectory: temperatures in K, volume relative to A0, times in fs."""

    name: str
    split: str
    n_atoms: int
    temperature: float
    seed: int
    snapshots: int
    volume: float = 1.0
    final_temperature: float | None = None
    wait: float = 800.0
    every: float = 200.0
    timestep: float = 1.5

    @property
    def origin(self):
        """Name of the trajectory in the set."""
        return f"{self.name}-{self.temperature:.0f}K-{self.n_atoms}-seed{self.seed}"


def runs():
    """All trajectories, the small and hot ones early: they matter most if time runs out."""
    solid = {300: 1.0, 600: 1.01, 900: 0.98, 1200: 1.02, 1600: 1.0}
    for seed, split, count in ((1, "train", 4), (2, "test", 2)):
        for temperature, volume in solid.items():
            yield Run("md", split, 8, temperature, seed, count, volume)
        yield Run("md", split, 8, 2500, seed, count + 1, 0.92)
    for seed, split in ((1, "train"), (2, "test")):
        yield Run("md", split, 16, 2500, seed, 3, 0.93)
        yield Run("quench", split, 16, 2500, seed, 2, 0.95, 500.0, wait=600.0, every=900.0)
    for temperature in (300, 900, 1600):
        yield Run("md", "validation", 16, temperature, 2, 1, solid[temperature])
    yield Run("md", "validation", 8, 2500, 3, 3, 0.95)


def first_model(work):
    """kernelff's own model on the training frames of stage 1 that have a label.

    The test and validation frames are not used, so that they stay unseen by everything before them.
    """
    import kernelff

    frames = []
    for atoms in structures.stage_1():
        record = find(atoms, work)
        if atoms.info["split"] == "train" and record is not None:
            atoms = rounded(atoms)
            forces, stress = np.array(record["forces"]), np.array(record["stress"])
            atoms.calc = SinglePointCalculator(atoms, energy=record["energy"], forces=forces, stress=stress)
            frames.append(atoms)
    print(f"first model: {len(frames)} frames", flush=True)
    return kernelff.SparseGPR(n_sparse=500, random_state=0).fit(frames).potential_


def trajectory(run, potential):
    """Snapshots of one run; fewer than asked for if atoms come closer than `CLOSEST`."""
    rng = np.random.default_rng([17, run.n_atoms, int(run.temperature), run.seed])
    atoms = structures.diamond(run.n_atoms)
    k = atoms.info.pop("k")
    atoms = structures.strained(atoms, np.eye(3) * (run.volume ** (1 / 3) - 1))
    atoms.positions += rng.normal(scale=0.03, size=atoms.positions.shape)
    if run.temperature > 2000:  # melt: start hot and disordered
        atoms = structures.displaced(atoms, rng, 0.25)
    atoms.calc = potential.calculator()
    MaxwellBoltzmannDistribution(atoms, temperature_K=run.temperature, rng=rng)
    dynamics = Langevin(
        atoms,
        run.timestep * units.fs,
        temperature_K=run.temperature,
        friction=0.02 / units.fs,
        rng=rng,
        fixcm=False,
    )
    dynamics.run(round(run.wait / run.timestep))
    snapshots = []
    for number in range(1, run.snapshots + 1):
        if run.final_temperature is not None:
            share = number / run.snapshots
            dynamics.set_temperature(temperature_K=run.temperature + share * (run.final_temperature - run.temperature))
        dynamics.run(round(run.every / run.timestep))
        if len(neighbor_list("i", atoms, CLOSEST)):
            print(f"{run.origin}: stopped, atoms nearer than {CLOSEST} Å", flush=True)
            break
        snapshot = rounded(atoms)
        snapshot.arrays.pop("momenta", None)
        snapshot.info = {"k": k, "temperature": run.temperature}
        snapshots.append(structures.tagged(snapshot, config_type_of(run), run.origin, run.split))
    return snapshots


def config_type_of(run):
    """``md-<T>K``, ``liquid`` or ``quench``."""
    if run.name == "quench":
        return "quench"
    return "liquid" if run.temperature > 2000 else f"md-{run.temperature:.0f}K"


def stage_2(work, only_stored=False):
    """Snapshots of all trajectories, made now or read back (with `only_stored`: read back only)."""
    folder = Path(work) / "md"
    folder.mkdir(parents=True, exist_ok=True)
    potential, frames = None, []
    for run in runs():
        path = folder / f"{run.origin}.xyz"
        if not path.exists() and only_stored:
            continue
        if not path.exists():
            potential = potential or first_model(work)
            snapshots = trajectory(run, potential)
            if not snapshots:
                continue
            for snapshot in snapshots:
                del snapshot.info["k"]
            partial = path.with_suffix(".part")
            write(partial, snapshots, format="extxyz")
            partial.rename(path)
        for snapshot in read(path, index=":", format="extxyz"):
            snapshot.info["k"] = structures.diamond(run.n_atoms).info["k"]
            frames.append(snapshot)
    return frames
