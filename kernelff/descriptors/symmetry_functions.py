"""Atom-centred symmetry functions (Behler and Parrinello).

The loops are compiled (ext/symmetry.c); this module checks, lists and explains. What each function
is stands in symmetry_records.py.
"""

import numpy as np

from kernelff._symmetry import CUTOFF_FUNCTIONS, Loops
from kernelff.descriptors.base import (
    EnvironmentDescriptor,
    EnvironmentFeatures,
    checked_species,
    register,
    require,
    species_index,
)
from kernelff.descriptors.symmetry_grid import automatic_functions
from kernelff.descriptors.symmetry_records import Function, element_number, record_of
from kernelff.descriptors.symmetry_tables import loop_tables
from kernelff.neighbors import NeighborList

_SMALLEST_SPREAD = 1e-3  # of the mean; what hardly varies in the data must not be magnified at will


class SymmetryFunctions(EnvironmentFeatures):
    """Symmetry functions of the environment of an atom.

    Parameters
    ----------
    functions : list of G2, G4, G5, W2, W4, W5, or dict of such lists, optional
        Of every atom, or by element (symbol or atomic number) of the central atom. Each function is one
        feature, 0 for central atoms that do not list it. None: an automatic grid, see `automatic_functions`.
    cutoff : float
        Å, of all functions that name none of their own.
    n_radial, n_shells : int
        Size of the automatic grid: `n_radial` functions per element, 10 `n_shells` per pair of elements.
    cutoff_function : {"cosine", "tanh3"}
        (1 + cos(pi r / cutoff)) / 2, or tanh^3(1 - r / cutoff).
    weighted : bool
        The automatic grid weights neighbours by atomic number instead of telling elements apart: as many
        functions for many elements as for one.

    Examples
    --------
    >>> descriptor = SymmetryFunctions([G2(0.5, 2.0), G4(0.01, zeta=4, lambda_=-1)], cutoff=6.0)
    >>> q, frame_index, centre_index = descriptor.features(frames)  # doctest: +SKIP
    """

    scaled = True

    def __init__(
        self, functions=None, cutoff=5.5, *, n_radial=12, n_shells=4, cutoff_function="cosine", weighted=False
    ):
        self.functions = functions
        self.cutoff = cutoff
        self.n_radial = n_radial
        self.n_shells = n_shells
        self.cutoff_function = cutoff_function
        self.weighted = weighted

    def build(self, species, nearest_distance=None):
        """Check the parameters and list the functions.

        Parameters
        ----------
        species : sequence of int, or None
            Atomic numbers; None treats all elements alike.
        nearest_distance : float, optional
            Å; where the automatic grid begins.

        Returns
        -------
        SymmetryFunctionsDescriptor

        Raises
        ------
        ValueError
            Naming the parameter or function that is out of its range.
        """
        species = checked_species(species)
        require(0 < self.cutoff <= 100, "cutoff", self.cutoff, "a length > 0 and up to 100 Å")
        rule = f"one of {list(CUTOFF_FUNCTIONS)}"
        require(self.cutoff_function in CUTOFF_FUNCTIONS, "cutoff_function", self.cutoff_function, rule)
        listed = self._listed((0,) if species is None else species, species, nearest_distance)
        functions = list(dict.fromkeys(f for mine in listed for f in mine))  # one column each, in order
        scale = np.array([[float(f in mine) for f in functions] for mine in map(set, listed)])
        return SymmetryFunctionsDescriptor(species, self.cutoff_function, functions, scale, np.zeros_like(scale))

    def build_for(self, frames, species, nearest_distance):
        """The built descriptor with features scaled to the frames, see `SymmetryFunctionsDescriptor.scaled_to`."""
        return self.build(species, nearest_distance).scaled_to(frames)

    def plain_parameters(self):
        """Parameters with plain dicts in place of records."""
        functions = self.functions
        if isinstance(functions, dict):
            functions = {str(z): [record_of(entry).to_dict() for entry in own] for z, own in functions.items()}
        elif functions is not None:
            functions = [record_of(entry).to_dict() for entry in functions]
        return self.get_params() | {"functions": functions}

    def _listed(self, centres, species, nearest_distance):
        """The functions of each centre."""
        given = self.functions
        if given is None:
            given = automatic_functions(self.cutoff, self.n_radial, self.n_shells, nearest_distance, self.weighted)
        if not isinstance(given, dict):
            given = dict.fromkeys(centres, given)
        by_element = {_centre(z): [record_of(entry) for entry in own] for z, own in given.items()}
        listed = []
        for z in centres:
            resolved = [f for record in by_element.get(z, ()) for f in record.resolve(species, self.cutoff)]
            if not resolved:
                raise ValueError(
                    f"functions: none for central atoms with atomic number {z} among neighbours {list(centres)}. "
                    "Add some, or leave such atoms out of the data."
                )
            listed.append(resolved)
        return listed


def _centre(key):
    if isinstance(key, str) and key.isdigit():  # from a model file
        key = int(key)
    return 0 if key == 0 else element_number(key)


@register("symmetry_functions")
class SymmetryFunctionsDescriptor(EnvironmentDescriptor):
    """Built form of SymmetryFunctions. Immutable and thread-safe.

    Attributes
    ----------
    functions : tuple of Function
        One per feature.
    species : tuple of int, or None
        Elements with functions of their own, ascending.
    cutoff : float
        Å; of the function that reaches farthest.
    n_features : int
    scale, shift : ndarray of shape (n_species, n_features)
        By element of the centre: a feature is (G - shift) scale; scale 0 where the element does not list it.
    """

    def __init__(self, species, cutoff_function, functions, scale, shift, isa=None):
        self.species, self.cutoff_function, self.functions = species, cutoff_function, tuple(functions)
        self.scale, self.shift = np.array(scale, dtype=float), np.array(shift, dtype=float)
        self.scale.flags.writeable = self.shift.flags.writeable = False
        self.cutoff = max(f.cutoff for f in self.functions)
        self.n_features = len(self.functions)
        shape = (1 if species is None else len(species), self.n_features)
        for name, array in (("scale", self.scale), ("shift", self.shift)):
            require(array.shape == shape, name, array.shape, f"of shape {shape}")
        self.loops = Loops(loop_tables(self.functions, species, self.scale, self.shift), cutoff_function, isa)

    def scaled_to(self, frames):
        """This descriptor with features of mean 0 and standard deviation 1 over the frames.

        Symmetry functions differ by orders of magnitude in size and spread; a covariance of distances or
        angles between feature vectors needs them alike. Every element of the centre has its own means and
        deviations; streamed, one frame at a time. A function that varies by less than a thousandth of its mean
        is divided by that thousandth, for it may vary elsewhere, and one that is 0 in all frames stays as it is.

        Parameters
        ----------
        frames : list of ase.Atoms

        Returns
        -------
        SymmetryFunctionsDescriptor
        """
        bare = self._with((self.scale > 0).astype(float), np.zeros_like(self.shift))
        count, mean, squares = np.zeros((len(self.scale), 1)), np.zeros_like(self.scale), np.zeros_like(self.scale)
        for atoms in frames:
            q = bare.compute(NeighborList.from_atoms(atoms, self.cutoff))
            index = species_index(atoms.numbers, self.species)
            for z in np.unique(index):  # Chan, Golub, LeVeque 1983: pairwise update of mean and squares
                mine, n = q[index == z], count[z] + (index == z).sum()
                step = mine.mean(axis=0) - mean[z]
                squares[z] += ((mine - mine.mean(axis=0)) ** 2).sum(axis=0) + step**2 * count[z] * len(mine) / n
                mean[z] += step * len(mine) / n
                count[z] = n
        spread = np.sqrt(squares / np.maximum(count, 1))
        spread = np.maximum(spread, _SMALLEST_SPREAD * np.abs(mean))
        return self._with(bare.scale / np.where(spread > 0, spread, 1.0), mean)

    def to_state(self):
        """Plain data: a JSON-able dict and arrays."""
        params = {
            "parameters": {
                "cutoff": self.cutoff,
                "cutoff_function": self.cutoff_function,
                "functions": self.n_features,
            },
            "species": None if self.species is None else list(self.species),
            "functions": [list(f) for f in self.functions],
        }
        return params, {"scale": self.scale, "shift": self.shift}

    @classmethod
    def from_state(cls, params, arrays, isa=None):
        """The descriptor that `to_state` described; `isa` forces an instruction set."""
        species = params["species"]
        functions = [Function(form, tuple(elements), *rest) for form, elements, *rest in params["functions"]]
        kind = params["parameters"]["cutoff_function"]
        species = None if species is None else tuple(species)
        return cls(species, kind, functions, arrays["scale"], arrays["shift"], isa)

    def __reduce__(self):
        return (type(self).from_state, self.to_state())

    def _with(self, scale, shift):
        return type(self)(self.species, self.cutoff_function, self.functions, scale, shift, self.isa)
