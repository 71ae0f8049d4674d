"""Elastic constants of a crystal of any symmetry from the stresses of strained cells with relaxed atoms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.optimize import BFGS
from ase.stress import voigt_6_to_full_3x3_strain
from ase.units import GPa

from kernelff.properties.linear import PosteriorRows
from kernelff.properties.relaxation import relax_atoms, require_crystal

_CUBIC = np.array([[1, 2, 2, 0, 0, 0], [2, 1, 2, 0, 0, 0], [2, 2, 1, 0, 0, 0]] + [[0] * 6] * 3)
_CUBIC[3:, 3:] = 3 * np.eye(3)
_CUBIC_TOLERANCE = 0.02  # of the largest constant


@dataclass(frozen=True)
class ElasticConstants:
    """Elastic constants of a cubic crystal, GPa, atoms relaxed in the strained cell."""

    c11: float
    c12: float
    c44: float

    @property
    def bulk_modulus(self):
        """(C11 + 2 C12) / 3, GPa."""
        return (self.c11 + 2 * self.c12) / 3


@dataclass(frozen=True, eq=False)
class Stiffness:
    """Elastic constants of any crystal, atoms relaxed in the strained cell.

    Attributes
    ----------
    tensor : ndarray of shape (6, 6)
        C in GPa, order xx yy zz yz xz xy, by engineering strains; symmetric.
    asymmetry : float
        Largest difference between C_ij and C_ji before they were averaged, GPa: an error of the finite differences, or
        of a crystal that is not at zero stress.
    covariance : ndarray of shape (36, 36) or None
        Of the flattened tensor by the posterior, GPa^2; None without a posterior.
    """

    tensor: np.ndarray
    asymmetry: float
    covariance: np.ndarray | None = None

    @property
    def std(self):
        """Standard deviations of the tensor (6, 6), GPa, or None."""
        return None if self.covariance is None else np.sqrt(np.diag(self.covariance)).reshape(6, 6)

    @property
    def stable(self):
        """Whether every small strain costs energy (Born): all eigenvalues of C are positive."""
        return bool(np.linalg.eigvalsh(self.tensor)[0] > 0)

    @property
    def is_cubic(self):
        """Whether C has the form of a cubic crystal along x, y, z, to 2 % of its largest constant."""
        means = [self.tensor[_CUBIC == k].mean() for k in (1, 2, 3)]
        form = np.choose(_CUBIC, [0.0, *means])
        return bool(np.abs(self.tensor - form).max() < _CUBIC_TOLERANCE * np.abs(self.tensor).max())

    def quantities(self):
        """What one compares with tables.

        Returns
        -------
        dict
            Name -> (value, sd or None), GPa: of a cubic crystal C11, C12, C44, of others the constants that are not
            zero; bulk and shear modulus of a polycrystal by Voigt, Reuss and Hill [1]_.

        References
        ----------
        .. [1] Hill, Proc. Phys. Soc. A 65, 349 (1952), doi:10.1088/0370-1298/65/5/307
        """
        found = {name: self._with_std(lambda c, k=k: c[_CUBIC == k].mean()) for name, k in self._cubic_names().items()}
        if not found:
            least = 1e-3 * np.abs(self.tensor).max()
            pairs = [(i, j) for i in range(6) for j in range(i, 6) if abs(self.tensor[i, j]) > least]
            found = {f"C{i + 1}{j + 1}": self._with_std(lambda c, i=i, j=j: c[i, j]) for i, j in pairs}
        for which, name in enumerate(("bulk modulus by Hill", "shear modulus by Hill")):
            found[name] = self._with_std(lambda c, which=which: _hill(c)[which])
        return found

    def _cubic_names(self):
        return {"C11": 1, "C12": 2, "C44": 3} if self.is_cubic else {}

    def _with_std(self, function):
        """Value of a function of C, and its sd to first order."""
        value = float(function(self.tensor))
        if self.covariance is None:
            return value, None
        step = 1e-4 * np.abs(self.tensor).max()
        slopes = np.zeros((6, 6))
        for index in np.ndindex(6, 6):
            bump = np.zeros((6, 6))
            bump[index] = step
            slopes[index] = (function(self.tensor + bump) - function(self.tensor - bump)) / (2 * step)
        slopes = slopes.ravel()
        return value, float(np.sqrt(max(slopes @ self.covariance @ slopes, 0.0)))


def elastic_constants(atoms, calculator, *, strain=5e-3, fmax=1e-4):
    """C11, C12 and C44 of a cubic crystal by central differences of the stress.

    Parameters
    ----------
    atoms : ase.Atoms
        Crystal at zero pressure (see `relax_volume`), its cube axes along x, y, z.
    calculator : ase.calculators.calculator.Calculator
    strain : float
        Size of the strains; the shear component of the tensor for C44.
    fmax : float
        Forces left after the atoms have relaxed in the strained cell, eV/Å.

    Returns
    -------
    ElasticConstants
    """
    uniaxial, shear = np.zeros((3, 3)), np.zeros((3, 3))
    uniaxial[0, 0] = 1
    shear[1, 2] = shear[2, 1] = 1
    along_x = _stress_slope(atoms, calculator, uniaxial, strain, fmax)
    along_yz = _stress_slope(atoms, calculator, shear, strain, fmax)
    return ElasticConstants(c11=float(along_x[0]), c12=float(along_x[1:3].mean()), c44=float(along_yz[3] / 2))


def stiffness(atoms, calculator, *, strain=5e-3, fmax=1e-4, steps=500, error_bars=False):
    """All elastic constants of a crystal: six strains of both signs, atoms relaxed in each.

    The error bars are those at the fixed equilibrium cell, with the answer of the atoms to the strain (internal
    strain) as it is; that the lattice constant of another model would differ is not in them.

    Parameters
    ----------
    atoms : ase.Atoms
        Crystal at zero stress with atoms at rest (see `relax_crystal`).
    calculator : ase.calculators.calculator.Calculator
    strain : float
        Engineering strain, 2 e_yz for shears.
    fmax : float
        Forces left after the atoms have relaxed in the strained cell, eV/Å.
    steps : int
        Of each relaxation; refuse after this many.
    error_bars : bool
        Also standard deviations, if the calculator's potential has a posterior.

    Returns
    -------
    Stiffness

    Raises
    ------
    ValueError
        If `atoms` is not a crystal or `strain` is out of range.
    RuntimeError
        If the atoms do not come to rest.
    """
    require_crystal(atoms)
    if not 1e-5 <= strain <= 0.05:
        raise ValueError(f"strain: must lie between 1e-5 and 0.05, got {strain}; 0.005 is usual")
    pairs = [_strained_pair(atoms, calculator, j, strain, fmax, steps) for j in range(6)]
    columns = [(plus.get_stress() - minus.get_stress()) / (2 * strain * GPa) for plus, minus in pairs]
    raw = np.transpose(columns)
    rows = PosteriorRows.of(calculator) if error_bars else None
    covariance = None if rows is None else _covariance(atoms, pairs, strain, rows)
    return Stiffness(0.5 * (raw + raw.T), float(np.abs(raw - raw.T).max()), covariance)


def _strained_pair(atoms, calculator, j, strain, fmax, steps):
    """The crystal at +strain and -strain along Voigt component j, atoms at rest."""
    pair = []
    for size in (strain, -strain):
        deformation = voigt_6_to_full_3x3_strain(size * np.eye(6)[j])  # with the identity
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
        relax_atoms(strained, calculator, fmax=fmax, steps=steps, optimizer=BFGS)
        strained.calc = SinglePointCalculator(strained, stress=strained.get_stress())
        pair.append(strained)
    return pair


def _covariance(atoms, pairs, strain, rows):
    """Covariance (36, 36) of the flattened tensor, GPa^2.

    C_ij = d/de_j of [dE/de_i + dE/du . u_i] / V, where u_i = du/de_i is how the atoms answer to strain i. With atoms at
    rest the second part is zero and C_ij the slope of the stress; its derivative by the weights is not zero, and holds
    the change of that answer (the derivative of a minimum by w is taken at fixed atoms).
    """
    answers = np.array([_answer(atoms, *pair, strain) for pair in pairs])  # (6, 3 n_atoms), Å per strain
    slopes = []
    for pair in pairs:
        ends = []
        for frame in pair:
            forces, virial = rows.derivatives(frame)
            ends.append(-(virial + answers @ forces) / frame.get_volume())  # (6, rank)
        slopes.append((ends[0] - ends[1]) / (2 * strain * GPa))
    tensor = np.swapaxes(slopes, 0, 1)  # (6, 6, rank)
    tensor = 0.5 * (tensor + np.swapaxes(tensor, 0, 1)).reshape(36, -1)
    return rows.factor("virial", atoms) ** 2 * tensor @ tensor.T


def _answer(atoms, plus, minus, strain):
    """Displacement beyond the affine one per strain, (3 n_atoms,), without drift."""
    shifts = plus.cell.scaled_positions(plus.positions) - minus.cell.scaled_positions(minus.positions)
    displacements = (shifts - shifts.mean(axis=0)) @ atoms.cell.array / (2 * strain)
    return displacements.ravel()


def _hill(tensor):
    """Bulk and shear modulus, means of the bounds by Voigt and by Reuss."""
    c, s = tensor, np.linalg.inv(tensor)
    own, cross, shears = (lambda t: t[:3, :3].trace()), (lambda t: t[0, 1] + t[0, 2] + t[1, 2]), _shears
    voigt = (own(c) + 2 * cross(c)) / 9, (own(c) - cross(c) + 3 * shears(c)) / 15
    reuss = 1 / (own(s) + 2 * cross(s)), 15 / (4 * own(s) - 4 * cross(s) + 3 * shears(s))
    return np.mean([voigt, reuss], axis=0)


def _shears(tensor):
    return tensor[3:, 3:].trace()


def _stress_slope(atoms, calculator, direction, strain, fmax):
    """d stress / d strain (GPa, six components) along a symmetric direction, atoms relaxed."""
    stresses = []
    for size in (strain, -strain):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + size * direction), scale_atoms=True)
        relax_atoms(strained, calculator, fmax=fmax, steps=200)
        stresses.append(strained.get_stress())
    return (stresses[0] - stresses[1]) / (2 * strain) / GPa
