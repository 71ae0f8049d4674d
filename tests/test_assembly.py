"""Rows against finite differences, and against the Potential they lower to."""

import numpy as np
import pytest
from ase.build import bulk, fcc111
from labelled import emt_frames, small_soap

import kernelff as kff
from kernelff.assembly import VOIGT, fill_gradient_rows, frame_rows
from kernelff.terms.gradient_block import GradientBlock

STEP = 1e-4  # Å, or strain


def two_term_model():
    """SOAP and pair distances, two species."""
    frames = emt_frames(4, 0, sizes=((1, 1, 1),))
    for atoms in frames:
        atoms.numbers[::2] = 47
        atoms.calc.atoms.numbers[::2] = 47
    descriptors = [small_soap(), kff.PairDistances(cutoff=3.5)]
    return kff.SparseGPR(descriptors, n_sparse=[12, 5], delta=[1.0, 0.3], zbl=False, n_jobs=1).fit(frames)


@pytest.fixture(scope="module")
def model():
    return two_term_model()


def mixed(atoms):
    atoms.numbers[:] = np.where(np.arange(len(atoms)) % 2, 29, 47)
    return atoms


def systems():
    rng = np.random.default_rng(5)
    skewed = bulk("Cu", "fcc", a=3.5).repeat((2, 1, 1))  # smaller than the cutoff: own images are neighbours
    skewed.set_cell(skewed.cell.array @ (np.eye(3) + 0.2 * rng.random((3, 3))), scale_atoms=True)
    slab = fcc111("Cu", (1, 1, 3), vacuum=6.0)
    molecule = bulk("Cu", cubic=True)
    molecule.pbc = False
    left = bulk("Cu", cubic=True)
    left.set_cell(left.cell.array[[1, 0, 2]], scale_atoms=False)
    found = {"skewed": skewed, "slab": slab, "molecule": molecule, "left-handed": left}
    for atoms in found.values():
        atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
    return [pytest.param(mixed(atoms), id=name) for name, atoms in found.items()]


@pytest.mark.parametrize("atoms", systems())
def test_force_rows_are_derivatives_of_the_energy_row(model, atoms):
    terms = model.potential_.terms
    rows = frame_rows(terms, atoms, virial=False)
    scale = np.abs(rows.forces).max()
    assert scale > 1e-2
    for a, c in [(0, 0), (1, 1), (len(atoms) - 1, 2)]:
        difference = energy_row_difference(terms, atoms, lambda moved, s, a=a, c=c: move(moved, a, c, s))
        np.testing.assert_allclose(rows.forces[3 * a + c], -difference, atol=1e-6 * scale)


@pytest.mark.parametrize("atoms", systems()[:1] + systems()[3:])
def test_virial_rows_are_derivatives_by_strain(model, atoms):
    terms = model.potential_.terms
    rows = frame_rows(terms, atoms, forces=False)
    scale = np.abs(rows.virial).max()
    for row, (a, b) in zip(rows.virial, VOIGT, strict=True):
        difference = energy_row_difference(terms, atoms, lambda moved, s, a=a, b=b: strain(moved, a, b, s))
        np.testing.assert_allclose(row, -difference, atol=1e-6 * scale)


@pytest.mark.parametrize("atoms", systems())
def test_rows_times_weights_equal_the_potential(model, atoms):
    potential = model.potential_
    rows, results = frame_rows(potential.terms, atoms, energies=True), potential.compute(atoms)
    w = potential.weights
    bound = 1e-9 * (np.abs(rows.energies) @ np.abs(w)).sum()
    e0 = [potential.e0[z] for z in atoms.numbers]
    np.testing.assert_allclose(rows.energies @ w + e0, results.energies, atol=bound)
    np.testing.assert_allclose(rows.forces @ w, results.forces.ravel(), atol=bound)
    np.testing.assert_allclose(rows.virial @ w, [results.virial[a, b] for a, b in VOIGT], atol=bound)


def energy_row_difference(terms, atoms, change):
    rows = []
    for sign in (1, -1):
        moved = atoms.copy()
        change(moved, sign * STEP)
        rows.append(frame_rows(terms, moved, forces=False, virial=False).energy[0])
    return (rows[0] - rows[1]) / (2 * STEP)


def move(atoms, a, c, step):
    atoms.positions[a, c] += step


def strain(atoms, a, b, step):
    deformation = np.eye(3)
    deformation[a, b] += step / 2
    deformation[b, a] += step / 2
    atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)


@pytest.mark.parametrize("ordered", [True, False])
def test_sums_of_pair_gradients(ordered):
    """Force and virial rows against np.add.at, with and without a scale, pairs of a centre side by side or not."""
    atoms = bulk("Cu", cubic=True)
    neighbors = kff.NeighborList.from_atoms(atoms, 3.0)
    rng = np.random.default_rng(0)
    pairs = np.arange(neighbors.n_pairs) if ordered else rng.permutation(neighbors.n_pairs)
    gradients, scale = rng.normal(size=(len(pairs), 3, 5)), rng.normal(size=(len(atoms), 5))
    for factor in (None, scale):
        term = FixedBlock(GradientBlock(pairs, slice(0, 5), 0, factor, gradients.copy()))
        force_rows, virial_rows = np.zeros((3 * len(atoms), 7)), np.zeros((6, 7))
        fill_gradient_rows([term], neighbors, force_rows, virial_rows)
        g = gradients if factor is None else gradients * scale[neighbors.i[pairs], None]
        expected = np.zeros((len(atoms), 3, 5))
        np.add.at(expected, neighbors.i[pairs], g)
        np.add.at(expected, neighbors.j[pairs], -g)
        np.testing.assert_allclose(force_rows[:, :5], expected.reshape(-1, 5), atol=1e-13)
        strain = np.einsum("pa,pcb->acb", neighbors.vectors[pairs], g)
        np.testing.assert_allclose(virial_rows[:, :5], [-strain[v] for v in VOIGT], atol=1e-12)
        assert not force_rows[:, 5:].any() and not virial_rows[:, 5:].any()


class FixedBlock:
    """A term with one block of given gradients."""

    def __init__(self, block):
        self.block, self.n_functions = block, block.gradients.shape[2]

    def gradient_blocks(self, neighbors):
        return [self.block]
