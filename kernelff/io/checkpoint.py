"""Checkpoints of a running fit: the factors of the chunks that are done, a file for every fold of the frames."""

import hashlib
import json
from pathlib import Path

import numpy as np

from kernelff.factors import Factors
from kernelff.io.safe_file import read_checked, write_checked

_KIND = "fit checkpoint"


class Checkpoints:
    """The folder of a fit's checkpoints.

    Parameters
    ----------
    folder : path-like
        Made if it does not exist; the folder that it stands in must.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"checkpoint: {str(folder)!r} is a file; a folder is needed. Give another path.")
        if not self.folder.parent.is_dir():
            raise ValueError(f"checkpoint: the folder {str(self.folder.parent)!r} does not exist. Make it first.")
        self.folder.mkdir(exist_ok=True)

    def of(self, fold, problem):
        """The checkpoint of one fold of the frames."""
        return Checkpoint(self.folder / f"fold{fold}", problem)

    def remove(self):
        """Delete the checkpoints of a fit that is done, and the folder when nothing else is in it."""
        for path in self.folder.glob("fold*"):
            path.unlink()
        self.tidy()

    def tidy(self):
        """Delete the folder if it is empty."""
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


class Checkpoint:
    """A checkpoint file that belongs to one fold of one fit and no other.

    Parameters
    ----------
    path : path-like
    problem : Problem
        Frames, targets, noise and basis functions of the fit; a fit of anything
        else refuses the file.
    """

    def __init__(self, path, problem):
        self.path = Path(path)
        self.fingerprint = fingerprint(problem)

    def load(self):
        """(chunks done, factors), or (0, None) when there is no file yet."""
        if not self.path.exists():
            return 0, None
        params, arrays = read_checked(self.path, _KIND)
        if params["fingerprint"] != self.fingerprint:
            raise ValueError(
                f"checkpoint: {str(self.path.parent)!r} belongs to a fit of other data or other settings. "
                "Give another path, or delete it to start anew."
            )
        return params["done"], Factors.from_state(params["factors"], arrays)

    def save(self, done, factors):
        factors_params, arrays = factors.to_state()
        params = {"fingerprint": self.fingerprint, "done": done, "factors": factors_params}
        write_checked(self.path, _KIND, params, arrays)


def fingerprint(problem):
    """Hash of everything that the factors depend on."""
    digest = hashlib.sha256(repr((problem.noise, problem.m, problem.sampled, problem.element_sets)).encode())
    for term in problem.terms:
        params, arrays = term.to_state()
        digest.update(json.dumps(params, sort_keys=True).encode())
        for name in sorted(arrays):
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    for atoms, target in zip(problem.frames, problem.targets, strict=True):
        digest.update(frame_bytes(atoms))
        digest.update(repr([problem.noise.of(kind, atoms) for kind in ("energy", "forces", "virial")]).encode())
        for value in target:
            digest.update(b"-" if value is None else np.asarray(value, dtype=float).tobytes())
    return digest.hexdigest()


def data_hash(frames, before=""):
    """Hash of the geometries of a list of frames, to tell data sets apart; `before` is that of earlier frames."""
    digest = hashlib.sha256(before.encode())
    for atoms in frames:
        digest.update(frame_bytes(atoms))
    return digest.hexdigest()


def frame_bytes(atoms):
    """A frame's geometry as bytes."""
    parts = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
