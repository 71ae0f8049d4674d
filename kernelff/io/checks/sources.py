"""Which entries hold the labels, which were passed over, and what is missing."""

from __future__ import annotations

import re

import numpy as np

from kernelff.io.label_keys import FALLBACK_ENERGY_KEYS, KNOWN_KEYS, LabelKeys, candidates, entry_names, has_stress

_LABEL_LIKE = re.compile(r"energ|force|grad|stress|virial|^e_|_e$|^f_|_f$|toten", re.IGNORECASE)
_NOT_A_LABEL = re.compile(r"sigma|std|var|weight|kinetic|key|unit|cutoff|^local|energies", re.IGNORECASE)
_SAME_ENERGY = 1e-5  # eV/atom; a difference between energy and free energy that no one needs to know of


def missing_labels(data):
    """No labels at all, labels on some frames only, and stresses where none is defined.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    if not data.broken and not any(data.labelled(kind) for kind in ("energy", "forces", "stress")):
        there = sorted({entry for atoms in data.frames[:100] for entry in entry_names(atoms)})
        return [data.finding(
            "error", "no labels", "no frame carries energies, forces or stresses under a usual name",
            "name the entries with energy_key, forces_key, stress_key or virial_key (--energy-key ...; found: "
            f"{', '.join(there) or 'none'})",
        )]  # fmt: skip
    findings, broken = [], {k for one in data.broken for k in one.frames}
    for kind in ("energy", "forces", "stress"):
        may = [k for k in data.usable if k not in broken and (kind != "stress" or has_stress(data.frames[k]))]
        if kind == "forces":
            may = [k for k in may if len(data.frames[k]) > 1]
        absent = [k for k in may if getattr(data.labels[k], kind) is None]
        if absent and len(absent) < len(may):
            remedy = "" if kind == "stress" else "nothing to do if that is meant"
            findings.append(data.finding("warning", f"missing {kind}", f"{{frames}} carry no {kind}", remedy, absent))
    return findings


def undefined_stress(data):
    """Stresses or virials of frames that are not periodic in three directions: they are ignored.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    if not data.keys.use_stress:
        return []
    ignored = [k for k in data.usable if not has_stress(data.frames[k]) and _written_stress(data, k)]
    if not ignored:
        return []
    return [data.finding(
        "warning", "undefined stress",
        "{frames} carry a stress or virial but are not periodic in three directions, where none is defined: ignored",
        'write pbc="T T T" (and the cell) if they are crystals, or leave stresses out with use_stress=False '
        "(--no-stress)", ignored,
    )]  # fmt: skip


def passed_over(data):
    """Entries that look like labels and were not read, because another was or their name is unusual.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    read, seen = set(), {}
    for k in data.usable:
        for name in entry_names(data.frames[k]):
            if _LABEL_LIKE.search(name) and not _NOT_A_LABEL.search(name):
                seen.setdefault(name, []).append(k)
        read |= {entry.key for kind in KNOWN_KEYS for entry in candidates(data.frames[k], kind, data.keys)}
    findings = []
    for name, frames in sorted(seen.items()):
        kind = _kind_of(name)
        if name in read or name.lower() in FALLBACK_ENERGY_KEYS or (kind in ("stress", "virial") and _no_stress(data)):
            continue
        # an entry nobody read matters only where its kind of label is missing
        needed = kind != "stress" and any(getattr(data.labels[k], _label_of(kind)) is None for k in frames)
        findings.append(data.finding(
            "warning" if needed else "note", "entry passed over",
            f"the entry {name!r} of {{frames}} looks like a label ({kind}) and was not read",
            f"read it with {kind}_key={name!r} (--{kind}-key {name}) if it is the one that is meant", frames,
        ))  # fmt: skip
    return findings


def free_energy(data):
    """Energy and free energy side by side: forces are derivatives of the free one.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    differing, largest, key = [], 0.0, None
    for k in data.labelled("energy"):
        atoms = data.frames[k]
        others = candidates(atoms, "energy", LabelKeys(energy_key="free_energy"))
        if not others or not np.isscalar(others[0].value) or data.keys.energy_key == "free_energy":
            continue
        difference = abs(float(others[0].value) * data.keys.energy_factor - data.labels[k].energy) / len(atoms)
        if difference > _SAME_ENERGY:
            differing.append(k)
            largest, key = max(largest, difference), others[0].key
    if not differing:
        return []
    return [data.finding(
        "warning", "free energy",
        "{frames} carry an energy and a free energy that differ by up to "
        f"{1e3 * largest:.3g} meV/atom (smeared occupations); the energy is used, but forces and stresses are "
        "derivatives of the free energy",
        f"read the free energy with energy_key={key!r} (--energy-key {key})", differing,
    )]  # fmt: skip


def _written_stress(data, k):
    return any(candidates(data.frames[k], kind, data.keys) for kind in ("stress", "virial"))


def _no_stress(data):
    return not data.keys.use_stress


def _kind_of(name):
    for kind, pattern in (("forces", "force|grad|^f_|_f$"), ("virial", "virial"), ("stress", "stress")):
        if re.search(pattern, name, re.IGNORECASE):
            return kind
    return "energy"


def _label_of(kind):
    return "stress" if kind == "virial" else kind
