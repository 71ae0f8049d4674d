"""Fill the report template; nothing is loaded from elsewhere when the file is opened."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import jinja2
import matplotlib

from kernelff.io.safe_file import write_whole
from kernelff.report.cells import Table

_TEMPLATE = "report.html.j2"
_FULL_WIDTH = 11  # inches of a figure as wide as the page; narrower ones keep the size of their letters


@dataclass(frozen=True)
class Figure:
    """A picture of a report.

    Attributes
    ----------
    source : str
        Data URI.
    caption : str
        What one sees.
    share : float
        Of the width of the page, percent.
    """

    source: str
    caption: str
    share: float = 100.0

    @classmethod
    def from_matplotlib(cls, figure, caption):
        """Draw a matplotlib figure as inline SVG (its dense scatter plots as pixels)."""
        buffer = io.BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "kernelff"}):  # the same picture, the same file
            figure.savefig(buffer, format="svg", dpi=160, bbox_inches="tight", metadata={"Date": None})
        source = "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
        return cls(source, caption, round(min(100.0 * figure.get_figwidth() / _FULL_WIDTH, 100.0)))


@dataclass(frozen=True)
class Section:
    """A heading with text, tables and figures below."""

    title: str
    text: str = ""
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)


def build_report(path, title, summary, numbers, sections):
    """Write a report.

    Parameters
    ----------
    path : path-like
        HTML file; written whole or not at all.
    title : str
    summary : str
        One or two sentences under the title.
    numbers : list of tuple of str
        (value, unit, what it is): the few figures to be seen first.
    sections : list of Section

    Returns
    -------
    Path
    """
    from kernelff import __version__

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kernelff.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template(_TEMPLATE).render(
        title=title,
        summary=summary,
        numbers=numbers,
        sections=sections,
        version=__version__,
        written=datetime.now().strftime("%d %B %Y, %H:%M"),
    )
    write_whole(path, html.encode())
    return Path(path)
