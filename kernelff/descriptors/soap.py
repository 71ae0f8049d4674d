"""SOAP: the power spectrum of the neighbour density around a centre.

    c_(a n)lm = sum_j R_nl(r_ij) Y_lm(r_ij / |r_ij|)   over neighbours j of element a, plus the central atom
    p_l(u, v) = sum_m c_ulm c_vlm / sqrt(2 l + 1)      u, v = channels (a, n)
    q = p / |p|

The loops are compiled (ext/soap.c); this module checks, tabulates and explains.
"""

import numpy as np

from kernelff._soap import MAX_L, Loops
from kernelff.basis.cutoff import cosine_switch, radial_scaling
from kernelff.basis.radial import BASES
from kernelff.basis.tables import RadialTable, tabulate
from kernelff.descriptors.base import (
    EnvironmentDescriptor,
    EnvironmentFeatures,
    checked_species,
    is_whole,
    register,
    require,
)
from kernelff.descriptors.mixing import Mixing, channel_tables, check_mixing, make_mixing

_Y00 = 0.5 / np.sqrt(np.pi)
_RADIUS_IN_NEAREST = 1.3  # default scaling radius in nearest-neighbour distances
_LEAST_RADIUS = 2.0  # Å; bonds of hydrogen are shorter than what a centre has to see well
AUTO = "auto"
_MIXING = ("n_channels", "mixing", "similarity_length", "mixing_seed")


class SOAP(EnvironmentFeatures):
    """Smooth overlap of atomic positions.

    Parameters
    ----------
    cutoff : float
        Å.
    n_max : int
        Number of radial functions per element.
    l_max : int
        Largest angular degree, inclusive.
    atom_sigma : float
        Width of the Gaussian neighbour density, Å.
    cutoff_width : float
        Width of the cosine switch below `cutoff`, Å.
    radial_basis : {"gto", "quip"}
        Gaussian-type orbitals, or the equispaced Gaussians of QUIP's published
        GAPs (with ``cutoff_width=0.5, scaling_exponent=0``).
    scaling_exponent, scaling_radius, scaling_rate : float
        Neighbours weigh rate / (rate + (r / radius)^exponent); exponent 0
        switches this off. Radius None: 1.3 nearest-neighbour distances, at least 2 Å.
    central_weight : float
        Weight of the central atom's own density.
    central_reference_all_species : bool, optional
        Add the central atom to the channels of every element (QUIP); None: no.
    normalize : bool
        Scale q to length 1; a centre without density keeps q = 0.
    n_channels : int, "auto" or None
        Mix the channels (a, n), elements times `n_max`, into this many; None keeps them all. Size and
        cost then do not depend on the number of elements. "auto": as many as one element has, `n_max`,
        where frames with several elements are at hand (fits, `fit`, `features`); all otherwise, and with
        the basis of QUIP, which knows no mixing.
    mixing : {"learnt", "alchemical", "random"}
        From the covariance of the coefficients in the data, for each degree; of elements alone, by
        their places in the periodic table (`n_channels` a multiple of `n_max`); or at random. See `mixing`.
    similarity_length : float
        How far elements resemble each other, in periods and groups; 0: not at all.
    mixing_seed : int
        Of random mixing.

    References
    ----------
    .. [1] Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013), doi:10.1103/PhysRevB.87.184115
    .. [2] Willatt, Musil, Ceriotti, Phys. Chem. Chem. Phys. 20, 29661 (2018), doi:10.1039/C8CP05921G
    """

    def __init__(
        self,
        cutoff=5.2,
        n_max=8,
        l_max=6,
        *,
        atom_sigma=0.4,
        cutoff_width=1.0,
        radial_basis="gto",
        scaling_exponent=4.0,
        scaling_radius=None,
        scaling_rate=1.0,
        central_weight=1.0,
        central_reference_all_species=False,
        normalize=True,
        n_channels="auto",
        mixing="learnt",
        similarity_length=1.5,
        mixing_seed=0,
    ):
        self.cutoff = cutoff
        self.n_max = n_max
        self.l_max = l_max
        self.atom_sigma = atom_sigma
        self.cutoff_width = cutoff_width
        self.radial_basis = radial_basis
        self.scaling_exponent = scaling_exponent
        self.scaling_radius = scaling_radius
        self.scaling_rate = scaling_rate
        self.central_weight = central_weight
        self.central_reference_all_species = central_reference_all_species
        self.normalize = normalize
        self.n_channels = n_channels
        self.mixing = mixing
        self.similarity_length = similarity_length
        self.mixing_seed = mixing_seed

    def build(self, species, nearest_distance=None, *, frames=None, basis=None, ignore_others=False):
        """Check the parameters and tabulate the radial functions.

        Parameters
        ----------
        species : sequence of int, or None
            Atomic numbers, one set of channels each; None treats all
            elements alike (one wildcard channel set).
        nearest_distance : float, optional
            Å; sets ``scaling_radius`` where that is None.
        frames : list of ase.Atoms, optional
            Data that learnt mixing follows.
        basis : RadialBasis, optional
            In place of the one that ``radial_basis`` names, with ``n_max`` functions.
        ignore_others : bool
            Neighbours of other elements are not seen, instead of being an error.

        Returns
        -------
        SOAPDescriptor

        Raises
        ------
        ValueError
            Naming the parameter that is out of its range.
        """
        if self.n_channels == AUTO:
            return self._with_channels(None).build(
                species, nearest_distance, frames=frames, basis=basis, ignore_others=ignore_others
            )
        species = checked_species(species)
        self._check()
        check_mixing(self, 1 if species is None else len(species), frames)
        radius = self._radius(nearest_distance)
        basis = basis or BASES[self.radial_basis](self.cutoff, self.n_max, self.atom_sigma)
        table = self._tabulate(basis, radius)
        params = {**self.get_params(), "scaling_radius": radius}
        params = {name: value.item() if isinstance(value, np.generic) else value for name, value in params.items()}
        if self.n_channels is None:
            params = {name: value for name, value in params.items() if name not in _MIXING}
            return SOAPDescriptor(params, species, table, basis.central, ignore_others=ignore_others)
        full = SOAPDescriptor(params | {"normalize": True}, species, table, basis.central, ignore_others=True)
        mixing = make_mixing(self, full, frames)
        return SOAPDescriptor(params, species, table, basis.central, ignore_others=ignore_others, mixing=mixing)

    def build_for(self, frames, species, nearest_distance):
        """The built descriptor of a model that is fitted to the frames: learnt mixing follows them."""
        soap = self
        if self.n_channels == AUTO:
            mixed = species is not None and len(species) > 1 and self.radial_basis != "quip"
            soap = self._with_channels(self.n_max if mixed else None)
        return soap.build(species, nearest_distance, frames=frames)

    def _with_channels(self, n_channels):
        return type(self)(**self.get_params() | {"n_channels": n_channels})

    def _check(self):
        require(np.isfinite(self.cutoff) and self.cutoff > 0, "cutoff", self.cutoff, "a length > 0 Å")
        for name, low, high in (("n_max", 1, 64), ("l_max", 0, MAX_L)):
            value = getattr(self, name)
            require(is_whole(value) and low <= value <= high, name, value, f"a whole number from {low} to {high}")
        rule = f"a length > 0 and at most cutoff = {self.cutoff} Å"
        for name in ("atom_sigma", "cutoff_width"):
            require(0 < getattr(self, name) <= self.cutoff, name, getattr(self, name), rule)
        known = sorted(BASES)
        require(self.radial_basis in known, "radial_basis", self.radial_basis, f"one of {known}")
        for name in ("scaling_exponent", "central_weight"):
            value = getattr(self, name)
            require(np.isfinite(value) and value >= 0, name, value, "a number >= 0")
        require(np.isfinite(self.scaling_rate) and self.scaling_rate > 0, "scaling_rate", self.scaling_rate, "> 0")

    def _radius(self, nearest):
        if self.scaling_radius is not None:
            value = self.scaling_radius
            require(np.isfinite(value) and value > 0, "scaling_radius", value, "a length > 0 Å, or None")
            return float(value)
        if self.scaling_exponent == 0:
            return None
        if nearest is None:
            raise ValueError(
                "scaling_radius: None follows the data, so build() needs nearest_distance. Pass it, give "
                "scaling_radius in Å, or set scaling_exponent=0."
            )
        # frames of isolated atoms only have no distance; any radius serves, as no neighbour is seen
        if not np.isfinite(nearest):
            return 0.5 * float(self.cutoff)
        return max(float(_RADIUS_IN_NEAREST * nearest), _LEAST_RADIUS)

    def _tabulate(self, basis, radius):
        """Table of basis x scaling x cutoff function; derivatives by the product rule."""
        cutoff, width, exponent = float(self.cutoff), float(self.cutoff_width), float(self.scaling_exponent)

        def function(r, segment):
            factor = radial_scaling(r, exponent, radius, self.scaling_rate)
            if segment == 1:
                factor = _product(factor, cosine_switch(r, cutoff, width))
            return np.stack(_product([f[:, None, None] for f in factor], basis.evaluate(r, self.l_max)))

        # r^exponent is not smooth at 0 for a fractional exponent
        smooth_from = 0.0 if exponent.is_integer() else 0.1 * cutoff
        return tabulate(function, cutoff, cutoff - width, smooth_from)


def _product(f, g):
    """Value and two derivatives of a product."""
    return f[0] * g[0], f[1] * g[0] + f[0] * g[1], f[2] * g[0] + 2.0 * f[1] * g[1] + f[0] * g[2]


@register("soap")
class SOAPDescriptor(EnvironmentDescriptor):
    """Built form of SOAP: tables and compiled loops. Immutable and thread-safe.

    Attributes
    ----------
    params : dict
        Parameters of SOAP, with the scaling radius that was used.
    species : tuple of int, or None
        Elements with channels of their own, ascending.
    cutoff : float
        Å.
    n_features : int
    ignore_others : bool
        Whether neighbours of other elements are left out or an error.
    mixing : Mixing or None
        Matrices that mix the channels, and how much of the variance they keep.
    """

    def __init__(self, params, species, table, central, isa=None, ignore_others=False, mixing=None):
        self.params, self.species, self.table, self.central = dict(params), species, table, central
        self.ignore_others, self.mixing = ignore_others, mixing
        self.cutoff = float(params["cutoff"])
        n_species, everywhere = 1 if species is None else len(species), params["central_reference_all_species"]
        own = central * (params["central_weight"] * _Y00)
        knots, table_of, own = channel_tables(table.knots, own, n_species, everywhere, mixing)
        tables = [(table.split, table.steps, table.n_intervals, one) for one in knots]
        shared, normalize = mixing is not None, bool(params["normalize"])
        self.loops = Loops(self.cutoff, tables, table_of, own, shared, normalize, isa)
        self.n_features = self.loops.n_features

    def to_state(self):
        """Plain data: a JSON-able dict and arrays, tables included."""
        params = {
            "parameters": self.params,
            "species": None if self.species is None else list(self.species),
            "split": self.table.split,
            "n_intervals": list(self.table.n_intervals),
            "ignore_others": self.ignore_others,
        }
        arrays = {"knots": self.table.knots, "central": self.central}
        if self.mixing is not None:
            params["explained"] = self.mixing.explained
            arrays["mixing"] = self.mixing.matrices
        return params, arrays

    @classmethod
    def from_state(cls, params, arrays, isa=None):
        """The descriptor that `to_state` described; `isa` forces an instruction set."""
        knots = np.array(arrays["knots"], dtype=float)
        parameters = params["parameters"]
        table = RadialTable(parameters["cutoff"], params["split"], tuple(params["n_intervals"]), knots)
        species = params["species"]
        species = None if species is None else tuple(species)
        central = np.array(arrays["central"], dtype=float)
        mixing = None
        if "mixing" in arrays:
            mixing = Mixing(np.array(arrays["mixing"], dtype=float), params["explained"])
        return cls(parameters, species, table, central, isa, params.get("ignore_others", False), mixing)

    def __reduce__(self):
        return (type(self).from_state, self.to_state())
