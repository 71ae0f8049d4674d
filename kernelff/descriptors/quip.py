"""QUIP's order of SOAP features."""

import numpy as np


def quip_order(n_channels, l_max, channels=None):
    """Permutation from our feature order to QUIP's: ``q_quip[:-1] = q[quip_order(...)]``.

    Ours: for l, for u, for v >= u. QUIP's: for u, for v <= u, for l, then one
    constant slot.

    Parameters
    ----------
    n_channels : int
        Elements times radial functions.
    l_max : int
    channels : array_like of int, optional
        Our channel in each of QUIP's places, for species that are not ascending there.

    Returns
    -------
    ndarray of int of shape (n_features,)
    """
    v, u = np.tril_indices(n_channels)[::-1]  # u >= v, row by row
    if channels is not None:
        one, two = np.asarray(channels)[u], np.asarray(channels)[v]
        u, v = np.maximum(one, two), np.minimum(one, two)
    packed = v * n_channels - v * (v - 1) // 2 + (u - v)
    n_packed = n_channels * (n_channels + 1) // 2
    return (packed[:, None] + n_packed * np.arange(l_max + 1)).ravel()
