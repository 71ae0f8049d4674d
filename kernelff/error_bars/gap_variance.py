"""QUIP's ``local_gap_variance``: how far an environment is from the sparse set of a published GAP.

For every instance q of a descriptor (an environment, or a pair) with covariances k to the
sparse points,
    var_q = delta^2 + f0^2 + g^2 - k' K^-1 k,   K_st = delta^2 k(X_s, X_t) + f0^2 + g^2 delta_st
(the covariances k of soap do not carry f0), and a local energy gets sum_q c_q^2 var_q, c the
cutoff of the covariance. It knows neither the training set nor its noise, so it is no error
bar: the covariance between local energies, which a total energy or a force would need, is not
in a gap.xml.
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from kernelff.assembly import neighbors_of
from kernelff.terms import PairTerm


class GapVariance:
    """Local variances of a published GAP, prepared for many frames.

    Parameters
    ----------
    terms : sequence of EnvironmentTerm and PairTerm
    regularisation : float
        g, eV; QUIP's ``gap_variance_regularisation``.
    """

    def __init__(self, terms, regularisation=1e-3):
        if not (np.isfinite(regularisation) and regularisation > 0):
            raise ValueError(f"regularisation: must be > 0 eV, got {regularisation!r}. QUIP's default is 0.001.")
        self.terms, self.regularisation = tuple(terms), float(regularisation)
        self._factors = [
            {name: cho_factor(K + self.regularisation**2 * np.eye(len(K))) for name, K in _covariances(term)}
            for term in self.terms
        ]

    def local(self, atoms):
        """Variance of each local energy.

        Parameters
        ----------
        atoms : ase.Atoms

        Returns
        -------
        ndarray of shape (n_atoms,)
            eV^2.

        Raises
        ------
        ValueError
            Where the formula turns negative, which it can with f0 != 0 or normalise=F; QUIP stops there too.
        """
        neighbors = neighbors_of(self.terms, atoms)
        variance = np.zeros(neighbors.n_atoms)
        for term, factors in zip(self.terms, self._factors, strict=True):
            for name, k_qs, prior, cutoff, centre in _instances(term, neighbors):
                explained = np.einsum("qs,sq->q", k_qs, cho_solve(factors[name], k_qs.T))
                local = (prior + self.regularisation**2 - explained) * cutoff**2
                if local.min(initial=0.0) < -1e-9 * prior:
                    raise ValueError(
                        f"local_gap_variance: the formula gives {local.min():.2e} eV^2 < 0 here, as it can with f0 != "
                        "0 or normalise=F (QUIP stops there too). This GAP has no local variance for this frame."
                    )
                variance += np.bincount(centre, weights=np.maximum(local, 0.0), minlength=neighbors.n_atoms)
        return variance


def _covariances(term):
    """(name, K) of each set of sparse points; without the regularisation."""
    delta2 = term.delta**2
    if isinstance(term, PairTerm):
        r, c = term.sparse_points, term.sparse_cutoffs
        constant = term.kernel.constant
        # QUIP leaves the cutoffs out of the constant's part
        return [("pairs", delta2 * ((term.kernel(r, r) - constant) * c * c[:, None] + constant))]
    return [(z, delta2 * term.kernel(points, points) + term.f0**2) for z, points in term.sparse_points.items()]


def _instances(term, neighbors):
    """(name, covariances k_qs, prior variance, cutoffs c_q, centres) of each set of sparse points."""
    delta2 = term.delta**2
    if isinstance(term, PairTerm):
        pairs = term.descriptor.compute(neighbors)
        k_qs = delta2 * term.kernel(pairs.r, term.sparse_points) * term.sparse_cutoffs
        # each bond is listed from both ends and gives half to each: all of it to the centre
        yield "pairs", k_qs, delta2 * (1.0 + term.kernel.constant), pairs.fcut, neighbors.i[pairs.index]
        return
    phi_as, _ = term.values(neighbors)
    for z, centres in term.centres_by_species(neighbors.numbers):
        yield z, phi_as[centres][:, term.columns[z]], delta2 + term.f0**2, np.ones(len(centres)), centres
