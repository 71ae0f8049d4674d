"""What does mixing SOAP's channels cost in accuracy, and what does it save?

Fits the full descriptor and compressed ones to the same frames in one run, on one core, and prints errors and CPU
times beside their ratio to the full descriptor's.

    python benchmarks/species_compression.py NbMo_train.xyz NbMo_test.xyz --every 5 --n-sparse 500 \\
        --set "n_channels=6" --set "n_channels=8" --set "n_channels=8 mixing='random' mixing_seed=1"

Columns: features per environment, share of the coefficients' variance that the mixed ones determine, CPU seconds of
the fit, CPU µs per atom from a neighbour list to local energies and pair gradients (best of three), mean absolute
errors (energy meV/atom, forces meV/Å), RMSE of the forces. --no-full leaves the full descriptor out where it would
take too long.
"""

import argparse
import ast
import time
import warnings

from ase.io import read

import kernelff as kff


def main():
    options = parse()
    train, test = read(options.train, ":")[:: options.every], read(options.test, ":")[:: options.every_test]
    kept = {name: ast.literal_eval(value) for name, value in (pair.split("=") for pair in options.soap.split())}
    print(f"{len(train)} and {len(test)} frames, {options.n_sparse} sparse environments")
    print(f"{'':44s}{'size':>6s}{'kept':>9s}{'fit':>8s}{'eval':>8s}{'E':>8s}{'F':>8s}{'F rmse':>8s}")
    full = None
    for text in [*([] if options.no_full else [""]), *(options.set or ["n_channels=6", "n_channels=8"])]:
        settings = {name: ast.literal_eval(value) for name, value in (pair.split("=") for pair in text.split())}
        row = measure(kff.SOAP(**kept | settings), train, test, options)
        ratios = "" if full is None else "".join(f"{a / b:8.2f}" for a, b in zip(row[2:], full[2:], strict=True))
        full = full or row
        print(f"{text or 'full':44s}{row[0]:6d}{row[1]:9.5f}" + "".join(f"{x:8.2f}" for x in row[2:]), flush=True)
        print(f"{'':59s}{ratios}" if ratios else "", flush=True)


def measure(soap, train, test, options):
    """Features, variance kept, CPU s of the fit, CPU µs per atom, errors."""
    model = kff.SparseGPR(soap, n_sparse=options.n_sparse, n_jobs=1, calibrate=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        start = time.process_time()
        model.fit(train)
        fitted = time.process_time() - start
        result = model.evaluate(test)
    errors = {row["kind"]: row for row in result.errors(by=None)}
    descriptor = model.potential_.terms[0].descriptor
    explained = 1.0 if descriptor.mixing is None else descriptor.mixing.explained
    energy, forces = errors["energy"], errors["forces"]
    per_atom = min(cost_per_atom(model.potential_, test) for _ in range(3))
    return descriptor.n_features, explained, fitted, per_atom, energy["mae"], forces["mae"], forces["rmse"]


def cost_per_atom(potential, frames):
    """CPU µs per atom from neighbour lists to local energies and pair gradients."""
    term = potential.terms[0]
    lists = [kff.NeighborList.from_atoms(atoms, potential.cutoff) for atoms in frames]
    start = time.process_time()
    for neighbors in lists:
        term.evaluate(neighbors, potential.weights)
    return 1e6 * (time.process_time() - start) / sum(neighbors.n_atoms for neighbors in lists)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--set", action="append", help="SOAP settings of one fit, e.g. n_channels=8")
    parser.add_argument("--soap", default="", help="SOAP settings of all fits, e.g. 'cutoff=5 n_max=8'")
    parser.add_argument("--n-sparse", type=int, default=500)
    parser.add_argument("--every", type=int, default=1, help="use every n-th training frame")
    parser.add_argument("--every-test", type=int, default=1)
    parser.add_argument("--no-full", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
