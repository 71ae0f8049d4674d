"""Configurations of MLIP, .cfg, written; see mlip_cfg.py for how they look."""

from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from kernelff.io.label_keys import KNOWN_KEYS, candidates, labels
from kernelff.io.mlip_cfg import FEATURE, VOIGT
from kernelff.io.safe_file import write_whole
from kernelff.io.types import elements_of_types

_COLUMNS = ("site_en", "nbh_grades", "charges")  # of MLIP, beside positions and forces


def write_cfg(path, frames, species=None):
    """Write frames as configurations of MLIP, in full precision.

    Parameters
    ----------
    path : path-like
    frames : sequence of ase.Atoms
        Energy, forces and stress as `labels` finds them. Texts and numbers in ``info`` become features, the arrays
        site_en, nbh_grades and charges become columns; other entries are left out.
    species : sequence of int or str, optional
        Elements of the types 0, 1, ..; by default those of the frames, ascending. Each frame says so in a feature.

    Returns
    -------
    tuple of int
        Atomic numbers of the types.

    Raises
    ------
    ValueError
        For frames that are periodic in one or two directions, elements that are not among `species`, or labels that
        contradict each other.
    """
    present = sorted({int(z) for atoms in frames for z in atoms.numbers})
    types = elements_of_types(species) if species is not None else present
    if not set(present) <= set(types):
        others = ", ".join(chemical_symbols[z] for z in sorted(set(present) - set(types)))
        raise ValueError(f"species: the frames also hold {others}. Name an element for each type.")
    write_whole(Path(path), "".join(cfg_text(atoms, types, f"frame {k}") for k, atoms in enumerate(frames)).encode())
    return tuple(types)


def cfg_text(atoms, types, name="frame"):
    """One configuration; `types` lists atomic numbers, `name` is for messages."""
    if atoms.pbc.any() and not atoms.pbc.all():
        raise ValueError(
            f"{name}: is periodic along {atoms.pbc.tolist()}; a .cfg file holds frames that are periodic in all "
            "directions or none. Give it vacuum and pbc = True."
        )
    found = labels(atoms, name=name)
    lines = ["BEGIN_CFG", " Size", f"    {len(atoms)}"]
    if atoms.pbc.all():
        lines += [" Supercell", *(f"    {_row(vector)}" for vector in atoms.cell.array)]
    lines += _atom_lines(atoms, types, found.forces)
    if found.energy is not None:
        lines += [" Energy", f"    {_real(found.energy)}"]
    virial = _plus_stress(atoms, found.stress)
    if virial is not None:
        lines += [f" PlusStress:  {' '.join(VOIGT)}", f"    {_row(virial)}"]
    named = ",".join(chemical_symbols[z] for z in types)
    lines += [f" Feature   {key}   {value}".rstrip() for key, value in [(FEATURE, named), *_features(atoms)]]
    return "\n".join([*lines, "END_CFG", "", ""])


def _atom_lines(atoms, types, forces):
    names, columns = ["cartes_x", "cartes_y", "cartes_z"], [atoms.positions]
    if forces is not None:
        names, columns = [*names, "fx", "fy", "fz"], [*columns, forces]
    for name in _COLUMNS:
        if np.shape(atoms.arrays.get(name)) == (len(atoms),):
            names, columns = [*names, name], [*columns, atoms.arrays[name][:, None]]
    number = {z: k for k, z in enumerate(types)}
    rows = zip(atoms.numbers.tolist(), np.hstack(columns), strict=True)
    lines = [f"    {k} {number[z]} {_row(row)}" for k, (z, row) in enumerate(rows, start=1)]
    return [f" AtomData:  id type {' '.join(names)}", *lines]


def _plus_stress(atoms, stress):
    """-volume * stress, eV; of the neighbouring numbers the one from which reading makes the same stress."""
    if stress is None:
        given = np.asarray(atoms.info.get("virial", ()))
        return given if given.shape == (6,) and not atoms.pbc.any() else None
    volume = atoms.get_volume()
    virial = -volume * stress
    for near in (np.nextafter(virial, -np.inf), np.nextafter(virial, np.inf)):
        virial = np.where((-virial / volume != stress) & (-near / volume == stress), near, virial)
    return virial


def _features(atoms):
    """Names and one-line values of what ``info`` holds beside labels."""
    own = {entry.key for kind in KNOWN_KEYS for entry in candidates(atoms, kind)} | {FEATURE}
    for key, value in atoms.info.items():
        plain = isinstance(value, (str, int, float, np.number)) and isinstance(key, str)
        if plain and key not in own and key.split() == [key]:
            yield from ((key, line.strip()) for line in str(value).split("\n"))


def _row(values):
    return " ".join(map(_real, values))


def _real(x):
    """Without exponent, which motep cannot read; as many digits as tell x from other numbers."""
    return np.format_float_positional(x, trim="0")
