"""The reports of `kernelff fit` and `kernelff quickstart`: which tables and figures, and what they say."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from kernelff.report import figures, map_figures, model_figures
from kernelff.report.build import Figure, Section, build_report
from kernelff.report.cells import Table, composition_table, error_table, number, property_table
from kernelff.report.comparison import comparison_section, radial_section
from kernelff.report.coverage import errors_and_sds


@dataclass(frozen=True, eq=False)
class QuickstartResults:
    """Everything the quickstart has found out.

    Attributes
    ----------
    sets : dict
        Name -> frames.
    candidates : list of Candidate
        The GAP and the MTP.
    evaluations : dict
        Of the GAP: name of a set -> Evaluation, "validation" and "test" with uncertainties.
    calibration : Calibration or None
        Of the error bars of the GAP.
    properties : dict
        Name of a model -> list of (name, unit, value, DFT).
    curves : dict
        Name of a model -> volumes (Å^3/atom) and energies (eV/atom).
    reference_points : tuple of ndarray
        Volumes and energies by DFT.
    traces : list of MDTrace
    models : dict
        Name of a model -> list of title and text.
    maps : list of EnvironmentMap
        Of the test frames, by the GAP.
    """

    sets: dict
    candidates: list
    evaluations: dict
    calibration: object
    properties: dict
    curves: dict
    reference_points: tuple
    traces: list
    models: dict = field(default_factory=dict)
    maps: list = field(default_factory=list)


def fit_report(path, title, model, estimator, sets, evaluations, maps=()):
    """Report of a fit: accuracy, error bars, maps of the environments, data and model.

    Parameters
    ----------
    path : path-like
    title : str
    model : list of tuple of str
        Title and text of the facts about the model.
    estimator : SparseGPR or MTP
        Fitted.
    sets : dict
        "train" and perhaps "test" -> frames.
    evaluations : dict
        The same names -> Evaluation, with uncertainties.
    maps : list of EnvironmentMap
        Of the test frames, of the training frames if there are none.

    Returns
    -------
    Path
    """
    judged = "test" if "test" in evaluations else "train"
    sections = [accuracy_section(evaluations)]
    if judged == "test" and len(errors_and_sds(evaluations["test"], "forces")[0]):
        sections.append(error_bar_section(evaluations["test"], estimator.calibration_, "test"))
    if maps:
        sections.append(map_section(maps, judged))
    history = getattr(estimator, "radial_history_", None)
    if history:
        sections.append(radial_section(history))
    sections += [data_section(sets), Section("Model", tables=[Table([], [list(row) for row in model])])]
    what = (
        f"A moment tensor potential of level {estimator.level}" if history is not None else "A sparse Gaussian process"
    )
    summary = f"{what} on {len(sets['train'])} frames."
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
    n_train, times = len(results.sets["train"]), [f"{one.seconds:.0f} s" for one in results.candidates]
    summary = (
        f"A sparse Gaussian process (GAP) and a moment tensor potential (MTP) on {n_train} small DFT frames of "
        f"silicon, fitted in {' and '.join(times)}, judged on frames of other origin and on properties, and "
        "run as molecular dynamics with error bars."
    )
    numbers = []
    for one in results.candidates:
        numbers += [
            (number(one.error("forces")), "meV/Å", f"mean absolute error of force components, {one.name}"),
            (number(one.cost, 2), "µs/atom", f"for energy, forces and stress, {one.name}"),
            (number(one.seconds, 2), "s", f"to fit {n_train} frames, {one.name}"),
        ]
    sections = [
        comparison_section(results.candidates),
        replace(accuracy_section(results.evaluations), title="Accuracy of the GAP"),
        replace(
            error_bar_section(results.evaluations["test"], results.calibration, "test"), title="Error bars of the GAP"
        ),
        *([map_section(results.maps, "test")] if results.maps else []),
        _property_section(results),
        _dynamics_section(results),
        _learning_section(results),
        data_section(results.sets),
        *(Section(f"The {name}", tables=[Table([], [*map(list, rows)])]) for name, rows in results.models.items()),
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


def accuracy_section(evaluations):
    """Error table, parity plots and errors by group."""
    bars = (
        " Bars are one standard deviation."
        if any(found.energy_std is not None for found in evaluations.values())
        else ""
    )
    judged = "test" if "test" in evaluations else "train"
    pictures = [
        Figure.from_matplotlib(
            figures.parity(evaluations),
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


def error_bar_section(evaluation, calibration, name):
    """Whether the error bars keep their promise, and how they were calibrated."""
    text = (
        "A standard deviation is that of the posterior, which says how well the data pin down a prediction within the "
        "model, mapped to the errors that labels of its size had on training frames held out of the fit: each fifth of "
        "the frames was predicted by the others."
    )
    caption = (
        f"Left: each dot is a force component of the {name} frames; dots are sorted by predicted standard deviation "
        "into bins, and the red line should follow the black one. Right: the share of errors inside the error bar, on "
        "the diagonal if the error bars keep their promise, below it if they promise too much."
    )
    tables = [] if calibration is None else [_calibration_table(evaluation, calibration, name)]
    return Section("Error bars", text, tables, [Figure.from_matplotlib(figures.error_bars(evaluation, name), caption)])


def _calibration_table(evaluation, calibration, name):
    rows = []
    for kind, noise, unit in (
        ("energy", "energy", "meV/atom"), ("forces", "forces", "meV/Å"), ("stress", "virial", "meV/atom"),
    ):  # fmt: skip
        found = getattr(calibration, noise)
        errors, sds = errors_and_sds(evaluation, kind)
        if found is None or not len(errors):
            continue
        inside = [100 * np.mean(np.abs(errors) <= width * sds) for width in found.quantiles.values()]
        rows.append([
            kind, number(found.factor), f"{number(1e3 * found.least)} {unit}", str(found.n),
            *(f"±{number(width)} sd" for width in found.quantiles.values()),
            *(f"{share:.0f} %" for share in inside),
        ])  # fmt: skip
    header = ["", "factor", "least", "held out", "68 %", "95 %", "68 %", "95 %"]
    groups = [("", 1), ("calibration", 3), ("interval", 2), (f"seen on {name} frames", 2)]
    caption = (
        "By how much the posterior's standard deviation is too small in the middle of the held-out labels, and the "
        "least one that is reported; for an energy or virial that is of one atom and grows with the power 3/4 of their "
        "number. Intervals are the conformal ones of the held-out labels."
    )
    return Table(header, rows, groups, caption=caption)


def map_section(maps, name):
    """Where in the space of environments the model errs, and whether it knows."""
    text = (
        "Each point is the environment of an atom as the descriptor sees it, in the plane in which the environments "
        "of its element differ most (principal components): near points are alike, clusters are kinds of "
        "environments. What differs across this plane is not seen here."
    )
    drawn, n_all = sum(len(found.points) for found in maps), sum(found.n_all for found in maps)
    which = f"{drawn} of {n_all} atoms" if drawn < n_all else f"all {n_all} atoms"
    known = any(len(found.known) for found in maps)
    further = [name for name in ("novelty", "grade") if _has(maps, name)]
    flags = " and ".join(["the standard deviation", *further])
    behind = (
        "; grey: training frames. Coloured points inside the grey are interpolated; far from any grey the model "
        f"extrapolates, and {flags} should be large there"
    )
    caption = (
        f"Coloured: {which} of the {name} frames{behind if known else ''}. Force error is the length of the difference "
        "from the DFT force on an atom, the standard deviation what the model expects it to be, in the same colours; "
        "dark in the first and pale in the second is an error that the model does not announce. Two percent of the "
        "values lie beyond the dark end."
    )
    picture = Figure.from_matplotlib(map_figures.environment_maps(maps), caption)
    return Section("Map of environments", text, figures=[picture])


def _has(maps, name):
    return any(np.isfinite(getattr(found, name)).any() for found in maps)


def data_section(sets):
    """Frames and atoms by config_type."""
    text = "Frames of one origin (a trajectory, a strain series) stay in one set."
    return Section("Data", text if "validation" in sets else "", tables=[composition_table(sets)])


def _property_section(results):
    pictures = [
        Figure.from_matplotlib(
            figures.properties_and_curve(results.properties, results.curves, results.reference_points),
            "Left: energy of diamond silicon against volume; circles are DFT frames of the training set, "
            "lines the models. Right: how far each property lies from its DFT value, the red line.",
        )
    ]
    text = (
        "Computed with both models through ASE in the same cells as by DFT: Birch-Murnaghan fit, elastic "
        "constants from stresses at strains of 0.5 % with relaxed atoms, and the relaxed vacancy in a "
        "cell of 64 sites."
    )
    return Section("Properties", text, figures=pictures, tables=[property_table(results.properties)])


def _dynamics_section(results):
    temperatures = " and ".join(f"{trace.target:.0f} K" for trace in results.traces)
    atoms, time = results.traces[0].n_atoms, 1e-3 * results.traces[0].time[-1]
    text = (
        f"{atoms} atoms at {temperatures}, {time:g} ps of Langevin dynamics each, in compiled code with the GAP, whose "
        "novelty shows where a run leaves the data."
    )
    caption = (
        "Temperature (dotted: target), potential energy with error bars, the largest error bar of any "
        "force component, and the largest novelty of any atom: how much of its environment the sparse set "
        "cannot express. A run that leaves the data shows here first."
    )
    pictures = [
        Figure.from_matplotlib(figures.dynamics(results.traces), caption),
        Figure.from_matplotlib(
            figures.pair_distributions(results.traces), "Pair distribution functions of these runs."
        ),
    ]
    return Section("Molecular dynamics", text, figures=pictures)


def _learning_section(results):
    caption = "Errors on the same test frames of models fitted to more and more of the training frames."
    pictures = [Figure.from_matplotlib(model_figures.learning_curves(results.candidates), caption)]
    return Section("Learning", figures=pictures)
