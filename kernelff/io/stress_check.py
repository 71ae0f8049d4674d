"""Compare stresses with energies along strains: the one check of sign, unit and order that needs no model.

For two frames that differ by a small homogeneous strain, with cells related by cell_b = cell_a F (rows), the
energy difference is, to third order in the strain,

    E_b - E_a = 1/2 (V_a sigma_a + V_b sigma_b) : D - 1/2 (f_a + f_b) . u,     D = sym[2 (F - 1) (F + 1)^-1],

D being the strain rate at the midpoint of the path and u what the atoms move beside the strain. Written
stresses that are c times the true ones give a slope 1/c. A constant pressure p in the stresses alone (plane
waves cut off too early, for one) adds p (V_b - V_a), fitted beside the slope lest it pass for a wrong unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
from ase.units import GPa, Hartree, Rydberg, kcal, kJ, mol

from kernelff.io.label_keys import VOIGT, has_stress, labels

LARGEST_SHIFT = 0.15  # Å; atoms of strain relatives move no more than this beside the strain, where forces are known
LARGEST_SHIFT_WITHOUT_FORCES = 0.01  # Å
SHIFT_PER_STRAIN = 1.5  # Å; root mean square shift beyond which the atoms, not the cell, decide the energy
SMALLEST_STRAIN, LARGEST_STRAIN = 5e-4, 0.08
MIN_PAIRS = 3
NOTABLE_OFFSET = 0.3  # GPa
LARGEST_MISFIT = 0.3  # of the energy differences, beyond which nothing is concluded

RYDBERG_PER_BOHR3 = 91.81578  # eV/Å^3
_UNITS = {
    "eV/Å^3": 1.0,
    "GPa": 1 / GPa,
    "kBar": 10 / GPa,
    "Ry/bohr^3": 1 / RYDBERG_PER_BOHR3,
    "Ha/bohr^3": 0.5 / RYDBERG_PER_BOHR3,
}

_ENERGY_UNITS = {"hartree": Hartree, "rydberg": Rydberg, "kcal/mol": kcal / mol, "kJ/mol": kJ / mol}


@dataclass(frozen=True)
class StressCheck:
    """What the strained frames say about the stresses.

    Attributes
    ----------
    n_pairs : int
        Pairs of frames that differ by a homogeneous strain.
    slope : float
        Energy differences over those the stresses predict: 1 if sign and unit are right; NaN if unknown.
    offset : float
        Constant pressure-like part of the written stresses, GPa; positive if they are too tensile; NaN if the
        frames cannot tell.
    offset_error : float
        Standard error of the offset, GPa.
    misfit : float
        Root mean square of what stays unexplained, relative to the energy differences.
    verdict : str
        "agrees", "unknown", "sign", "unit", "virial", "order" or "unclear".
    message : str
        The verdict as a sentence, with the remedy.
    """

    n_pairs: int
    slope: float
    offset: float
    offset_error: float
    misfit: float
    verdict: str
    message: str

    @property
    def notable_offset(self):
        """Whether the stresses surely carry a constant pressure."""
        notable = abs(self.offset) > max(5 * self.offset_error, NOTABLE_OFFSET)  # False for NaN
        return notable and self.n_pairs >= 4 * MIN_PAIRS

    @property
    def wrong(self):
        """Whether the stresses must not be used as they are."""
        return self.verdict in ("sign", "unit", "virial", "order")


def check_stress(frames, what="data", *, keys=None, found=None, refuse=True):
    """Check sign, unit and component order of the stresses against the energies of strained frames.

    Parameters
    ----------
    frames : sequence of ase.Atoms
    what : str
        What to call the frames in messages.
    keys : LabelKeys, optional
    found : sequence of Labels, optional
        The labels, where they are known already.
    refuse : bool
        Raise if the stresses are wrong.

    Returns
    -------
    StressCheck

    Raises
    ------
    ValueError
        If `refuse` and the stresses are wrong; the message names the remedy.
    """
    found = [labels(atoms, keys) for atoms in frames] if found is None else found
    usable = [
        k
        for k, atoms in enumerate(frames)
        if found[k].energy is not None and found[k].stress is not None and has_stress(atoms)
    ]
    groups = _strain_relatives([frames[k] for k in usable], [found[k].forces for k in usable])
    pairs = [(usable[a], usable[b], strain) for group in groups for a, b, strain in _links(group)]
    result = _judge(frames, found, pairs)
    if refuse and result.wrong:
        raise ValueError(f"{what}: {result.message}")
    return result


def _strain_relatives(frames, forces):
    """Groups of (index, cell, fractional coordinates) with the same atoms at nearly the same fractional coordinates."""
    buckets = {}
    for k, atoms in enumerate(frames):
        fractional = atoms.get_scaled_positions(wrap=False)
        reach = LARGEST_SHIFT_WITHOUT_FORCES if forces[k] is None else LARGEST_SHIFT
        groups = buckets.setdefault((atoms.numbers.tobytes(), forces[k] is None), [])
        for reference, members in groups:
            if np.abs(_shift(reference, fractional, atoms.cell.array)).max() < reach:
                members.append((k, atoms.cell.array, fractional))
                break
        else:
            groups.append((fractional, [(k, atoms.cell.array, fractional)]))
    return [members for groups in buckets.values() for _, members in groups if len(members) > 1]


def _shift(fractional_a, fractional_b, cell):
    """Displacements from a to b at fixed cell, without the common one, Å."""
    difference = fractional_b - fractional_a
    difference = difference - difference[..., :1, :]
    difference -= np.round(difference)
    return (difference - difference.mean(axis=-2, keepdims=True)) @ cell


def _links(members):
    """Every frame joined to its two nearest relatives in strain."""
    cells = np.array([cell for _, cell, _ in members])
    fractional = np.array([positions for *_, positions in members])
    links = {}
    for a, cell in enumerate(cells):
        ratio = np.linalg.solve(cell[None], cells)
        change = np.abs(ratio - np.eye(3)).max(axis=(1, 2))
        good = (change > SMALLEST_STRAIN) & (change < 2 * LARGEST_STRAIN)  # turned and mirrored cells are none
        strains = _midpoint_strain(np.where(good[:, None, None], ratio, np.eye(3)))
        size = np.abs(strains).max(axis=(1, 2))
        shift = np.sqrt((_shift(fractional[a], fractional, cell) ** 2).sum(axis=-1).mean(axis=-1))
        good &= (size > SMALLEST_STRAIN) & (size < LARGEST_STRAIN) & (shift < SHIFT_PER_STRAIN * size)
        for b in np.flatnonzero(good)[np.argsort(size[good])][:2]:
            if (b, a) not in links:
                links[a, b] = strains[b]
    return [(members[a][0], members[b][0], strain) for (a, b), strain in links.items()]


def _midpoint_strain(ratio):
    one = np.eye(3)
    rate = 2 * (ratio - one) @ np.linalg.inv(ratio + one)
    return (rate + rate.transpose(0, 2, 1)) / 2


def _judge(frames, found, pairs):
    if len(pairs) < MIN_PAIRS:
        text = f"too few strained frames to check the stresses against the energies ({len(pairs)} pairs)"
        return StressCheck(len(pairs), np.nan, np.nan, np.nan, np.nan, "unknown", text)
    terms = _terms(frames, found, pairs)
    best = _fit(terms, range(6), power=0)
    reordered = min((_fit(terms, order, power=0) for order in _shear_orders()), key=lambda fit: fit.misfit)
    extensive = _fit(terms, range(6), power=1)
    if extensive.misfit < 0.5 * best.misfit and abs(abs(extensive.slope) - 1) < 0.15:
        best = extensive
    elif reordered.misfit < 0.5 * best.misfit and best.misfit > 0.02:
        best = reordered
    return _verdict(len(pairs), best)


def _shear_orders():
    return [(0, 1, 2, *shear) for shear in permutations((3, 4, 5))]


@dataclass(frozen=True, eq=False)
class _Terms:
    energy: np.ndarray  # (n_pairs,)  E_b - E_a + work of the forces
    volume: np.ndarray  # (n_pairs,)  V_b - V_a
    strain: np.ndarray  # (n_pairs, 6)  D, shear doubled
    stress: np.ndarray  # (2, n_pairs, 6)  sigma_a, sigma_b as written
    volumes: np.ndarray  # (2, n_pairs)
    weight: np.ndarray  # (n_pairs,)  smaller where the forces do much of the work


@dataclass(frozen=True)
class _Fit:
    slope: float
    offset: float  # eV/Å^3
    offset_error: float  # eV/Å^3
    misfit: float
    order: tuple
    power: int


def _terms(frames, found, pairs):
    a, b = np.array([pair[:2] for pair in pairs]).T
    volume = np.array([abs(np.linalg.det(atoms.cell.array)) for atoms in frames])
    strain = np.array([[d[0, 0], d[1, 1], d[2, 2], 2 * d[1, 2], 2 * d[0, 2], 2 * d[0, 1]] for *_, d in pairs])
    stress = np.array([[found[k].stress for k in side] for side in (a, b)])
    energy = np.array([found[q].energy - found[p].energy for p, q in zip(a, b, strict=True)])
    done = np.array([_force_work(frames[p], frames[q], found[p], found[q]) for p, q in zip(a, b, strict=True)])
    # The trapezoidal rule leaves a few per cent of each atom's work: pairs that were also rattled count less.
    doubt = 0.02 * np.linalg.norm(energy) / np.sqrt(len(energy)) + 0.05 * done[:, 1] + 1e-12
    volumes = np.array([volume[a], volume[b]])
    return _Terms(energy + done[:, 0], volume[b] - volume[a], strain, stress, volumes, doubt.min() / doubt)


def _force_work(one, other, labels_one, labels_other):
    """Work of the forces beside the strain, and the same with every atom's part counted positive, eV."""
    if labels_one.forces is None or labels_other.forces is None:
        return 0.0, 0.0
    fractional = (atoms.get_scaled_positions(wrap=False) for atoms in (one, other))
    shift = _shift(*fractional, (one.cell.array + other.cell.array) / 2)
    work = 0.5 * (labels_one.forces + labels_other.forces) * shift
    return work.sum(), np.abs(work).sum()


def _fit(terms, order, power):
    """Least squares of the energy differences by the work of the stresses and by the volume change.

    `power` 1 takes the written stresses for extensive (stress times volume).
    """
    work = 0.5 * np.einsum("spv,sp,pv->p", terms.stress[:, :, list(order)], terms.volumes ** (1 - power), terms.strain)
    columns = np.stack([work, terms.volume], axis=1) * terms.weight[:, None]
    energy = terms.energy * terms.weight
    scale = np.linalg.norm(columns, axis=0) + 1e-300
    scale[1] = max(scale[1], 1e-6 * np.abs(terms.volumes).max())
    correlation = abs(columns[:, 0] @ columns[:, 1]) / scale.prod()
    # Volume changes proportional to the work cannot be told from a wrong unit: then the offset stays out.
    use = 2 if len(work) > MIN_PAIRS and scale[1] > 1e-4 * terms.volumes.max() and correlation < 0.999 else 1
    solution = np.linalg.lstsq(columns[:, :use] / scale[:use], energy, rcond=None)[0] / scale[:use]
    rest = energy - columns[:, :use] @ solution
    misfit = float(np.linalg.norm(rest) / (np.linalg.norm(energy) + 1e-300))
    offset = error = np.nan
    if use == 2 and power == 0 and solution[0]:
        offset = float(-solution[1] / solution[0])
        variance = rest @ rest / (len(rest) - 2) * np.linalg.inv(columns.T @ columns)[1, 1]
        error = float(np.sqrt(variance) / abs(solution[0]))
    return _Fit(float(solution[0]), offset, error, misfit, tuple(order), power)


def _verdict(n_pairs, fit):
    def result(verdict, message):
        return StressCheck(n_pairs, fit.slope, fit.offset / GPa, fit.offset_error / GPa, fit.misfit, verdict, message)

    seen = f"slope {fit.slope:.4g} over {n_pairs} pairs of strained frames"
    if fit.misfit > LARGEST_MISFIT or fit.slope == 0:
        return result("unclear", f"stresses and energies of strained frames do not go together ({seen})")
    if fit.power == 1:
        remedy = (
            "are they virials? Name them with virial_key (--virial-key)"
            if fit.slope < 0
            else "divide them by the volume"
        )
        return result("virial", f"the stresses grow with the volume like a virial ({seen}); {remedy}")
    unit, factor = nearest_unit(fit.slope)
    if factor is None:
        return result("unclear", f"the stresses are in no unit known here ({seen}); {remedy_of_energies(fit.slope)}")
    if fit.order != tuple(range(6)):
        order = " ".join(VOIGT[fit.order.index(k)] for k in range(6))
        more = "" if abs(fit.slope - 1) < 0.1 else f" and stress_factor={factor:.6g}"
        return result(
            "order", f"the shear components of the stresses are in another order ({seen}); read them with "
            f"stress_order={order!r} (--stress-order){more}, or leave them out with use_stress=False"
        )  # fmt: skip
    if unit == "eV/Å^3" and factor > 0:
        agrees = result("agrees", f"stresses agree with the energies: {seen}")
        if not agrees.notable_offset:
            return agrees
        more = f", but carry a constant pressure-like offset of {agrees.offset:+.2f} GPa"
        return replace(agrees, message=agrees.message + more)
    sign = "with the opposite sign" if factor < 0 else "with the right sign"
    kind = "sign" if unit == "eV/Å^3" else "unit"
    return result(
        kind, f"the stresses seem to be written in {unit} {sign} ({seen}, where eV/Å^3 in ASE's sign gives 1)"
        f"; read them with stress_factor={factor:.6g} (--stress-factor {factor:.6g}), or leave them out with "
        "use_stress=False (--no-stress)"
    )  # fmt: skip


def remedy_of_energies(slope):
    """What to do about stresses in no known unit: perhaps they are right, and energies and forces are not.

    Parameters
    ----------
    slope : float
        True over written stresses, if energies and forces are right.

    Returns
    -------
    str
    """
    unit = min(_ENERGY_UNITS, key=lambda name: abs(np.log(abs(slope) * _ENERGY_UNITS[name])))
    value = _ENERGY_UNITS[unit]
    if abs(np.log(abs(slope) * value)) > 0.3:
        return "check how they were written, or leave stresses out with use_stress=False (--no-stress)"
    return (
        f"if the stresses are right, energies and forces are in {unit} and {unit}/Å: read them with "
        f"energy_factor={value:.8g} and forces_factor={value:.8g} (--energy-factor, --forces-factor)"
    )


def nearest_unit(slope, tolerance=0.15):
    """The unit a stress was written in, by the ratio of true to written stresses.

    Parameters
    ----------
    slope : float
        True over written stresses.
    tolerance : float
        Of the logarithm.

    Returns
    -------
    unit : str
    factor : float or None
        Of that unit, with the sign of the slope; None if even the nearest unit is further off.
    """
    unit = min(_UNITS, key=lambda name: abs(np.log(abs(slope) * _UNITS[name])))
    inverse = 1 / _UNITS[unit]
    if abs(np.log(abs(slope) / inverse)) > tolerance:
        return unit, None
    return unit, float(np.copysign(inverse, slope))
