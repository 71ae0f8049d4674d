"""Frames that repeat others, within a set and across sets, with the same labels or with others."""

from __future__ import annotations

import numpy as np

from kernelff.io.checks.dataset import frame_name
from kernelff.io.geometry import is_isolated_atom, same_environments

CONTRADICTORY_ENERGY = 5e-3  # eV/atom; more than k-point sets or FFT grids do between equal frames
CONTRADICTORY_FORCE = 0.1  # eV/Å
_KEEP = "keep the one whose settings match the rest"


def copies(data):
    """Frames that repeat an earlier one: atom by atom, or only up to rotation and order.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    exact = {b for _, b in data.exact_copies}
    # where fragments do not see each other, their distance is not compared
    turned = sorted(k for k in {b for _, b in data.copies} - exact if data.geometries[k].n_fragments == 1)
    findings = []
    if exact:
        findings.append(data.finding(
            "warning", "duplicates", "{frames} repeat an earlier frame and its labels",
            "drop them, unless they are meant to weigh more", sorted(exact),
        ))  # fmt: skip
    if turned:
        findings.append(data.finding(
            "note", "symmetry copies", "{frames} repeat another, possibly rotated or mirrored",
            "they teach a model nothing new; keep copies out of the test set", turned,
        ))  # fmt: skip
    return findings


def contradictions(data):
    """Frames that are one structure and carry different energies or forces.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    pairs = [(a, b) for a, b in data.exact_copies if not is_isolated_atom(data.frames[a])]
    findings = [_contradiction(data, a, b) for a, b in pairs]
    findings += _contradictory_atoms(data)
    return [found for found in findings if found is not None]


def shared(frames, others):
    """Frames of a test set that are copies of training frames.

    Parameters
    ----------
    frames, others : DataSet
        Test and training set.

    Returns
    -------
    list of Finding
        About the test set.
    """
    mine, theirs = frames.usable, others.usable
    pairs = same_environments([frames.geometries[k] for k in mine], [others.geometries[k] for k in theirs])
    found = sorted({mine[a] for a, _ in pairs if not is_isolated_atom(frames.frames[mine[a]])})
    if not found:
        return []
    return [frames.finding(
        "warning", "shared with training",
        f"{len(found)} of {len(frames)} test frames ({', '.join(map(str, found[:8]))}"
        f"{', ...' if len(found) > 8 else ''}) are training frames too, possibly rotated or mirrored; the test is "
        "that much less independent", "drop them from the test set, or split by trajectory", found,
    )]  # fmt: skip


def _contradiction(data, a, b):
    one, other = data.labels[a], data.labels[b]
    pair = f"{frame_name(a, data.frames[a])} and {frame_name(b, data.frames[b])} are one structure"
    if one.energy is not None and other.energy is not None:
        difference = abs(one.energy - other.energy) / len(data.frames[a])
        if difference > CONTRADICTORY_ENERGY:
            message = (
                f"{pair}, but energies are {one.energy:.6f} and {other.energy:.6f} eV "
                f"({1e3 * difference:.3g} meV/atom apart)"
            )
            return data.finding("error", "contradictory energies", message, _KEEP, (a, b))
    if one.forces is not None and other.forces is not None:
        difference = np.abs(one.forces - other.forces).max()
        if difference > CONTRADICTORY_FORCE:
            message = f"{pair}, but forces differ by up to {difference:.3g} eV/Å"
            return data.finding("error", "contradictory forces", message, _KEEP, (a, b))
    return None


def _contradictory_atoms(data):
    """Isolated atoms of one element with different energies."""
    first, findings = {}, []
    for k in data.labelled("energy"):
        atoms = data.frames[k]
        if not is_isolated_atom(atoms):
            continue
        energy, symbol = data.labels[k].energy, atoms.symbols[0]
        earlier = first.setdefault(symbol, energy)
        if abs(earlier - energy) > CONTRADICTORY_ENERGY:
            findings.append(data.finding(
                "error", "contradictory isolated atoms",
                f"frame {k}: this isolated {symbol} atom has energy {energy:.6f} eV, an earlier one {earlier:.6f} eV",
                f"keep one of them, or give [model] e0 = {{ {symbol} = ... }}", (k,),
            ))  # fmt: skip
    return findings
