"""Moment tensors whose contractions come from outside: the tables of an .mtp file, in the file's order."""

import numpy as np

from kernelff._moments import lanes_of
from kernelff.descriptors.base import register, require
from kernelff.descriptors.moment_program import ContractionProgram
from kernelff.descriptors.moment_tables import LoopTables
from kernelff.descriptors.moment_tensors import MomentDescriptor

# somewhat more than level 28 has: 17366 moments, 2445 scalars
_MOST_MOMENTS, _MOST_PRODUCTS, _MOST_SCALARS = 40_000, 1_000_000, 4_000
_HIGHEST_MU, _HIGHEST_NU, _LARGEST_COEFFICIENT = 63, 20, 2**53
_MOST_FACTORS = 8  # moments; the templates of MLIP have 4
_REMEDY = "The file is damaged or not an MTP of MLIP; copy it again"


@register("tabulated_moments")
class TabulatedMoments(MomentDescriptor):
    """Features of a contraction program, beside `MomentTensorsDescriptor` with its own. Immutable and thread-safe.

    Parameters
    ----------
    species : tuple of int
        Atomic numbers, ascending.
    program : ContractionProgram
        As `file_program` makes it.
    coefficients : ndarray of shape (n_species, n_species, n_mu, radial_basis_size)
        c of f_mu(r; z_i, z_j) = sum_k c[z_i, z_j, mu, k] Q_k(r), z_i the centre.
    min_dist, cutoff : float
        Å.
    scaling : float
        Common factor of all radial functions.
    isa : str, optional
        Instruction set of the loops.

    Attributes
    ----------
    n_features : int
    """

    def __init__(self, species, program, coefficients, min_dist, cutoff, scaling=1.0, isa=None):
        lanes, isa = lanes_of(isa)
        self.species, self.program = tuple(species), program
        tables = LoopTables(program)
        self.n_features = len(program.scalars)
        self._bind(tables, tables.arrays(lanes), coefficients, (min_dist, cutoff, scaling), isa)

    def to_state(self):
        """Plain data: a JSON-able dict and arrays."""
        params = {
            "parameters": {
                "cutoff": self.cutoff,
                "min_dist": self.min_dist,
                "radial_basis_size": self.coefficients.shape[3],
            },
            "species": list(self.species),
            "scaling": self.scaling,
        }
        return params, {"coefficients": self.coefficients, **self.program._asdict()}

    @classmethod
    def from_state(cls, params, arrays, isa=None):
        """The descriptor that `to_state` described; `isa` forces an instruction set."""
        given, program = params["parameters"], ContractionProgram(*(arrays[n] for n in ContractionProgram._fields))
        return cls(
            params["species"],
            program,
            arrays["coefficients"],
            given["min_dist"],
            given["cutoff"],
            params["scaling"],
            isa,
        )

    def __reduce__(self):
        return (type(self).from_state, self.to_state())


def file_program(basic, times, mapping, n_moments):
    """The contraction program of an .mtp file's tables.

    A file works through its products one after the other, M[k] += c M[i] M[j]. Here a node is made once, so no
    product may come before its factors are complete; nodes are numbered in the order in which they are.

    Parameters
    ----------
    basic : ndarray of shape (n_basic, 4)
        ``alpha_index_basic``: mu, a, b, c.
    times : ndarray of shape (n_products, 4)
        ``alpha_index_times``: i, j, coefficient, k.
    mapping : ndarray of shape (n_scalars,)
        ``alpha_moment_mapping``.
    n_moments : int
        ``alpha_moments_count``.

    Returns
    -------
    ContractionProgram

    Raises
    ------
    ValueError
        Naming the table that is out of bounds or out of order.
    """
    _check_sizes(basic, times, mapping, n_moments)
    n_basic, row = len(basic), np.arange(len(times))
    last = np.full(n_moments, -1)  # row that completes each moment; -1: basic, or never made
    np.maximum.at(last, times[:, 3], row)
    made = (last >= 0) | (np.arange(n_moments) < n_basic)
    for factor in (times[:, 0], times[:, 1]):
        _check_rows(
            made[factor] & (last[factor] < row), times, "alpha_index_times", "uses a moment before it is complete"
        )
    _check_rows(made[mapping], mapping, "alpha_moment_mapping", "names a moment that no product makes")
    _check_degree(n_basic, times, n_moments)
    order = np.argsort(last[n_basic:], kind="stable")
    order = n_basic + order[last[n_basic:][order] >= 0]
    new = np.arange(n_moments)
    new[order] = n_basic + np.arange(len(order))
    i, j, coefficient, k = times.T
    products = np.stack([new[i], new[j], coefficient, new[k]], axis=1)
    return ContractionProgram(basic, products[np.argsort(products[:, 3], kind="stable")], new[mapping])


def _check_sizes(basic, times, mapping, n_moments):
    """Refuse tables that are empty, larger than any MTP, or point outside."""
    require(1 <= n_moments <= _MOST_MOMENTS, "alpha_moments_count", n_moments, f"1 to {_MOST_MOMENTS}. {_REMEDY}")
    for name, table, least, most in (
        ("alpha_index_basic", basic, 1, n_moments),
        ("alpha_index_times", times, 0, _MOST_PRODUCTS),
        ("alpha_moment_mapping", mapping, 1, _MOST_SCALARS),
    ):
        require(least <= len(table) <= most, name, f"{len(table)} rows", f"{least} to {most} rows. {_REMEDY}")
    powers = basic[:, 1:]
    fine = (basic >= 0).all(axis=1) & (basic[:, 0] <= _HIGHEST_MU) & (powers <= _HIGHEST_NU).all(axis=1)
    fine &= powers.sum(axis=1) <= _HIGHEST_NU
    rule = f"has no mu from 0 to {_HIGHEST_MU} and powers >= 0 with a sum up to {_HIGHEST_NU}"
    _check_rows(fine, basic, "alpha_index_basic", rule)
    inside = ((times[:, [0, 1, 3]] >= 0) & (times[:, [0, 1, 3]] < n_moments)).all(axis=1)
    _check_rows(inside, times, "alpha_index_times", f"names a moment outside 0 to {n_moments - 1}")
    _check_rows(times[:, 3] >= len(basic), times, "alpha_index_times", "adds to a basic moment")
    moderate = (-_LARGEST_COEFFICIENT <= times[:, 2]) & (times[:, 2] <= _LARGEST_COEFFICIENT)
    _check_rows(moderate, times, "alpha_index_times", "has a coefficient beyond 2^53")
    inside = (mapping >= 0) & (mapping < n_moments)
    _check_rows(inside, mapping, "alpha_moment_mapping", f"names a moment outside 0 to {n_moments - 1}")


def _check_degree(n_basic, times, n_moments):
    """Refuse products of more factors than any MTP has, whose values would soon overflow."""
    degree = [1] * n_basic + [0] * (n_moments - n_basic)
    for row, (i, j, _, k) in enumerate(times.tolist()):
        degree[k] = max(degree[k], degree[i] + degree[j])
        if degree[k] > _MOST_FACTORS:
            raise ValueError(f"alpha_index_times: entry {row} has more than {_MOST_FACTORS} factors. {_REMEDY}.")


def _check_rows(fine, table, name, fault):
    if not fine.all():
        k = int(np.argmin(fine))
        raise ValueError(f"{name}: entry {k}, {table[k].tolist()}, {fault}. {_REMEDY}.")
