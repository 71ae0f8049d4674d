"""Symmetry functions as the compiled loops read them: what several functions share is computed once."""

import numpy as np


def loop_tables(functions, species, scale, shift):
    """Tables of ext/symmetry.h.

    Parameters
    ----------
    functions : sequence of Function
        One per column of q.
    species : tuple of int, or None
        Elements with channels of their own; None for one channel of any element.
    scale, shift : ndarray of shape (n_species, n_functions)
        By element of the centre: q = (G - shift) scale; scale 0 where it does not list the function.

    Returns
    -------
    dict
        Name -> array.
    """
    numbers = (0,) if species is None else species
    # ordered by cutoff: the loops evaluate the cutoff function once for each
    radials = sorted({_radial(f) for f in functions}, key=lambda radial: radial[::-1])
    angular = [f for f in functions if f.form != "radial"]
    angulars = sorted({(f.lambda_, f.zeta) for f in angular})
    two_bodies = [
        (column, radials.index(_radial(f)), numbers.index(f.elements[0]) if f.elements else -1)
        for column, f in enumerate(functions)
        if f.form == "radial"
    ]
    prefactors = np.array([1.0 if f.form == "radial" else 2.0 ** (1.0 - f.zeta) for f in functions])
    return {
        "numbers": numbers,
        "radials": _rows(radials, 3),
        "angulars": _rows(angulars, 2),
        "two_bodies": _rows(two_bodies, 3),
        "factors": prefactors * scale,
        "offsets": -shift * scale,
        **_three_bodies(functions, numbers, radials, angulars),
    }


def _three_bodies(functions, numbers, radials, angulars):
    """Runs of one pair of channels, their groups of one radial product, and the members of those."""
    by_channels = {}
    for column, f in enumerate(functions):
        if f.form != "radial":
            channels = tuple(numbers.index(z) for z in f.elements) or (-1, -1)
            group = radials.index(_radial(f)), int(f.form == "closed")
            member = column, angulars.index((f.lambda_, f.zeta))
            by_channels.setdefault(channels, {}).setdefault(group, []).append(member)
    runs, groups, members, run_angulars, run_closed = [], [], [], [], []
    for channels, mine in by_channels.items():
        used = sorted({angular for listed in mine.values() for _, angular in listed})
        near = sorted(radial for radial, closed in mine if closed)
        is_open = int(any(not closed for _, closed in mine))
        lists = len(run_angulars), len(used), len(run_closed), len(near)
        runs.append((*channels, len(groups), len(mine), is_open, *lists))
        run_angulars += used
        run_closed += near
        for group, listed in mine.items():
            groups.append((*group, len(members), len(listed)))
            members += listed
    return {
        "runs": _rows(runs, 9),
        "groups": _rows(groups, 4),
        "members": _rows(members, 2),
        "run_angulars": run_angulars,
        "run_closed": run_closed,
    }


def _radial(function):
    return function.eta, function.r_s, function.cutoff


def _rows(rows, width):
    return np.array(rows).reshape(-1, width)
