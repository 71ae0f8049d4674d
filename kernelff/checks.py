"""Checks of plain parameters, with the message that names them."""

import numbers
import os

import numpy as np


class SettingsWarning(UserWarning):
    """A setting that does not suit the data."""


def require_whole(name, value, least, most=2**63 - 1):
    """Raise a ValueError that names the parameter unless it is a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not least <= value <= most:
        end = "" if most == 2**63 - 1 else f" and <= {most}"
        raise ValueError(f"{name}: must be a whole number >= {least}{end}, got {value!r}.")


def require_positive(name, value, unit=""):
    """Raise a ValueError that names the parameter unless it is a finite number > 0."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (real and np.isfinite(value) and value > 0):
        raise ValueError(f"{name}: must be a number > 0{unit and f' {unit}'}, got {value!r}.")


def require_path(name, value, example):
    """Raise a ValueError that names the parameter unless it is a path, or None."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if value is not None and (not isinstance(text, str) or "\0" in text):
        raise ValueError(f"{name}: must be a path such as {example!r}, or None, got {value!r}.")
