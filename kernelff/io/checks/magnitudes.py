"""Labels of a size that cannot be meant: zeros, energies per atom, enormous forces and stresses."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

LARGE_FORCE = 100.0  # eV/Å
ASYMMETRIC = 0.02  # see Geometry.asymmetry; a displacement of about 0.02 Å
LARGE_STRESS = 2.0  # eV/Å^3, 320 GPa


def zeros(data):
    """Zeros that stand for "not computed": everywhere, or forces that symmetry does not forbid.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    findings = []
    remedies = {
        "energy": "read the right entry with energy_key (--energy-key)",
        "stress": "read the right entry with stress_key (--stress-key), or leave them out with use_stress=False "
        "(--no-stress)",
    }
    for kind, plural in (("energy", "energies"), ("stress", "stresses")):
        carriers = data.labelled(kind)
        if carriers and not np.any([getattr(data.labels[k], kind) for k in carriers]):
            message = f"all {len(carriers)} {plural} are zero"
            findings.append(data.finding("error", f"zero {plural}", message, remedies[kind], carriers))
    blank = [
        k
        for k in data.labelled("forces")
        if not data.labels[k].forces.any() and data.geometries[k].asymmetry > ASYMMETRIC
    ]
    if blank:
        findings.append(data.finding(
            "error", "zero forces",
            "all forces are exactly zero in {frames}, where symmetry does not make them zero",
            "read the right entry with forces_key (--forces-key), or delete these forces from the frames", blank,
        ))  # fmt: skip
    return findings


def per_atom(data):
    """Totals grow with the number of atoms; if they do not, they may have been divided by it.

    A warning only: energies relative to the perfect crystal do not grow either when each frame has one defect.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    rows = defaultdict(list)
    for k in data.labelled("energy"):
        atoms = data.frames[k]
        if len(atoms) > 1:
            fractions = np.round(np.bincount(atoms.numbers) / len(atoms), 6)
            rows[fractions.tobytes()].append((len(atoms), data.labels[k].energy, k))
    findings = []
    for group in rows.values():
        n, energy, frames = np.array(group).T
        grown = len(n) >= 4 and n.max() >= 2 * n.min() and energy.any()
        if grown and _scatter(energy) < 0.1 * _scatter(energy / n):
            findings.append(data.finding(
                "warning", "energies per atom",
                f"the energies hardly change between frames of {n.min():.0f} and {n.max():.0f} atoms "
                f"({energy.min():.4g} to {energy.max():.4g} eV): are they per atom? Total energies are needed",
                "multiply each by its number of atoms, or read the totals with energy_key (--energy-key)", frames,
            ))  # fmt: skip
    return findings


def enormous(data):
    """Forces and stresses beyond what most data hold.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    findings = []
    rough = [k for k in data.labelled("forces") if np.abs(data.labels[k].forces).max(initial=0) > LARGE_FORCE]
    if rough:
        findings.append(data.finding(
            "warning", "large forces", f"forces above {LARGE_FORCE:.0f} eV/Å in {{frames}}",
            "check their unit (forces_factor), or drop the frames unless such collisions are meant", rough,
        ))  # fmt: skip
    stressed = [k for k in data.labelled("stress") if np.abs(data.labels[k].stress).max() > LARGE_STRESS]
    if len(stressed) > 0.1 * len(data):
        findings.append(data.finding(
            "warning", "large stresses", f"stresses above {LARGE_STRESS * 160.2:.0f} GPa in {{frames}}: "
            "are they in eV/Å^3?", "convert stresses in GPa or kBar with stress_factor (--stress-factor)", stressed,
        ))  # fmt: skip
    return findings


def _scatter(x):
    return np.std(x) / abs(np.mean(x)) if np.mean(x) else np.inf
