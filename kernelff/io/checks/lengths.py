"""Lengths: atoms too close, too far apart to feel each other, or written in Bohr."""

from __future__ import annotations

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from ase.units import Bohr

from kernelff.io.geometry import ENVIRONMENT_CUTOFF

STRETCHED, SQUEEZED = 1.6, 0.65  # of the sum of the covalent radii; 1.89 and 0.53 where Bohr and Å are mixed up
_NOBLE = {2, 10, 18, 36, 54, 86}  # their crystals keep their atoms 1.5 to 2.7 covalent radii apart


def short_distances(data):
    """Atoms closer than half of what covalent radii suggest.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    close = [
        k for k in data.usable
        if data.geometries[k].nearest < 0.5 * 2 * covalent_radii[data.geometries[k].species].min()
    ]  # fmt: skip
    if not close:
        return []
    shortest = min(data.geometries[k].nearest for k in close)
    return [data.finding(
        "warning", "short distances", f"very short distances (down to {shortest:.2f} Å) in {{frames}}",
        "check cell, pbc and units of these frames; drop them unless collisions are meant", close,
    )]  # fmt: skip


def length_unit(data):
    """Distances between neighbours that are those of another unit of length.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    several = [k for k in data.usable if len(data.frames[k]) > 1 or data.frames[k].pbc.all()]
    bonded = [k for k in several if not _NOBLE & set(data.frames[k].numbers.tolist())]
    ratios = np.array([data.geometries[k].bond_ratio for k in bonded])
    findings = []
    for odd, factor, wrong in ((ratios > STRETCHED, Bohr, "larger"), (ratios < SQUEEZED, 1 / Bohr, "smaller")):
        if odd.any() and odd.mean() > 0.5:
            typical = np.median(ratios[odd])
            seen = (
                f"{typical:.2f} times" if np.isfinite(typical) else f"more than {ENVIRONMENT_CUTOFF:.0f} Å, far beyond"
            )
            findings.append(data.finding(
                "warning", "unit of length",
                f"neighbours are {seen} the sum of their covalent radii apart in {{frames}}, much {wrong} than in "
                "most matter: are positions and cell in Å?",
                f"multiply positions and cell by {factor:.6f} if they "
                f"{'are in Bohr' if factor < 1 else 'were converted from Bohr twice'}, and check the forces' unit "
                "(forces_factor)", [k for k, yes in zip(bonded, odd, strict=True) if yes],
            ))  # fmt: skip
    return findings


def lonely_atoms(data):
    """Atoms and fragments that nothing within reach of a descriptor joins to the rest.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    several = [k for k in data.usable if len(data.frames[k]) > 1]
    lonely = [k for k in several if data.geometries[k].n_lonely]
    apart = [k for k in several if data.geometries[k].n_fragments > 1 and k not in set(lonely)]
    findings = []
    if lonely:
        names = sorted({chemical_symbols[z] for k in lonely for z in data.frames[k].numbers})
        findings.append(data.finding(
            "warning", "lonely atoms",
            f"atoms without any neighbour within {ENVIRONMENT_CUTOFF:.0f} Å in {{frames}} ({', '.join(names)}): a "
            "model sees an isolated atom there, whatever the rest does",
            "drop these frames, or give a larger cutoff (--cutoff) if the separation is meant", lonely,
        ))  # fmt: skip
    if apart:
        findings.append(data.finding(
            "note", "fragments",
            f"fragments more than {ENVIRONMENT_CUTOFF:.0f} Å apart in {{frames}}: with a shorter cutoff a model sees "
            "no interaction between them", "give a larger cutoff (--cutoff) if the labels depend on it", apart,
        ))  # fmt: skip
    return findings
