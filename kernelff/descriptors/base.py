"""What all descriptors share: species, list checks, states by name."""

import numpy as np
from ase.data import chemical_symbols

_BUILT = {}  # name in files -> class of built descriptors


def register(name):
    """Class decorator: make a built descriptor known to `descriptor_from_state` under `name`."""

    def add(cls):
        cls.kind = name
        _BUILT[name] = cls
        return cls

    return add


def descriptor_to_state(descriptor):
    """Plain data of a built descriptor: a JSON-able dict and a dict of arrays."""
    params, arrays = descriptor.to_state()
    return {"kind": descriptor.kind, **params}, arrays


def descriptor_from_state(params, arrays):
    """The built descriptor that `descriptor_to_state` described.

    Raises
    ------
    ValueError
        If the kind is not known to this version.
    """
    params = dict(params)
    kind = params.pop("kind", None)
    if kind not in _BUILT:
        raise ValueError(f"descriptor kind {kind!r} is unknown; known: {sorted(_BUILT)}. Upgrade kernelff.")
    return _BUILT[kind].from_state(params, arrays)


def checked_species(species):
    """Ascending tuple of atomic numbers, or None for any element.

    Raises
    ------
    ValueError
        For an empty list or numbers that are no elements.
    """
    if species is None:
        return None
    numbers = tuple(sorted({int(z) for z in species}))
    if not numbers or numbers[0] < 1 or numbers[-1] >= len(chemical_symbols):
        raise ValueError(f"species: need atomic numbers 1 to 118, got {list(species)}, or None for any element.")
    return numbers


def species_index(numbers, species, ignore_others=False):
    """Position of every atom's element in `species` (n_atoms,) int32; all 0 for None.

    Other elements are an error, or -1 with `ignore_others`.

    Raises
    ------
    ValueError
        Naming the element that is not among `species`.
    """
    if species is None:
        return np.zeros(len(numbers), dtype=np.int32)
    known = np.array(species)
    index = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    unknown = known[index] != numbers
    if ignore_others:
        return np.where(unknown, -1, index).astype(np.int32)
    if unknown.any():
        z = int(np.asarray(numbers)[unknown][0])
        name = chemical_symbols[z] if 0 <= z < len(chemical_symbols) else "?"
        raise ValueError(
            f"species: the frame holds {name} (Z = {z}), but this descriptor was built for "
            f"{', '.join(f'{chemical_symbols[k]} ({k})' for k in species)}. Refit with frames that hold {name}, or "
            "remove those atoms."
        )
    return index.astype(np.int32)


def check_list(neighbors, cutoff):
    """Refuse a neighbour list that does not reach as far as the descriptor."""
    if neighbors.cutoff < cutoff:
        raise ValueError(
            f"neighbors: the list reaches {neighbors.cutoff} Å, the descriptor needs {cutoff} Å. Build it with "
            "NeighborList.from_atoms(atoms, descriptor.cutoff)."
        )


def require(condition, name, value, rule):
    """Raise the ValueError of a parameter that breaks its rule."""
    if not condition:
        raise ValueError(f"{name}: must be {rule}, got {value!r}.")


def is_whole(value):
    """Whether a value is a whole number, not a bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
