"""Tables as plain cells, for reports and the terminal."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

_UNITS = {"energy": "meV/atom", "forces": "meV/Å", "stress": "GPa"}


@dataclass(frozen=True)
class Table:
    """A table; numbers come as text, in the precision they deserve.

    Attributes
    ----------
    header : list of str
        Empty for a list of titles and texts.
    rows : list of list of str
        A row that starts with "all" is a total.
    groups : list of tuple
        (title, number of columns) above the header, in the order of the columns.
    title, caption : str
    texts : tuple of int
        Columns of words, beside the first.
    """

    header: list[str]
    rows: list[list[str]]
    groups: list[tuple[str, int]] = field(default_factory=list)
    title: str = ""
    caption: str = ""
    texts: tuple[int, ...] = ()


def error_table(evaluations, statistic="mae"):
    """Errors by kind and config_type, a column for each set of frames.

    Parameters
    ----------
    evaluations : dict
        Name of the set -> Evaluation.
    statistic : {"mae", "rmse", "max"}

    Returns
    -------
    Table
        "all" first, then each config_type.
    """
    found = {}
    for name, evaluation in evaluations.items():
        for row in evaluation.errors():
            found[row["group"], row["kind"], name] = row
    kinds = [kind for kind in _UNITS if any(key[1] == kind for key in found)]
    rows = []
    for group in ["all", *sorted({key[0] for key in found} - {"all"}, key=natural)]:
        entries = (found.get((group, kind, name)) for kind in kinds for name in evaluations)
        rows.append([group, *("" if entry is None else number(entry[statistic]) for entry in entries)])
    groups = [("", 1), *((f"{kind}, {_UNITS[kind]}", len(evaluations)) for kind in kinds)]
    titles = {"mae": "Mean absolute errors", "rmse": "Root mean square errors", "max": "Largest errors"}
    return Table(["", *list(evaluations) * len(kinds)], rows, groups, titles[statistic])


def composition_table(sets, title=""):
    """How many frames and atoms of each config_type the sets hold.

    Parameters
    ----------
    sets : dict
        Name -> frames.
    title : str

    Returns
    -------
    Table
        "all" first, then each config_type.
    """
    found = {str(atoms.info.get("config_type", "-")) for frames in sets.values() for atoms in frames}
    rows = []
    for group in ["all", *sorted(found, key=natural)]:
        cells = [group]
        for frames in sets.values():
            sizes = [len(a) for a in frames if group == "all" or str(a.info.get("config_type", "-")) == group]
            cells += [str(len(sizes)), str(sum(sizes))] if sizes else ["", ""]
        rows.append(cells)
    header = ["", *["frames", "atoms"] * len(sets)]
    return Table(header, rows, [("", 1), *((name, 2) for name in sets)], title)


def property_table(models):
    """Properties beside their references.

    Parameters
    ----------
    models : dict
        Name of a model -> list of (name, unit, value, reference or None), the same properties for all.

    Returns
    -------
    Table
    """
    cells = []
    for entries in zip(*models.values(), strict=True):
        name, unit, _, reference = entries[0]
        cells.append([name, unit, number(reference, 4) if reference else ""])
        for _, _, value, _ in entries:
            cells[-1] += [number(value, 4), percent(value / reference - 1) if reference else ""]
    header = ["", "unit", "", *["value", "deviation"] * len(models)]
    return Table(header, cells, [("", 2), ("DFT", 1), *((name, 2) for name in models)], "Properties")


def learning_table(history):
    """How much better the radial functions of a moment tensor potential became at each level.

    Parameters
    ----------
    history : list of dict
        ``MTP.radial_history_``.

    Returns
    -------
    Table
        Root mean square errors of force components before and after, on the frames learnt from and on the validation
        frames; without force labels root mean square residuals in units of the sigmas.
    """
    by_forces = "forces" in history[0]
    kinds = ("forces", "validation_forces") if by_forces else ("objective", "validation")
    rows = []
    for level in dict.fromkeys(entry["level"] for entry in history):
        own = [entry for entry in history if entry["level"] == level]
        cells = [str(level), str(own[-1]["iteration"])]
        for kind in kinds:
            ends = [entry[kind] for entry in (own[0], own[-1]) if kind in entry]
            cells += [number(1e3 * value if by_forces else value**0.5) for value in ends] or ["", ""]
        rows.append(cells)
    header = ["level", "iterations", *["before", "after"] * 2]
    what = "forces, meV/Å" if by_forces else "residual, sigmas"
    groups = [("", 2), (what, 2), ("validation", 2)]
    return Table(header, rows, groups, "Radial functions, root mean square errors")


def number(value, digits=3, decimals=3):
    """A number with so many significant digits, but no more decimals, and no exponent."""
    if value == 0 or not np.isfinite(value):
        return f"{value:.0f}"
    leading = int(np.floor(np.log10(abs(value))))
    return f"{value:.{min(max(digits - 1 - leading, 0), decimals)}f}"


def natural(name):
    """Key to sort names by in which numbers count as numbers: md-300K before md-1200K."""
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def percent(fraction):
    """A signed percentage with two digits or more."""
    value = 100 * fraction
    return f"{value:+.2f} %" if abs(value) < 1 else f"{value:+.1f} %"
