"""Elements of the numbered types of MLIP's files, which do not name them."""

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from kernelff.descriptors.base import is_whole


def elements_of_types(species):
    """Atomic numbers of the types 0, 1, ..

    Parameters
    ----------
    species : sequence of int or str, or str
        Atomic numbers or symbols; a text may list several, "Si,C".

    Returns
    -------
    list of int

    Raises
    ------
    ValueError
        For anything else, or an element that stands twice.
    """
    if isinstance(species, str):
        species = [int(word) if word.isdecimal() else word for word in species.replace(",", " ").split()]
    given = [species] if np.ndim(species) == 0 else list(species)
    types = [atomic_numbers.get(z, 0) if isinstance(z, str) else z for z in given]
    fine = all(is_whole(z) and 1 <= z < len(chemical_symbols) for z in types) and len(set(types)) == len(types)
    if not (fine and types):
        raise ValueError(f"species: must be different atomic numbers or symbols of elements, got {given!r}.")
    return [int(z) for z in types]
