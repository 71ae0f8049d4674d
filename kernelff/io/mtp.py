"""Moment tensor potentials of MLIP: .mtp files become a Potential, and linear models on moments become .mtp files.

With f_mu the radial functions and M the moments, the file's tables say [1]_
    M_mu,abc = sum_j f_mu(r_ij) x^a y^b z^c / r^(a+b+c),   M_k = sum c M_i M_j,   E_i = e0(z_i) + sum_n w_n M_map(n)

References
----------
.. [1] Novikov, Gubaev, Podryabinkin, Shapeev, Mach. Learn.: Sci. Technol. 2, 025002 (2021),
   doi:10.1088/2632-2153/abc9fe
"""

import warnings
from pathlib import Path

import numpy as np

from kernelff.descriptors import MomentTensorsDescriptor, TabulatedMoments
from kernelff.descriptors.moment_file import file_program
from kernelff.error_bars.extrapolation import ActiveSet
from kernelff.io.almtp import read_selection, selection_bytes
from kernelff.io.mtp_document import read_document
from kernelff.io.safe_file import write_whole
from kernelff.io.types import elements_of_types
from kernelff.potential import Potential
from kernelff.terms import BasisTerm

SUFFIXES = (".mtp", ".almtp")


def read_mtp(path, species, baseline=None, *, selection=True):
    """Read a moment tensor potential of MLIP.

    Parameters
    ----------
    path : path-like
        ``*.mtp`` or ``*.almtp``.
    species : sequence of int or str
        Elements of the file's types 0, 1, ..: the file does not name them.
    baseline : Potential or ase Calculator, optional
        Added to the model.
    selection : bool
        Also read the active set of an .almtp, for `Potential.extrapolation_grade`.

    Returns
    -------
    Potential
        It agrees with MLIP and has no posterior, since the file holds none.

    Raises
    ------
    ValueError
        If `species` does not fit the file, or the file is damaged, untrained, or of another kind.

    Warns
    -----
    UserWarning
        If the active set is of a kind that is not supported, and left out, or inexact.
    """
    document = read_document(path)
    types = _checked_types(species, document.n_types, str(path))
    try:
        program = file_program(document.index_basic, document.index_times, document.moment_mapping, document.n_moments)
        n_mu = _n_radial(program, document.radial_coeffs)
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from None
    order = np.argsort(types)
    # radial functions that no moment uses are left out
    coefficients = document.radial_coeffs[order][:, order, :n_mu]
    ascending = [types[k] for k in order]
    descriptor = TabulatedMoments(
        ascending, program, coefficients, document.min_dist, document.max_dist, document.scaling
    )
    e0 = dict(zip(types, document.species_coeffs.tolist(), strict=True))
    facts = {"source": "mtp", "file": Path(path).name, "name": document.name, "tag": document.tag, "types": types}
    active_set = None
    if selection and document.selection_start is not None:
        try:
            shape, n_scalars = document.radial_coeffs.shape, len(document.moment_coeffs)
            active_set = read_selection(path, document.selection_start, types, shape, n_scalars)
        except ValueError as error:
            raise ValueError(f"{str(path)!r}: {error}") from None
    return Potential(
        [BasisTerm(descriptor)], document.moment_coeffs, e0, baseline=baseline, metadata=facts, active_set=active_set
    )


def write_mtp(model, path, frames=None):
    """Write a linear model on moment tensors as an .mtp or .almtp file, for MLIP and for LAMMPS through MLIP.

    Parameters
    ----------
    model : Potential or fitted estimator
        With `MomentTensors` as its only descriptor.
    path : path-like
        ``*.mtp``, or ``*.almtp`` with an active set behind.
    frames : list of ase.Atoms, optional
        Training frames, from which MLIP's active set is chosen; it has columns of radial coefficients too, see
        `ActiveSet.select_for_mlip`. Without them the one of the potential is written if it was read from an .almtp,
        otherwise one that is chosen from the frames of its active set alone.

    Returns
    -------
    tuple of int
        Atomic numbers of the file's types 0, 1, ..: the file does not name them. Those of a file that was read,
        otherwise ascending.

    Raises
    ------
    ValueError
        Naming what of the model an .mtp file cannot hold.

    Warns
    -----
    UserWarning
        If the model has a ZBL repulsion, which is left out: it is zero wherever there were data; or if an active set
        is chosen from few frames.
    """
    path, potential = Path(path), getattr(model, "potential_", model)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"path: a moment tensor potential must be named *.mtp or *.almtp, got {str(path)!r}.")
    _check_writable(potential)
    types = _types_to_write(potential)
    data = _text(potential, types).encode()
    if path.suffix.lower() == ".almtp":
        active_set = _mlip_set(potential, types, frames)
        data += b"" if active_set is None else selection_bytes(active_set)
    elif frames is not None:
        raise ValueError(f"frames: are for an active set, which only an .almtp holds, not {str(path)!r}.")
    write_whole(path, data)
    if potential.repulsion is not None:
        warnings.warn(
            f"model: its ZBL repulsion (below {potential.repulsion.cutoff:.2f} Å) is not in the .mtp file, which has "
            "no place for it; nothing changes at distances that the training frames have. Where atoms may come closer, "
            "run the kernelff model, or add a repulsion in LAMMPS.",
            stacklevel=2,
        )
    return types


def _mlip_set(potential, types, frames):
    """The active set with MLIP's columns, or None."""
    own = potential.active_set
    if frames is not None:
        mode = "neighborhood" if own is None else own.mode
        return ActiveSet.select_for_mlip(potential, frames, types, mode=mode)
    if own is None or own.fits_mlip(potential, types):
        return own
    warnings.warn(
        f"frames: MLIP's active set is chosen from the {len(own.frames)} frames of the potential's own; other training "
        "frames may have high grades. Pass the training frames, write_mtp(model, path, frames), or kernelff convert "
        "model.kff x.almtp --frames train.xyz.",
        stacklevel=3,
    )
    return ActiveSet.select_for_mlip(potential, own.frames, types, mode=own.mode, weight_scaling=own.weight_scaling)


def _checked_types(species, n_types, name):
    """Atomic numbers of the types."""
    if species is None:
        raise ValueError(
            f"species: {name!r} holds {n_types} types without their elements. Pass their elements in order, as in "
            f"load(path, species={list(range(42, 42 + n_types))}), or kernelff convert FILE model.kff --species Mo,..."
        )
    types = elements_of_types(species)
    if len(types) != n_types:
        raise ValueError(
            f"species: {name!r} holds {n_types} types, got {len(types)} elements {species!r}. Name each once."
        )
    return types


def _n_radial(program, radial_coeffs):
    """Number of radial functions that the moments use."""
    n_mu = int(program.basic[:, 0].max()) + 1
    if n_mu > radial_coeffs.shape[2]:
        raise ValueError(
            f"alpha_index_basic: uses {n_mu} radial functions, but radial_funcs_count is {radial_coeffs.shape[2]}. The "
            "file is damaged; copy it again."
        )
    return n_mu


def _check_writable(potential):
    if potential.baseline is not None:
        raise ValueError("model: it adds to a baseline, which an .mtp file cannot hold. Fit without baseline.")
    kinds = [getattr(term.descriptor, "kind", type(term.descriptor).__name__) for term in potential.terms]
    term = potential.terms[0]
    known = isinstance(term, BasisTerm) and isinstance(term.descriptor, (MomentTensorsDescriptor, TabulatedMoments))
    if len(kinds) != 1 or not known:
        raise ValueError(
            f"model: an .mtp file holds a linear model on moment tensors, not one on {', '.join(kinds)}. Use "
            "model.save(path), or fit a moment tensor potential."
        )
    if term.descriptor.species is None and len(potential.e0) > 1:
        raise ValueError("model: its moments treat all elements alike, an .mtp file does not. Fit with species.")


def _types_to_write(potential):
    """Elements of the file's types in order."""
    types = potential.metadata.get("types")
    species = potential.terms[0].descriptor.species or tuple(potential.e0)
    return tuple(types) if types is not None and sorted(types) == list(species) else tuple(species)


def _text(potential, types):
    """The file."""
    descriptor, facts = potential.terms[0].descriptor, potential.metadata
    program, order = descriptor.program, np.searchsorted(sorted(types), types)
    coefficients = descriptor.coefficients[order][:, order]
    tag = f" {facts['tag']}" if facts.get("tag") else ""
    lines = [
        "MTP",
        "version = 1.1.0",
        f"potential_name = {facts.get('name') or 'MTP1m'}",
        f"scaling = {_real(descriptor.scaling)}",
        f"species_count = {len(types)}",
        f"potential_tag ={tag}",
        "radial_basis_type = RBChebyshev",
        f"\tmin_dist = {_real(descriptor.min_dist)}",
        f"\tmax_dist = {_real(descriptor.cutoff)}",
        f"\tradial_basis_size = {coefficients.shape[3]}",
        f"\tradial_funcs_count = {coefficients.shape[2]}",
        "\tradial_coeffs",
    ]
    for a, row in enumerate(coefficients):
        for b, block in enumerate(row):
            lines += [f"\t\t{a}-{b}", *(f"\t\t\t{_list(map(_real, c))}" for c in block)]
    lines += [
        f"alpha_moments_count = {program.n_nodes}",
        f"alpha_index_basic_count = {len(program.basic)}",
        f"alpha_index_basic = {_list(map(_list, program.basic.tolist()))}",
        f"alpha_index_times_count = {len(program.products)}",
        f"alpha_index_times = {_list(map(_list, program.products.tolist()))}",
        f"alpha_scalar_moments = {len(program.scalars)}",
        f"alpha_moment_mapping = {_list(program.scalars.tolist())}",
        f"species_coeffs = {_list(_real(potential.e0[z]) for z in types)}",
        f"moment_coeffs = {_list(map(_real, potential.weights))}",
    ]
    return "\n".join(lines) + "\n"


def _list(values):
    return f"{{{', '.join(map(str, values))}}}"


def _real(x):
    return f"{x:.16e}"
