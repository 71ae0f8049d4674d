"""Slow, obvious twins of what the package computes cleverly."""

import numpy as np
from scipy.linalg import sqrtm
from scipy.special import eval_legendre, sph_harm_y


def gto_radial(r, cutoff, n_max, l_max, atom_sigma):
    """R_nl(r) (n_max, l_max + 1) of one distance by brute-force integrals over g and the polar angle.

    exp(-x) i_l(x) exp(-a (r - g)^2) = 1/2 int_-1^1 exp(-a (r^2 + g^2 - 2 r g t)) P_l(t) dt.
    """
    t, w_t = np.polynomial.legendre.leggauss(120)
    x, w_x = np.polynomial.legendre.leggauss(400)
    reach = 6.0 * cutoff  # the orbitals themselves reach far beyond the density
    g, w_g = 0.5 * reach * (x + 1.0), 0.5 * reach * w_x
    n = np.arange(n_max)[:, None]
    s = cutoff * np.maximum(np.sqrt(n), 1.0) / n_max
    orbitals = g**n * np.exp(-0.5 * (g / s) ** 2)
    orbitals /= np.sqrt((orbitals**2 * g**2) @ w_g)[:, None]
    overlap = (orbitals * w_g * g**2) @ orbitals.T
    orthonormal = np.linalg.inv(np.real(sqrtm(overlap))) @ orbitals
    a = 0.5 / atom_sigma**2
    density = np.exp(-a * (r**2 + g[:, None] ** 2 - 2.0 * r * g[:, None] * t))
    h = np.stack([0.5 * density @ (w_t * eval_legendre(l, t)) for l in range(l_max + 1)])  # noqa: E741
    return np.einsum("ng,lg->nl", orthonormal * w_g * g**2, h)


def soap(vectors, channels, centre_channel, n_channels, soap):
    """Power spectrum of one centre from complex spherical harmonics; `soap` carries the parameters of SOAP.

    Feature order as in the package: l, u, v >= u with sqrt(2) off the diagonal and 1/sqrt(2l + 1).
    """
    n, n_l = soap.n_max, soap.l_max + 1
    c = np.zeros((n_channels, n, n_l, 2 * soap.l_max + 1), dtype=complex)
    shape = (soap.cutoff, n, soap.l_max, soap.atom_sigma)
    for vector, a in zip(vectors, channels, strict=True):
        r = np.linalg.norm(vector)
        if r >= soap.cutoff:
            continue
        start = soap.cutoff - soap.cutoff_width
        f = 1.0 if r <= start else 0.5 * (1.0 + np.cos(np.pi * (r - start) / soap.cutoff_width))
        if soap.scaling_exponent:
            f /= 1.0 + (r / soap.scaling_radius) ** soap.scaling_exponent
        R = f * gto_radial(r, *shape)
        theta, phi = np.arccos(vector[2] / r), np.arctan2(vector[1], vector[0])
        for l in range(n_l):  # noqa: E741
            for m in range(-l, l + 1):
                c[a, :, l, l + m] += R[:, l] * sph_harm_y(l, m, theta, phi)
    c[centre_channel, :, 0, 0] += soap.central_weight * gto_radial(0.0, *shape)[:, 0] / np.sqrt(4.0 * np.pi)
    c = c.reshape(n_channels * n, n_l, -1)
    q = []
    for l in range(n_l):  # noqa: E741
        p = (c[:, l] @ c[:, l].conj().T).real / np.sqrt(2.0 * l + 1.0)
        for u in range(len(c)):
            q += [p[u, u], *(np.sqrt(2.0) * p[u, u + 1 :])]
    q = np.array(q)
    return q / np.linalg.norm(q) if soap.normalize else q


def symmetry_function(vectors, numbers, function, cutoff_function):
    """One symmetry function of one centre by its formula; `function` as in the built descriptor."""

    def u(r):
        if r >= function.cutoff:
            return 0.0
        x = r / function.cutoff
        fc = 0.5 * (1.0 + np.cos(np.pi * x)) if cutoff_function == "cosine" else np.tanh(1.0 - x) ** 3
        return np.exp(-function.eta * (r - function.r_s) ** 2) * fc

    r = np.linalg.norm(vectors, axis=1)
    weighted = function.elements == ()
    if function.form == "radial":
        chosen = numbers if weighted else numbers == function.elements[0]
        return sum(weight * u(x) for weight, x in zip(chosen, r, strict=True))
    total = 0.0
    for j in range(len(r)):
        for k in range(j):
            if not weighted and tuple(sorted((numbers[j], numbers[k]))) != function.elements:
                continue
            cosine = np.clip(vectors[j] @ vectors[k] / (r[j] * r[k]), -1.0, 1.0)
            term = (1.0 + function.lambda_ * cosine) ** function.zeta * u(r[j]) * u(r[k])
            if function.form == "closed":
                term *= u(np.linalg.norm(vectors[j] - vectors[k]))
            total += term * (float(numbers[j] * numbers[k]) if weighted else 1.0)
    return 2.0 ** (1.0 - function.zeta) * total


def moment_tensor_scalars(vectors, f, graphs):
    """B_G of one centre from full tensors M_mu,nu[x, y, ..], contracted index by index.

    `vectors` (n, 3) of its neighbours, `f` (n, n_mu) radial functions at their distances.
    """
    n = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    letters, scalars = "abcdefghijklmnopqrstuvwxyz", []
    for graph in graphs:
        free, indices = iter(letters), [""] * len(graph.mus)
        for a in range(len(graph.mus)):
            for b in range(a + 1, len(graph.mus)):
                shared = "".join(next(free) for _ in range(graph.edge(a, b)))
                indices[a] += shared
                indices[b] += shared
        tensors = []
        for mu, own in zip(graph.mus, indices, strict=True):
            tensor = f[:, mu]
            for _ in own:
                tensor = np.einsum("p...,pc->p...c", tensor, n)
            tensors.append(tensor.sum(axis=0))
        scalars.append(np.einsum(f"{','.join(indices)}->", *tensors, optimize="greedy"))
    return np.array(scalars, dtype=float)
