"""Frames as a few arrays, to stand in a file, and back."""

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

_LABELS = {"energy": 1, "forces": 3, "stress": 6}


def frames_to_arrays(frames):
    """Geometry, labels and texts of frames.

    Parameters
    ----------
    frames : sequence of ase.Atoms
        Energy, forces and stress in an attached calculation go along; of the other entries those of ``info`` that are
        texts.

    Returns
    -------
    params : list of dict
        The texts.
    arrays : dict of str -> ndarray
        NaN where a frame has no label.
    """
    arrays = {
        "sizes": np.array([len(atoms) for atoms in frames], dtype=np.int64),
        "numbers": np.concatenate([np.zeros(0, np.int64), *(atoms.numbers for atoms in frames)]).astype(np.int64),
        "positions": np.concatenate([np.zeros((0, 3)), *(atoms.positions for atoms in frames)]),
        "cells": np.array([atoms.cell.array for atoms in frames], dtype=float).reshape(-1, 3, 3),
        "pbc": np.array([atoms.pbc for atoms in frames], dtype=np.uint8).reshape(-1, 3),
    }
    found = [getattr(atoms.calc, "results", {}) for atoms in frames]
    for name, width in _LABELS.items():
        rows = [len(atoms) if name == "forces" else 1 for atoms in frames]
        values = [
            np.reshape(f.get(name, np.full((n, width), np.nan)), (n, width)) for f, n in zip(found, rows, strict=True)
        ]
        if any(name in f for f in found):
            arrays[name] = np.concatenate(values).astype(float)
    return [{k: v for k, v in atoms.info.items() if isinstance(v, str)} for atoms in frames], arrays


def frames_from_arrays(params, arrays):
    """The frames that `frames_to_arrays` described."""
    ends = np.cumsum(arrays["sizes"])
    frames = []
    for k, info in enumerate(params):
        atoms = slice(ends[k] - arrays["sizes"][k], ends[k])
        frame = Atoms(
            arrays["numbers"][atoms], arrays["positions"][atoms], cell=arrays["cells"][k],
            pbc=arrays["pbc"][k].astype(bool), info=dict(info),
        )  # fmt: skip
        labels = {n: arrays[n][atoms if n == "forces" else k] for n in _LABELS if n in arrays}
        labels = {n: float(v[0]) if n == "energy" else v for n, v in labels.items() if not np.isnan(v).any()}
        if labels:
            frame.calc = SinglePointCalculator(frame, **labels)
        frames.append(frame)
    return frames
