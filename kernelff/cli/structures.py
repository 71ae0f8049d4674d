"""A crystal from the command line: a file, or a few words."""

from pathlib import Path

from ase.build import bulk
from ase.io import read
from ase.io.formats import UnknownFileTypeError


def read_structure(text):
    """The crystal of a file (its last frame), or of words as "Si diamond 5.43" and "Ti hcp 2.95 4.68".

    Parameters
    ----------
    text : str

    Returns
    -------
    ase.Atoms
        Of words the cubic cell, if the crystal has one.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if Path(text).is_file():
        try:
            atoms = read(text)
            atoms.set_constraint()  # of a calculation that is over
            return atoms
        except (
            UnknownFileTypeError,
            ValueError,
            IndexError,
            KeyError,
            AssertionError,
            StopIteration,
            OSError,
        ) as error:
            raise ValueError(f"{text}: ASE cannot read it ({error}); give a POSCAR, cif or xyz") from error
    words = text.split()
    if not 2 <= len(words) <= 4:
        raise ValueError(
            f'structure {text!r}: no such file, nor words; give a file (POSCAR, cif, xyz) or "Si diamond 5.43": '
            "formula, crystal structure, a and perhaps c in Å"
        )
    return _built(text, *words)


def _built(text, formula, structure, *lengths):
    try:
        a, c = [float(length) for length in lengths] + [None] * (2 - len(lengths))
        if any(length is not None and not 0.5 < length < 100 for length in (a, c)):
            raise ValueError("lengths are in Å")
        try:
            return bulk(formula, structure, a=a, c=c, cubic=True)
        except (ValueError, RuntimeError):  # hcp and others have no cubic cell
            return bulk(formula, structure, a=a, c=c)
    except (ValueError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"structure {text!r}: {error}; give formula, crystal structure (fcc, bcc, hcp, diamond, zincblende, "
            "rocksalt, cesiumchloride, ...), a and perhaps c in Å"
        ) from error
