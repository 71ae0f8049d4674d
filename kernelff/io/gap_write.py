"""Our sparse GPR models as gap.xml with separate sparse points, for QUIP and for LAMMPS through QUIP."""

import hashlib
import warnings
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from kernelff.descriptors import quip_order
from kernelff.io.safe_file import write_whole
from kernelff.kernels import DotProduct
from kernelff.terms import BasisTerm, EnvironmentTerm

_LABEL = "GAP_kernelff"
_GAP_VERSION = 1525123159  # any since 1426512068 has today's meaning


def write_gap(path, model):
    """Write a model in QUIP's format: a gap.xml, and beside it one file of sparse points for each descriptor.

    Parameters
    ----------
    path : path-like
        ``*.xml``; the other files are ``<name>.sparseX.<label>`` and must go wherever it goes.
    model : SparseGPR or Potential
        Fitted, with ``SOAP(radial_basis="quip", scaling_exponent=0)`` (or a whole
        exponent) and PairDistances.

    Returns
    -------
    list of Path
        The files that were written, the XML last.

    Raises
    ------
    ValueError
        Naming what of the model QUIP does not know.

    Warns
    -----
    UserWarning
        If the model has a ZBL repulsion, which is left out: QUIP has no switch like ours. It is zero wherever
        there were data, so the file agrees with the model there and is only less safe below.
    """
    path, potential = Path(path), getattr(model, "potential_", model)
    if path.suffix.lower() != ".xml":
        raise ValueError(f"path: a GAP must be named *.xml, got {str(path)!r}.")
    _check(potential)
    blocks, files = [], []
    start = 0
    for term in potential.terms:
        parts = _soap_parts(term) if isinstance(term, EnvironmentTerm) else [_pair_part(term)]
        for attributes, children, descriptor, points, columns in parts:
            name = f"{path.name}.sparseX.{_LABEL}{len(files) + 1}"
            content = "".join(f"{x:.17e}\n" for x in points.ravel()).encode()
            alpha = potential.weights[start + columns.start : start + columns.stop]
            label = f"{_LABEL}{len(files) + 1}"
            blocks.append(_coordinates(label, attributes, children, descriptor, points, alpha, name, content))
            files.append((path.parent / name, content))
        start += term.n_functions
    files.append((path, _document(potential, blocks).encode()))
    for file, content in files:
        write_whole(file, content)
    if potential.repulsion is not None:
        warnings.warn(
            f"model: its ZBL repulsion (below {potential.repulsion.cutoff:.2f} Å) is not in the gap.xml, since QUIP "
            "cannot switch it off as we do; nothing changes at distances that the training frames have. Where atoms "
            "may come closer, run the kernelff model, or add a repulsion in QUIP or LAMMPS. zbl=False fits without.",
            stacklevel=2,
        )
    return [file for file, _ in files]


def _check(potential):
    if potential.metadata.get("source") == "gap.xml":
        raise ValueError("model: it was read from a gap.xml. Copy that file and its sparse points.")
    if potential.baseline is not None:
        raise ValueError("model: it adds to a baseline, which a gap.xml cannot hold. Fit without baseline.")
    for term in potential.terms:
        if isinstance(term, BasisTerm):
            raise ValueError(
                f"model: a gap.xml holds covariances, not a linear model on {term.descriptor.kind}. Use "
                "model.save(path), or write_mtp for moment tensors."
            )
        if not isinstance(term, EnvironmentTerm):
            if not term.kernel.is_plain or term.descriptor.tail[0]:
                raise ValueError("model: only PairDistances without tail can be written as gap.xml.")
            continue
        if term.descriptor.kind != "soap" or not isinstance(term.kernel, DotProduct):
            raise ValueError(
                f"model: a gap.xml holds SOAP with the dot-product covariance, not {term.descriptor.kind} with "
                f"{type(term.kernel).__name__}. Use model.save(path), or fit with "
                "SOAP(radial_basis='quip', scaling_exponent=0)."
            )
        parameters = term.descriptor.params
        if parameters["radial_basis"] != "quip":
            raise ValueError(
                f"radial_basis: QUIP does not know {parameters['radial_basis']!r}. Fit with "
                "SOAP(radial_basis='quip', scaling_exponent=0)."
            )
        if not float(parameters["scaling_exponent"]).is_integer():
            raise ValueError(
                f"scaling_exponent: QUIP knows whole exponents only, got {parameters['scaling_exponent']}. Fit with 0."
            )
        if getattr(term.descriptor, "mixing", None) is not None:
            raise ValueError(
                f"n_channels: QUIP does not know mixed channels ({parameters['n_channels']} here). Fit with "
                "SOAP(n_channels=None)."
            )


def _soap_parts(term):
    """One descriptor of the file for each centre element."""
    parameters, species = term.descriptor.params, term.descriptor.species or (0,)
    listed = f"{{{' '.join(map(str, species))}}}"
    options = {
        "cutoff": parameters["cutoff"],
        "cutoff_transition_width": parameters["cutoff_width"],
        "n_max": parameters["n_max"],
        "l_max": parameters["l_max"],
        "atom_sigma": parameters["atom_sigma"],
        "central_weight": parameters["central_weight"],
        "central_reference_all_species": _logical(parameters["central_reference_all_species"]),
        "normalise": _logical(parameters["normalize"]),
        "zeta": term.kernel.zeta,
        "delta": term.delta,
        "covariance_type": "dot_product",
        "n_species": len(species),
        "species_Z": listed,
    }
    if parameters["scaling_exponent"]:
        options |= {
            "cutoff_dexp": int(parameters["scaling_exponent"]),
            "cutoff_scale": parameters["scaling_radius"],
            "cutoff_rate": parameters["scaling_rate"],
        }
    order = quip_order(len(species) * parameters["n_max"], parameters["l_max"])
    attributes = {"covariance_type": 2, "zeta": _real(term.kernel.zeta), "signal_variance": _real(term.delta)}
    for z, points in term.sparse_points.items():
        text = _line("soap", options | {"n_Z": 1, "Z": z})
        slots = np.hstack([points[:, order], np.zeros((len(points), 1))])
        yield attributes, "", text, slots, term.columns[z]


def _pair_part(term):
    descriptor, scale = term.descriptor, term.kernel.length_scale
    one, two = descriptor.species_pair or (0, 0)
    options = {
        "cutoff": descriptor.cutoff,
        "cutoff_transition_width": descriptor.cutoff_width,
        "Z1": one,
        "Z2": two,
        "theta_uniform": scale,
        "delta": term.delta,
        "covariance_type": "ard_se",
    }
    attributes = {"covariance_type": 1, "signal_variance": _real(term.delta), "cutoffs": term.sparse_cutoffs}
    theta = f"      <theta> {_real(scale)} </theta>\n"
    columns = slice(0, term.n_functions)
    return attributes, theta, _line("distance_2b", options), term.sparse_points[:, None], columns


def _coordinates(label, attributes, children, descriptor, points, alpha, name, content):
    """A <gpCoordinates> element."""
    attributes = dict(attributes)
    cutoffs = attributes.pop("cutoffs", np.ones(len(points)))
    attributes |= {
        "label": label,
        "dimensions": points.shape[1],
        "signal_mean": _real(0.0),
        "sparsified": "T",
        "n_permutations": 1,
        "n_sparseX": len(points),
        "sparseX_filename": name,
        "sparseX_md5sum": hashlib.md5(content, usedforsecurity=False).hexdigest(),
    }
    sparse = "".join(
        f'      <sparseX i="{i}" alpha="{_real(a)}" sparseCutoff="{_real(c)}"/>\n'
        for i, (a, c) in enumerate(zip(alpha, cutoffs, strict=True), start=1)
    )
    return (
        f"    <gpCoordinates {_attributes(attributes)}>\n{children}"
        f"      <descriptor>{descriptor}</descriptor>\n"
        f'      <permutation i="1">1</permutation>\n{sparse}    </gpCoordinates>\n'
    )


def _document(potential, blocks):
    e0 = "".join(f'    <e0 Z="{z}" value="{_real(e)}"/>\n' for z, e in potential.e0.items())
    return (
        f'<{_LABEL}>\n<Potential label="{_LABEL}" init_args="IP GAP label={_LABEL}"/>\n'
        f'<GAP_params label="{_LABEL}" gap_version="{_GAP_VERSION}">\n'
        f'  <GAP_data do_core="F">\n{e0}  </GAP_data>\n'
        f'  <gpSparse label="{_LABEL}" n_coordinate="{len(blocks)}" fitted="T">\n{"".join(blocks)}  </gpSparse>\n'
        f"</GAP_params>\n</{_LABEL}>\n"
    )


def _line(kind, options):
    return " ".join([kind, *(f"{key}={value}" for key, value in options.items())])


def _attributes(values):
    return " ".join(f"{name}={quoteattr(str(value))}" for name, value in values.items())


def _real(x):
    return f"{x:.17e}"


def _logical(value):
    return "T" if value else "F"
