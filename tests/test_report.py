"""Reports and what goes into them."""

import base64
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms

from kernelff.evaluation import Evaluation
from kernelff.report import Figure, Section, Table, build_report, figures, model_figures
from kernelff.report.cells import (
    composition_table,
    error_table,
    learning_table,
    natural,
    number,
    percent,
    property_table,
)
from kernelff.report.comparison import Candidate, advice, comparison_table
from kernelff.report.coverage import coverage, errors_and_sds

HISTORY = [
    {"level": level, "iteration": k, "objective": 1.0, "forces": forces, "validation": 1.0, "validation_forces": held}
    for level, k, forces, held in ((8, 0, 0.2, 0.3), (8, 1, 0.1, 0.2), (12, 0, 0.05, 0.09), (12, 1, 0.02, 0.08))
]


def evaluation(n_frames=40, seed=0, true_scale=1.0):
    """Normal errors of known standard deviations, on frames of 2 to 5 atoms in two groups."""
    rng = np.random.default_rng(seed)
    n_atoms = rng.integers(2, 6, n_frames)
    energy_std = rng.uniform(0.01, 0.1, n_frames)
    forces_std = [rng.uniform(0.01, 0.3, (n, 3)) for n in n_atoms]
    forces_ref = [rng.normal(size=(n, 3)) for n in n_atoms]
    energy_ref, stress_ref = (
        -3.0 * n_atoms + rng.normal(size=n_frames),
        rng.normal(scale=0.01, size=(n_frames, 6)),
    )
    pairs = zip(forces_ref, forces_std, strict=True)
    return Evaluation(
        energy=energy_ref + true_scale * energy_std * rng.normal(size=n_frames),
        forces=[ref + true_scale * sd * rng.normal(size=sd.shape) for ref, sd in pairs],
        stress=stress_ref + 1e-3,
        energies=[np.full(n, -3.0) for n in n_atoms],
        n_atoms=n_atoms,
        config_types=["rattle" if k % 2 else "strain" for k in range(n_frames)],
        energy_ref=energy_ref,
        forces_ref=forces_ref,
        stress_ref=stress_ref,
        energy_std=energy_std,
        forces_std=forces_std,
        stress_std=np.full((n_frames, 6), 1e-3),
        energies_std=[np.full(n, 0.01) for n in n_atoms],
        novelty=[np.full(n, 0.01) for n in n_atoms],
    )


def trace(temperature):
    time, marks = np.arange(0.0, 100.0), np.arange(0.0, 100.0, 10)
    return SimpleNamespace(
        target=temperature,
        n_atoms=8,
        time=time,
        temperature=temperature + np.sin(time),
        energy=np.cos(time),
        marked_time=marks,
        energy_std=np.full(10, 0.01),
        force_std=np.full(10, 0.1),
        novelty=np.full(10, 0.01),
        pair_distribution=(np.linspace(0, 6, 60), np.ones(60)),
    )


# --- error bars ------------------------------------------------------------------


def test_coverage_of_normal_errors_is_as_promised():
    errors, sds = errors_and_sds(evaluation(400), "forces")
    levels = np.array([0.3, 0.68, 0.95])
    np.testing.assert_allclose(coverage(errors, sds, levels), levels, atol=0.03)


def test_error_bars_twice_too_wide_cover_too_much():
    errors, sds = errors_and_sds(evaluation(400, true_scale=0.5), "energy")
    assert coverage(errors, sds, [0.68])[0] > 0.9


def test_forces_that_symmetry_makes_zero_do_not_count():
    found = evaluation(10)
    found.forces[0][:] = found.forces_ref[0][:] = 0.0
    assert len(errors_and_sds(found, "forces")[0]) == 3 * found.n_atoms[1:].sum()


def test_absent_labels_do_not_count():
    bare = replace(evaluation(20), energy_ref=np.full(20, np.nan), stress_ref=np.full((20, 6), np.nan))
    assert [len(errors_and_sds(bare, kind)[0]) for kind in ("energy", "stress")] == [0, 0]


# --- tables ----------------------------------------------------------------------


def test_error_table_has_all_first_and_every_set():
    table = error_table({"train": evaluation(seed=1), "test": evaluation(seed=2)})
    assert [row[0] for row in table.rows] == ["all", "rattle", "strain"]
    assert table.header == ["", *["train", "test"] * 3]
    assert table.groups[1] == ("energy, meV/atom", 2)
    expected = np.abs(evaluation(seed=2).residuals("energy")).mean()
    assert float(table.rows[0][2]) == pytest.approx(expected, rel=0.01)


def test_absent_groups_stay_empty():
    one = replace(evaluation(), config_types=["rattle"] * 20 + ["surface"] * 20)
    table = error_table({"train": evaluation(), "test": one})
    row = next(row for row in table.rows if row[0] == "surface")
    assert row[1] == "" and row[2] != ""


def test_composition_and_properties():
    frames = [Atoms("Si2", info={"config_type": "a"}), Atoms("Si3")]
    table = composition_table({"train": frames, "test": frames[:1]})
    assert table.rows == [["all", "2", "5", "1", "2"], ["-", "1", "3", "", ""], ["a", "1", "2", "1", "2"]]
    table = property_table({"GAP": [("a0", "Å", 5.5, 5.0), ("C11", "GPa", 150.0, None)]})
    assert table.rows == [["a0", "Å", "5.000", "5.500", "+10.0 %"], ["C11", "GPa", "", "150.0", ""]]


def test_learning_of_radial_functions_by_level():
    table = learning_table(HISTORY)
    assert table.rows == [["8", "1", "200", "100", "300", "200"], ["12", "1", "50.0", "20.0", "90.0", "80.0"]]
    bare = [{"level": 8, "iteration": k, "objective": 4.0 / (k + 1)} for k in range(4)]
    assert learning_table(bare).rows == [["8", "3", "2.00", "1.00", "", ""]]


# --- which model -----------------------------------------------------------------


def candidate(name, scale, cost, seed=1):
    found = evaluation(seed=seed, true_scale=scale)
    sizes = [("small", 0.5 * cost, 200.0), ("large", cost, 150.0)]
    learning = [(10, 5.0, 100.0), (20, 2.0, 50.0)]
    return Candidate(name, "so many functions", found, 3.0, cost, sizes, learning, HISTORY if name == "MTP" else [])


def test_advice_follows_what_was_measured():
    gap, mtp = candidate("GAP", 1.0, 50.0), candidate("MTP", 2.0, 10.0)
    assert "GAP is more accurate" in advice([gap, mtp]) and "MTP is 5.0 times cheaper" in advice([mtp, gap])
    assert advice([gap, candidate("MTP", 0.5, 10.0)]).endswith("take it.")
    assert advice([gap, candidate("MTP", 1.0, 10.0)]).endswith("take the MTP.")
    rows = {row[0]: row[2:] for row in comparison_table([gap, mtp]).rows}
    assert rows["evaluation"] == ["50.0", "10.0"] and float(rows["forces"][1]) == pytest.approx(
        mtp.error("forces"), rel=0.01
    )
    assert 60 < float(rows["forces inside 68 %"][0]) < 76 and float(rows["forces inside 68 %"][1]) < 50


def test_numbers_have_no_exponent():
    values = [0.0, 0.00396, 0.0266, 1.3, 17.12, 1234.5, -0.5, np.nan]
    assert [number(v) for v in values] == ["0", "0.004", "0.027", "1.30", "17.1", "1234", "-0.500", "nan"]
    assert [percent(v) for v in (0.0001, -0.17)] == ["+0.01 %", "-17.0 %"]


def test_groups_are_sorted_by_their_numbers():
    assert sorted(["md-1200K", "b", "md-300K", "a2", "a10"], key=natural) == ["a2", "a10", "b", "md-300K", "md-1200K"]


# --- figures and pages -----------------------------------------------------------


def all_figures():
    found = evaluation()
    bare = replace(found, energy_std=None, forces_std=None)
    volumes = np.linspace(18, 22, 9)
    curve = (volumes, (volumes - 20) ** 2)
    rows = [("a0", "Å", 5.4, 5.45), ("B", "GPa", 90.0, 88.0), ("vacancy", "eV", 3.0, 3.6)]
    candidates = [candidate("GAP", 1.0, 50.0), candidate("MTP", 2.0, 10.0)]
    traces = [trace(300.0), trace(1000.0)]
    return {
        "parity": figures.parity({"train": bare, "test": found}),
        "error bars": figures.error_bars(found),
        "groups": figures.errors_by_group(found),
        "properties": figures.properties_and_curve({"GAP": rows, "MTP": rows}, {"GAP": curve, "MTP": curve}, curve),
        "dynamics": figures.dynamics(traces),
        "pairs": figures.pair_distributions(traces),
        "comparison": model_figures.accuracy_and_radial_learning(candidates),
        "radial": model_figures.radial_learning(HISTORY),
        "learning": model_figures.learning_curves(candidates),
    }


def test_every_axis_of_every_figure_is_labelled():
    for name, figure in all_figures().items():
        for axes in figure.axes:
            assert axes.get_title(loc="left") or axes.get_xlabel(), name
            below = axes.get_subplotspec().is_last_row()
            assert axes.get_xlabel() or not below, name
            assert axes.get_ylabel() or axes.get_yticklabels() or axes.get_shared_y_axes().joined(axes, figure.axes[0])


def test_figures_are_drawn_the_same_twice_and_leave_settings_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    one, other = (Figure.from_matplotlib(all_figures()["parity"], "x").source for _ in range(2))
    assert one == other
    assert dict(matplotlib.rcParams) == before


def test_a_page_is_whole_and_loads_nothing(tmp_path):
    figure = Figure.from_matplotlib(all_figures()["groups"], "What one sees <here>")
    table = Table(["", "train"], [["all", "1.0"]], [("", 1), ("energy, meV/atom", 1)], caption="Errors")
    sections = [
        Section("Accuracy", "Text.", [table], [figure]),
        Section("Model", tables=[Table([], [["a", "b"]])]),
    ]
    path = build_report(tmp_path / "r.html", "Copper", "A model.", [("1.0", "meV", "error")], sections)
    page = path.read_text()
    assert "What one sees &lt;here&gt;" in page and "colspan" in page
    assert not re.search(r"""(src|href)=["']http|@import|<script""", page)
    svg = base64.b64decode(re.search(r"base64,([^\"]+)", page).group(1))
    assert svg.startswith(b"<?xml") and svg.rstrip().endswith(b"</svg>")
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
