"""Symmetry functions by their parameters: one record each, and lists of them.

    G2 = sum_j u(r_ij)                                             u(r) = exp(-eta (r - r_s)^2) fc(r)
    G4 = 2^(1-zeta) sum_{j<k} (1 + lambda cos theta_jik)^zeta u(r_ij) u(r_ik) u(r_jk)
    G5 = the same without u(r_jk)

over neighbours of given elements [1]_ [2]_. W2, W4 and W5 run over all neighbours, every one weighted by its
atomic number [3]_, so that their number does not grow with that of the elements.

References
----------
.. [1] Behler, Parrinello, Phys. Rev. Lett. 98, 146401 (2007), doi:10.1103/PhysRevLett.98.146401
.. [2] Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717
.. [3] Gastegger et al., J. Chem. Phys. 148, 241709 (2018), doi:10.1063/1.5019667
"""

from dataclasses import asdict, dataclass
from itertools import combinations_with_replacement
from typing import ClassVar, NamedTuple

import numpy as np
from ase.data import atomic_numbers

from kernelff.descriptors.base import require


class Function(NamedTuple):
    """A record made definite: which elements, which cutoff."""

    form: str  # "radial", "open" (G5) or "closed" (G4)
    elements: tuple  # of the neighbours, ascending; 0 any; () all of them, weighted by atomic number
    eta: float  # 1/Å^2
    r_s: float  # Å
    cutoff: float  # Å
    zeta: float = 0.0
    lambda_: float = 0.0


@dataclass(frozen=True)
class _Record:
    """What all records share; `eta` in 1/Å^2, lengths in Å."""

    form: ClassVar[str] = ""
    weighted: ClassVar[bool] = False

    def __post_init__(self):
        _require_number(self, "eta", lambda x: 0 <= x <= 1e6, "a number from 0 to 1e6 1/Å^2")
        _require_number(self, "r_s", lambda x: abs(x) <= 1e3, "a length up to 1000 Å")
        if self.cutoff is not None:
            _require_number(self, "cutoff", lambda x: 0 < x <= 100, "a length > 0 and up to 100 Å, or None")
        if self.form != "radial":
            _require_number(self, "zeta", lambda x: 1 <= x <= 256, "a number from 1 to 256")
            _require_number(self, "lambda_", lambda x: -1 <= x <= 1, "a number from -1 to 1")
            rule = "two elements, or None for all pairs"
            given = getattr(self, "neighbours", None)
            require(given is None or (isinstance(given, (tuple, list)) and len(given) == 2), "neighbours", given, rule)

    def to_dict(self):
        """Plain data that `record_of` reads."""
        return {"function": type(self).__name__} | asdict(self)

    def resolve(self, species, cutoff):
        """The functions that this record stands for among neighbours of `species` (None: one kind of neighbour)."""
        shared = {"eta": float(self.eta), "r_s": float(self.r_s), "cutoff": float(self.cutoff or cutoff)}
        if self.form != "radial":
            shared |= {"zeta": float(self.zeta), "lambda_": float(self.lambda_)}
        return [Function(self.form, elements, **shared) for elements in self._elements(species)]

    def _elements(self, species):
        if self.weighted:
            require(species is not None, "species", species, f"atomic numbers for {type(self).__name__}")
            return [()]
        n = 1 if self.form == "radial" else 2
        given = self.neighbour if n == 1 else self.neighbours
        if given is None:
            return list(combinations_with_replacement((0,) if species is None else species, n))
        elements = tuple(sorted(element_number(z) for z in ([given] if n == 1 else given)))
        require(species is not None, "species", species, f"atomic numbers for functions of elements {elements}")
        return [elements] if set(elements) <= set(species) else []  # no such neighbour can occur


@dataclass(frozen=True)
class G2(_Record):
    """Radial function of the neighbours of one element (None: one function for each element)."""

    eta: float
    r_s: float = 0.0
    neighbour: int | str | None = None
    cutoff: float | None = None
    form: ClassVar[str] = "radial"


@dataclass(frozen=True)
class G4(_Record):
    """Angular function of two neighbours that see each other (elements None: one function for each pair)."""

    eta: float
    zeta: float = 1.0
    lambda_: float = 1.0
    neighbours: tuple | None = None
    r_s: float = 0.0
    cutoff: float | None = None
    form: ClassVar[str] = "closed"


@dataclass(frozen=True)
class G5(G4):
    """G4 without the distance of the two neighbours."""

    form: ClassVar[str] = "open"


@dataclass(frozen=True)
class W2(_Record):
    """Radial function of all neighbours, weighted by atomic number."""

    eta: float
    r_s: float = 0.0
    cutoff: float | None = None
    form: ClassVar[str] = "radial"
    weighted: ClassVar[bool] = True


@dataclass(frozen=True)
class W4(_Record):
    """G4 of all pairs of neighbours, weighted by both atomic numbers."""

    eta: float
    zeta: float = 1.0
    lambda_: float = 1.0
    r_s: float = 0.0
    cutoff: float | None = None
    form: ClassVar[str] = "closed"
    weighted: ClassVar[bool] = True


@dataclass(frozen=True)
class W5(W4):
    """W4 without the distance of the two neighbours."""

    form: ClassVar[str] = "open"


RECORDS = {kind.__name__: kind for kind in (G2, G4, G5, W2, W4, W5)}


def record_of(entry):
    """A record from itself or from the plain data of its `to_dict`.

    Raises
    ------
    ValueError
        For anything else.
    """
    if isinstance(entry, _Record):
        return entry
    known = ", ".join(RECORDS)
    if not isinstance(entry, dict) or entry.get("function") not in RECORDS:
        raise ValueError(f"functions: every entry must be one of {known}, got {entry!r}.")
    values = {name: tuple(x) if isinstance(x, list) else x for name, x in entry.items() if name != "function"}
    try:
        return RECORDS[entry["function"]](**values)
    except TypeError:
        raise ValueError(f"functions: {entry!r} does not have the parameters of {entry['function']}.") from None


def element_number(element):
    """Atomic number of a symbol or number.

    Raises
    ------
    ValueError
        If there is no such element.
    """
    number = atomic_numbers.get(element, 0) if isinstance(element, str) else element
    whole = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
    if not (whole and 1 <= number < len(atomic_numbers)):
        raise ValueError(f"neighbour: {element!r} is no element; give a symbol or an atomic number.")
    return int(number)


def _require_number(record, name, rule, text):
    value = getattr(record, name)
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    require(number and np.isfinite(value) and rule(value), f"{type(record).__name__} {name}", value, text)
