"""Every setting of the DFT labels in one place.

One pseudopotential, one cutoff, one smearing and one k sampling serve all frames, so that energies of different
cells can be compared.  ``describe`` is what is written beside the labels.
"""

import hashlib
import os
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

PW = os.environ.get("PW_X", "pw.x")
PSEUDO_DIR = Path(os.environ.get("ESPRESSO_PSEUDO", "/usr/share/espresso/pseudo"))


@dataclass(frozen=True)
class Settings:
    """Settings of one pw.x label; the defaults are those of the set.

    Attributes
    ----------
    pseudopotential : str
        File name in the folder named by the environment variable ``ESPRESSO_PSEUDO``.
    ecutwfc, ecutrho : float
        Cutoffs of the wave functions and the density, Ry.
    smearing, degauss : str, float
        Kind and width (Ry) of the smearing of the occupations.  Methfessel-Paxton at 0.03 Ry changes diamond by
        0.6 meV/atom and 0.01 GPa and keeps liquid-like frames within reach of the k sampling below.
    conv_thr_per_atom : float
        Estimated error of the energy at which the SCF stops, Ry per atom.
    mixing_beta : float
        Mixing of the density.
    nspin, tot_magnetization : int, float
        2 and the Bohr magnetons of the cell for the isolated atom, 1 and unused elsewhere.
    """

    pseudopotential: str = "Si.pbe-rrkj.UPF"
    ecutwfc: float = 26.0
    ecutrho: float = 104.0
    smearing: str = "mp"
    degauss: float = 0.03
    conv_thr_per_atom: float = 5e-9
    mixing_beta: float = 0.7
    nspin: int = 1
    tot_magnetization: float = 0.0


def k_grid(cell, spacing):
    """Divisions of the reciprocal vectors so that no step is larger than `spacing` (1/Å, 2 pi included)."""
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(np.asarray(cell)).T, axis=1)
    return tuple(int(n) for n in np.maximum(1, np.ceil(lengths / spacing - 1e-6)))


def _in_cell(points):
    """Fractional coordinates in [0, 1), rounded so that equal points compare equal."""
    return np.round(points % 1.0, 9) % 1.0


def folded_kpoints(cell_in_a, n=4):
    """k points of a supercell of diamond that sample the crystal always alike.

    The points k = 2 pi/a (m + 1/2)/n (m integers) of the cubic cell are folded into the reciprocal cell of any
    cell whose vectors are lattice vectors of fcc.  Undeformed diamond then has the same energy per atom in all
    these cells.  In the cubic cell with n = 4 the step is 0.287 1/Å.

    Parameters
    ----------
    cell_in_a : array_like of shape (3, 3)
        Undeformed cell vectors as rows, in units of the cubic lattice constant.
    n : int
        Divisions of the cubic cell.

    Returns
    -------
    points : ndarray of shape (n_points, 4)
        Fractional coordinates and weight, -k left out (time reversal).
    """
    m = np.stack(np.meshgrid(*[np.arange(2 * n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    points = np.unique(_in_cell((m + 0.5) / n @ np.asarray(cell_in_a).T), axis=0)
    weights = {}
    for point in points:
        minus = tuple(_in_cell(-point))
        name = minus if minus in weights else tuple(point)
        weights[name] = weights.get(name, 0) + 1
    return np.array([[*point, weight] for point, weight in weights.items()])


def pseudopotential_record(name):
    """Name, header lines and SHA-256 of a pseudopotential file."""
    text = (PSEUDO_DIR / name).read_bytes()
    lines = text[:4000].decode("latin-1").splitlines()
    wanted = ("Generated", "Author", "Generation date", "Pseudopotential type", "Functional")
    header = [line.strip() for line in lines if line.strip().startswith(wanted)]
    return {"file": name, "header": header, "sha256": hashlib.sha256(text).hexdigest()}


def pw_version():
    """Version of pw.x, as it prints it itself."""
    with tempfile.TemporaryDirectory() as scratch:  # pw.x leaves a CRASH file where it is asked for its version
        command = [PW, "-version"]
        out = subprocess.run(command, input="", capture_output=True, text=True, cwd=scratch, check=False).stdout
    lines = [line for line in out.splitlines() if "Program PWSCF" in line]
    return lines[0].split()[2] if lines else "unknown"


def describe(settings=None):
    """Everything that a reader needs to make the labels again, as plain data."""
    settings = settings or Settings()
    return {
        "code": f"Quantum ESPRESSO pw.x {pw_version()}",
        "functional": "PBE",
        "settings": asdict(settings),
        "pseudopotential": pseudopotential_record(settings.pseudopotential),
        "energy": "smeared free energy F = E - TS ('!    total energy'); forces and stress are its derivatives",
        "k_points": {
            "diamond and its cells": "2 pi/a (m + 1/2)/4 of the cubic cell, folded into each cell, no symmetry",
            "other phases": "shifted grids, step at most 0.15 to 0.25 1/Å (0.28 rattled), see structures.py",
        },
    }
