"""Sparse Gaussian process regression on local environments (GAP)."""

import numpy as np

from kernelff.checks import require_positive
from kernelff.descriptors import SOAP, PairDistances
from kernelff.kernels import DotProduct, RadialBasis, SquaredExponential, squares
from kernelff.models.base import LinearModel
from kernelff.models.fitted import as_list
from kernelff.neighbors import NeighborList, nearest_distance
from kernelff.sparsification import METHODS, select_points, shares
from kernelff.terms import EnvironmentTerm, PairTerm

_DELTA = 2.0  # eV
_PER_ELEMENT, _ELEMENTS = 1000, 3  # sparse environments, for so many elements at most: memory grows with their square
_COVARIANCES = ("dot_product", "squared_exponential")
_LENGTH_SCALE = 3.0  # in median distances between sparse points
_CONSTANT = 16.0  # per feature of variance 1


class SparseGPR(LinearModel):
    """Gaussian process on local environments, projected on a sparse set (DTC) [1]_ [2]_.

    Parameters
    ----------
    descriptors : SOAP, SymmetryFunctions, PairDistances or list of them, optional
        Summed in one model. ``SOAP()`` by default.
    n_sparse : int, "auto", None or list
        Sparse environments in all; one for all descriptors or one each. Each element gets a share in
        proportion to the root of the number of its environments. "auto": 1000 for each of up to three elements. None
        takes every environment of the data.
    sparse_method : {"cur", "fps", "random"}
        How the sparse set is chosen, see `sparsification.select_points`.
    covariance : {"dot_product", "squared_exponential"} or list
        Of environments; one for all descriptors or one each. Symmetry functions are scaled to the training
        frames first (`SymmetryFunctionsDescriptor.scaled_to`), and their dot product is normalised after a
        constant of 16 per feature is added, see `kernels.DotProduct`.
    zeta : float
        Exponent of the dot-product covariance.
    delta : float or list, optional
        Prior standard deviation of the local energies, eV; one or one per descriptor. None: see
        `hyperparameters`.
    length_scale : float or list, optional
        Of the squared-exponential covariance; one or one per descriptor. None: 1 Å for PairDistances,
        three times the median distance between sparse points for environments.
    sigma_energy, sigma_forces, sigma_virial : float, optional
        Noise of the labels: eV per atom (the total's is times sqrt(n_atoms)), eV/Å,
        eV per atom (likewise). None: see `hyperparameters`.
    config_sigmas : dict, optional
        config_type -> {"energy": ..., "forces": ..., "virial": ...}, any of them.
    loss_weights : tuple of three floats, optional
        (w_E, w_F, w_S) in place of the sigmas, see `noise.Noise.from_weights`.
    hyperparameters : {"cv", "evidence", "fixed"}
        How sigmas and delta that are None are chosen. "cv": by the errors on held-out frames (five folds of
        neighbouring frames, from one pass over the data), their common size by evidence. "evidence": all maximise the
        evidence but sigma_energy, at which it is poor; that one by held-out errors. "fixed": 0.0025 eV, 0.05 eV/Å,
        0.2 eV and 2 eV, by cross-validation on several elements. Never below the noise that copies of a structure
        show. Sigmas of frames keep their ratio to these.
    stress_offset : bool
        Learn a constant hydrostatic offset of the stress labels against the energies
        (the Pulay stress of a plane-wave basis) where one is clearly there, instead of fitting it; False
        trusts them.
    e0 : dict, optional
        Element or atomic number -> energy of the isolated atom, eV; else from
        isolated-atom frames, else by least squares.
    baseline : Potential or DFTD3 or ase Calculator, optional
        The model learns what it leaves.
    zbl : bool
        Add the screened repulsion of the nuclei below the shortest distances of the data, see `ZBL`:
        atoms that come closer are pushed apart. The fit itself is the same with and without. Of the repulsion
        that a Potential as baseline has, only what is missing is added; False where an ASE calculator as baseline
        is repulsive enough.
    calibrate : bool
        Map the error bars to the true errors of held-out frames, see calibration.py. Without it the sds are the bare
        posterior's, about ten times too small.
    jitter : float
        Added to K_MM, only to reproduce models that were fitted with one.
    n_jobs : int
        Threads of the fit; -1 for all cores. The result is bitwise the same for any number.
    random_state : int
        Of the choice of sparse points.

    Attributes
    ----------
    potential_ : Potential
    e0_ : dict
        Atomic number -> eV.
    n_sparse_ : int
        Sparse points chosen.
    rank_ : int
        Directions of the covariance K_MM that are kept.
    stress_offset_ : float
        Constant hydrostatic offset of the stress labels against the energies, GPa.
    calibration_ : Calibration or None
        Of the error bars; None without calibration or with too few frames.
    sigmas_ : dict
        Noise sigmas that were used, by kind of label (and config_type).
    delta_scales_ : list of float
        Factor on each descriptor's delta that was chosen; 1 with fixed hyperparameters.
    cv_errors_ : dict
        Kind of label -> {"mae", "rmse", "n"} on held-out frames, eV per atom or eV/Å; empty without folds.
    search_ : dict or None
        Sigmas, factors on delta and held-out errors before hyperparameters were chosen.
    evidence_ : float
        log p(labels) of the DTC model.
    fit_time_ : dict
        Seconds.

    References
    ----------
    .. [1] Bartók, Payne, Kondor, Csányi, Phys. Rev. Lett. 104, 136403 (2010), doi:10.1103/PhysRevLett.104.136403
    .. [2] Quiñonero-Candela, Rasmussen, J. Mach. Learn. Res. 6, 1939 (2005)

    Examples
    --------
    >>> model = SparseGPR(n_sparse=500).fit(train)  # doctest: +SKIP
    >>> energy, energy_std = model.predict(test, return_std=True)  # doctest: +SKIP
    """

    def __init__(
        self,
        descriptors=None,
        *,
        n_sparse="auto",
        sparse_method="cur",
        covariance="dot_product",
        zeta=3.0,
        delta=None,
        length_scale=None,
        sigma_energy=None,
        sigma_forces=None,
        sigma_virial=None,
        config_sigmas=None,
        loss_weights=None,
        hyperparameters="cv",
        stress_offset=True,
        e0=None,
        baseline=None,
        zbl=True,
        calibrate=True,
        jitter=0.0,
        n_jobs=-1,
        random_state=0,
    ):
        self.descriptors = descriptors
        self.n_sparse = n_sparse
        self.sparse_method = sparse_method
        self.covariance = covariance
        self.zeta = zeta
        self.delta = delta
        self.length_scale = length_scale
        self.sigma_energy = sigma_energy
        self.sigma_forces = sigma_forces
        self.sigma_virial = sigma_virial
        self.config_sigmas = config_sigmas
        self.loss_weights = loss_weights
        self.hyperparameters = hyperparameters
        self.stress_offset = stress_offset
        self.e0 = e0
        self.baseline = baseline
        self.zbl = zbl
        self.calibrate = calibrate
        self.jitter = jitter
        self.n_jobs = n_jobs
        self.random_state = random_state

    def set_params(self, **params):
        """As scikit-learn's; ``descriptors__cutoff`` and the like also where `descriptors` is None, for ``SOAP()``."""
        nested = any(name.startswith("descriptors__") for name in params)
        if nested and params.get("descriptors", self.descriptors) is None:
            params = {**params, "descriptors": SOAP()}
        return super().set_params(**params)

    @property
    def n_sparse_(self):
        return sum(term.n_functions for term in self.potential_.terms)

    def plain_settings(self):
        """Parameters as plain data, for files."""
        settings = super().plain_settings()
        if self.descriptors is not None:
            settings["descriptors"] = [
                {"kind": type(d).__name__} | d.plain_parameters() for d in as_list(self.descriptors)
            ]
        return settings

    def _make_terms(self, frames):
        descriptors = self._descriptor_list()
        deltas = _one_each("delta", _DELTA if self.delta is None else self.delta, len(descriptors))
        counts = _one_each("n_sparse", self.n_sparse, len(descriptors))
        self._check_values(deltas, counts)
        rng = np.random.default_rng(self.random_state)
        species = sorted({int(z) for atoms in frames for z in set(atoms.numbers)})
        nearest = nearest_distance(frames)
        covariances = _one_each("covariance", self.covariance, len(descriptors))
        scales = _one_each("length_scale", self.length_scale, len(descriptors))
        for covariance in covariances:
            if covariance not in _COVARIANCES:
                raise ValueError(f"covariance: must be one of {_COVARIANCES}, got {covariance!r}.")
        terms = []
        for descriptor, delta, n_sparse, covariance, scale in zip(
            descriptors, deltas, counts, covariances, scales, strict=True
        ):
            if isinstance(descriptor, PairDistances):
                terms.append(self._pair_term(descriptor, delta, n_sparse, scale, nearest))
                continue
            built = descriptor.build_for(frames, species, nearest)
            points = self._choose_points(built, n_sparse, frames, species, rng)
            kernel = self._kernel(descriptor, covariance, scale, points)
            terms.append(EnvironmentTerm(built, kernel, delta, points))
        return terms

    def _choose_points(self, descriptor, n_sparse, frames, species, rng):
        """Sparse environments of every element."""
        counts = {z: sum(int(np.sum(atoms.numbers == z)) for atoms in frames) for z in species}
        bonded = {int(z) for atoms in frames if len(atoms) > 1 for z in atoms.numbers}
        total = _PER_ELEMENT * min(max(len(bonded), 1), _ELEMENTS) if n_sparse == "auto" else n_sparse
        share = dict.fromkeys(species) if total is None else shares(counts, total)
        points = {}
        for z in species:

            def blocks(z=z):
                for atoms in frames:
                    if (atoms.numbers == z).any():
                        neighbors = NeighborList.from_atoms(atoms, descriptor.cutoff)
                        yield descriptor.compute(neighbors)[atoms.numbers == z]

            points[z] = select_points(blocks, share[z], self.sparse_method, rng)
        return points

    def _kernel(self, parameters, covariance, length_scale, points):
        if covariance == "squared_exponential":
            return RadialBasis(_LENGTH_SCALE * median_distance(points) if length_scale is None else length_scale)
        if not parameters.scaled:
            return DotProduct(self.zeta)
        n_features = next(iter(points.values())).shape[1]
        return DotProduct(self.zeta, _CONSTANT * n_features, normalize=True)

    def _pair_term(self, parameters, delta, n_sparse, length_scale, nearest):
        descriptor = parameters.build()
        start = min(nearest, 0.5 * descriptor.cutoff) if np.isfinite(nearest) else 0.2 * descriptor.cutoff
        # one dimension: an even grid spans it as well as any choice from the data
        points = np.linspace(0.5 * start, descriptor.cutoff, 30 if n_sparse in (None, "auto") else n_sparse)
        length_scale = 1.0 if length_scale is None else length_scale
        return PairTerm(descriptor, SquaredExponential(length_scale), delta, points)

    def _descriptor_list(self):
        if self.descriptors is None:
            return [SOAP()]
        return as_list(self.descriptors)

    def _check_values(self, deltas, counts):
        for delta in deltas:
            require_positive("delta", delta, "eV")
        for n_sparse in counts:
            if n_sparse not in (None, "auto") and not (isinstance(n_sparse, (int, np.integer)) and n_sparse > 0):
                raise ValueError(f"n_sparse: must be a whole number > 0, 'auto' or None, got {n_sparse!r}.")
        self._check_settings()
        if self.sparse_method not in METHODS:
            raise ValueError(f"sparse_method: must be one of {METHODS}, got {self.sparse_method!r}.")


def median_distance(points, n_sampled=500):
    """Median distance between sparse points of one element, over all elements; 1 if there are no two.

    Parameters
    ----------
    points : dict
        Element -> (n_sparse, n_features).
    n_sampled : int
        At most this many of each element are looked at, evenly spread.
    """
    found = []
    for own in points.values():
        some = own[np.unique(np.linspace(0, len(own) - 1, min(n_sampled, len(own))).astype(int))]
        xx = squares(some)
        distances = np.sqrt(np.maximum(xx[:, None] + xx - 2.0 * some @ some.T, 0.0))
        found.append(distances[np.triu_indices(len(some), 1)])
    found = np.concatenate(found)
    return float(np.median(found)) if found.size and np.median(found) > 0 else 1.0


def _one_each(name, value, n):
    """One value per descriptor."""
    values = as_list(value)
    if not isinstance(value, (list, tuple)):
        values *= n
    if len(values) != n:
        raise ValueError(f"{name}: {len(values)} values for {n} descriptors; give one, or one each.")
    return values
