"""Configurations of MLIP, .cfg: frames whose types are numbered, read and written.

BEGIN_CFG
 Size
    2
 Supercell
    5.43 0 0 ..                        three rows, or none for a frame that is not periodic
 AtomData:  id type cartes_x cartes_y cartes_z fx fy fz
    1 0 0.0 0.0 0.0 ..
 Energy
    -10.8
 PlusStress:  xx yy zz yz xz xy
    ..                                 eV, -volume * stress in ASE's sign
 Feature   EFS_by   VASP
END_CFG
"""

import itertools
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols

from kernelff.io.types import elements_of_types

FEATURE = "species"  # of the files that we write: elements of the types, "Si,C"
VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
_LONGEST_LINE = 100_000
_POSITIONS = (("cartes_x", "cartes_y", "cartes_z"), ("direct_x", "direct_y", "direct_z"))
_FORCES = ("fx", "fy", "fz")
_COPY = "The file is damaged or incomplete; copy it again"


def is_cfg(path):
    """Whether a file begins as MLIP's configurations do; ASE's .cfg is another format, of AtomEye.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    bool
    """
    with open(path, "rb") as file:
        return file.read(4096).lstrip().startswith(b"BEGIN_CFG")


def read_cfg(path, species=None):
    """Read configurations of MLIP.

    Parameters
    ----------
    path : path-like
    species : sequence of int or str, optional
        Elements of the types 0, 1, ..; files that we wrote name them, others do not.

    Returns
    -------
    list of ase.Atoms
        Energy, forces and stress, where they are there, in a `SinglePointCalculator`; features as texts in ``info``;
        other columns (site_en, nbh_grades, charges) in ``arrays``. A frame that is not periodic has no stress; its
        PlusStress stands in ``info["virial"]``.

    Raises
    ------
    ValueError
        Naming the line and what is wrong there, or what the types' elements must be.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"path: there is no file {str(path)!r}.")
    with path.open("rb") as file:
        return cfg_frames(file, str(path), species)


def cfg_frames(file, name, species=None):
    """The frames of an open binary file to its end, as `read_cfg`; `name` is for messages."""
    elements = None if species is None else elements_of_types(species)
    lines = _Lines(file)
    frames = []
    try:
        for line in iter(lines.next, None):
            if not line:
                continue
            if line != "BEGIN_CFG":
                raise ValueError(f"found {line[:40]!r} where BEGIN_CFG should stand. {_COPY}.")
            frames.append(_frame(_block(lines), elements))
    except ValueError as error:
        raise ValueError(f"{name}: configuration {len(frames)}, line {lines.number}: {error}") from None
    return frames


class _Lines:
    """Stripped lines of a binary file, counted; None at its end."""

    def __init__(self, file):
        self.file, self.number = file, 0

    def next(self):
        line = self.file.readline(_LONGEST_LINE)
        if not line:
            return None
        self.number += 1
        if len(line) == _LONGEST_LINE:
            raise ValueError(f"the line is longer than {_LONGEST_LINE} characters. Name the right file.")
        return line.decode("utf-8", "replace").strip()

    def needed(self):
        line = self.next()
        if line is None:
            raise ValueError(f"the file ends before END_CFG. {_COPY}.")
        return line


def _block(lines):
    """What stands between BEGIN_CFG and END_CFG, by name."""
    block, line = {"features": {}}, lines.needed()
    while line != "END_CFG":
        word, *rest = line.split(None, 1)[:2] if line else [""]
        following = None
        if word == "Feature":
            _add_feature(block["features"], rest)
        elif word in block:
            raise ValueError(f"{word} stands twice. {_COPY}.")
        elif word == "Size":
            block[word] = _size(lines.needed())
        elif word.lower() == "supercell":
            block["cell"], following = _cell(lines)
        elif word == "AtomData:":
            block[word] = _atom_data(rest, block.get("Size"), lines)
        elif word == "Energy":
            block[word] = _numbers(lines.needed().split(), 1, "the energy")[0]
        elif word == "PlusStress:":
            block[word] = _plus_stress(rest, lines.needed())
        elif word == "Stress:":
            raise ValueError(
                "holds 'Stress:' of old versions of MLIP, whose sign is not known for sure. Convert the file with MLIP "
                "to PlusStress (eV, -volume * stress), or delete these lines."
            )
        elif word:
            raise ValueError(f"{line[:40]!r} is not known; expected Size, Supercell, AtomData: or END_CFG. {_COPY}.")
        line = lines.needed() if following is None else following
    return block


def _size(line):
    if not (line.isascii() and line.isdigit() and len(line) < 10):
        raise ValueError(f"Size must be a whole number >= 0, got {line[:40]!r}. {_COPY}.")
    return int(line)


def _cell(lines):
    """Lattice vectors, and the line behind them."""
    rows, line = [], lines.needed()
    while line and line[0] in "+-.0123456789":
        rows.append(_numbers(line.split(), 3, "a lattice vector"))
        line = lines.needed()
    if len(rows) != 3:
        raise ValueError(
            f"Supercell has {len(rows)} lattice vectors; only frames with three or none are supported. Give frames "
            "that are periodic in one or two directions a third vector with vacuum, or leave Supercell out for a "
            "molecule."
        )
    return np.array(rows), line


def _atom_data(rest, size, lines):
    """Columns of numbers by name, in the order of the ids."""
    names = rest[0].split() if rest else []
    if size is None:
        raise ValueError(f"AtomData: stands before Size. {_COPY}.")
    if len(set(names)) < len(names) or not {"id", "type"} <= set(names):
        raise ValueError(f"AtomData: must name id, type and other columns once, got {' '.join(names)[:80]!r}. {_COPY}.")
    rows = [_numbers(lines.needed().split(), len(names), "an atom") for _ in range(size)]
    table = np.array(rows).reshape(size, len(names))
    ids = table[:, names.index("id")]
    order = np.argsort(ids, kind="stable")
    if not np.array_equal(ids[order], np.arange(1, size + 1)):
        raise ValueError(f"the ids of the {size} atoms are not 1 to {size}. {_COPY}.")
    return dict(zip(names, table[order].T, strict=True))


def _plus_stress(rest, line):
    names = rest[0].split() if rest else []
    if sorted(names) != sorted(VOIGT):
        raise ValueError(f"PlusStress: must name {' '.join(VOIGT)}, got {' '.join(names)[:80]!r}. {_COPY}.")
    values = _numbers(line.split(), 6, "PlusStress")
    return np.array([values[names.index(component)] for component in VOIGT])


def _add_feature(features, rest):
    name, *values = rest[0].split(None, 1) if rest else [""]
    if not name:
        raise ValueError(f"Feature without a name. {_COPY}.")
    value = values[0] if values else ""
    features[name] = f"{features[name]}\n{value}" if name in features else value


def _numbers(words, n, what):
    try:
        values = list(map(float, words))
    except ValueError as error:
        raise ValueError(f"{what}: {error}. {_COPY}.") from None
    if len(values) != n:
        raise ValueError(f"{what} needs {n} numbers, found {len(values)}. {_COPY}.")
    if not np.isfinite(values).all() or any("_" in word for word in words):
        raise ValueError(f"{what} has {' '.join(words)[:80]!r}, which are not all finite numbers. Remove the frame.")
    return values


def _frame(block, elements):
    size, features, cell = block.get("Size", 0), block["features"], block.get("cell")
    if size and "AtomData:" not in block:
        raise ValueError(f"has no AtomData. {_COPY}.")
    columns = block.get("AtomData:", {"type": np.zeros(0)})
    named = features.pop(FEATURE, None)
    numbers = _elements(columns["type"], elements, named)
    positions = _positions(columns, cell, size)
    found = {} if "Energy" not in block else {"energy": block["Energy"]}
    present = [name in columns for name in _FORCES]
    if any(present):
        if not all(present):
            raise ValueError(f"AtomData: has not all of {' '.join(_FORCES)}. {_COPY}.")
        found["forces"] = np.stack([columns[name] for name in _FORCES], axis=1)
    atoms = Atoms(numbers, positions, cell=cell, pbc=cell is not None, info=features)
    for name in set(columns) - {"id", "type", *_FORCES, *itertools.chain(*_POSITIONS)}:
        if name in atoms.arrays:
            raise ValueError(f"AtomData: the column {name!r} cannot be kept. Rename it.")
        atoms.arrays[name] = columns[name]
    if "PlusStress:" in block and cell is None:
        atoms.info["virial"] = block["PlusStress:"]
    elif "PlusStress:" in block:
        if not atoms.get_volume() > 0:
            raise ValueError(f"PlusStress: the cell has no volume. {_COPY}.")
        found["stress"] = -block["PlusStress:"] / atoms.get_volume()
    if found:
        atoms.calc = SinglePointCalculator(atoms, **found)
    return atoms


def _elements(types, elements, named):
    """Atomic numbers of types; those that the file names must be those that were given."""
    if named is not None:
        own = elements_of_types(named)
        if elements is not None and own != elements:
            raise ValueError(
                f"species: the file says that its types are {named}, got "
                f"{','.join(chemical_symbols[z] for z in elements)}. Leave species out."
            )
        elements = own
    highest = int(types.max(initial=-1))
    if not ((types >= 0).all() and (types == np.floor(types)).all() and highest < 1e6):
        raise ValueError(f"types must be whole numbers from 0, found {types.min()} to {types.max()}. {_COPY}.")
    if elements is None and highest >= 0:
        raise ValueError(
            f"species: the file holds types up to {highest} without their elements. Pass the elements of the types 0, "
            "1, .. in order, as in read_cfg(path, species=['Si', 'C']), kernelff convert data.cfg data.xyz --species "
            'Si,C, or species = "Si,C" under [data] of a TOML file.'
        )
    if highest >= len(elements or ()):
        raise ValueError(f"species: there is a type {highest}, but {len(elements)} elements. Name one for each type.")
    return np.array(elements or (), dtype=int)[types.astype(int)]


def _positions(columns, cell, size):
    for names in _POSITIONS:
        if all(name in columns for name in names):
            table = np.stack([columns[name] for name in names], axis=1)
            if names[0] == "cartes_x":
                return table
            if cell is None:
                raise ValueError(f"has direct_x without a Supercell. {_COPY}.")
            return table @ cell
    if size:
        raise ValueError(f"AtomData: has neither cartes_x cartes_y cartes_z nor direct_x direct_y direct_z. {_COPY}.")
    return np.zeros((0, 3))
