"""What does a fit cost beside gap_fit: CPU time, peak memory, errors?

Both programs fit the same file with the same descriptor, number of sparse points, sigmas and e0
(the published settings of the Zuo benchmark), energies and forces, one thread, one after the other:

    python benchmarks/fit_cost.py Si_train.xyz Si_test.xyz --cutoff 5.4 --n-sparse 1000 --e0 -0.79
    python benchmarks/fit_cost.py Mo_train.xyz Mo_test.xyz --cutoff 5.2 --n-sparse 2000 --e0 -4.04

gap_fit comes with ``pip install quippy-ase``, here or in another environment (--gap-fit PATH); without
it only our figures are printed. ``--twice`` also fits every frame twice, to see that memory does not grow.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

GAP_FIT = (
    "energy_parameter_name=energy force_parameter_name=forces stress_parameter_name=none "
    "virial_parameter_name=none default_sigma={{0.01 0.05 0.01 1}} e0={e0} do_copy_at_file=F "
    "sparse_separate_file=T sparse_jitter=1e-8 at_file={train} gp_file={model} gap={{soap cutoff={cutoff} "
    "n_max=8 l_max=8 atom_sigma=0.5 zeta=4 delta=1.0 n_sparse={n_sparse} sparse_method=cur_points "
    "covariance_type=dot_product cutoff_transition_width=0.5 add_species=T}}"
)


def main():
    options = parse()
    if options.worker:
        return worker(options)
    with tempfile.TemporaryDirectory() as folder:
        train = Path(folder, "train.xyz")
        write(train, read(options.train, ":"), format="extxyz")
        ours = measured([sys.executable, __file__, *sys.argv[1:], "--worker"])
        show("kernelff", ours)
        if options.twice:
            twice = measured([sys.executable, __file__, *sys.argv[1:], "--worker", "--repeat"])
            show("kernelff, frames twice", twice)
            print(f"memory, twice the frames: x {twice['peak_MB'] / ours['peak_MB']:.3f}")
        gap_fit = shutil.which(options.gap_fit)
        if gap_fit is None:
            print("gap_fit: not found (pip install quippy-ase)")
            return None
        arguments = GAP_FIT.format(
            train=train,
            model=Path(folder, "gap.xml"),
            cutoff=options.cutoff,
            n_sparse=options.n_sparse,
            e0=options.e0,
        )
        gap = measured([gap_fit, *split(arguments)])
        show("gap_fit", gap)
        cpu, memory = (gap[key] / ours[key] for key in ("cpu_s", "peak_MB"))
        print(f"gap_fit / kernelff: CPU x {cpu:.1f}, memory x {memory:.1f}")
    return None


def worker(options):
    """One fit of ours in a process of its own; prints a JSON line."""
    import kernelff as kff

    train = without_stress(read(options.train, ":")) * (2 if options.repeat else 1)
    if options.repeat:  # exact copies would be merged as duplicates
        half = len(train) // 2
        train[half:] = [shifted(atoms) for atoms in train[half:]]
    soap = kff.SOAP(
        options.cutoff, n_max=8, l_max=8, atom_sigma=0.5, cutoff_width=0.5, radial_basis="quip", scaling_exponent=0
    )
    e0 = {int(train[0].numbers[0]): options.e0}
    noise = {"sigma_energy": 0.01, "sigma_forces": 0.05, "hyperparameters": "fixed"}
    model = kff.SparseGPR(soap, n_sparse=options.n_sparse, **noise, e0=e0, n_jobs=1)
    model.fit(train)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    facts = {"cpu_s": usage.ru_utime + usage.ru_stime, "peak_MB": usage.ru_maxrss / 1e3, **model.fit_time_}
    errors = model.evaluate(without_stress(read(options.test, ":"))).errors(by=None)
    facts |= {f"test_{row['kind']}_{row['unit']}": row["mae"] for row in errors}
    print(json.dumps(facts))


def shifted(atoms):
    """The same crystal, its atoms moved along and the last one first."""
    copy = atoms[[len(atoms) - 1, *range(len(atoms) - 1)]]
    copy.positions += 0.1
    labels = {"energy": atoms.calc.results["energy"], "forces": np.roll(atoms.calc.results["forces"], 1, axis=0)}
    copy.calc = SinglePointCalculator(copy, **labels)
    return copy


def without_stress(frames):
    for atoms in frames:
        atoms.calc.results.pop("stress", None)
    return frames


def measured(command):
    """Run a command on one thread; its CPU seconds, peak MB and what its last line says."""
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    facts = {"cpu_s": cpu, "peak_MB": after.ru_maxrss / 1e3}
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
    return json.loads(last) if last.startswith("{") else facts


def split(arguments):
    """Split at blanks outside braces."""
    words, depth = [""], 0
    for character in arguments:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == " " and depth == 0:
            words.append("")
        else:
            words[-1] += character
    return [word for word in words if word]


def show(name, facts):
    print(f"{name:24s}" + "  ".join(f"{key} {value:.4g}" for key, value in facts.items()), flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--cutoff", type=float, default=5.4)
    parser.add_argument("--n-sparse", type=int, default=1000)
    parser.add_argument("--e0", type=float, default=-0.79)
    parser.add_argument("--gap-fit", default="gap_fit")
    parser.add_argument("--twice", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--repeat", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
