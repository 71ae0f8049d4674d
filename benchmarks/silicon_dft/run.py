"""Label frames one after the other; what is on disk already is not done again.

python run.py WORK --stage 1        volumes, strains, rattles, phases, packings, vacancies
python run.py WORK --stage 2        snapshots of molecular dynamics with a first model (see dynamics.py)
"""

import argparse
import sys
import time

import structures
from label import label


def frames_of(stage, work):
    """Unlabelled frames of a stage, in the order in which they are labelled."""
    if stage == 1:
        return structures.stage_1()
    import dynamics

    return dynamics.stage_2(work)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", help="folder of the labels")
    parser.add_argument("--stage", type=int, choices=(1, 2), default=1)
    parser.add_argument("--origins", nargs="+", default=[""], help="only origins that begin with one of these")
    options = parser.parse_args()
    frames = frames_of(options.stage, options.work)
    frames = [a for a in frames if a.info["origin"].startswith(tuple(options.origins))]
    start = time.perf_counter()
    for number, atoms in enumerate(frames, 1):
        try:
            record = label(atoms, options.work)
        except RuntimeError as error:
            print(f"{number:4d}/{len(frames)} {atoms.info['origin']}: {error}", file=sys.stderr, flush=True)
            continue
        print(
            f"{number:4d}/{len(frames)} {atoms.info['origin']:32s} {len(atoms):3d} atoms"
            f" {record['energy'] / len(atoms):12.5f} eV/atom {record['n_iterations']:3d} iterations"
            f" {record['seconds']:7.1f} s  {time.perf_counter() - start:7.0f} s in all",
            flush=True,
        )


if __name__ == "__main__":
    main()
