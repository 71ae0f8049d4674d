"""Automatic lists of symmetry functions."""

import numpy as np

from kernelff.descriptors.base import require
from kernelff.descriptors.symmetry_records import G2, G4, G5, W2, W4, W5

import os, json
OPT = json.loads(os.environ.get("SFGRID", "{}"))


def automatic_functions(cutoff, n_radial, n_angular, nearest_distance=None, weighted=False):
    rad, closed, open_ = (W2, W4, W5) if weighted else (G2, G4, G5)
    nn = nearest_distance if nearest_distance and np.isfinite(nearest_distance) else 0.4 * cutoff
    o = {"r0": 0.8, "rend": 1.0, "wid": 1.0, "form": "open", "zetas": [1, 2, 4, 8], "na": 4, "style": "shift", "aend": 0.7, "both": 0} | OPT
    r = np.linspace(o["r0"] * nn, o["rend"] * cutoff - (0.3 if o["rend"] == 1.0 else 0), n_radial)
    d = r[1] - r[0]
    fs = [rad(o["wid"] * 0.5 / d**2, float(x)) for x in r]
    kind = open_ if o["form"] == "open" else closed
    if o["style"] == "shift":
        ra = np.linspace(o["r0"] * nn, o["aend"] * cutoff, o["na"])
        da = ra[1] - ra[0]
        pairs = [(o["wid"] * 0.5 / da**2, float(x)) for x in ra]
    else:
        pairs = [(0.5 / x**2, 0.0) for x in np.geomspace(0.5*nn, cutoff, o["na"])]
    for eta, rs in pairs:
        for z in o["zetas"]:
            for l in (-1.0, 1.0):
                fs.append(kind(eta, z, l, r_s=rs))
                if o["both"]:
                    fs.append((closed if kind is open_ else open_)(eta, z, l, r_s=rs))
    return fs
