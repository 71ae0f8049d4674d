"""Properties every descriptor and model must have, each written once.

`function(atoms)` returns one row (or number) per atom.
"""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from systems import random_rotation, transformed

import kernelff as kff


def close(found, expected, tolerance, what):
    """Assert |found - expected| <= tolerance * max|expected|."""
    scale = np.abs(expected).max(initial=0.0) or 1.0
    error = np.abs(np.asarray(found) - expected).max(initial=0.0) / scale
    assert error <= tolerance, f"{what}: relative error {error:.1e} > {tolerance:.0e}"


def check_invariances(function, atoms, seed=0, tolerance=1e-10):
    """Rotation, inversion, translation, permutation, wrapping."""
    rng = np.random.default_rng(seed)
    expected = function(atoms)
    rotation, shift = random_rotation(rng), rng.normal(size=3)
    close(function(transformed(atoms, rotation)), expected, tolerance, f"rotation {rotation.tolist()}")
    close(function(transformed(atoms, -np.eye(3))), expected, tolerance, "inversion")
    close(function(transformed(atoms, np.eye(3), shift)), expected, tolerance, f"translation {shift}")
    order = rng.permutation(len(atoms))
    close(function(atoms[order]), expected[order], tolerance, f"permutation {order}")
    wrapped = atoms.copy()
    wrapped.wrap()
    close(function(wrapped), expected, tolerance, "wrapping into the cell")


def check_supercell(function, atoms, tolerance=1e-10):
    """Atoms of a supercell see what their originals see."""
    times = tuple(2 if periodic else 1 for periodic in atoms.pbc)
    expected = function(atoms)
    found = function(atoms.repeat(times))
    close(found, np.concatenate([expected] * int(np.prod(times))), tolerance, f"supercell {times}")


def check_input_untouched(function, atoms):
    """The frame is not written to, and a second call gives the same bits."""
    before = atoms.copy()
    first = function(atoms)
    assert np.array_equal(first, function(atoms)), "two calls differ"
    assert np.array_equal(before.positions, atoms.positions) and np.array_equal(before.cell, atoms.cell)
    assert np.array_equal(before.numbers, atoms.numbers) and np.array_equal(before.pbc, atoms.pbc)


def check_threads(function, frames, n_threads=4):
    """The same bits from many threads at once."""
    expected = [function(atoms) for atoms in frames]
    with ThreadPoolExecutor(n_threads) as pool:
        found = list(pool.map(function, frames * 4))
    for k, row in enumerate(found):
        assert np.array_equal(row, expected[k % len(frames)]), f"frame {k % len(frames)} differs between threads"


def check_pair_gradients(descriptor, atoms, step=1e-4, tolerance=1e-6, n_pairs=12, seed=0):
    """gradients() against central differences (`step` in Å) of compute(), and backward() against gradients()."""
    neighbors = kff.NeighborList.from_atoms(atoms, descriptor.cutoff)
    rng = np.random.default_rng(seed)
    q, dq = descriptor.gradients(neighbors)
    assert q.shape == (len(atoms), descriptor.n_features) and dq.shape == (neighbors.n_pairs, 3, descriptor.n_features)
    close(q, descriptor.compute(neighbors), 1e-13, "values from gradients()")
    weights = rng.normal(size=q.shape)
    contracted = np.einsum("pcf,pf->pc", dq, weights[neighbors.i])
    close(descriptor.backward(neighbors, weights), contracted, 1e-11, "backward() against gradients()")
    if neighbors.n_pairs == 0:
        return
    assert np.abs(dq).max() > 0, "all gradients are zero"
    for p in rng.choice(neighbors.n_pairs, min(n_pairs, neighbors.n_pairs), replace=False):
        for c in range(3):
            plus, minus = (_nudged(descriptor, neighbors, p, c, h) for h in (step, -step))
            numeric = (plus - minus) / (2.0 * step)
            error = np.abs(numeric - dq[p, c]).max() / np.abs(dq).max()
            assert error <= tolerance, f"pair {p}, direction {c}: {error:.1e} of the largest derivative"


def _nudged(descriptor, neighbors, p, c, h):
    vectors = neighbors.vectors.copy()
    vectors[p, c] += h
    moved = dataclasses.replace(neighbors, vectors=vectors, distances=np.linalg.norm(vectors, axis=1))
    i = neighbors.i[p]
    return descriptor.compute(moved, slice(i, i + 1))[0]
