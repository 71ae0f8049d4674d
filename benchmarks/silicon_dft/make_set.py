"""Write the bundled files from the labels on disk: ``silicon_{train,validation,test}.xyz`` and the settings.

    python make_set.py WORK FOLDER [--partial]

Nothing is computed here.  With ``--partial`` frames without a label are left out; otherwise they are an error.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import dynamics
import numpy as np
import reference
import structures
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from label import find, rounded
from settings import describe

SPLITS = ("train", "validation", "test")
LARGEST_FORCE = 20.0  # eV/Å; frames beyond it are of no use to a force field of silicon


def all_frames(work):
    """Frames of both stages and of the relaxed vacancy, as far as they exist on disk."""
    frames = structures.stage_1()
    if (Path(work) / "md").exists():
        frames += dynamics.stage_2(work, only_stored=True)
    if (Path(work) / "reference.done").exists():
        frames += reference.vacancy_path(work)
    return frames


def k_name(k):
    """Short name of the k sampling for ``info``."""
    if "points" in k:
        return f"folded-4 ({len(k['points'])} points)"
    grid, shift = "x".join(map(str, k["grid"])), "".join(map(str, k["shift"]))
    return f"{grid} shift {shift}" + ("" if k["nosym"] else " symmetrised")


def labelled(atoms, record):
    """The frame as it is written: results in a SinglePointCalculator, names in ``info``."""
    new = rounded(atoms)
    kept = ("config_type", "origin", "split", "temperature")
    new.info = {name: atoms.info[name] for name in kept if name in atoms.info}
    new.info["k_points"] = k_name(atoms.info["k"])
    new.calc = SinglePointCalculator(
        new, energy=record["energy"], forces=np.array(record["forces"]), stress=np.array(record["stress"])
    )
    return new


def collect(work, partial=False):
    """Labelled frames; duplicates and frames with enormous forces are left out and counted."""
    frames, left_out, seen = [], Counter(), set()
    for atoms in all_frames(work):
        record = find(atoms, work)
        if record is None:
            if not partial:
                raise RuntimeError(f"no label for a frame of {atoms.info['origin']}: run run.py first")
            left_out["unlabelled"] += 1
        elif record["key"] in seen:
            left_out["duplicate"] += 1
        elif np.abs(record["forces"]).max() > LARGEST_FORCE:
            left_out[f"force above {LARGEST_FORCE:g} eV/Å"] += 1
        else:
            seen.add(record["key"])
            frames.append(labelled(atoms, record))
    return frames, left_out


def check_splits(frames):
    """No origin in two splits."""
    split_of = {}
    for atoms in frames:
        origin, split = atoms.info["origin"], atoms.info["split"]
        if split_of.setdefault(origin, split) != split:
            raise AssertionError(f"{origin} is in {split} and in {split_of[origin]}")


def check_reread(path, frames):
    """What is read back is what was written: positions to 1e-8, labels with their signs."""
    for old, new in zip(frames, read(path, index=":", format="extxyz"), strict=True):
        assert np.abs(old.positions - new.positions).max() < 1.1e-8
        assert abs(old.get_potential_energy() - new.get_potential_energy()) < 1e-7
        assert np.abs(old.get_forces() - new.get_forces()).max() < 1e-7
        assert np.abs(old.get_stress() - new.get_stress()).max() < 1e-9


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", help="folder of the labels")
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("--partial", action="store_true", help="leave out what has no label yet")
    options = parser.parse_args()
    frames, left_out = collect(options.work, options.partial)
    check_splits(frames)
    options.folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        chosen = [a for a in frames if a.info["split"] == split]
        path = options.folder / f"silicon_{split}.xyz"
        partial = path.with_suffix(".part")
        write(partial, chosen, format="extxyz")
        check_reread(partial, chosen)
        partial.rename(path)
        print(f"{path.name}: {len(chosen)} frames, {sum(map(len, chosen))} atoms")
    settings = describe() | {"left_out": dict(left_out)}
    (options.folder / "silicon_settings.json").write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
    table = Counter((a.info["config_type"], a.info["split"]) for a in frames)
    for name in sorted({name for name, _ in table}):
        print(f"{name:12s}" + "".join(f" {split} {table[name, split]:3d} " for split in SPLITS))
    print("left out:", dict(left_out))


if __name__ == "__main__":
    main()
