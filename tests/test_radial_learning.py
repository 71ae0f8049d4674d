"""Learning of radial functions: gauge, Jacobian of the eliminated problem, recovery of a known potential, resuming."""

from dataclasses import replace

import checks
import numpy as np
import pytest
from labelled import emt_frames
from systems import frame

import kernelff as kff
from kernelff.assembly import Targets, frame_rows
from kernelff.radial_learning import Learner, Learning, choose_frames
from kernelff.radial_learning.gauge import Gauge
from kernelff.radial_learning.learning import stages
from kernelff.radial_learning.tangent import RadialTangent
from kernelff.regression.noise import Noise
from kernelff.regression.streaming import Problem
from kernelff.terms import BasisTerm

OFFSET = np.array([1e-12])


def descriptor_of(frames, level=8, size=5):
    species = sorted({int(z) for atoms in frames for z in atoms.numbers})
    return kff.MomentTensors(level, 4.0, radial_basis_size=size).build_for(frames, species, 2.5)


def alloy_frames(n, seed):
    """Rattled cells of two elements, without labels."""
    rng, frames = np.random.default_rng(seed), []
    for atoms in emt_frames(n, seed):
        atoms.numbers = rng.choice([13, 29], len(atoms))
        atoms.calc = None
        frames.append(atoms)
    return frames


def problem_of(frames, potential):
    """Frames labelled by another potential."""
    targets = []
    for atoms in frames:
        found = potential.compute(atoms)
        voigt = found.virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        targets.append(Targets(found.energy, found.forces, voigt))
    return Problem([], frames, targets, Noise(0.0025, 0.05, 0.2))


def random_potential(descriptor, seed):
    rng = np.random.default_rng(seed)
    coefficients = descriptor.coefficients + rng.normal(size=descriptor.coefficients.shape)
    norms = np.sqrt(np.mean(descriptor.compute(kff.NeighborList.from_atoms(emt_frames(1, 0)[0], 4.0)) ** 2, axis=0))
    term = BasisTerm(descriptor.with_coefficients(coefficients))
    return kff.Potential([term], rng.normal(size=term.n_functions) / norms, {29: 0.0})


def test_orthonormal_functions_and_their_span():
    frames = alloy_frames(3, 0)
    descriptor = descriptor_of(frames)
    gauge = Gauge.of(descriptor, frames)
    rng = np.random.default_rng(1)
    coefficients = rng.normal(size=descriptor.coefficients.shape)
    after = gauge.orthonormal(coefficients)
    flat = gauge._to_flat(after)
    checks.close(flat @ flat.T, np.eye(len(flat)), 1e-10, "metric")
    # each function is a combination of those up to it: the scalars span the same space
    q = [
        descriptor.with_coefficients(c).compute(kff.NeighborList.from_atoms(frames[0], 4.0))
        for c in (coefficients, after)
    ]
    q.append(descriptor.with_coefficients(after).compute(kff.NeighborList.from_atoms(frames[1], 4.0)))
    q.append(descriptor.with_coefficients(coefficients).compute(kff.NeighborList.from_atoms(frames[1], 4.0)))
    before, changed = np.vstack([q[0], q[3]]), np.vstack([q[1], q[2]])
    mixing = np.linalg.lstsq(before, changed, rcond=None)[0]
    checks.close(before @ mixing, changed, 1e-8, "span")


def test_directions_are_free_of_the_gauge():
    """As many as coefficients less those of mixing, none of which they contain."""
    frames = alloy_frames(2, 0)
    descriptor = descriptor_of(frames, 12, 6)
    gauge = Gauge.of(descriptor, frames)
    start = gauge.orthonormal(descriptor.coefficients)
    directions = gauge.directions(start)
    n_mu = start.shape[2]
    assert directions.shape == (start.size, start.size - n_mu * (n_mu + 1) // 2)
    flat = gauge._to_flat(start)
    for column in directions.T:
        change = gauge._to_flat(column.reshape(start.shape))
        assert np.abs(np.tril(change @ flat.T)).max() < 1e-10


@pytest.mark.parametrize("name", ["triclinic", "molecule", "slab"])
def test_tangent_rows_are_the_derivatives_of_predictions(name):
    atoms = frame(name)
    descriptor = descriptor_of([atoms])
    rng = np.random.default_rng(2)
    weights, change = rng.normal(size=descriptor.n_features), rng.normal(size=descriptor.coefficients.shape)
    rows = frame_rows([RadialTangent(descriptor, weights)], atoms)

    def predicted(step):
        term = BasisTerm(descriptor.with_coefficients(descriptor.coefficients + step * change))
        found = frame_rows([term], atoms)
        return np.concatenate([part @ weights for part in (found.energy, found.forces, found.virial)])

    expected = (8 * (predicted(1e-3) - predicted(-1e-3)) - predicted(2e-3) + predicted(-2e-3)) / 12e-3
    found = np.concatenate([part @ change.ravel() for part in (rows.energy, rows.forces, rows.virial)])
    checks.close(found, expected, 1e-8, name)


def test_a_known_potential_is_recovered():
    """Labels of a moment tensor potential with other radial functions: all but what the ridge takes is found."""
    frames = emt_frames(12, 3)
    potential = random_potential(descriptor_of(frames, 6, 4), 4)
    learner = Learner(descriptor_of(frames, 6, 4), problem_of(frames, potential), None, OFFSET)
    state = learner.learn(learner.begin())
    objectives = [entry["objective"] for entry in state.history]
    errors = [entry["forces"] for entry in state.history]
    assert errors[0] > 0.1 and errors[-1] < 1e-3
    assert all(np.diff(objectives) < 0)


def test_levels_grow():
    assert stages(8) == [8] and stages(16) == [16] and stages(18) == [16, 18]
    assert stages(22) == [16, 20, 22] and stages(28) == [16, 20, 24, 28]


def test_growing_keeps_what_was_learnt():
    """The first fit of a level with the functions of the level before is better than the last of that."""
    frames = emt_frames(10, 5)
    problem = problem_of(frames, random_potential(descriptor_of(frames, 18, 6), 6))
    learner = Learner(descriptor_of(frames, 18, 6), problem, None, OFFSET)
    learner.levels = [8, 12]
    learner.descriptor = learner.descriptor.up_to(12)
    history = learner.learn(learner.begin()).history
    last = [entry["objective"] for entry in history if entry["level"] == 8][-1]
    first = next(entry["objective"] for entry in history if entry["level"] == 12)
    assert first < last


def test_learning_resumes_bitwise():
    frames = emt_frames(10, 7)
    problem = problem_of(frames, random_potential(descriptor_of(frames), 8))
    part, validation = problem.part(np.arange(10) < 8), problem.part(np.arange(10) >= 8)
    learner = Learner(descriptor_of(frames), part, validation, OFFSET)
    states = []
    whole = learner.learn(learner.begin(), states.append)
    again = Learner(descriptor_of(frames), part, validation, OFFSET)
    resumed = again.learn(Learning.from_state(*states[2].to_state()))
    assert np.array_equal(whole.coefficients, resumed.coefficients) and whole.history == resumed.history
    assert {"validation", "validation_forces", "forces"} <= set(whole.history[-1])


def test_a_stage_ends_where_validation_is_spoilt():
    """Labels of the validation frames that have nothing to do with the others: the best functions are kept."""
    frames = emt_frames(10, 7)
    problem = problem_of(frames, random_potential(descriptor_of(frames), 8))
    part, validation = problem.part(np.arange(10) < 8), problem.part(np.arange(10) >= 8)
    learner = Learner(descriptor_of(frames), part, validation, OFFSET)
    state = learner.begin()
    entry = {"level": 8, "iteration": 0, "objective": 1.0, "validation": 1.0, "validation_forces": 1.0}
    state = replace(state, best=state.coefficients, coefficients=2 * state.coefficients, history=[entry])
    worse = [entry | {"validation": 4.0}] * 3
    assert not replace(state, history=[entry, *worse[:2]]).has_spoilt
    assert not replace(state, history=[entry, *worse[:2], entry]).has_spoilt
    spoilt = replace(state, history=[entry, *worse])
    assert spoilt.has_spoilt and np.array_equal(learner.learn(spoilt).coefficients, state.best)


def test_choice_of_frames():
    frames = emt_frames(40, 9, sizes=((1, 1, 1),))
    problem = problem_of(frames, random_potential(descriptor_of(frames), 10))
    learning, validating = choose_frames(problem, 5)
    assert learning.sum() == 36 and validating.sum() == 4 and not (learning & validating).any()
    learning, validating = choose_frames(replace(problem.part(np.arange(40) < 10)), 5)
    assert learning.all() and not validating.any()


def test_a_killed_fit_goes_on(tmp_path):
    """Stopped while it learns and while it folds rows, the fit ends with the same bits."""

    class Stop(Exception):
        pass

    def stopper(after):
        calls = iter(range(1000))

        def progress(*_):
            if next(calls) == after:
                raise Stop

        return progress

    frames = emt_frames(12, 11)
    settings = {"level": 6, "cutoff": 4.0, "radial_basis_size": 5, "n_jobs": 1}
    whole = kff.MTP(**settings).fit(frames)
    n = len(whole.radial_history_)
    for after in (2, n):  # the second stops in the linear fit
        with pytest.raises(Stop):
            kff.MTP(**settings).fit(frames, checkpoint=tmp_path / "work", progress=stopper(after))
        assert (tmp_path / "work" / "radial").exists()
    resumed = kff.MTP(**settings).fit(frames, checkpoint=tmp_path / "work")
    assert np.array_equal(whole.potential_.weights, resumed.potential_.weights)
    assert whole.radial_history_ == resumed.radial_history_ and not (tmp_path / "work").exists()
