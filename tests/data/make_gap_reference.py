"""Small GAPs fitted by QUIP's gap_fit and what QUIP says of them: tests/data/gap.

Run where quippy-ase (0.10.3 was used) is installed, with its gap_fit on PATH:

    PYTHONPATH=.. python make_gap_reference.py gap

The labels are ASE's EMT; the models are for interoperability only. Variants are the same
files with one thing edited (gap_variants.py), evaluated by QUIP again.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from gap_variants import VARIANTS, write_variant
from quippy.potential import Potential

FIT = (
    "sparse_jitter=1e-8",
    "default_sigma={0.004 0.04 0.03 0}",
    "energy_parameter_name=dft_energy",
    "force_parameter_name=dft_force",
    "virial_parameter_name=dft_virial",
    "do_copy_at_file=F",
    "rnd_seed=7",
)
PAIR = "distance_2b cutoff=4.2 cutoff_transition_width=1.1 covariance_type=ard_se n_sparse=8 sparse_method=uniform"
SOAP = "soap n_max=3 l_max=2 covariance_type=dot_product sparse_method=cur_points"

# name: (training set, descriptors, separate file of sparse points)
MODELS = {
    # any element; a separate file; 2-body sparse points near the cutoff, where sparseCutoff < 1
    "any": (
        "one",
        f"{PAIR} delta=1.5 theta_uniform=1.1 add_species=F : {SOAP} atom_sigma=0.45 zeta=2 cutoff=4.0 "
        "cutoff_transition_width=0.9 central_weight=0.7 delta=0.4 n_sparse=9 add_species=F",
        "T",
    ),
    # two elements, one set of sparse points for each, text and sliced storage, f0, real zeta
    "two": (
        "two",
        f"{PAIR} delta=1.0 theta_uniform=0.9 f0=0.5 add_species=T : {SOAP} atom_sigma=0.5 zeta=3.5 cutoff=3.9 "
        "cutoff_transition_width=0.6 central_weight=1.3 delta=0.3 n_sparse=7 add_species=T",
        "F",
    ),
    # one set of sparse points shared by two elements, species not ascending, radial scaling, sigma0, not normalised
    "shared": (
        "two",
        f"{SOAP} atom_sigma=0.5 zeta=2 cutoff=4.1 delta=50 n_sparse=8 n_Z=2 Z={{{{47 29}}}} n_species=2 "
        "species_Z={{47 29}} central_reference_all_species=T cutoff_dexp=4 cutoff_scale=3.0 cutoff_rate=1.5 "
        "basis_error_exponent=8 covariance_sigma0=0.05 normalise=F add_species=F",
        "F",
    ),
    # only silver has environments, only copper neighbours are seen; powers of distances, a tail; f0 has no effect
    "subset": (
        "two",
        "distance_2b cutoff=4.4 covariance_type=ard_se n_sparse=6 sparse_method=random delta=0.8 theta_fac=0.5 "
        "n_exponents=2 exponents={{-1 -2}} tail_exponent=1 tail_range=0.6 Z1=29 Z2=0 add_species=F : "
        f"{SOAP} atom_sigma=0.6 zeta=2 cutoff=3.8 delta=0.5 f0=0.4 n_sparse=6 n_Z=1 Z=47 n_species=1 species_Z=29 "
        "add_species=F",
        "T",
    ),
}


def training_set(name):
    """Labelled frames: rattled, strained cells of Cu, or of Cu and Ag."""
    rng = np.random.default_rng({"one": 1, "two": 2}[name])
    frames = []
    for k in range(4):
        atoms = bulk("Cu", "fcc", a=3.6 if name == "one" else 3.8, cubic=True).repeat((1 + k % 2, 1, 1))
        if name == "two":
            atoms.numbers[rng.permutation(len(atoms))[: len(atoms) // 2 + k % 2]] = 47
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(0, 0.02, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(0, 0.12, atoms.positions.shape)
        frames.append(labelled(atoms))
    return frames


def labelled(atoms):
    atoms.positions, atoms.cell = atoms.positions.round(8), atoms.cell.array.round(8)
    atoms.calc = EMT()
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)
    new = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    new.info |= {"dft_energy": energy, "dft_virial": (-stress * atoms.get_volume()).ravel()}
    new.arrays["dft_force"] = forces
    return new


def structures():
    """Frames to evaluate: bulk, alloy, a skewed cell smaller than the cutoff, a cluster, one atom."""
    rng = np.random.default_rng(3)
    copper = bulk("Cu", "fcc", a=3.6, cubic=True)
    alloy = bulk("Cu", "fcc", a=3.8, cubic=True)
    alloy.numbers[:2] = 47
    skewed = Atoms(
        "CuAg", [[0, 0, 0], [1.6, 1.3, 1.4]], cell=[[3.3, 0.2, 0], [1.1, 3.4, 0.1], [0.4, 0.8, 3.6]], pbc=True
    )
    box = np.eye(3) * 30.0  # quippy wants a cell, also where nothing is periodic
    cluster = Atoms("CuAgCuNi", [[0, 0, 0], [2.5, 0.1, 0], [0.3, 2.4, 0.2], [1.5, 1.4, 2.1]], cell=box)
    atom = Atoms("Ag", cell=box)
    frames = {"copper": copper, "alloy": alloy, "skewed": skewed, "cluster": cluster, "atom": atom}
    for atoms in frames.values():
        atoms.positions = (atoms.positions + rng.normal(0, 0.1, atoms.positions.shape)).round(8)
    return frames


def fit(folder, name):
    train, descriptors, separate = MODELS[name]
    own = [f"at_file={train}.xyz", f"gp_file={name}.xml", f"gap={{{descriptors}}}", f"sparse_separate_file={separate}"]
    e0 = "e0=0.1" if name == "shared" else "e0={Cu:-0.3:Ag:0.2}"
    subprocess.run(["gap_fit", *own, e0, *FIT], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    for litter in folder.glob("*.idx"):
        litter.unlink()
    _rename(folder, name)


def _rename(folder, name):
    """A label without the date."""
    path = folder / f"{name}.xml"
    label = re.search(r'label="(GAP_\w+)"', path.read_text())[1]
    path.write_text(path.read_text().replace(label, f"GAP_{name}"))
    for points in folder.glob(f"*{label}*"):
        points.rename(folder / points.name.replace(label, f"GAP_{name}"))


def evaluate(path, atoms):
    potential = Potential(param_filename=str(path))
    potential.calculate(atoms.copy(), ["energy", "energies", "forces", "virial"])
    found = {key: np.array(potential.results[key]).tolist() for key in ("energy", "energies", "forces")}
    found["virial"] = np.array(potential.extra_results["config"]["virial"]).tolist()
    try:
        again = Potential(param_filename=str(path))
        again.calculate(atoms.copy(), ["energy"], calc_args="local_gap_variance")
        found["local_gap_variance"] = np.array(again.extra_results["atoms"]["local_gap_variance"]).tolist()
    except RuntimeError as error:  # QUIP stops where its formula is negative
        assert "negative variance" in str(error)
        found["local_gap_variance"] = None
    return found


def main(folder):
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name in ("one", "two"):
        write(folder / f"{name}.xyz", training_set(name), format="extxyz")
    frames = structures()
    for name in MODELS:
        fit(folder, name)
    paths = {name: folder / f"{name}.xml" for name in MODELS}
    with tempfile.TemporaryDirectory() as target:
        paths |= {name: write_variant(folder, name, Path(target)) for name in VARIANTS}
        values = {name: {key: evaluate(path, a) for key, a in frames.items()} for name, path in paths.items()}
    plain = {
        key: {
            "numbers": a.numbers.tolist(), "positions": a.positions.tolist(), "cell": a.cell.array.tolist(),
            "pbc": a.pbc.tolist(),
        }
        for key, a in frames.items()
    }  # fmt: skip
    text = json.dumps({"code": "quippy-ase 0.10.3", "structures": plain, "values": values})
    (folder / "quip.json").write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
