"""What a run writes: trajectory and thermo table, each of which can be cut back to a checkpoint."""

import os
from pathlib import Path

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.trajectory import Trajectory
from ase.stress import full_3x3_to_voigt_6_stress

THERMO = (
    "step", "time_fs", "temperature_K", "potential_eV", "kinetic_eV", "conserved_eV", "pressure_GPa", "volume_A3",
)  # fmt: skip


class TextFile:
    """A file that grows by whole entries.

    Parameters
    ----------
    path : path-like
    header : str
        First line of a new file.
    """

    def __init__(self, path, header=""):
        self.path, self.header, self._file = Path(path), header, None

    def open(self, size):
        """Begin anew (None), or go on behind the first `size` bytes; what follows them is cut off."""
        if size is None:
            self._file = open(self.path, "wb")
            self.write(self.header)
            return
        if not self.path.exists() or self.path.stat().st_size < size:
            raise ValueError(
                f"{self.path} is shorter than its run was at the last checkpoint. Put it back, or start anew."
            )
        self._file = open(self.path, "r+b")
        self._file.truncate(size)
        self._file.seek(size)

    def write(self, text):
        self._file.write(text.encode())

    def settle(self):
        """Bring everything to disk; the size, for `open`."""
        self._file.flush()
        if self.path.is_file():
            os.fsync(self._file.fileno())
        return self._file.tell() if self.path.is_file() else 0

    def close(self):
        if self._file is not None:
            self._file.close()


class ExtendedXYZ(TextFile):
    """Trajectory in extended XYZ: positions, momenta, forces, energy, stress, step and time."""

    def write_frame(self, frame):
        atoms = frame["atoms"]
        lattice = " ".join(f"{x:.10g}" for x in atoms.cell.array.ravel())
        periodic = " ".join("FT"[int(flag)] for flag in atoms.pbc)
        head = [f'Lattice="{lattice}"'] if atoms.cell.array.any() else []
        extra = "".join(f":{name}:R:1" for name in frame["arrays"])
        head += [f"Properties=species:S:1:pos:R:3:momenta:R:3:forces:R:3{extra}", f'pbc="{periodic}"']
        head += [f"{name}={value}" for name, value in frame["info"].items()]
        head += [f"energy={frame['energy']:.12g}", f"step={frame['step']}", f"time_fs={frame['time_fs']:.10g}"]
        if frame["stress"] is not None:
            head.append('stress="{}"'.format(" ".join(f"{x:.10g}" for x in frame["stress"].ravel())))
        columns = np.column_stack([atoms.positions, atoms.get_momenta(), frame["forces"], *frame["arrays"].values()])
        row = "%-2s" + " %16.8f" * 9 + " %16.8g" * len(frame["arrays"])
        rows = "\n".join(
            row % (symbol, *numbers) for symbol, numbers in zip(atoms.symbols, columns.tolist(), strict=True)
        )
        self.write(f"{len(atoms)}\n{' '.join(head)}\n{rows}\n")


class ASETrajectory:
    """Trajectory in ASE's own format."""

    def __init__(self, path):
        self.path, self._writer, self._count = Path(path), None, 0

    def open(self, count):
        """Begin anew (None), or go on behind the first `count` frames."""
        self._count = count or 0
        if count is not None:
            self._cut(count)
        self._writer = Trajectory(str(self.path), "a" if count else "w")

    def _cut(self, count):
        try:
            with Trajectory(str(self.path)) as old:
                if len(old) == count:
                    return
                frames = [old[k] for k in range(count)]
        except (OSError, IndexError, ValueError) as error:
            raise ValueError(f"{self.path} does not hold the {count} frames of its run. Start anew.") from error
        temporary = self.path.with_name(f".{self.path.name}.part")
        with Trajectory(str(temporary), "w") as new:
            for atoms in frames:
                new.write(atoms)
        os.replace(temporary, self.path)

    def write_frame(self, frame):
        atoms = frame["atoms"].copy()
        stress = None if frame["stress"] is None else full_3x3_to_voigt_6_stress(frame["stress"])
        atoms.calc = SinglePointCalculator(atoms, energy=frame["energy"], forces=frame["forces"], stress=stress)
        # ASE's format has no arrays of its own names; as entries of info they are kept
        atoms.info |= {"step": frame["step"], "time_fs": frame["time_fs"], **frame["info"], **frame["arrays"]}
        self._writer.write(atoms)
        self._count += 1

    def settle(self):
        """Bring everything to disk; the number of frames, for `open`."""
        self._writer.close()
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())
        self._writer = Trajectory(str(self.path), "a")
        return self._count

    def close(self):
        if self._writer is not None:
            self._writer.close()


def trajectory_file(path):
    """The writer for a path, by its suffix.

    Raises
    ------
    ValueError
        For a suffix that is not known.
    """
    suffix = Path(path).suffix.lower()
    if suffix in (".xyz", ".extxyz"):
        return ExtendedXYZ(path)
    if suffix == ".traj":
        return ASETrajectory(path)
    raise ValueError(f"trajectory: {path} must end in .xyz or .extxyz (text) or in .traj (ASE).")


def thermo_file(path, columns=THERMO):
    """The writer of a thermo table, comma-separated."""
    return TextFile(path, ",".join(columns) + "\n")


def thermo_line(row):
    return ",".join(str(value) if name == "step" else f"{value:.12g}" for name, value in row.items()) + "\n"


def read_thermo(path):
    """Columns of a thermo table, name -> array.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict of str -> ndarray
    """
    with open(path) as file:
        columns = file.readline().strip().split(",")
    table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    return {name: table[:, k] for k, name in enumerate(columns)}
