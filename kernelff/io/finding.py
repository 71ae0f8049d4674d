"""What is wrong with data, in one form: whatever looks at a data set answers with findings."""

from __future__ import annotations

import re
import warnings
from dataclasses import asdict, dataclass, replace

SEVERITIES = ("error", "warning", "note")
"""Errors refuse a fit; warnings spoil a part of it, or may; notes are facts worth knowing."""

_PLACE = "{frames}"


@dataclass(frozen=True)
class Finding:
    """One thing that was found in a data set.

    Attributes
    ----------
    severity : {"error", "warning", "note"}
    name : str
        Short and fixed, to tell kinds of findings apart.
    message : str
        A sentence; ``{frames}`` in it stands for how many frames it is about.
    remedy : str
        What to do about it, with the option that does it; empty if nothing needs doing.
    frames : tuple of int
        Indices of the frames it is about; empty if about the whole set.
    n_frames : int
        Frames of the data set.
    """

    severity: str
    name: str
    message: str
    remedy: str = ""
    frames: tuple[int, ...] = ()
    n_frames: int = 0

    def __str__(self):
        shown = f"{len(self.frames)} of {self.n_frames} frames ({listed(self.frames)})"
        return "; ".join(filter(None, (self.message.replace(_PLACE, shown), self.remedy)))

    @property
    def what(self):
        """The message without the indices, for tables that show them beside it."""
        return self.message.replace(_PLACE, f"{len(self.frames)} of {self.n_frames} frames")

    def to_dict(self):
        """As plain data, for JSON."""
        return asdict(self) | {"message": self.what, "frames": list(self.frames)}


def finding(severity, name, message, remedy="", frames=(), n_frames=0):
    """A Finding, from any sequence of frame indices.

    Returns
    -------
    Finding
    """
    return Finding(severity, name, message, remedy, tuple(int(k) for k in frames), n_frames)


def from_error(error, name, frame, n_frames):
    """The error of one frame as a finding; by custom its text is "what; remedy" or "What. Remedy".

    Parameters
    ----------
    error : Exception
    name : str
    frame, n_frames : int

    Returns
    -------
    Finding
    """
    message, *remedy = re.split(r"; |\. (?=[A-Z])", str(error), maxsplit=1)
    return finding("error", name, message, "".join(remedy), (frame,), n_frames)


def merged(findings):
    """Findings of one name that speak of one frame each become one that speaks of all; errors come first.

    Parameters
    ----------
    findings : iterable of Finding

    Returns
    -------
    list of Finding
    """
    groups = {}
    for found in findings:
        alone = len(found.frames) == 1 and _PLACE not in found.message
        groups.setdefault((found.severity, found.name, None if alone else len(groups)), []).append(found)
    result = []
    for first, *others in groups.values():
        frames = sorted({k for one in (first, *others) for k in one.frames})
        more = f" (and {len(frames) - 1} more frames likewise)" if len(frames) > 1 and others else ""
        result.append(replace(first, message=first.message + more, frames=tuple(frames) if others else first.frames))
    return sorted(result, key=lambda found: SEVERITIES.index(found.severity))


def errors_of(findings):
    """Those that refuse a fit.

    Returns
    -------
    list of Finding
    """
    return [found for found in findings if found.severity == "error"]


def refuse(findings, what="data"):
    """Raise if there are errors.

    Parameters
    ----------
    findings : iterable of Finding
    what : str
        What to call the data.

    Raises
    ------
    ValueError
        The first error and its remedy, and how many more there are.
    """
    errors = errors_of(findings)
    if errors:
        more = f" ({len(errors) - 1} more: `kernelff check` lists all)" if len(errors) > 1 else ""
        raise ValueError(f"{what}: {errors[0]}{more}")


def warn_of(findings, what="data", stacklevel=3):
    """Emit the warnings among the findings as Python warnings.

    Parameters
    ----------
    findings : iterable of Finding
    what : str
    stacklevel : int
    """
    for found in findings:
        if found.severity == "warning":
            warnings.warn(f"{what}: {found}", stacklevel=stacklevel)


def listed(frames, most=5):
    """The first indices as text.

    Returns
    -------
    str
    """
    return ", ".join(str(k) for k in frames[:most]) + (", ..." if len(frames) > most else "")
