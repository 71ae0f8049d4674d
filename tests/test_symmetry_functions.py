"""Symmetry functions against dscribe, slow twins, finite differences and symmetries."""

import json
import pickle
from pathlib import Path

import checks
import naive
import numpy as np
import pytest
from ase import Atoms
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from systems import FRAMES, frame

import kernelff as kff
from kernelff._soap import available_isas
from kernelff.descriptors import SymmetryFunctionsDescriptor, descriptor_from_state, descriptor_to_state

# values by dscribe 2.1.2, ACSF(periodic=True), which a direct sum of the formulas confirmed to 6e-15
DSCRIBE = json.loads((Path(__file__).parent / "data" / "acsf_dscribe.json").read_text())
MIXED = [
    kff.G2(0.5, 1.0),
    kff.G2(0.0, cutoff=3.0),
    kff.G4(0.05, 4, -1),
    kff.G4(0.05, 2.5, 1),
    kff.G4(0.3, 3, 0.5, r_s=1.0, cutoff=3.5),
    kff.G5(0.02, 1, 1),
    kff.G5(0.02, 16, -1),
    kff.W2(0.3, 1.0),
    kff.W4(0.1, 2, 1),
    kff.W5(0.1, 7, -1),
]
VARIANTS = {
    "mixed": kff.SymmetryFunctions(MIXED, 4.5),
    "tanh": kff.SymmetryFunctions(MIXED, 4.5, cutoff_function="tanh3"),
    "automatic": kff.SymmetryFunctions(cutoff=4.5, n_radial=5, n_shells=2),
    "weighted": kff.SymmetryFunctions(cutoff=4.5, n_radial=5, n_shells=2, weighted=True),
    "radial": kff.SymmetryFunctions([kff.G2(1.0, 2.0)], 4.5),
    "closed": kff.SymmetryFunctions([kff.G4(0.05, 4, -1)], 4.5),
}


def built(parameters, atoms, isa=None):
    descriptor = parameters.build(sorted(set(atoms.numbers)), 2.3)
    return descriptor if isa is None else SymmetryFunctionsDescriptor.from_state(*descriptor.to_state(), isa=isa)


def rows(descriptor, atoms):
    return descriptor.compute(kff.NeighborList.from_atoms(atoms, descriptor.cutoff))


# ---- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("name", DSCRIBE["values"])
def test_dscribe(name, isa):
    """dscribe's order: for each element G1, G2, G3, then for each pair of elements G4, G5."""
    species, pairs = DSCRIBE["values"][name]["species_sorted"], []
    functions, columns, column = [], [], 0
    for z in species:
        radial = [kff.G2(0.0, 0.0, z), *(kff.G2(*p, z) for p in DSCRIBE["G2_eta_Rs"])]  # G1 is G2 without exponent
        functions += radial
        columns += range(column, column + len(radial))
        column += len(radial) + len(DSCRIBE["G3_kappa"])  # G3 is not among ours
    for a, one in enumerate(species):
        pairs += [(one, other) for other in species[: a + 1]]
    for pair in pairs:
        functions += [kff.G4(eta, zeta, lam, pair) for eta, zeta, lam in DSCRIBE["G4_eta_zeta_lambda"]]
        functions += [kff.G5(eta, zeta, lam, pair) for eta, zeta, lam in DSCRIBE["G5_eta_zeta_lambda"]]
    columns += range(column, column + len(functions) - len(columns))
    expected = np.array(DSCRIBE["values"][name]["dscribe"])[:, columns]
    atoms = Atoms(**DSCRIBE["structures"][name])
    descriptor = built(kff.SymmetryFunctions(functions, DSCRIBE["values"][name]["r_cut"]), atoms, isa)
    checks.close(rows(descriptor, atoms)[: len(expected)], expected, 1e-12, name)


@pytest.mark.parametrize("name", ["molecule", "triclinic", "one_atom", "slab"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_against_direct_sums(name, variant):
    atoms = frame(name)
    descriptor = built(VARIANTS[variant], atoms)
    neighbors = kff.NeighborList.from_atoms(atoms, descriptor.cutoff)
    found = descriptor.compute(neighbors)
    for i in range(min(2, len(atoms))):
        mine = slice(neighbors.first[i], neighbors.first[i + 1])
        numbers = atoms.numbers[neighbors.j[mine]]
        expected = [
            naive.symmetry_function(neighbors.vectors[mine], numbers, f, descriptor.cutoff_function)
            for f in descriptor.functions
        ]
        checks.close(found[i], np.array(expected), 1e-12, f"atom {i}")


def test_functions_by_centre_share_columns():
    """One column for each function; centres that do not list it have 0 there."""
    common, own = kff.G2(0.5, 1.0, "H"), kff.G4(0.02, 2, -1, ("H", "O"))
    parameters = kff.SymmetryFunctions({"O": [common, own], 1: [common, kff.G2(0.1, 0.0, 8)]}, 5.0)
    atoms = Atoms("OHH", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    atoms += Atoms("O", [[1.0, 2.0, 1.0]])
    descriptor = built(parameters, atoms)
    q = rows(descriptor, atoms)
    listed = np.array([[f.elements for f in descriptor.functions].index(e) for e in ((1,), (1, 8), (8,))])
    shared, oxygen, hydrogen = q[:, listed].T
    assert (shared > 0).all()
    assert (oxygen[[0, 3]] > 0).all() and not oxygen[[1, 2]].any()
    assert (hydrogen[[1, 2]] > 0).all() and not hydrogen[[0, 3]].any()
    checks.check_pair_gradients(descriptor, atoms)


def test_wildcard_treats_elements_alike():
    atoms = frame("molecule")
    alike = atoms.copy()
    alike.numbers[:] = 14
    parameters = kff.SymmetryFunctions([kff.G2(0.5, 1.0), kff.G4(0.05, 4, -1)], 4.0)
    np.testing.assert_array_equal(rows(parameters.build(None), atoms), rows(parameters.build((14,)), alike))


def test_neighbours_of_absent_elements_cost_no_column():
    parameters = kff.SymmetryFunctions([kff.G2(0.5, 1.0, "Si"), kff.G2(0.5, 1.0, "O"), kff.G5(0.1)], 4.0)
    assert parameters.build((14,)).n_features == 2
    assert parameters.build((8, 14)).n_features == 5


def test_size_of_the_automatic_grid():
    sizes = {
        weighted: [kff.SymmetryFunctions(weighted=weighted).build(z, 2.3).n_features for z in ((14,), (6, 14, 29))]
        for weighted in (False, True)
    }
    assert sizes == {False: [52, 3 * 12 + 6 * 40], True: [52, 52]}
    assert kff.SymmetryFunctions().build((14,), np.inf).n_features == 52
    assert kff.SymmetryFunctions(n_radial=1, n_shells=0).build((14,)).n_features == 1


# ---- derivatives ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("variant", ["mixed", "automatic"])
def test_derivatives_in_every_kind_of_frame(name, variant):
    atoms = frame(name)
    checks.check_pair_gradients(built(VARIANTS[variant], atoms), atoms, n_pairs=6)


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("variant", VARIANTS)
def test_derivatives_of_every_variant(variant, isa):
    atoms = frame("molecule")
    checks.check_pair_gradients(built(VARIANTS[variant], atoms, isa), atoms, n_pairs=4)


def test_derivatives_of_scaled_features():
    frames = [frame("triclinic", seed=k) for k in range(4)]
    descriptor = built(VARIANTS["mixed"], frames[0]).scaled_to(frames)
    checks.check_pair_gradients(descriptor, frames[0], n_pairs=6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_instruction_sets_agree(variant):
    for name in ("triclinic", "molecule", "silicon"):
        atoms = frame(name)
        found = []
        for isa in available_isas():
            descriptor = built(VARIANTS[variant], atoms, isa)
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
    descriptor = built(VARIANTS["mixed"], atoms)
    checks.check_invariances(lambda a: rows(descriptor, a), atoms)
    checks.check_supercell(lambda a: rows(descriptor, a), atoms)
    checks.check_input_untouched(lambda a: rows(descriptor, a), atoms)


def test_threads():
    frames = [frame("silicon", seed=k) for k in range(3)]
    descriptor = built(VARIANTS["automatic"], frames[0])
    checks.check_threads(lambda a: rows(descriptor, a), frames)


@pytest.mark.parametrize("variant", ["mixed", "tanh", "automatic"])
def test_smooth_at_the_cutoff(variant):
    """Value and slope of a third atom's influence vanish as it leaves the sphere, and of r_jk as it grows."""
    rc = 4.5
    for place in ([1.0, 0.0, 0.0], [0.0, -0.6, -0.8]):  # beside the other neighbour, and opposite to it
        values, slopes = [], []
        for distance in (rc - 1e-3, rc - 1e-6, rc + 1e-6):
            atoms = Atoms("Si3", [[0, 0, 0], [0, 1.2, 1.6], distance * np.array(place)])
            descriptor = built(VARIANTS[variant], atoms)
            q, dq = descriptor.gradients(kff.NeighborList.from_atoms(atoms, rc), 0, 1)
            values.append(q[0])
            slopes.append(np.abs(dq[1:]).max(initial=0.0))
        scale = np.abs(values[2]).max()
        assert np.abs(values[0] - values[2]).max() < 1e-5 * scale
        assert np.abs(values[1] - values[2]).max() < 1e-11 * scale
        assert slopes[0] < 2e-2 * scale and slopes[1] < 2e-5 * scale and slopes[2] == 0.0


def test_smooth_where_two_neighbours_lose_sight_of_each_other():
    descriptor = kff.SymmetryFunctions([kff.G4(0.02, 2, 1, cutoff=3.0), kff.G2(0.1)], 4.0).build((14,))
    found = []
    for r_jk in (3.0 - 1e-6, 3.0 + 1e-6):
        half = np.arcsin(0.5 * r_jk / 2.0)
        atoms = Atoms("Si3", [[0, 0, 0], *(2.0 * np.array([np.cos(half), s * np.sin(half), 0]) for s in (1, -1))])
        found.append(descriptor.gradients(kff.NeighborList.from_atoms(atoms, 4.0), 0, 1))
    assert np.abs(found[0][0] - found[1][0])[0, 0] < 1e-10
    assert np.abs(found[0][1] - found[1][1])[..., 0].max() < 1e-5


def test_blocks_of_centres_and_longer_lists():
    atoms = frame("slab")
    descriptor = built(VARIANTS["mixed"], atoms)
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


def test_empty_frame_and_isolated_atom():
    descriptor = VARIANTS["mixed"].build((14,))
    assert rows(descriptor, Atoms()).shape == (0, descriptor.n_features)
    assert not rows(descriptor, Atoms("Si")).any()


def test_extreme_parameters_and_straight_angles_stay_finite():
    extreme = [kff.G2(1e6, 1e3), kff.G2(1e6, 1.5), kff.G2(0.0, cutoff=100.0), kff.G4(1e6, 256, -1), kff.G4(0.0, 256, 1)]
    extreme += [
        kff.G5(0.1, 1.5, -1),
        kff.G5(0.1, 1.5, 1),
        kff.W5(0.0, 256, 1),
        kff.G4(0.0, 1, 1, r_s=-1e3, cutoff=1e-3),
    ]
    atoms = Atoms("SiCSiSi", [[0, 0, 0], [1.5, 0, 0], [3.0, 0, 0], [-1.5, 0, 0]])
    for kind in ("cosine", "tanh3"):
        descriptor = kff.SymmetryFunctions(extreme, 5.0, cutoff_function=kind).build((6, 14))
        neighbors = kff.NeighborList.from_atoms(atoms, descriptor.cutoff)
        q, dq = descriptor.gradients(neighbors)
        assert np.isfinite(q).all() and np.isfinite(dq).all()
        assert np.isfinite(descriptor.backward(neighbors, np.ones_like(q))).all()


# ---- scaling --------------------------------------------------------------------------------------


def test_scaled_features_have_mean_0_and_deviation_1_for_each_element():
    frames = [frame("triclinic", seed=k) for k in range(6)]
    descriptor = built(VARIANTS["mixed"], frames[0]).scaled_to(frames)
    q = np.concatenate([rows(descriptor, atoms) for atoms in frames])
    numbers = np.concatenate([atoms.numbers for atoms in frames])
    for z in (6, 14):
        np.testing.assert_allclose(q[numbers == z].mean(axis=0), 0, atol=1e-12)
        deviations = q[numbers == z].std(axis=0)
        varies = deviations > 1e-9  # an atom's own images stand still
        np.testing.assert_allclose(deviations[varies], 1, rtol=1e-10)
        assert varies.sum() > 10


def test_functions_that_never_vary_are_not_magnified():
    atoms = frame("silicon", rattle=0.0)
    bare = built(VARIANTS["mixed"], atoms)
    descriptor = bare.scaled_to([atoms])
    values = rows(bare, atoms)[0]
    occurs = values > 0
    np.testing.assert_allclose((descriptor.scale[0] * values)[occurs], 1000.0, rtol=1e-9)
    np.testing.assert_array_equal(descriptor.scale[0][~occurs], 1.0)
    assert 0 < occurs.sum() < len(occurs)
    assert np.abs(rows(descriptor, atoms)).max() < 1e-9
    lonely = bare.scaled_to([Atoms("Si")])
    np.testing.assert_array_equal(lonely.scale, 1.0)
    np.testing.assert_array_equal(rows(lonely, atoms), rows(bare, atoms))


# ---- as a parameter object and in files -----------------------------------------------------------


def test_scikit_learn_face():
    frames = [frame("silicon", seed=k) for k in range(3)] + [frame("triclinic")]
    parameters = clone(VARIANTS["automatic"]).set_params(n_radial=4)
    means = make_pipeline(parameters, StandardScaler(with_std=False)).fit_transform(frames)
    q, frame_index, centre_index = parameters.features(frames)
    assert len(q) == sum(map(len, frames)) == len(centre_index) and parameters.get_params()["n_radial"] == 4
    expected = np.stack([q[frame_index == k].mean(axis=0) for k in range(len(frames))])
    np.testing.assert_allclose(means, expected - expected.mean(axis=0), atol=1e-14)
    listed = clone(VARIANTS["mixed"])
    assert listed.functions == MIXED and listed.functions is not MIXED


def test_state_round_trip_and_pickle():
    frames = [frame("triclinic", seed=k) for k in range(3)]
    for descriptor in (built(VARIANTS["tanh"], frames[0]), built(VARIANTS["tanh"], frames[0]).scaled_to(frames)):
        params, arrays = descriptor_to_state(descriptor)
        params = json.loads(json.dumps(params))
        for copy in (descriptor_from_state(params, arrays), pickle.loads(pickle.dumps(descriptor))):
            np.testing.assert_array_equal(rows(copy, frames[0]), rows(descriptor, frames[0]))
            assert copy.species == (6, 14) and copy.functions == descriptor.functions


def test_states_of_another_shape_are_refused():
    params, arrays = descriptor_to_state(VARIANTS["radial"].build((6, 14)))
    with pytest.raises(ValueError, match=r"scale: must be of shape \(2, 2\), got \(1, 2\)"):
        descriptor_from_state(params, arrays | {"scale": arrays["scale"][:1]})


def test_plain_parameters_rebuild_the_object():
    by_centre = kff.SymmetryFunctions({"Si": MIXED, 6: [kff.G2(1.0), kff.G4(0.1, neighbours=("C", 14))]}, 4.0)
    for parameters in (VARIANTS["mixed"], VARIANTS["automatic"], by_centre):
        plain = json.loads(json.dumps(parameters.plain_parameters()))
        one, two = (p.build((6, 14), 2.0) for p in (parameters, kff.SymmetryFunctions(**plain)))
        assert one.functions == two.functions and np.array_equal(one.scale, two.scale)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kff.G2(-1.0), r"G2 eta: must be a number from 0 to 1e6 1/Å\^2, got -1.0"),
        (lambda: kff.G2("a"), "G2 eta"),
        (lambda: kff.G2(1.0, np.nan), "G2 r_s"),
        (lambda: kff.G2(1.0, cutoff=0.0), "G2 cutoff"),
        (lambda: kff.G4(0.1, zeta=0.5), "G4 zeta: must be a number from 1"),
        (lambda: kff.W4(0.1, lambda_=2), "W4 lambda_: must be a number from -1 to 1"),
        (lambda: kff.G5(0.1, neighbours="Si"), "neighbours: must be two elements"),
        (lambda: kff.SymmetryFunctions([kff.G2(1.0, neighbour="Xx")]).build((14,)), "neighbour: 'Xx' is no element"),
        (lambda: kff.SymmetryFunctions([kff.G2(1.0, neighbour="Si")]).build(None), "species: must be atomic numbers"),
        (lambda: kff.SymmetryFunctions([kff.W2(1.0)]).build(None), "species: must be atomic numbers for W2"),
        (lambda: kff.SymmetryFunctions([]).build((14,)), "functions: none for central atoms with atomic number 14"),
        (lambda: kff.SymmetryFunctions({"H": [kff.G2(1.0)]}).build((1, 14)), "functions: none for central .* 14"),
        (lambda: kff.SymmetryFunctions([(1.0, 2.0)]).build((14,)), "functions: every entry must be one of G2, G4"),
        (lambda: kff.SymmetryFunctions([{"function": "G2", "x": 1}]).build((14,)), "does not have the parameters"),
        (lambda: kff.SymmetryFunctions(cutoff=-1.0).build((14,)), "cutoff: must be a length > 0 and up to 100"),
        (lambda: kff.SymmetryFunctions(n_radial=0).build((14,)), "n_radial: must be a whole number from 1"),
        (lambda: kff.SymmetryFunctions(n_shells=1.5).build((14,)), "n_shells: must be a whole number"),
        (lambda: kff.SymmetryFunctions(cutoff_function="hard").build((14,)), "cutoff_function: must be one of"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_species_and_lists():
    descriptor = VARIANTS["mixed"].build((14, 6))
    with pytest.raises(ValueError, match=r"holds Cu \(Z = 29\), .*built for C \(6\), Si \(14\). Refit"):
        rows(descriptor, frame("slab"))
    with pytest.raises(ValueError, match=r"reaches 3.0 Å, the descriptor needs 4.5 Å"):
        descriptor.compute(kff.NeighborList.from_atoms(frame("dimer"), 3.0))
    neighbors = kff.NeighborList.from_atoms(frame("dimer"), 4.5)
    with pytest.raises(ValueError, match="dE_dq: must be of shape"):
        descriptor.backward(neighbors, np.ones((2, 3)))
    with pytest.raises(ValueError, match="centres: must be a slice with step 1"):
        descriptor.compute(neighbors, slice(0, 2, 2))
