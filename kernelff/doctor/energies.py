"""Energies that the other frames contradict: single ones, and groups that are off by one constant."""

from __future__ import annotations

import numpy as np

from kernelff.io.checks.dataset import frame_name

LEAST_FRAMES = 20
NEIGHBORS = 5
OUTLIER = 20.0  # times what similar frames are wrong by; 12 is the most seen in sound data
SMALLEST_GROUP, SMALLEST_SHARE = 5, 0.06  # frames, and share of all
SEPARATION = 6.0  # of two groups over their inner spread
MIXED = 0.3  # share of a group's frames whose most similar frame is in the other group


def doubtful_energies(data, model, fit):
    """Energies far from what all other frames, energies and forces, say about them.

    Parameters
    ----------
    data : DataSet
    model : CrudeModel
    fit : Fit
        Of energies and forces.

    Returns
    -------
    list of Finding
    """
    error = np.array([one.energy for one in fit.judged])
    if np.isfinite(error).sum() < LEAST_FRAMES:
        return []
    distance = model.distances()
    offset = _constant_offset(data, model, error, distance)
    if offset:
        return offset
    outlying = _outlying(np.array([one.energy_z for one in fit.judged]), error, distance)
    outlying &= np.abs(error) > 0.01 * model.scale
    if not outlying.any():
        return []
    worst = int(np.nanargmax(np.where(outlying, np.abs(error), -1.0)))
    k = model.indices[worst]
    return [data.finding(
        "warning", "energy outliers",
        "the energies of {frames} are far from what all other frames say about them (largest: "
        f"{frame_name(k, data.frames[k])}, {1e3 * error[worst]:+.4g} meV/atom)",
        "compute them again (converged? same settings? another magnetic or charge state?), or drop these frames",
        model.indices[outlying],
    )]  # fmt: skip


def _outlying(z, error, distance):
    """Errors beyond those of similar frames, in eV and in error bars; rare frames may be wrong by more."""
    z, size = np.abs(z), np.abs(error)
    nearest = np.argsort(distance, axis=1)[:, :NEIGHBORS]
    closest = np.take_along_axis(distance, nearest[:, :1], axis=1)[:, 0]
    usual = np.nanmedian(np.where(np.isfinite(size)[nearest], size[nearest], np.nan), axis=1)
    typical = float(np.median(closest[np.isfinite(closest)])) if np.isfinite(closest).any() else np.inf
    rare = np.maximum(1.0, closest / max(2.0 * typical, 1e-12))
    score = size / (np.nan_to_num(usual) + np.nanmedian(size)) / rare
    return np.nan_to_num((score > OUTLIER) & (z > OUTLIER * np.nanmedian(z))).astype(bool)


def _constant_offset(data, model, error, distance):
    """Two groups of energies that differ by a constant among frames that are alike in structure."""
    known = np.flatnonzero(np.isfinite(error))
    ordered = known[np.argsort(error[known])]
    least = max(SMALLEST_GROUP, round(SMALLEST_SHARE * len(known)))
    best = None
    for cut in range(least, len(ordered) - least + 1):
        low, high = error[ordered[:cut]], error[ordered[cut:]]
        step = np.median(high) - np.median(low)
        spread = max(_spread(low), _spread(high)) + 1e-12
        if best is None or step / spread > best[0]:
            best = step / spread, cut, step
    if best is None or best[0] < SEPARATION:
        return []
    _, cut, step = best
    minority = ordered[:cut] if cut <= len(ordered) / 2 else ordered[cut:]
    member = np.zeros(len(error), dtype=bool)
    member[minority] = True
    nearest = np.argsort(distance[np.ix_(minority, known)], axis=1)[:, 0]
    if np.mean(~member[known[nearest]]) < MIXED:
        return []
    groups = sorted({str(data.frames[model.indices[k]].info.get("config_type", "")) for k in minority} - {""})
    sign = -1 if cut <= len(ordered) / 2 else 1
    return [data.finding(
        "warning", "two settings",
        f"the energies of {{frames}} are off by a constant {1e3 * sign * step:+.4g} meV/atom against similar frames"
        f"{f' (config_type {chr(44).join(groups[:4])})' if groups else ''}: were they computed with other settings?",
        "compute all frames with one functional, pseudopotential, cutoff and k-point density, or drop these",
        model.indices[np.sort(minority)],
    )]  # fmt: skip


def _spread(values):
    return 1.4826 * np.median(np.abs(values - np.median(values)))
