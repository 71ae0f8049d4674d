"""Neighbour lists against ASE's: counts recorded in data/neighbor_counts.json, pairs computed here."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from systems import FRAMES, frame

import kernelff as kff

RECORDED = json.loads((Path(__file__).parent / "data" / "neighbor_counts.json").read_text())


def recorded_frame(name):
    s = RECORDED["structures"][name]
    return Atoms(numbers=s["numbers"], positions=s["positions"], cell=s["cell"], pbc=s["pbc"])


@pytest.mark.parametrize("name", RECORDED["values"])
def test_counts_and_moments_as_recorded(name):
    for cutoff, expected in RECORDED["values"][name].items():
        neighbors = kff.NeighborList.from_atoms(recorded_frame(name), float(cutoff))
        np.testing.assert_array_equal(np.diff(neighbors.first), expected["counts"])
        np.testing.assert_allclose(neighbors.distances.sum(), expected["sum_d"], rtol=1e-10)
        np.testing.assert_allclose((neighbors.distances**2).sum(), expected["sum_d2"], rtol=1e-10)


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("cutoff", [2.5, 6.0])
def test_same_pairs_as_ase(name, cutoff):
    atoms = frame(name)
    neighbors = kff.NeighborList.from_atoms(atoms, cutoff)
    i, j, shifts = neighbor_list("ijS", atoms, cutoff)
    ours = {(a, b, *s) for a, b, s in zip(neighbors.i, neighbors.j, neighbors.shifts.tolist(), strict=True)}
    assert ours == {(a, b, *s) for a, b, s in zip(i, j, shifts.tolist(), strict=True)}
    assert len(ours) == neighbors.n_pairs


@pytest.mark.parametrize("name", FRAMES)
def test_fields_are_consistent(name):
    atoms = frame(name)
    neighbors = kff.NeighborList.from_atoms(atoms, 5.0)
    expected = atoms.positions[neighbors.j] + neighbors.shifts @ atoms.cell.array - atoms.positions[neighbors.i]
    np.testing.assert_allclose(neighbors.vectors, expected, atol=1e-12)
    np.testing.assert_allclose(neighbors.distances, np.linalg.norm(expected, axis=1), rtol=1e-14)
    np.testing.assert_array_equal(neighbors.first, np.searchsorted(neighbors.i, np.arange(len(atoms) + 1)))
    assert neighbors.vectors.flags.c_contiguous and neighbors.vectors.dtype == np.float64
    periodic = atoms.pbc.all()
    np.testing.assert_allclose(neighbors.volume, atoms.get_volume() if periodic else np.nan)


def test_left_handed_cell_and_far_away_cell_images():
    atoms = frame("triclinic")
    moved = atoms.copy()
    moved.set_cell(atoms.cell.array[[1, 0, 2]])  # the same lattice, left-handed
    moved.positions += 7 * atoms.cell.array[0] - 3 * atoms.cell.array[2]
    a, b = (kff.NeighborList.from_atoms(x, 5.0) for x in (atoms, moved))
    np.testing.assert_allclose(np.sort(a.distances), np.sort(b.distances), rtol=1e-10)
    assert a.volume == pytest.approx(b.volume)


def test_empty_frame_and_lonely_atom():
    for atoms in (Atoms(), frame("isolated")):
        neighbors = kff.NeighborList.from_atoms(atoms, 5.0)
        assert neighbors.n_pairs == 0 and neighbors.n_atoms == len(atoms)
        assert neighbors.vectors.shape == (0, 3) and len(neighbors.first) == len(atoms) + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda atoms: atoms.positions.__setitem__((1, 0), np.nan), "atom 1 is at .*Repair"),
        (lambda atoms: atoms.positions.__setitem__((1, 0), 1e9), "atom 1 is at .*too far"),
        (lambda atoms: atoms.set_cell(np.zeros((3, 3))), "no volume"),
        (lambda atoms: atoms.set_cell([[4, 0, 0], [8, 0, 0], [0, 0, 4]]), "no volume"),
        (lambda atoms: atoms.set_cell(np.full((3, 3), np.inf)), "not finite"),
        (lambda atoms: atoms.positions.__setitem__(1, atoms.positions[0]), "atoms 0 and 1 are .*Remove"),
    ],
)
def test_bad_frames_are_refused(change, message):
    atoms = frame("triclinic")
    change(atoms)
    with pytest.raises(ValueError, match=message):
        kff.NeighborList.from_atoms(atoms, 4.0)


def test_input_untouched():
    atoms = frame("slab")
    before = atoms.copy()
    neighbors = kff.NeighborList.from_atoms(atoms, 4.0)
    neighbors.numbers[:] = 1
    assert (atoms.numbers == before.numbers).all() and (atoms.positions == before.positions).all()
