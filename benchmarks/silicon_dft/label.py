"""Label one frame with pw.x: energy, forces and stress, kept on disk under a hash of frame and settings.

The energy is the smeared free energy F = E - TS, which pw.x prints as ``!    total energy``: the forces and
the stress are its derivatives.  pw.x prints minus the derivative by strain over the volume (positive when
compressed) as ``total stress``; ASE's sign, used here, is the opposite.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from ase.io.espresso import read_espresso_out, write_espresso_in
from settings import PSEUDO_DIR, PW, Settings

DIGITS = 8  # positions are labelled as extxyz will write them


def rounded(atoms):
    """A copy with positions and cell rounded to the digits that an extxyz file keeps."""
    atoms = atoms.copy()
    cell = np.round(atoms.cell.array, DIGITS)
    atoms.set_cell(cell)
    atoms.set_positions(np.round(atoms.positions, DIGITS))
    return atoms


def key_of(atoms, k, settings):
    """Hash of the structure, the k points and the settings."""
    record = {
        "numbers": atoms.numbers.tolist(),
        "cell": atoms.cell.array.tolist(),
        "positions": atoms.positions.tolist(),
        "k": k,
        "settings": asdict(settings),
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:20]


def pw_input(atoms, settings, nosym, scratch):
    """Namelists of a single-point run."""
    system = {
        "ecutwfc": settings.ecutwfc,
        "ecutrho": settings.ecutrho,
        "occupations": "smearing",
        "smearing": settings.smearing,
        "degauss": settings.degauss,
        "nosym": nosym,
    }
    if settings.nspin == 2:
        system |= {"nspin": 2, "tot_magnetization": settings.tot_magnetization}
    return {
        "control": {
            "calculation": "scf",
            "outdir": str(scratch),
            "pseudo_dir": str(PSEUDO_DIR),
            "tprnfor": True,
            "tstress": True,
            "disk_io": "nowf",
        },
        "system": system,
        "electrons": {
            "diagonalization": "david",
            "conv_thr": settings.conv_thr_per_atom * len(atoms),
            "mixing_beta": settings.mixing_beta,
            "electron_maxstep": 100,
        },
    }


def run_pw(atoms, k, settings, log):
    """Run pw.x once; return the frame it printed, with results.  The output is kept in `log`."""
    with tempfile.TemporaryDirectory(prefix="pw-") as scratch:
        source = Path(scratch) / "pw.in"
        with source.open("w") as fd:
            write_espresso_in(
                fd,
                atoms,
                input_data=pw_input(atoms, settings, k.get("nosym", True), scratch),
                pseudopotentials={"Si": settings.pseudopotential},
                kpts=np.array(k["points"]) if "points" in k else tuple(k["grid"]),
                koffset=tuple(k.get("shift", (0, 0, 0))),
            )
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with log.open("w") as out:
            done = subprocess.run(
                [PW, "-in", str(source)], stdout=out, stderr=subprocess.STDOUT, cwd=scratch, env=environment
            )
    text = log.read_text()
    if done.returncode or "JOB DONE" not in text or "convergence has been achieved" not in text:
        raise RuntimeError(f"pw.x did not converge or stopped: see the end of {log}")
    with log.open() as fd:
        return next(read_espresso_out(fd, slice(-1, None)))


def find(atoms, work, k=None, settings=None):
    """Label of a frame if it is on disk, else None; arguments as for ``label``."""
    k = json.loads(json.dumps(k or atoms.info["k"]))
    stored = Path(work) / f"{key_of(rounded(atoms), k, settings or Settings())}.json"
    return json.loads(stored.read_text()) if stored.exists() else None


def label(atoms, work, k=None, settings=None):
    """Energy (eV), forces (eV/Å) and stress (eV/Å^3, ASE sign) of a frame; read back when already done.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic silicon frame; its positions and cell are rounded to eight decimals first.
    work : path
        Folder of the labels: ``<key>.json`` and ``<key>.out``.
    k : dict, optional
        ``points``: fractional k points and weights (n, 4), no symmetry used; or ``grid`` and ``shift`` (1 moves
        the grid by half a step) and ``nosym`` (True for frames without symmetry).  ``nosym`` matters: pw.x
        otherwise unites a grid with its images under the rotations of the *lattice*, up to four times the points.
        By default ``atoms.info["k"]``.

    Returns
    -------
    dict
        ``energy``, ``forces``, ``stress`` (6,), ``seconds``, ``n_iterations``, ``key``.

    Raises
    ------
    RuntimeError
        If pw.x stops or does not converge; nothing is stored then.
    """
    settings = settings or Settings()
    k = json.loads(json.dumps(k or atoms.info["k"]))
    atoms = rounded(atoms)
    work = Path(work)
    work.mkdir(parents=True, exist_ok=True)
    known = find(atoms, work, k, settings)
    if known is not None:
        return known
    key = key_of(atoms, k, settings)
    stored = work / f"{key}.json"
    log = work / f"{key}.out"
    start = time.perf_counter()
    result = run_pw(atoms, k, settings, log)
    if np.abs(result.cell.array - atoms.cell.array).max() > 1e-4:
        raise RuntimeError(f"pw.x printed another cell than it was given: {log}")
    record = {
        "key": key,
        "energy": float(result.calc.results["free_energy"]),
        "forces": result.calc.results["forces"].tolist(),
        "stress": result.calc.results["stress"].tolist(),
        "seconds": round(time.perf_counter() - start, 2),
        "n_iterations": log.read_text().count("iteration #"),
    }
    partial = stored.with_suffix(".part")
    partial.write_text(json.dumps(record))
    shutil.move(partial, stored)  # complete or absent, whatever happens
    return record
