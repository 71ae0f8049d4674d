"""Checks of data that need no model: one module per question, each answers with findings."""

from __future__ import annotations

from typing import NamedTuple

from kernelff.io.checks import balance, cells, lengths, magnitudes, repeats, sources, stiffness, strains
from kernelff.io.checks.dataset import DataSet
from kernelff.io.finding import Finding, finding, merged
from kernelff.io.stress_check import StressCheck

ALWAYS = (
    lengths.short_distances,
    lengths.length_unit,
    lengths.lonely_atoms,
    cells.forgotten_periodicity,
    cells.cell_unit,
    sources.undefined_stress,
    magnitudes.enormous,
    repeats.contradictions,
    repeats.copies,
)
"""Questions to any frames."""

OF_TRAINING_DATA = (
    sources.missing_labels,
    sources.passed_over,
    sources.free_energy,
    magnitudes.zeros,
    magnitudes.per_atom,
    balance.net_forces,
    balance.torques,
    stiffness.force_unit,
)
"""Questions to frames that are to be learnt from."""


class Inspection(NamedTuple):
    """What `inspect` saw."""

    data: DataSet
    findings: list[Finding]
    stress_check: StressCheck | None


def inspect(frames, keys=None, *, require_labels=True):
    """Ask all questions that need no model.

    Parameters
    ----------
    frames : sequence of ase.Atoms
    keys : LabelKeys, optional
    require_labels : bool
        False asks only what matters for frames to predict on.

    Returns
    -------
    Inspection
    """
    data = DataSet.of(frames, keys)
    if not data.frames:
        return Inspection(data, [finding("error", "no frames", "there are no frames", "give at least one")], None)
    questions = OF_TRAINING_DATA + ALWAYS if require_labels else ALWAYS
    found = [*data.broken, *(answer for ask in questions for answer in ask(data))]
    comparison = strains.compare(data)
    return Inspection(data, merged([*found, *strains.findings_of(comparison, data)]), comparison)
