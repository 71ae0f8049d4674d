"""Writes moment_tensors_motep.json from .mtp files and what motep computes with them.

    python make_moment_tensors.py FOLDER

FOLDER holds mtp/*.mtp (own random coefficients on MLIP's standard tables of level 8, 16 and 20, and two published
models of the maml repository, BSD-3), mtp/motep_reference.json (energies, forces and stresses by motep 0.2.0) and
structures/structures.json. Coefficients are stored by graph: each scalar of a file's table is evaluated product by
product in one random environment, where exactly one of our graphs has the same value.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np

from kernelff.descriptors.moment_graphs import scalar_graphs
from kernelff.descriptors.moment_tensors import MomentTensorsDescriptor
from kernelff.neighbors import NeighborList

HERE = Path(__file__).parent
MODELS = {  # file -> (level, key of the values, frames)
    "rand_l08_1sp": (8, "rand_l08_1sp.mtp", ["si2_skew", "si_dimer", "si1_isolated"]),
    "rand_l16_2sp": (16, "rand_l16_2sp.mtp#SiC", ["sic_dimer", "si2_skew", "sic16"]),
    "rand_l20_1sp": (20, "rand_l20_1sp.mtp", ["si2_skew"]),
    "maml_Mo_2020": (20, "maml_Mo_2020.mtp", ["mo16", "mo_slab"]),
    "maml_MoNbTaW_2021": (14, "maml_MoNbTaW_2021.mtp", ["hea16"]),
}


def numbers(text, key):
    line = re.search(rf"{key}\s*=\s*(.*)", text).group(1)
    return np.array([float(x) for x in re.findall(r"[-+0-9.eE]+", line)])


def table_values(text, vectors, f):
    """Scalars of the file's own table."""
    basic = numbers(text, "alpha_index_basic").astype(int).reshape(-1, 4)
    times = numbers(text, "alpha_index_times").astype(int).reshape(-1, 4)
    n = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    M = np.zeros(int(numbers(text, "alpha_moments_count")[0]))
    for k, (mu, *abc) in enumerate(basic):
        M[k] = (f[:, mu] * np.prod(n ** np.array(abc), axis=1)).sum()
    for i, j, c, k in times:
        M[k] += c * M[i] * M[j]
    return M[numbers(text, "alpha_moment_mapping").astype(int)]


def our_values(level, vectors, n_species=1):
    """Values of our scalars in an environment, and the radial functions there."""
    graphs = scalar_graphs(level)
    n_mu = 1 + max(graph.mus[0] for graph in graphs)
    rows = np.random.default_rng(1).normal(size=(n_mu, 8))
    descriptor = MomentTensorsDescriptor(None, graphs, rows[None, None], 1.5, 5.0)
    i, n = np.zeros(len(vectors), dtype=int), len(vectors)
    distances = np.linalg.norm(vectors, axis=1)
    neighbors = NeighborList(
        5.0, np.full(1, 14), np.array([0, n]), i, i, np.zeros((n, 3), int), vectors, distances, np.nan
    )
    return descriptor.compute(neighbors)[0], descriptor.radial_functions(distances)[0][:, 0, 0]


def model(text, level, reference, frames):
    vectors = np.random.default_rng(0).uniform(-2.5, 2.5, size=(9, 3))
    ours, f = our_values(level, vectors)
    table = table_values(text, vectors, f)
    found = np.argmin(np.abs(ours[None, :] / table[:, None] - 1.0), axis=1)
    assert len(set(found)) == len(ours) == len(table), "not one to one"
    np.testing.assert_allclose(ours[found], table, rtol=1e-9)
    graphs = [scalar_graphs(level)[k] for k in found]
    n, size, n_mu = (int(numbers(text, key)[0]) for key in ("species_count", "radial_basis_size", "radial_funcs_count"))
    block = text[text.index("radial_coeffs") : text.index("alpha_moments_count")]
    rows = [[float(x) for x in re.findall(r"[-+0-9.eE]+", row)] for row in re.findall(r"\{(.*?)\}", block)]
    low, high = (numbers(text, key)[0] for key in ("min_dist", "max_dist"))
    kept = ("energies", "forces", "stress")
    return {
        "species": reference["species"],
        "min_dist": low,
        "cutoff": high,
        "scaling": float(re.search(r"scaling\s*=\s*(\S+)", text).group(1)),
        "coefficients": np.array(rows).reshape(n, n, n_mu, size).tolist(),
        "species_coeffs": numbers(text, "species_coeffs").tolist(),
        "graphs": [[*graph.mus, "|", *graph.edges] for graph in graphs],
        "weights": numbers(text, "moment_coeffs").tolist(),
        "values": {name: {k: reference["values"][name][k] for k in kept} for name in frames},
    }


def main(folder):
    reference = json.loads((folder / "mtp/motep_reference.json").read_text())["values"]
    structures = json.loads((folder / "structures/structures.json").read_text())
    models, used = {}, set()
    for name, (level, key, frames) in MODELS.items():
        models[name] = model((folder / f"mtp/{name}.mtp").read_text(), level, reference[key], frames)
        used.update(frames)
    kept = {name: {k: structures[name][k] for k in ("numbers", "positions", "cell", "pbc")} for name in sorted(used)}
    text = json.dumps({"source": "motep 0.2.0", "structures": kept, "models": models}, separators=(",", ":"))
    (HERE / "moment_tensors_motep.json").write_text(text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
