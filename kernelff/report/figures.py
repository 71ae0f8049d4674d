"""Figures of the reports. Every function returns a matplotlib figure and draws nothing on a screen."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure as Canvas

from kernelff.report.cells import natural, percent
from kernelff.report.coverage import coverage, errors_and_sds

INK, SOFT, LINE = "#1c2530", "#5b6878", "#dfe4ea"
COLOURS = {"train": "#a9b4c0", "validation": "#e0a02b", "test": "#0f6e84", "DFT": "#b8432f"}
MODELS = {"GAP": "#0f6e84", "MTP": "#c9622c"}
SERIES = ("#0f6e84", "#c9622c", "#6a4c93", "#5b8c3a")

_STYLE = {
    "font.size": 11,
    "font.family": "DejaVu Sans",
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
}
_DFT_POINTS = {
    "color": COLOURS["DFT"],
    "ls": "none",
    "marker": "o",
    "ms": 7,
    "mfc": "none",
    "mew": 1.6,
    "label": "DFT",
}


def styled(draw):
    """Decorator: draw in the house style without touching the user's matplotlib settings."""
    from functools import wraps

    import matplotlib

    @wraps(draw)
    def wrapped(*args, **kwargs):
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return wrapped


@styled
def parity(evaluations):
    """Energies and forces of the model against their labels, errors below.

    Parameters
    ----------
    evaluations : dict
        "train", "validation", "test" -> Evaluation; drawn in this order, with error bars where they have them.

    Returns
    -------
    matplotlib.figure.Figure
    """
    canvas = Canvas(figsize=(11, 5.6), layout="constrained")
    axes = canvas.subplots(2, 2, height_ratios=(3, 1.2), sharex="col")
    lowest = min(np.nanmin(e.energy_ref / e.n_atoms) for e in evaluations.values())
    for name, found in evaluations.items():
        style = {"color": COLOURS.get(name, SERIES[0]), "ms": 4.5, "mew": 0, "ls": "none", "marker": "o"}
        x = found.energy_ref / found.n_atoms - lowest
        y = found.energy / found.n_atoms - lowest
        bars = None if found.energy_std is None else found.energy_std / found.n_atoms
        axes[0, 0].errorbar(x, y, bars, elinewidth=0.8, label=name, **style)
        axes[1, 0].errorbar(x, 1e3 * (y - x), None if bars is None else 1e3 * bars, elinewidth=0.8, **style)
        x, y = (
            np.concatenate([f.ravel() for f in found.forces_ref]),
            np.concatenate([f.ravel() for f in found.forces]),
        )
        style |= {"ms": 2.4, "alpha": 0.6, "rasterized": True}
        axes[0, 1].plot(x, y, **style)
        axes[1, 1].plot(x, 1e3 * (y - x), **style)
    for column in (0, 1):
        _diagonal(axes[0, column])
        axes[1, column].axhline(0, color=SOFT, lw=0.8)
        _symmetric(axes[1, column])
    axes[0, 0].set(title="Energy", ylabel="model, eV/atom")
    axes[0, 1].set(title="Forces", ylabel="model, eV/Å")
    axes[1, 0].set(xlabel="DFT, eV/atom above the lowest frame", ylabel="error,\nmeV/atom")
    axes[1, 1].set(xlabel="DFT, eV/Å, each component", ylabel="error,\nmeV/Å")
    axes[0, 0].legend(loc="upper left")
    return canvas


@styled
def error_bars(evaluation, name="test"):
    """Errors against predicted standard deviations, and coverage of the error bars.

    Parameters
    ----------
    evaluation : Evaluation
        With uncertainties.
    name : str
        What the frames are.

    Returns
    -------
    matplotlib.figure.Figure
    """
    canvas = Canvas(figsize=(11, 4.3), layout="constrained")
    left, right = canvas.subplots(1, 2, width_ratios=(1.25, 1))
    errors, sds = errors_and_sds(evaluation, "forces")
    size = np.maximum(np.abs(errors), 1e-3 * np.abs(errors).max())
    left.loglog(sds, size, "o", ms=2.5, mew=0, alpha=0.35, color=COLOURS["test"], rasterized=True)
    edges = np.quantile(sds, np.linspace(0, 1, min(11, max(2, len(sds) // 20))))
    inside = [
        np.clip(np.searchsorted(edges, sds, side="right") - 1, 0, len(edges) - 2) == b for b in range(len(edges) - 1)
    ]
    middle = [np.sqrt((sds[i] ** 2).mean()) for i in inside if i.any()]
    typical = [np.sqrt((size[i] ** 2).mean()) for i in inside if i.any()]
    left.loglog(middle, typical, "o-", color=COLOURS["DFT"], ms=6, lw=1.5, label="root mean square in bins")
    ends = np.array([sds.min(), sds.max()])
    left.loglog(ends, ends, color=INK, lw=1, label="error = predicted")
    left.set_ylim(max(size.min(), 3e-2 * sds.min()), 3 * size.max())
    left.set(title="Are large errors announced?", xlabel="predicted standard deviation of a force component, meV/Å")
    left.set(ylabel="error, meV/Å")
    plain_decades(left.xaxis)
    plain_decades(left.yaxis)
    left.legend(loc="lower right")
    levels = np.linspace(0.05, 0.95, 19)
    right.plot([0, 100], [0, 100], color=INK, lw=1)
    for kind, colour in zip(("forces", "energy", "stress"), SERIES, strict=False):
        errors, sds = errors_and_sds(evaluation, kind)
        if len(errors):
            found = 100 * coverage(errors, sds, levels)
            right.plot(100 * levels, found, "o-", ms=4, lw=1.4, color=colour, label=f"{kind} ({len(errors)})")
    right.set(
        title="Do the error bars cover?",
        xlabel="promised coverage, %",
        ylabel=f"observed on {name} frames, %",
    )
    right.set(xlim=(0, 100), ylim=(0, 100))
    right.legend(loc="upper left")
    return canvas


@styled
def properties_and_curve(models, curves, reference):
    """Energy against volume beside the deviation of each property from its reference.

    Parameters
    ----------
    models : dict
        Name of a model -> list of (name, unit, value, reference).
    curves : dict
        Name of a model -> volumes (Å^3/atom) and energies (eV/atom).
    reference : tuple of ndarray
        Volumes and energies by DFT.

    Returns
    -------
    matplotlib.figure.Figure
    """
    canvas = Canvas(figsize=(11, 4.1), layout="constrained")
    left, right = canvas.subplots(1, 2)
    _energy_curve(left, curves, reference)
    _deviations(right, models)
    return canvas


def _energy_curve(axes, curves, reference):
    drawn = [(curve, {"color": _colour(name), "lw": 2, "label": name}) for name, curve in curves.items()]
    for (volumes, energies), style in [*drawn, (reference, _DFT_POINTS)]:
        axes.plot(volumes, 1e3 * (energies - _lowest(volumes, energies)), **style)
    axes.set(title="Energy against volume", xlabel="volume, Å³/atom", ylabel="meV/atom above the minimum")
    axes.legend()


def _colour(name):
    return MODELS.get(name, COLOURS["test"])


def _deviations(axes, models):
    names = [name for name, _, _, reference in next(iter(models.values())) if reference]
    y, apart = np.arange(len(names))[::-1], 0.34 * (len(models) > 1)
    reach = 1.0
    for k, (model, rows) in enumerate(models.items()):
        deviation = np.array([100 * (value / reference - 1) for _, _, value, reference in rows if reference])
        heights = y + apart * (0.5 - k)
        axes.hlines(heights, 0, deviation, color=_colour(model), lw=2)
        axes.plot(deviation, heights, "o", color=_colour(model), ms=8 if len(models) == 1 else 6, label=model)
        for height, value in zip(heights, deviation, strict=True):
            side = 1 if value >= 0 else -1
            axes.annotate(
                percent(value / 100), (value, height), (10 * side, 0), textcoords="offset points",
                ha="left" if side > 0 else "right", va="center", color=INK, fontsize=11 if len(models) == 1 else 9.5,
            )  # fmt: skip
        reach = max(reach, np.abs(deviation).max(initial=0.0))
    axes.axvline(0, color=COLOURS["DFT"], lw=1.5)
    axes.set(xlim=(-1.6 * reach, 1.6 * reach), ylim=(-0.6, len(names) - 0.4), yticks=y, yticklabels=names)
    axes.grid(axis="y", visible=False)
    axes.set(title="Deviation from DFT", xlabel="%")


@styled
def dynamics(traces):
    """Temperature, energy with error bar, largest force error bar and novelty along molecular dynamics.

    Parameters
    ----------
    traces : list of MDTrace

    Returns
    -------
    matplotlib.figure.Figure
    """
    canvas = Canvas(figsize=(11, 5.8), layout="constrained")
    (temperature, energy), (force, novelty) = canvas.subplots(2, 2, sharex=True)
    for trace, colour in zip(traces, SERIES, strict=False):
        label, time, marked = f"{trace.target:.0f} K", 1e-3 * trace.time, 1e-3 * trace.marked_time
        temperature.plot(time, trace.temperature, color=colour, lw=1, label=label)
        temperature.axhline(trace.target, color=colour, lw=0.8, ls=":")
        potential = 1e3 * (trace.energy - traces[0].energy[0]) / trace.n_atoms
        energy.plot(time, potential, color=colour, lw=1)
        middle = np.interp(marked, time, potential)
        bar = 1e3 * trace.energy_std / trace.n_atoms
        energy.errorbar(marked, middle, bar, color=colour, ls="none", capsize=2.5, elinewidth=1.3)
        force.plot(marked, 1e3 * trace.force_std, "o-", ms=3.5, lw=1, color=colour)
        novelty.plot(marked, trace.novelty, "o-", ms=3.5, lw=1, color=colour)
    temperature.set(title="Temperature", ylabel="K")
    temperature.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=len(traces), borderaxespad=0.0)
    energy.set(title="Potential energy, with error bars", ylabel="meV/atom from the start")
    force.set(title="Largest error bar of a force", ylabel="meV/Å", xlabel="time, ps")
    novelty.set(title="Largest novelty of an atom", ylabel="0 known, 1 never seen", xlabel="time, ps")
    for axes in (force, novelty):
        axes.set_ylim(bottom=0)
    return canvas


@styled
def pair_distributions(traces):
    """Pair distribution functions of molecular dynamics.

    Parameters
    ----------
    traces : list of MDTrace

    Returns
    -------
    matplotlib.figure.Figure
    """
    canvas = Canvas(figsize=(11, 3.2), layout="constrained")
    axes = canvas.subplots()
    for trace, colour in zip(traces, SERIES, strict=False):
        axes.plot(*trace.pair_distribution, color=colour, lw=1.8, label=f"{trace.target:.0f} K")
    axes.set(title="Pair distribution", xlabel="distance, Å", ylabel="g(r)")
    axes.set(xlim=(1.5, None), ylim=(0, None))
    axes.legend()
    return canvas


@styled
def errors_by_group(evaluation):
    """Force and stress errors of each config_type.

    Parameters
    ----------
    evaluation : Evaluation

    Returns
    -------
    matplotlib.figure.Figure
    """
    groups = sorted(set(evaluation.config_types), key=natural)
    canvas = Canvas(figsize=(11, 1.4 + 0.32 * len(groups)), layout="constrained")
    panels = canvas.subplots(1, 3, sharey=True)
    y = np.arange(len(groups))[::-1]
    kinds = (("energy", "meV/atom"), ("forces", "meV/Å"), ("stress", "GPa"))
    for axes, (kind, unit) in zip(panels, kinds, strict=True):
        for height, group in zip(y, groups, strict=True):
            chosen = [k for k, name in enumerate(evaluation.config_types) if name == group]
            size = np.abs(evaluation.residuals(kind, chosen))
            if len(size):
                axes.hlines(height, 0, size.mean(), color=COLOURS["test"], lw=7)
                axes.plot(np.sqrt((size**2).mean()), height, "|", color=INK, ms=11, mew=1.6)
        axes.set(title=kind.capitalize(), xlabel=unit, xlim=(0, None))
        axes.grid(axis="y", visible=False)
    panels[0].set(yticks=y, yticklabels=groups, ylim=(-0.6, len(groups) - 0.4))
    return canvas


def _lowest(volumes, energies):
    fit = np.polynomial.Polynomial.fit(volumes, energies, min(4, len(volumes) - 1))
    return fit(np.linspace(volumes.min(), volumes.max(), 400)).min()


def _diagonal(axes):
    low, high = np.min([axes.get_xlim(), axes.get_ylim()]), np.max([axes.get_xlim(), axes.get_ylim()])
    axes.plot([low, high], [low, high], color=INK, lw=0.8, zorder=0)
    axes.set(xlim=(low, high), ylim=(low, high))


def plain_decades(axis):
    """1, 2, 5, 10, ... along a logarithmic axis, thinned out to the decades on a long one, all on a short one."""
    low, high = axis.get_view_interval()
    steps = "123456789" if high < 4 * low else "125" if high < 300 * low else "1"
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in steps else "")


def _symmetric(axes):
    reach = np.abs(axes.get_ylim()).max()
    axes.set_ylim(-reach, reach)
