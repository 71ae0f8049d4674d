"""The waist of the package: whoever fits ends with a Potential, whoever runs atoms starts from one."""

import warnings
from functools import partial, reduce

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from kernelff.assembly import VOIGT, neighbors_of, term_columns
from kernelff.baselines.dispersion import DFTD3
from kernelff.baselines.zbl import ZBL
from kernelff.descriptors.base import check_list, require
from kernelff.error_bars.calibration import Calibration
from kernelff.error_bars.extrapolation import ActiveSet
from kernelff.error_bars.of_potential import ErrorBars
from kernelff.error_bars.uncertainty import Posterior
from kernelff.kernel_forces import kernel_forces
from kernelff.named_arrays import under
from kernelff.results import Results, stress_of
from kernelff.single_precision import PRECISIONS
from kernelff.terms import term_from_state
from kernelff.threads import one_blas_thread

_DATA_BASELINES = {"dftd3": DFTD3, "zbl": ZBL}  # baselines that a model file holds, beside potentials


class Potential(ErrorBars):
    """A fitted model, lowered to plain data: immutable and thread-safe.

    Parameters
    ----------
    terms : list
        Basis functions, see `kernelff.terms`.
    weights : ndarray of shape (n_functions,)
    e0 : dict
        Atomic number -> energy of the isolated atom, eV; other elements are refused.
    posterior : Posterior or None
        None for a model without error bars.
    baseline : Potential or DFTD3 or ZBL or ase Calculator or None
        Added to the model.
    metadata : dict
        JSON-able facts about the fit.
    repulsion : ZBL or None
        Added below the shortest distances of the data.
    active_set : ActiveSet or None
        Of a linear model, for `extrapolation_grade`.
    """

    def __init__(
        self, terms, weights, e0, posterior=None, baseline=None, metadata=None, repulsion=None, active_set=None
    ):
        self.terms = tuple(terms)
        self.weights = np.array(weights, dtype=float)
        self.weights.flags.writeable = False
        self.e0 = {int(z): float(e) for z, e in sorted(e0.items())}
        self.posterior, self.baseline, self.repulsion = posterior, baseline, repulsion
        self.metadata = dict(metadata or {})
        self.active_set = active_set
        if active_set is not None:
            active_set.check_fits(self.terms)
        self.measures = {}  # of local_pass.py, made when they are first asked for
        centres = [term.centres for term in self.terms]
        self._columns = term_columns(self.terms)
        self._seen = None if None in centres else set().union(*centres)

    def __getstate__(self):
        return self.__dict__ | {"measures": {}}  # they hold pointers

    @property
    def species(self):
        """Atomic numbers that the model describes, ascending."""
        return tuple(z for z in self.e0 if self._seen is None or z in self._seen)

    @property
    def cutoff(self):
        """Å; how far a centre sees."""
        return max(part.cutoff for part in self._pair_parts)

    @property
    def _pair_parts(self):
        return self.terms if self.repulsion is None else (*self.terms, self.repulsion)

    def compute(self, atoms, virials=False):
        """Energy, local energies, forces, virial and stress of a frame.

        Parameters
        ----------
        atoms : ase.Atoms
        virials : bool
            Also the virial of each atom that a heat flux is made of, see `kernelff.assembly.atom_virials`.

        Returns
        -------
        Results

        Raises
        ------
        ValueError
            For species the model was not fitted to, broken geometry, or virials of a baseline that has none.
        """
        self.check_species(atoms)
        neighbors = neighbors_of(self._pair_parts, atoms)
        return self._results(atoms, neighbors, self._evaluate(neighbors, virials=virials))

    def _results(self, atoms, neighbors, found):
        """Results of what `_evaluate` found, with the baseline."""
        energies, forces, virial, virials = found.energies, found.forces, found.virial, found.virials
        if self.baseline is not None:
            base = baseline_results(self.baseline, atoms, virials is not None)
            energies = energies + base.energies
            forces, virial = forces + base.forces, virial + base.virial
            virials = None if virials is None else virials + base.virials
        return Results(
            energy=float(energies.sum()),
            energies=energies,
            forces=forces,
            virial=virial,
            stress=stress_of(virial, neighbors.volume),
            virials=virials,
        )

    def evaluate(self, neighbors):
        """Local energies, forces and virial of a neighbour list, without what the baseline adds.

        Parameters
        ----------
        neighbors : NeighborList
            Built with at least `cutoff`, of elements in `e0`.

        Returns
        -------
        energies : ndarray of shape (n_atoms,)
            eV.
        forces : ndarray of shape (n_atoms, 3)
            eV/Å.
        virial : ndarray of shape (3, 3)
            -dE/dstrain, eV.

        Raises
        ------
        ValueError
            If the list is too short-ranged.
        """
        return self._evaluate(neighbors)[:3]

    def _sorted(self):
        """Kernels of the terms that have one, and `evaluate` of the others."""
        kernels, others = [], []
        for term, columns in zip(self.terms, self._columns, strict=True):
            weights = self.weights[columns]
            kernel = term.compiled(weights)
            if kernel is None:
                others.append(partial(term.evaluate, weights=weights))
            else:
                kernels.append(kernel)
        return kernels, others

    def _evaluate(self, neighbors, measured=None, virials=False):
        """KernelForces of all terms, repulsion and isolated atoms; what a LocalPass measures, virials of atoms."""
        check_list(neighbors, self.cutoff)
        kernels, others = self._sorted() if measured is None else ([*measured.kernels], [])
        repulsion = None if self.repulsion is None else self.repulsion.compiled()
        if repulsion is not None:
            kernels.append(repulsion)
        found = kernel_forces(neighbors, kernels, measured, virials)
        if others:
            with one_blas_thread():
                parts = [evaluate(neighbors) for evaluate in others]
            found = found.plus(neighbors, sum(e for e, _ in parts), reduce(np.add, (g for _, g in parts)))
        return found._replace(energies=found.energies + self.e0_of(neighbors.numbers))

    def e0_of(self, numbers):
        """Energies of isolated atoms by their atomic numbers, eV."""
        e0 = np.zeros(1 + max(self.e0, default=0))
        e0[list(self.e0)] = list(self.e0.values())
        return e0[numbers]

    def with_active_set(self, active_set):
        """The same potential with another ActiveSet, or None."""
        return Potential(
            self.terms, self.weights, self.e0, self.posterior, self.baseline, self.metadata, self.repulsion, active_set
        )

    def with_precision(self, precision):
        """The same potential with energies and forces from arithmetic of another precision; files do not keep it.

        Parameters
        ----------
        precision : str
            "double", or "single": moment tensors in float32, 1.3 to 1.7 times as fast, or SOAP with many sparse points
            (and zeta other than 1 and 2) with products in float32, 1.2 to 1.5 times. `compute` then refuses frames in
            which it misses forces by more than 1e-4 eV/Å, as models with large weights do.

        Raises
        ------
        ValueError
            For another word, or if no term of the potential can run in single precision.
        """
        require(precision in PRECISIONS, "precision", precision, '"double" or "single"')
        if precision == "single" and not any(getattr(term, "has_single", False) for term in self.terms):
            raise ValueError(
                'precision: only SOAP with a power of the dot product and moment tensors run in "single". Use "double".'
            )
        changed = [t.with_precision(precision) if getattr(t, "has_single", False) else t for t in self.terms]
        return Potential(
            changed,
            self.weights,
            self.e0,
            self.posterior,
            self.baseline,
            self.metadata,
            self.repulsion,
            self.active_set,
        )

    def calculator(self, uncertainty=False, extrapolation=False, precision="double"):
        """ASE calculator of this potential, see PotentialCalculator and `with_precision`."""
        from kernelff.calculator import PotentialCalculator

        potential = self if precision == "double" else self.with_precision(precision)
        return PotentialCalculator(potential, uncertainty=uncertainty, extrapolation=extrapolation)

    def to_state(self):
        """(params, arrays) of plain data; an ASE calculator as baseline does not go along."""
        params = {"e0": {str(z): e for z, e in self.e0.items()}, "metadata": self.metadata, "terms": []}
        arrays = {"weights": self.weights}
        for k, term in enumerate(self.terms):
            term_params, term_arrays = term.to_state()
            params["terms"].append(term_params)
            arrays |= {f"terms.{k}.{name}": array for name, array in term_arrays.items()}
        if self.posterior is not None:
            arrays |= {"posterior.P": self.posterior.P, "posterior.W": self.posterior.W}
            params["calibration"] = self.posterior.calibration.to_dict()
        if self.repulsion is not None:
            params["repulsion"] = self.repulsion.to_state()
        if self.active_set is not None:
            params["active_set"], active_arrays = self.active_set.to_state()
            arrays |= {f"active_set.{name}": array for name, array in active_arrays.items()}
        if isinstance(self.baseline, Potential):
            params["baseline"], baseline_arrays = self.baseline.to_state()
            arrays |= {f"baseline.{name}": array for name, array in baseline_arrays.items()}
        elif isinstance(self.baseline, tuple(_DATA_BASELINES.values())):
            params["baseline_data"] = self.baseline.to_state()
        elif self.baseline is not None:
            params["baseline_calculator"] = type(self.baseline).__name__
        return params, arrays

    @classmethod
    def from_state(cls, params, arrays, baseline=None):
        """The potential that ``to_state`` described.

        Raises
        ------
        ValueError
            If it was fitted on top of an ASE calculator and none is given.
        """
        if "baseline_calculator" in params and baseline is None:
            raise ValueError(
                f"baseline: this model adds to the ASE calculator {params['baseline_calculator']}, which a "
                "model file cannot hold. Pass it: load(path, baseline=calculator)."
            )
        if "baseline" in params:
            baseline = cls.from_state(params["baseline"], under("baseline.", arrays))
        if "baseline_data" in params:
            data = params["baseline_data"]
            baseline = _DATA_BASELINES[data["kind"]].from_state(data)
        terms = [term_from_state(p, under(f"terms.{k}.", arrays)) for k, p in enumerate(params["terms"])]
        posterior = None
        if "posterior.P" in arrays:
            calibration = Calibration.from_dict(params["calibration"])
            posterior = Posterior(arrays["posterior.P"], arrays["posterior.W"], calibration)
        e0 = {int(z): e for z, e in params["e0"].items()}
        repulsion = ZBL.from_state(params["repulsion"]) if "repulsion" in params else None
        active_set = None
        if "active_set" in params:
            active_set = ActiveSet.from_state(params["active_set"], under("active_set.", arrays))
        return cls(terms, arrays["weights"], e0, posterior, baseline, params["metadata"], repulsion, active_set)

    def check_species(self, atoms):
        """Refuse elements that the model was not fitted to; warn of those that it only gives e0."""
        if not isinstance(atoms, Atoms):
            raise ValueError(f"atoms: must be ase.Atoms, one frame, got {atoms!r:.100}.")
        unknown = sorted({int(z) for z in set(atoms.numbers)} - set(self.e0))
        if unknown:
            raise ValueError(
                f"atoms: species {unknown} are unknown to this model, which was fitted to {list(self.e0)}. "
                "Fit it to frames that contain them."
            )
        unseen = [] if self._seen is None else sorted({int(z) for z in set(atoms.numbers)} - self._seen)
        if unseen:
            warnings.warn(
                f"atoms: {', '.join(chemical_symbols[z] for z in unseen)} get e0 alone from this model, which only "
                f"describes environments of {', '.join(chemical_symbols[z] for z in self.species)}. Use a potential "
                "that was fitted to all elements of the frame.",
                stacklevel=3,
            )


def baseline_results(baseline, atoms, virials=False):
    """Results of a baseline: a Potential, another of our objects that compute, or any ASE calculator."""
    if virials:
        return _with_virials(baseline).compute(atoms, virials=True)
    if hasattr(baseline, "compute"):
        return baseline.compute(atoms)
    copy = atoms.copy()
    copy.calc = baseline
    energy, forces = float(copy.get_potential_energy()), copy.get_forces()
    virial, stress = np.full((3, 3), np.nan), None
    if atoms.pbc.all():
        stress = copy.get_stress()
        for (a, b), s in zip(VOIGT, stress, strict=True):
            virial[a, b] = virial[b, a] = -atoms.get_volume() * s
    return Results(energy, np.full(len(atoms), energy / len(atoms)), forces, virial, stress)


def isolated_energies(part, atoms):
    """What the energies of isolated atoms, e0, have in the local energies of a potential and its baselines.

    Parameters
    ----------
    part : Potential, our own calculator, or anything else that has none
    atoms : ase.Atoms

    Returns
    -------
    ndarray of shape (n_atoms,)
        eV.
    """
    total, part = np.zeros(len(atoms)), getattr(part, "potential", part)
    while isinstance(part, Potential):
        total += part.e0_of(atoms.numbers)
        part = getattr(part.baseline, "potential", part.baseline)
    return total


def has_virials(baseline):
    """Whether a potential or baseline knows the virials of atoms, as pair gradients give them."""
    part = getattr(baseline, "potential", baseline)  # of our own calculator
    if isinstance(part, Potential):
        return part.baseline is None or has_virials(part.baseline)
    return isinstance(part, ZBL)


def _with_virials(baseline):
    if not has_virials(baseline):
        raise ValueError(
            f"virials: {type(baseline).__name__} gives no virials of atoms, which local energies and their pair "
            "gradients alone give. Use a potential of kernelff without this part."
        )
    return getattr(baseline, "potential", baseline)
