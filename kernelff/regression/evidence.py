"""The evidence of the model and its derivatives.

It is that of the projected process (DTC): good at the noise of forces and virials and at delta, poor at the noise
of energies, for which it asks far too loosely.
"""

import numpy as np


def evidence_gradient(system):
    """log p(y), its derivatives by log sigma of every group, and by log prior_std of every column.

    With posterior covariance C and mean w, d log p / d log sigma_g = |A_g w - y_g|^2 / sigma_g^2
    + tr(C A_g' A_g) / sigma_g^2 - n_g [1]_.

    Parameters
    ----------
    system : System

    Returns
    -------
    evidence : float
    by_sigma : dict
    by_prior : ndarray of shape (size - 1,)

    References
    ----------
    .. [1] MacKay, Neural Computation 4, 415 (1992), doi:10.1162/neco.1992.4.3.415
    """
    C, w = system.covariance(), np.append(system.mean, -1.0)
    by_sigma = {}
    for name, gram in system.groups.items():
        spread = float(w @ gram.G @ w) + float(np.vdot(C, gram.G[:-1, :-1]))
        by_sigma[name] = spread / system.sigmas[name] ** 2 - gram.n_rows
    by_prior = (system.mean**2 + np.diag(C)) / system.prior_std**2 - 1.0
    return system.evidence(), by_sigma, by_prior
