"""The bundled silicon set: DFT labels to try everything on."""

import json
from pathlib import Path

from kernelff.io.frames import read_frames

FOLDER = Path(__file__).parents[1] / "data"
SPLITS = ("train", "validation", "test")


def silicon_set(split="train"):
    """Frames of the bundled silicon set.

    Parameters
    ----------
    split : {"train", "validation", "test"}

    Returns
    -------
    list of ase.Atoms
        With energy (eV), forces (eV/Å) and stress (eV/Å^3) attached, and ``config_type`` in ``info``.

    Raises
    ------
    ValueError
        For another split.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r} must be one of {', '.join(SPLITS)}")
    return read_frames(FOLDER / f"silicon_{split}.xyz")


def silicon_reference():
    """DFT properties of silicon in the settings of the bundled set.

    Returns
    -------
    dict
        a0 (Å), bulk_modulus, C11, C12, C44 (GPa), vacancy_formation_energy (eV) and how they were made.
    """
    return json.loads((FOLDER / "silicon_reference.json").read_text())
