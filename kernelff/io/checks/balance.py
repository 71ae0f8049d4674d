"""Forces that do not balance: no net force on any isolated or periodic system, no torque on an isolated one."""

from __future__ import annotations

import numpy as np

NET_FORCE, NET_SHARE = 0.01, 0.05  # eV/Å per atom; of the root mean square force
TORQUE_SHARE = 0.1  # of the sum of |r| |F|


def net_forces(data):
    """Forces whose sum is no rounding error, and those of atoms that were held fixed.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    drifting, fixed, largest = [], [], 0.0
    for k in data.labelled("forces"):
        forces = data.labels[k].forces
        drift, size = np.linalg.norm(forces.mean(axis=0)), np.sqrt((forces**2).sum(axis=1).mean())
        if len(forces) < 2 or drift < max(NET_FORCE, NET_SHARE * size):
            continue
        still = ~forces.any(axis=1)
        (fixed if still.any() and not still.all() else drifting).append(k)
        largest = max(largest, drift)
    findings = []
    if drifting:
        findings.append(data.finding(
            "warning", "net force",
            f"the forces do not sum to zero in {{frames}} (up to {largest:.3g} eV/Å per atom is left)",
            "read the raw forces of the calculation with forces_key (--forces-key), converge it further, or drop the "
            "frames; no energy of the atoms' positions has such forces", drifting,
        ))  # fmt: skip
    if fixed:
        findings.append(data.finding(
            "warning", "fixed atoms",
            "some forces are exactly zero and the rest do not sum to zero in {frames}: forces of fixed atoms were left "
            "out", "write the forces without constraints (atoms.get_forces(apply_constraint=False)) and read them with "
            "forces_key (--forces-key)", fixed,
        ))  # fmt: skip
    return findings


def torques(data):
    """Forces that would set a molecule spinning.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    spinning = [k for k in data.labelled("forces") if not data.frames[k].pbc.any() and _spins(data, k)]
    if not spinning:
        return []
    return [data.finding(
        "warning", "torque", "the forces exert a torque on the isolated molecules of {frames}",
        "check that forces and positions are of one orientation and of one frame (some codes turn the molecule: use "
        "its input orientation), or drop the frames", spinning,
    )]  # fmt: skip


def _spins(data, k):
    arms = data.frames[k].positions - data.frames[k].positions.mean(axis=0)
    forces = data.labels[k].forces
    torque = np.linalg.norm(np.cross(arms, forces).sum(axis=0))
    return torque > TORQUE_SHARE * (np.linalg.norm(arms, axis=1) * np.linalg.norm(forces, axis=1)).sum() + NET_FORCE
