"""The commands, run the way a user runs them."""

import inspect
import os
import re
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from typer.testing import CliRunner

import kernelff
from kernelff.cli import app
from kernelff.config import FitConfig, read_config
from kernelff.io.model_file import write_potential

SMALL = ["--n-sparse", "30", "--cutoff", "4.0", "--n-max", "4", "--l-max", "2", "--jobs", "1"]


def run(*arguments):
    """Exit code and output on one line, however the terminal wrapped it."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, re.sub(r"\s+", " ", result.output)


def copper(n_frames, seed, labelled=True, stress_sign=1.0):
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n_frames):
        atoms = bulk("Cu", cubic=True)
        if k % 2:
            strain = rng.normal(scale=0.01, size=(3, 3))
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain + strain.T), scale_atoms=True)
        else:
            atoms.rattle(0.08, rng=rng)
        atoms.info["config_type"] = "strain" if k % 2 else "rattle"
        if labelled:
            atoms.calc = EMT()
            labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
            labels["stress"] = stress_sign * atoms.get_stress()
            atoms.calc = SinglePointCalculator(atoms, **labels)
        frames.append(atoms)
    return frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Training and test frames, and a model fitted to them by the command."""
    folder = tmp_path_factory.mktemp("cli")
    write(folder / "train.xyz", copper(16, seed=0))
    write(folder / "test.xyz", copper(8, seed=1))
    write(folder / "bare.xyz", copper(2, seed=2, labelled=False))
    write(folder / "wrong.xyz", copper(16, seed=0, stress_sign=-1.0))
    arguments = [*SMALL, "--test", folder / "test.xyz", "--output", folder / "cu.kff"]
    code, output = run("fit", folder / "train.xyz", *arguments, "--report", folder / "cu.html")
    assert code == 0, output
    (folder / "fit.txt").write_text(output)
    return folder


def test_fit_shows_data_forecast_and_errors(folder):
    output = (folder / "fit.txt").read_text()
    for text in (
        "from 'energy' (calculator)",
        "stresses agree with the energies",
        "Forecast:",
        "GB",
        "meV/atom",
    ):
        assert text in output
    assert "rattle" in output and "strain" in output and "cu.kff" in output
    assert not list(folder.glob("*.checkpoint"))
    page = (folder / "cu.html").read_text()
    assert "data:image/svg+xml" in page and "Map of environments" in page


def test_info_of_a_model_and_of_data(folder):
    code, output = run("info", folder / "cu.kff")
    assert code == 0
    for text in ("Cu (e0", "n_max 4", "30 sparse environments", "errors (test)", "hash", "ZBL below", "error bars yes"):
        assert text in output
    code, output = run("info", folder / "train.xyz")
    assert code == 0 and "frames 16" in output


def test_a_published_gap_is_a_model_too(tmp_path):
    gap = Path(__file__).parent / "data" / "gap"
    code, output = run("info", gap / "any.xml")
    assert code == 0 and "source gap.xml" in output and "sparse environments" in output
    code, output = run("evaluate", gap / "two.xml", gap / "two.xyz", "--output", tmp_path / "predicted.xyz")
    assert code == 0, output


def test_a_gap_is_converted_and_shown(tmp_path):
    gap = Path(__file__).parent / "data" / "gap"
    code, output = run("convert", gap / "two.xml", tmp_path / "two.kff")
    assert code == 0 and "38 sparse points" in output and "holds no posterior" in output
    code, output = run("info", tmp_path / "two.kff")
    assert code == 0 and "Cu (e0 -0.3000 eV), Ag (e0 0.2000 eV)" in output and "GAP_two" in output
    atoms = read(gap / "two.xyz", 0)
    found, expected = (kernelff.load(path).compute(atoms) for path in (tmp_path / "two.kff", gap / "two.xml"))
    assert found.energy == expected.energy and np.array_equal(found.forces, expected.forces)
    code, output = run("convert", gap / "two.xml", tmp_path / "two.cfg")
    assert code == 1 and "known are .xml to .kff" in output
    code, output = run("convert", tmp_path / "two.kff", tmp_path / "again.xml")
    assert code == 1 and "Copy that file" in output


def test_a_model_is_converted_for_quip(folder, tmp_path):
    soap, train = kernelff.SOAP(4.0, 3, 2, radial_basis="quip", scaling_exponent=0), copper(4, seed=0)
    model = kernelff.SparseGPR(soap, n_sparse=9, n_jobs=1, e0={"Cu": 0.0}, calibrate=False).fit(train)
    model.save(tmp_path / "quip.kff")
    code, output = run("convert", tmp_path / "quip.kff", tmp_path / "quip.xml")
    assert code == 0 and "quip.xml.sparseX.GAP_kernelff1" in output and "ZBL" in output
    atoms = train[0]  # below the distances of the training frames a gap.xml lacks the repulsion
    converted = kernelff.load(tmp_path / "quip.xml").compute(atoms)
    assert converted.energy == pytest.approx(model.potential_.compute(atoms).energy, abs=1e-9)
    code, output = run("convert", folder / "cu.kff", tmp_path / "cu.xml")
    assert code == 1 and "radial_basis" in output


def test_evaluate_writes_predictions(folder, tmp_path):
    out = tmp_path / "predicted.xyz"
    code, output = run("evaluate", folder / "cu.kff", folder / "test.xyz", "--uncertainty", "--output", out)
    assert code == 0 and "Mean absolute errors" in output and "most novel" in output
    potential = kernelff.load(folder / "cu.kff")
    for predicted, labelled in zip(read(out, ":"), read(folder / "test.xyz", ":"), strict=True):
        found = potential.compute(labelled)
        assert predicted.get_potential_energy() == pytest.approx(found.energy, abs=1e-6)
        np.testing.assert_allclose(predicted.get_forces(), found.forces, atol=1e-6)
        np.testing.assert_allclose(predicted.get_stress(), found.stress, atol=1e-6)
        assert predicted.info["REF_energy"] == pytest.approx(labelled.get_potential_energy())
        assert predicted.info["energy_std"] > 0 and predicted.arrays["novelty"].shape == (4,)


def test_evaluate_with_full_standard_deviations(folder, tmp_path):
    out = tmp_path / "predicted.xyz"
    for options in (["--full"], ["--uncertainty", "--full"]):
        code, output = run("evaluate", folder / "cu.kff", folder / "test.xyz", *options, "--output", out)
        assert code == 0 and "Median predictive standard deviations" in output and "most novel" in output
    potential = kernelff.load(folder / "cu.kff")
    for predicted, labelled in zip(read(out, ":"), read(folder / "test.xyz", ":"), strict=True):
        found = potential.uncertainty(labelled, residual=True)
        assert predicted.info["energy_std"] == pytest.approx(found.energy_std, rel=1e-6)
        np.testing.assert_allclose(predicted.arrays["forces_std"], found.forces_std, rtol=1e-5, atol=1e-8)


def test_evaluate_needs_no_labels(folder):
    code, output = run("evaluate", folder / "cu.kff", folder / "bare.xyz")
    assert code == 0 and "No labels to compare with" in output


def test_errors_of_one_group(folder):
    _, grouped = run("evaluate", folder / "cu.kff", folder / "test.xyz")
    _, single = run("evaluate", folder / "cu.kff", folder / "test.xyz", "--by", "none")
    assert "rattle" in grouped.split("Mean absolute")[1] and "rattle" not in single.split("Mean absolute")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "nothing.xyz"], "nothing.xyz: there is no such file"),
        (["fit", "{}/bare.xyz"], "no frame carries energies"),
        (["fit", "{}/wrong.xyz"], "stress_factor=-1"),
        (["fit", "{}/train.xyz", "--energy-key", "E_dft"], "energy_key='E_dft'"),
        (["fit", "{}/train.xyz", "--output", "{}/none/cu.kff"], "does not exist; make it first"),
        (["fit", "{}/train.xyz", "--n-sparse", "-3"], "n_sparse"),
        (["fit", "{}/train.xyz", "--model", "{}/cu.kff"], "give gap or mtp; the file to write is named by --output"),
        (["fit", "{}/train.xyz", "--model", "mtp", "--zeta", "3"], "--zeta belongs to --model gap, not to --model mtp"),
        (["fit", "{}/train.xyz", "--model", "mtp", "--seed", "3"], "--seed belongs to --model gap"),
        (["fit", "{}/train.xyz", "--model", "mtp", "--regression", "best"], "regression: must be one of ('ridge'"),
        (["fit", "{}/train.xyz", "--level", "8"], "--level belongs to --model mtp, not to --model gap"),
        (
            ["fit", "{}/train.xyz", "--model", "mtp", "--level", "7"],
            "level: must be an even number from 2 to 28, got 7",
        ),
        (["fit", "{}/train.xyz", "--model", "mtp", "--level", "40"], "level: must be an even number from 2 to 28"),
        (["fit", "{}/train.xyz", "--model", "mtp", "--cutoff", "2"], "no two atoms of the frames are within 2 Å"),
        (["info", "{}/wrong.xyz"], "stress_factor=-1"),
        (["info", "nothing.kff"], "nothing.kff"),
        (["info", "{}"], "is a folder"),
        (["evaluate", "{}/train.xyz", "{}/train.xyz"], "not a whole kernelff file"),
        (["evaluate", "{}/cu.kff", "{}/test.xyz", "--by", "colour"], "give config_type or none"),
    ],
)
def test_errors_are_one_message(folder, arguments, message):
    code, output = run(*(argument.format(folder) for argument in arguments))
    assert code == 1
    assert "Error:" in output and message in output and "Traceback" not in output


def test_debug_shows_where_it_happened(folder):
    result = CliRunner().invoke(app, ["--debug", "fit", str(folder / "bare.xyz")])
    assert isinstance(result.exception, ValueError)


def test_a_moment_tensor_potential_is_fitted_shown_and_converted(folder, tmp_path):
    model, test = tmp_path / "cu.kff", folder / "test.xyz"
    options = ["--model", "mtp", "--level", 6, "--regression", "ard", "--jobs", 1, "-o", model]
    options += ["--report", tmp_path / "cu.html"]
    code, output = run("fit", folder / "train.xyz", "--test", test, *options)
    assert code == 0, output
    for text in ("scalars of level 6, 2 radial functions of 10", "Forecast:", "Radial functions, root mean", "meV/Å"):
        assert text in output
    page = (tmp_path / "cu.html").read_text()
    assert "A moment tensor potential of level 6" in page and "Learning the radial functions" not in page
    assert "Radial functions" in page and "Map of environments" in page and "novelty" not in page.lower()
    code, output = run("info", model)
    assert code == 0
    for text in (
        "moment_tensors: level 6",
        "functions, linear",
        "regression ard",
        "learning level 6 in",
        "error bars yes",
    ):
        assert text in output
    code, output = run("evaluate", model, test, "--uncertainty")
    assert code == 0 and "Median standard deviations" in output and "most novel" not in output
    code, output = run("convert", model, tmp_path / "cu.mtp")
    assert code == 0 and "ZBL" in output
    atoms = read(test, 0)
    converted = kernelff.load(tmp_path / "cu.mtp", species=["Cu"]).compute(atoms)
    assert converted.energy == pytest.approx(kernelff.load(model).compute(atoms).energy, abs=1e-9)


def test_extrapolation_grades_are_shown_and_written(folder, tmp_path):
    train = read(folder / "train.xyz", ":")
    wild = [train[0].copy(), train[1].copy()]
    wild[1].set_cell(0.8 * wild[1].cell, scale_atoms=True)
    fitted = kernelff.MTP(4, n_jobs=1, learn_radial=False).fit(train).potential_
    write(tmp_path / "wild.xyz", wild)
    for mode in ("neighborhood", "configuration"):
        potential = fitted.with_active_set(kernelff.ActiveSet.select(fitted, train, mode=mode))
        write_potential(tmp_path / "cu.kff", potential, "0")
        out = tmp_path / "out.xyz"
        code, output = run("evaluate", tmp_path / "cu.kff", tmp_path / "wild.xyz", "--output", out)
        assert code == 0 and re.search(r"Largest extrapolation grade: [\d.e+]+, frame 1; 1 of 2 frames above 2", output)
        found = read(out, 1)
        grade = found.arrays["grade"] if mode == "neighborhood" else found.info["grade"]
        np.testing.assert_allclose(grade, potential.extrapolation_grade(wild[1]), rtol=1e-5)


def test_fewer_labels_than_unknowns_are_said(folder, tmp_path):
    write(tmp_path / "few.xyz", copper(4, seed=3))
    options = ["--model", "mtp", "--level", 12, "--jobs", 1, "--no-stress", "-o", tmp_path / "m.kff"]
    code, output = run("fit", tmp_path / "few.xyz", *options)
    assert code == 0 and output.count("29 weights and 30 radial coefficients, more than the 52 labels") == 1


def test_wrong_stresses_can_be_corrected(folder, tmp_path):
    arguments = ["fit", folder / "wrong.xyz", *SMALL, "--output", tmp_path / "cu.kff"]
    code, _ = run(*arguments, "--stress-factor", "-1")
    assert code == 0
    right, corrected = kernelff.load(folder / "cu.kff"), kernelff.load(tmp_path / "cu.kff")
    atoms = copper(1, seed=5)[0]
    assert corrected.compute(atoms).energy == pytest.approx(right.compute(atoms).energy, abs=1e-8)
    assert run(*arguments, "--no-stress")[0] == 0


def test_copies_of_training_frames_in_the_test_set_are_named(folder, tmp_path):
    turned = read(folder / "train.xyz", "0")
    results = turned.calc.results
    turned.rotate(90, "z", rotate_cell=True)
    turned.calc = SinglePointCalculator(turned, energy=results["energy"])
    write(tmp_path / "test.xyz", [turned, *copper(2, seed=7)])
    files = [folder / "train.xyz", "--test", tmp_path / "test.xyz", "--output", tmp_path / "m.kff"]
    code, output = run("fit", *files, *SMALL)
    assert code == 0 and "1 of 3 test frames (0) are training frames too" in output


def test_interrupted_fit_says_how_to_go_on(folder, tmp_path, monkeypatch):
    model = tmp_path / "cu.kff"

    def interrupted(self, frames, checkpoint=None, progress=False):
        Path(checkpoint).mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(kernelff.SparseGPR, "fit", interrupted)
    code, output = run("fit", folder / "train.xyz", *SMALL, "--output", model)
    assert code == 130 and "cu.kff.checkpoint" in output and "the same command goes on from there" in output
    assert not model.exists()


def test_a_failed_write_leaves_the_old_file(folder, tmp_path, monkeypatch):
    model = tmp_path / "cu.kff"
    model.write_text("old")

    def full(source, target):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    code, output = run("fit", folder / "train.xyz", *SMALL, "--output", model)
    assert code == 1 and "no space left" in output
    assert model.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["cu.kff"]


# --- settings --------------------------------------------------------------------


def test_symmetry_functions_from_toml(folder, tmp_path):
    config, model = tmp_path / "fit.toml", tmp_path / "cu.kff"
    grid = "[model]\nn_sparse = 12\n[symmetry_functions]\ncutoff = 4.0\nn_radial = 4\nn_shells = 1\n"
    config.write_text(grid)
    assert run("fit", folder / "train.xyz", "--config", config, "--output", model)[0] == 0
    assert "symmetry" in run("info", model)[1].lower()
    (tmp_path / "input.nn").write_text(
        "cutoff_type 1\nsymfunction_short Cu 2 Cu 0.01 0.0 8.0\nsymfunction_short Cu 2 Cu 0.1 0.0 8.0\n"
    )
    lists = f'[model]\nn_sparse = 8\n[symmetry_functions]\ninput_nn = "{tmp_path / "input.nn"}"\n'
    config.write_text(lists)
    code, output = run("fit", folder / "train.xyz", "--config", config, "--output", model)
    assert code == 1 and "needs length_unit" in output
    config.write_text(lists + 'length_unit = "bohr"\n')
    code, output = run("fit", folder / "train.xyz", "--config", config, "--output", model)
    assert code == 0, output
    config.write_text(grid + "[soap]\ncutoff = 5.0\n")
    code, output = run("fit", folder / "train.xyz", "--config", config, "--output", model)
    assert code == 1 and "give one of them" in output


def test_settings_from_toml_and_options(folder, tmp_path):
    config = tmp_path / "fit.toml"
    config.write_text(
        "[model]\nn_sparse = 12\nsigma_forces = 0.07\n[soap]\ncutoff = 4.0\nn_max = 3\nl_max = 2\n"
        "[config_sigmas.strain]\nenergy = 0.001\n[data]\nuse_stress = false\n"
    )
    model = tmp_path / "cu.kff"
    code, output = run("fit", folder / "train.xyz", "--config", config, "--n-sparse", 20, "--output", model)
    assert code == 0 and "stress none" in output
    fitted = kernelff.load_model(model)
    assert (fitted.n_sparse, fitted.sigma_forces) == (20, 0.07)
    assert fitted.config_sigmas == {"strain": {"energy": 0.001}}


def test_a_moment_tensor_potential_from_toml(folder, tmp_path):
    config, model = tmp_path / "fit.toml", tmp_path / "cu.kff"
    config.write_text('[model]\nkind = "mtp"\nlevel = 4\ncutoff = 4.0\nlearn_radial = false\nmin_dist = 2.9\n')
    code, output = run("fit", folder / "train.xyz", "--config", config, "--level", 6, "--jobs", 1, "-o", model)
    assert code == 0 and "min_dist: 2.9 Å is above the shortest distance" in output
    fitted = kernelff.load_model(model)
    assert (type(fitted), fitted.level, fitted.cutoff, fitted.learn_radial) == (kernelff.MTP, 6, 4.0, False)
    assert "none: radial functions as they start" in run("info", model)[1]
    code, output = run("fit", folder / "train.xyz", "--config", config, "--model", "gap", "-o", model)
    assert code == 1 and "[model] level belongs to kind = 'mtp', not to 'gap'" in output
    config.write_text("[soap]\ncutoff = 4.0\n")
    code, output = run("fit", folder / "train.xyz", "--config", config, "--model", "mtp", "-o", model)
    assert code == 1 and "[soap] belongs to a GAP" in output
    config.write_text('[model]\nkind = "mtp"\n')
    code, output = run("tune", folder / "train.xyz", "--config", config, "--output", tmp_path / "t.toml")
    assert code == 1 and "tune searches the settings of a GAP" in output


def test_updated_settings_leave_the_original_alone():
    settings = FitConfig(model={"zeta": 2.0})
    changed = settings.updated(model={"zeta": None, "delta": 3.0}, soap={"cutoff": None})
    assert changed.model == {"zeta": 2.0, "delta": 3.0} and changed.soap == {}
    assert settings.model == {"zeta": 2.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model]\nn_sparce = 10", r"\[model\] has no key 'n_sparce'; did you mean 'n_sparse'\?"),
        ("[soap]\nn-max = 10", r"\[soap\] has no key 'n-max'; did you mean 'n_max'\?"),
        ('[model]\nkind = "nep"', r"\[model\] kind must be one of 'gap', 'mtp', got 'nep'"),
        ('[model]\nkind = "mtp"\nzeta = 4', r"\[model\] zeta belongs to kind = 'gap', not to 'mtp'; take it out"),
        ('[model]\nkind = "mtp"\nlevl = 4', r"\[model\] has no key 'levl'; did you mean 'level'\?"),
        ('[model]\nkind = "mtp"\nlevel = "high"', r"\[model\] level must be a number, got 'high'"),
        ("[modell]\nzeta = 4", r"no table 'modell'; did you mean 'model'\?"),
        ("[data]\nqqq = 4", "no key 'qqq'; the keys are: energy_factor, energy_key"),
        ("model = 3", r"model must be a table; write \[model\]"),
        ("[model\n", "not valid TOML"),
        ('[soap]\ncutoff = "five"', r"\[soap\] cutoff must be a number, got 'five'"),
        ("[data]\nuse_stress = 1", r"\[data\] use_stress must be true or false, got 1"),
        ("[data]\nenergy_key = 1", r"\[data\] energy_key must be a text in quotes, got 1"),
    ],
)
def test_wrong_settings_are_named(tmp_path, text, message):
    path = tmp_path / "fit.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_config(path)


# --- help, quickstart, README ----------------------------------------------------


def test_help_lists_every_command_and_option():
    _, output = run("--help")
    for command in app.registered_commands:
        name = command.callback.__name__
        assert name in output
        code, text = run(name, "--help")
        assert code == 0
        for option in set(inspect.signature(command.callback).parameters) - {"context"}:
            assert option.replace("_", "-") in text or option in text


def test_version():
    assert run("--version") == (0, f"kernelff {kernelff.__version__} ")


def test_quickstart(tmp_path):
    code, output = run("quickstart", "--output", tmp_path, "--n-sparse", 60, "--level", 4, "--steps", 20, "--jobs", 1)
    assert code == 0, output
    for text in ("Mean absolute errors", "Properties", "vacancy energy", "Molecular dynamics", "error bar"):
        assert text in output
    assert (
        "GAP or MTP?" in output
        and "evaluation µs/atom" in output
        and re.search(r"[Tt]ake the (GAP|MTP)|take it", output)
    )
    files = {"silicon-gap.kff", "silicon-mtp.kff", "md-300K.xyz", "md-1000K.xyz", "report.html"}
    assert {path.name for path in tmp_path.iterdir()} == files
    assert [len(read(tmp_path / f"md-{temperature}K.xyz", ":")) for temperature in (300, 1000)] == [21, 21]
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/svg+xml;base64,") >= 7 and "Map of environments" in page and "GAP or MTP?" in page
    assert not re.search(r"""(src|href)=["']http""", page)


def test_the_lines_of_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    lines = re.search(r"```python\n(.*?)```", readme, re.DOTALL).group(1)
    assert 8 <= len([line for line in lines.splitlines() if line.strip()]) <= 12
    scope = {}
    exec(lines.replace("n_sparse=500", "n_sparse=60"), scope)
    assert (tmp_path / "silicon.kff").exists()
