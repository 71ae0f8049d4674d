"""Published GAPs: a gap.xml and its sparse points become a Potential.

Energies follow QUIP [1]_: with sparse points X_s, x the descriptor, c the cutoff of the covariance,
    e = c sum_s alpha_s k_s,   k_s = delta^2 (X_s . x)^zeta c_s                                    soap
                               k_s = [delta^2 exp(-|X_s - x|^2 / 2 theta^2) + f0^2] c_s    distance_2b
delta stands in the file as ``signal_variance``, f0 as ``signal_mean``.

References
----------
.. [1] Klawohn et al., J. Chem. Phys. 159, 174108 (2023), doi:10.1063/5.0160898
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from kernelff.basis.radial import quip_basis
from kernelff.descriptors import SOAP, PairDistances, SOAPDescriptor, quip_order
from kernelff.io.gap_document import fortran_float, fortran_int, fortran_logical, read_document, sparse_points
from kernelff.io.gap_options import Options
from kernelff.kernels import DotProduct, SquaredExponential
from kernelff.potential import Potential
from kernelff.terms import EnvironmentTerm, PairTerm

_DEGREE_WEIGHTS_SINCE = 1423143769  # gap_version from which p_l carries 1 / sqrt(2l + 1)
_OWN_CENTRE_SINCE = 1426512068  # before, the central atom was in the channels of every element
_SQUARED_EXPONENTIAL, _DOT_PRODUCT = 1, 2
_COVARIANCES = {1: "ARD_SE", 2: "DOT_PRODUCT", 3: "BOND_REAL_SPACE", 4: "PP"}
_ELEMENTS = range(1, 119)


def read_gap(path, baseline=None):
    """Read a published GAP.

    Parameters
    ----------
    path : path-like
        The gap.xml; a separate file of sparse points must stand beside it under
        its own name.
    baseline : Potential or ase Calculator, optional
        Added to the model.

    Returns
    -------
    Potential
        It agrees with QUIP. It has no posterior, since the file does not say what
        it was fitted to; `Potential.local_gap_variance` is what QUIP offers.

    Raises
    ------
    ValueError
        If a file is missing, truncated or altered, or uses an option that is not
        supported; the message names it.
    """
    document = read_document(path)
    _refuse_unsupported(document)
    version = fortran_int(document.params.get("gap_version", "0"), "gap_version")
    parts = [_lower(document, coordinate, version) for coordinate in document.coordinates]
    terms, weights = _merged(parts)
    e0 = dict.fromkeys(_ELEMENTS, fortran_float(document.data.get("e0", "0"), "e0"))
    e0 |= {z: e for z, e in document.e0.items() if z in e0}
    return Potential(terms, np.concatenate(weights), e0, baseline=baseline, metadata=_metadata(document, version))


def _refuse_unsupported(document):
    name = str(document.path)
    init_args = document.potential.get("init_args", "IP GAP").strip()
    if not init_args.startswith("IP GAP"):
        raise ValueError(
            f"{name!r}: init_args={init_args[:60]!r} adds another potential to the GAP, which is not supported. Run it "
            "with QUIP, or read the GAP alone and pass the other part as baseline=calculator."
        )
    if fortran_logical(document.data.get("do_core", "F"), "do_core"):
        raise ValueError(
            f"{name!r}: do_core=T adds an analytic core potential, which is not supported. Run it with QUIP, or set "
            "do_core=F in a copy and pass the core as baseline=calculator."
        )
    if not document.coordinates:
        raise ValueError(
            f"{name!r} has no gpCoordinates, that is no descriptor. The file is incomplete; copy it again."
        )
    announced = fortran_int(document.sparse.get("n_coordinate", str(len(document.coordinates))), "n_coordinate")
    if announced != len(document.coordinates):
        raise ValueError(
            f"{name!r} announces {announced} descriptors, found {len(document.coordinates)}. The file is incomplete; "
            "copy it again."
        )


def _metadata(document, version):
    return {
        "source": "gap.xml",
        "file": Path(document.path).name,
        "label": document.params.get("label", ""),
        "gap_version": version,
        "descriptors": [" ".join(coordinate.descriptor.split()) for coordinate in document.coordinates],
        "command_line": document.command_line,
        # cutoffs of soap go into the weights, where local_gap_variance does not find them
        "cutoffs_in_weights": any(
            "soap" in c.descriptor and any(cutoff != 1.0 for _, cutoff, _ in c.sparse.values())
            for c in document.coordinates
        ),
    }


def _lower(document, coordinate, version):
    """(term, weights) of one descriptor."""
    attributes = coordinate.attributes
    options = Options(coordinate.descriptor)
    if not fortran_logical(attributes.get("sparsified", "T"), "sparsified"):
        raise ValueError("gap.xml: sparsified=F, a full Gaussian process, is not supported. Run it with QUIP.")
    permutations = max(coordinate.permutations, fortran_int(attributes.get("n_permutations", "1"), "n_permutations"))
    if permutations > 1:
        raise ValueError(f"gap.xml: n_permutations={permutations} is not supported. Run this potential with QUIP.")
    make, needed = (_soap_term, _DOT_PRODUCT) if options.kind == "soap" else (_pair_term, _SQUARED_EXPONENTIAL)
    covariance = fortran_int(attributes.get("covariance_type", ""), "covariance_type")
    if covariance != needed:
        raise ValueError(
            f"gap.xml: covariance_type={covariance} ({_COVARIANCES.get(covariance, 'unknown')}) of {options.kind} is "
            f"not supported, only {needed} ({_COVARIANCES[needed]}). Run this potential with QUIP."
        )
    points, alpha, cutoffs = sparse_points(document, coordinate)
    delta = fortran_float(attributes.get("signal_variance", ""), "signal_variance")
    if not delta > 0:
        raise ValueError(f"gap.xml: signal_variance={delta} of {options.kind} must be > 0.")
    return make(coordinate, options, version, delta, points, alpha, cutoffs)


def _soap_term(coordinate, options, version, delta, points, alpha, cutoffs):
    if "zeta" in coordinate.attributes:
        zeta = fortran_float(coordinate.attributes["zeta"], "zeta")
    elif len(coordinate.theta) == 1:  # old files keep zeta there
        zeta = coordinate.theta[0]
    else:
        raise ValueError("gap.xml: soap has neither an attribute zeta nor one theta. The file is incomplete.")
    descriptor, order = _soap_descriptor(options, version)
    if points.shape[1] != descriptor.n_features + 1:
        raise ValueError(
            f"gap.xml: dimensions={points.shape[1]}, but this soap has {descriptor.n_features + 1}. The file is "
            "inconsistent; copy it again."
        )
    sigma0 = options.number("covariance_sigma0", default=0.0)
    if np.abs(points[:, -1] - sigma0).max() > 1e-8:
        raise ValueError(
            f"gap.xml: the last number of each sparse point must be covariance_sigma0 = {sigma0}, found up to "
            f"{points[:, -1].max()}. The sparse points belong to another model."
        )
    ours = np.empty((len(points), descriptor.n_features))
    ours[:, order] = points[:, :-1]
    centres = options.species("z", "n_z")
    points = {0 if 0 in centres else centres: ours}
    term = EnvironmentTerm(descriptor, DotProduct(zeta, sigma0**2), delta, points, _f0(coordinate))
    return term, alpha * cutoffs


def _soap_descriptor(options, version):
    """Built descriptor and our feature of each of the file's, its last slot left out."""
    neighbours = options.species("species_z", "n_species")
    if 0 in neighbours and len(neighbours) > 1:
        raise ValueError(
            f"gap.xml: species_Z={neighbours} mixes 0 (any element) with elements, which is not supported. Run this "
            "potential with QUIP."
        )
    everywhere = options.logical("central_reference_all_species", default=len(neighbours) == 1)
    exponent, rate = options.integer("cutoff_dexp", 0), options.number("cutoff_rate", default=1.0)
    if exponent and not rate > 0:
        raise ValueError(f"gap.xml: cutoff_rate={rate} with cutoff_dexp={exponent} is not supported, only rates > 0.")
    parameters = SOAP(
        options.number("cutoff"),
        options.integer("n_max"),
        options.integer("l_max"),
        atom_sigma=options.number("atom_sigma", "atom_gaussian_width"),
        cutoff_width=options.number("cutoff_transition_width", default=0.5),
        radial_basis="quip",
        scaling_exponent=float(exponent),
        scaling_radius=options.number("cutoff_scale", default=1.0),
        scaling_rate=rate,
        central_weight=options.number("central_weight", default=1.0),
        central_reference_all_species=everywhere or version < _OWN_CENTRE_SINCE,
        normalize=options.logical("normalise", "normalize", default=True),
    )
    basis = quip_basis(
        parameters.cutoff, parameters.n_max, parameters.atom_sigma,
        options.number("basis_error_exponent", default=10.0),
    )  # fmt: skip
    species = None if neighbours == (0,) else neighbours
    descriptor = parameters.build(species, basis=basis, ignore_others=True)
    if version < _DEGREE_WEIGHTS_SINCE:
        descriptor = _without_degree_weights(descriptor)
    n_max = parameters.n_max  # QUIP's channels follow the file's order of species, ours ascend
    channels = [n_max * sorted(neighbours).index(z) + n for z in neighbours for n in range(n_max)]
    return descriptor, quip_order(len(channels), parameters.l_max, channels)


def _without_degree_weights(descriptor):
    """The same with p_l = sum_m c c: radial functions times (2l + 1)^(1/4) undo the 1 / sqrt(2l + 1)."""
    table = descriptor.table
    degrees = np.arange(table.knots.shape[1])
    knots = table.knots * ((2.0 * degrees + 1.0) ** 0.25)[:, None, None]
    return SOAPDescriptor(
        descriptor.params, descriptor.species, replace(table, knots=knots), descriptor.central,
        ignore_others=descriptor.ignore_others,
    )  # fmt: skip


def _pair_term(coordinate, options, version, delta, points, alpha, cutoffs):
    powers = tuple(options.numbers("exponents", options.integer("n_exponents", 1), "n_exponents", [1.0]))
    if not len(powers) == len(coordinate.theta) == points.shape[1]:
        raise ValueError(
            f"gap.xml: distance_2b has {len(powers)} exponents, {len(coordinate.theta)} theta and dimensions="
            f"{points.shape[1]}; they must be as many. The file is inconsistent; copy it again."
        )
    pair = (options.integer("z1", 0), options.integer("z2", 0))
    descriptor = PairDistances(
        options.number("cutoff"),
        options.number("cutoff_transition_width", default=0.5),
        None if pair == (0, 0) else pair,
        tail_exponent=options.number("tail_exponent", default=0.0),
        tail_range=options.number("tail_range", default=1.0),
    ).build()
    scale = coordinate.theta[0] if len(powers) == 1 else tuple(coordinate.theta)
    kernel = SquaredExponential(scale, (_f0(coordinate) / delta) ** 2, powers)
    return PairTerm(descriptor, kernel, delta, _distances(points, powers), cutoffs), alpha


def _f0(coordinate):
    return fortran_float(coordinate.attributes.get("signal_mean", "0"), "signal_mean")


def _distances(points, powers):
    """Distances r of sparse points (r^p_1, r^p_2, ...)."""
    if 0 in powers or (points <= 0).any():
        raise ValueError(f"gap.xml: sparse points of distance_2b with exponents {powers} are no powers of distances.")
    r = points[:, 0] if powers[0] == 1 else points[:, 0] ** (1.0 / powers[0])
    for power, column in zip(powers[1:], points.T[1:], strict=True):
        if np.abs(r**power / column - 1.0).max() > 1e-6:
            raise ValueError(
                f"gap.xml: the sparse points of distance_2b with exponents {powers} are not all made of one distance, "
                "which is not supported. Run this potential with QUIP."
            )
    return r


def _merged(parts):
    """Terms and weights; soaps that differ in nothing but their centres become one term.

    gap_fit writes one descriptor for each element; one term expands every
    environment once instead of once for each of them.
    """
    terms, weights = [], []
    for term, alpha in parts:
        for k, other in enumerate(terms):
            if _same_but_centres(term, other):
                points = other.sparse_points | term.sparse_points
                both = EnvironmentTerm(other.descriptor, other.kernel, other.delta, points, other.f0)
                alphas = {key: weights[k][other.columns[key]] for key in other.columns}
                alphas |= {key: alpha[term.columns[key]] for key in term.columns}
                terms[k], weights[k] = both, np.concatenate([alphas[key] for key in both.columns])
                break
        else:
            terms.append(term)
            weights.append(alpha)
    return terms, weights


def _same_but_centres(one, other):
    if not (isinstance(one, EnvironmentTerm) and isinstance(other, EnvironmentTerm)):
        return False
    a, b = one.descriptor, other.descriptor
    return (
        (one.kernel, one.delta, one.f0) == (other.kernel, other.delta, other.f0)
        and (a.params, a.species) == (b.params, b.species)
        and np.array_equal(a.table.knots, b.table.knots)
        and None not in (one.centres, other.centres)
        and not one.centres & other.centres
    )
