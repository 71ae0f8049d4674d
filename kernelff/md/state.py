"""The state of a molecular dynamics: all that its future depends on."""

from dataclasses import dataclass

import numpy as np
from ase import units
from ase.constraints import FixAtoms

from kernelff._md import System, available_isas
from kernelff.neighbors import checked_cell, checked_positions

_CHAINS = 4


@dataclass(frozen=True, eq=False)
class State:
    """Atoms in the caller's order, and the variables of thermostat and barostat.

    Attributes
    ----------
    positions, velocities : ndarray of shape (n_atoms, 3)
        Å, wrapped along periodic directions; ASE's unit of velocity.
    images : ndarray of int, shape (n_atoms, 3)
        Cell vectors that were taken from the path of each atom.
    cell : ndarray of shape (3, 3)
        Å; also where the frame is not periodic.
    rate : ndarray of shape (3, 3)
        Velocity gradient of the cell.
    chain, cell_chain : ndarray of shape (2, 4)
        Positions and velocities of the chains.
    step : int
    heat : float
        eV.
    uncertainties : ndarray of shape (n_atoms,), optional
        Of a run that looks at them, as the loop made them last, in step `uncertainty_step`.
    uncertainty_step : int
    """

    positions: np.ndarray
    velocities: np.ndarray
    images: np.ndarray
    cell: np.ndarray
    rate: np.ndarray
    chain: np.ndarray
    cell_chain: np.ndarray
    step: int = 0
    heat: float = 0.0
    uncertainties: np.ndarray | None = None
    uncertainty_step: int = -1

    @property
    def path(self):
        """Positions as the atoms went, not wrapped, Å."""
        return self.positions + self.images @ self.cell

    def to_arrays(self):
        """(JSON-able numbers, arrays)."""
        names = ("positions", "velocities", "images", "cell", "rate", "chain", "cell_chain")
        numbers = {"step": self.step, "heat": self.heat.hex()}
        if self.uncertainties is not None:
            names += ("uncertainties",)
            numbers["uncertainty_step"] = self.uncertainty_step
        return numbers, {name: getattr(self, name) for name in names}

    @classmethod
    def from_arrays(cls, numbers, arrays):
        done = numbers.get("uncertainty_step", -1)
        return cls(**arrays, step=numbers["step"], heat=float.fromhex(numbers["heat"]), uncertainty_step=done)


def start_state(atoms, settings):
    """The state of a frame; velocities are drawn if it has none.

    Parameters
    ----------
    atoms : ase.Atoms
    settings : MDSettings

    Returns
    -------
    State

    Raises
    ------
    ValueError
        For broken geometry, or an ensemble that the frame cannot have.
    """
    if len(atoms) == 0:
        raise ValueError("atoms: the frame is empty.")
    if settings.moves_cell and not atoms.pbc.all():
        raise ValueError(
            f"ensemble: {settings.ensemble!r} needs a frame that is periodic in three directions, pbc is "
            f"{atoms.pbc.tolist()}. Use 'nvt'."
        )
    fixed = fixed_atoms(atoms)
    if settings.moves_cell and fixed.any():
        raise ValueError(f"ensemble: {settings.ensemble!r} would move fixed atoms with the cell. Use 'nvt'.")
    masses = atoms.get_masses()
    if not (np.isfinite(masses) & (masses > 0)).all():
        raise ValueError(f"atoms: masses must be finite and > 0 amu, the smallest is {masses.min()}.")
    cell = checked_cell(atoms) if atoms.pbc.any() else np.eye(3)
    velocities = _velocities(atoms, settings, fixed, masses)
    zeros = np.zeros((2, _CHAINS))
    images = np.zeros((len(atoms), 3), dtype=np.int32)
    return State(checked_positions(atoms), velocities, images, cell, np.zeros((3, 3)), zeros, zeros.copy())


def fixed_atoms(atoms):
    """Mask of the atoms that FixAtoms holds; other constraints are refused."""
    fixed = np.zeros(len(atoms), dtype=bool)
    for constraint in atoms.constraints:
        if not isinstance(constraint, FixAtoms):
            raise ValueError(
                f"atoms: the constraint {type(constraint).__name__} is not known here, FixAtoms alone is. Remove it, "
                "or run ASE's dynamics with potential.calculator()."
            )
        fixed[constraint.index] = True
    if fixed.all():
        raise ValueError("atoms: all atoms are fixed, there is nothing to move. Remove the constraint.")
    return fixed


def freedom_of(atoms, settings):
    """Degrees of freedom of the atoms: what the ensemble conserves does not count."""
    fixed = fixed_atoms(atoms)
    freedom = 3 * int((~fixed).sum())
    if fixed.any() or not settings.keeps_momentum:
        return float(freedom)
    freedom -= 3
    if not atoms.pbc.any():
        freedom -= _turns(atoms)
    return float(max(freedom, 0))


def _turns(atoms):
    """Rotations of a molecule: 0 of an atom, 2 of a line, 3."""
    rank = np.linalg.matrix_rank(atoms.positions - atoms.get_center_of_mass(), tol=1e-3)
    return (0, 2, 3, 3)[rank]


def _velocities(atoms, settings, fixed, masses):
    velocities = atoms.get_momenta() / masses[:, None]
    if not np.isfinite(velocities).all():
        raise ValueError("atoms: momenta are not finite. Remove them: atoms.set_momenta(None).")
    if not velocities.any() and settings.temperature is not None:
        rng = np.random.Generator(np.random.Philox(key=[int(settings.seed), 1]))
        width = np.sqrt(units.kB * settings.temperature[0] / masses)
        velocities = width[:, None] * rng.normal(size=(len(atoms), 3))
        if not fixed.any() and settings.keeps_momentum:
            velocities = _at_rest(atoms, velocities, masses)
    velocities[fixed] = 0.0
    return velocities


def _at_rest(atoms, velocities, masses):
    """Without momentum, and without angular momentum where nothing is periodic."""
    velocities = velocities - masses @ velocities / masses.sum()
    if not atoms.pbc.any():
        arms = atoms.positions - atoms.get_center_of_mass()
        momentum = (masses[:, None] * np.cross(arms, velocities)).sum(axis=0)
        inertia = (arms**2 * masses[:, None]).sum() * np.eye(3) - (masses[:, None] * arms).T @ arms
        velocities = velocities - np.cross(np.linalg.pinv(inertia, rcond=1e-6) @ momentum, arms)
    return velocities


def make_system(atoms, state, parts, settings, steps, threads, start_cell, watch=None):
    """The compiled system at a state: the same bits for the same state, whatever came before.

    Parameters
    ----------
    atoms : ase.Atoms
        Elements, masses, periodicity, constraints.
    state : State
    parts : Parts
    settings : MDSettings
    steps : int
        Of the whole run.
    threads : int
    start_cell : ndarray of shape (3, 3)
        Å, at the start of the run.
    watch : Watch, optional

    Returns
    -------
    System
    """
    order = _order(state, atoms.pbc, parts.cutoff + settings.skin)
    mass = np.where(fixed_atoms(atoms), 0.0, atoms.get_masses())
    rest = None if parts.rest is None else _unsorted(parts.rest.bound(atoms), order)
    numbers = settings.numbers(freedom_of(atoms, settings), steps)
    system = System(
        atoms.numbers[order], order, state.positions[order], state.velocities[order], mass[order], state.images[order],
        state.cell, atoms.pbc, parts.kernels, rest, settings.stages(), available_isas()[0],
        n_threads=max(1, min(threads, len(atoms) // 8)), cutoff=parts.cutoff, step=state.step, heat=state.heat,
        volume=abs(np.linalg.det(start_cell)), heights=_heights(start_cell), rate=state.rate, chain=state.chain,
        cell_chain=state.cell_chain, **numbers,
    )  # fmt: skip
    if watch is not None:
        watch.attach(system, len(parts.kernels), atoms, order, state)
    return system


def state_of(system):
    """The State of a system, in the caller's order."""
    place = np.argsort(system.ids)
    positions, velocities = system.x[place, :3], system.v[place, :3]
    seen = {}
    if system.uncertainties is not None:
        seen = {"uncertainties": system.uncertainties[place], "uncertainty_step": system.uncertainty_step}
    return State(positions, velocities, system.images[place], **system.state(), **seen)


def forces_of(system):
    """Forces (n_atoms, 3) in the caller's order, eV/Å."""
    return system.f[np.argsort(system.ids), :3]


def _order(state, pbc, width):
    """Atoms that are near each other one after the other: by layers, then rows, then along the row."""
    fractions = state.positions @ np.linalg.inv(state.cell)
    fractions[:, pbc] %= 1.0
    layers = np.floor(fractions * _heights(state.cell) / width)
    return np.lexsort((fractions[:, 0], layers[:, 1], layers[:, 2])).astype(np.int32)


def _heights(cell):
    return 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)


def _unsorted(compute, order):
    """The same function for atoms in the system's order."""
    place = np.argsort(order)

    def function(positions, cell):
        energy, forces, virial = compute(positions[place], cell)
        return energy, np.asarray(forces)[order], virial

    return function
