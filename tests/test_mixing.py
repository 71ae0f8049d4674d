"""Mixed channels of SOAP: what they are, what they keep, and that everything else still holds."""

import json

import checks
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from systems import FRAMES, frame
from typer.testing import CliRunner

import kernelff as kff
from kernelff._soap import available_isas
from kernelff.assembly import fill_gradient_rows, local_values
from kernelff.cli import app
from kernelff.cli.info import model_rows
from kernelff.descriptors import SOAPDescriptor, descriptor_from_state, descriptor_to_state
from kernelff.descriptors.mixing import Mixing, coefficient_covariance, similarity
from kernelff.io.gap_write import write_gap

NEAREST = 1.9
SMALL = {"cutoff": 4.0, "n_max": 4, "l_max": 3}
VARIANTS = {
    "learnt": kff.SOAP(**SMALL, n_channels=5),
    "random": kff.SOAP(**SMALL, n_channels=3, mixing="random", mixing_seed=4),
    "alchemical": kff.SOAP(**SMALL, n_channels=4, mixing="alchemical"),
    "two vectors": kff.SOAP(cutoff=4.0, n_max=6, l_max=2, n_channels=11, mixing="random"),
    "one channel": kff.SOAP(**SMALL, n_channels=1),
    "central everywhere": kff.SOAP(**SMALL, n_channels=6, central_reference_all_species=True, normalize=False),
}
ELEMENTS = (24, 25, 26, 27, 28)  # Cr Mn Fe Co Ni


def mixed(soap, frames, isa=None):
    species = sorted({int(z) for atoms in frames for z in atoms.numbers})
    descriptor = soap.build(species, NEAREST, frames=frames)
    return descriptor if isa is None else SOAPDescriptor.from_state(*descriptor.to_state(), isa=isa)


def rows(descriptor, atoms):
    return descriptor.compute(kff.NeighborList.from_atoms(atoms, descriptor.cutoff))


def unpacked(q, n_l, n):
    """Power spectra as matrices (n_environments, n_l, n, n) of sum_m c_u c_v / sqrt(2l + 1)."""
    u, v = np.triu_indices(n)
    p = np.zeros((len(q), n_l, n, n))
    p[..., u, v] = p[..., v, u] = q.reshape(len(q), n_l, -1) / np.where(u == v, 1.0, np.sqrt(2.0))
    return p


def with_matrices(full, matrices):
    """A descriptor with given mixing matrices."""
    matrices = np.asarray(matrices, dtype=float)
    params, arrays = full.to_state()
    return SOAPDescriptor.from_state(params | {"explained": None}, arrays | {"mixing": matrices})


# ---- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("everywhere", [False, True])
def test_mixed_spectrum_is_the_mixed_full_one(everywhere):
    """U p U' of the full spectrum p, for any matrices U."""
    soap = kff.SOAP(**SMALL, normalize=False, central_reference_all_species=everywhere)
    atoms = frame("molecule")
    full = soap.build((1, 6, 8), NEAREST)
    U = np.random.default_rng(0).normal(size=(4, 5, 12))
    expected = np.einsum("lqu,iluv,lrv->ilqr", U, unpacked(rows(full, atoms), 4, 12), U)
    found = unpacked(rows(with_matrices(full, U.reshape(4, 5, 3, 4)), atoms), 4, 5)
    checks.close(found, expected, 1e-12, "mixed spectrum")


def test_identity_keeps_the_full_descriptor_and_a_unit_row_one_channel():
    atoms = frame("molecule")
    full = kff.SOAP(**SMALL).build((1, 6, 8), NEAREST)
    same = with_matrices(full, np.tile(np.eye(12).reshape(12, 3, 4), (4, 1, 1, 1)))
    assert same.n_features == full.n_features
    checks.close(rows(same, atoms), rows(full, atoms), 1e-13, "identity")
    bare = kff.SOAP(**SMALL, normalize=False).build((1, 6, 8), NEAREST)
    unit = np.zeros((4, 1, 3, 4))
    unit[:, 0, 1, 2] = 1.0  # carbon, third radial function
    found = rows(with_matrices(bare, unit), atoms)
    np.testing.assert_allclose(found, unpacked(rows(bare, atoms), 4, 12)[:, :, 6, 6], rtol=1e-11, atol=1e-15)


def test_all_channels_learnt_without_similarity_only_rotate():
    """Kernels are those of the full descriptor: the spectrum's norm does not see rotations of its channels."""
    frames = [frame("molecule", seed=k) for k in range(3)]
    q = rows(mixed(kff.SOAP(**SMALL, n_channels=12, similarity_length=0), frames), frames[0])
    p = rows(mixed(kff.SOAP(**SMALL), frames), frames[0])
    checks.close(q @ q.T, p @ p.T, 1e-12, "kernels")


def test_covariance_is_that_of_the_coefficients():
    """Against the trace of each element's own descriptor, and its blocks against the mean spectrum."""
    frames = [frame("molecule", seed=k) for k in range(2)] + [frame("isolated")]
    full = kff.SOAP(**SMALL).build((1, 6, 8, 14), NEAREST)
    q = np.concatenate([rows(full, atoms) for atoms in frames])
    expected = unpacked(q, 4, 16).mean(axis=0) * np.sqrt([1.0, 3.0, 5.0, 7.0])[:, None, None]
    checks.close(coefficient_covariance(full, frames), expected, 1e-13, "covariance")


def test_more_channels_explain_more():
    frames = [frame("molecule", seed=k) for k in range(3)]
    kept = [mixed(kff.SOAP(**SMALL, n_channels=n), frames).mixing.explained for n in (1, 4, 8, 12)]
    assert 0.0 < kept[0] < kept[1] < kept[2] < kept[3] == pytest.approx(1.0, abs=1e-9)
    assert kff.SOAP(**SMALL, n_channels=3, mixing="random").build((14,), NEAREST).mixing.explained is None


def test_rare_elements_are_not_lost():
    """An element of one frame in many still changes the spectra of its neighbours."""
    frames = [frame("silicon", seed=k) for k in range(20)]
    frames.append(frames[0].copy())
    frames[-1].numbers[3] = 32
    descriptor = mixed(kff.SOAP(**SMALL, n_channels=4), frames)
    difference = rows(descriptor, frames[-1]) - rows(descriptor, frames[0])
    assert np.abs(difference).max(axis=1).min() > 1e-3


def test_one_element_and_wildcard():
    """Radial functions alone are mixed too, and a wildcard treats elements alike."""
    atoms = frame("silicon")
    soap = kff.SOAP(**SMALL, n_channels=2)
    one = soap.build((14,), NEAREST, frames=[atoms])
    any_element = soap.build(None, NEAREST, frames=[atoms])
    assert one.n_features == 4 * 3
    np.testing.assert_array_equal(rows(one, atoms), rows(any_element, atoms))


def test_exchange_of_two_elements():
    """Similarity is symmetric and learnt mixing follows the data: swapping names changes nothing."""
    frames = [frame("chain", seed=k) for k in range(4)]
    swapped = [atoms.copy() for atoms in frames]
    for atoms in swapped:
        atoms.numbers = np.where(atoms.numbers == 6, 14, 6)
    q, p = (rows(mixed(VARIANTS["learnt"], some), some[0]) for some in (frames, swapped))
    checks.close(p, q, 1e-9, "swapped elements")


def test_similarity_of_elements():
    found = similarity((1, 6, 8, 41, 42, 57, 58, 118), 1.5)
    assert np.array_equal(found, found.T) and np.linalg.eigvalsh(found).min() > 0.05
    assert np.array_equal(np.diag(found), np.ones(8))
    assert found[3, 4] == pytest.approx(0.9 * np.exp(-0.5 / 1.5**2))  # Nb and Mo: one group
    assert found[1, 2] == pytest.approx(0.9 * np.exp(-2.0 / 1.5**2))  # C and O: two groups
    assert found[0, 1] < 1e-10 and 0.89 < found[5, 6] < 0.9  # H and C; La and Ce
    np.testing.assert_array_equal(similarity((6, 8), 0.0), np.eye(2))


# ---- derivatives and symmetries -------------------------------------------------------------------


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("variant", VARIANTS)
def test_derivatives(variant, isa):
    frames = [frame("molecule"), frame("chain")]
    for atoms in frames:
        checks.check_pair_gradients(mixed(VARIANTS[variant], frames, isa), atoms, n_pairs=4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_instruction_sets_agree(variant):
    atoms = frame("molecule")
    neighbors = kff.NeighborList.from_atoms(atoms, 4.0)
    found = []
    for isa in available_isas():
        descriptor = mixed(VARIANTS[variant], [atoms], isa)
        weights = np.random.default_rng(0).normal(size=(len(atoms), descriptor.n_features))
        found.append((*descriptor.gradients(neighbors), descriptor.backward(neighbors, weights)))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            checks.close(b, a, 1e-12, str(available_isas()))


@pytest.mark.parametrize("name", FRAMES)
def test_invariances(name):
    atoms = frame(name)
    n_elements = len(set(atoms.numbers))
    descriptor = mixed(kff.SOAP(**SMALL, n_channels=2 + n_elements), [atoms])
    checks.check_invariances(lambda a: rows(descriptor, a), atoms)
    checks.check_supercell(lambda a: rows(descriptor, a), atoms)
    checks.check_input_untouched(lambda a: rows(descriptor, a), atoms)
    checks.check_pair_gradients(descriptor, atoms, n_pairs=3)


def test_threads():
    frames = [frame("molecule", seed=k) for k in range(4)]
    descriptor = mixed(VARIANTS["learnt"], frames)
    checks.check_threads(lambda a: rows(descriptor, a), frames)


# ---- five elements --------------------------------------------------------------------------------


def energy_and_forces(atoms, width=0.8):
    """Smooth made-up energy: pairs, and squares of a weighted coordination (so three-body), scales by element."""
    neighbors = kff.NeighborList.from_atoms(atoms, 4.5)
    scale = 1.0 + 0.05 * (atoms.numbers - 26)
    r, i, j = neighbors.distances, neighbors.i, neighbors.j
    switch, slope = (1.0 - (r / 4.5) ** 2) ** 3, -6.0 * r / 4.5**2 * (1.0 - (r / 4.5) ** 2) ** 2
    strength, decay = scale[i] * scale[j], np.exp(-(r - 2.4) / width)
    density = np.bincount(i, weights=scale[j] * switch, minlength=len(atoms))
    e_i = np.bincount(i, weights=0.5 * strength * decay * switch, minlength=len(atoms)) + 0.03 * scale * density**2
    dE_dr = 0.5 * strength * decay * (slope - switch / width) + 0.06 * (scale * density)[i] * scale[j] * slope
    pair = dE_dr[:, None] * neighbors.vectors / r[:, None]
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, i, pair)
    np.add.at(forces, j, -pair)
    return float(e_i.sum()), forces


def alloys(n, seed):
    """Rattled fcc cells with five elements at random."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(n):
        atoms = bulk("Ni", "fcc", a=3.6, cubic=True).repeat((2, 2, 1))
        atoms.numbers = rng.choice(ELEMENTS, len(atoms))
        atoms.positions += rng.normal(0.0, 0.08, atoms.positions.shape)
        energy, forces = energy_and_forces(atoms)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    return frames


def test_size_does_not_follow_the_number_of_elements():
    soap = kff.SOAP(**SMALL, n_channels=6)
    for n in (2, 3, 5):
        frames = alloys(2, 0)
        for atoms in frames:
            atoms.numbers = np.resize(ELEMENTS[:n], len(atoms))
        assert mixed(soap, frames).n_features == 4 * 21
    assert mixed(kff.SOAP(**SMALL), alloys(1, 0)).n_features == 4 * 210


def fitted(soap, frames, **settings):
    settings = {"n_sparse": 25, "calibrate": False, "n_jobs": 1, "zbl": False} | settings
    return kff.SparseGPR(soap, **settings).fit(frames)


def test_five_elements_are_learnt_with_few_channels():
    """A sixth of the features, and better: the full descriptor knows nothing of how elements resemble each other."""
    train, test = alloys(24, 1), alloys(4, 2)
    errors = []
    for n_channels in (None, 8):
        model = fitted(kff.SOAP(cutoff=4.5, n_max=4, l_max=3, n_channels=n_channels), train, n_sparse=300)
        errors.append({row["kind"]: row["mae"] for row in model.evaluate(test).errors(by=None)}["forces"])
    size = 1e3 * np.abs(np.concatenate([atoms.get_forces() for atoms in test])).mean()
    assert errors[1] < errors[0] and errors[1] < 0.5 * size


def test_made_up_forces_are_derivatives():
    atoms = alloys(1, 3)[0]
    forces, h = energy_and_forces(atoms)[1], 1e-5
    for a, c in ((0, 0), (5, 2)):
        energies = []
        for step in (h, -h):
            moved = atoms.copy()
            moved.positions[a, c] += step
            energies.append(energy_and_forces(moved)[0])
        assert (energies[1] - energies[0]) / (2 * h) == pytest.approx(forces[a, c], rel=1e-6, abs=1e-7)


# ---- in models and files --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return fitted(kff.SOAP(**SMALL, n_channels=5), alloys(6, 4))


def test_fitting_rows_agree_with_the_potential(model):
    potential, atoms = model.potential_, alloys(1, 5)[0]
    neighbors = kff.NeighborList.from_atoms(atoms, potential.cutoff)
    forces = np.zeros((3 * len(atoms), potential.weights.size + 2))
    fill_gradient_rows(potential.terms, neighbors, forces, np.zeros((0, forces.shape[1])))
    phi, _ = local_values(potential.terms, neighbors)
    found, size = potential.compute(atoms), np.abs(phi.sum(axis=0)) @ np.abs(potential.weights)
    plain = found.energy - sum(potential.e0[int(z)] for z in atoms.numbers)
    assert abs(phi.sum(axis=0) @ potential.weights - plain) <= 1e-9 * size
    rows_size = np.abs(forces[:, :-2]) @ np.abs(potential.weights)
    error = np.abs(forces[:, :-2] @ potential.weights - found.forces.ravel())
    assert (error <= 1e-9 * rows_size.max()).all()


def test_model_file(model, tmp_path):
    atoms = alloys(1, 6)[0]
    model.save(tmp_path / "mixed.kff")
    expected, found = model.potential_.compute(atoms), kff.load(tmp_path / "mixed.kff").compute(atoms)
    np.testing.assert_array_equal(found.forces, expected.forces)
    again = kff.load_model(tmp_path / "mixed.kff")
    assert again.descriptors[0].n_channels == 5
    kept = model.potential_.terms[0].descriptor.mixing.explained
    assert again.potential_.terms[0].descriptor.mixing.explained == kept
    shown = dict(model_rows(tmp_path / "mixed.kff"))
    assert shown["mixed channels"].startswith("5 channels determine ") and f"{100 * kept:.2f} %" in str(shown)


def test_command_fits_and_shows_mixed_channels(tmp_path):
    write(tmp_path / "train.xyz", alloys(6, 9))
    small = ["--n-sparse", "25", "--cutoff", "4.0", "--n-max", "3", "--l-max", "2", "--jobs", "1"]
    arguments = ["fit", tmp_path / "train.xyz", "--output", tmp_path / "m.kff", "--n-channels", "4", *small]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "4 mixed channels determine" in " ".join(result.output.split())


def test_new_frames_keep_the_mixing(model):
    refitted = fitted(kff.SOAP(**SMALL, n_channels=5), alloys(6, 4))
    before = refitted.potential_.terms[0].descriptor
    refitted.partial_fit(alloys(1, 7))
    assert refitted.potential_.terms[0].descriptor is before


def test_state_round_trip():
    atoms = frame("molecule")
    for soap in VARIANTS.values():
        descriptor = mixed(soap, [atoms])
        params, arrays = descriptor_to_state(descriptor)
        copy = descriptor_from_state(json.loads(json.dumps(params)), arrays)
        np.testing.assert_array_equal(rows(copy, atoms), rows(descriptor, atoms))
        assert copy.mixing.explained == descriptor.mixing.explained and isinstance(copy.mixing, Mixing)


def test_without_mixing_nothing_is_stored():
    """Files of models without mixed channels are what they were before there were any."""
    params, arrays = kff.SOAP(**SMALL).build((14,), NEAREST).to_state()
    assert set(arrays) == {"knots", "central"} and "explained" not in params
    assert not {"n_channels", "mixing", "similarity_length", "mixing_seed"} & set(params["parameters"])


def test_scikit_learn_face():
    frames = [frame("molecule", seed=k) for k in range(2)]
    soap = kff.SOAP(**SMALL, n_channels=3)
    assert soap.fit_transform(frames).shape == (2, 4 * 6)
    assert soap.descriptor_.mixing.explained > 0.5


def test_gap_xml_refuses_mixed_channels(tmp_path):
    soap = kff.SOAP(**SMALL, n_channels=3, radial_basis="quip", scaling_exponent=0)
    with pytest.raises(ValueError, match=r"n_channels: QUIP does not know mixed channels \(3 here\).*None"):
        write_gap(tmp_path / "gap.xml", fitted(soap, alloys(6, 8)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"n_channels": 0},
            r"n_channels: must be a whole number from 1 to 8 \(elements x n_max = 2 x 4\)",
        ),
        ({"n_channels": 9}, "n_channels: must be .* got 9"),
        ({"n_channels": 2.0}, "n_channels: "),
        ({"n_channels": True}, "n_channels: "),
        ({"mixing": "pca"}, r"mixing: must be one of \('learnt', 'alchemical', 'random'\), got 'pca'"),
        ({"n_channels": 6, "mixing": "alchemical"}, "n_channels: must be a multiple of n_max = 4"),
        ({"similarity_length": -1.0}, "similarity_length: must be a number >= 0, got -1.0"),
        ({"similarity_length": np.nan}, "similarity_length: "),
        ({"mixing_seed": -1}, "mixing_seed: must be a whole number >= 0"),
        ({"n_channels": 3}, r"mixing: 'learnt' follows the data, so build\(\) needs frames"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        kff.SOAP(**SMALL, **parameters).build((6, 14), NEAREST)


def test_frames_without_neighbours():
    """Nothing to learn from isolated atoms but their own density; the result is still finite."""
    frames = [Atoms("Si"), Atoms("C")]
    descriptor = mixed(kff.SOAP(**SMALL, n_channels=3), frames)
    q = rows(descriptor, frame("triclinic"))
    assert np.isfinite(q).all() and np.linalg.norm(q, axis=1) == pytest.approx(1.0)
