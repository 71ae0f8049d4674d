"""Tables for the terminal."""

from pathlib import Path

from rich.markup import escape
from rich.table import Table as RichTable

from kernelff.io.finding import listed

_COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim"}
_SHORT = {"validation": "valid."}


def rich_table(table):
    """A table of `report.cells` for the terminal, narrow enough for 80 columns.

    Parameters
    ----------
    table : Table

    Returns
    -------
    rich.table.Table
    """
    rich = RichTable(
        title=table.title,
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 1),
        header_style="dim",
    )
    for position, title in enumerate(_headings(table)):
        rich.add_column(title, justify="right" if position else "left", no_wrap=True)
    for row in table.rows:
        rich.add_row(*row, style="bold" if row[0] == "all" else None)
    return rich


def text_table(rows, title):
    """Titles and texts side by side.

    Parameters
    ----------
    rows : list of tuple of str
    title : str

    Returns
    -------
    rich.table.Table
    """
    rich = RichTable(title=title, title_justify="left", title_style="bold", show_header=False, box=None, padding=(0, 2))
    rich.add_column(style="dim", no_wrap=True)
    rich.add_column()
    for name, text in rows:
        rich.add_row(name, text)
    return rich


def findings_table(findings):
    """What was found in a data set, in which frames, and what to do about it.

    Parameters
    ----------
    findings : sequence of Finding

    Returns
    -------
    rich.table.Table
    """
    rich = RichTable(
        title="Findings", title_justify="left", title_style="bold", box=None, padding=(0, 1, 1, 1), header_style="dim"
    )
    rich.add_column("", no_wrap=True)
    rich.add_column("what", ratio=5)
    rich.add_column("frames", ratio=1)
    rich.add_column("remedy", ratio=4)
    for one in findings:
        texts = (escape(text) for text in (one.what, listed(one.frames) or "all", one.remedy))
        rich.add_row(f"[{_COLOURS[one.severity]}]{one.severity}[/]", *texts)
    return rich


def held_out_errors(errors):
    """Mean absolute errors on held-out frames in one line.

    Parameters
    ----------
    errors : dict
        `LinearModel.cv_errors_`.
    """
    units = {"energy": "meV/atom", "forces": "meV/Å"}
    found = [f"{kind} {1e3 * errors[kind]['mae']:.3g} {unit}" for kind, unit in units.items() if kind in errors]
    return ", ".join(found)


def chosen_hyperparameters(model):
    """What the search of a fit has changed, as rows for `text_table`.

    Parameters
    ----------
    model : LinearModel
        Fitted, its `search_` not None.
    """
    before, units = model.search_, {"energy": "meV/atom", "forces": "meV/Å", "virial": "meV/atom"}
    rows = [
        (f"sigma {name}", f"{1e3 * before['sigmas'][name]:.3g} -> {1e3 * sigma:.3g} {units[name]}")
        for name, sigma in model.sigmas_.items()
        if name in units
    ]
    pairs = zip(before["delta_scales"], model.delta_scales_, strict=True)
    rows += [("delta", "times " + ", ".join(f"{new / old:.3g}" for old, new in pairs))]
    if before["cv_errors"]:
        change = f"{held_out_errors(before['cv_errors'])} -> {held_out_errors(model.cv_errors_)}"
        rows.append(("held-out errors", change))
    return rows


def basis_of(model):
    """How many basis functions a fitted model has, in words.

    Parameters
    ----------
    model : SparseGPR or MTP
        Fitted.
    """
    if hasattr(model, "n_sparse_"):
        return f"{model.n_sparse_} sparse environments"
    descriptor = model.potential_.terms[0].descriptor
    radial = radial_functions(*descriptor.coefficients.shape[1:])
    return f"{descriptor.n_features} scalars of level {model.level}, {radial}"


def radial_functions(n_species, n_radial, size):
    """The radial functions of moment tensors in words."""
    pairs = " for each pair of elements" if n_species > 1 else ""
    return f"{n_radial} radial functions of {size} Chebyshev polynomials{pairs}"


def file_size(path):
    """Size of a file with its unit."""
    size = Path(path).stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def _headings(table):
    """Header with the title of each group, in lines, above its first column."""
    header = [_SHORT.get(name, name) for name in table.header]
    if not table.groups:
        return header
    lines = max(title.count(", ") for title, _ in table.groups) + 1
    above = []
    for title, span in table.groups:
        first = title.replace(", ", "\n")
        above += [first + "\n" * (lines - first.count("\n") - 1), *["\n" * (lines - 1)] * (span - 1)]
    return [f"{group}\n{name}" for group, name in zip(above, header, strict=True)]
