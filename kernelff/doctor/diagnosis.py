"""All questions to a data set, in one place: what is there, what is wrong, and what to do about it."""

from __future__ import annotations

from typing import NamedTuple

from kernelff.doctor.crude import CrudeModel
from kernelff.doctor.energies import doubtful_energies
from kernelff.doctor.forces import contradictory_forces
from kernelff.doctor.stress import predicted_stresses
from kernelff.doctor.units import energies_and_forces
from kernelff.io.checks import inspect
from kernelff.io.checks.composition import degenerate_e0
from kernelff.io.checks.dataset import DataSet
from kernelff.io.checks.repeats import shared
from kernelff.io.finding import Finding, errors_of, merged
from kernelff.io.frames import DataSummary, summarise

_HOPELESS = {"no frames", "no labels", "zero energies", "zero forces"}


class Diagnosis(NamedTuple):
    """What the doctor found.

    Attributes
    ----------
    summary : DataSummary or None
        None where no frame is usable.
    findings : list of Finding
        Errors first.
    """

    summary: DataSummary | None
    findings: list[Finding]

    @property
    def sound(self):
        """Whether nothing forbids a fit."""
        return not errors_of(self.findings)

    def to_dict(self):
        """As plain data, for JSON."""
        rows = [] if self.summary is None else self.summary.rows()
        return {"sound": self.sound, "summary": dict(rows), "findings": [one.to_dict() for one in self.findings]}


def diagnose(frames, keys=None, *, test=None, e0=None, model=True, progress=None):
    """Ask a data set everything that can be asked before a model is fitted to it.

    Labels are compared with each other through the frames that differ by a strain and through a crude model on a
    sample of the frames, each frame judged by the others.

    Parameters
    ----------
    frames : sequence of ase.Atoms
        As they stand in the file.
    keys : LabelKeys, optional
    test : sequence of ase.Atoms, optional
        Test frames: are any of them copies of the training frames?
    e0 : dict, optional
        Energies of isolated atoms that the fit will be given, element or atomic number -> eV.
    model : bool
        False leaves out the crude model and all it may find.
    progress : callable, optional
        Gets (done, total) frames of the crude model.

    Returns
    -------
    Diagnosis
    """
    inspection = inspect(frames, keys)
    found = list(inspection.findings)
    if model and not _HOPELESS & {one.name for one in found}:
        found += consult(inspection, progress)
    found += degenerate_e0(inspection.data, e0)
    if test is not None and len(inspection.data):
        found += shared(DataSet.of(test, keys), inspection.data)
    summary = summarise(inspection) if inspection.data.usable else None
    return Diagnosis(summary, merged(found))


def consult(inspection, progress=None):
    """What a crude model of the data says about their labels.

    Parameters
    ----------
    inspection : Inspection
    progress : callable, optional

    Returns
    -------
    list of Finding
    """
    data, strained = inspection.data, inspection.stress_check
    model = CrudeModel.of(data, progress)
    if model is None:
        return energies_and_forces(data)
    by_forces = model.robust(energies=False)
    found = energies_and_forces(data, model, by_forces)
    found += contradictory_forces(data, model, by_forces)
    if errors_of(one for one in found if one.name == "energies against forces"):
        return found  # whatever else the model says rests on both
    fit = model.robust()
    found += doubtful_energies(data, model, fit)
    if strained is not None and strained.verdict in ("unknown", "unclear"):
        found += predicted_stresses(data, model, fit)
    return found
