"""Error table: groups, units, missing labels."""

import numpy as np
import pytest
from ase.units import GPa

from kernelff.evaluation import Evaluation


def evaluation(**changes):
    nan6 = np.full(6, np.nan)
    parts = {
        "energy": np.array([2.0, 8.0, 1.0]),
        "forces": [np.full((2, 3), 0.1), np.zeros((4, 3)), np.zeros((1, 3))],
        "stress": np.array([np.full(6, GPa), np.zeros(6), nan6]),
        "energies": [np.ones(2), np.full(4, 2.0), np.ones(1)],
        "n_atoms": np.array([2, 4, 1]),
        "config_types": ["a", "b", "b"],
        "energy_ref": np.array([1.0, 8.4, np.nan]),
        "forces_ref": [np.zeros((2, 3)), np.full((4, 3), 0.3), np.full((1, 3), np.nan)],
        "stress_ref": np.array([np.zeros(6), nan6, nan6]),
    }
    return Evaluation(**parts | changes)


def row(table, group, kind):
    return next(r for r in table if r["group"] == group and r["kind"] == kind)


def test_errors_are_per_atom_and_in_the_units_of_the_field():
    table = evaluation().errors()
    assert row(table, "all", "energy")["mae"] == pytest.approx(300)  # meV/atom: 500 and 100
    assert row(table, "a", "forces")["rmse"] == pytest.approx(100)  # meV/Å
    assert row(table, "b", "forces")["max"] == pytest.approx(300)
    assert row(table, "all", "stress")["mae"] == pytest.approx(1.0)  # GPa
    assert row(table, "all", "stress")["n"] == 6


def test_groups_without_a_kind_of_label_have_no_row():
    kinds = {(r["group"], r["kind"]) for r in evaluation().errors()}
    assert ("b", "stress") not in kinds
    assert ("b", "energy") in kinds


def test_one_group_is_not_repeated():
    assert {r["group"] for r in evaluation(config_types=["a"] * 3).errors()} == {"all"}
    assert {r["group"] for r in evaluation().errors(by=None)} == {"all"}
