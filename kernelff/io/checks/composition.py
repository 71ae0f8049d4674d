"""Whether the frames tell the energies of their elements apart."""

from __future__ import annotations

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from kernelff.io.geometry import is_isolated_atom


def degenerate_e0(data, e0=None):
    """Compositions that leave energies of elements undetermined, where isolated atoms are missing.

    Parameters
    ----------
    data : DataSet
    e0 : dict, optional
        Element or atomic number -> eV, where the user gives them.

    Returns
    -------
    list of Finding
    """
    labelled = data.labelled("energy")
    species = sorted({int(z) for k in labelled for z in data.frames[k].numbers})
    known = {int(data.frames[k].numbers[0]) for k in labelled if is_isolated_atom(data.frames[k])}
    known |= {atomic_numbers.get(key, key) for key in e0 or {}}
    missing = [z for z in species if z not in known]
    if len(missing) < 2:
        return []
    counts = np.array([[(data.frames[k].numbers == z).sum() for z in missing] for k in labelled], dtype=float)
    if np.linalg.matrix_rank(counts / counts.sum(axis=1, keepdims=True).clip(1), tol=1e-6) == len(missing):
        return []
    names = [chemical_symbols[z] for z in missing]
    return [data.finding(
        "warning", "degenerate e0",
        f"the compositions of the frames cannot tell the energies of {', '.join(names)} apart: their split is "
        "arbitrary, and other compositions will be wrong by a constant",
        f"add isolated atoms, or give [model] e0 = {{ {', '.join(f'{name} = ...' for name in names)} }}",
    )]  # fmt: skip
