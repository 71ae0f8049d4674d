"""Checkpoints of a running fit: the factors of the chunks that are done, a file for every fold of the frames."""

import hashlib
import json
from pathlib import Path

import numpy as np

from kernelff.io.safe_file import read_checked, write_checked
from kernelff.regression.factors import Factors

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

    def of_learning(self, *problems):
        """The checkpoint of radial functions that are learnt from the frames of some problems."""
        return SavedState(self.folder / "radial", "".join(fingerprint(problem) for problem in problems))

    def remove(self):
        """Delete the checkpoints of a fit that is done, and the folder when nothing else is in it."""
        for path in [*self.folder.glob("fold*"), *self.folder.glob("radial")]:
            path.unlink()
        self.tidy()

    def tidy(self):
        """Delete the folder if it is empty."""
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


class SavedState:
    """A checkpoint file that belongs to one part of one fit and no other.

    Parameters
    ----------
    path : path-like
    owner : str
        Fingerprint of the fit; a fit of anything else refuses the file.
    """

    def __init__(self, path, owner):
        self.path, self.owner = Path(path), owner

    def load(self):
        """(params, arrays), or None when there is no file yet."""
        if not self.path.exists():
            return None
        params, arrays = read_checked(self.path, _KIND)
        if params["fingerprint"] != self.owner:
            raise ValueError(
                f"checkpoint: {str(self.path.parent)!r} belongs to a fit of other data or other settings. "
                "Give another path, or delete it to start anew."
            )
        return params["state"], arrays

    def save(self, state, arrays):
        """Write JSON-able data and arrays."""
        write_checked(self.path, _KIND, {"fingerprint": self.owner, "state": state}, arrays)


class Checkpoint:
    """Factors of the chunks that are done, of one fold of one fit.

    Parameters
    ----------
    path : path-like
    problem : Problem
        Frames, targets, noise and basis functions of the fit.
    """

    def __init__(self, path, problem):
        self._saved = SavedState(path, fingerprint(problem))

    def load(self):
        """(chunks done, factors), or (0, None) when there is no file yet."""
        found = self._saved.load()
        return (0, None) if found is None else (found[0]["done"], Factors.from_state(found[0]["factors"], found[1]))

    def save(self, done, factors):
        params, arrays = factors.to_state()
        self._saved.save({"done": done, "factors": params}, arrays)


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
