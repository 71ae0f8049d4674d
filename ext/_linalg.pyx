"""Streamed QR."""

import numpy as np
from scipy.linalg import qr


def fold(factor, rows):
    """factor (m, m) upper triangular, C order -> the factor of [factor; rows], diagonal >= 0, in place."""
    R = qr(np.vstack([factor, rows]), mode="r", check_finite=False)[0][: len(factor)]
    R[np.diag(R) < 0] *= -1.0
    factor[:] = R
