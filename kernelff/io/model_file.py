"""Model files: arrays and JSON with a checksum, readable anywhere, never code.

safetensors layout: an 8-byte length, a JSON header whose ``__metadata__`` entry
``kernelff`` describes the model, then the arrays. The potential is always
there; the estimator's settings and factors beside it let a fit go on.
"""

from datetime import UTC, datetime
from pathlib import Path

from kernelff.io.gap_xml import read_gap
from kernelff.io.mtp import SUFFIXES as MTP_SUFFIXES
from kernelff.io.mtp import read_mtp
from kernelff.io.safe_file import read_checked, write_checked
from kernelff.named_arrays import under
from kernelff.potential import Potential

_KIND = "model"
_FORMAT = 1
_UNITS = {"energy": "eV", "length": "Å", "stress": "eV/Å^3"}


def write_model(path, potential, estimator, version, compact=False):
    """Write a fitted model.

    Parameters
    ----------
    path : path-like
        By custom ``*.kff``.
    potential : Potential
    estimator : tuple of dict
        JSON-able settings and arrays of the estimator.
    version : str
        Of kernelff.
    compact : bool
        Leave out the posterior (error bars) and the arrays of the estimator
        (refits): the file then only predicts.
    """
    params, arrays = potential.to_state()
    if compact:
        arrays = {name: array for name, array in arrays.items() if not name.startswith("posterior")}
    settings, estimator_arrays = estimator
    header = {
        "format": _FORMAT,
        "kernelff": version,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "units": _UNITS,
        "potential": params,
        "estimator": settings,
    }
    arrays = {f"potential.{name}": array for name, array in arrays.items()}
    if not compact:
        arrays |= {f"estimator.{name}": array for name, array in estimator_arrays.items()}
    write_checked(path, _KIND, header, arrays)


def write_potential(path, potential, version):
    """Write a potential that has no estimator: one read from a gap.xml, say. It can be loaded, not refitted."""
    write_model(path, potential, ({"kind": None}, {}), version)


def read_model(path):
    """Header of a model file and its arrays, apart for potential and estimator.

    Returns
    -------
    header : dict
    potential_arrays, estimator_arrays : dict of str -> ndarray

    Raises
    ------
    ValueError
        If the file is no model file, truncated, altered, or of a newer format.
    """
    if not Path(path).is_file():
        raise ValueError(f"path: there is no file {str(path)!r}.")
    header, arrays = read_checked(path, _KIND)
    if header["format"] > _FORMAT:
        raise ValueError(
            f"{str(path)!r} has format {header['format']}, this kernelff reads up to {_FORMAT}. Update kernelff."
        )
    return header, *(under(p, arrays) for p in _PREFIXES)


_PREFIXES = ("potential.", "estimator.")


def load(path, baseline=None, *, species=None):
    """The Potential of a model file, of a published GAP, or of a moment tensor potential of MLIP.

    Parameters
    ----------
    path : path-like
        A model file, ``*.xml``: a gap.xml with its sparse points beside it, or ``*.mtp``, ``*.almtp``.
    baseline : ase Calculator, optional
        Needed when the model was fitted on top of one.
    species : sequence of int or str, optional
        Elements of the types 0, 1, .. of an .mtp file, which does not name them; only for such a file.

    Returns
    -------
    Potential

    Raises
    ------
    ValueError
        If the file is no model file, truncated, altered, or of a newer format; or
        a GAP with an option that is not supported; or an .mtp file that is damaged or of other types than `species`.
    """
    if Path(path).suffix.lower() in MTP_SUFFIXES:
        return read_mtp(path, species, baseline)
    if species is not None:
        raise ValueError(f"species: {str(path)!r} names its elements itself, got {species!r}. Leave species out.")
    if Path(path).suffix.lower() == ".xml":
        return read_gap(path, baseline)
    header, arrays, _ = read_model(path)
    return Potential.from_state(header["potential"], arrays, baseline)
