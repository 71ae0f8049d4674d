"""Refuse frames no model should be fitted to, and say what to do about them."""

from __future__ import annotations

import warnings
from collections import defaultdict
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols, covalent_radii

from kernelff.io.geometry import geometry, is_isolated_atom, same_environments, same_place
from kernelff.io.label_keys import Labels, entry_names, has_stress, labels

COINCIDENT = 0.2  # Å; no two nuclei come closer in any data worth fitting
LARGE_FORCE, IMPOSSIBLE_FORCE = 100.0, 1e4  # eV/Å; doubtful, impossible
CONTRADICTORY_ENERGY = 5e-3  # eV/atom; more than k-point sets or FFT grids do between equal frames
CONTRADICTORY_FORCE = 0.1  # eV/Å
ASYMMETRIC = 0.02  # see Geometry.asymmetry; a displacement of about 0.02 Å
LARGE_STRESS = 2.0  # eV/Å^3, 320 GPa


class CheckedFrames(NamedTuple):
    """What `check_frames` found on the way."""

    labels: list[Labels]
    geometries: list
    copies: list[tuple[int, int]]
    """Pairs of frames equal up to rotation and order of the atoms."""
    notes: list[str]
    """Sentences for the user about what is odd but no reason to refuse."""


def check_frames(frames, what="data", *, keys=None, require_labels=True, warn=True):
    """Check a data set for everything that would spoil a fit.

    Parameters
    ----------
    frames : sequence of ase.Atoms
    what : str
        What to call the frames in messages, e.g. "training frames".
    keys : LabelKeys, optional
    require_labels : bool
        False accepts frames without labels (to predict on).
    warn : bool
        Emit the notes as warnings too.

    Returns
    -------
    CheckedFrames

    Raises
    ------
    ValueError
        If there are no frames, a frame is empty, has positions, labels or a cell that cannot be used, two
        atoms coincide, labels are missing or all zero, or two equal frames carry contradictory labels. The
        message names the frames and the remedy.
    """
    frames = list(frames)
    if not frames:
        raise ValueError(f"{what}: there are no frames; give at least one")
    names = [frame_name(what, k, atoms) for k, atoms in enumerate(frames)]
    found = [labels(atoms, keys, name=name) for atoms, name in zip(frames, names, strict=True)]
    geometries = [_checked_geometry(atoms, name) for atoms, name in zip(frames, names, strict=True)]
    for atoms, name, frame_labels in zip(frames, names, found, strict=True):
        _refuse_bad_labels(atoms, name, frame_labels)
    notes = []
    if require_labels:
        _refuse_missing(frames, what, found)
        _refuse_zeros(what, found, geometries, frames)
        notes += _missing_notes(found, frames) + _per_atom_notes(found, frames)
    notes += _outlier_notes(found, geometries)
    isolated_atom_energies(frames, found=found)
    copies = same_environments(geometries)
    exact = [(a, b) for a, b in copies if same_place(geometries[a], geometries[b])]
    _refuse_contradictions(exact, names, found, geometries)
    notes += _copy_notes(exact, frames)
    if warn:
        for note in notes:
            warnings.warn(f"{what}: {note}", stacklevel=2)
    return CheckedFrames(found, geometries, copies, notes)


def isolated_atom_energies(frames, *, keys=None, found=None):
    """Energies of isolated atoms among the frames.

    Parameters
    ----------
    frames : sequence of ase.Atoms
    keys : LabelKeys, optional
    found : sequence of Labels, optional
        The labels, where they are known already.

    Returns
    -------
    dict
        Atomic number -> energy, eV.

    Raises
    ------
    ValueError
        If two isolated atoms of one element have different energies.
    """
    energies = {}
    for k, atoms in enumerate(frames):
        if not is_isolated_atom(atoms):
            continue
        energy = (found[k] if found is not None else labels(atoms, keys, name=f"frame {k}")).energy
        z = int(atoms.numbers[0])
        if energy is None:
            continue
        if abs(energies.setdefault(z, energy) - energy) > CONTRADICTORY_ENERGY:
            raise ValueError(
                f"frame {k}: this isolated {chemical_symbols[z]} atom has energy {energy:.6f} eV, an earlier "
                f"one {energies[z]:.6f} eV; keep one of them, or pass e0={{{z}: ...}}"
            )
    return energies


def shared_frames(frames, others):
    """Frames that two sets have in common, up to rotation, reflection and order of the atoms.

    Parameters
    ----------
    frames, others : sequence of ase.Atoms
        Say, test and training frames.

    Returns
    -------
    list of tuple of int
        (index in `frames`, index in `others`).
    """
    return same_environments([geometry(atoms) for atoms in frames], [geometry(atoms) for atoms in others])


def frame_name(what, k, atoms):
    """How a frame is called in messages: its number, composition and group.

    Returns
    -------
    str
    """
    group = atoms.info.get("config_type")
    details = f"{atoms.get_chemical_formula()}{f', {group}' if group is not None else ''}"
    return f"{what}: frame {k} ({details})" if len(atoms) else f"{what}: frame {k}"


def _checked_geometry(atoms, name):
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


def _refuse_bad_labels(_atoms, name, found):
    for kind, value in found._asdict().items():
        if value is not None and not np.isfinite(value).all():
            raise ValueError(f"{name}: its {kind} is not finite (NaN or infinite); drop the frame or its {kind}")
    if found.forces is not None and np.abs(found.forces).max(initial=0.0) > IMPOSSIBLE_FORCE:
        worst = int(np.abs(found.forces).max(axis=1).argmax())
        raise ValueError(
            f"{name}: the force on atom {worst} is {np.abs(found.forces).max():.3g} eV/Å; "
            "check the units (eV/Å) or drop the frame"
        )


def _refuse_missing(frames, what, found):
    if any(label is not None for frame_labels in found for label in frame_labels):
        return
    there = sorted({entry for atoms in frames[:100] for entry in entry_names(atoms)})
    raise ValueError(
        f"{what}: no frame carries energies, forces or stresses under a usual name; name the entries with "
        f"energy_key, forces_key, stress_key or virial_key (found: {', '.join(there) or 'none'})"
    )


def _refuse_zeros(what, found, geometries, frames):
    """Zeros that stand for "not computed": everywhere, or forces that symmetry does not forbid."""
    energies = [label.energy for label in found if label.energy is not None]
    if energies and not np.any(energies):
        raise ValueError(f"{what}: all {len(energies)} energies are zero; read the right entry with energy_key")
    stresses = [label.stress for label in found if label.stress is not None]
    if stresses and not np.any(stresses):
        raise ValueError(
            f"{what}: all {len(stresses)} stresses are zero; read the right entry with stress_key, "
            "or leave them out with use_stress=False"
        )
    blank = [
        k
        for k, label in enumerate(found)
        if label.forces is not None and not label.forces.any() and geometries[k].asymmetry > ASYMMETRIC
    ]
    if blank:
        raise ValueError(
            f"{what}: all forces are exactly zero in {_count(blank, len(frames))}, where symmetry does not "
            "make them zero; read the right entry with forces_key, or delete these forces from the frames"
        )


def _per_atom_notes(found, frames):
    """Totals grow with the number of atoms; if they do not, they may have been divided by it.

    A note only: energies relative to the perfect crystal do not grow either when each frame has one defect.
    """
    rows = defaultdict(list)
    for atoms, label in zip(frames, found, strict=True):
        if label.energy is not None and len(atoms) > 1:
            fractions = np.round(np.bincount(atoms.numbers) / len(atoms), 6)
            rows[fractions.tobytes()].append((len(atoms), label.energy))
    notes = []
    for group in rows.values():
        n, energy = np.array(group).T
        grown = len(n) >= 4 and n.max() >= 2 * n.min() and energy.any()
        if grown and _scatter(energy) < 0.1 * _scatter(energy / n):
            notes.append(
                f"the energies hardly change between frames of {n.min():.0f} and {n.max():.0f} atoms "
                f"({energy.min():.4g} to {energy.max():.4g} eV): are they per atom? Total energies are needed"
            )
    return notes


def _scatter(x):
    return np.std(x) / abs(np.mean(x)) if np.mean(x) else np.inf


def _missing_notes(found, frames):
    notes = []
    for kind in ("energy", "forces", "stress"):
        may = [k for k, atoms in enumerate(frames) if kind != "stress" or has_stress(atoms)]
        absent = [k for k in may if getattr(found[k], kind) is None]
        if absent and len(absent) < len(may):
            notes.append(f"{_count(absent, len(frames))} carry no {kind}")
    return notes


def _outlier_notes(found, geometries):
    notes = []
    rough = [k for k, x in enumerate(found) if x.forces is not None and np.abs(x.forces).max(initial=0) > LARGE_FORCE]
    if rough:
        notes.append(f"forces above {LARGE_FORCE:.0f} eV/Å in {_count(rough, len(found))}")
    close = [k for k, g in enumerate(geometries) if g.nearest < 0.5 * 2 * covalent_radii[g.species].min()]
    if close:
        shortest = min(geometries[k].nearest for k in close)
        notes.append(f"very short distances (down to {shortest:.2f} Å) in {_count(close, len(found))}")
    stressed = [k for k, x in enumerate(found) if x.stress is not None and np.abs(x.stress).max() > LARGE_STRESS]
    if len(stressed) > 0.1 * len(found):
        notes.append(
            f"stresses above {LARGE_STRESS * 160.2:.0f} GPa in {_count(stressed, len(found))}: "
            "are they in eV/Å^3? Stresses in GPa or kBar are converted with stress_factor"
        )
    return notes


def _refuse_contradictions(exact, names, found, geometries):
    for a, b in exact:
        one, other = found[a], found[b]
        if one.energy is not None and other.energy is not None:
            difference = abs(one.energy - other.energy) / len(geometries[a].species)
            if difference > CONTRADICTORY_ENERGY:
                raise ValueError(
                    f"{names[a]} and {names[b].split(': ')[-1]} are one structure, but energies are "
                    f"{one.energy:.6f} and {other.energy:.6f} eV ({1e3 * difference:.3g} meV/atom apart); "
                    "keep the one whose settings match the rest"
                )
        if one.forces is not None and other.forces is not None:
            difference = np.abs(one.forces - other.forces).max()
            if difference > CONTRADICTORY_FORCE:
                raise ValueError(
                    f"{names[a]} and {names[b].split(': ')[-1]} are one structure, but forces differ "
                    f"by up to {difference:.3g} eV/Å; keep the one whose settings match the rest"
                )


def _copy_notes(exact, frames):
    if not exact:
        return []
    return [f"{_count(sorted({b for _, b in exact}), len(frames))} repeat an earlier frame and its labels"]


def _count(indices, n_frames):
    shown = ", ".join(str(k) for k in indices[:5]) + (", ..." if len(indices) > 5 else "")
    return f"{len(indices)} of {n_frames} frames ({shown})"
