"""Maps of environments: which atoms, projected how, coloured by what."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from labelled import emt_frames
from systems import frame

import kernelff as kff
from kernelff.evaluation import Evaluation
from kernelff.neighbors import NeighborList
from kernelff.report import Figure, map_figures, maps
from kernelff.report.standard import map_section


def descriptor(species=(6, 14)):
    return kff.SOAP(cutoff=4.0, n_max=3, l_max=2).build(species, 2.0)


def potential(*descriptors):
    return SimpleNamespace(terms=[SimpleNamespace(descriptor=one) for one in descriptors], active_set=None)


def carbides(n, seed=0):
    """Rattled two-element cells of 2 and 16 atoms, in three kinds."""
    frames = [frame("triclinic", seed=seed + k).repeat(1 + k % 2) for k in range(n)]
    for k, atoms in enumerate(frames):
        atoms.info["config_type"] = f"kind-{k % 3}"
    return frames


def evaluation(frames, seed=0):
    """Errors and sds that differ from atom to atom."""
    rng = np.random.default_rng(seed)
    sizes, nan = [len(atoms) for atoms in frames], np.full(len(frames), np.nan)
    labels = [rng.normal(size=(n, 3)) for n in sizes]
    return Evaluation(
        energy=nan,
        forces=[label + rng.normal(scale=0.1, size=label.shape) for label in labels],
        stress=np.full((len(frames), 6), np.nan),
        energies=[np.zeros(n) for n in sizes],
        n_atoms=np.array(sizes),
        config_types=[atoms.info["config_type"] for atoms in frames],
        energy_ref=nan,
        forces_ref=labels,
        stress_ref=np.full((len(frames), 6), np.nan),
        forces_std=[rng.uniform(0.05, 0.2, (n, 3)) for n in sizes],
        novelty=[rng.uniform(0.0, 0.1, n) for n in sizes],
    )


def carbide_maps(n=7, **options):
    sets = {"train": carbides(n, seed=100), "test": carbides(n)}
    found = {name: evaluation(frames) for name, frames in sets.items()}
    return maps.environment_maps(potential(descriptor()), sets, found, **options), sets, found


# --- which atoms, where ------------------------------------------------------------


def test_atoms_are_spread_evenly_over_the_frames():
    frames = [Atoms("CSi" * 50) for _ in range(10)]
    chosen = maps.spread(frames, 14, 20)
    assert [k for k, _ in chosen] == list(range(10)) and sum(len(atoms) for _, atoms in chosen) == 20
    assert all((frames[k].numbers[atoms] == 14).all() for k, atoms in chosen)
    everything = maps.spread(frames, 6, 10_000)
    assert all((atoms == np.arange(0, 100, 2)).all() for _, atoms in everything)
    assert maps.spread(frames, 29, 20) == [] and maps.spread([], 14, 20) == []


def test_not_always_the_same_atom_of_a_molecule_is_chosen():
    chosen = maps.spread([Atoms("CH4")] * 200, 1, 200)
    found = np.concatenate([atoms for _, atoms in chosen])
    assert len(found) == 200 and np.bincount(found)[1:].min() > 30


def test_environments_are_those_of_the_chosen_atoms_for_frames_of_any_size(monkeypatch):
    monkeypatch.setattr(maps, "_CENTRES_PER_BLOCK", 3)
    frames, built = carbides(4), descriptor()
    chosen = maps.spread(frames, 6, 11)
    whole = {k: built.compute(NeighborList.from_atoms(frames[k], built.cutoff)) for k, _ in chosen}
    expected = np.concatenate([whole[k][atoms] for k, atoms in chosen])
    np.testing.assert_array_equal(maps.environments(built, frames, chosen), expected)
    assert maps.environments(built, frames, []).shape == (0, built.n_features)


def test_points_in_a_plane_keep_their_distances():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(50, 2)) * [3.0, 1.0]
    axes, _ = np.linalg.qr(rng.normal(size=(8, 2)))
    plane, explained = maps.principal_plane(flat @ axes.T + 5.0)
    np.testing.assert_allclose(
        np.linalg.norm(plane[:, None] - plane, axis=2), np.linalg.norm(flat[:, None] - flat, axis=2), atol=1e-9
    )
    assert explained.sum() == pytest.approx(1.0) and explained[0] > explained[1]


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (5, 1), (2, 3)])
def test_too_few_points_or_features_leave_axes_empty(shape):
    plane, explained = maps.principal_plane(np.random.default_rng(0).normal(size=shape))
    assert plane.shape == (shape[0], 2) and np.isfinite(plane).all() and np.isfinite(explained).all()


def test_equal_environments_lie_on_one_point():
    plane, explained = maps.principal_plane(np.ones((6, 4)))
    assert not plane.any() and not explained.any()


# --- maps of a model ---------------------------------------------------------------


def test_values_are_those_of_the_same_atoms():
    found, sets, evaluations = carbide_maps(n_points=24)
    assert [one.element for one in found] == [6, 14]
    for one in found:
        at = maps.spread(sets["test"], one.element, 12)
        judged = evaluations["test"]
        errors = [1e3 * np.linalg.norm((judged.forces[k] - judged.forces_ref[k])[atoms], axis=1) for k, atoms in at]
        np.testing.assert_allclose(one.error, np.concatenate(errors))
        np.testing.assert_allclose(one.novelty, np.concatenate([judged.novelty[k][atoms] for k, atoms in at]))
        assert len(one.points) == len(one.kinds) == len(one.force_std) == 12 and len(one.known) == 12
        assert one.n_all == sum((atoms.numbers == one.element).sum() for atoms in sets["test"])


def test_the_most_frequent_elements_are_shown():
    frames = [Atoms("Si5C3H", np.random.default_rng(0).uniform(0, 8, (9, 3)), info={"config_type": "a"})]
    sets, evaluations = {"train": frames}, {"train": evaluation(frames)}
    found = maps.environment_maps(potential(descriptor((1, 6, 14))), sets, evaluations, n_elements=2)
    assert [one.element for one in found] == [6, 14]
    assert [len(one.known) for one in found] == [0, 0]  # the training frames themselves are judged


def test_pair_terms_are_passed_over():
    frames = carbides(2)
    sets, evaluations = {"train": frames}, {"train": evaluation(frames)}
    pairs = kff.PairDistances(4.0).build()
    assert maps.environment_maps(potential(pairs), sets, evaluations) == []
    functions = kff.SymmetryFunctions(cutoff=4.0, n_radial=4, n_shells=1).build((6, 14), 1.5)
    found = maps.environment_maps(potential(pairs, functions), sets, evaluations)
    assert all(np.ptp(one.points, axis=0).min() > 0 for one in found)


# --- figures -------------------------------------------------------------------------


def test_errors_and_their_standard_deviations_share_one_scale():
    found, *_ = carbide_maps()
    canvas = map_figures.environment_maps(found)
    assert map_figures.drawn_panels(found) == ["kinds", "error", "force_std", "novelty"]
    limits = [axes.collections[0].get_clim() for axes in canvas.axes[:8] if axes.collections]
    assert len(limits) == 6 and limits[:3] == limits[3:]  # the same for both elements
    assert limits[0] == limits[1] != limits[2] and limits[0][0] == 0.0
    assert [text.get_text() for text in canvas.axes[4].get_legend().get_texts()] == ["kind-0", "kind-1", "kind-2"]


def test_one_element_has_its_panels_in_two_rows():
    found, *_ = carbide_maps()
    canvas = map_figures.environment_maps(found[:1])
    titles = [axes.get_title(loc="left") for axes in canvas.axes]
    assert titles == ["Kinds of environments", "Force error", "Predicted standard deviation", "Novelty"]


def test_what_is_unknown_has_no_panel():
    found, *_ = carbide_maps()
    nothing = np.full(len(found[0].points), np.nan)
    bare = replace(found[0], kinds=np.full(len(nothing), "all", dtype=object), force_std=nothing, novelty=nothing)
    assert map_figures.drawn_panels([bare]) == ["error"]
    blind = replace(bare, error=nothing)
    assert map_figures.drawn_panels([blind]) == ["kinds"]
    for one in (bare, blind, replace(found[0], error=0 * found[0].error, force_std=nothing)):
        assert Figure.from_matplotlib(map_figures.environment_maps([one]), "x").source


def test_any_name_of_a_kind_can_be_drawn():
    found, *_ = carbide_maps()
    names = ["", "_hidden", "a$b_{", "x" * 60, *(f"k{n}" for n in range(20))]
    kinds = np.array([names[a % len(names)] for a in range(len(found[0].points))], dtype=object)
    canvas = map_figures.environment_maps([replace(found[0], kinds=kinds)])
    assert Figure.from_matplotlib(canvas, "x").source
    shown = [text.get_text() for text in canvas.axes[0].get_legend().get_texts()]
    assert shown[0] == "12 others" and len(shown) == 13 and max(map(len, shown)) <= 24


def test_the_caption_says_how_many_atoms_are_shown():
    few, *_ = carbide_maps(n_points=24)
    section = map_section(few, "test")
    assert "24 of" in section.figures[0].caption and "grey: training frames" in section.figures[0].caption
    alone = [replace(one, known=np.zeros((0, 2)), n_all=len(one.points)) for one in few]
    caption = map_section(alone, "train").figures[0].caption
    assert "all 24 atoms of the train frames" in caption and "grey" not in caption


def test_the_grade_of_a_linear_model_has_a_panel():
    frames = emt_frames(9, 0)
    model = kff.MTP(6, 4.0, radial_basis_size=4, learn_radial=False).fit(frames)
    sets = {"train": frames, "test": emt_frames(3, 1)}
    evaluations = {name: model.evaluate(own, uncertainty=True) for name, own in sets.items()}
    (found,) = maps.environment_maps(model.potential_, sets, evaluations)
    expected = np.concatenate([model.potential_.extrapolation_grade(atoms) for atoms in sets["test"]])
    np.testing.assert_allclose(found.grade, expected)
    assert "grade" in map_figures.drawn_panels([found]) and "novelty" not in map_figures.drawn_panels([found])
    assert map_figures.environment_maps([found]).axes
