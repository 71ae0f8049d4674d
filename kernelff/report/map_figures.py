"""Maps of environments as a figure: kinds, force errors, error bars and novelty on the same points."""

from __future__ import annotations

from itertools import cycle

import numpy as np
from ase.data import chemical_symbols
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from kernelff.report.cells import natural
from kernelff.report.figures import INK, SOFT, styled

# light to dark, so that the order survives any colour vision; the light end is darker than the paper
_SCALE = LinearSegmentedColormap.from_list("errors", ["#f7d38b", "#f09a4a", "#d9532f", "#9c1f35", "#4a0d33"])
_KNOWN, _OTHERS = "#d5dbe2", "#98a3af"
_KINDS = ("#0f6e84", "#c9622c", "#6a4c93", "#5b8c3a", "#c2456f", "#2f5fb3", "#a8872a", "#3aa08f", "#7a5230", "#1c2530")
_MARKERS = "os^D"  # with ten colours, twenty different pairs
_N_KINDS = 12
_LONGEST = 22  # letters of a kind in the legend
_TITLES = {
    "kinds": "Kinds of environments",
    "error": "Force error",
    "force_std": "Predicted standard deviation",
    "novelty": "Novelty",
    "grade": "Extrapolation grade",
}
_UNITS = {"error": "meV/Å", "force_std": "meV/Å", "novelty": "0 known, 1 never seen", "grade": "above 1 extrapolated"}
_PERCENTILE = 98  # upper end of a colour scale: a few points must not turn all others pale


@styled
def environment_maps(maps):
    """Maps of the environments of each element.

    Parameters
    ----------
    maps : list of EnvironmentMap

    Returns
    -------
    matplotlib.figure.Figure
        For one element in two rows, for several one row each.
    """
    panels = drawn_panels(maps)
    alone = len(maps) == 1
    n_columns = min(2, len(panels)) if alone else len(panels)
    n_rows = -(-len(panels) // n_columns) if alone else len(maps)
    height = 4.1 * n_rows if alone else 2.6 * n_rows + 1.1
    canvas = Canvas(figsize=(11, height), layout="constrained")
    grid = canvas.subplots(n_rows, n_columns, squeeze=False)
    for axes in grid.ravel()[len(panels) :] if alone else ():
        axes.remove()
    for k, panel in enumerate(panels):
        column = grid.ravel()[k : k + 1] if alone else grid[:, k]
        for axes, found in zip(column, maps, strict=True):
            _ground(axes, found)
        column[0].set_title(_TITLES[panel], fontsize=12 if n_columns < 4 else 10.5)
        if panel == "kinds":
            _draw_kinds(column, maps, alone)
        else:
            _draw_values(column, maps, panel, alone)
    for axes, found in zip(grid[:, 0], [] if alone else maps, strict=False):
        axes.set_ylabel(f"{chemical_symbols[found.element]}\n", fontsize=13, weight="bold")
    return canvas


def drawn_panels(maps):
    """Which panels there is something to show in: "kinds", "error", "force_std", "novelty", "grade"."""
    several = len({kind for found in maps for kind in found.kinds}) > 1
    values = [p for p in tuple(_UNITS) if any(np.isfinite(getattr(m, p)).any() for m in maps)]
    return ["kinds"] * (several or not values) + values


def _ground(axes, found):
    """Training environments, and axes without numbers: lengths in a plane of descriptors mean nothing."""
    axes.plot(*found.known.T, "o", ms=3, mew=0, color=_KNOWN, rasterized=True, zorder=1)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    first, second = 100 * found.explained
    axes.set_xlabel(f"{first:.0f} + {second:.0f} % of the variance", color=SOFT, fontsize=9)


def _draw_values(column, maps, panel, alone):
    """Points in the colour of their value, the largest on top, and a colour bar for all of them."""
    norm = Normalize(0.0, _upper_end(maps, panel), clip=True)
    for axes, found in zip(column, maps, strict=True):
        values = getattr(found, panel)
        order = np.argsort(values)
        order = order[np.isfinite(values[order])]
        style = {"cmap": _SCALE, "norm": norm, "s": _size(found), "lw": 0, "rasterized": True, "zorder": 2}
        axes.scatter(*found.points[order].T, c=values[order], **style)
    place = {"cax": column[0].inset_axes((1.02, 0.0, 0.03, 1.0))} if alone else {"ax": list(column)}
    place |= {} if alone else {"location": "bottom", "aspect": 30, "pad": 0.02}
    ticks = MaxNLocator(5 if alone else 3)
    bar = column[0].figure.colorbar(ScalarMappable(norm, _SCALE), extend="max", ticks=ticks, **place)
    bar.set_label(_UNITS[panel], fontsize=9)
    bar.ax.tick_params(labelsize=9)
    bar.outline.set_visible(False)


def _upper_end(maps, panel):
    """Of a colour scale; errors and their predicted standard deviations share one, to be compared."""
    panels = ("error", "force_std") if panel in ("error", "force_std") else (panel,)
    values = np.concatenate([getattr(found, name) for found in maps for name in panels])
    high = float(np.percentile(values[np.isfinite(values)], _PERCENTILE))
    return high if high > 0 else 1.0


def _draw_kinds(column, maps, alone):
    """Points in the colour and shape of their config_type."""
    names, counts = np.unique(np.concatenate([found.kinds for found in maps]).astype(str), return_counts=True)
    frequent = set(names[np.argsort(-counts, kind="stable")][:_N_KINDS])
    named = [kind for kind in sorted(names, key=natural) if kind in frequent]
    styles = {kind: style for kind, style in zip(named, zip(cycle(_KINDS), cycle(_MARKERS)), strict=False)}
    styles[None] = (_OTHERS, "o")
    for axes, found in zip(column, maps, strict=True):
        for kind in (None, *named):
            mine = ~np.isin(found.kinds.astype(str), named) if kind is None else found.kinds == kind
            if kind is None and not mine.any():
                continue  # an empty kind is drawn, for the legend
            colour, marker = styles[kind]
            label = f"{len(names) - len(named)} others" if kind is None else _shown(kind)
            style = {"ms": 0.9 * _size(found) ** 0.5, "mew": 0, "color": colour, "rasterized": True}
            axes.plot(*found.points[mine].T, marker, label=label, zorder=3 - mine.mean(), **style)  # rare kinds on top
    place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if alone else {"loc": "upper center"}
    if not alone:
        place |= {"bbox_to_anchor": (0.5, -0.12), "ncols": 2, "columnspacing": 0.8}
    column[-1].legend(fontsize=9, handletextpad=0.1, markerscale=1.5, labelcolor=INK, **place)


def _shown(kind):
    """A config_type as matplotlib shows it: no formulas, no label that it hides, not too long."""
    text = kind.lstrip("_").replace("$", r"\$") or "-"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _size(found):
    """Of markers, in points squared: smaller where there are many."""
    return float(np.clip(12000 / max(len(found.points), 1), 5, 22))
