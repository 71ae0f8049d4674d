"""Moment tensors against motep, slow twins, finite differences and symmetries."""

import json
import pickle
from pathlib import Path

import checks
import naive
import numpy as np
import pytest
from ase import Atoms
from sklearn.base import clone
from systems import FRAMES, frame

import kernelff as kff
from kernelff._soap import available_isas
from kernelff.basis.chebyshev import chebyshev_basis, orthonormal_rows
from kernelff.descriptors import MomentTensorsDescriptor, descriptor_from_state, descriptor_to_state
from kernelff.descriptors.moment_graphs import Graph, canonical, scalar_graphs
from kernelff.descriptors.moment_program import contraction_program
from kernelff.descriptors.moment_tables import LoopTables

# energies, forces and stresses by motep 0.2.0 on MLIP's own tables, see data/make_moment_tensors.py
MOTEP = json.loads((Path(__file__).parent / "data" / "moment_tensors_motep.json").read_text())
# of MLIP's templates for levels 2, 4, .. 28
N_SCALARS = [1, 2, 5, 9, 16, 29, 52, 92, 163, 288, 500, 864, 1464, 2445]
N_BASIC = [1, 1, 5, 11, 25, 46, 81, 130, 201, 295, 421, 581, 706]
N_TIMES = [0, 1, 5, 14, 42, 117, 348, 969, 2634, 6349, 15431]


def built(atoms, level=10, cutoff=4.5, isa=None, seed=0):
    """A descriptor whose radial functions differ between all pairs of elements."""
    descriptor = kff.MomentTensors(level, cutoff, radial_basis_size=6).build(sorted(set(atoms.numbers)), 2.0)
    c = descriptor.coefficients
    c = c + 0.2 * np.abs(c).max() * np.random.default_rng(seed).normal(size=c.shape)
    return MomentTensorsDescriptor.from_state(*descriptor.with_coefficients(c).to_state(), isa=isa)


def rows(descriptor, atoms):
    return descriptor.compute(kff.NeighborList.from_atoms(atoms, descriptor.cutoff))


# ---- which scalars, and how they are contracted ---------------------------------------------------


def test_as_many_scalars_as_in_the_standard_templates():
    assert [len(scalar_graphs(level)) for level in range(2, 30, 2)] == N_SCALARS


@pytest.mark.parametrize("level", range(2, 22, 2))
def test_programs_are_no_longer_than_the_templates(level):
    program = contraction_program(scalar_graphs(level))
    assert len(program.basic) == N_BASIC[level // 2 - 1]
    assert len(program.products) <= N_TIMES[level // 2 - 1]
    assert (program.products[:, :2] < program.products[:, 3:]).all()
    assert len(set(program.scalars)) == N_SCALARS[level // 2 - 1]


@pytest.mark.parametrize("level", [2, 8, 14, 20])
def test_graphs_are_distinct_and_within_the_level(level):
    graphs = scalar_graphs(level)
    assert len({canonical(graph) for graph in graphs}) == len(graphs)
    assert max(graph.level for graph in graphs) == level
    assert set(scalar_graphs(max(2, level - 2))) <= set(graphs)


def test_linear_dependencies():
    """In three dimensions one combination of the 92 scalars of level 16 vanishes, two of level 18; none below."""
    rng = np.random.default_rng(0)
    for level, rank in ((14, 52), (16, 91), (18, 161)):
        descriptor = kff.MomentTensors(level, 4.5, radial_basis_size=8).build((14,), 2.0)
        positions = [np.vstack([np.zeros(3), rng.uniform(-2.5, 2.5, size=(5, 3))]) for _ in range(4 * rank)]
        q = np.array([rows(descriptor, Atoms("Si6", p))[0] for p in positions])
        values = np.linalg.svd(q / np.linalg.norm(q, axis=0), compute_uv=False)
        assert (values > 1e-12 * values[0]).sum() == rank
        assert values[rank - 1] > 1e-9 * values[0]


def test_powers_of_z_and_dead_products_are_left_out():
    program = contraction_program(scalar_graphs(12))
    tables = LoopTables(program)
    assert tables.n_accumulated == 35 < len(program.basic)
    fewer = LoopTables(program._replace(scalars=program.scalars[:1]))
    assert len(fewer.sums) < len(tables.sums)
    doubled = LoopTables(program._replace(products=np.repeat(program.products, 2, axis=0)))
    assert len(doubled.sums) == len(tables.sums)  # the same sums, each twice as large


# ---- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [2, 8, 16, 24])
def test_against_full_tensors(level):
    for name in ("molecule", "triclinic"):
        atoms = frame(name)
        descriptor = built(atoms, level)
        neighbors = kff.NeighborList.from_atoms(atoms, descriptor.cutoff)
        found = descriptor.compute(neighbors)
        index = np.searchsorted(descriptor.species, atoms.numbers)
        f_pm, _ = descriptor.radial_functions(neighbors.distances)
        f_pm = f_pm[np.arange(neighbors.n_pairs), index[neighbors.i], index[neighbors.j]]
        for i in range(2):
            mine = slice(neighbors.first[i], neighbors.first[i + 1])
            expected = naive.moment_tensor_scalars(neighbors.vectors[mine], f_pm[mine], descriptor.graphs)
            error = np.abs(found[i] - expected) / np.abs(expected).max()
            assert error.max() < 1e-13, (name, i)


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("name", MOTEP["models"])
def test_motep(name, isa):
    model = MOTEP["models"][name]
    order = np.argsort(model["species"])
    coefficients = np.array(model["coefficients"])[np.ix_(order, order)]
    graphs = tuple(Graph(tuple(g[: g.index("|")]), tuple(g[g.index("|") + 1 :])) for g in model["graphs"])
    species = tuple(sorted(model["species"]))
    descriptor = MomentTensorsDescriptor(
        species, graphs, coefficients, model["min_dist"], model["cutoff"], model["scaling"], isa
    )
    e0 = np.array(model["species_coeffs"])[order]
    for frame_name, expected in model["values"].items():
        atoms = Atoms(**MOTEP["structures"][frame_name])
        neighbors = kff.NeighborList.from_atoms(atoms, descriptor.cutoff)
        energies = descriptor.compute(neighbors) @ model["weights"] + e0[np.searchsorted(species, atoms.numbers)]
        checks.close(energies, np.array(expected["energies"]), 1e-12, f"{frame_name} energies")
        g = descriptor.backward(neighbors, np.tile(model["weights"], (len(atoms), 1)))
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, neighbors.i, g)
        np.add.at(forces, neighbors.j, -g)
        scale = max(np.abs(expected["forces"]).max(), np.abs(g).max(initial=0.0))
        assert np.abs(forces - expected["forces"]).max() <= 1e-11 * scale
        if expected["stress"] is not None:
            strain = np.einsum("pa,pb->ab", neighbors.vectors, g) / atoms.get_volume()
            voigt = strain[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
            checks.close(voigt, np.array(expected["stress"]), 1e-11, f"{frame_name} stress")


def test_wildcard_treats_elements_alike():
    atoms = frame("molecule")
    alike = atoms.copy()
    alike.numbers[:] = 14
    parameters = kff.MomentTensors(8, 4.0)
    np.testing.assert_array_equal(rows(parameters.build(None), atoms), rows(parameters.build((14,)), alike))


def test_elements_that_start_alike_agree_with_one_element():
    atoms = frame("molecule")
    parameters = kff.MomentTensors(8, 4.0)
    checks.close(rows(parameters.build((1, 6, 8)), atoms), rows(parameters.build(None), atoms), 1e-13, "start")


# ---- radial functions -----------------------------------------------------------------------------


def test_chebyshev_basis():
    r = np.linspace(1.0, 5.2, 50)
    value, slope = chebyshev_basis(r, 1.5, 5.0, 7)
    xi = (2.0 * r - 6.5) / 3.5
    inside = np.abs(xi) < 1
    expected = np.cos(np.arange(7) * np.arccos(xi[inside])[:, None]) * (5.0 - r[inside, None]) ** 2
    checks.close(value[inside], expected, 1e-13, "cosines")
    step = 1e-5
    numeric = (chebyshev_basis(r + step, 1.5, 5.0, 7)[0] - chebyshev_basis(r - step, 1.5, 5.0, 7)[0]) / (2 * step)
    checks.close(slope, numeric, 1e-8, f"slope, step {step} Å")
    assert not value[r >= 5.0].any() and not slope[r >= 5.0].any()
    assert chebyshev_basis(r, 1.5, 5.0, 1)[1].shape == (50, 1)


def test_radial_functions_start_orthonormal_over_the_pairs_of_the_frames():
    frames = [frame("silicon", seed=k) for k in range(5)]
    parameters = kff.MomentTensors(16, 5.0)
    descriptor = parameters.fit(frames).descriptor_
    r = np.concatenate([kff.NeighborList.from_atoms(atoms, 5.0).distances for atoms in frames])
    f = descriptor.radial_functions(r)[0][:, 0, 0]
    np.testing.assert_allclose(f.T @ f / len(f), np.eye(4), atol=0.03)  # bins, and a hundredth of even measure
    assert descriptor.min_dist == pytest.approx(0.98 * r.min())
    assert not np.triu(descriptor.coefficients[0, 0], 1).any()
    basis, _ = chebyshev_basis(r, 2.0, 5.0, 8)
    c = orthonormal_rows(basis, np.full(len(r), 1 / len(r)), 8)
    np.testing.assert_allclose(c @ (basis.T @ basis / len(r)) @ c.T, np.eye(8), atol=1e-9)


def test_min_dist():
    assert kff.MomentTensors(8, 5.0).build((14,)).min_dist == 2.0
    assert kff.MomentTensors(8, 5.0).build((14,), 2.0).min_dist == pytest.approx(1.6)
    assert kff.MomentTensors(8, 5.0).build((14,), np.inf).min_dist == 2.0
    assert kff.MomentTensors(8, 5.0, min_dist=1.2).fit([frame("silicon")]).descriptor_.min_dist == 1.2
    assert kff.MomentTensors(8, 5.0).fit([Atoms("Si")]).descriptor_.min_dist == 2.0
    with pytest.warns(UserWarning, match=r"min_dist: 3.0 Å is above the shortest distance of the frames, [12]\.\d+ Å"):
        kff.MomentTensors(8, 5.0, min_dist=3.0).fit([frame("silicon")])


# ---- derivatives ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FRAMES)
def test_derivatives_in_every_kind_of_frame(name):
    atoms = frame(name)
    checks.check_pair_gradients(built(atoms), atoms, step=2e-5, n_pairs=6)


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("level", [2, 4, 6, 8, 12, 16, 20])
def test_derivatives_at_every_size(level, isa):
    atoms = frame("molecule")
    checks.check_pair_gradients(built(atoms, level, isa=isa), atoms, step=2e-5, n_pairs=3)


def test_instruction_sets_agree():
    for name in ("triclinic", "molecule", "silicon"):
        atoms = frame(name)
        found = []
        for isa in available_isas():
            descriptor = built(atoms, 14, isa=isa)
            assert descriptor.isa == isa
            neighbors = kff.NeighborList.from_atoms(atoms, descriptor.cutoff)
            weights = np.random.default_rng(0).normal(size=(len(atoms), descriptor.n_features))
            found.append((*descriptor.gradients(neighbors), descriptor.backward(neighbors, weights)))
        for other in found[1:]:
            for a, b in zip(found[0], other, strict=True):
                checks.close(b, a, 1e-12, f"{name}: {available_isas()}")


# ---- symmetries and limits ------------------------------------------------------------------------


@pytest.mark.parametrize("name", FRAMES)
def test_invariances(name):
    atoms = frame(name)
    descriptor = built(atoms, 12)
    checks.check_invariances(lambda a: rows(descriptor, a), atoms)
    checks.check_supercell(lambda a: rows(descriptor, a), atoms)
    checks.check_input_untouched(lambda a: rows(descriptor, a), atoms)


def test_threads():
    frames = [frame("silicon", seed=k) for k in range(3)]
    descriptor = built(frames[0])
    checks.check_threads(lambda a: rows(descriptor, a), frames)


def test_smooth_at_the_cutoff():
    """Value and slope of an atom's influence vanish as it leaves the sphere."""
    rc = 4.5
    values, slopes = [], []
    for distance in (rc - 1e-3, rc - 1e-6, rc + 1e-6):
        atoms = Atoms("Si3", [[0, 0, 0], [0, 1.2, 1.6], [distance, 0, 0]])
        descriptor = built(atoms, 16, rc)
        q, dq = descriptor.gradients(kff.NeighborList.from_atoms(atoms, rc), 0, 1)
        values.append(q[0])
        slopes.append(np.abs(dq[1:]).max(initial=0.0))
    scale = np.abs(values[2]).max()
    assert np.abs(values[0] - values[2]).max() < 1e-5 * scale
    assert np.abs(values[1] - values[2]).max() < 1e-11 * scale
    assert slopes[0] < 2e-2 * scale and slopes[1] < 2e-5 * scale and slopes[2] == 0.0


def test_blocks_of_centres_and_longer_lists():
    atoms = frame("slab")
    descriptor = built(atoms)
    short, longer = (kff.NeighborList.from_atoms(atoms, r) for r in (descriptor.cutoff, 6.0))
    q, dq = descriptor.gradients(short)
    np.testing.assert_array_equal(descriptor.compute(short, slice(2, 5)), q[2:5])
    q_part, dq_part = descriptor.gradients(short, 2, 5)
    np.testing.assert_array_equal(q_part, q[2:5])
    np.testing.assert_array_equal(dq_part, dq[short.first[2] : short.first[5]])
    assert descriptor.compute(short, slice(3, 3)).shape == (0, descriptor.n_features)
    q_long, dq_long = descriptor.gradients(longer)
    far = longer.distances >= descriptor.cutoff
    checks.close(q_long, q, 1e-13, "values from a longer list")
    assert not dq_long[far].any() and not descriptor.backward(longer, np.ones_like(q))[far].any()
    order, near = (np.lexsort((*n.vectors.round(6).T, n.i)) for n in (short, longer))  # pairs may come in any order
    checks.close(dq_long[near[~far[near]]], dq[order], 1e-13, "rows from a longer list")


def test_empty_frame_and_isolated_atom():
    descriptor = kff.MomentTensors(12, 4.5).build((14,))
    assert rows(descriptor, Atoms()).shape == (0, descriptor.n_features)
    assert not rows(descriptor, Atoms("Si")).any()
    neighbors = kff.NeighborList.from_atoms(Atoms("Si"), 4.5)
    assert descriptor.gradients(neighbors)[1].shape == (0, 3, descriptor.n_features)


def test_atoms_closer_than_min_dist_and_straight_angles_stay_finite():
    atoms = Atoms("SiCSiSi", [[0, 0, 0], [1.5, 0, 0], [1.5, 0, 1e-3], [-1.5, 0, 0]])
    descriptor = kff.MomentTensors(20, 5.0, min_dist=2.0, radial_basis_size=12).build((6, 14))
    neighbors = kff.NeighborList.from_atoms(atoms, descriptor.cutoff)
    q, dq = descriptor.gradients(neighbors)
    assert np.isfinite(q).all() and np.isfinite(dq).all()
    assert np.isfinite(descriptor.backward(neighbors, np.ones_like(q))).all()


# ---- as a parameter object and in files -----------------------------------------------------------


def test_scikit_learn_face():
    frames = [frame("silicon", seed=k) for k in range(3)] + [frame("triclinic")]
    parameters = clone(kff.MomentTensors(8, 4.5)).set_params(level=6)
    means = parameters.fit_transform(frames)
    q, frame_index, centre_index = parameters.features(frames)
    assert len(q) == sum(map(len, frames)) == len(centre_index) and parameters.get_params()["level"] == 6
    np.testing.assert_allclose(means, np.stack([q[frame_index == k].mean(axis=0) for k in range(len(frames))]))
    assert kff.MomentTensors(**json.loads(json.dumps(parameters.plain_parameters()))).get_params()["cutoff"] == 4.5


def test_state_round_trip_and_pickle():
    atoms = frame("triclinic")
    descriptor = built(atoms, 12)
    params, arrays = descriptor_to_state(descriptor)
    params = json.loads(json.dumps(params))
    for copy in (descriptor_from_state(params, arrays), pickle.loads(pickle.dumps(descriptor))):
        np.testing.assert_array_equal(rows(copy, atoms), rows(descriptor, atoms))
        assert copy.species == (6, 14) and copy.graphs == descriptor.graphs
    np.testing.assert_array_equal(descriptor.levels[:2], [g.level for g in descriptor.graphs[:2]])


def test_states_of_another_shape_are_refused():
    params, arrays = descriptor_to_state(built(frame("triclinic")))
    coefficients = arrays["coefficients"]
    with pytest.raises(ValueError, match=r"coefficients: must be of shape \(2, 2, 3, 1 to 64\), got \(1, 2, 3, 6\)"):
        descriptor_from_state(params, {"coefficients": coefficients[:1]})
    with pytest.raises(ValueError, match="coefficients: must be finite numbers"):
        descriptor_from_state(params, {"coefficients": coefficients * np.nan})
    for mus, edges in (
        ([0, 1], [0]),
        ([0, 0], [11]),
        ([0, 0], [-1]),
        ([0, 0], []),
        ([0, 0, 0], [0, 1, 0]),
        ([0.5], []),
    ):
        with pytest.raises(ValueError, match="graph: must be a canonical graph of up to 4 vertices and level 28, got"):
            descriptor_from_state(params | {"mus": [mus], "edges": [edges]}, arrays)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"level": 3}, "level: must be an even number from 2 to 28, got 3"),
        ({"level": 30}, "level: must be an even number"),
        ({"level": 8.0}, "level: must be an even number"),
        ({"level": "16"}, "level: must be an even number"),
        ({"cutoff": -1.0}, "cutoff: must be a length > 0"),
        ({"cutoff": np.nan}, "cutoff: must be a length > 0"),
        ({"min_dist": 5.0}, r"min_dist: must be a length from 0 up to the cutoff \(5.0 Å\)"),
        ({"radial_basis_size": 0}, "radial_basis_size: must be from 1 to 64"),
        ({"radial_basis_size": 3}, r"radial_basis_size: must be a whole number from 4 \(the radial functions"),
    ],
)
def test_bad_parameters(parameters, message):
    for use in (lambda p: p.build((14,)), lambda p: p.fit([frame("silicon")])):
        with pytest.raises(ValueError, match=message):
            use(kff.MomentTensors(**parameters))


def test_bad_species_and_lists():
    descriptor = kff.MomentTensors(8, 4.5).build((14, 6))
    with pytest.raises(ValueError, match=r"holds Cu \(Z = 29\), .*built for C \(6\), Si \(14\). Refit"):
        rows(descriptor, frame("slab"))
    with pytest.raises(ValueError, match=r"reaches 3.0 Å, the descriptor needs 4.5 Å"):
        descriptor.compute(kff.NeighborList.from_atoms(frame("dimer"), 3.0))
    neighbors = kff.NeighborList.from_atoms(frame("dimer"), 4.5)
    with pytest.raises(ValueError, match="dE_dq: must be of shape"):
        descriptor.backward(neighbors, np.ones((2, 3)))
    with pytest.raises(ValueError, match="centres: must be a slice with step 1"):
        descriptor.compute(neighbors, slice(0, 2, 2))
    with pytest.raises(ValueError, match="isa: 'z80' is not available here"):
        MomentTensorsDescriptor.from_state(*descriptor.to_state(), isa="z80")
