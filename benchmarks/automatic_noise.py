"""Does the automatic choice of noise and prior width find what a grid finds, however wrong its start is?

The frames are streamed once. From that pass the errors on held-out frames of any sigmas and delta cost one small system
per fold, so a whole grid over sigma_energy and sigma_virial in units of sigma_forces, and delta, is affordable; beside
it both automatic choices from the default sigmas, each too large or too small by ten in several combinations.

    python benchmarks/automatic_noise.py Si_train.xyz Mo_train.xyz --every 4 --n-sparse 300

Prints the held-out force and energy errors of each choice over the least ones anywhere on the grid (two different
points of it), and over those of the grid's point of best score.
"""

import argparse
import itertools
import time

import numpy as np

import kernelff as kff
from kernelff.io import labels, silicon_set
from kernelff.io.label_noise import label_noise
from kernelff.regression.crossvalidation import total_score
from kernelff.regression.hyperparameters import NO_NUISANCE, Hyperparameters, choose

STARTS = ((1, 1, 1), (10, 10, 10), (0.1, 0.1, 0.1), (10, 0.1, 10), (0.1, 10, 0.1), (0.1, 0.1, 10), (10, 10, 0.1))
WITHIN = (1.05, 1.2)  # of forces, energy
DEFAULTS = (0.0025, 0.05, 0.2)
ENERGY_RATIOS = (0.003, 0.007, 0.015, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0)
VIRIAL_RATIOS = (0.3, 1.0, 2.0, 4.0, 8.0, 16.0, 50.0)
PRIORS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # times delta = 2 eV, at sigma_forces 0.05


def main():
    options = parse()
    for path in options.files:
        frames = (silicon_set("train") if path == "bundled" else kff.io.read_frames(path))[:: options.every]
        report(path, frames, options)


def report(path, frames, options):
    start = time.process_time()
    found = kff.SparseGPR(n_sparse=options.n_sparse, hyperparameters="fixed", n_jobs=1).cross_validate(frames)
    validation = found.validation
    floors = label_noise(frames, [labels(atoms) for atoms in frames])
    errors = np.array([held_out(validation, point) for point in grid(validation)])
    least, best = errors.min(axis=0), errors[np.argmin(errors[:, 2])]
    print(f"{path}: {len(frames)} frames, grid of {len(errors)}: {time.process_time() - start:.0f} CPU s")
    print(f"   grid, least of each: forces {least[0]:.4f} eV/Å, energy {1e3 * least[1]:.2f} meV; score {least[2]:.3f}")
    nearest = errors[:, :2] / least[:2]
    nearest = nearest[np.argmin((nearest / WITHIN).max(axis=1))]
    print(f"   nearest to {WITHIN} times both on the grid: forces {nearest[0]:.3f}, energy {nearest[1]:.3f}")
    print(f"   {'choice':9} {'start, times':16} over least of each    over best score   score - best    s")
    for method, factors in itertools.product(("cv", "evidence"), STARTS):
        begin = time.process_time()
        chosen = choose(method, validation, poor_start(validation, factors), set(), floors, len(frames))
        seconds = time.process_time() - begin
        mine = held_out(validation, chosen)
        forces, energy = mine[:2] / least[:2]
        line = f"{forces:8.3f} {energy:8.3f}   {mine[0] / best[0]:8.3f} {mine[1] / best[1]:8.3f}"
        failed = "" if (mine[:2] <= best[:2] * WITHIN).all() else "  WORSE"
        print(f"   {method:9} {factors!s:16} {line} {mine[2] - best[2]:10.4f} {seconds:8.1f}{failed}", flush=True)


def grid(validation):
    """Hyperparameters with every combination of ratios, with and without the stress offset."""
    for energy, virial, prior, nuisance in itertools.product(ENERGY_RATIOS, VIRIAL_RATIOS, PRIORS, (1.0, NO_NUISANCE)):
        sigmas = {"energy": 0.05 * energy, "forces": 0.05, "virial": 0.05 * virial}
        known = {name: sigmas[name] for name in validation.total}
        if virial == VIRIAL_RATIOS[0] or "virial" in known:
            yield Hyperparameters(known, (prior,) * validation.columns.n_owners, nuisance)


def poor_start(validation, factors):
    """The default sigmas times three factors."""
    sigmas = dict(zip(("energy", "forces", "virial"), np.multiply(DEFAULTS, factors), strict=True))
    return Hyperparameters({name: sigmas[name] for name in validation.total}, (1.0,) * validation.columns.n_owners)


def held_out(validation, parameters):
    """Rms errors of forces and energies (eV per sqrt(atom), as their noise) on all folds, and the score."""
    deviations = validation.deviations(parameters)
    forces, energy = (np.divide(*deviations[kind].sum(axis=0)) for kind in ("forces", "energy"))
    return np.array([forces, energy, total_score(deviations)])


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="training frames; 'bundled' for the set that comes with kernelff")
    parser.add_argument("--n-sparse", type=int, default=300)
    parser.add_argument("--every", type=int, default=1, help="use every n-th frame")
    return parser.parse_args()


if __name__ == "__main__":
    main()
