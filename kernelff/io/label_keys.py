"""Where a frame keeps its energy, forces and stress, and how they are brought to one convention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
"""ASE's order of the six stress components, the one used everywhere in this package."""

_VOIGT_INDEX = {"xx": (0, 0), "yy": (1, 1), "zz": (2, 2), "yz": (1, 2), "xz": (0, 2), "xy": (0, 1)}
_AFFIXES = ("{}", "ref_{}", "dft_{}", "qm_{}", "target_{}", "{}_ref", "{}_dft")


def _spellings(*names):
    return {affix.format(name) for name in names for affix in _AFFIXES}


# Compared in lower case, so that dft_energy, DFT_energy and REF_Energy are all found.
KNOWN_KEYS = {
    "energy": _spellings("energy", "total_energy") | {"totenergy"},
    "forces": _spellings("forces", "force"),
    "stress": _spellings("stress"),
    "virial": _spellings("virial", "virials"),
}
# Kept apart: a code that smears the occupations reports both, and they differ for a good reason.
FALLBACK_ENERGY_KEYS = _spellings("free_energy")


@dataclass(frozen=True)
class LabelKeys:
    """Which entries of a frame are its labels, and in which convention they are written.

    Parameters
    ----------
    energy_key, forces_key, stress_key, virial_key : str or None
        Name of the entry in the calculator's results, ``atoms.info`` or ``atoms.arrays``; None looks for the
        usual names. A name that is given is the only one used.
    energy_factor, forces_factor : float
        Multiply energies and forces as written, to bring them to eV and eV/Å, e.g. 27.2114 for hartree.
    stress_factor : float
        Multiplies the stress as written, to bring it to eV/Å^3 in ASE's sign (positive under tension).
    stress_order : str
        Order in which six-component stresses are written, e.g. ``"xx yy zz xy yz xz"``; "zx" means "xz".
    use_stress : bool
        False ignores all stresses and virials.
    species : str or sequence of int or str, or None
        Elements of the types 0, 1, .. of MLIP's .cfg files, which do not name them, e.g. "Si,C".
    """

    energy_key: str | None = None
    forces_key: str | None = None
    stress_key: str | None = None
    virial_key: str | None = None
    energy_factor: float = 1.0
    forces_factor: float = 1.0
    stress_factor: float = 1.0
    stress_order: str = " ".join(VOIGT)
    use_stress: bool = True
    species: str | tuple | None = None

    def stress_permutation(self):
        """Positions at which xx yy zz yz xz xy are found in a written six-component stress.

        Returns
        -------
        list of int

        Raises
        ------
        ValueError
            If `stress_order` does not name each of the six components once.
        """
        words = ["".join(sorted(word.lower())) for word in self.stress_order.split()]
        if sorted(words) != sorted(VOIGT):
            raise ValueError(
                f"stress_order={self.stress_order!r} must name each of {' '.join(VOIGT)} once, "
                "e.g. stress_order='xx yy zz xy yz zx' for the order VASP writes"
            )
        return [words.index(component) for component in VOIGT]


class Labels(NamedTuple):
    """Labels of one frame; None where the frame carries none."""

    energy: float | None  # eV, total
    forces: np.ndarray | None  # (n_atoms, 3), eV/Å
    stress: np.ndarray | None  # (6,), eV/Å^3, ASE's sign and order


class Candidate(NamedTuple):
    """One entry of a frame that may be a label."""

    place: str  # "calculator", "info" or "arrays"
    key: str
    value: object

    def __str__(self):
        return f"{self.key!r} ({self.place})"


def candidates(atoms, kind, keys=None):
    """All entries of a frame that may hold one kind of label.

    Parameters
    ----------
    atoms : ase.Atoms
    kind : {"energy", "forces", "stress", "virial"}
    keys : LabelKeys, optional

    Returns
    -------
    list of Candidate
    """
    wanted = getattr(keys, f"{kind}_key") if keys is not None else None
    found = [entry for entry in _entries(atoms) if _matches(entry.key, kind, wanted)]
    if not found and kind == "energy" and wanted is None:
        found = [entry for entry in _entries(atoms) if entry.key.lower() in FALLBACK_ENERGY_KEYS]
    return found


def entry_names(atoms):
    """Names of all entries a label could be taken from, for error messages.

    Returns
    -------
    list of str
    """
    ignored = {"numbers", "positions", "config_type"}
    return sorted({entry.key for entry in _entries(atoms)} - ignored)


def labels(atoms, keys=None, *, name="frame"):
    """Energy, forces and stress of a frame in one convention.

    Looks at the results of an attached single-point calculation, ``atoms.info`` and ``atoms.arrays``. Nothing
    is computed: a live calculator that has not been asked yet carries no labels.

    Parameters
    ----------
    atoms : ase.Atoms
    keys : LabelKeys, optional
        Names and conventions; the usual names are looked for where a name is not given.
    name : str
        What to call the frame in error messages.

    Returns
    -------
    Labels
        Virials are turned into stresses, stress = -virial / volume. A stress is kept only where it is
        defined: three periodic directions and a volume.

    Raises
    ------
    ValueError
        If two entries disagree, a label has the wrong shape or is no number, or the attached results belong
        to other positions.
    """
    keys = LabelKeys() if keys is None else keys
    _refuse_stale_results(atoms, name)
    energy = _agreed(_read(atoms, "energy", keys, name, _as_energy), "energy", name)
    forces = _agreed(_read(atoms, "forces", keys, name, _as_forces), "forces", name)
    stress = None
    if keys.use_stress and has_stress(atoms):
        written = _read(atoms, "stress", keys, name, _as_stress) if keys.virial_key is None else []
        if keys.stress_key is None:
            written += _read(atoms, "virial", keys, name, _as_stress_from_virial)
        stress = _agreed(written, "stress", name)
    return Labels(energy, forces, stress)


def has_stress(atoms):
    """Whether the stress of a frame is defined: three periodic directions with a volume.

    Returns
    -------
    bool
    """
    cell = atoms.cell.array
    return bool(atoms.pbc.all() and np.isfinite(cell).all()) and abs(np.linalg.det(cell)) > 1e-8


def _entries(atoms):
    results = getattr(atoms.calc, "results", None) or {}
    for place, entries in (("calculator", results), ("info", atoms.info), ("arrays", atoms.arrays)):
        for key, value in entries.items():
            if isinstance(key, str) and value is not None:
                yield Candidate(place, key, value)


def _matches(key, kind, wanted):
    return key == wanted if wanted is not None else key.lower() in KNOWN_KEYS[kind]


def _refuse_stale_results(atoms, name):
    results = getattr(atoms.calc, "results", None)
    if not results or not hasattr(atoms.calc, "check_state") or getattr(atoms.calc, "atoms", None) is None:
        return
    changed = atoms.calc.check_state(atoms)
    if changed:
        raise ValueError(
            f"{name}: the attached results were computed for other {' and '.join(changed)}; "
            "compute them again, or drop them with atoms.calc = None"
        )


def _read(atoms, kind, keys, name, convert):
    values = []
    for entry in candidates(atoms, kind, keys):
        try:
            array = np.asarray(entry.value, dtype=float)
        except (TypeError, ValueError):
            raise ValueError(
                f"{name}: {entry} should be the {kind} but is {entry.value!r}; correct the file, "
                f"or name the right entry with {kind}_key (found: {', '.join(entry_names(atoms))})"
            ) from None
        values.append((entry, convert(array, atoms, keys, f"{name}: {entry}")))
    return values


def _as_energy(array, _atoms, keys, where):
    if array.size != 1:
        raise ValueError(f"{where} has shape {array.shape}; a total energy is one number")
    return float(array.reshape(())) * keys.energy_factor


def _as_forces(array, atoms, keys, where):
    if array.shape != (len(atoms), 3):
        raise ValueError(f"{where} has shape {array.shape}; forces of {len(atoms)} atoms have shape ({len(atoms)}, 3)")
    return array * keys.forces_factor


def _as_stress(array, _atoms, keys, where):
    return _six_components(array, keys, where) * keys.stress_factor


def _as_stress_from_virial(array, atoms, keys, where):
    return -_six_components(array, keys, where) / atoms.get_volume() * keys.stress_factor


def _six_components(array, keys, where):
    if array.size == 6:
        return array.reshape(6)[keys.stress_permutation()]
    if array.size != 9:
        raise ValueError(f"{where} has shape {array.shape}; a stress or virial has shape (3, 3), (9,) or (6,)")
    tensor = array.reshape(3, 3)
    asymmetry = np.abs(tensor - tensor.T).max()
    if asymmetry > 0.05 * np.abs(tensor).max() + 1e-4:
        raise ValueError(
            f"{where} is not symmetric (differences up to {asymmetry:.3g}); "
            "correct it, or leave stresses out with use_stress=False"
        )
    order = keys.stress_permutation()
    voigt = np.array([0.5 * (tensor[_VOIGT_INDEX[c]] + tensor[_VOIGT_INDEX[c][::-1]]) for c in VOIGT])
    # A permuted order is a slip of whoever wrote six numbers: after ASE has made a matrix of them the slip is
    # still there, at the same places.
    return voigt[order]


def _agreed(values, kind, name):
    """The one value that all entries agree on, or None."""
    if not values:
        return None
    (first, value), *others = values
    for other, another in others:
        if not np.allclose(value, another, rtol=1e-6, atol=1e-6, equal_nan=True):
            option = "virial_key" if "virial" in other.key.lower() else f"{kind}_key"
            raise ValueError(
                f"{name}: {first} and {other} disagree about the {kind} ({_short(value)}, {_short(another)})"
                f"; say which one is meant with {kind}_key={first.key!r} or {option}={other.key!r}"
            )
    return value


def _short(value):
    if isinstance(value, float):
        return f"{value:.8g}"
    return f"largest component {np.abs(value).max():.6g}"
