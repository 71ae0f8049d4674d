"""Tables of a bound moment tensor potential and a neighbour list as a file that driver.c reads."""

import numpy as np

_TYPES = {"int32": "i", "uint32": "u", "int64": "q", "float32": "f", "float64": "d"}


def write_tables(path, tables, neighbors):
    """Write `potential_tables` of moment_folding.py and the pairs of a NeighborList as records."""
    sizes = {"n_blocks": tables["radial"].shape[2]}
    pairs = {
        "first": neighbors.first.astype(np.int64),
        "j": neighbors.j,
        "vectors": neighbors.vectors,
        "species": neighbors.numbers.astype(np.int32),
    }
    with open(path, "wb") as file:
        for name, value in (tables | sizes | pairs).items():
            array = np.asarray(value, dtype=np.int32) if isinstance(value, int) else np.ascontiguousarray(value)
            file.write(f"{name} {_TYPES[array.dtype.name]} {array.size}\n".encode())
            file.write(array.tobytes() + b"\n")
