"""Derivatives of basis functions, handed from terms to assembly block by block."""

from typing import NamedTuple

import numpy as np

_PAIRS_PER_BLOCK = 256  # keeps the (3 pairs, n_functions) block of a thousand functions near the L2 cache


class GradientBlock(NamedTuple):
    """dphi_b(i)/dr_ij = scale[centre - start, b] gradients[p, c, b] for some pairs.

    The factor that all pairs of a centre share stays apart, so that it costs
    one multiplication where the block is summed instead of a pass of its own;
    None where there is none.
    """

    pairs: np.ndarray  # (n_block,) indices into the neighbour list
    columns: slice  # of the term's functions
    start: int  # first centre of the block
    scale: np.ndarray | None  # (n_centres, n_columns)
    gradients: np.ndarray  # (n_block, 3, n_columns)


def centre_blocks(first, pairs_per_block=_PAIRS_PER_BLOCK):
    """Cut the centres into ranges (start, stop) of about `pairs_per_block` pairs."""
    start, n_atoms = 0, len(first) - 1
    while start < n_atoms:
        stop = int(np.searchsorted(first, first[start] + pairs_per_block, side="right")) - 1
        stop = min(max(stop, start + 1), n_atoms)
        yield start, stop
        start = stop
