"""What does the fit of a moment tensor potential cost beside motep's own training: CPU time, memory, errors?

Both fit the same energies and forces with a potential of the same level, cutoff and radial basis, one thread each:

    python benchmarks/mtp_fit_cost.py Mo_train.xyz Mo_test.xyz --level 8 --motep motepenv/bin/motep
    python benchmarks/mtp_fit_cost.py Mo_train.xyz Mo_test.xyz --level 16 --every 4 --weights motep --budget 50

motep (pip install motep, here or in another environment) starts from the untrained potential: linear least squares,
BFGS of all coefficients, linear least squares. Its authors' example (``--recipe example``), which fits a pair potential
first, and L-BFGS-B (``lbfgs``) took longer. Now and then its process forks: the copy ends the recipe as if its
``maxiter`` were reached, so each line is a whole run of so many iterations, imports and reading included as in ours;
``motep train`` with that ``maxiter`` writes the same potential. Our program judges both. The last lines say at which
cost motep's forces are as good as ours on training and test frames; with ``--weights motep`` it trains with its default
weights, 1 and 0.01, not with ours.

``--memory`` fits the frames 1, 2, 4 and 16 times instead, slightly moved, and shows the peaks of memory.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read

ALL = ["species_coeffs", "moment_coeffs", "radial_coeffs"]
LINEAR = {"method": "LLS", "optimized": ["species_coeffs", "moment_coeffs"]}
LEVEL_2 = {"method": "Level2MTP", "optimized": ["species_coeffs", "radial_coeffs"]}
MAXITER = 1_000_000  # the budget ends it


def minimize(method):
    options = {"maxiter": MAXITER} | ({"maxfun": 10 * MAXITER} if method == "L-BFGS-B" else {})
    return {"method": method, "optimized": ALL, "kwargs": {"tol": 1e-13, "options": options}}


RECIPES = {
    "bfgs": [LINEAR, minimize("BFGS"), LINEAR],  # from motep's random radial functions
    "example": [LEVEL_2, LINEAR, minimize("BFGS"), LINEAR],
    "lbfgs": [LINEAR, minimize("L-BFGS-B"), LINEAR],
}
WEIGHTS_OF_MOTEP = (1.0, 0.01)
SLACKS = (1.1, 1.05, 1.0)


def main():
    options = parse()
    if options.ours:
        return fit_ours(options)
    if options.theirs:
        return train_watched(options)
    if options.memory:
        return show_memory(options)
    with tempfile.TemporaryDirectory() as folder:
        ours = run_ours(folder)
        judge = Judge(options, folder)
        ours["errors"] = judge.errors(Path(folder, "ours.mtp"))
        print(f"{len(judge.train)} training frames, {sum(map(len, judge.train))} atoms; level {options.level}")
        print(f"{'':16}{'CPU s':>9}{'ratio':>7}{'MB':>7}" + "".join(f"{name:>14}" for name in ours["errors"]))
        show("kernelff", ours, ours)
        if shutil.which(options.motep) is None:
            print("motep: not found (pip install motep)")
            return None
        rows = train_theirs(options, Path(folder), ours, judge)
        show_ratios(ours, rows)
    return None


class Judge:
    """Errors of potentials by our evaluation, which gives motep's forces to 1e-11."""

    def __init__(self, options, folder):
        self.train, self.test = frames_of(options), labelled(options.test)
        self.species = sorted({int(z) for atoms in self.train for z in atoms.numbers})
        import kernelff as kff

        kff.io.write_cfg(Path(folder, "train.cfg"), self.train, self.species)

    def errors(self, path):
        """Errors on training and test frames, meV/atom and meV/Å."""
        import kernelff as kff

        potential, errors = kff.load(path, species=self.species), {}
        for name, frames in (("train", self.train), ("test", self.test)):
            energies, forces = differences(potential, frames)
            errors[f"{name} E rmse"] = np.sqrt((energies**2).mean())
            errors[f"{name} F rmse"] = np.sqrt((forces**2).mean())
            errors[f"{name} F mae"] = abs(forces).mean()
        return errors


def differences(potential, frames):
    """Of energies, meV/atom, and forces, meV/Å."""
    energies, forces = [], []
    for atoms in frames:
        found = potential.compute(atoms)
        energies.append((found.energy - atoms.calc.results["energy"]) / len(atoms))
        forces.append((found.forces - atoms.calc.results["forces"]).ravel())
    return 1e3 * np.array(energies), 1e3 * np.concatenate(forces)


def run_ours(folder, *arguments):
    """A fit in a process of its own, and what it says of itself."""
    command = [sys.executable, __file__, *sys.argv[1:], "--ours", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=one_thread())
    if done.returncode:
        raise SystemExit(f"kernelff failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def fit_ours(options):
    """The fit in this process; a JSON line at the end."""
    import kernelff as kff

    frames = frames_of(options) * options.copies
    if options.copies > 1:  # exact copies would be merged as duplicates
        frames = [moved(atoms, k) for k, atoms in enumerate(frames)]
    model = kff.MTP(options.level, options.cutoff, radial_basis_size=options.radial_basis_size, n_jobs=1)
    model.fit(frames)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the repulsion is zero in training frames
        kff.write_mtp(model, Path(options.ours, "ours.mtp"))
    sigmas = [model.sigmas_[kind] for kind in ("energy", "forces")]
    print(json.dumps({**usage(), "sigmas": sigmas, "frames": len(frames)}))


def train_theirs(options, folder, ours, judge):
    """Run motep until its forces are as good as ours, or its budget is used up; a row for each ending."""
    write_template(folder / "ours.mtp", folder / "untrained.mtp")
    (folder / "motep.toml").write_text(settings(options, ours["sigmas"], judge.species))
    python = Path(shutil.which(options.motep)).absolute().parent / "python"
    command = [str(python), str(Path(__file__).absolute()), *sys.argv[1:], "--theirs", str(folder)]
    rows, log = [], open(folder / "log", "w+")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=one_thread()) as process:
        for line in process.stdout:
            if not line.startswith('{"iteration"'):
                continue
            row = json.loads(line)
            row["errors"] = judge.errors(row["file"])
            rows.append(row)
            show(f"motep {row['iteration']:7d}", row, ours)
            if reached(row, ours, 1.0) or row["cpu_s"] > options.budget * ours["cpu_s"]:
                process.terminate()
                break
    if not rows:
        log.seek(0)
        raise SystemExit(f"motep failed:\n{log.read()[-2000:]}")
    return rows


def train_watched(options):
    """motep's training in this process, which forks; run by motep's interpreter."""
    import motep.optimizers.scipy as minimizers
    from motep.parallel import world
    from motep.train.trainer import train_from_setting

    state = {"due": 0.0, "copy_of": None, "iteration": 0}

    class Watch(minimizers.Callback):
        """Forks when the CPU time has grown by a factor."""

        def __call__(self, intermediate_result):
            super().__call__(intermediate_result)
            if self.iter == 1:  # the start, which scipy does not know
                return
            state["iteration"] += 1
            spent = time.process_time()
            if state["copy_of"] is not None or spent < state["due"]:
                return
            state["due"] = options.growth * spent
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                return
            state["copy_of"] = spent
            raise StopIteration  # scipy returns, as after maxiter iterations

    minimizers.Callback = Watch
    os.chdir(options.theirs)
    train_from_setting("motep.toml", comm=world)
    spent = (state["copy_of"] or 0.0) + time.process_time()  # that of a copy begins at zero
    name = Path(options.theirs, f"{state['iteration']}.mtp")
    os.rename("final.mtp", name)
    peak = usage()["peak_MB"]
    print(json.dumps({"iteration": state["iteration"], "cpu_s": spent, "peak_MB": peak, "file": str(name)}), flush=True)
    os._exit(0)


def write_template(fitted, path):
    """An untrained potential: the tables without coefficients, which motep then draws."""
    lines, inside = [], False
    for line in fitted.read_text().splitlines():
        inside = line.strip() == "radial_coeffs" or (inside and not line.startswith("alpha"))
        if not inside and not line.startswith(("species_coeffs", "moment_coeffs")):
            lines.append(line)
    path.write_text("\n".join(lines) + "\n")


def settings(options, sigmas, species):
    """motep's setting file."""
    weights = WEIGHTS_OF_MOTEP if options.weights == "motep" else (1.0, (sigmas[0] / sigmas[1]) ** 2)
    lines = [
        'configurations.training = "train.cfg"',
        'potentials = { initial = "untrained.mtp", final = "final.mtp" }',
        f"common = {{ engine = 'cext', seed = {options.seed}, species = {species} }}",
        # its loss per frame is ours by the number of atoms, a factor that is the same for frames of one size
        f"loss = {{ energy_weight = {weights[0]!r}, forces_weight = {weights[1]!r}, stress_weight = 0.0 }}",
    ]
    return "\n".join([*lines, f"steps = {toml(RECIPES[options.recipe])}"]) + "\n"


def toml(value):
    """Inline TOML of plain data."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def show_memory(options):
    """Peak memory of fits to more and more frames."""
    first = None
    with tempfile.TemporaryDirectory() as folder:
        for copies in (1, 2, 4, 16):
            found = run_ours(folder, "--copies", str(copies))
            first = first or found["peak_MB"]
            ratio = found["peak_MB"] / first
            cpu, peak = found["cpu_s"], found["peak_MB"]
            print(f"{found['frames']:6d} frames: {cpu:8.1f} CPU s, {peak:7.1f} MB, x {ratio:.3f}", flush=True)


def show(name, facts, ours):
    cells = [f"{facts['cpu_s']:9.1f}", f"{facts['cpu_s'] / ours['cpu_s']:7.1f}", f"{facts['peak_MB']:7.0f}"]
    print(f"{name:16}" + "".join(cells) + "".join(f"{value:14.2f}" for value in facts["errors"].values()), flush=True)


def show_ratios(ours, rows):
    """When were motep's forces as good as ours?"""
    for slack in SLACKS:
        row = next((row for row in rows if reached(row, ours, slack)), None)
        name = "forces as ours" if slack == 1.0 else f"forces within {100 * (slack - 1):.0f} % of ours"
        if row is None:
            print(f"motep, {name}: not reached after {rows[-1]['cpu_s'] / ours['cpu_s']:.1f} x our CPU time")
            continue
        cpu, memory = (row[key] / ours[key] for key in ("cpu_s", "peak_MB"))
        print(f"motep, {name}: CPU x {cpu:.1f}, memory x {memory:.1f}")


def reached(row, ours, slack):
    return all(row["errors"][key] <= slack * ours["errors"][key] for key in ("train F rmse", "test F mae"))


def frames_of(options):
    return labelled(options.train)[:: options.every]


def labelled(path):
    """Frames with energies and forces alone: motep knows no offset of stress labels, which ours finds."""
    frames = read(path, ":")
    for atoms in frames:
        atoms.calc.results = {key: atoms.calc.results[key] for key in ("energy", "forces")}
    return frames


def moved(atoms, seed):
    """The frame with its atoms moved by 0.001 Å, labels as they are."""
    copy = atoms.copy()
    copy.positions += 0.001 * np.random.default_rng(seed).normal(size=copy.positions.shape)
    copy.calc = SinglePointCalculator(copy, **atoms.calc.results)
    return copy


def usage():
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_s": spent.ru_utime + spent.ru_stime, "peak_MB": spent.ru_maxrss / 1e3}


def one_thread():
    return dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--level", type=int, default=16)
    parser.add_argument("--cutoff", type=float, default=5.0)
    parser.add_argument("--radial-basis-size", type=int, default=10)
    parser.add_argument("--every", type=int, default=1, help="n-th training frame only")
    parser.add_argument("--motep", default="motep")
    parser.add_argument("--recipe", choices=RECIPES, default="bfgs")
    parser.add_argument("--weights", choices=["ours", "motep"], default="ours", help="of motep's loss")
    parser.add_argument("--seed", type=int, default=1, help="of motep's start")
    parser.add_argument("--budget", type=float, default=100.0, help="of motep, in our CPU times")
    parser.add_argument("--growth", type=float, default=1.2, help="of motep's CPU time between two lines")
    parser.add_argument("--memory", action="store_true")
    for name in ("--ours", "--theirs"):  # folders
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--copies", type=int, default=1, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
