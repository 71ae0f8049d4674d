"""PairDistances: which pairs, their cutoff and its slope."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from sklearn.base import clone
from systems import frame

import kernelff as kff
from kernelff.descriptors import descriptor_from_state, descriptor_to_state


def test_cutoff_is_the_cosine_and_its_slope():
    r = np.linspace(1.0, 5.5, 91)
    for distance in r:
        atoms = Atoms("Si2", [[0, 0, 0], [0, 0, distance]])
        pairs = kff.PairDistances(5.0, 0.8).build().compute(kff.NeighborList.from_atoms(atoms, 6.0))
        if distance >= 5.0:
            assert len(pairs.r) == 0
            continue
        phase = np.pi * max(distance - 4.2, 0.0) / 0.8
        np.testing.assert_allclose(pairs.r, [distance, distance], rtol=1e-14)  # a bond counts twice
        np.testing.assert_allclose(pairs.fcut, 0.5 * (1.0 + np.cos(phase)), atol=1e-14)
        slope = -0.5 * np.pi / 0.8 * np.sin(phase) if distance > 4.2 else 0.0
        np.testing.assert_allclose(pairs.dfcut, slope, atol=1e-13)


@pytest.mark.parametrize(("pair", "symbols"), [((6, 14), "SiC"), ((14, 6), "SiC"), ((14, 14), "SiSi"), ((0, 6), "C*")])
def test_species_pair_selects_both_orders(pair, symbols):
    neighbors = kff.NeighborList.from_atoms(frame("chain"), 4.0)
    pairs = kff.PairDistances(4.0, species_pair=pair).build().compute(neighbors)
    one, two = neighbors.numbers[neighbors.i], neighbors.numbers[neighbors.j]
    expected = {
        "SiC": (one != two),
        "SiSi": (one == 14) & (two == 14),
        "C*": (one == 6) | (two == 6),
    }[symbols]
    np.testing.assert_array_equal(pairs.index, np.flatnonzero(expected))
    assert 0 < len(pairs.index) < neighbors.n_pairs


def test_all_pairs_with_self_images_and_longer_list():
    neighbors = kff.NeighborList.from_atoms(frame("one_atom"), 6.0)
    pairs = kff.PairDistances(4.0).build().compute(neighbors)
    np.testing.assert_array_equal(pairs.index, np.flatnonzero(neighbors.distances < 4.0))


def test_state_and_clone():
    parameters = clone(kff.PairDistances(4.0, species_pair=(6, 14)))
    built = descriptor_from_state(*descriptor_to_state(parameters.build()))
    assert (built.cutoff, built.cutoff_width, built.species_pair) == (4.0, 0.5, (6, 14))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cutoff": 0.0}, "cutoff: must be a length > 0"),
        ({"cutoff": 4.0, "cutoff_width": 5.0}, "cutoff_width: .*at most"),
        ({"cutoff": 4.0, "species_pair": (14,)}, "species_pair: "),
    ],
)
def test_bad_parameters(arguments, message):
    with pytest.raises(ValueError, match=message):
        kff.PairDistances(**arguments).build()


def test_short_list_is_refused():
    with pytest.raises(ValueError, match=r"reaches 3.0 Å, the descriptor needs 4.0 Å"):
        kff.PairDistances(4.0).build().compute(kff.NeighborList.from_atoms(frame("dimer"), 3.0))


def test_gradients_and_backward_are_derivatives_of_the_distances():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=3)
    descriptor = kff.PairDistances(cutoff=3.3).build()
    neighbors = kff.NeighborList.from_atoms(atoms, 4.0)
    pairs = descriptor.compute(neighbors)
    directions = descriptor.gradients(neighbors, pairs)
    step = 1e-6
    for c in range(3):
        moved = neighbors.vectors[pairs.index] + step * np.eye(3)[c]
        back = neighbors.vectors[pairs.index] - step * np.eye(3)[c]
        difference = (np.linalg.norm(moved, axis=1) - np.linalg.norm(back, axis=1)) / (2 * step)
        np.testing.assert_allclose(directions[:, c], difference, atol=1e-8)
    dE_dr = np.arange(1.0, 1 + len(pairs.r))
    carried = descriptor.backward(neighbors, pairs, dE_dr)
    np.testing.assert_allclose(carried[pairs.index], directions * dE_dr[:, None])
    assert carried.shape == (neighbors.n_pairs, 3)
    outside = np.setdiff1d(np.arange(neighbors.n_pairs), pairs.index)
    assert len(outside) and not carried[outside].any()
