"""Checkpoint of a run: its state and how far its files had grown, for one run and no other."""

import hashlib
import json
from pathlib import Path

import numpy as np

from kernelff.io.checkpoint import frame_bytes
from kernelff.io.safe_file import read_checked, write_checked
from kernelff.md.state import State
from kernelff.named_arrays import under
from kernelff.potential import Potential

_KIND = "molecular dynamics checkpoint"
_OBSERVED = "observed."


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
        """(state, sizes of the files, arrays of the observables), or None without a file.

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
                f"checkpoint: {str(self.path)!r} belongs to a run of other atoms, another potential, other settings or "
                "other observables. Give another path, or start anew (resume=False, --restart)."
            )
        observed = under(_OBSERVED, arrays)
        own = {name: array for name, array in arrays.items() if not name.startswith(_OBSERVED)}
        return State.from_arrays(numbers["state"], own), numbers["sizes"], observed

    def save(self, state, sizes, observed):
        """Replace the file by the present state."""
        numbers, arrays = state.to_arrays()
        arrays |= {f"{_OBSERVED}{name}": array for name, array in observed.items()}
        write_checked(self.path, _KIND, {"fingerprint": self.owner, "state": numbers, "sizes": sizes}, arrays)


def fingerprint(atoms, potential, settings, steps, intervals, observed=()):
    """Hash of all that decides where the atoms go and what is observed: no guard rails, steps for ramps."""
    known = [settings.to_dict(guards=False), list(intervals), steps if settings.ramps else None, *observed]
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
