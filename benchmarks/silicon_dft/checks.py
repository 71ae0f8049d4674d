"""Checks of the labels, printed: stress against energy differences, cells of different size, k points, cutoff.

python checks.py WORK [--quick]     --quick: only what the labels on disk allow
"""

import argparse
from dataclasses import replace

import make_set
import numpy as np
import structures
from ase import units
from ase.eos import EquationOfState
from label import label
from settings import Settings, folded_kpoints

MEV = 1e3


def stress_against_energy(work, atoms, strain, name, step=0.005):
    """dE/de/V by central differences at +-`step` and +-2 `step` (error step^4) against the analytic stress, GPa."""

    def energy(s):
        return label(structures.strained(atoms, s * step * strain), work)["energy"]

    derivative = (8 * (energy(1) - energy(-1)) - (energy(2) - energy(-2))) / (12 * step)
    voigt = np.array(label(atoms, work)["stress"])
    sigma = np.array([[voigt[0], voigt[5], voigt[4]], [voigt[5], voigt[1], voigt[3]], [voigt[4], voigt[3], voigt[2]]])
    scale = 1 / np.sum(strain * strain)  # hydrostatic: mean pressure; shear xy + yx: sigma_xy
    numeric, analytic = derivative / atoms.get_volume() * scale, np.sum(sigma * strain) * scale
    print(
        f"{name:44s} differences {numeric / units.GPa:9.4f}  stress {analytic / units.GPa:9.4f}"
        f"  off by {(numeric - analytic) / units.GPa:8.4f} GPa",
        flush=True,
    )


def volume_slope(work):
    """Pressure from energies (spline through the series) against the printed stress: the slope should be 1."""
    frames = list(structures.volume_series())
    volumes = np.array([a.get_volume() for a in frames])
    records = [label(a, work) for a in frames]
    energies = np.array([r["energy"] for r in records])
    stresses = np.array([np.mean(r["stress"][:3]) for r in records]) / units.GPa
    eos = EquationOfState(volumes, energies, eos="vinet")
    eos.fit()
    h = 1e-3
    func = eos.func
    slopes = [(func(v + h, *eos.eos_parameters) - func(v - h, *eos.eos_parameters)) / (2 * h) for v in volumes]
    slope, offset = np.polyfit(stresses, np.array(slopes) / units.GPa, 1)
    print(f"volume series: dE/dV = {slope:.4f} x stress {offset:+.3f} GPa (should be 1, 0)", flush=True)


def net_forces(frames):
    """Sum of the forces and sign of the stress over the set."""
    worst = max(np.abs(a.get_forces().sum(axis=0)).max() for a in frames)
    largest = max(np.abs(a.get_forces()).max() for a in frames)
    nearest = min(a.get_all_distances(mic=True)[np.triu_indices(len(a), 1)].min() for a in frames if len(a) > 1)
    print(
        f"{len(frames)} frames: largest |sum of forces| {worst:.1e}, force {largest:.2f} eV/Å, shortest {nearest:.2f} Å"
    )


def cell_sizes(work):
    """Undeformed diamond in three cells: energy per atom against the 2-atom cell."""
    first = None
    for n_atoms in (2, 8, 16):
        energy = label(structures.diamond(n_atoms), work)["energy"] / n_atoms
        first = energy if first is None else first
        print(
            f"diamond, {n_atoms:2d} atoms: {energy:.6f} eV/atom, {MEV * (energy - first):+.3f} meV/atom",
            flush=True,
        )


def compare(work, atoms, name, k=None, settings=None):
    """Change of energy, forces and stress by other k points or settings."""
    old = label(atoms, work)
    new = label(atoms, work, k or atoms.info["k"], settings or Settings())
    forces = np.array(new["forces"]) - np.array(old["forces"])
    stress = (np.array(new["stress"]) - np.array(old["stress"])) / units.GPa
    print(
        f"{name:44s} {MEV * (new['energy'] - old['energy']) / len(atoms):+7.2f} meV/atom,"
        f" forces rms {MEV * np.sqrt(np.mean(forces**2)):.1f} meV/Å, stress rms {np.sqrt(np.mean(stress**2)):.3f} GPa",
        flush=True,
    )


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", help="folder of the labels")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    work = options.work
    frames, _ = make_set.collect(work, partial=True)
    net_forces(frames)
    volume_slope(work)
    if options.quick:
        return
    hydrostatic, shear = np.eye(3), structures.shape(xy=1.0)
    stress_against_energy(work, structures.diamond(2), hydrostatic, "2 atoms, hydrostatic")
    tilted = structures.strained(structures.diamond(2), structures.shape(xy=0.01))
    stress_against_energy(work, tilted, shear, "2 atoms sheared 1 %, shear")
    rattled = [a for a in structures.rattles() if a.info["origin"] == "rattle-8-a"][4]
    stress_against_energy(work, rattled, hydrostatic, "8 atoms rattled 0.14 Å, hydrostatic")
    stress_against_energy(work, rattled, shear, "8 atoms rattled 0.14 Å, shear")
    cell_sizes(work)
    dense = {"points": folded_kpoints(np.eye(3), 6).tolist()}
    loose = next(structures.random_packings())
    compare(work, rattled, "8 atoms rattled 0.14 Å, k 6 for 4", dense)
    compare(work, loose, "8 atoms random packing, k 6 for 4", dense)
    for atoms, name in ((structures.diamond(2), "diamond"), (rattled, "8 atoms rattled 0.14 Å")):
        compare(work, atoms, f"{name}, 40 Ry for 26", settings=replace(Settings(), ecutwfc=40.0, ecutrho=160.0))


if __name__ == "__main__":
    main()
