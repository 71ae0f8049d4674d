"""The search for settings: where it goes, what it chooses, what it keeps, and the command around it."""

import json
import re

import numpy as np
import pytest
from ase.io import write
from labelled import emt_frames, small_soap
from typer.testing import CliRunner

import kernelff as kff
from kernelff import tuning
from kernelff.cli import app
from kernelff.config import FitConfig, read_config, write_config
from kernelff.io.json_lines import JsonLines
from kernelff.tuning import Trial

GRIDS = {"cutoff": (4.0, 5.0, 6.0, 7.0), "n_max": (4, 6, 8)}
SPREAD = np.array([0.1, -0.1, 0.05, -0.05, 0.0])


def bowl(settings):
    """A trial whose score is least at cutoff 6 and n_max 6."""
    score = (settings["cutoff"] - 6) ** 2 + 0.01 * (settings["n_max"] - 6) ** 2
    return Trial(dict(settings), tuple(score + SPREAD), {}, 1.0, float(settings["n_max"]))


def trial(score, cost, noise=0.0, settings=None):
    return Trial(settings or {"n_max": cost}, tuple(score + SPREAD + noise * SPREAD[::-1]), {}, 1.0, float(cost))


def make_model(settings):
    return kff.SparseGPR(small_soap(), n_sparse=15, n_jobs=1).set_params(
        **{name if name == "zeta" else f"descriptors__{name}": value for name, value in settings.items()}
    )


@pytest.fixture(scope="module")
def frames():
    return emt_frames(12, 0)


# --- the search -----------------------------------------------------------------


def test_search_walks_to_the_bottom_and_tries_nothing_twice():
    trials = list(tuning.search(bowl, (), GRIDS, {"cutoff": 4.0, "n_max": 8}))
    best = min(trials, key=lambda trial: trial.score)
    assert best.settings == {"cutoff": 6.0, "n_max": 6}
    assert trials[0].settings == {"cutoff": 4.0, "n_max": 8}
    keys = [tuple(trial.settings.items()) for trial in trials]
    assert len(set(keys)) == len(keys) < 12


def test_search_goes_on_with_finished_trials():
    measured = []

    def counted(settings):
        measured.append(settings)
        return bowl(settings)

    start = {"cutoff": 4.5, "n_max": 8}  # 4.5 is no value of the grid
    whole = list(tuning.search(bowl, (), GRIDS, start))
    again = list(tuning.search(counted, whole[:4], GRIDS, start))
    assert again == whole and measured == [trial.settings for trial in whole[4:]]


def test_choice_is_the_cheapest_within_one_standard_error():
    best, dear = trial(-3.0, 80), trial(-2.5, 5)
    near, cheap = trial(-2.99, 40, noise=1.0), trial(-2.99, 20, noise=1.0)
    assert tuning.choose_trial([dear, best, near, cheap]) is cheap
    sure = trial(-2.99, 10)  # behind by the same amount on every fold
    assert tuning.choose_trial([best, sure]) is best
    far = trial(-2.9, 10, noise=20.0)  # within its standard error, but far behind
    assert tuning.choose_trial([best, far]) is best


def test_a_trial_without_finite_errors_is_never_chosen():
    broken = trial(np.nan, 1)
    assert tuning.choose_trial([broken, trial(-3.0, 80)]).cost == 80
    with pytest.raises(ValueError, match="no candidate gave finite errors"):
        tuning.choose_trial([broken])


def test_a_trial_is_the_errors_that_a_fit_reports(frames):
    found = tuning.measure(make_model, {"zeta": 2.0, "n_max": 3}, frames)
    model = make_model({"zeta": 2.0, "n_max": 3}).fit(frames)
    assert found.errors == model.cv_errors_
    assert len(found.scores) == 5 and np.isfinite(found.scores).all()
    assert found.cost > 0 and found.seconds > 0


def test_cross_validation_leaves_a_model_as_it_is(frames):
    model = make_model({"zeta": 2.0}).fit(frames)
    before = dict(vars(model))
    model.cross_validate(frames[:6])
    assert all(vars(model)[name] is value for name, value in before.items())


def test_too_few_frames_are_refused(frames):
    with pytest.raises(ValueError, match="frames: 3 are too few to hold some out"):
        tuning.measure(make_model, {"zeta": 2.0}, frames[:3])


def test_values_that_cannot_be_tried_are_named(frames):
    with pytest.raises(ValueError, match=r"l_max = 99 cannot be tried: .*l_max"):
        tuning.check_settings(make_model, {"l_max": (2, 99)}, {"l_max": 2}, frames)
    with pytest.raises(ValueError, match=r"^zeta: must be"):
        tuning.check_settings(make_model, {"l_max": (2, 3)}, {"l_max": 2, "zeta": -1.0}, frames)


def test_samples_keep_shares_and_isolated_atoms_and_share_nothing_else():
    frames = emt_frames(30, 1)
    for k, atoms in enumerate(frames):
        atoms.info["config_type"] = "rare" if k % 3 == 0 else "usual"
    single = frames[0][:1]
    found, others = tuning.sample_frames([*frames, single], 15)
    for sample in (found, others):
        assert sample[-1] is single and len(sample) == 16
        assert [atoms.info["config_type"] for atoms in sample[:-1]].count("rare") == 5
    assert not {id(atoms) for atoms in found[:-1]} & {id(atoms) for atoms in others[:-1]}
    assert tuning.sample_frames(frames[:18], 100) == (frames[:18], [])
    assert [len(sample) for sample in tuning.sample_frames(frames, 8)] == [8, 0]
    with pytest.raises(ValueError, match="n_frames"):
        tuning.sample_frames(frames, 0)


def test_finalists_are_the_start_the_choice_and_the_best():
    start, best, lucky, other = trial(-2.0, 9), trial(-3.0, 80), trial(-2.99, 20, noise=1.0), trial(-2.5, 7)
    trials = [start, other, best, lucky, trial(-1.0, 1)]
    assert tuning.finalists(trials) == [start, lucky, best, other]
    assert list(tuning.again(bowl, (), [bowl({"cutoff": 5.0, "n_max": 4})])) == [bowl({"cutoff": 5.0, "n_max": 4})]


def test_fingerprint_tells_labels_and_settings(frames):
    other = emt_frames(12, 0)
    key = tuning.fingerprint(frames, {"n_sparse": 5})
    assert key == tuning.fingerprint(other, {"n_sparse": 5}) != tuning.fingerprint(other, {"n_sparse": 6})
    other[3].calc.results["energy"] += 1e-6
    assert key != tuning.fingerprint(other, {"n_sparse": 5})


# --- files ----------------------------------------------------------------------


def test_lines_of_other_searches_stay_apart(tmp_path):
    path = tmp_path / "trials.jsonl"
    for key, value in (("a", 1), ("b", 2), ("a", 3)):
        JsonLines(path, key, dict).add({"value": value})
    assert JsonLines(path, "a", dict).found == [{"value": 1}, {"value": 3}]


def test_a_line_cut_off_is_done_again(tmp_path):
    path = tmp_path / "trials.jsonl"
    path.write_text('{"key": "a", "value": 1}\n{"key": "a", "val')
    with pytest.warns(UserWarning, match="the last line was cut off"):
        lines = JsonLines(path, "a", dict)
    assert lines.found == [{"value": 1}]
    path.write_text('{"key": "a", "value": 1}')  # whole, but for its end of line
    JsonLines(path, "a", dict).add({"value": 2})
    assert JsonLines(path, "a", dict).found == [{"value": 1}, {"value": 2}]


@pytest.mark.parametrize("text", ["nonsense", "[1, 2]", "3", '{"no": "key"}', "\udcff"])
def test_a_foreign_file_is_refused(tmp_path, text):
    path = tmp_path / "trials.jsonl"
    path.write_bytes(text.encode(errors="surrogateescape") + b"\nmore\n")
    with pytest.raises(ValueError, match="line 1 is none of the results"):
        JsonLines(path, "a", dict)


def test_trials_survive_the_file():
    before = trial(-3.0, 80)
    assert Trial.from_dict(json.loads(json.dumps(vars(before)))) == before


def test_settings_survive_toml(tmp_path):
    settings = FitConfig(
        data={"energy_key": 'my "energy"', "use_stress": False, "forces_key": None},
        model={"n_sparse": [300, 20], "zeta": 2.0, "e0": {"Si": -0.79, "C": -1e-07}},
        config_sigmas={"bulk surface": {"energy": 0.01}},
        soap={"cutoff": 4.8, "n_max": 6},
        pairs={},
    )
    write_config(tmp_path / "fit.toml", settings, "two\nlines")
    assert (tmp_path / "fit.toml").read_text().startswith("# two\n# lines\n")
    found = read_config(tmp_path / "fit.toml")
    expected = settings.updated()
    expected.data.pop("forces_key")
    assert found == expected


# --- the command ----------------------------------------------------------------

SMALL = [
    "--config",
    "start.toml",
    "--n-sparse",
    12,
    "--grid",
    "cutoff=3.6",
    "--grid",
    "l_max=2",
    "--grid",
    "atom_sigma=0.5",
    "--jobs",
    1,
]
SMALL += ["--grid", "n_max=2,3", "--grid", "zeta=2,3"]


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, re.sub(r"\s+", " ", result.output)


@pytest.fixture
def data(tmp_path, frames, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "start.toml").write_text('[model]\nhyperparameters = "fixed"\n[soap]\ncutoff_width = 0.8\n')
    write(tmp_path / "train.xyz", frames)
    return tmp_path / "train.xyz"


def test_tune_writes_settings_that_fit_reads(data, tmp_path):
    output = tmp_path / "tuned.toml"
    code, text = run("tune", data, *SMALL, "--output", output)
    assert code == 0, text
    assert "behind," in text and f"kernelff fit {data} --config {output}" in text
    found = read_config(output)
    assert (
        found.soap["cutoff_width"] == 0.8
        and found.soap["cutoff"] == 3.6
        and found.soap["n_max"] in (2, 3)
        and found.model["zeta"] in (2.0, 3.0)
    )
    assert not {"n_sparse", "n_jobs"} & set(found.model)  # that of the search is for speed
    n_trials = len((tmp_path / "tuned.trials.jsonl").read_text().splitlines())
    assert 3 <= n_trials <= 4
    code, text = run("fit", data, "--config", output, "--n-sparse", 12, "--output", tmp_path / "m.kff")
    assert code == 0 and kff.load_model(tmp_path / "m.kff").descriptors[0].cutoff == 3.6
    before = output.read_text()
    code, text = run("tune", data, *SMALL, "--output", output)  # all trials are there
    assert code == 0 and f"{n_trials} trials are there already" in text
    assert len((tmp_path / "tuned.trials.jsonl").read_text().splitlines()) == n_trials
    assert output.read_text().splitlines()[0] == before.splitlines()[0]


def test_stopped_tune_keeps_its_trials(data, tmp_path, monkeypatch):
    output, measure, count = tmp_path / "tuned.toml", tuning.measure, []

    def interrupted(*arguments):
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(tuning, "measure", interrupted)
    code, text = run("tune", data, *SMALL, "--output", output)
    assert code == 130 and "stopped after 2 trials; the same command goes on from there" in text
    assert output.exists()
    count.clear()
    monkeypatch.setattr(tuning, "measure", measure)
    code, text = run("tune", data, *SMALL, "--output", output)
    assert code == 0 and "2 trials are there already" in text


def test_budgets_end_a_search(data, tmp_path):
    for option in (("--trials", 1), ("--seconds", 1e-9)):
        output = tmp_path / f"{option[0].strip('-')}.toml"
        code, text = run("tune", data, *SMALL, *option, "--output", output)
        assert code == 0 and "the settings it started from are as good" in text
        assert len(output.with_name(output.stem + ".trials.jsonl").read_text().splitlines()) == 1


def test_other_frames_decide(tmp_path, data):
    write(data, emt_frames(24, 0))
    code, text = run("tune", data, *SMALL, "--output", tmp_path / "t.toml")
    assert code == 0 and "of 12 frames" in text and "of 12 other frames, which decide" in text
    n_lines = len((tmp_path / "t.trials.jsonl").read_text().splitlines())
    code, text = run("tune", data, *SMALL, "--output", tmp_path / "t.toml")
    assert code == 0 and len((tmp_path / "t.trials.jsonl").read_text().splitlines()) == n_lines


def test_several_n_sparse_and_other_numbers_are_searched(data, tmp_path):
    arguments = [*SMALL, "--grid", "n_max=2", "--grid", "zeta=2", "--n-sparse", 20, "--grid", "scaling_exponent=2,4"]
    code, text = run("tune", data, *arguments, "--output", tmp_path / "t.toml")
    assert code == 0 and "exponent" in text, text
    found = read_config(tmp_path / "t.toml")
    assert found.model["n_sparse"] in (12, 20) and found.soap["scaling_exponent"] in (2.0, 4.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "cutof=3"], r"--grid cutof=3: give NAME=VALUE,VALUE,... with a name of cutoff"),
        (["--grid", "n_max=3.5"], r"--grid n_max=3.5: the values of n_max must be whole numbers"),
        (["--grid", "zeta=a"], r"--grid zeta=a: the values of zeta must be numbers"),
        (["--grid", "zeta=nan"], r"--grid zeta=nan: the values of zeta must be finite"),
        (["--grid", "zeta=-1"], r"Error: zeta: must be a number > 0, got -1.0"),
        (["--grid", "n_max=0,3"], r"n_max.* 0"),
        (["--frames", "0"], r"--frames 0: give a number > 0"),
        (["--frames", "3"], r"frames: 3 are too few to hold some out"),
        (["--trials", "-1"], r"--trials -1: give a number > 0"),
        (["--seconds", "nan"], r"--seconds nan: give a number > 0"),
        (["--n-sparse", "-3"], r"--n-sparse -3: give a number > 0"),
        (["--output", "/no/such/folder/t.toml"], r"the folder /no/such/folder does not exist"),
    ],
)
def test_wrong_input_is_named(data, tmp_path, arguments, message):
    code, text = run("tune", data, *SMALL, *arguments)
    assert code == 1 and re.search(message, text), text
    assert not (tmp_path / "tuned.toml").exists()
