"""What an observable has found: numbers with error bars, columns of plain data, and their picture."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A number; None where the run does not tell."""

    value: float | None
    error: float | None  # one standard error
    unit: str

    def __str__(self):
        if self.value is None:
            return "not determined"
        largest = max(abs(self.value), self.error or 0.0)
        if not self.error or self.error < 1e-9 * largest:  # nothing, or rounding
            return f"{self.value:.4g} {self.unit}".strip()
        if largest < 1e-4:
            return f"{self.value:.1e} ± {self.error:.1e} {self.unit}".strip()
        decimals = max(0, 1 - int(np.floor(np.log10(self.error))))
        return f"{self.value:.{decimals}f} ± {self.error:.{decimals}f} {self.unit}".strip()


@dataclass(frozen=True, eq=False)
class ObservableResult:
    """The result of one observable.

    Attributes
    ----------
    name : str
    values : dict of str -> Estimate
        Numbers with one standard error from stretches of the run.
    columns : dict of str -> ndarray
        Data, units at the end of the names as in the thermo table.
    n_samples : int
    resolution_fs : float
        Time between two samples; what is faster is not seen.
    remarks : tuple of str
        What to know before the numbers are used.
    stopped_at : int or None
        Step at which a guard rail or Ctrl-C ended the run.
    """

    name: str
    values: dict = field(default_factory=dict)
    columns: dict = field(default_factory=dict)
    n_samples: int = 0
    resolution_fs: float = 0.0
    remarks: tuple = ()
    stopped_at: int | None = None

    def figure(self):
        """The picture.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from kernelff.report.observable_figures import figure_of

        return figure_of(self)

    def to_dict(self):
        """JSON-able dict."""
        values = {name: value._asdict() for name, value in self.values.items()}
        columns = {name: _plain(column) for name, column in self.columns.items()}
        return {
            "values": values, "columns": columns, "n_samples": self.n_samples, "resolution_fs": self.resolution_fs,
            "remarks": list(self.remarks), "stopped_at": self.stopped_at,
        }  # fmt: skip


def estimate(value, error, unit):
    """An Estimate of floats of which any may be NaN."""
    numbers = (float(x) if np.isfinite(x) else None for x in (value, error))
    return Estimate(*numbers, unit)


def _plain(column):
    return [None if not np.isfinite(x) else x for x in np.asarray(column).tolist()]
