"""Checkpoint of a run: its state and how far its files had grown, for one run and no other."""

import hashlib
import json
from pathlib import Path

import numpy as np

from kernelff.io.checkpoint import frame_bytes
from kernelff.io.safe_file import read_checked, write_checked
from kernelff.md.state import State
from kernelff.potential import Potential

_KIND = "molecular dynamics checkpoint"


class MDCheckpoint:
    """The checkpoint file of a run.

    Parameters
    ----------
    path : path-like
    owner : str
        See `fingerprint`.
    """

    def __init__(self, path, owner):
        self.path, self.owner = Path(path), owner

    def load(self):
        """(state, sizes of the files), or None without a file.

        Raises
        ------
        ValueError
            If it is damaged, or that of another run.
        """
        if not self.path.exists():
            return None
        numbers, arrays = read_checked(self.path, _KIND)
        if numbers["fingerprint"] != self.owner:
            raise ValueError(
                f"checkpoint: {str(self.path)!r} belongs to a run of other atoms, another potential or other settings. "
                "Give another path, or start anew (resume=False, --restart)."
            )
        return State.from_arrays(numbers["state"], arrays), numbers["sizes"]

    def save(self, state, sizes):
        """Replace the file by the present state."""
        numbers, arrays = state.to_arrays()
        write_checked(self.path, _KIND, {"fingerprint": self.owner, "state": numbers, "sizes": sizes}, arrays)


def fingerprint(atoms, potential, settings, steps, intervals):
    """Hash of all that decides where the atoms go; steps count where a ramp ends with them, guard rails do not."""
    known = [settings.to_dict(guards=False), list(intervals), steps if settings.ramps else None]
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
    digest.update(frame_bytes(atoms))
    for array in (atoms.get_momenta(), atoms.get_masses(), [c.index for c in atoms.constraints if hasattr(c, "index")]):
        digest.update(np.ascontiguousarray(array).tobytes() if len(array) else b"-")
    if isinstance(potential, Potential):
        params, arrays = potential.to_state()
        digest.update(json.dumps(params, sort_keys=True).encode())
        for name in sorted(arrays):
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    else:
        digest.update(type(potential).__name__.encode())
    return digest.hexdigest()
