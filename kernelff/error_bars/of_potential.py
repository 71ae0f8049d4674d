"""What a Potential says of its own errors: standard deviations, novelty, extrapolation grades."""

from kernelff.assembly import neighbors_of
from kernelff.error_bars.coefficient_rows import require_known
from kernelff.error_bars.gap_variance import GapVariance
from kernelff.error_bars.local_pass import LocalPass, error_bar_kinds
from kernelff.kernel_forces import kernel_forces
from kernelff.terms import BasisTerm
from kernelff.threads import one_blas_thread


class ErrorBars:
    """Part of `Potential`, which has terms, weights, posterior, active_set and metadata."""

    def compute_with(self, atoms, *, uncertainty=False, grades=False):
        """`compute`, and in the same compiled pass error bars of energies or extrapolation grades of the atoms.

        Terms that are not compiled, and grades of configurations, take passes of their own.

        Parameters
        ----------
        atoms : ase.Atoms
        uncertainty : bool
            As `uncertainty` without derivatives.
        grades : bool
            As `extrapolation_grade`.

        Returns
        -------
        results : Results
        uncertainty : Uncertainty or None
        grades : ndarray of shape (n_atoms,), float, or None

        Raises
        ------
        ValueError
            As `compute`, `uncertainty` and `extrapolation_grade`.
        """
        if uncertainty:
            self.require_posterior()
        if grades:
            self.require_active_set()
        self.check_species(atoms)
        kinds = error_bar_kinds(self.terms) * uncertainty + ("grade",) * grades
        found = LocalPass.of(self, kinds)
        if found is None:
            error_bars = self.uncertainty(atoms, derivatives=False) if uncertainty else None
            return self.compute(atoms), error_bars, self.extrapolation_grade(atoms) if grades else None
        if grades:
            require_known(atoms.numbers, self.active_set.species)
        neighbors = neighbors_of(self._pair_parts, atoms)
        done = self._evaluate(neighbors, found)
        error_bars = self.posterior.calibrated(atoms, done.numbers, done.total) if uncertainty else None
        return self._results(atoms, neighbors, done), error_bars, done.numbers.get("grade")

    def uncertainty(self, atoms, derivatives=True, residual=False):
        """Posterior standard deviations and novelty of a frame.

        Parameters
        ----------
        atoms : ase.Atoms
        derivatives : bool
            Forces and stress too; they cost the fitting rows of the frame,
            about twenty times an evaluation.
        residual : bool
            Predictive variances of the Gaussian process instead of calibrated ones: posterior variance plus
            what the sparse set cannot express of each total, force and stress, with all cross terms between
            centres, O(n_atoms^2). Uncalibrated.

        Returns
        -------
        Uncertainty

        Raises
        ------
        ValueError
            If the model carries no posterior.
        """
        self.require_posterior()
        self.check_species(atoms)
        with one_blas_thread():
            if residual:
                return self.posterior.full(self.terms, atoms, derivatives)
            if derivatives:
                return self.posterior.complete(self.terms, atoms)
            found = LocalPass.of(self, error_bar_kinds(self.terms))
            if found is None:
                return self.posterior.local(self.terms, atoms)
        done = kernel_forces(neighbors_of(self.terms, atoms), found.kernels, found)
        return self.posterior.calibrated(atoms, done.numbers, done.total)

    def require_posterior(self):
        """Refuse a potential without error bars.

        Raises
        ------
        ValueError
            With the reason and what to do.
        """
        if self.posterior is None and self.metadata.get("source") == "mtp":
            raise ValueError(
                "uncertainty: this model was read from an .mtp file, which does not hold the posterior covariance of a "
                "fit. For error bars fit a model."
            )
        if self.posterior is None and self.metadata.get("source") == "gap.xml":
            raise ValueError(
                "uncertainty: this model was read from a gap.xml, which does not hold the posterior covariance of its "
                "fit, so standard deviations of total energies, forces and stresses are not defined. "
                "local_gap_variance(atoms) gives QUIP's distance from the sparse set; for error bars fit a model."
            )
        if self.posterior is None:
            raise ValueError(
                "uncertainty: this model carries no posterior (it was saved with compact=True). "
                "Save it without compact, or fit it again."
            )

    def local_gap_variance(self, atoms, regularisation=1e-3):
        """QUIP's variance of each local energy, a distance from the sparse set; see `GapVariance`.

        Parameters
        ----------
        atoms : ase.Atoms
        regularisation : float
            QUIP's ``gap_variance_regularisation``, eV.

        Returns
        -------
        ndarray of shape (n_atoms,)
            eV^2.
        """
        self.check_species(atoms)
        if any(isinstance(term, BasisTerm) for term in self.terms):
            raise ValueError("local_gap_variance: a linear model has no sparse set. Use uncertainty(atoms).")
        if self.metadata.get("cutoffs_in_weights"):
            raise ValueError("local_gap_variance: not supported for a GAP with sparseCutoff != 1 in its soap.")
        return GapVariance(self.terms, regularisation).local(atoms)

    def extrapolation_grade(self, atoms):
        """How far a frame lies outside the training set; see extrapolation.py.

        Up to 1 (and the tolerance of the selection) the energy is interpolated. MLIP's users take 2 as the grade from
        which a frame is worth a calculation, and 10 as that at which a run should stop.

        Parameters
        ----------
        atoms : ase.Atoms

        Returns
        -------
        ndarray of shape (n_atoms,) or float
            Of each environment, or of the frame if the active set is one of configurations.

        Raises
        ------
        ValueError
            If the potential has no active set.
        """
        self.require_active_set()
        self.check_species(atoms)
        found = LocalPass.of(self, ("grade",))
        if found is not None:
            require_known(atoms.numbers, self.active_set.species)
            return kernel_forces(neighbors_of(self.terms, atoms), found.kernels, found).numbers["grade"]
        with one_blas_thread():
            grades = self.active_set.grades(self.active_set.rows_of(self, atoms))
        return grades if self.active_set.mode == "neighborhood" else float(grades[0])

    def require_active_set(self, name="extrapolation_grade"):
        """Refuse a potential without active set.

        Raises
        ------
        ValueError
            With the reason and what to do.
        """
        if self.active_set is None:
            raise ValueError(f"{name}: {self._remedy_without_active_set()}")

    def _remedy_without_active_set(self):
        if not all(isinstance(term, BasisTerm) for term in self.terms):
            return (
                "is for linear models, as moment tensor potentials are. A Gaussian process measures the distance from "
                "its sparse set by uncertainty(atoms).novelty."
            )
        return (
            "this potential has no active set. Choose one from the training frames: "
            "potential.with_active_set(ActiveSet.select(potential, frames))."
        )
