"""Estimators as plain data, and back from model files."""

from pathlib import Path

from kernelff import descriptors as known_descriptors
from kernelff.io.model_file import read_model
from kernelff.models.mtp import MTP
from kernelff.models.sparse_gpr import SparseGPR
from kernelff.potential import Potential
from kernelff.regression.factors import Factors

_ESTIMATORS = {kind.__name__: kind for kind in (SparseGPR, MTP)}


def load_model(path, baseline=None):
    """The fitted estimator of a model file.

    Parameters
    ----------
    path : path-like
    baseline : ase Calculator, optional
        Needed when the model was fitted on top of one.

    Returns
    -------
    SparseGPR or MTP

    Raises
    ------
    ValueError
        If the file is no model file, truncated, altered, or of a newer format; or
        if it holds a potential without its fit.
    """
    if Path(path).suffix.lower() in (".xml", ".mtp", ".almtp"):
        raise ValueError(f"path: {str(path)!r} holds a potential, not a fit of ours. Use load(path).")
    header, potential_arrays, arrays = read_model(path)
    state = header["estimator"]
    if state["kind"] is None:
        source = header["potential"]["metadata"].get("source", "another file")
        raise ValueError(f"path: {str(path)!r} was converted from a {source} and holds no fit. Use load(path).")
    model = _ESTIMATORS[state["kind"]](**_settings(state["settings"]))
    model.potential_ = Potential.from_state(header["potential"], potential_arrays, baseline)
    model.baseline = model.potential_.baseline
    model.e0_ = model.potential_.e0
    model.calibration_ = model.potential_.posterior and model.potential_.posterior.calibration
    for name, value in state["fitted"].items():
        setattr(model, name, value)
    if arrays:
        model.factors_ = Factors.from_state(state["factors"], arrays)
    return model


def _settings(settings):
    """Constructor arguments from what ``LinearModel.to_state`` wrote."""
    settings = {"zbl": False} | settings  # older files have none
    if settings.get("descriptors") is not None:
        settings["descriptors"] = [_descriptor(**d) for d in settings["descriptors"]]
    if settings["e0"] is not None:
        settings["e0"] = {int(key) if key.isdigit() else key: value for key, value in settings["e0"].items()}
    return settings


def _descriptor(kind, **settings):
    return getattr(known_descriptors, kind)(**settings)
