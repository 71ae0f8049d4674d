"""The text of MLIP's .mtp and .almtp files, version 1.1.0: fields by name, checked one by one.

MTP
version = 1.1.0
...
    radial_coeffs
        0-0
            {c_1, ..., c_n}          one line for each radial function
...
alpha_index_times = {{i, j, coefficient, k}, ...}
"""

import json
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kernelff._moments import MAX_BETA

_LARGEST_TEXT = 30_000_000  # bytes; level 28 takes about 5 million
_LARGEST_NUMBER = 1e30  # products of four moments stay finite
_SELECTION = b"#MVS"  # of an .almtp; what follows is partly binary
_ALIASES = {
    "min_val": "min_dist",
    "min": "min_dist",
    "max_val": "max_dist",
    "max": "max_dist",
    "basis_size": "radial_basis_size",
    "size": "radial_basis_size",
}
_PLAIN = ("version", "potential_name", "potential_tag", "radial_basis_type", "scaling", "min_dist", "max_dist")
_COUNTS = (
    "species_count", "radial_basis_size", "radial_funcs_count", "alpha_moments_count", "alpha_index_basic_count",
    "alpha_index_times_count", "alpha_scalar_moments",
)  # fmt: skip
_LISTS = ("alpha_index_basic", "alpha_index_times", "alpha_moment_mapping", "species_coeffs", "moment_coeffs")
_KNOWN = {*_PLAIN, *_COUNTS, *_LISTS, "radial_coeffs"}
_COPY = "The file is damaged or incomplete; copy it again."


class MTPDocument(NamedTuple):
    """What a file says."""

    name: str
    tag: str
    scaling: float
    min_dist: float  # Å
    max_dist: float  # Å
    radial_coeffs: np.ndarray  # (n_types, n_types, radial_funcs_count, radial_basis_size)
    n_moments: int
    index_basic: np.ndarray  # (n, 4)
    index_times: np.ndarray  # (n, 4)
    moment_mapping: np.ndarray  # (n_scalars,)
    species_coeffs: np.ndarray  # (n_types,), eV
    moment_coeffs: np.ndarray  # (n_scalars,), eV
    selection_start: int | None  # bytes; where the selection state of an .almtp begins

    @property
    def n_types(self):
        return len(self.species_coeffs)


def read_document(path):
    """The fields of an .mtp or .almtp file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    MTPDocument

    Raises
    ------
    ValueError
        Naming the field that is missing, contradicts another one or cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"path: there is no file {str(path)!r}.")
    with path.open("rb") as file:
        data = file.read(_LARGEST_TEXT + 1)
    text, selection, _ = data.partition(_SELECTION)  # the state is partly binary
    if len(text) > _LARGEST_TEXT:
        raise ValueError(f"{str(path)!r} is longer than any MTP ({_LARGEST_TEXT // 10**6} MB). Name the right file.")
    try:
        return _document(_fields(text.decode("utf-8", "replace")), len(text) if selection else None)
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from None


def _document(fields, selection_start):
    _check_kind(fields)
    count = {name: _count(fields, name) for name in _COUNTS}
    n_types, n_radial, size = (count[name] for name in ("species_count", "radial_funcs_count", "radial_basis_size"))
    if not (1 <= n_types <= 118 and n_radial >= 1 and 1 <= size <= MAX_BETA):
        raise ValueError(
            f"species_count {n_types}, radial_funcs_count {n_radial} and radial_basis_size {size} must be from 1 to "
            f"118, at least 1, and from 1 to {MAX_BETA}. {_COPY}"
        )
    if not 1 <= count["alpha_scalar_moments"]:
        raise ValueError(f"alpha_scalar_moments is 0: the file has no basis functions. {_COPY}")
    min_dist, max_dist, scaling = (_number(_field(fields, n, d), n) for n, d in _NUMBERS.items())
    if not 0 <= min_dist < max_dist <= 100:
        raise ValueError(f"min_dist = {min_dist} and max_dist = {max_dist} must be 0 <= min_dist < max_dist <= 100 Å.")
    return MTPDocument(
        name=fields.get("potential_name", ""),
        tag=fields.get("potential_tag", ""),
        scaling=scaling,
        min_dist=min_dist,
        max_dist=max_dist,
        radial_coeffs=_radial_coeffs(fields["radial_coeffs"], n_types, n_radial, size),
        n_moments=count["alpha_moments_count"],
        index_basic=_integers(fields, "alpha_index_basic", (count["alpha_index_basic_count"], 4)),
        index_times=_integers(fields, "alpha_index_times", (count["alpha_index_times_count"], 4)),
        moment_mapping=_integers(fields, "alpha_moment_mapping", (count["alpha_scalar_moments"],)),
        species_coeffs=_numbers(_field(fields, "species_coeffs"), "species_coeffs", n_types),
        moment_coeffs=_numbers(_field(fields, "moment_coeffs"), "moment_coeffs", count["alpha_scalar_moments"]),
        selection_start=selection_start,
    )


_NUMBERS = {"min_dist": None, "max_dist": None, "scaling": "1.0"}  # and what they are if left out


def _fields(text):
    """Values by field name; braced lists whole, radial_coeffs as a list of lines."""
    lines = iter(text.splitlines())
    if next(lines, "").strip() != "MTP":
        raise ValueError("must begin with a line 'MTP'; this is no .mtp file. Name the right file.")
    fields, section = {}, None
    for line in map(str.strip, lines):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals and section is not None and line:
            section.append(line)
        elif line == "radial_coeffs" or equals:
            name = _ALIASES.get(name, name)
            if name in fields:
                raise ValueError(f"{name} stands twice. {_COPY}")
            section = [] if name == "radial_coeffs" and not value else None
            fields[name] = _whole_list(value, lines) if section is None else section
        elif line:
            raise ValueError(f"cannot read the line {line[:60]!r}; fields are written as 'name = value'. {_COPY}")
    if any("mag" in name for name in fields):
        raise ValueError("is a magnetic MTP, which is not supported. Run it with MLIP or motep.")
    for name in sorted(set(fields) - _KNOWN):
        warnings.warn(f"{name[:60]!r} is no field of an .mtp file known here; it is passed over.", stacklevel=5)
    return fields


def _whole_list(value, lines):
    """A braced list to its last brace, over several lines if need be."""
    parts, depth = [value], value.count("{") - value.count("}")
    while depth > 0:
        line = next(lines, None)
        if line is None or "=" in line:
            raise ValueError(f"the list {value[:40]!r} has no end. {_COPY}")
        parts.append(line)
        depth += line.count("{") - line.count("}")
    return " ".join(parts)


def _check_kind(fields):
    version = _field(fields, "version")
    if version != "1.1.0":
        raise ValueError(
            f"version = {version[:40]} is not supported, only 1.1.0. Write the potential with MLIP 2 or 3."
        )
    kind = _field(fields, "radial_basis_type")
    if kind != "RBChebyshev":
        raise ValueError(f"radial_basis_type = {kind[:40]} is not supported, only RBChebyshev. Run it with MLIP.")
    trained = [name for name in ("radial_coeffs", "species_coeffs", "moment_coeffs") if name in fields]
    if not trained:
        raise ValueError(
            "has no radial_coeffs, species_coeffs and moment_coeffs: it is an untrained template. Fit it first, or use "
            "MomentTensors(level=...)."
        )
    _field(fields, "radial_coeffs")


def _field(fields, name, default=None):
    value = fields.get(name, default)
    if value is None or (value == "" and name != "potential_tag"):
        raise ValueError(f"{name} is missing. {_COPY}")
    return value


def _count(fields, name):
    value = _field(fields, name)
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError(f"{name} = {value[:40]} must be a whole number >= 0. {_COPY}")
    return int(value)


def _number(text, name):
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name}: {text[:40]!r} is no number. {_COPY}") from None
    if not abs(value) <= _LARGEST_NUMBER or "_" in text:
        raise ValueError(f"{name}: {text[:40]!r} is no number up to {_LARGEST_NUMBER:g}. {_COPY}")
    return value


def _numbers(text, name, n):
    """The n real numbers of a braced list."""
    inner = re.fullmatch(r"\{([^{}]*)\}", text.strip())
    words = inner[1].split(",") if inner and inner[1].strip() else []
    if not inner or len(words) != n:
        found = f"{len(words)}" if inner else f"{text[:40]!r}"
        raise ValueError(f"{name}: must be a list {{..}} of {n} numbers, found {found}. {_COPY}")
    return np.array([_number(word.strip(), name) for word in words])


def _integers(fields, name, shape):
    """A braced list of whole numbers, or of rows of them."""
    text = _field(fields, name)
    rule = f"must be a list of {shape[0]} " + ("rows of 4 whole numbers" if len(shape) == 2 else "whole numbers")
    if not re.fullmatch(r"\{[0-9\s{},-]*\}", text):
        raise ValueError(f"{name}: {rule}, found {text[:40]!r}. {_COPY}")
    try:
        table = np.array(json.loads(text.translate(_BRACKETS)))
    except (ValueError, RecursionError) as error:  # unbalanced, ragged, or nested without end
        raise ValueError(f"{name}: {rule}; {error}. {_COPY}") from None
    table = table.reshape(shape) if table.size == 0 and shape[0] == 0 else table
    if table.shape != shape or (table.size and table.dtype != np.int64):
        raise ValueError(f"{name}: {rule}, found an array of shape {table.shape} of {table.dtype}. {_COPY}")
    return table.astype(np.int64)


_BRACKETS = str.maketrans("{}", "[]")


def _radial_coeffs(lines, n_types, n_radial, size):
    """Lines 'a-b' and lists as one array; a is the type of the centre."""
    blocks, rows = {}, None
    for line in lines:
        pair = re.fullmatch(r"([0-9]{1,3})\s*-\s*([0-9]{1,3})", line)
        if pair:
            key = (int(pair[1]), int(pair[2]))
            if max(key) >= n_types or key in blocks:
                raise ValueError(
                    f"radial_coeffs: the pair {line} stands twice or is beyond species_count {n_types}. {_COPY}"
                )
            rows = blocks[key] = []
        elif rows is None:
            raise ValueError(f"radial_coeffs: {line[:40]!r} stands before a pair of types such as '0-0'. {_COPY}")
        else:
            rows.append(_numbers(line, "radial_coeffs", size))
    for a in range(n_types):
        for b in range(n_types):
            found = len(blocks.get((a, b), []))
            if found != n_radial:
                raise ValueError(f"radial_coeffs: the pair {a}-{b} needs {n_radial} lists, found {found}. {_COPY}")
    return np.array([[blocks[a, b] for b in range(n_types)] for a in range(n_types)])
