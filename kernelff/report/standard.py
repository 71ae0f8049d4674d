"""The reports of `kernelff fit` and `kernelff quickstart`: which tables and figures, and what they say."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from kernelff.report import figures
from kernelff.report.build import Figure, Section, build_report
from kernelff.report.calibration import scale, subset
from kernelff.report.cells import Table, composition_table, error_table, number, property_table


@dataclass(frozen=True, eq=False)
class QuickstartResults:
    """Everything the quickstart has found out.

    Attributes
    ----------
    sets : dict
        Name -> frames.
    evaluations : dict
        Name -> Evaluation, "validation" and "test" with uncertainties.
    scales : dict
        "energy", "forces" -> factor on the standard deviations.
    properties : list of tuple
        (name, unit, model, DFT).
    model_curve, reference_points : tuple of ndarray
        Volumes (Å^3/atom) and energies (eV/atom) by the model and by DFT.
    traces : list of MDTrace
    learning : list of tuple
        (frames, energy MAE in meV/atom, force MAE in meV/Å).
    model : list of tuple of str
        Title and text.
    seconds : float
        Of the fit.
    """

    sets: dict
    evaluations: dict
    scales: dict
    properties: list
    model_curve: tuple
    reference_points: tuple
    traces: list
    learning: list
    model: list = field(default_factory=list)
    seconds: float = 0.0


def fit_report(path, title, model, sets, evaluations):
    """Report of a fit: accuracy, error bars, data and model.

    Parameters
    ----------
    path : path-like
    title : str
    model : list of tuple of str
        Title and text of the facts about the model.
    sets : dict
        "train" and perhaps "test" -> frames.
    evaluations : dict
        The same names -> Evaluation, with uncertainties.

    Returns
    -------
    Path
    """
    judged = "test" if "test" in evaluations else "train"
    half = np.arange(len(evaluations[judged].energy)) % 2 == 0
    held, shown = subset(evaluations[judged], half), subset(evaluations[judged], ~half)
    sections = [accuracy_section(evaluations, None)]
    if judged == "test" and len(shown.energy):
        scales = {kind: scale(held, kind) for kind in ("energy", "forces")}
        sections.append(error_bar_section(shown, scales, "every other test frame (the figure shows the rest)"))
    sections += [data_section(sets), Section("Model", tables=[Table([], [list(row) for row in model])])]
    summary = f"A sparse Gaussian process on {len(sets['train'])} frames."
    return build_report(path, title, summary, error_numbers(evaluations[judged], judged), sections)


def quickstart_report(path, results):
    """Report of the quickstart.

    Parameters
    ----------
    path : path-like
    results : QuickstartResults

    Returns
    -------
    Path
    """
    n_train = len(results.sets["train"])
    summary = (
        f"A sparse Gaussian process on {n_train} small DFT frames of silicon, fitted in "
        f"{results.seconds:.0f} s, judged on frames of other origin and on properties, and run as "
        "molecular dynamics with error bars."
    )
    numbers = error_numbers(results.evaluations["test"], "test")
    numbers.append((f"{results.seconds:.0f}", "s", f"to fit {n_train} frames"))
    sections = [
        accuracy_section(results.evaluations, results.scales),
        error_bar_section(results.evaluations["test"], results.scales, "the validation frames"),
        _property_section(results),
        _dynamics_section(results),
        _learning_section(results),
        data_section(results.sets),
        Section("Model", tables=[Table([], [list(row) for row in results.model])]),
    ]
    return build_report(path, "Silicon force field", summary, numbers, sections)


def error_numbers(evaluation, name):
    """The headline figures of a report: mean absolute errors.

    Parameters
    ----------
    evaluation : Evaluation
    name : str
        What the frames are.

    Returns
    -------
    list of tuple of str
        (value, unit, what it is).
    """
    titles = {"energy": "energy", "forces": "force components", "stress": "stress components"}
    return [
        (number(row["mae"]), row["unit"], f"mean absolute error of {titles[row['kind']]}, {name} frames")
        for row in evaluation.errors(by=None)
    ]


def accuracy_section(evaluations, scales):
    """Error table, parity plots and errors by group."""
    bars = (
        " Bars are one standard deviation of the model, scaled as described below."
        if any(found.energy_std is not None for found in evaluations.values()) and scales
        else ""
    )
    judged = "test" if "test" in evaluations else "train"
    pictures = [
        Figure.from_matplotlib(
            figures.parity(evaluations, scales),
            f"Model against DFT, with the errors below on a finer scale.{bars}",
        )
    ]
    if len(set(evaluations[judged].config_types)) > 1:
        pictures.append(
            Figure.from_matplotlib(
                figures.errors_by_group(evaluations[judged]),
                f"Errors of the {judged} frames by config_type: bars mean absolute, ticks root mean square.",
            )
        )
    tables = [replace(error_table(evaluations), caption="Mean absolute errors by config_type.")]
    return Section("Accuracy", figures=pictures, tables=tables)


def error_bar_section(evaluation, scales, source):
    """Calibration of the standard deviations."""
    text = (
        "The posterior standard deviation says how well the data pin down each prediction within the "
        "model. What the model cannot express is not in it, so it is multiplied by one factor per kind, "
        f"chosen on {source} so that 68 % of the errors lie inside: {number(scales['energy'])} for "
        f"energies, {number(scales['forces'])} for forces."
    )
    caption = (
        "Left: each dot is a force component; dots are sorted by predicted standard deviation into bins, "
        "and the red line should follow the black one. Right: the share of errors inside the error bar, "
        "on the diagonal if the error bars keep their promise, below it if they promise too much."
    )
    return Section(
        "Error bars", text, figures=[Figure.from_matplotlib(figures.calibration(evaluation, scales), caption)]
    )


def data_section(sets):
    """Frames and atoms by config_type."""
    text = "Frames of one origin (a trajectory, a strain series) stay in one set."
    return Section("Data", text if "validation" in sets else "", tables=[composition_table(sets)])


def _property_section(results):
    pictures = [
        Figure.from_matplotlib(
            figures.properties_and_curve(results.properties, results.model_curve, results.reference_points),
            "Left: energy of diamond silicon against volume; circles are DFT frames of the training set, "
            "the line is the model. Right: how far each property lies from its DFT value, the red line.",
        )
    ]
    text = (
        "Computed with the model through ASE in the same cells as by DFT: Birch-Murnaghan fit, elastic "
        "constants from stresses at strains of 0.5 % with relaxed atoms, and the relaxed vacancy in a "
        "cell of 64 sites."
    )
    return Section("Properties", text, figures=pictures, tables=[property_table(results.properties)])


def _dynamics_section(results):
    temperatures = " and ".join(f"{trace.target:.0f} K" for trace in results.traces)
    steps, atoms = len(results.traces[0].time) - 1, results.traces[0].n_atoms
    text = f"{atoms} atoms at {temperatures}, {steps} Langevin steps each, run through ASE."
    caption = (
        "Temperature (dotted: target), potential energy with error bars, the largest error bar of any "
        "force component, and the largest novelty of any atom: how much of its environment the sparse set "
        "cannot express. A run that leaves the data shows here first."
    )
    pictures = [Figure.from_matplotlib(figures.dynamics(results.traces, results.scales), caption)]
    return Section("Molecular dynamics", text, figures=pictures)


def _learning_section(results):
    pictures = [
        Figure.from_matplotlib(
            figures.learning_and_distribution(results.learning, results.traces),
            "Left: errors on the same test frames of models fitted to more and more of the training frames. "
            "Right: pair distribution functions of the dynamics above.",
        )
    ]
    return Section("Learning and structure", figures=pictures)
