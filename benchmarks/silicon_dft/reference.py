"""DFT values of silicon in the settings of the set: a0, E0, B, C11, C12, C44, vacancy, isolated atom.

    python reference.py WORK OUTPUT.json

The property code of a model computes the same cells in the same way, so that only the model differs.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import structures
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.eos import EquationOfState
from ase.optimize import BFGS
from label import label
from settings import Settings, describe

ATOM_SETTINGS = Settings(nspin=2, tot_magnetization=2.0, smearing="gauss", degauss=0.002)
EOS_RANGE = (0.92, 1.09)  # volumes, relative to A0, that enter the fit of the equation of state


class PWLabels(Calculator):
    """ASE calculator over ``label``, with fixed k points; every evaluation is kept on disk."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, work, k):
        super().__init__()
        self.work, self.k = work, k

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Label the frame or read its label."""
        super().calculate(atoms, properties, system_changes)
        record = label(self.atoms, self.work, self.k)
        self.results = {name: np.array(record[name]) for name in ("forces", "stress")}
        self.results["energy"] = record["energy"]


def equation_of_state(work):
    """a0 (Å), E0 (eV/atom), B (GPa) of a Birch-Murnaghan fit of energies, and the worst residual (eV/atom)."""
    frames = [a for a in structures.volume_series() if EOS_RANGE[0] <= a.get_volume() / 2 / 20.4587 <= EOS_RANGE[1]]
    volumes = np.array([a.get_volume() for a in frames])
    energies = np.array([label(a, work)["energy"] for a in frames])
    eos = EquationOfState(volumes, energies, eos="birchmurnaghan")
    v0, e0, bulk_modulus = eos.fit()
    residual = np.abs(eos.func(volumes, *eos.eos_parameters) - energies).max() / 2
    return (4 * v0) ** (1 / 3), e0 / 2, bulk_modulus / units.GPa, residual


def elastic_constants(work, a0, step=0.005):
    """C11, C12, C44 and unrelaxed C44 in GPa from stresses at strains +-step.

    C44: shear xy of the cell by the tensor strain e; the second atom is moved along z, by which the two
    sublattices relax, to where its force vanishes (linear interpolation between two positions).
    """

    def stress(xx=0.0, xy=0.0, slide=0.0):
        atoms = structures.strained(structures.diamond(2, a0), structures.shape(xx=xx, xy=xy))
        atoms.positions[1, 2] += slide
        record = label(atoms, work)
        return np.array(record["stress"]) / units.GPa, record["forces"][1][2]

    plus, minus = stress(xx=step)[0], stress(xx=-step)[0]
    c11 = (plus[0] - minus[0]) / (2 * step)
    c12 = (plus[1] + plus[2] - minus[1] - minus[2]) / (4 * step)
    unrelaxed, force = stress(xy=step)
    trial = -0.25 * step * a0
    slope = (stress(xy=step, slide=trial)[1] - force) / trial
    slide = -force / slope
    relaxed, left = stress(xy=step, slide=slide)
    backward = stress(xy=-step, slide=-slide)[0]
    return {
        "C11": c11,
        "C12": c12,
        "C44": (relaxed[5] - backward[5]) / (4 * step),
        "C44_unrelaxed": unrelaxed[5] / (2 * step),
        "kleinman_zeta": abs(slide) / (step * a0 / 2),
        "force_left": abs(left),
    }


def relaxed_vacancy(work, a0, fmax=0.05):
    """Relax the vacancy in 63 atoms with its full symmetry; return the frames of the path, labelled."""
    atoms = structures.vacancy(64)
    atoms.set_cell(2 * a0 * np.eye(3), scale_atoms=True)
    k = {"grid": (2, 2, 2), "shift": (1, 1, 1), "nosym": False}  # one point by symmetry, the folded sampling
    atoms.calc = PWLabels(work, k)
    path = []

    def keep():
        frame = atoms.copy()
        frame.info = {"k": k}
        path.append(frame)

    optimizer = BFGS(atoms, logfile=None, maxstep=0.1)
    optimizer.attach(keep)
    optimizer.run(fmax=fmax, steps=15)
    return path


def vacancy_path(work):
    """Frames of the relaxation of the vacancy: start, middle, end, for the test set."""
    path = relaxed_vacancy(work, round(equation_of_state(work)[0], 5))
    chosen = [path[0], path[len(path) // 2], path[-1]]
    return [structures.tagged(a, "vacancy", "vacancy-63-relaxation", "test") for a in chosen]


def isolated_atom(work):
    """Energy (eV) of the spin-polarised atom in a box of 11 x 11.5 x 12 Å, Gamma only."""
    atoms = Atoms("Si", cell=[11.0, 11.5, 12.0], pbc=True)
    k = {"grid": (1, 1, 1), "shift": (0, 0, 0), "nosym": True}
    return label(atoms, work, k, ATOM_SETTINGS)["energy"]


def reference(work):
    """All values as plain data."""
    a0, e0, bulk_modulus, residual = equation_of_state(work)
    a0 = round(a0, 5)
    elastic = elastic_constants(work, a0)
    path = relaxed_vacancy(work, a0)
    ends = [label(a, work) for a in (path[0], path[-1])]
    perfect = label(structures.diamond(2, a0), work)["energy"] / 2
    formation = [end["energy"] - 63 * perfect for end in ends]
    atom = isolated_atom(work)
    return {
        "a0": a0,
        "energy_per_atom": round(e0, 6),
        "bulk_modulus": round(bulk_modulus, 2),
        "C11": round(elastic["C11"], 2),
        "C12": round(elastic["C12"], 2),
        "C44": round(elastic["C44"], 2),
        "C44_unrelaxed": round(elastic["C44_unrelaxed"], 2),
        "bulk_modulus_from_C": round((elastic["C11"] + 2 * elastic["C12"]) / 3, 2),
        "vacancy_formation_energy": round(formation[1], 4),
        "vacancy_formation_energy_unrelaxed": round(formation[0], 4),
        "isolated_atom_energy": round(atom, 6),
        "cohesive_energy": round(atom - e0, 4),
        "units": {"length": "Å", "energy": "eV", "elastic": "GPa"},
        "how": {
            "a0, energy_per_atom, bulk_modulus": f"Birch-Murnaghan fit of energies, volumes {EOS_RANGE} x 20.46 Å^3"
            f" per atom, 2-atom cell, largest residual {residual * 1e3:.3f} meV/atom",
            "C11, C12": "stress at xx strains of +-0.5 % of the 2-atom cell at a0",
            "C44": "stress at xy tensor strains of +-0.5 % (gamma +-1 %), internal coordinate relaxed until the"
            f" force vanishes ({elastic['force_left']:.1e} eV/Å left), Kleinman zeta"
            f" {elastic['kleinman_zeta']:.3f}",
            "vacancy": "63 atoms, cubic cell 2 a0 fixed, k grid 2x2x2 shifted, BFGS from ideal positions to"
            f" {np.abs(ends[1]['forces']).max():.4f} eV/Å, symmetry T_d kept (no Jahn-Teller pairing),"
            " within about 0.005 eV of the end;"
            " E(63) - 63/64 E(64 perfect)",
            "isolated atom": "spin-polarised (2 Bohr magnetons), box 11 x 11.5 x 12 Å, Gamma, Gaussian smearing"
            " 0.002 Ry; not part of the set",
        },
        "dft": describe(),
    }


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", help="folder of the labels")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    values = reference(options.work)
    (Path(options.work) / "reference.done").touch()  # from now on the path of the vacancy is on disk
    options.output.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps({k: v for k, v in values.items() if k != "dft"}, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
