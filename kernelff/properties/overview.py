"""Several properties of one crystal: relaxed once, each with its error bar, as rows of a table."""

from __future__ import annotations

import importlib.util
import inspect
import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from kernelff.potential import Potential
from kernelff.properties.barriers import barrier, vacancy_jump
from kernelff.properties.elastic import stiffness
from kernelff.properties.equation_of_state import equation_of_state
from kernelff.properties.melting import check_search, melting_point
from kernelff.properties.phonons import phonons
from kernelff.properties.point_defects import vacancies
from kernelff.properties.relaxation import relax_crystal, require_crystal
from kernelff.properties.surfaces import surfaces

KINDS = ("eos", "elastic", "vacancy", "surfaces", "barrier", "phonons")
_MELTING = sorted(inspect.signature(melting_point).parameters.keys() - {"atoms", "potential", "guess", "status"})
_ASYMMETRY = 0.03  # of the largest constant
_CENTRED = {"FCC": "cubic", "BCC": "cubic", "BCT": "tetragonal", "ORCF": "orthorhombic", "ORCI": "orthorhombic"}


@dataclass(frozen=True)
class PropertyRow:
    """One number.

    Attributes
    ----------
    kind : str
        One of KINDS, or "melting".
    name, unit : str
    value : float
    std : float or None
        Standard deviation by the posterior.
    remark : str
        What a reader must know about it.
    """

    kind: str
    name: str
    unit: str
    value: float
    std: float | None = None
    remark: str = ""


@dataclass(eq=False)
class Survey:
    """What `survey` found.

    Attributes
    ----------
    crystal : ase.Atoms
        Relaxed.
    rows : list of PropertyRow
    found : dict
        Kind -> EquationOfState, Stiffness, list of Vacancy, list of Surface, Barrier, Phonons or MeltingPoint.
    warnings : list of str
        Instabilities and the like.
    failures : dict
        Kind -> why it could not be computed.
    """

    crystal: object
    rows: list = field(default_factory=list)
    found: dict = field(default_factory=dict)
    warnings: list = field(default_factory=list)
    failures: dict = field(default_factory=dict)


def survey(
    atoms, calculator, what=("eos", "elastic"), *, miller=((1, 0, 0), (1, 1, 0), (1, 1, 1)), min_length=10.0,
    chemical_potentials=None, volume_range=0.08, melting=None, melting_settings=None, status=None,
):  # fmt: skip
    """Relax a crystal and compute properties of it; what fails does not keep the others from being computed.

    Parameters
    ----------
    atoms : ase.Atoms
        Crystal near its equilibrium.
    calculator : ase Calculator, Potential or fitted model
    what : sequence of str
        Of "eos", "elastic", "vacancy", "surfaces", "barrier" (of a vacancy's jump) and "phonons".
    miller : sequence of tuple of int
        Of the surfaces.
    min_length : float
        Smallest distance between copies of a defect or of a displaced atom, Å.
    chemical_potentials : dict, optional
        See `vacancies`.
    volume_range : float
        Of the equation of state, see `equation_of_state`.
    melting : float, optional
        Guess of the melting point, K: compute it, too, see `melting_point`.
    melting_settings : dict, optional
        Other arguments of `melting_point`.
    status : callable, optional
        Called with a text before each part.

    Returns
    -------
    Survey

    Raises
    ------
    ValueError
        If `what` names something else, or `atoms` is not a crystal.
    ImportError
        If phonons are asked for without phonopy.
    RuntimeError
        If the crystal itself does not relax.
    """
    what = [what] if isinstance(what, str) else what
    _check(atoms, what, melting, melting_settings or {})
    calculator = getattr(calculator, "potential_", calculator)
    calculator = calculator.calculator() if isinstance(calculator, Potential) else calculator
    say = status or (lambda text: None)
    say("relaxing the crystal")
    result = Survey(relax_crystal(atoms, calculator))
    parts = {
        "eos": lambda crystal: equation_of_state(
            crystal, calculator, volume_range=volume_range, relax=True, error_bars=True
        ),
        "elastic": lambda crystal: stiffness(crystal, calculator, error_bars=True),
        "vacancy": lambda crystal: vacancies(
            crystal, calculator, min_length=min_length, chemical_potentials=chemical_potentials, error_bars=True
        ),
        "surfaces": lambda crystal: [
            one for indices in miller for one in surfaces(crystal, calculator, indices, error_bars=True)
        ],
        "barrier": lambda crystal: barrier(
            *vacancy_jump(crystal, min_length=min_length), calculator, error_bars=True
        ),
        "phonons": lambda crystal: phonons(crystal, calculator, min_length=min_length, error_bars=True),
        "melting": lambda crystal: melting_point(
            crystal, getattr(calculator, "potential", calculator), melting, status=say, **(melting_settings or {})
        ),
    }  # fmt: skip
    for kind in [kind for kind in KINDS if kind in what] + ["melting"] * (melting is not None):
        say(f"computing {kind}")
        try:
            result.found[kind] = parts[kind](result.crystal)
        except (RuntimeError, ValueError, OSError) as error:
            result.failures[kind] = str(error)
            continue
        result.rows += _ROWS[kind](result.found[kind])
        result.warnings += _warnings(kind, result)
    return result


def _check(atoms, what, melting, melting_settings):
    require_crystal(atoms)
    unknown = [kind for kind in what if kind not in KINDS]
    if unknown or (not what and melting is None):
        raise ValueError(f"what: must be of {', '.join(KINDS)}, got {', '.join(unknown) or 'nothing'}")
    if melting is not None:  # the last to be computed, so a wrong number is told before
        names = ", ".join(str(name) for name in melting_settings if name not in _MELTING)
        if names:
            raise ValueError(f"melting_settings: {names} means nothing, only {', '.join(_MELTING)}.")
        check_search(guess=melting, **melting_settings)
    if "phonons" in what and importlib.util.find_spec("phonopy") is None:
        raise ImportError("phonons need phonopy: pip install 'kernelff[phonons]', or leave phonons out")


def _eos_rows(found):
    reach = f"volumes up to {100 * (found.volumes[-1] / found.volume - 1):.0f} % from the minimum"
    remark = f"the fit misses a point by {1e3 * found.residual:.2g} meV/atom, {reach}"
    return [
        PropertyRow("eos", "lattice constant a", "Å", found.lattice_constant, found.lattice_constant_std),
        PropertyRow("eos", "volume", "Å^3/atom", found.volume, found.volume_std),
        PropertyRow("eos", "energy", "eV/atom", found.energy, _at_minimum(found)),
        PropertyRow("eos", "bulk modulus", "GPa", found.bulk_modulus, found.bulk_modulus_std, remark),
    ]


def _at_minimum(found):
    if found.energies_std is None:
        return None
    return float(np.interp(found.volume, found.volumes, found.energies_std))


def _elastic_rows(found):
    return [PropertyRow("elastic", name, "GPa", value, std) for name, (value, std) in found.quantities().items()]


def _vacancy_rows(found):
    return [
        PropertyRow(
            "vacancy", f"vacancy {one.symbol}, site {one.site}", "eV", one.energy, one.energy_std,
            f"{one.n_sites} sites, unrelaxed {one.unrelaxed_energy:.3f}, atom goes to {one.reservoir}",
        )
        for one in found
    ]  # fmt: skip


def _surface_rows(found):
    rows, cuts = [], Counter(one.miller for one in found)
    numbers = defaultdict(itertools.count)
    for one in found:
        faces = {True: "both faces alike", False: "mean of two unlike faces", None: "faces not compared"}
        name = f"surface ({' '.join(map(str, one.miller))}) {one.cut}"
        if cuts[one.miller] > 1:
            name += f", cut {next(numbers[one.miller]) + 1}"
        remark = f"{faces[one.faces_alike]}, {one.n_atoms} atoms, unrelaxed {one.unrelaxed_energy:.3f}"
        rows.append(PropertyRow("surfaces", name, "J/m^2", one.energy, one.energy_std, remark))
    return rows


def _barrier_rows(found):
    remark = f"{len(found.images[0])} atoms, {len(found.images) - 2} images; back {found.reverse_energy:.3f}"
    return [PropertyRow("barrier", "barrier of a vacancy's jump", "eV", found.energy, found.energy_std, remark)]


def _phonon_rows(found):
    return [
        PropertyRow("phonons", "highest frequency", "THz", found.highest, found.highest_std),
        PropertyRow("phonons", "lowest frequency", "THz", found.lowest, remark=found.lowest_point),
        PropertyRow("phonons", "zero-point energy", "eV/atom", found.zero_point_energy, found.zero_point_energy_std),
    ]


def _melting_rows(found):
    tries = ", ".join(f"{guess:.0f} K {outcome}" for guess, outcome in found.tries)
    remark = f"± {found.error:.1f} K by blocks of the run, {len(found.atoms)} atoms; tries: {tries}"
    share = f"{100 * found.solid_share:.0f} % solid at the end"
    return [
        PropertyRow("melting", "melting point", "K", found.temperature, found.temperature_std, remark),
        PropertyRow("melting", "heat of melting", "eV/atom", found.heat, remark=share),
        PropertyRow("melting", "expansion on melting", "Å^3/atom", found.expansion),
    ]


_ROWS = {
    "eos": _eos_rows, "elastic": _elastic_rows, "vacancy": _vacancy_rows, "surfaces": _surface_rows,
    "barrier": _barrier_rows, "phonons": _phonon_rows, "melting": _melting_rows,
}  # fmt: skip


def _warnings(kind, result):
    found = result.found[kind]
    if kind == "elastic" and found.asymmetry > _ASYMMETRY * np.abs(found.tensor).max():
        return [
            f"elastic constants C_ij and C_ji differ by up to {found.asymmetry:.3g} GPa: do not trust them. The "
            "strained cells relaxed to other states, or the model's forces do not fit its energies"
        ]
    if kind == "elastic" and not found.stable:
        return ["the crystal is unstable against a small strain: an eigenvalue of its elastic constants is negative"]
    if kind == "phonons" and not found.stable:
        return [
            f"imaginary modes, down to {-found.lowest:.2f}i THz {found.lowest_point}: with this model the crystal "
            "is not stable, or the supercell is too small"
        ]
    if kind == "melting" and not found.settled:
        return ["the temperature of solid and liquid still drifted when the run ended: take a longer one"]
    if kind == "surfaces":
        lattice = result.crystal.cell.get_bravais_lattice().name
        if lattice in _CENTRED:
            return [
                f"the structure is a primitive cell ({lattice}) and Miller indices are those of this cell; give the "
                f"conventional {_CENTRED[lattice]} cell for the usual ones"
            ]
    return []
