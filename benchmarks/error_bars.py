"""Do the error bars hold, do they tell good predictions from bad ones, and does novelty see what is new?

Three answers on the test frames of each pair of files:

- coverage of the 68 and 95 % conformal intervals with two standard errors, the binomial one and that of the mean over
  frames (numbers of one frame err together);
- rank correlation of the predicted with the true force error of each atom, for the posterior and, on the same frames,
  for the scatter of a committee of models fitted to random halves of the training frames;
- AUROC of the largest novelty and of the largest force sd of a frame, when all frames of a config_type (or the hottest
  ones, where the descriptions name temperatures) are left out of the fit: positives are those frames, negatives the
  test frames of the other kinds.

    python benchmarks/error_bars.py Si_train.xyz,Si_test.xyz Mo_train.xyz,Mo_test.xyz --n-sparse 600 --every 2
"""

import argparse
import re
import time

import numpy as np
from ase.units import GPa
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

import kernelff as kff
from kernelff.error_bars.calibration import LEVELS
from kernelff.io import read_frames
from kernelff.report.coverage import errors_and_sds

LABEL = {"energy": "energy", "forces": "forces", "stress": "virial"}  # kind of prediction -> of label


def main():
    options = parse()
    for pair in options.files:
        start = time.process_time()
        train, test = (read_frames(path) for path in pair.split(","))
        train = train[:: options.every]
        print(f"{pair}: {len(train)} training, {len(test)} test frames, {options.n_sparse} sparse points", flush=True)
        model = new_model(options).fit(train)
        result = model.evaluate(test, uncertainty=True)
        print_coverage(model, test, result)
        print_ranks(options, train, test, result)
        print_novelty(options, train, test)
        print(f"   {time.process_time() - start:.0f} CPU s", flush=True)


def new_model(options, **settings):
    return kff.SparseGPR(n_sparse=options.n_sparse, n_jobs=options.jobs, **settings)


def print_coverage(model, test, result):
    """Intervals of the labels: stresses with the constant offset that the model has learnt about them."""
    result.stress[:, :3] += model.stress_offset_ * GPa
    for kind, label in LABEL.items():
        calibration = getattr(model.calibration_, label)
        errors, sds = errors_and_sds(result, kind)
        cells = []
        for level in LEVELS:
            inside = np.abs(errors) <= calibration.quantiles[str(level)] * sds
            share, binomial = inside.mean(), np.sqrt(level * (1 - level) / len(inside))
            frames = [part.mean() for part in np.array_split(inside, len(test))]  # frames are about equally large
            scatter = np.std(frames, ddof=1) / np.sqrt(len(frames))
            cells.append(f"{100 * level:.0f} %: {100 * share:5.1f} (se {100 * binomial:.1f}, {100 * scatter:.1f})")
        print(f"   coverage {kind:7} {len(errors):6} labels   {'   '.join(cells)}", flush=True)


def print_ranks(options, train, test, result):
    """Spearman of predicted with true force error, atom by atom."""
    true = norms([f - ref for f, ref in zip(result.forces, result.forces_ref, strict=True)])
    ours = spearmanr(norms(result.forces_std), true).statistic
    forces = []
    for seed in range(options.committee):
        chosen = np.random.default_rng(seed).permutation(len(train))[: (len(train) + 1) // 2]
        member = new_model(options, random_state=seed, calibrate=False).fit([train[k] for k in sorted(chosen)])
        forces.append(np.concatenate([member.potential_.compute(atoms).forces for atoms in test]))
    line = f"   rank correlation of force error per atom: posterior {ours:.3f}"
    if forces:
        scatter = np.linalg.norm(np.std(forces, axis=0, ddof=1), axis=1)
        line += f", committee of {len(forces)} {spearmanr(scatter, true).statistic:.3f}"
    print(line, flush=True)


def print_novelty(options, train, test):
    """How well frames of a kind that was left out stand out."""
    for name, held_out in kinds(train + test).items():
        rest = [atoms for atoms in train if not held_out(atoms)]
        new = [atoms for atoms in train + test if held_out(atoms)]
        usual = [atoms for atoms in test if not held_out(atoms)]
        if len(rest) < 10 or not new or not usual:
            continue
        result = new_model(options).fit(rest).evaluate(new + usual, uncertainty=True)
        is_new = np.arange(len(new) + len(usual)) < len(new)
        novelty = roc_auc_score(is_new, [values.max() for values in result.novelty])
        sd = roc_auc_score(is_new, [np.linalg.norm(values, axis=1).max() for values in result.forces_std])
        counts = f"{len(new):3} against {len(usual):3}"
        print(f"   {name:10} left out: {counts}, AUROC novelty {novelty:.3f}, force sd {sd:.3f}", flush=True)


def kinds(frames):
    """Name -> what tells its frames: every config_type, and the highest temperature."""
    names = sorted({str(atoms.info.get("config_type")) for atoms in frames})
    found = {name: lambda atoms, name=name: str(atoms.info.get("config_type")) == name for name in names}
    hottest = max(map(temperature, frames))
    if hottest > min(map(temperature, frames)) and hottest > 0:
        found[f"{hottest:.0f} K"] = lambda atoms: temperature(atoms) == hottest
    return found


def temperature(atoms):
    """K, as the frame's description says; 0 where it does not."""
    said = re.search(r"at ([\d.]+) K", str(atoms.info.get("description")))
    return float(said.group(1)) if said else 0.0


def norms(vectors):
    return np.linalg.norm(np.concatenate(vectors), axis=1)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="TRAIN,TEST")
    parser.add_argument("--n-sparse", type=int, default=1000)
    parser.add_argument("--every", type=int, default=1, help="use every n-th training frame")
    parser.add_argument("--committee", type=int, default=8, help="models in the committee; 0 for none")
    parser.add_argument("--jobs", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
