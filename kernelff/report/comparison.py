"""Models of several kinds beside each other: errors, time, cost, and which one to take."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from kernelff.evaluation import Evaluation
from kernelff.report import model_figures
from kernelff.report.build import Figure, Section
from kernelff.report.cells import Table, error_table, learning_table, number
from kernelff.report.coverage import coverage, errors_and_sds

_ALIKE = 1.05  # ratio of errors that a test set does not tell apart
_UNITS = {"energy": "meV/atom", "forces": "meV/Å", "stress": "GPa"}


@dataclass(frozen=True, eq=False)
class Candidate:
    """A fitted model and what it costs.

    Attributes
    ----------
    name, what : str
        "GAP", "1000 sparse environments".
    evaluation : Evaluation
        On the test frames, with uncertainties.
    seconds : float
        Of the fit.
    cost : float
        µs per atom of energy, forces and stress.
    sizes : list of tuple
        (label, µs per atom, force MAE in meV/Å) of smaller models of the kind and of this one.
    learning : list of tuple
        (frames, energy MAE in meV/atom, force MAE in meV/Å) of fits to parts of the frames and to all.
    history : list of dict
        How radial functions were learnt, ``MTP.radial_history_``.
    """

    name: str
    what: str
    evaluation: Evaluation
    seconds: float
    cost: float
    sizes: list = field(default_factory=list)
    learning: list = field(default_factory=list)
    history: list = field(default_factory=list)

    def error(self, kind):
        """Mean absolute error on the test frames, None without labels."""
        found = {row["kind"]: row["mae"] for row in self.evaluation.errors(by=None)}
        return found.get(kind)


def comparison_table(candidates):
    """Errors on the test frames, times and costs, a column per model.

    Parameters
    ----------
    candidates : list of Candidate

    Returns
    -------
    Table
    """
    kinds = [kind for kind in _UNITS if candidates[0].error(kind) is not None]
    rows = [[kind, _UNITS[kind], *(number(one.error(kind)) for one in candidates)] for kind in kinds]
    inside = [coverage(*errors_and_sds(one.evaluation, "forces"), [0.68])[0] for one in candidates]
    rows += [
        ["forces inside 68 %", "%", *(f"{100 * share:.0f}" for share in inside)],
        ["fit", "s", *(number(one.seconds) for one in candidates)],
        ["evaluation", "µs/atom", *(number(one.cost) for one in candidates)],
    ]
    header = ["", "unit", *(one.name for one in candidates)]
    return Table(header, rows, title=f"{' or '.join(one.name for one in candidates)}?")


def advice(candidates):
    """Which model to take, from what was measured.

    Parameters
    ----------
    candidates : list of Candidate
        Two.

    Returns
    -------
    str
    """
    better, other = sorted(candidates, key=lambda one: one.error("forces"))
    quick, slow = sorted(candidates, key=lambda one: one.cost)
    alike = other.error("forces") < _ALIKE * better.error("forces")
    errors = f"{number(better.error('forces'))} against {number(other.error('forces'))} meV/Å"
    ratio = f"{number(slow.cost / quick.cost, 2)} times cheaper to run"
    if alike:
        return f"Forces are equally good ({errors}) and the {quick.name} is {ratio}: take the {quick.name}."
    if better is quick:
        return f"On these data the {better.name} is both more accurate (forces {errors}) and {ratio}: take it."
    return (
        f"On these data the {better.name} is more accurate (forces {errors}), the {quick.name} is {ratio}: take the "
        f"{better.name} where errors decide, the {quick.name} for long runs and large systems."
    )


def comparison_section(candidates):
    """Accuracy, cost and advice as a section of a report.

    Parameters
    ----------
    candidates : list of Candidate

    Returns
    -------
    Section
    """
    sizes = ", ".join(f"{one.name}: {one.what}" for one in candidates)
    text = (
        f"{advice(candidates)} Errors of an MTP fall with its level and with the number of frames, its cost rises with "
        "the level only; a GAP learns more from few frames. Both say when they leave them, the GAP by its novelty, the "
        "MTP by its extrapolation grade."
    )
    caption = (
        "Left: mean absolute force error on the test frames against the cost of energy, forces and stress for 512 "
        "atoms on one core; further down and to the left is better. Right: how the radial functions of the MTP are "
        "learnt: error on the frames they are learnt from and on others that they have not seen."
    )
    notes = (
        f"{sizes}. Mean absolute errors on the test frames; the share of force errors inside their 68 % error bars; "
        "fit times of this run."
    )
    table = replace(comparison_table(candidates), caption=notes)
    groups = error_table({one.name: one.evaluation for one in candidates})
    groups = replace(groups, caption="Mean absolute errors on the test frames by config_type.")
    picture = Figure.from_matplotlib(model_figures.accuracy_and_radial_learning(candidates), caption)
    return Section(comparison_table(candidates).title, text, [table, groups], [picture])


def radial_section(history):
    """How the radial functions of one MTP were learnt.

    Parameters
    ----------
    history : list of dict
        ``MTP.radial_history_``.

    Returns
    -------
    Section
    """
    text = (
        "The radial functions of a moment tensor potential are learnt from the data before its linear weights are "
        "fitted, level by level: each begins with what the one before has learnt."
    )
    caption = "Root mean square error by iteration, on the frames learnt from and on others that only judge."
    picture = Figure.from_matplotlib(model_figures.radial_learning(history), caption)
    return Section("Radial functions", text, [learning_table(history)], [picture])
