"""An exact Gaussian process by its explicit feature map: shares nothing with the fit but the descriptor.

For zeta = 1 the features of a local energy are q, for zeta = 2 they are q (x) q; every energy, force and
virial is linear in them, so that all covariances between observations are dot products.
"""

import numpy as np

import kernelff as kff


def feature_rows(soap, frames, zeta, delta=1.0):
    """Rows [energy, 3 n_atoms forces, 6 virials] of every frame, stacked: prior covariances are rows @ rows.T."""
    return np.vstack([_frame(soap, atoms, zeta) for atoms in frames]) * delta


def label_rows(frames, e0, sigma_energy, sigma_forces, sigma_virial):
    """Labels and noise variances in the same order."""
    y, variance = [], []
    for atoms in frames:
        found, n = atoms.calc.results, len(atoms)
        y += [found["energy"] - n * e0, *found["forces"].ravel(), *-atoms.get_volume() * found["stress"]]
        variance += [sigma_energy**2 * n] + [sigma_forces**2] * (3 * n) + [sigma_virial**2 * n] * 6
    return np.array(y), np.array(variance)


def condition(K, K_star, K_star_star, y, variance):
    """Mean and variances of a Gaussian process: Rasmussen, Williams, GPML (2006), eq. (2.25) and (2.26)."""
    gain = np.linalg.solve(K + np.diag(variance), np.column_stack([y, K_star.T]))
    return K_star @ gain[:, 0], K_star_star - np.einsum("tn,nt->t", K_star, gain[:, 1:])


def _frame(soap, atoms, zeta):
    neighbors = kff.NeighborList.from_atoms(atoms, soap.cutoff)
    q, dq = soap.gradients(neighbors)
    features, slopes = _map(q, dq, neighbors.i, zeta)
    forces = np.zeros((len(atoms), *slopes.shape[1:]))
    np.add.at(forces, neighbors.i, slopes)
    np.subtract.at(forces, neighbors.j, slopes)
    virial = -np.einsum("pa,pbf->abf", neighbors.vectors, slopes)
    virial = 0.5 * (virial + virial.swapaxes(0, 1))
    voigt = virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return np.vstack([features.sum(axis=0)[None], forces.reshape(3 * len(atoms), -1), voigt])


def _map(q, dq, i, zeta):
    if zeta == 1:
        return q, dq
    slopes = np.einsum("pcf,pg->pcfg", dq, q[i])
    slopes = slopes + slopes.swapaxes(2, 3)
    return np.einsum("if,ig->ifg", q, q).reshape(len(q), -1), slopes.reshape(*dq.shape[:2], -1)
