"""SOAP against slow twins, other codes, finite differences and symmetries."""

import json
import os
import pickle
import re
import subprocess
import sys
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
from kernelff import _soap
from kernelff._soap import available_isas
from kernelff.descriptors import SOAPDescriptor, descriptor_from_state, descriptor_to_state, quip_order

OTHER = json.loads((Path(__file__).parent / "data" / "soap_other_codes.json").read_text())
NEAREST = 2.35
QUIP = {"radial_basis": "quip", "scaling_exponent": 0, "cutoff_width": 0.5}
VARIANTS = {
    "default": kff.SOAP(),
    "small": kff.SOAP(cutoff=4.0, n_max=3, l_max=2),
    "odd": kff.SOAP(cutoff=4.2, n_max=5, l_max=3, central_weight=0.3, scaling_exponent=2),
    "two vectors": kff.SOAP(cutoff=4.0, n_max=9, l_max=5),
    "high degree": kff.SOAP(cutoff=3.5, n_max=4, l_max=12, atom_sigma=0.3),
    "radial only": kff.SOAP(cutoff=4.5, n_max=6, l_max=0),
    "l = 1": kff.SOAP(cutoff=4.5, n_max=2, l_max=1),
    "one function": kff.SOAP(cutoff=4.0, n_max=1, l_max=2),
    "not normalised": kff.SOAP(cutoff=4.0, n_max=4, l_max=4, normalize=False),
    "quip": kff.SOAP(cutoff=4.5, n_max=6, l_max=4, atom_sigma=0.5, **QUIP),
    "no central atom": kff.SOAP(cutoff=4.5, n_max=4, l_max=3, central_weight=0.0),
}


def built(soap, atoms, isa=None):
    descriptor = soap.build(sorted(set(atoms.numbers)), NEAREST)
    return descriptor if isa is None else SOAPDescriptor.from_state(*descriptor.to_state(), isa=isa)


def rows(descriptor, atoms):
    return descriptor.compute(kff.NeighborList.from_atoms(atoms, descriptor.cutoff))


def recorded_frame(name):
    s = OTHER["structures"][name]
    return Atoms(numbers=s["numbers"], positions=s["positions"], cell=s["cell"], pbc=s["pbc"])


# ---- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dimer", "molecule", "triclinic", "isolated"])
@pytest.mark.parametrize(
    "soap",
    [
        kff.SOAP(cutoff=3.5, n_max=4, l_max=3, scaling_radius=2.6, cutoff_width=0.8),
        kff.SOAP(cutoff=3.2, n_max=3, l_max=5, scaling_exponent=0, central_weight=0.4, normalize=False),
    ],
    ids=["scaled", "plain"],
)
def test_against_brute_force(soap, name):
    atoms = frame(name)
    descriptor = built(soap, atoms)
    neighbors = kff.NeighborList.from_atoms(atoms, soap.cutoff)
    q = descriptor.compute(neighbors)
    channel = np.searchsorted(descriptor.species, atoms.numbers)
    for i in range(min(2, len(atoms))):
        mine = slice(neighbors.first[i], neighbors.first[i + 1])
        channels = channel[neighbors.j[mine]]
        expected = naive.soap(neighbors.vectors[mine], channels, channel[i], len(descriptor.species), soap)
        checks.close(q[i], expected, 1e-10, f"atom {i}")


@pytest.mark.parametrize("name", OTHER["quippy"])
def test_quip_vectors(name):
    """QUIP's basis, conventions and feature order (elements there in the order of its command line)."""
    text, expected = OTHER["quippy"][name]["descriptor"], np.array(OTHER["quippy"][name]["vectors"])[:, :-1]

    def key(word, default=None):
        found = re.search(rf"\b{word}=(\{{[^}}]*\}}|\S+)", text)
        return found[1] if found else default

    atoms = recorded_frame(name)
    order = key("species_Z")
    order = None if order is None else [int(z) for z in order.strip("{}").split()]
    soap = kff.SOAP(
        cutoff=float(key("cutoff")),
        n_max=int(key("n_max")),
        l_max=int(key("l_max")),
        atom_sigma=float(key("atom_sigma")),
        cutoff_width=float(key("cutoff_transition_width", 0.5)),
        radial_basis="quip",
        scaling_exponent=0,
        central_weight=float(key("central_weight", 1.0)),
        central_reference_all_species=key("central_reference_all_species") == "T",
        normalize=key("normalise", "T") == "T",
    )
    q = rows(soap.build(order), atoms)
    if key("Z") == "8":
        q = q[atoms.numbers == 8]
    n_channels = soap.n_max * (1 if order is None else len(order))
    found = q[: len(expected), quip_order(n_channels, soap.l_max)]
    if order is not None and order != sorted(order):  # other order of channels, same products
        found, expected = found @ found.T, expected @ expected.T
    checks.close(found, expected, 1e-10, name)


@pytest.mark.parametrize("point", OTHER["gap_fit"], ids=lambda point: f"Z{point['numbers'][0]}-{len(point['numbers'])}")
def test_sparse_points_of_gap_fit(point):
    """Environments that gap_fit stored, with the settings of the published Si and Mo potentials (n8 l8)."""
    atoms = Atoms(**{key: point[key] for key in ("numbers", "positions", "cell", "pbc")})
    soap = kff.SOAP(cutoff=point["cutoff"], n_max=8, l_max=8, atom_sigma=0.5, **QUIP)
    found = rows(built(soap, atoms), atoms)[point["centre"], quip_order(8, 8)]
    checks.close(found, np.array(point["vector"]), 1e-10, "sparse point")


@pytest.mark.parametrize("name", OTHER["featomic"]["kernels"])
def test_featomic_kernels(name):
    settings = OTHER["featomic"]["parameters"]
    soap = kff.SOAP(
        cutoff=settings["cutoff"]["radius"],
        cutoff_width=settings["cutoff"]["smoothing"]["width"],
        atom_sigma=settings["density"]["width"],
        n_max=settings["basis"]["radial"]["max_radial"] + 1,
        l_max=settings["basis"]["max_angular"],
        scaling_exponent=0,
        normalize=False,
    )
    atoms = recorded_frame(name)
    q = rows(built(soap, atoms), atoms)
    norm2 = (q**2).sum(axis=1)
    ratio = np.array(OTHER["featomic"]["norm2"][name]) / norm2
    checks.close(ratio, np.full(len(ratio), ratio[0]), 1e-10, "norms, up to the constant that we leave out")
    unit = q / np.sqrt(norm2)[:, None]
    checks.close(unit @ unit.T, np.array(OTHER["featomic"]["kernels"][name]), 1e-10, name)


def test_wildcard_treats_elements_alike():
    atoms = frame("molecule")
    alike = atoms.copy()
    alike.numbers[:] = 14
    soap = VARIANTS["small"]
    found = rows(soap.build(None, NEAREST), atoms)
    np.testing.assert_array_equal(found, rows(soap.build((14,), NEAREST), alike))


def test_absent_species_have_empty_channels():
    """Built for more elements, the same numbers stand in the channels that occur."""
    atoms = frame("dimer")
    soap = kff.SOAP(cutoff=4.0, n_max=3, l_max=2)
    one, three = (rows(soap.build(z, NEAREST), atoms) for z in ((14,), (6, 14, 29)))
    assert np.count_nonzero(np.abs(three).max(axis=0)) == one.shape[1]
    checks.close(three[np.abs(three) > 0].reshape(one.shape), one, 1e-13, "occupied channels")


# ---- derivatives ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("variant", ["default", "odd"])
def test_derivatives_in_every_kind_of_frame(name, variant):
    atoms = frame(name)
    checks.check_pair_gradients(built(VARIANTS[variant], atoms), atoms)


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("variant", VARIANTS)
def test_derivatives_of_every_variant(variant, isa):
    atoms = frame("molecule")
    checks.check_pair_gradients(built(VARIANTS[variant], atoms, isa), atoms, n_pairs=4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_instruction_sets_agree(variant):
    for name in ("triclinic", "molecule", "silicon"):
        atoms = frame(name)
        neighbors = kff.NeighborList.from_atoms(atoms, VARIANTS[variant].cutoff)
        found = []
        for isa in available_isas():
            descriptor = built(VARIANTS[variant], atoms, isa)
            assert descriptor.isa == isa
            weights = np.random.default_rng(0).normal(size=(len(atoms), descriptor.n_features))
            found.append((*descriptor.gradients(neighbors), descriptor.backward(neighbors, weights)))
        for other in found[1:]:
            for a, b in zip(found[0], other, strict=True):
                checks.close(b, a, 1e-12, f"{name}: {available_isas()}")


def test_instruction_set_can_be_forced():
    """The extension alone is loaded: importing the package would take seconds each time."""
    code = (
        f"import importlib.util as u; spec = u.spec_from_file_location('_soap', {_soap.__file__!r}); "
        "module = u.module_from_spec(spec); spec.loader.exec_module(module); print(module.chosen_isa())"
    )
    for isa in (*available_isas(), "mmx"):
        run = subprocess.run([sys.executable, "-c", code], env=os.environ | {"KERNELFF_ISA": isa}, capture_output=True)
        if isa == "mmx":
            assert "KERNELFF_ISA='mmx' is not available here" in run.stderr.decode()
        else:
            assert run.stdout.decode().strip() == isa, run.stderr.decode()


# ---- symmetries and limits ------------------------------------------------------------------------


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("variant", ["default", "high degree"])
def test_invariances(name, variant):
    atoms = frame(name)
    descriptor = built(VARIANTS[variant], atoms)
    checks.check_invariances(lambda a: rows(descriptor, a), atoms)
    checks.check_supercell(lambda a: rows(descriptor, a), atoms)
    checks.check_input_untouched(lambda a: rows(descriptor, a), atoms)


def test_threads():
    frames = [frame(name) for name in ("silicon", "slab", "silicon", "slab")]
    for atoms in frames:
        atoms.numbers[:] = 14
    descriptor = built(VARIANTS["default"], frames[0])
    checks.check_threads(lambda a: rows(descriptor, a), frames)


@pytest.mark.parametrize("variant", ["default", "quip", "small"])
def test_smooth_at_the_cutoff(variant):
    """Value and slope of a third atom's influence vanish as it leaves the sphere."""
    soap = VARIANTS[variant]
    rc = soap.cutoff
    values, slopes = [], []
    for distance in (rc - 1e-3, rc - 1e-6, rc + 1e-6):
        atoms = Atoms("Si3", [[0, 0, 0], [0, 1.0, 2.0], [distance, 0, 0]])
        descriptor = built(soap, atoms)
        q, dq = descriptor.gradients(kff.NeighborList.from_atoms(atoms, rc), 0, 1)
        values.append(q[0])
        slopes.append(np.abs(dq[1:]).max(initial=0.0))
    assert np.abs(values[0] - values[2]).max() < 1e-5 and np.abs(values[1] - values[2]).max() < 1e-11
    assert slopes[0] < 1e-2 and slopes[1] < 1e-5 and slopes[2] == 0.0


def test_normalised_and_zero_norm():
    atoms = frame("molecule")
    q = rows(built(VARIANTS["default"], atoms), atoms)
    np.testing.assert_allclose(np.linalg.norm(q, axis=1), 1.0, rtol=1e-14)
    lonely = Atoms("Si3", [[0, 0, 0], [50, 0, 0], [52, 0, 0]])  # no neighbour and no central density
    descriptor = built(VARIANTS["no central atom"], lonely)
    neighbors = kff.NeighborList.from_atoms(lonely, descriptor.cutoff)
    q, dq = descriptor.gradients(neighbors)
    assert not q[0].any() and np.linalg.norm(q[1]) == pytest.approx(1.0)
    assert np.isfinite(dq).all() and np.isfinite(descriptor.backward(neighbors, np.ones_like(q))).all()


def test_isolated_atom_is_the_central_term():
    atoms = frame("isolated")
    descriptor = built(VARIANTS["default"], atoms)
    neighbors = kff.NeighborList.from_atoms(atoms, descriptor.cutoff)
    q, dq = descriptor.gradients(neighbors)
    assert np.linalg.norm(q) == pytest.approx(1.0) and dq.shape == (0, 3, descriptor.n_features)
    assert not q[0, q.shape[1] // (VARIANTS["default"].l_max + 1) :].any()  # only l = 0
    assert descriptor.backward(neighbors, q).shape == (0, 3)


def test_blocks_of_centres_and_longer_lists():
    atoms = frame("slab")
    descriptor = built(VARIANTS["odd"], atoms)
    short, longer = (kff.NeighborList.from_atoms(atoms, r) for r in (descriptor.cutoff, 6.0))
    q, dq = descriptor.gradients(short)
    np.testing.assert_array_equal(descriptor.compute(short, slice(2, 5)), q[2:5])
    q_part, dq_part = descriptor.gradients(short, 2, 5)
    np.testing.assert_array_equal(q_part, q[2:5])
    np.testing.assert_array_equal(dq_part, dq[short.first[2] : short.first[5]])
    assert descriptor.compute(short, slice(3, 3)).shape == (0, descriptor.n_features)
    q_long, dq_long = descriptor.gradients(longer)
    checks.close(q_long, q, 1e-13, "values from a longer list")
    assert not dq_long[longer.distances >= descriptor.cutoff].any()
    weights = np.ones_like(q)
    far = longer.distances >= descriptor.cutoff
    assert not descriptor.backward(longer, weights)[far].any()


def test_empty_frame():
    descriptor = VARIANTS["small"].build((14,), NEAREST)
    assert rows(descriptor, Atoms()).shape == (0, descriptor.n_features)


# ---- as a parameter object and in files -----------------------------------------------------------


def test_scikit_learn_face():
    frames = [frame("silicon", seed=k) for k in range(3)] + [frame("triclinic")]
    soap = clone(kff.SOAP(cutoff=4.0, n_max=3, l_max=2)).set_params(l_max=3)
    means = make_pipeline(soap, StandardScaler(with_std=False)).fit_transform(frames)
    q, frame_index, centre_index = soap.features(frames)
    assert len(q) == sum(map(len, frames)) and soap.get_params()["l_max"] == 3
    for k, atoms in enumerate(frames):
        np.testing.assert_array_equal(centre_index[frame_index == k], np.arange(len(atoms)))
    expected = np.stack([q[frame_index == k].mean(axis=0) for k in range(len(frames))])
    np.testing.assert_allclose(means, expected - expected.mean(axis=0), atol=1e-14)
    assert kff.SOAP(4.0, n_max=4, l_max=2).features(frames[:1])[0].shape == (8, 30)  # without fit


def test_state_round_trip_and_pickle():
    atoms = frame("triclinic")
    descriptor = built(VARIANTS["odd"], atoms)
    params, arrays = descriptor_to_state(descriptor)
    params = json.loads(json.dumps(params))
    expected = rows(descriptor, atoms)
    for copy in (descriptor_from_state(params, arrays), pickle.loads(pickle.dumps(descriptor))):
        np.testing.assert_array_equal(rows(copy, atoms), expected)
        assert copy.species == (6, 14) and copy.params == descriptor.params
    with pytest.raises(ValueError, match="descriptor kind 'acsf' is unknown"):
        descriptor_from_state({"kind": "acsf"}, {})


def test_quip_order_is_a_permutation():
    order = quip_order(5, 3)
    np.testing.assert_array_equal(np.sort(order), np.arange(60))


def test_scaling_radius_follows_the_data():
    assert kff.SOAP(5.0).build((14,), 2.0).params["scaling_radius"] == pytest.approx(2.6)
    assert kff.SOAP(scaling_radius=3.0).build((14,)).params["scaling_radius"] == 3.0
    assert kff.SOAP(5.0).build((14,), np.inf).params["scaling_radius"] == 2.5
    assert kff.SOAP(scaling_exponent=0).build((14,)).params["scaling_radius"] is None


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"cutoff": -1.0}, "cutoff: must be a length > 0 Å, got -1.0"),
        ({"cutoff": np.nan}, "cutoff: "),
        ({"n_max": 0}, "n_max: must be a whole number from 1"),
        ({"n_max": 2.5}, "n_max: "),
        ({"l_max": 17}, "l_max: must be a whole number from 0 to 16"),
        ({"atom_sigma": 0.0}, "atom_sigma: "),
        ({"cutoff": 5.0, "cutoff_width": 9.0}, r"cutoff_width: .*at most cutoff = 5.0 Å, got 9.0"),
        ({"radial_basis": "bessel"}, r"radial_basis: must be one of \['gto', 'quip'\], got 'bessel'"),
        ({"scaling_exponent": -1}, "scaling_exponent: "),
        ({"scaling_radius": 0.0}, "scaling_radius: must be a length > 0 Å, or None"),
        ({"scaling_rate": 0.0}, "scaling_rate: "),
        ({"n_max": 60}, "n_max: 60 Gaussian-type orbitals"),
        ({}, "scaling_radius: None follows the data"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        kff.SOAP(**parameters).build((14,), None if not parameters else NEAREST)


def test_bad_species_and_lists():
    descriptor = VARIANTS["small"].build((14, 6), NEAREST)
    with pytest.raises(ValueError, match=r"holds Cu \(Z = 29\), .*built for C \(6\), Si \(14\). Refit"):
        rows(descriptor, frame("slab"))
    with pytest.raises(ValueError, match=r"reaches 3.0 Å, the descriptor needs 4.0 Å"):
        descriptor.compute(kff.NeighborList.from_atoms(frame("dimer"), 3.0))
    neighbors = kff.NeighborList.from_atoms(frame("dimer"), 4.0)
    with pytest.raises(ValueError, match="dE_dq: must be of shape"):
        descriptor.backward(neighbors, np.ones((2, 3)))
    with pytest.raises(ValueError, match="centres: must be a slice with step 1"):
        descriptor.compute(neighbors, slice(0, 2, 2))
    for species in ((), (0,), (200,)):
        with pytest.raises(ValueError, match="species: need atomic numbers"):
            VARIANTS["small"].build(species, NEAREST)
    with pytest.raises(ValueError, match="frames: must be a list with at least one"):
        kff.SOAP().fit([])
