"""Figures that compare kinds of models, and that of learning radial functions."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure as Canvas

from kernelff.report.figures import COLOURS, INK, LINE, MODELS, SERIES, SOFT, plain_decades, styled


@styled
def accuracy_and_radial_learning(candidates):
    """Force error against cost beside the learning of radial functions.

    Parameters
    ----------
    candidates : list of Candidate

    Returns
    -------
    matplotlib.figure.Figure
    """
    history = next((one.history for one in candidates if one.history), [])
    canvas = Canvas(figsize=(11, 4.2), layout="constrained")
    panels = canvas.subplots(1, 2 if history else 1, squeeze=False)[0]
    _accuracy(panels[0], candidates)
    if history:
        _radial_learning(panels[1], history)
    return canvas


@styled
def radial_learning(history):
    """Errors by iteration while radial functions are learnt.

    Parameters
    ----------
    history : list of dict
        ``MTP.radial_history_``, not empty.

    Returns
    -------
    matplotlib.figure.Figure
    """
    canvas = Canvas(figsize=(11, 3.6), layout="constrained")
    _radial_learning(canvas.subplots(), history)
    return canvas


def _accuracy(axes, candidates):
    for one in candidates:
        labels, cost, errors = zip(*(one.sizes or [(one.what, one.cost, one.error("forces"))]), strict=True)
        colour = MODELS.get(one.name, SERIES[2])
        axes.loglog(cost, errors, "o-", color=colour, lw=1.2, ms=5, label=one.name)
        axes.loglog(one.cost, one.error("forces"), "o", color=colour, ms=11)
        for label, x, y in zip(labels, cost, errors, strict=True):
            axes.annotate(label, (x, y), (7, 6), textcoords="offset points", color=SOFT, fontsize=9.5)
    axes.set(title="Accuracy and cost", xlabel="evaluation, µs per atom", ylabel="force error on test frames, meV/Å")
    axes.margins(x=0.22, y=0.22)
    plain_decades(axes.xaxis)
    plain_decades(axes.yaxis)
    axes.legend(loc="upper right")


def _radial_learning(axes, history):
    forces = "forces" in history[0]
    kinds = {"forces": "validation_forces"} if forces else {"objective": "validation"}
    steps, levels = np.arange(len(history)), np.array([entry["level"] for entry in history])
    for kind, judged in kinds.items():
        series = ((kind, "frames learnt from", COLOURS["test"]), (judged, "validation frames", COLOURS["validation"]))
        for name, label, colour in series:
            if all(name in entry for entry in history):
                values = np.array([entry[name] for entry in history])
                axes.semilogy(steps, 1e3 * values if forces else values**0.5, "o-", ms=4, color=colour, label=label)
    axes.margins(y=0.25)
    for first in np.flatnonzero(np.diff(levels, prepend=0)):
        axes.axvline(first - 0.5, color=LINE, lw=1.5)
        style = {"transform": axes.get_xaxis_transform(), "va": "top", "fontsize": 10, "color": INK}
        axes.text(first - 0.3, 0.97, f"level {levels[first]}", **style)
    unit = "force error, meV/Å" if forces else "residual, sigmas"
    axes.set(title="Learning the radial functions", xlabel="iteration", ylabel=f"rms {unit}")
    axes.set_xlim(-0.5, len(history) - 0.5)
    plain_decades(axes.yaxis)
    axes.legend(loc="upper right")


@styled
def learning_curves(candidates):
    """Errors against the number of training frames, a panel each for energies and forces.

    Parameters
    ----------
    candidates : list of Candidate

    Returns
    -------
    matplotlib.figure.Figure
    """
    canvas = Canvas(figsize=(11, 3.9), layout="constrained")
    panels = canvas.subplots(1, 2)
    for axes, column, title, unit in zip(panels, (1, 2), ("Energy", "Forces"), ("meV/atom", "meV/Å"), strict=True):
        for one in candidates:
            rows = np.array(one.learning, dtype=float).T
            axes.loglog(rows[0], rows[column], "o-", color=MODELS.get(one.name, SERIES[2]), label=one.name)
        axes.set_xticks(rows[0], [f"{n:.0f}" for n in rows[0]])
        axes.set_xticks([], minor=True)
        axes.margins(y=0.2)
        plain_decades(axes.yaxis)
        axes.set(title=title, xlabel="frames fitted", ylabel=f"mean absolute error, {unit}")
        axes.legend(loc="upper right")
    return canvas
