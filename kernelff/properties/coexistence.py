"""A cell of a solid and its liquid side by side: made, run at constant enthalpy, and looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms, units
from ase.constraints import FixAtoms
from ase.io import read

from kernelff.md import MDStopped
from kernelff.md import run as run_md
from kernelff.md.files import read_thermo
from kernelff.neighbors import nearest_distance
from kernelff.properties.phases import Phases

LONG = 2  # cell vector along which the phases follow each other
_ASPECT = 2.5  # length of the cell beside its width
_N_BLOCKS = 8
_MOST_LENGTHS = 3  # of the run, while the temperature drifts
_DRIFT = 4.0  # between the halves of the run, in standard errors
_N_FRAMES = 10  # of a run
_CONFUSED = 0.1  # share of atoms taken for the other phase, beyond which there are no two phases
_TAIL = 4  # last frames that tell which phases there are


class Cell(NamedTuple):
    """How a cell is made; see `melting_point`."""

    n_atoms: int
    length: float
    preparation: float
    overheat: float


class Pure(NamedTuple):
    """One phase alone."""

    enthalpy: float  # eV per atom, without the kinetic energy
    volume: float  # Å^3 per atom
    frames: list
    atoms: Atoms


class Runs:
    """Runs of molecular dynamics that are kept in a folder, so that those done are not done again.

    Parameters
    ----------
    folder : path-like
    potential : Potential or ase Calculator
    pressure : float
        GPa.
    timestep : float
        fs.
    seed, threads : int
    """

    def __init__(self, folder, potential, pressure, timestep, seed, threads):
        self.folder, self.potential, self.pressure = Path(folder), potential, float(pressure)
        self.timestep, self.settings = timestep, {"seed": seed, "threads": threads, "timestep": timestep}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"folder: {folder} cannot be made ({error.strerror}). Give another.") from error

    def __call__(self, name, atoms, ensemble, temperature, ps, cell=None, times=1):
        """(MDResult, frames) of `times` times so many ps; frames stand evenly in each of them."""
        steps = self.steps(ps)
        moving = {"pressure": self.pressure, "cell": cell} if cell else {}
        path = self.folder / f"{name}.xyz"
        try:
            result = run_md(
                atoms, self.potential, ensemble, temperature=temperature, steps=times * steps, trajectory=path,
                trajectory_every=max(1, steps // _N_FRAMES), thermo=path.with_suffix(".csv"), thermo_every=10,
                **moving, **self.settings,
            )  # fmt: skip
        except MDStopped as stopped:
            raise RuntimeError(
                f"{name}, a run on the way to the melting point: {stopped.what} In a hot one the model does not hold: "
                "take a lower overheat, or a shorter timestep; else another guess."
            ) from stopped
        # The table of the file and not that in memory, which has more digits: what follows is the same after a stop.
        return replace(result, thermo=read_thermo(path.with_suffix(".csv"))), read(path, ":")

    def steps(self, ps):
        return max(_N_FRAMES, round(1e3 * ps / self.timestep))

    def begun(self, name, ps):
        """How many lengths of so many ps an earlier call of this run had begun, 1 if there was none."""
        table = self.folder / f"{name}.csv"
        if not (self.folder / f"{name}.checkpoint").exists():
            return 1
        return max(1, int(np.ceil(read_thermo(table)["step"][-1] / self.steps(ps))))

    def pure(self, name, atoms, temperature, ps):
        """One phase at constant temperature and pressure, its second half looked at."""
        result, frames = self(name, atoms, "npt", temperature, ps, "isotropic")
        half = slice(len(result.thermo["step"]) // 2, None)
        energy, volume = (result.thermo[key][half].mean() / len(atoms) for key in ("potential_eV", "volume_A3"))
        return Pure(energy + self.pressure * units.GPa * volume, volume, frames[len(frames) // 2 :], result.atoms)


@dataclass(frozen=True, eq=False)
class Coexistence:
    """A cell that had both phases at its start, after its run at constant enthalpy.

    Attributes
    ----------
    phases : Phases
    solid, liquid : ase.Atoms
        The pure phases at the guess, as they began.
    time, temperatures : ndarray
        ps and K.
    frames : list of ase.Atoms
        Last ones of the run.
    share : float
        Of solid atoms among them.
    """

    phases: Phases
    solid: Atoms
    liquid: Atoms
    time: np.ndarray
    temperatures: np.ndarray
    frames: list
    share: float

    @property
    def settled(self):
        """Temperatures of the second half, K."""
        return self.temperatures[len(self.temperatures) // 2 :]

    @property
    def temperature(self):
        """K."""
        return float(self.settled.mean())

    @classmethod
    def of(cls, crystal, runs, guess, cell):
        """Make the cell at a temperature, and run it.

        Parameters
        ----------
        crystal : ase.Atoms
        runs : Runs
        guess : float
            K.
        cell : Cell

        Returns
        -------
        Coexistence

        Raises
        ------
        RuntimeError
            If the pure phases cannot be told apart.
        """
        name = f"{guess:.0f}K"
        start = supercell(crystal, cell.n_atoms)
        solid = runs.pure(f"{name}-solid", start, guess, cell.preparation)
        liquid = molten(runs, name, at_volume(start, solid.volume), guess, cell)
        phases = phases_of(solid.frames, liquid.frames, guess)
        ratio = liquid.volume / solid.volume
        joined = half_molten(runs, name, at_volume(start, solid.volume), ratio, guess, cell)
        time, temperatures, frames = at_constant_enthalpy(runs, f"{name}-both", joined, guess, cell.length)
        return cls(phases, start, liquid.atoms, time, temperatures, frames, phases.share(frames))


def supercell(crystal, n_atoms):
    """About so many atoms in a cell that is _ASPECT times as long as wide."""
    heights = 1.0 / np.linalg.norm(crystal.cell.reciprocal().array, axis=1)
    width = (n_atoms / len(crystal) * crystal.get_volume() / _ASPECT) ** (1 / 3)
    wanted = np.where(np.arange(3) == LONG, _ASPECT, 1.0) * width / heights
    choices = product(*[{max(1, int(n)), int(n) + 1} for n in wanted])  # rounded down or up
    atoms = crystal.repeat(min(sorted(choices), key=lambda n: abs(np.log(len(crystal) * np.prod(n) / n_atoms))))
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)


def at_volume(atoms, volume):
    """A copy without momenta, scaled to so many Å^3 per atom."""
    scaled = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    scaled.set_cell(atoms.cell * (volume * len(atoms) / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
    return scaled


def molten(runs, name, atoms, guess, cell):
    """The liquid alone: melted hot at the solid's volume, cooled, and left to its pressure."""
    hot, _ = runs(f"{name}-hot", atoms, "nvt", cell.overheat * guess, cell.preparation)
    cool, _ = runs(f"{name}-cool", hot.atoms, "nvt", guess, cell.preparation / 2)
    return runs.pure(f"{name}-liquid", cool.atoms, guess, cell.preparation)


def half_molten(runs, name, atoms, ratio, guess, cell):
    """One half melted while the other is held, cooled at its own density, then all let go at this pressure."""
    held = FixAtoms(mask=atoms.get_scaled_positions()[:, LONG] < 0.5)
    atoms.set_constraint(held)
    hot, _ = runs(f"{name}-half-hot", atoms, "nvt", cell.overheat * guess, cell.preparation)
    cool, _ = runs(f"{name}-half-cool", with_room(hot.atoms, ratio), "nvt", guess, cell.preparation / 2)
    joined = cool.atoms.copy()
    joined.set_constraint()
    joined.set_momenta(np.zeros((len(joined), 3)))  # those held have none: drawn anew for all
    joined, _ = runs(f"{name}-joined", joined, "npt", guess, cell.preparation / 2, "anisotropic")
    joined = joined.atoms
    masses = joined.get_masses()[:, None]
    joined.set_momenta(joined.get_momenta() - masses * joined.get_momenta().sum(axis=0) / masses.sum())
    return joined


def with_room(atoms, ratio):
    """A copy whose upper half, along LONG, is stretched to so many times its volume: room for the liquid.

    At the solid's density most liquids are under a pressure at which they freeze before the cell gives way.
    """
    stretched, long = atoms.copy(), atoms.cell.array[LONG]
    stretched.set_positions(atoms.get_positions(wrap=True), apply_constraint=False)
    above = np.maximum(stretched.get_scaled_positions()[:, LONG] - 0.5, 0.0)
    stretched.positions += np.outer(above * (ratio - 1.0), long)
    cell = atoms.cell.array.copy()
    cell[LONG] = 0.5 * (1.0 + ratio) * long
    stretched.set_cell(cell)
    return stretched


def at_constant_enthalpy(runs, name, atoms, guess, ps):
    """Time in ps, temperatures, and last frames of a run that goes on while its temperature drifts."""
    for times in range(min(runs.begun(name, ps), _MOST_LENGTHS), _MOST_LENGTHS + 1):
        result, frames = runs(name, atoms, "nph", guess, ps, "anisotropic", times)
        temperatures = result.thermo["temperature_K"]
        if settled(temperatures[len(temperatures) // 2 :]):
            break
    return result.thermo["time_fs"] * 1e-3, temperatures, frames[-_TAIL:]


def settled(values):
    """Whether the halves of a series agree."""
    halves = np.array_split(values, 2)
    errors = [block_error(half) for half in halves]
    return abs(halves[0].mean() - halves[1].mean()) < _DRIFT * np.hypot(*errors)


def block_error(values):
    """Standard error of the mean of a series, by blocks."""
    means = [block.mean() for block in np.array_split(values, _N_BLOCKS)]
    return float(np.std(means, ddof=1) / np.sqrt(_N_BLOCKS))


def phases_of(solid, liquid, guess):
    """The phases of these frames, if there are two."""
    phases = Phases.of(solid, liquid, nearest_distance(solid))
    if max(phases.errors) > _CONFUSED:
        a, b = (100 * error for error in phases.errors)
        raise RuntimeError(
            f"guess: at {guess:.0f} K the two phases look alike: {a:.0f} % of the solid's atoms are like those of a "
            f"liquid, {b:.0f} % the other way round. The crystal has melted (start colder), or its liquid was not made "
            "or has frozen (raise overheat, give more time for preparation)."
        )
    return phases
