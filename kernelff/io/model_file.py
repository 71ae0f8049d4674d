"""Model files: arrays and JSON with a checksum, readable anywhere, never code."""

from datetime import UTC, datetime
from pathlib import Path

from kernelff.descriptors import SOAP, PairDistances
from kernelff.factors import Factors
from kernelff.io.safe_file import read_checked, write_checked
from kernelff.models import SparseGPR
from kernelff.potential import Potential

_KIND = "model"
_FORMAT = 1
_DESCRIPTORS = {kind.__name__: kind for kind in (SOAP, PairDistances)}
_UNITS = {"energy": "eV", "length": "Å", "stress": "eV/Å^3"}


def save_model(path, model, compact=False):
    """Write a fitted model.

    Parameters
    ----------
    path : path-like
        By custom ``*.kff``.
    model : SparseGPR
        Fitted.
    compact : bool
        Leave out the posterior (error bars) and the factors (refits): the file
        then only predicts.

    Notes
    -----
    safetensors layout: an 8-byte length, a JSON header whose ``__metadata__``
    entry ``kernelff`` describes the model, then the arrays.
    """
    params, arrays = model.potential_.to_state()
    arrays = {f"potential.{name}": array for name, array in arrays.items()}
    if compact:
        arrays = {name: array for name, array in arrays.items() if not name.startswith("potential.posterior")}
    header = {
        "format": _FORMAT,
        "kernelff": _version(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "units": _UNITS,
        "potential": params,
        "estimator": _estimator_to_dict(model),
    }
    if not compact:
        header["factors"], factor_arrays = model.factors_.to_state()
        arrays |= {f"factors.{name}": array for name, array in factor_arrays.items()}
    write_checked(path, _KIND, header, arrays)


def load(path, baseline=None):
    """The Potential of a model file.

    Parameters
    ----------
    path : path-like
    baseline : ase Calculator, optional
        Needed when the model was fitted on top of one.

    Raises
    ------
    ValueError
        If the file is no model file, truncated, altered, or of a newer format.
    """
    header, arrays = _read(path)
    return Potential.from_state(header["potential"], _under("potential.", arrays), baseline)


def load_model(path, baseline=None):
    """The fitted estimator of a model file; same parameters and errors as `load`."""
    header, arrays = _read(path)
    model = _estimator_from_dict(header["estimator"], baseline)
    model.potential_ = Potential.from_state(header["potential"], _under("potential.", arrays), baseline)
    model.baseline = model.potential_.baseline
    model.e0_ = model.potential_.e0
    facts = model.potential_.metadata
    model.rank_, model.evidence_ = facts["rank"], facts["evidence"]
    model.stress_offset_ = facts["stress_offset_GPa"]
    if "factors" in header:
        model.factors_ = Factors.from_state(header["factors"], _under("factors.", arrays))
    return model


def describe_model(path):
    """Header of a model file: a dict of what it holds, without the arrays."""
    return _read(path)[0]


def _read(path):
    if not Path(path).is_file():
        raise ValueError(f"path: there is no file {str(path)!r}.")
    header, arrays = read_checked(path, _KIND)
    if header["format"] > _FORMAT:
        raise ValueError(
            f"{str(path)!r} has format {header['format']}, this kernelff reads up to {_FORMAT}. Update kernelff."
        )
    return header, arrays


def _estimator_to_dict(model):
    params = model.get_params(deep=False)
    params["baseline"] = None if model.baseline is None else type(model.baseline).__name__
    descriptors = params["descriptors"]
    if descriptors is not None:
        many = isinstance(descriptors, (list, tuple))
        params["descriptors"] = [
            {"kind": type(d).__name__} | d.get_params() for d in (descriptors if many else [descriptors])
        ]
    for name in ("e0", "config_sigmas"):
        params[name] = None if params[name] is None else {str(key): value for key, value in params[name].items()}
    return params


def _estimator_from_dict(params, baseline):
    params = dict(params)
    if params["descriptors"] is not None:
        params["descriptors"] = [
            _DESCRIPTORS[d["kind"]](**{k: v for k, v in d.items() if k != "kind"}) for d in params["descriptors"]
        ]
    if params["e0"] is not None:
        params["e0"] = {int(key) if key.isdigit() else key: value for key, value in params["e0"].items()}
    params["baseline"] = baseline
    return SparseGPR(**params)


def _version():
    from kernelff import __version__

    return __version__


def _under(prefix, arrays):
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
