"""Rows of the extrapolation grade: local energies differentiated by the coefficients they are made of."""

import numpy as np

from kernelff.assembly import local_values

_CENTRES_PER_BLOCK = 16  # their derivatives by distances come along, some megabytes


def linear_rows(terms, neighbors, species):
    """dE_i / d(e0 of each element, weights): one-hot of the element, then the basis functions.

    Parameters
    ----------
    terms : sequence of BasisTerm
    neighbors : NeighborList
    species : sequence of int
        Atomic numbers, the order of the first columns.

    Returns
    -------
    ndarray of shape (n_atoms, n_species + n_functions)

    Raises
    ------
    ValueError
        For an element that is not among `species`.
    """
    return np.hstack([_one_hot(neighbors.numbers, species), local_values(terms, neighbors)[0]])


def all_rows(terms, weights, neighbors, species, n_radial):
    """dE_i / d(radial coefficients, e0, weights) of a moment tensor potential, in the order of MLIP [1]_.

    The radial coefficients of E_i, of the pairs (z_i, z_j), then mu, then the polynomial, come first.

    Parameters
    ----------
    terms : sequence of BasisTerm
        One, on moment tensors.
    weights : ndarray of shape (n_functions,)
    neighbors : NeighborList
    species : sequence of int
        Atomic numbers of the types 0, 1, ..
    n_radial : int
        Radial functions that there are; those that no moment uses have zero columns.

    Returns
    -------
    ndarray of shape (n_atoms, n_species^2 n_radial radial_basis_size + n_species + n_functions)

    References
    ----------
    .. [1] Podryabinkin, Garifullin, Shapeev, Novikov, J. Chem. Phys. 159, 084112 (2023), doi:10.1063/5.0155887
    """
    linear = linear_rows(terms, neighbors, species)
    values = _radial_derivatives(terms[0].descriptor, weights, neighbors)
    if terms[0].descriptor.species is not None:
        values = values[:, np.searchsorted(terms[0].descriptor.species, species)]
    n_atoms, n_species, n_mu, size = values.shape
    radial = np.zeros((n_atoms, n_species, n_species, n_radial, size))
    centre = np.argmax(linear[:, :n_species], axis=1) if n_atoms else np.zeros(0, dtype=int)
    radial[np.arange(n_atoms), centre, :, :n_mu] = values
    return np.hstack([radial.reshape(n_atoms, -1), linear])


def _radial_derivatives(descriptor, weights, neighbors):
    """dE_i / dc[z_i, z_j, mu, k], shape (n_atoms, n_species, n_mu, radial_basis_size), by blocks of centres."""
    values = np.zeros((neighbors.n_atoms, *descriptor.coefficients.shape[1:]))
    for start in range(0, neighbors.n_atoms, _CENTRES_PER_BLOCK):
        stop = min(start + _CENTRES_PER_BLOCK, neighbors.n_atoms)
        values[start:stop], _ = descriptor.coefficient_gradients(neighbors, weights, start, stop)
    return values


def require_known(numbers, species):
    """Refuse elements that an active set does not know.

    Raises
    ------
    ValueError
    """
    other = sorted({int(z) for z in numbers} - set(species))
    if other:
        raise ValueError(
            f"atoms: the active set knows the elements {list(species)}, not {other}. Select it from frames that "
            "contain them."
        )


def _one_hot(numbers, species):
    require_known(numbers, species)
    return (numbers[:, None] == np.array(species)).astype(float)
