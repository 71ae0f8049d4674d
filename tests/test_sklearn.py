"""Descriptors as scikit-learn transformers: lists of frames in, one averaged row per frame out."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import kernelff as kff

TRANSFORMERS = {
    "soap": lambda: kff.SOAP(cutoff=4.0, n_max=4, l_max=3),
    "momenttensors": lambda: kff.MomentTensors(level=8, cutoff=4.0),
    "symmetryfunctions": lambda: kff.SymmetryFunctions(cutoff=4.0, n_radial=6, n_shells=2),
}
every_transformer = pytest.mark.parametrize("name", TRANSFORMERS)


def strained(n=30, symbol="Si"):
    """Diamond crystals of different volume, rattled, and their volume per atom (Å^3)."""
    rng, frames = np.random.default_rng(0), []
    for scale in rng.uniform(0.94, 1.06, n):
        atoms = bulk(symbol, "diamond", a=5.43)
        atoms.set_cell(atoms.cell * scale, scale_atoms=True)
        atoms.positions += rng.normal(0.0, 0.03, atoms.positions.shape)
        frames.append(atoms)
    return frames, np.array([atoms.get_volume() / len(atoms) for atoms in frames])


@every_transformer
def test_cross_validation_of_a_pipeline_on_lists_of_frames(name):
    frames, volumes = strained()
    pipeline = make_pipeline(TRANSFORMERS[name](), StandardScaler(), Ridge(1e-3))
    scores = cross_val_score(pipeline, frames, volumes, cv=KFold(3, shuffle=True, random_state=0))
    assert len(scores) == 3 and scores.min() > 0.9


@every_transformer
def test_pipelines_are_cloned_and_set_by_name(name):
    frames, volumes = strained(8)
    pipeline = make_pipeline(TRANSFORMERS[name](), Ridge()).fit(frames, volumes)
    other = clone(pipeline).set_params(**{f"{name}__cutoff": 3.2})
    with pytest.raises(NotFittedError):
        other[0].transform(frames)
    assert other.get_params()[f"{name}__cutoff"] == 3.2
    assert other.fit(frames, volumes)[0].descriptor_.cutoff == 3.2
    assert pipeline[0].descriptor_.cutoff == 4.0  # the original is untouched


@every_transformer
def test_columns_have_names(name):
    frames, volumes = strained(4)
    pipeline = make_pipeline(TRANSFORMERS[name](), StandardScaler()).fit(frames, volumes)
    names = pipeline.get_feature_names_out()
    assert len(names) == pipeline.transform(frames).shape[1]
    assert names[0] == f"{name}0"


@every_transformer
def test_rows_are_means_over_the_atoms_of_a_frame(name):
    frames, _ = strained(3)
    frames.append(frames[0].repeat((2, 1, 1)))
    transformer = TRANSFORMERS[name]().fit(frames)
    rows = transformer.transform(iter(frames))
    q, frame_index, _ = transformer.features(frames)
    np.testing.assert_allclose(rows[1], q[frame_index == 1].mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(rows[3], rows[0], atol=1e-12)  # size does not matter
    assert transformer.transform([]).shape == (0, rows.shape[1])


@every_transformer
def test_elements_that_the_fit_has_not_seen_are_named(name):
    frames, _ = strained(3)
    transformer = TRANSFORMERS[name]().fit(frames)
    with pytest.raises(ValueError, match=r"frames\[1\]: species: the frame holds C \(Z = 6\).*Refit"):
        transformer.transform([frames[0], bulk("C")])


@every_transformer
def test_what_is_no_list_of_frames_is_refused(name):
    transformer = TRANSFORMERS[name]()
    with pytest.raises(TypeError, match=r"single ase.Atoms; pass a list of frames, \[atoms\]"):
        transformer.fit(Atoms("Si2"))
    with pytest.raises(TypeError, match="entry 1 is of type float"):
        transformer.fit([Atoms("Si"), 1.0])
    with pytest.raises(ValueError, match="at least one"):
        transformer.fit([])


def test_functions_and_pairs_are_cloned():
    functions = {"Si": [kff.G2(0.5, 2.0), kff.G4(0.01, zeta=4, lambda_=-1)]}
    copy = clone(kff.SymmetryFunctions(functions, cutoff=5.0)).set_params(cutoff=4.5)
    assert copy.functions == functions and copy.fit(strained(2)[0]).n_features_out_ == 2
    pairs = clone(kff.PairDistances(4.0, species_pair=(14, 6))).set_params(cutoff_width=1.0)
    assert pairs.get_params() == kff.PairDistances(4.0, 1.0, (14, 6)).get_params()
