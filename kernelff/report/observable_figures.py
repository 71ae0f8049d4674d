"""Pictures of what was observed in a molecular dynamics."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure as Canvas

from kernelff.report.figures import COLOURS, INK, SERIES, SOFT, plain_decades, styled


def figure_of(result):
    """The picture of an ObservableResult.

    Parameters
    ----------
    result : ObservableResult

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If it has no data.
    """
    if not result.columns:
        raise ValueError(f"{result.name}: there is nothing to draw. {' '.join(result.remarks)}")
    canvas = _DRAWN[result.name](result)
    if result.stopped_at is not None:
        canvas.supxlabel(f"of a run that stopped at step {result.stopped_at}", color=SOFT, fontsize="small")
    return canvas


@styled
def radial_distributions(result):
    """g(r) of every pair of elements beside the number of neighbours within r."""
    canvas = Canvas(figsize=(11, 4.1), layout="constrained")
    left, right = canvas.subplots(1, 2)
    r, names = result.columns["r_A"], _tags(result, "g_", "_error")
    for tag, colour in zip(names, _colours(names), strict=True):
        label = tag.replace("_", "-")
        _band(left, r, result.columns[f"g_{tag}"], result.columns[f"g_{tag}_error"], colour, label)
        right.plot(r, result.columns[f"n_{tag}"], color=colour, lw=1.8, label=label)
        end = result.values.get(f"first minimum {label}")
        if end is not None and end.value is not None:
            left.axvline(end.value, color=colour, lw=0.8, ls=":")
            right.axvline(end.value, color=colour, lw=0.8, ls=":")
    left.axhline(1, color=SOFT, lw=0.8)
    seen = np.flatnonzero(np.any([result.columns[f"g_{tag}"] > 0 for tag in names], axis=0))
    start = max(r[seen[0]] - 0.3, 0) if len(seen) else 0
    left.set(title="Radial distribution", xlabel="distance, Å", ylabel="g(r)", xlim=(start, r[-1]), ylim=(0, None))
    ends = [v.value for name, v in result.values.items() if name.startswith("first minimum") and v.value]
    reach = 1.35 * max(ends) if ends else r[-1]
    top = max(float(np.interp(reach, r, result.columns[f"n_{tag}"])) for tag in names)
    right.set(
        title="Neighbours" + " of the first element" * (len(names) > 1),
        xlabel="within a distance of, Å",
        ylabel="atoms",
    )
    right.set(xlim=(start, reach), ylim=(0, 1.05 * max(top, 1)))
    left.legend()
    return canvas


@styled
def displacements(result):
    """Mean square displacements by their lag, linear and logarithmic, with the fits."""
    canvas = Canvas(figsize=(11, 4.1), layout="constrained")
    left, right = canvas.subplots(1, 2)
    t, names = result.columns["lag_fs"] / 1e3, _tags(result, "msd_", "_A2_error")
    low, high = result.columns["fit_fs"] / 1e3
    shown = t <= 2.5 * high
    for symbol, colour in zip(names, _colours(names), strict=True):
        msd, error = result.columns[f"msd_{symbol}_A2"], result.columns[f"msd_{symbol}_A2_error"]
        d = result.values[f"D {symbol}"]
        _band(left, t[shown], msd[shown], error[shown], colour, f"{symbol}: D = {d}".replace("Å^2", "Å²"))
        right.loglog(t, msd, "o-", color=colour, ms=3, lw=1.2)
        if d.value is not None:
            within = (t >= low) & (t <= high)
            slope = 6 * d.value
            offset = np.average(msd[within] - slope * t[within], weights=t[within] ** -3.0)
            line = np.array([low, high])
            left.plot(line, offset + slope * line, color=INK, lw=1.2, ls="--")
    for axes in (left, right):
        axes.axvspan(low, high, color=COLOURS["train"], alpha=0.2, lw=0)
        axes.set(xlabel="time, ps")
    left.set(title="Mean square displacement", ylabel="Å²", xlim=(0, None), ylim=(0, None))
    right.set(title="Logarithmic; shaded: where D is taken", ylabel="Å²")
    plain_decades(right.xaxis)
    plain_decades(right.yaxis)
    left.legend(loc="best")
    return canvas


@styled
def velocities(result):
    """Velocity autocorrelation, normalised, beside the spectrum."""
    canvas = Canvas(figsize=(11, 4.1), layout="constrained")
    left, right = canvas.subplots(1, 2)
    t, f = result.columns["lag_fs"] / 1e3, result.columns["frequency_THz"]
    names = _tags(result, "vacf_", "_A2_per_fs2_error")
    highest = 1.0
    for symbol, colour in zip(names, _colours(names), strict=True):
        c, error = (result.columns[f"vacf_{symbol}_A2_per_fs2{end}"] for end in ("", "_error"))
        if c[0] > 0:
            _band(left, t, c / c[0], error / c[0], colour, symbol)
        spectrum = result.columns[f"dos_{symbol}_per_THz"]
        right.fill_between(f, spectrum, color=colour, alpha=0.2, lw=0)
        right.plot(f, spectrum, color=colour, lw=1.6, label=symbol)
        above = np.flatnonzero(spectrum > 0.01 * np.max(spectrum))
        highest = max(highest, f[above[-1]] if len(above) else 0.0)
    if "dos_per_THz" in result.columns:
        right.plot(f, result.columns["dos_per_THz"], color=INK, lw=1.2, label="all")
    left.axhline(0, color=SOFT, lw=0.8)
    left.set(title="Velocity autocorrelation", xlabel="time, ps", ylabel="relative to 0 ps", xlim=(0, t[-1]))
    right.set(title="Spectrum", xlabel="frequency, THz", ylabel="1/THz", xlim=(0, min(1.15 * highest, f[-1])))
    right.set_ylim(bottom=0)
    if len(names) > 1:
        right.legend()
    return canvas


@styled
def transport(result):
    """An autocorrelation beside its running integral with error band and the limit that was taken."""
    canvas = Canvas(figsize=(11, 4.1), layout="constrained")
    left, right = canvas.subplots(1, 2)
    titles, axis, name, unit = _TRANSPORT[result.name]
    t = result.columns["lag_fs"] / 1e3
    columns = [key for key in result.columns if key != "lag_fs" and not key.endswith("_error")]
    c, c_error, running, error = (result.columns[f"{key}{end}"] for key in columns for end in ("", "_error"))
    scale = (c[0] if c[0] > 0 else 1.0) if result.name == "heat_flux" else 1.0
    _band(left, t[1:], c[1:] / scale, c_error[1:] / scale, SERIES[0], None)
    left.plot(t[1:], c[1:] / scale, "o", ms=2.5, color=SERIES[0])
    left.axhline(0, color=SOFT, lw=0.8)
    left.set(title=titles[0], ylabel=axis, xscale="log", xlabel="time, ps")
    _band(right, t, running, error, SERIES[0], None)
    value, limit = result.values[name], result.values["upper limit of the integral"].value
    if value.value is not None:
        right.axvline(limit / 1e3, color=COLOURS["DFT"], lw=1, ls=":")
        right.errorbar(
            limit / 1e3, value.value, value.error, color=COLOURS["DFT"], marker="o", ms=6, capsize=4, label=str(value)
        )
        right.legend(loc="lower right")
        high = max(np.nanmax((running + error)[t <= 2.5 * limit / 1e3]), 0)
        right.set_ylim(min(0, np.nanmin((running - error)[t <= 2.5 * limit / 1e3])), 1.15 * high)
    right.axhline(0, color=SOFT, lw=0.8)
    right.set(title=titles[1], ylabel=unit, xlabel="upper limit, ps", xlim=(0, 1.04 * t[-1]))
    plain_decades(left.xaxis)
    return canvas


@styled
def local_sds(result):
    """Standard deviations of local energies: their course, and how they are distributed."""
    canvas = Canvas(figsize=(11, 4.1), layout="constrained")
    left, right = canvas.subplots(1, 2)
    t = result.columns["time_fs"] / 1e3
    for key, label, colour in (("largest_eV", "largest", SERIES[1]), ("mean_eV", "mean", SERIES[0])):
        left.plot(t, 1e3 * result.columns[key], color=colour, lw=1.4, label=label)
    left.set(title="Standard deviation of local energies", xlabel="time, ps", ylabel="meV", ylim=(0, None))
    left.legend()
    sd, share = 1e3 * result.columns["sd_eV"], result.columns["share"]
    seen = np.flatnonzero(share)
    right.bar(sd, 100 * share, width=np.gradient(sd), color=SERIES[0], alpha=0.6, lw=0)
    right.set(title="Their distribution", xlabel="meV", ylabel="atoms and times, %", xscale="log")
    if len(seen):
        right.set_xlim(sd[max(seen[0] - 2, 0)], sd[min(seen[-1] + 2, len(sd) - 1)])
    plain_decades(right.xaxis)
    return canvas


_TRANSPORT = {
    "stress": (
        ("Shear stress autocorrelation", "Viscosity by Green-Kubo"), "V / kT ⟨σ(0) σ(t)⟩, GPa", "shear viscosity",
        "mPa s",
    ),
    "heat_flux": (
        ("Heat flux autocorrelation", "Thermal conductivity by Green-Kubo"), "relative to 0 ps",
        "thermal conductivity", "W/(m K)",
    ),
}  # fmt: skip
_DRAWN = {
    "rdf": radial_distributions, "msd": displacements, "vacf": velocities, "stress": transport, "heat_flux": transport,
    "uncertainty": local_sds,
}  # fmt: skip


def _tags(result, start, end):
    """What stands between a start and an end in the names of columns."""
    found = (key for key in result.columns if key.startswith(start) and key.endswith(end))
    return [tag for tag in (key[len(start) : -len(end)] for key in found) if tag]


def _colours(names):
    return [SERIES[k % len(SERIES)] for k in range(len(names))]


def _band(axes, x, y, error, colour, label):
    axes.plot(x, y, color=colour, lw=1.8, label=label)
    if np.isfinite(error).any():
        axes.fill_between(x, y - error, y + error, color=colour, alpha=0.25, lw=0)
