"""Tables for the terminal and, as plain cells, for the reports."""

from rich.table import Table

_UNITS = {"energy": "meV/atom", "forces": "meV/Å", "stress": "GPa"}


def data_table(summary, title):
    """The summary of a data set.

    Parameters
    ----------
    summary : DataSummary
    title : str

    Returns
    -------
    rich.table.Table
    """
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, text in summary.rows():
        table.add_row(name, text, style="yellow" if name == "note" else None)
    return table


def error_cells(evaluations, statistic="mae"):
    """Mean absolute (or other) errors by kind and group, a column for each set of frames.

    Parameters
    ----------
    evaluations : dict
        Name of the set -> Evaluation.
    statistic : {"mae", "rmse", "max"}

    Returns
    -------
    header : list of str
    rows : list of list of str
        "all" first, then each config_type.
    """
    found = {}
    for name, evaluation in evaluations.items():
        for row in evaluation.errors():
            found[row["group"], row["kind"], name] = row
    kinds = [kind for kind in _UNITS if any(key[1] == kind for key in found)]
    header = ["", *(f"{kind}\n{_UNITS[kind]}\n{name}" for kind in kinds for name in evaluations)]
    groups = ["all", *sorted({key[0] for key in found} - {"all"})]
    rows = []
    for group in groups:
        entries = (found.get((group, kind, name)) for kind in kinds for name in evaluations)
        rows.append([group, *("" if entry is None else number(entry[statistic]) for entry in entries)])
    return header, rows


def error_table(evaluations, statistic="mae"):
    """The error table for the terminal; arguments as `error_cells`."""
    title = {"mae": "Mean absolute errors", "rmse": "Root mean square errors", "max": "Largest errors"}[statistic]
    header, rows = error_cells(evaluations, statistic)
    return _right_aligned(title, header, rows)


def property_cells(rows):
    """Properties beside their references.

    Parameters
    ----------
    rows : list of tuple
        (name, unit, model, reference or None).

    Returns
    -------
    header : list of str
    rows : list of list of str
    """
    cells = []
    for name, unit, value, reference in rows:
        deviation = f"{100 * (value / reference - 1):+.1f} %" if reference else ""
        cells.append([name, unit, number(value, 4), number(reference, 4) if reference else "", deviation])
    return ["", "unit", "model", "DFT", "deviation"], cells


def property_table(rows):
    """The property table for the terminal; argument as `property_cells`."""
    return _right_aligned("Properties", *property_cells(rows))


def number(value, digits=3):
    """A number with so many significant digits and no exponent."""
    if value == 0:
        return "0"
    text = f"{value:#.{digits}g}".rstrip(".")
    return text if "e" not in text else f"{float(text):.0f}" if abs(value) > 1 else f"{value:.{digits + 3}f}"


def _right_aligned(title, header, rows):
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1), header_style="dim")
    for position, name in enumerate(header):
        table.add_column(name, justify="right" if position else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row, style="bold" if row[0] == "all" else None)
    return table
