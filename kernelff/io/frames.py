"""Frames in: read them with their labels, and say what a data set holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import ase.io
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols
from ase.io.formats import string2index

from kernelff.io.checks import inspect
from kernelff.io.finding import Finding, refuse
from kernelff.io.geometry import is_isolated_atom
from kernelff.io.label_keys import KNOWN_KEYS, LabelKeys, candidates, entry_names, labels
from kernelff.io.mlip_cfg import is_cfg, read_cfg
from kernelff.io.stress_check import StressCheck

PERIODICITY = ("no", "one", "two", "three")


@dataclass(frozen=True)
class DataSummary:
    """What a data set holds; ``print`` shows it.

    Attributes
    ----------
    n_frames, n_atoms : int
        Frames, and atoms in all of them.
    sizes : tuple of int
        Atoms of the smallest, the median and the largest frame.
    species : dict
        Chemical symbol -> number of atoms.
    keys : dict
        Kind of label -> {entry it was read from -> number of frames}.
    n_labelled : dict
        "energy", "forces", "stress" -> number of frames that carry it.
    config_types : dict
        Name of the group -> number of frames.
    periodicity : dict
        "no", "one", "two", "three" periodic directions -> number of frames.
    nearest_distance : float
        Å, over all frames.
    energy_range : tuple of float or None
        Smallest and largest energy per atom, eV, isolated atoms left out.
    largest_force : float or None
        eV/Å, largest component.
    isolated_atoms : dict
        Chemical symbol -> energy of the isolated atom, eV.
    stress_check : StressCheck or None
        The stresses against the energies of strained frames.
    findings : tuple of Finding
        What is wrong or odd, errors first.
    """

    n_frames: int
    n_atoms: int
    sizes: tuple[int, int, int]
    species: dict[str, int]
    keys: dict[str, dict[str, int]]
    n_labelled: dict[str, int]
    config_types: dict[str, int]
    periodicity: dict[str, int]
    nearest_distance: float
    energy_range: tuple[float, float] | None = None
    largest_force: float | None = None
    isolated_atoms: dict[str, float] = field(default_factory=dict)
    stress_check: StressCheck | None = None
    findings: tuple[Finding, ...] = ()

    def rows(self):
        """The summary as pairs of title and text.

        Returns
        -------
        list of tuple of str
        """
        smallest, median, largest = self.sizes
        rows = [
            ("frames", f"{self.n_frames}"),
            ("atoms", f"{self.n_atoms} ({smallest} to {largest} per frame, median {median})"),
            ("species", _listed(self.species)),
        ]
        for kind, count in self.n_labelled.items():
            sources = ", ".join(entry for entry in self.keys[kind])
            rows.append((kind, f"{count} frames, from {sources}" if count else "none"))
        if self.energy_range:
            rows.append(("energy per atom", f"{self.energy_range[0]:.4f} to {self.energy_range[1]:.4f} eV"))
        if self.largest_force is not None:
            rows.append(("largest force", f"{self.largest_force:.3g} eV/Å"))
        if self.isolated_atoms:
            energies = (f"{symbol} {energy:.4f} eV" for symbol, energy in self.isolated_atoms.items())
            rows.append(("isolated atoms", ", ".join(energies)))
        rows.append(("nearest distance", f"{self.nearest_distance:.3f} Å"))
        rows.append(("periodic directions", _listed(self.periodicity)))
        if self.config_types:
            rows.append(("config_type", _listed(self.config_types)))
        if self.stress_check is not None and not self.stress_check.wrong:
            rows.append(("stress check", self.stress_check.message))
        return rows

    def __str__(self):
        rows = self.rows() + [(found.severity, str(found)) for found in self.findings]
        return "\n".join(f"{title:<20}{text}" for title, text in rows)


def read_frames(path, index=":", *, keys=None, species=None):
    """Read frames from any file ASE reads or MLIP's .cfg, with their labels brought to one convention.

    Parameters
    ----------
    path : str or Path
    index : str or slice
        Which frames, as in `ase.io.read`.
    keys : LabelKeys, optional
        Names and conventions of the labels; the usual names are looked for otherwise.
    species : sequence of int or str, optional
        Elements of the types 0, 1, .. of MLIP's .cfg, which does not name them; no other file needs them. Those of
        `keys` by default.

    Returns
    -------
    list of ase.Atoms
        With energy, forces and stress (whatever the file holds) in a `SinglePointCalculator`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be read, holds no frames, or its labels are contradictory.
    """
    species = keys.species if species is None and keys is not None else species
    return with_labels(read_raw_frames(path, index, species), keys, what=str(path))


def read_raw_frames(path, index=":", species=None):
    """Read frames as they stand in the file.

    Parameters
    ----------
    path : str or Path
    index : str or slice
    species : sequence of int or str, optional
        See `read_frames`.

    Returns
    -------
    list of ase.Atoms

    Raises
    ------
    FileNotFoundError, ValueError
        See `read_frames`.
    """
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder; name a file in it")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    frames = _read_by_mlip(path, index, species) if is_cfg(path) else _read_by_ase(path, index)
    frames = [frames] if isinstance(frames, ase.Atoms) else list(frames)
    if not frames:
        raise ValueError(f"{path}: the file holds no frames (index {index!r})")
    return frames


def _read_by_mlip(path, index, species):
    frames = read_cfg(path, species)
    try:
        return frames[string2index(index) if isinstance(index, str) else index]
    except (IndexError, ValueError) as error:
        raise ValueError(f"{path}: index {index!r} of {len(frames)} frames: {error}") from None


def _read_by_ase(path, index):
    try:
        return ase.io.read(path, index)
    except Exception as error:  # ASE's readers raise whatever they stumble over
        raise ValueError(
            f"{path}: ASE cannot read this file ({type(error).__name__}: {error}); is it complete, "
            "and does its name tell the format (.xyz, .extxyz, .traj, OUTCAR, ...)?"
        ) from error


def with_labels(frames, keys=None, *, what="data"):
    """Copies of frames with their labels, in one convention, in a `SinglePointCalculator`.

    Parameters
    ----------
    frames : sequence of ase.Atoms
    keys : LabelKeys, optional
    what : str
        What to call the frames in messages.

    Returns
    -------
    list of ase.Atoms
        The entries the labels were read from are taken out of ``info`` and ``arrays``; all others stay.

    Raises
    ------
    ValueError
        If a key that was asked for is nowhere to be found, or labels are contradictory (see `labels`).
    """
    keys = LabelKeys() if keys is None else keys
    _refuse_absent_keys(frames, keys, what)
    return [_relabelled(atoms, labels(atoms, keys, name=f"{what}: frame {k}")) for k, atoms in enumerate(frames)]


def describe(frames, what="data", *, keys=None, require_labels=False):
    """Check frames and say what they hold.

    Parameters
    ----------
    frames : sequence of ase.Atoms
    what : str
        What to call the frames in messages.
    keys : LabelKeys, optional
    require_labels : bool
        Refuse frames without labels.

    Returns
    -------
    DataSummary

    Raises
    ------
    ValueError
        See `check_frames`.
    """
    inspection = inspect(frames, keys, require_labels=require_labels)
    refuse(inspection.findings, what)
    return summarise(inspection)


def summarise(inspection):
    """What the usable frames of an inspected data set hold.

    Parameters
    ----------
    inspection : Inspection

    Returns
    -------
    DataSummary

    Raises
    ------
    ValueError
        If no frame is usable.
    """
    data = inspection.data.part(inspection.data.usable)
    if not len(data):
        refuse(inspection.findings)
    frames, found, sizes = data.frames, data.labels, [len(atoms) for atoms in data.frames]
    numbers = np.concatenate([atoms.numbers for atoms in frames])
    per_atom = [x.energy / n for x, n in zip(found, sizes, strict=True) if x.energy is not None and n > 1]
    forces = [np.abs(x.forces).max(initial=0.0) for x in found if x.forces is not None]
    isolated = {int(a.numbers[0]): x.energy for a, x in zip(frames, found, strict=True) if is_isolated_atom(a)}
    return DataSummary(
        n_frames=len(frames),
        n_atoms=sum(sizes),
        sizes=(min(sizes), int(np.median(sizes)), max(sizes)),
        species={chemical_symbols[z]: int((numbers == z).sum()) for z in np.unique(numbers)},
        keys={kind: _sources(frames, found, kind, data.keys) for kind in ("energy", "forces", "stress")},
        n_labelled={kind: sum(getattr(x, kind) is not None for x in found) for kind in ("energy", "forces", "stress")},
        config_types=dict(Counter(str(atoms.info["config_type"]) for atoms in frames if "config_type" in atoms.info)),
        periodicity=dict(Counter(PERIODICITY[int(atoms.pbc.sum())] for atoms in frames)),
        nearest_distance=min(g.nearest for g in data.geometries),
        energy_range=(min(per_atom), max(per_atom)) if per_atom else None,
        largest_force=float(max(forces)) if forces else None,
        isolated_atoms={chemical_symbols[z]: energy for z, energy in sorted(isolated.items()) if energy is not None},
        stress_check=inspection.stress_check,
        findings=tuple(inspection.findings),
    )


def _relabelled(atoms, found):
    copy = atoms.copy()  # leaves the calculator behind
    for kind in KNOWN_KEYS:
        for entry in candidates(copy, kind):
            (copy.info if entry.place == "info" else copy.arrays).pop(entry.key, None)
    results = {kind: value for kind, value in found._asdict().items() if value is not None}
    if results:
        copy.calc = SinglePointCalculator(copy, **results)
    return copy


def _refuse_absent_keys(frames, keys, what):
    for kind in KNOWN_KEYS:
        wanted = getattr(keys, f"{kind}_key")
        if wanted is not None and not any(candidates(atoms, kind, keys) for atoms in frames):
            there = sorted({name for atoms in frames for name in entry_names(atoms)})
            raise ValueError(
                f"{what}: no frame has an entry {kind}_key={wanted!r}; the entries found are: "
                f"{', '.join(there) or 'none'}"
            )


def _sources(frames, found, kind, keys):
    sources = Counter()
    for atoms, frame_labels in zip(frames, found, strict=True):
        if getattr(frame_labels, kind) is None:
            continue
        entries = candidates(atoms, kind, keys)
        if kind == "stress":
            entries += candidates(atoms, "virial", keys)
        sources.update(str(entry) for entry in entries)
    return dict(sources)


def _listed(counts):
    return ", ".join(f"{name} {count}" for name, count in counts.items())
