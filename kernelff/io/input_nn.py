"""Symmetry functions from the input.nn of n2p2 and RuNNer.

    cutoff_type 2
    symfunction_short H  2 H   eta r_s rc                     -> G2
    symfunction_short H  3 H O eta lambda zeta rc [r_s]       -> G4
    symfunction_short H  9 H O eta lambda zeta rc [r_s]       -> G5
    symfunction_short H 12     eta r_s rc                     -> W2
    symfunction_short H 13     eta r_s lambda zeta rc         -> W4

All other keywords are passed over: networks and their scaling have no place here.
"""

from pathlib import Path

import ase.units

from kernelff.descriptors import G2, G4, G5, W2, W4, SymmetryFunctions
from kernelff.descriptors.symmetry_records import element_number

# type -> record, elements of neighbours, names of the numbers, how many of the last ones may be left out
_TYPES = {
    "2": (G2, 1, ("eta", "r_s", "cutoff"), 0),
    "3": (G4, 2, ("eta", "lambda_", "zeta", "cutoff", "r_s"), 1),
    "9": (G5, 2, ("eta", "lambda_", "zeta", "cutoff", "r_s"), 1),
    "12": (W2, 0, ("eta", "r_s", "cutoff"), 0),
    "13": (W4, 0, ("eta", "r_s", "lambda_", "zeta", "cutoff"), 0),
}
_POWERS = {"eta": -2, "r_s": 1, "cutoff": 1}  # of the length unit
_CUTOFFS = {"1": "cosine", "2": "tanh3"}
_UNITS = {"angstrom": 1.0, "bohr": ase.units.Bohr}
_LARGEST_FILE = 50_000_000  # bytes


def read_input_nn(path, *, length_unit):
    """Symmetry functions of an input.nn.

    Parameters
    ----------
    path : path-like
    length_unit : {"bohr", "angstrom"}
        Of the file, which does not name it: that of the data the network was made for. RuNNer always has bohr.

    Returns
    -------
    SymmetryFunctions
        With the functions of every central element, in the order of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        For types of functions or cutoffs that are not known here and for lines that are not whole, by their number.
    """
    if length_unit not in _UNITS:
        raise ValueError(f"length_unit: must be one of {sorted(_UNITS)}, got {length_unit!r}.")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"{path}: {path.stat().st_size} bytes are too many for an input.nn. Name the right file.")
    functions, kind = {}, None
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        keyword, *words = line.split("#")[0].split() or [""]
        try:
            if keyword == "cutoff_type":
                kind = _cutoff_function(words)
            elif keyword == "symfunction_short":
                centre, record = _function(words, _UNITS[length_unit])
                functions.setdefault(centre, []).append(record)
            elif "symfunction" in keyword:
                raise ValueError(f"{keyword} is not supported. Write one symfunction_short line for each function.")
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    if not functions:
        raise ValueError(f"{path}: holds no symfunction_short line. Name the input.nn of n2p2 or RuNNer.")
    if kind is None:
        raise ValueError(f"{path}: holds no cutoff_type. Add 'cutoff_type 1' (cosine) or 'cutoff_type 2' (tanh^3).")
    cutoff = max(record.cutoff for own in functions.values() for record in own)
    return SymmetryFunctions(functions, cutoff, cutoff_function=kind)


def _cutoff_function(words):
    if not words or words[0] not in _CUTOFFS:
        raise ValueError(f"cutoff_type {' '.join(words)} is not supported, only 1 (cosine) and 2 (tanh^3).")
    if len(words) > 1 and _number(words[1]) != 0.0:
        raise ValueError(
            f"cutoff_type {' '.join(words)}: an inner cutoff (second number) other than 0 is not supported."
        )
    return _CUTOFFS[words[0]]


def _function(words, unit):
    """(central element, record) of the words behind symfunction_short."""
    if len(words) < 2:
        raise ValueError("symfunction_short needs a central element, a type and its parameters.")
    centre, kind, *rest = words
    if kind not in _TYPES:
        raise ValueError(f"symfunction_short of type {kind} is not supported, only {', '.join(_TYPES)}.")
    record, n_elements, names, optional = _TYPES[kind]
    expected = n_elements + len(names)
    if not expected - optional <= len(rest) <= expected:
        wanted = " ".join(["element"] * n_elements + list(names))
        raise ValueError(f"symfunction_short of type {kind} needs {wanted!r}, got {' '.join(rest)!r}.")
    numbers = [_number(word) for word in rest[n_elements:]]
    values = {name: x * unit ** _POWERS.get(name, 0) for name, x in zip(names, numbers, strict=False)}
    elements = tuple(element_number(symbol) for symbol in rest[:n_elements])
    if n_elements:
        values |= {"neighbour": elements[0]} if n_elements == 1 else {"neighbours": elements}
    return element_number(centre), record(**values)


def _number(word):
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"{word!r} is no number.") from None
