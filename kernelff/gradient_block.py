"""Derivatives of basis functions, handed from terms to assembly block by block."""

from typing import NamedTuple

import numpy as np


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
