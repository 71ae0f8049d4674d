"""The frames of a data set with what is read off them once: labels and geometry."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from ase.data import covalent_radii

from kernelff.io.finding import finding, from_error
from kernelff.io.geometry import geometry, same_environments, same_place
from kernelff.io.label_keys import LabelKeys, Labels, labels

COINCIDENT = 0.2  # Å; no two nuclei come closer in any data worth fitting
IMPOSSIBLE_FORCE = 1e4  # eV/Å
IMPOSSIBLE_NUMBER = 1e15  # in any unit; what stands in files that a program left half-written
NO_LABELS = Labels(None, None, None)


@dataclass(frozen=True, eq=False)
class DataSet:
    """Frames, and what all checks share.

    Attributes
    ----------
    frames : list of ase.Atoms
    keys : LabelKeys
    labels : list of Labels
        All None where a frame's labels cannot be used.
    geometries : list of Geometry or None
        None for frames that cannot be used at all.
    broken : list of Finding
        Why they cannot.
    """

    frames: list
    keys: LabelKeys
    labels: list[Labels]
    geometries: list
    broken: list = field(default_factory=list)

    @classmethod
    def of(cls, frames, keys=None):
        """Read labels and geometry of every frame; what fails becomes a finding.

        Parameters
        ----------
        frames : sequence of ase.Atoms
        keys : LabelKeys, optional

        Returns
        -------
        DataSet
        """
        frames, keys, broken = list(frames), LabelKeys() if keys is None else keys, []
        keys.stress_permutation()  # refuse wrong keys once, not in every frame

        def attempt(read, name, k):
            try:
                return read(frames[k], frame_name(k, frames[k]), keys)
            except ValueError as error:
                broken.append(from_error(error, name, k, len(frames)))
            return None

        found = [attempt(_usable_labels, "labels", k) or NO_LABELS for k in range(len(frames))]
        geometries = [attempt(_usable_geometry, "geometry", k) for k in range(len(frames))]
        return cls(frames, keys, found, geometries, broken)

    def __len__(self):
        return len(self.frames)

    @property
    def usable(self):
        """Indices of the frames that have a geometry."""
        return [k for k, g in enumerate(self.geometries) if g is not None]

    def labelled(self, *kinds):
        """Indices of the usable frames that carry all of these kinds of label."""
        return [k for k in self.usable if all(getattr(self.labels[k], kind) is not None for kind in kinds)]

    def part(self, indices):
        """The data set of some frames."""
        frames, found, geometries = (
            [values[k] for k in indices] for values in (self.frames, self.labels, self.geometries)
        )
        return DataSet(frames, self.keys, found, geometries)

    @cached_property
    def copies(self):
        """Pairs of frames equal up to rotation and order of the atoms."""
        usable = self.usable
        pairs = same_environments([self.geometries[k] for k in usable])
        return [(usable[a], usable[b]) for a, b in pairs]

    @cached_property
    def exact_copies(self):
        """Those of `copies` that are equal atom by atom, up to a translation."""
        return [(a, b) for a, b in self.copies if same_place(self.geometries[a], self.geometries[b])]

    def finding(self, severity, name, message, remedy="", frames=()):
        """A Finding that knows how many frames there are, and which factors its remedy comes on top of."""
        given = any(getattr(self.keys, f"{kind}_factor") != 1.0 for kind in ("energy", "forces", "stress"))
        if given and "_factor=" in remedy:
            remedy += " (times the factor that was given)"
        return finding(severity, name, message, remedy, frames, len(self))


def frame_name(k, atoms):
    """How a frame is called in messages: its number, composition and group.

    Returns
    -------
    str
    """
    group = atoms.info.get("config_type")
    details = f"{atoms.get_chemical_formula()}{f', {group}' if group is not None else ''}"
    return f"frame {k} ({details})" if len(atoms) else f"frame {k}"


def _usable_geometry(atoms, name, _keys):
    if len(atoms) == 0:
        raise ValueError(f"{name} holds no atoms; drop it")
    if (atoms.numbers < 1).any() or (atoms.numbers >= len(covalent_radii)).any():
        raise ValueError(f"{name} holds atoms of unknown element (atomic number {atoms.numbers.min()}); name them")
    try:
        found = geometry(atoms)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if found.nearest < COINCIDENT:
        i, j = found.nearest_pair
        raise ValueError(
            f"{name}: atoms {i} and {j} are {found.nearest:.3g} Å apart (periodic images included), no two "
            f"nuclei come closer than {COINCIDENT} Å; remove one of them or check cell and pbc"
        )
    return found


def _usable_labels(atoms, name, keys):
    found = labels(atoms, keys, name=name)
    for kind, value in found._asdict().items():
        if value is not None and not np.isfinite(value).all():
            raise ValueError(f"{name}: its {kind} is not finite (NaN or infinite); drop the frame or its {kind}")
        if value is not None and np.abs(value).max(initial=0.0) > IMPOSSIBLE_NUMBER:
            raise ValueError(f"{name}: its {kind} is {np.abs(value).max():.3g}, no physical number; drop the frame")
    if found.forces is not None and np.abs(found.forces).max(initial=0.0) > IMPOSSIBLE_FORCE:
        worst = int(np.abs(found.forces).max(axis=1).argmax())
        raise ValueError(
            f"{name}: the force on atom {worst} is {np.abs(found.forces).max():.3g} eV/Å; "
            "check the units (eV/Å, else give forces_factor) or drop the frame"
        )
    return found
