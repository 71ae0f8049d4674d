"""A run from its start or its checkpoint to its end: the compiled loop, and what is written on the way."""

import os
import time
from numbers import Real
from pathlib import Path

import numpy as np
from ase import Atoms, units

from kernelff._md import Stopped
from kernelff.checks import require_path
from kernelff.md.checkpoint import MDCheckpoint, fingerprint
from kernelff.md.files import THERMO, ExtendedXYZ, read_thermo, thermo_file, thermo_line, trajectory_file
from kernelff.md.guards import MDStopped, explained, pressure_of, temperature_limit, too_hot
from kernelff.md.observables import Observers
from kernelff.md.parts import parts_of
from kernelff.md.state import forces_of, freedom_of, make_system, start_state, state_of
from kernelff.md.watch import Watch
from kernelff.potential import Potential
from kernelff.single_precision import SINGLE_TOLERANCE, too_coarse

_SECONDS = 0.1  # of compiled code at a time: Ctrl-C works in between
_MOST = 10**15  # steps


class Simulation:
    """One run; see `run` for the parameters."""

    def __init__(
        self, atoms, potential, settings, steps, trajectory, thermo, checkpoint, every, threads, observers=None
    ):
        potential = getattr(potential, "potential_", potential)
        if not isinstance(atoms, Atoms):
            raise ValueError(f"atoms: must be ase.Atoms, one frame, got {atoms!r:.100}.")
        self.every = _checked_intervals(every, len(atoms))
        self.steps, self.threads = _whole("steps", steps, 0), _whole("threads", threads, 1)
        if isinstance(potential, Potential):
            potential.check_species(atoms)
        elif not hasattr(potential, "get_potential_energy"):
            raise ValueError(f"potential: must be a Potential, a fitted model or an ASE calculator, got {potential!r}.")
        self.atoms, self.settings = atoms.copy(), settings
        self.atoms.info, self.atoms.calc = {}, None
        self.start = start_state(atoms, settings)
        self.volume = abs(float(np.linalg.det(self.start.cell)))
        self.watch = None if settings.uncertainty is None else Watch(potential, settings, atoms)
        self.columns = THERMO if self.watch is None else (*THERMO, *self.watch.columns)
        self.parts, self.exact = parts_of(potential), None
        if settings.precision == "single":
            if not isinstance(potential, Potential):
                raise ValueError('precision: an ASE calculator has no choice. Use "double".')
            self.exact, self.parts = self.parts, parts_of(potential.with_precision("single"))
        self.offset = float(sum(self.parts.e0.get(int(z), 0.0) for z in atoms.numbers))
        self.freedom = freedom_of(self.atoms, settings)
        require_path("trajectory", trajectory, "run.xyz")
        require_path("thermo", thermo, "run.csv")
        require_path("checkpoint", checkpoint, "run.checkpoint")
        self.files = {} if trajectory is None else {"trajectory": trajectory_file(trajectory)}
        self.files |= {} if thermo is None else {"thermo": thermo_file(thermo, self.columns)}
        self.observers = observers or Observers()
        self.observers.begin(self.atoms, settings, potential, self.parts)
        owner = fingerprint(atoms, potential, settings, self.steps, self.every, self.observers.settings())
        path = _checkpoint_path(checkpoint, trajectory, thermo, self.observers.path)
        _require_other_files(trajectory=trajectory, thermo=thermo, checkpoint=path, observables=self.observers.path)
        self.checkpoint = None if path is None else MDCheckpoint(path, owner)
        self.rows, self.system, self.saved = [], None, None
        self.hottest = temperature_limit(settings, self.freedom, self.start_temperature())

    def start_temperature(self):
        """K."""
        with np.errstate(over="ignore"):  # which the first step refuses
            twice_kinetic = float(self.atoms.get_masses() @ (self.start.velocities**2).sum(axis=1))
        return twice_kinetic / (max(self.freedom, 1.0) * units.kB)

    # ---- the run --------------------------------------------------------------------------------------

    def go(self, resume=True, progress=None):
        """Run to the end; nanoseconds per day."""
        found = self.checkpoint.load() if resume and self.checkpoint is not None else None
        if found is None and resume:
            self._refuse_to_overwrite()
        try:
            state = self._begin(found)
            return self._loop(state, progress)
        except (MDStopped, KeyboardInterrupt) as stop:
            self._keep_observed(stop)
            raise
        except OSError as error:
            raise OSError(self._told(error)) from error
        finally:
            for file in self.files.values():
                _close(file)

    def _begin(self, found):
        state, sizes, observed = found or (self.start, {}, None)
        if state.step > self.steps:
            raise ValueError(f"steps: the checkpoint is at step {state.step}, beyond {self.steps}. Give more steps.")
        self._place(state, found is None and self.observers.want_virials(state.step))
        self.saved = state.step if found else None
        for name, file in self.files.items():
            file.open(sizes.get(name))
        if found is None:
            self._record(0)
            self._save()
            return self.system.step
        self.observers.restore(observed)
        if "thermo" in self.files:
            table = read_thermo(self.files["thermo"].path)
            self.rows = [dict(zip(self.columns, row, strict=True)) for row in zip(*table.values(), strict=True)]
        return self.system.step

    def _place(self, state, of_atoms=False):
        """The system at a state. A checkpoint passes here too, so that a run that goes on and one that starts from
        the file are in the same order, with the same list, and stay the same to the last bit."""
        self.system = make_system(
            self.atoms, state, self.parts, self.settings, self.steps, self.threads, self.start.cell, self.watch
        )
        self._guarded(self.system.compute, of_atoms)
        if self.exact is not None:
            self._refuse_coarse(state)

    def _refuse_coarse(self, state):
        """Compare forces in single precision with those in double precision, in which a watch makes some of them."""
        forces = []
        for parts in (self.parts, self.exact):
            system = make_system(self.atoms, state, parts, self.settings, self.steps, self.threads, self.start.cell)
            self._guarded(system.compute)
            forces.append(forces_of(system))
        error = np.abs(forces[0] - forces[1]).max(initial=0.0)
        if error <= SINGLE_TOLERANCE:
            return
        if state.step == 0:
            raise ValueError(f'{too_coarse(f"{error:.1e}")} Use precision="double".')
        text = f"The run stopped after step {state.step}: {too_coarse(f'{error:.1e}')} Go on from its last frame with "
        raise self._with_last_frame(MDStopped(f'{text}precision="double".', "precision", (), state.step))

    def _guarded(self, call, *arguments):
        try:
            call(*arguments)
        except Stopped as stopped:
            reason = explained(stopped, self.atoms, self.system.step, self.settings, self.volume, self.watch)
            raise self._with_last_frame(reason) from None

    def _loop(self, step, progress):
        began, first, chunk, rate = time.perf_counter(), step, 1, 0.0
        while step < self.steps:
            ends = (every - step % every for every in self.every)
            n = min([chunk, self.steps - step, self.observers.steps_left(step), *ends])
            start = time.perf_counter()
            self._guarded(self.system.run, n, self.observers.want_virials(step + n))
            spent = max(time.perf_counter() - start, 1e-6)
            chunk = int(min(max(n * _SECONDS / spent, 1), 2 * max(chunk, n), 10**6))
            step += n
            self._record(step)
            if step % self.every[2] == 0 or step == self.steps:
                self._save()
            days = max(time.perf_counter() - began, 1e-9) / 86400
            rate = (step - first) * self.settings.timestep * 1e-6 / days
            if progress is not None:
                progress(step, self.steps, f"{rate:.3g} ns/day")
        return rate

    # ---- what is written ------------------------------------------------------------------------------

    def _record(self, step):
        if step % self.every[1] == 0 or step == self.steps:
            self.rows.append(self._row())
            if "thermo" in self.files and step % self.every[1] == 0:
                self.files["thermo"].write(thermo_line(self.rows[-1]))
            hot = too_hot(self.rows[-1], self.hottest, self.settings)
            if hot is not None:
                raise self._with_last_frame(hot)
        if "trajectory" in self.files and step % self.every[0] == 0:
            self.files["trajectory"].write_frame(self.frame())
        self.observers.sample(self.system, self.watch)

    def _save(self):
        sizes = {name: file.settle() for name, file in self.files.items()}
        if self.checkpoint is not None:
            state = state_of(self.system)
            self.checkpoint.save(state, sizes, self.observers.state())
            self.saved = state.step
            self._place(state)
        elif self.exact is not None:
            self._refuse_coarse(state_of(self.system))

    def _row(self):
        system, periodic = self.system, self.atoms.pbc.all()
        kinetic = 0.5 * float(system.kinetic.trace())
        volume = abs(float(np.linalg.det(system.cell))) if periodic else float("nan")
        temperature = 2.0 * kinetic / (self.freedom * units.kB) if self.freedom else 0.0
        values = (
            system.step, system.step * self.settings.timestep, temperature, system.energy + self.offset, kinetic,
            system.conserved + self.offset, pressure_of(system, volume), volume,
        )  # fmt: skip
        return dict(zip(THERMO, values, strict=True)) | ({} if self.watch is None else self.watch.row(system))

    def frame(self):
        """The present frame: atoms with momenta, energy, forces, stress (3, 3) or None, step and time, arrays of the
        atoms and what info says of them."""
        system, state = self.system, state_of(self.system)
        atoms = self.atoms.copy()
        given = atoms.cell.array.any(axis=1)
        atoms.set_cell(np.where(given[:, None], state.cell, 0.0))
        atoms.set_positions(state.path, apply_constraint=False)
        atoms.set_momenta(state.velocities * atoms.get_masses()[:, None], apply_constraint=False)
        stress = None
        if atoms.pbc.all():
            stress = -0.5 * (system.virial + system.virial.T) / atoms.get_volume()
        arrays = {} if self.watch is None else self.watch.arrays(system)
        atoms.arrays |= arrays
        return {
            "atoms": atoms, "energy": float(system.energy + self.offset), "forces": forces_of(system), "stress": stress,
            "step": system.step, "time_fs": system.step * self.settings.timestep,
            "arrays": arrays,
            "info": {} if self.watch is None else {"uncertainty_step": system.uncertainty_step},
        }  # fmt: skip

    def table(self):
        """The thermo table, name -> array."""
        return {name: np.array([row[name] for row in self.rows]) for name in self.columns}

    # ---- what goes wrong ------------------------------------------------------------------------------

    def _with_last_frame(self, reason):
        """Keep the frame at which the run stopped beside the trajectory."""
        kept = "" if self.saved is None else f" The checkpoint {self.checkpoint.path} at step {self.saved} is kept."
        if "trajectory" in self.files:
            path = self.files["trajectory"].path.with_suffix(".stopped.xyz")
            frame = self.frame()
            frame["forces"] = np.nan_to_num(frame["forces"])
            frame["stress"] = None  # the loop makes virials when a step needs them, not in the middle of a run
            file = ExtendedXYZ(path)
            try:
                file.open(None)
                file.write_frame(frame)
                kept += f" The frame is in {path}."
            except OSError:
                kept += f" The frame could not be written to {path}."
            finally:
                _close(file)
        reason.args = (f"{reason}{kept}",)
        return reason

    def _keep_observed(self, stop):
        """What was observed until the run stopped, into its files and with an MDStopped."""
        try:
            found = self.observers.keep(self.system.step) if self.system is not None else {}
            where = f" What was observed is in {self.observers.path}." if found and self.observers.path else ""
        except OSError as error:
            found, where = {}, f" What was observed is lost: {error}"
        if isinstance(stop, MDStopped):
            stop.observables, stop.args = found, (f"{stop}{where}",)

    def _told(self, error):
        path = error.filename or ", ".join(str(file.path) for file in self.files.values())
        text = f"{path} cannot be written: {error.strerror or error}."
        if self.saved is None:
            return f"{text} Give a folder that can be written to, with space left."
        return (
            f"{text} The run is kept up to step {self.saved} in {self.checkpoint.path}; make room (or the folder "
            "writable) and repeat the call to go on from there."
        )

    def _refuse_to_overwrite(self):
        paths = {name: file.path for name, file in self.files.items()}
        paths |= {"observables": self.observers.path} if self.observers.path else {}
        for name, path in paths.items():
            if path.is_file():
                raise ValueError(
                    f"{name}: {path} exists and has no checkpoint to go on from. Give another path, or start anew "
                    "and overwrite it (resume=False, --restart)."
                )


def _close(file):
    try:
        file.close()
    except OSError:  # a full disk, reported already
        pass


def _checkpoint_path(checkpoint, *beside):
    if checkpoint is not None and Path(checkpoint).is_dir():
        raise ValueError(f"checkpoint: {checkpoint} is a folder. Name a file in it.")
    if checkpoint is None:
        beside = next((path for path in beside if path is not None), None)
        return None if beside is None else Path(beside).with_suffix(".checkpoint")
    return Path(checkpoint)


def _checked_intervals(every, n_atoms):
    trajectory, thermo, checkpoint = every
    if checkpoint is None:
        checkpoint = int(np.clip(2_000_000 // max(n_atoms, 1), 200, 10_000))
    names = ("trajectory_every", "thermo_every", "checkpoint_every")
    return tuple(_whole(name, value, 1) for name, value in zip(names, (trajectory, thermo, checkpoint), strict=True))


def _whole(name, value, least):
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not float(value).is_integer() or not least <= value <= _MOST:
        raise ValueError(f"{name}: must be a whole number >= {least} (and <= {_MOST:g}), got {value!r}.")
    return int(value)


def _require_other_files(**paths):
    """Refuse files that would overwrite each other."""
    seen = {}
    for name, path in paths.items():
        place = None if path is None else os.path.realpath(path)
        if place in seen:
            raise ValueError(f"{name}: {path} is the file of {seen[place]}, too. Give each its own.")
        if place is not None:
            seen[place] = name
