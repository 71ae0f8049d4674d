"""Which atoms of a frame are solid, by the frames of the two pure phases."""

from dataclasses import dataclass

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from kernelff.descriptors import SOAP
from kernelff.neighbors import NeighborList

_REACH = 1.6  # of the descriptor, in nearest-neighbour distances: first and second shell


@dataclass(frozen=True, eq=False)
class Phases:
    """Tells solid from liquid: a linear discriminant of SOAP vectors, averaged over the neighbours as in [1]_.

    Attributes
    ----------
    descriptor : SOAP
    discriminant : LinearDiscriminantAnalysis
        Positive in the solid.
    errors : tuple of float
        Share of the held-out solid atoms taken for liquid, and of the liquid ones taken for solid.

    References
    ----------
    .. [1] W. Lechner, C. Dellago, J. Chem. Phys. 129, 114707 (2008), doi:10.1063/1.2977970
    """

    descriptor: SOAP
    discriminant: LinearDiscriminantAnalysis
    errors: tuple = (0.0, 0.0)

    @classmethod
    def of(cls, solid, liquid, nearest):
        """Learn from every other frame, and count the errors on the rest.

        Parameters
        ----------
        solid, liquid : list of ase.Atoms
            Two frames each, at least.
        nearest : float
            Distance of nearest neighbours, Å.

        Returns
        -------
        Phases
        """
        descriptor = SOAP(cutoff=_REACH * nearest, n_max=4, l_max=4).fit(solid + liquid)
        learn = solid[::2], liquid[::2]
        q = [descriptor.features(frames)[0] for frames in learn]
        labels = np.repeat([1, 0], [len(q[0]), len(q[1])])
        discriminant = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[0.5, 0.5])
        phases = cls(descriptor, discriminant.fit(np.vstack(q), labels))
        wrong = [1 - phases.share(solid[1::2]), phases.share(liquid[1::2])]
        return cls(descriptor, discriminant, tuple(wrong))

    def solid(self, atoms):
        """Mask of the solid atoms, shape (n_atoms,)."""
        scores = self.discriminant.decision_function(self.descriptor.features([atoms])[0])
        neighbors = NeighborList.from_atoms(atoms, self.descriptor.cutoff)
        sums = scores + np.bincount(neighbors.i, scores[neighbors.j], minlength=len(atoms))
        return sums / (1 + np.diff(neighbors.first)) > 0

    def share(self, frames):
        """Share of solid atoms among those of all frames."""
        return float(np.mean(np.concatenate([self.solid(atoms) for atoms in frames])))

    def profile(self, frames, axis, n_bins=24):
        """Share of solid atoms along a cell vector.

        Parameters
        ----------
        frames : list of ase.Atoms
        axis : int
        n_bins : int

        Returns
        -------
        ndarray of shape (n_bins,)
            NaN where there is no atom.
        """
        sums = np.zeros((2, n_bins))
        for atoms in frames:
            bins = np.minimum((atoms.get_scaled_positions()[:, axis] * n_bins).astype(int), n_bins - 1)
            sums += [np.bincount(bins, weights, n_bins) for weights in (self.solid(atoms), np.ones(len(atoms)))]
        with np.errstate(invalid="ignore"):
            return sums[0] / sums[1]
