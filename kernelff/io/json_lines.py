"""Results of a long search on disk: one line of JSON each, written as it is found, so that nothing is lost."""

import json
import os
import warnings
from pathlib import Path


class JsonLines:
    """A file of results; those of other searches may stand in it too.

    Parameters
    ----------
    path : path-like
        Made with the first result.
    key : str
        What tells the results of this search from others.
    make : callable
        dict -> result; raises TypeError, KeyError or ValueError for a dict that is none.

    Attributes
    ----------
    found : list
        Results of this search that were there already.

    Raises
    ------
    ValueError
        If the file holds anything else. A last line that was cut off is left out with a warning.
    """

    def __init__(self, path, key, make):
        self.path, self.key, self.make = Path(path), key, make
        self.found = list(self._read())

    def add(self, values):
        """Append one result, a JSON-able dict, and flush it to disk."""
        line = json.dumps({"key": self.key, **values}).encode() + b"\n"
        with open(self.path, "a+b") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _read(self):
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
                key = values.pop("key")
                result = self.make(values)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                self._refuse(number, cut_off=number == len(lines))
                continue
            if key == self.key:
                yield result

    def _refuse(self, number, cut_off):
        if not cut_off:
            raise ValueError(
                f"{self.path}: line {number} is none of the results that belong here. "
                "Delete that line, or the file to start anew."
            )
        warnings.warn(f"{self.path}: the last line was cut off; what it held is done again.", stacklevel=4)
