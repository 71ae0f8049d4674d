"""Columns in which the prior of the weights is the identity.

The solver never sees K_MM: in psi = phi @ W every direction of the prior has variance one, so that no jitter is
needed and every singular value of the posterior's factor is at least one.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from kernelff.assembly import n_functions, term_columns


@dataclass(frozen=True)
class Whitening:
    """Columns in which the prior is the identity: psi = phi @ W with W = U L^-1/2.

    Attributes
    ----------
    W : ndarray of shape (n_functions, rank)
    owner : ndarray of shape (rank,)
        Which family of functions each column belongs to.
    """

    W: np.ndarray
    owner: np.ndarray

    @classmethod
    def of(cls, K_MM, blocks, tolerance=1e-12, jitter=0.0, owners=None):
        """Whiten a block-diagonal K_MM = U L U'.

        Parameters
        ----------
        K_MM : ndarray of shape (n, n)
        blocks : list of slice
            The diagonal blocks; each is decomposed by itself.
        tolerance : float
            Directions with L < tolerance max(L) of their block are dropped.
        jitter : float
            Added to L, to reproduce models fitted with a jitter on K_MM.
        owners : list of int, optional
            Family of functions that each block belongs to; one for all by default.
        """
        owners = np.array(owners if owners else [0] * len(blocks), dtype=int)
        L = np.diag(K_MM)
        if len(blocks) == len(K_MM) and (L > 0).all() and np.array_equal(K_MM, np.diag(L)):
            return cls(np.diag(1.0 / np.sqrt(L + jitter)), owners)
        columns, ranks = [], []
        for block in blocks:
            L, U = np.linalg.eigh(K_MM[block, block])
            keep = tolerance * L[-1] < L
            W = np.zeros((len(K_MM), int(keep.sum())))
            W[block] = U[:, keep] / np.sqrt(L[keep] + jitter)
            columns.append(W)
            ranks.append(W.shape[1])
        return cls(np.hstack(columns), np.repeat(owners, ranks))

    @cached_property
    def _scales(self):
        """Diagonal of W, (rank,), or None where W is not diagonal."""
        scales = np.diag(self.W)
        return scales if self.W.shape == (len(scales),) * 2 and np.array_equal(self.W, np.diag(scales)) else None

    def rows(self, phi):
        """psi (n, rank) of phi (n, n_functions)."""
        return phi @ self.W if self._scales is None else phi * self._scales


class Columns(NamedTuple):
    """Whitened columns [nuisance, psi], in which the prior is the identity.

    Nuisance columns come first, so that the last block of a posterior factor is the one with
    nuisance integrated out.
    """

    nuisance_std: np.ndarray  # (n_nuisance,), prior standard deviations
    whitening: Whitening

    @property
    def n_nuisance(self):
        return len(self.nuisance_std)

    @property
    def size(self):
        """Number of columns."""
        return self.n_nuisance + self.whitening.W.shape[1]

    @property
    def n_owners(self):
        return int(self.whitening.owner.max(initial=-1)) + 1

    def rows(self, rows):
        """Rows [phi, nuisance, y] (n, m) as [nuisance, psi, y]."""
        n = len(self.whitening.W)
        nuisance = rows[:, n : n + self.n_nuisance] * self.nuisance_std
        return np.hstack([nuisance, self.whitening.rows(rows[:, :n]), rows[:, -1:]])

    def prior_std(self, factors, nuisance=1.0):
        """Prior standard deviation of every column for a factor on delta of every owner, and one on all nuisance."""
        psi = np.asarray(factors, dtype=float)[self.whitening.owner]
        return np.concatenate([np.full(self.n_nuisance, nuisance), psi])

    def by_owner(self, slopes):
        """Derivatives by the logarithms of those factors from derivatives by column."""
        return np.bincount(self.whitening.owner, weights=slopes[self.n_nuisance :], minlength=self.n_owners)


def whiten(terms, jitter):
    """Whitening of the functions of all terms; the columns of a term have one owner, or one per family."""
    K_MM = np.zeros((n_functions(terms),) * 2)
    blocks = []
    for term, columns in zip(terms, term_columns(terms), strict=True):
        K_MM[columns, columns] = term.gram()
        blocks += [slice(columns.start + b.start, columns.start + b.stop) for b in term.blocks]
    owner_of = _owners(terms)
    return Whitening.of(K_MM, blocks, jitter=jitter, owners=[owner_of[block.start] for block in blocks])


def whiten_again(terms, W):
    """The Whitening whose matrix a model has kept."""
    return Whitening(W, _owners(terms)[np.argmax(W != 0, axis=0)])


def _owners(terms):
    """Number of the family that each function belongs to, those of all terms counted on."""
    found, n = [], 0
    for term in terms:
        families = getattr(term, "families", None)
        families = np.zeros(term.n_functions, dtype=int) if families is None else families
        found.append(n + families)
        n += int(families.max(initial=0)) + 1
    return np.concatenate(found)
