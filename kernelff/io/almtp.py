"""Selection state of MLIP's .almtp files: the active set that stands behind the text of the potential.

#MVS_v1.1
energy_weight 0
force_weight 0
stress_weight 0
site_en_weight 1                       1: rows of atoms; energy_weight 1: rows of configurations
weight_scaling 0                       rows of configurations times N^(-weight_scaling / 2)
#<A><(A^-1)^T>                         2 n^2 float64, little-endian
#
cfg_index equation_index               n lines
#
BEGIN_CFG ..                           the selected configurations

The columns are all coefficients: radial ones, those of elements, those of moments; grade(b) = max |b @ A^-1| [1]_.

References
----------
.. [1] Podryabinkin, Garifullin, Shapeev, Novikov, J. Chem. Phys. 159, 084112 (2023), doi:10.1063/5.0155887
"""

import math
import os
import re
import warnings

import numpy as np

from kernelff.error_bars.extrapolation import ActiveSet
from kernelff.io.mlip_cfg import cfg_frames
from kernelff.io.mlip_cfg_write import cfg_text

_WEIGHTS = ("energy_weight", "force_weight", "stress_weight", "site_en_weight", "weight_scaling")
_LONGEST_LINE = 200
_MOST_COLUMNS = 10_000  # 1.6 GB
_INEXACT = 0.1  # A @ A^-1 may be off by this much of a vector
_REMEDY = "The file is damaged or incomplete; copy it again, or read the potential alone, read_mtp(.., selection=False)"


def read_selection(path, start, types, shape, n_scalars):
    """The active set of an .almtp file.

    Parameters
    ----------
    path : path-like
    start : int
        Where the state begins, bytes.
    types : sequence of int
        Atomic numbers of the types 0, 1, ..
    shape : tuple of int
        Of the radial coefficients: types, types, radial functions, polynomials.
    n_scalars : int
        Number of moment coefficients.

    Returns
    -------
    ActiveSet or None
        None, with a warning, for a state of forces, stresses or several kinds of rows.

    Raises
    ------
    ValueError
        Naming the part that is damaged.
    """
    n = math.prod(shape) + len(types) + n_scalars
    if n > _MOST_COLUMNS:
        raise ValueError(f"selection state: {n} coefficients are more than {_MOST_COLUMNS}. {_REMEDY}.")
    try:
        with open(path, "rb") as file:
            file.seek(start)
            weights = _header(file)
            mode, weight = _mode(weights)
            matrices = _matrices(file, n, os.path.getsize(path))
            if mode is None:
                return None
            rows = _rows(file, n)
            frames = cfg_frames(file, "selected configurations", types)
        _check_rows(rows, frames, mode)
        matrix, inverse = matrices[0] / weight, matrices[1].T * weight  # rows are stored times their weight
        _warn_if_inexact(matrix, inverse)
        scaling = int(weights["weight_scaling"])
        return ActiveSet(mode, types, inverse, rows, frames, None, matrix, shape[2], scaling)
    except ValueError as error:
        raise ValueError(f"selection state: {error}" + ("" if _REMEDY in str(error) else f" {_REMEDY}.")) from None


def selection_bytes(active_set):
    """What stands behind the text of the potential.

    Parameters
    ----------
    active_set : ActiveSet
        With all columns, as `ActiveSet.select_for_mlip` makes it.

    Returns
    -------
    bytes
    """
    ours = active_set.mode == "neighborhood"
    weights = (int(not ours), 0, 0, int(ours), active_set.weight_scaling)
    head = ["#MVS_v1.1", *(f"{name} {value}" for name, value in zip(_WEIGHTS, weights, strict=True)), "#"]
    matrices = np.stack([active_set.matrix, active_set.inverse.T]).astype("<f8").tobytes()
    place = {k: position for position, k in enumerate(active_set.frame_index.tolist())} | {-1: -1}
    rows = [f"{place[frame]} {atom}" for frame, atom in active_set.rows.tolist()]
    frames = "".join(cfg_text(atoms, active_set.species) for atoms in active_set.frames)
    return "\n".join(head).encode() + matrices + "\n".join(["", "#", *rows, "#", frames]).encode()


def _header(file):
    """Numbers of the state by name."""
    version = file.readline(_LONGEST_LINE).strip()
    if version != b"#MVS_v1.1":
        raise ValueError(f"begins with {version[:20]!r}, only #MVS_v1.1 is known.")
    weights = {}
    while len(weights) < len(_WEIGHTS):
        line = file.readline(_LONGEST_LINE).decode("ascii", "replace")
        found = re.fullmatch(r"([a-z_]+)\s+([0-9.eE+-]+)\s*", line)
        if not found or found[1] not in _WEIGHTS or found[1] in weights:
            raise ValueError(f"{line[:40]!r} stands where {', '.join(_WEIGHTS)} should.")
        weights[found[1]] = float(found[2])
    if not all(0 <= value <= 1e6 for value in weights.values()) or weights["weight_scaling"] not in (0, 1, 2):
        raise ValueError(f"the weights are {weights}; they must be >= 0, weight_scaling 0, 1 or 2.")
    return weights


def _mode(weights):
    """Mode and weight of the rows, or None where they are of a kind that is not supported."""
    present = [name for name in _WEIGHTS[:4] if weights[name] > 0]
    if present == ["energy_weight"]:
        return "configuration", weights["energy_weight"]
    if present == ["site_en_weight"]:
        return "neighborhood", weights["site_en_weight"]
    warnings.warn(
        f"the selection state has rows of {' and '.join(present) or 'no kind'}; only those of energy_weight or of "
        "site_en_weight alone are supported. It is left out: the potential computes no extrapolation grade.",
        stacklevel=4,
    )
    return None, 0.0


def _matrices(file, n, size):
    """A and (A^-1)^T, of which the file must hold enough before anything is read."""
    if file.read(1) != b"#":
        raise ValueError("there is no '#' before the matrices.")
    left, needed = size - file.tell(), 16 * n * n
    if left < needed:
        raise ValueError(f"two matrices of {n} columns take {needed} bytes, {left} are left.")
    matrices = np.frombuffer(file.read(needed), dtype="<f8").reshape(2, n, n).astype(float)
    if not np.isfinite(matrices).all():
        raise ValueError("the matrices hold numbers that are not finite.")
    if file.read(3) != b"\n#\n":
        raise ValueError(f"the matrices do not end where they should for {n} coefficients.")
    return matrices


def _rows(file, n):
    """Configuration and equation of each active row, -1 where there is none."""
    rows = np.zeros((n, 2), dtype=np.int64)
    for k in range(n):
        line = file.readline(_LONGEST_LINE).decode("ascii", "replace")
        found = re.fullmatch(r"\s*(-?[0-9]{1,9})\s+(-?[0-9]{1,9})\s*", line)
        if not found:
            raise ValueError(f"active row {k} of {n} should be two whole numbers, found {line[:40]!r}.")
        rows[k] = int(found[1]), int(found[2])
    if file.readline(_LONGEST_LINE).strip() != b"#":
        raise ValueError(f"there is no '#' after {n} active rows.")
    rows[rows[:, 0] < 0] = -1
    return rows


def _check_rows(rows, frames, mode):
    sizes = np.array([len(atoms) if mode == "neighborhood" else np.iinfo(np.int64).max for atoms in frames] or [0])
    used = rows[rows[:, 0] >= 0]
    inside = used[:, 0] < len(frames)
    inside &= (used[:, 1] >= 0) & (used[:, 1] < sizes[np.minimum(used[:, 0], len(sizes) - 1)])
    if not inside.all():
        k = int(np.argmin(inside))
        raise ValueError(
            f"an active row is equation {used[k, 1]} of configuration {used[k, 0]}, which does not exist among the "
            f"{len(frames)} selected configurations."
        )


def _warn_if_inexact(matrix, inverse):
    """A vector goes through both matrices: as good as the product, and n times cheaper."""
    vector = np.random.default_rng(0).choice([-1.0, 1.0], len(matrix))
    error = np.abs(matrix @ (inverse @ vector) - vector).max(initial=0.0)
    if not error < _INEXACT:
        warnings.warn(
            f"the matrices of the selection state are not inverse to each other (a vector of ones is off by "
            f"{error:.1e}): the file is damaged, or rounding has spoilt them. Select an active set again, "
            "ActiveSet.select(potential, frames), before you rely on grades.",
            stacklevel=4,
        )
