"""Energies that the other frames contradict: single ones, and groups that are off by one constant."""

from __future__ import annotations

import numpy as np

from kernelff.io.checks.dataset import frame_name

LEAST_FRAMES = 30
NEIGHBORS = 5
OUTLIER, OUTLIER_Z = 9.0, 15.0  # times what similar frames are wrong by, in eV and in error bars; sound data 5 and 10
SMALLEST_OUTLIER = 0.04  # Å; eV per atom over the typical force
SMALLEST_GROUP, SMALLEST_SHARE = 5, 0.06  # frames, and share of all
SEPARATION = 8.0  # of two groups over their inner spread
CLEAR, TAIL = 5.0, 0.9  # the same, over all but a tenth, once the larger group alone has been learnt
NOTABLE = 0.2  # of the range of the energies: what trajectories of two temperatures may seem to differ by
RARE = 4.0  # distance to the most similar frame over the typical one; other kinds of frames differ for good reason
MIXED = 1.5  # distance to the other group over that within the group, where two groups are of one kind of structure


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
    group = _group(error, distance)
    found = [] if group is None else _two_settings(data, model, fit, error, group)
    if found:
        return found
    outlying = _outlying(np.array([one.energy_z for one in fit.judged]), error, distance, model.rarity())
    outlying &= np.abs(error) > SMALLEST_OUTLIER * model.scale
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


def _outlying(z, error, distance, rarity):
    """Errors beyond those of similar frames, in eV and in error bars; rare frames may be wrong by more."""
    z, size = np.abs(z), np.abs(error)
    nearest = np.argsort(distance, axis=1)[:, :NEIGHBORS]
    alike = np.isfinite(np.take_along_axis(distance, nearest, axis=1))
    usual = np.median(np.nan_to_num(np.where(alike, size[nearest], 0.0)), axis=1)
    score = size / (usual + np.nanmedian(size)) / np.maximum(1.0, rarity / 2)
    return np.nan_to_num((score > OUTLIER) & (z > OUTLIER_Z * np.nanmedian(z))).astype(bool)


def _group(error, distance):
    """The smaller of two groups whose errors differ by a constant among frames alike in structure, or None."""
    known = np.flatnonzero(np.isfinite(error))
    ordered = known[np.argsort(error[known])]
    least = max(SMALLEST_GROUP, round(SMALLEST_SHARE * len(known)))
    cuts = range(least, len(ordered) - least + 1)
    separations = [_separation(error[ordered[:cut]], error[ordered[cut:]]) for cut in cuts]
    if not separations or max(separations) < SEPARATION:
        return None
    cut = cuts[int(np.argmax(separations))]
    smaller, larger = sorted((ordered[:cut], ordered[cut:]), key=len)
    within = distance[np.ix_(smaller, smaller)].min(axis=1)
    across = distance[np.ix_(smaller, larger)].min(axis=1)
    return smaller if np.mean(across < MIXED * within) > 0.5 else None


def _separation(low, high):
    return (np.median(high) - np.median(low)) / (max(_spread(low), _spread(high)) + 1e-12)


def _two_settings(data, model, fit, error, group):
    """Name the group and its offset, by a model that learns energies from the others alone."""
    trusted = np.isfinite(error).astype(float)
    trusted[group] = 0.0
    solution = model.solve(trusted, np.ones(len(error)), fit.sigma_forces)
    judged = model.judge(*solution, trusted, np.ones(len(error)), fit.sigma_forces)
    error = np.array([one.energy for one in judged]) - np.nanmedian(np.delete([one.energy for one in judged], group))
    step = np.nanmedian(error[group])
    member = np.abs(error - step) < np.abs(error)
    members, rest = np.flatnonzero(member), error[~member & np.isfinite(error)]
    if not len(members) or not len(rest):
        return []
    spread = max(np.quantile(np.abs(rest), TAIL), np.quantile(np.abs(error[members] - step), TAIL))
    low, high = np.nanquantile(np.delete(model.energy_labels, members), (1 - TAIL, TAIL))
    too_small = abs(step) < max(CLEAR * spread, NOTABLE * (high - low))
    if too_small or np.median(model.rarity()[members]) > RARE:
        return []
    names = ", ".join(sorted({str(data.frames[model.indices[k]].info.get("config_type", "")) for k in members} - {""}))
    return [data.finding(
        "warning", "two settings",
        f"the energies of {{frames}} are off by a constant {1e3 * step:+.4g} meV/atom against similar frames"
        f"{f' (config_type {names})' if names else ''}: were they computed with other settings?",
        "compute all frames with one functional, pseudopotential, cutoff and k-point density, or drop these",
        model.indices[members],
    )]  # fmt: skip


def _spread(values):
    return 1.4826 * np.median(np.abs(values - np.median(values)))
