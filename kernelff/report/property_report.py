"""The report of `kernelff properties`: equation of state, elastic constants, phonons, path of a jump."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure as Canvas

from kernelff.report.build import Figure, Section, build_report
from kernelff.report.cells import Table, number
from kernelff.report.figures import COLOURS, INK, LINE, SERIES, SOFT, styled

_HEADLINES = ("lattice constant a", "bulk modulus", "highest frequency", "melting point")


def rows_table(rows, title="", remarks=True):
    """Numbers with their standard deviations.

    Parameters
    ----------
    rows : list of PropertyRow
    title : str
    remarks : bool
        With a column for them.

    Returns
    -------
    Table
    """
    cells = []
    for row in rows:
        value, std = value_and_std(row.value, row.std)
        cells.append([row.name, _typeset(row.unit), value, std, *([row.remark] if remarks else [])])
    return Table(["", "unit", "value", "sd", *(["remark"] if remarks else [])], cells, title=title, texts=(4,))


def _typeset(unit):
    return unit.replace("^2", "²").replace("^3", "³")


def value_and_std(value, std):
    """A number with the digits that its standard deviation leaves, and the latter with two.

    Parameters
    ----------
    value : float
    std : float or None

    Returns
    -------
    tuple of str
    """
    if std is None or not np.isfinite(std) or std < 1e-6:
        return number(round(float(value), 6) + 0.0, 5), ""  # no minus zero
    decimals = max(0, 1 - int(np.floor(np.log10(std))))
    return f"{value:.{decimals}f}", f"{std:.{decimals}f}"


def property_report(path, title, survey):
    """Write the report of a survey of properties.

    Parameters
    ----------
    path : path-like
    title : str
    survey : Survey

    Returns
    -------
    Path
    """
    found, n_atoms = survey.found, len(survey.crystal)
    unstable = "".join(f" Warning: {text}." for text in survey.warnings)
    failed = "".join(f" Not computed: {kind} ({text})." for kind, text in survey.failures.items())
    summary = f"Properties of a crystal, relaxed in a cell of {n_atoms} atoms.{unstable}{failed}"
    numbers = []
    for row in survey.rows:
        if row.name in _HEADLINES:
            value, std = value_and_std(row.value, row.std)
            numbers.append((value, _typeset(row.unit), f"{row.name}, ±{std}" if std else row.name))
    sections = [Section("Numbers", _TEXT, [rows_table(survey.rows)])]
    if "eos" in found:
        picture = Figure.from_matplotlib(energy_curve(found["eos"]), _EOS_CAPTION)
        sections.append(Section("Equation of state", figures=[picture]))
    if "elastic" in found:
        sections.append(Section("Elastic constants", tables=[_tensor_table(found["elastic"])]))
    if "phonons" in found:
        picture = Figure.from_matplotlib(phonon_bands(found["phonons"]), _PHONON_CAPTION)
        sections.append(Section("Phonons", figures=[picture]))
    if "melting" in found:
        picture = Figure.from_matplotlib(melting_run(found["melting"]), _MELTING_CAPTION)
        sections.append(Section("Melting", figures=[picture]))
    if "barrier" in found:
        caption = "Energy along the path of a vacancy's jump to a neighbouring site."
        picture = Figure.from_matplotlib(barrier_path(found["barrier"]), caption)
        sections.append(Section("Barrier", figures=[picture]))
    return build_report(path, title, summary, numbers, sections)


_TEXT = (
    "Standard deviations (sd) are those of the model's posterior, scaled to the errors of held-out frames. In "
    "differences of energies and stresses the errors that the structures share cancel. They say what the training "
    "data leave open, not what the form of the model gets wrong in structures unlike the data."
)
_EOS_CAPTION = "Points with error bars of one standard deviation of their own energy; line: Birch-Murnaghan fit."
_PHONON_CAPTION = (
    "Phonon bands along the path through the Brillouin zone, and density of states. Imaginary: below zero. Shaded: one "
    "standard deviation of each band to both sides, where the model has error bars."
)
_MELTING_CAPTION = (
    "Solid and liquid side by side at constant enthalpy and pressure: the temperature, which settles at the melting "
    "point (dashed: mean of the second half), and the share of solid atoms along the cell at the end."
)


@styled
def energy_curve(eos):
    """Energy against volume with error bars.

    Parameters
    ----------
    eos : EquationOfState

    Returns
    -------
    matplotlib.figure.Figure
    """
    canvas = Canvas(figsize=(7, 4.1), layout="constrained")
    axes = canvas.subplots()
    volumes = np.linspace(eos.volumes[0], eos.volumes[-1], 200)
    axes.plot(volumes, 1e3 * (eos.curve(volumes) - eos.energy), color=SERIES[0], lw=2, label="Birch-Murnaghan")
    bars = None if eos.energies_std is None else 1e3 * eos.energies_std
    points = 1e3 * (eos.energies - eos.energy)
    axes.errorbar(
        eos.volumes, points, bars, color=COLOURS["DFT"], ls="none", marker="o", ms=5, capsize=3, label="model"
    )
    axes.axvline(eos.volume, color=SOFT, lw=0.8, ls=":")
    axes.set(title="Energy against volume", xlabel="volume, Å³/atom", ylabel="meV/atom above the minimum")
    axes.legend()
    return canvas


@styled
def phonon_bands(found):
    """Bands and density of states side by side.

    Parameters
    ----------
    found : Phonons

    Returns
    -------
    matplotlib.figure.Figure
    """
    canvas = Canvas(figsize=(11, 4.6), layout="constrained")
    left, right = canvas.subplots(1, 2, width_ratios=(3.2, 1), sharey=True)
    ticks, names = [], []
    stds = found.frequencies_std or [None] * len(found.labels)
    for distances, frequencies, std, (a, b) in zip(found.distances, found.frequencies, stds, found.labels, strict=True):
        left.plot(distances, frequencies, color=SERIES[0], lw=1.4)
        for band in range(0 if std is None else frequencies.shape[1]):
            middle, width = frequencies[:, band], std[:, band]
            left.fill_between(distances, middle - width, middle + width, color=SERIES[0], alpha=0.2, lw=0)
        a, b = (name.replace("G", "Γ") for name in (a, b))
        if not names:
            ticks, names = [distances[0]], [a]
        elif names[-1] != a:  # the path goes on elsewhere
            names[-1] = f"{names[-1]}|{a}"
        ticks.append(distances[-1])
        names.append(b)
    for tick in ticks:
        left.axvline(tick, color=LINE, lw=0.8)
    left.set(xticks=ticks, xticklabels=names, xlim=(ticks[0], ticks[-1]), ylabel="frequency, THz", title="Phonon bands")
    left.grid(axis="x", visible=False)
    right.fill_betweenx(found.dos_frequencies, found.dos, color=SERIES[0], alpha=0.25, lw=0)
    right.plot(found.dos, found.dos_frequencies, color=SERIES[0], lw=1.4)
    right.set(title="Density of states", xlabel="states per THz and cell")
    right.set_xlim(left=0)
    for axes in (left, right):
        axes.axhline(0, color=INK, lw=0.8)
    return canvas


@styled
def melting_run(found):
    """Temperature of a run with two phases, and where they are at its end.

    Parameters
    ----------
    found : MeltingPoint

    Returns
    -------
    matplotlib.figure.Figure
    """
    canvas = Canvas(figsize=(11, 3.8), layout="constrained")
    left, right = canvas.subplots(1, 2, width_ratios=(1.6, 1))
    left.plot(found.time, found.temperatures, color=SERIES[0], lw=0.6, alpha=0.5)
    width = max(1, len(found.time) // 50)
    smooth = np.convolve(found.temperatures, np.ones(width) / width, "valid")
    left.plot(found.time[width // 2 :][: len(smooth)], smooth, color=SERIES[0], lw=1.6)
    left.axhline(found.temperature, color=COLOURS["DFT"], lw=1.2, ls="--")
    left.set(title="Temperature", xlabel="time, ps", ylabel="temperature, K")
    edges = np.linspace(0, 1, len(found.profile) + 1)
    right.stairs(found.profile, edges, fill=True, color=SERIES[0], alpha=0.25)
    right.stairs(found.profile, edges, color=SERIES[0], lw=1.4)
    right.set(title="Solid", xlabel="position along the cell", ylabel="share of the atoms", ylim=(0, 1.05), xlim=(0, 1))
    return canvas


@styled
def barrier_path(found):
    """Energies of the images of a band.

    Parameters
    ----------
    found : Barrier

    Returns
    -------
    matplotlib.figure.Figure
    """
    canvas = Canvas(figsize=(7, 3.8), layout="constrained")
    axes = canvas.subplots()
    steps = np.linspace(0, 1, len(found.energies))
    axes.plot(steps, found.energies, "o-", color=SERIES[0], lw=1.6, ms=6)
    if found.energy_std is not None:
        top = int(np.argmax(found.energies))
        axes.errorbar(
            steps[top], found.energies[top], found.energy_std, color=COLOURS["DFT"], capsize=4, elinewidth=1.6
        )
    axes.set(title="Path of the jump", xlabel="image, from start to end", ylabel="energy, eV")
    return canvas


def _tensor_table(found):
    header = ["GPa", "xx", "yy", "zz", "yz", "xz", "xy"]
    stds = np.full((6, 6), np.nan) if found.std is None else found.std
    rows = []
    for name, values, bars in zip(header[1:], found.tensor, stds, strict=True):
        cells = (value_and_std(value, bar) for value, bar in zip(values, bars, strict=True))
        rows.append([name, *(f"{value} ± {bar}" if bar else value for value, bar in cells)])
    return Table(header, rows, caption="Atoms relaxed in the strained cells.")
