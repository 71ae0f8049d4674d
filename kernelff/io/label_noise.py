"""How far apart the labels of one structure are: no fit can be better, and none should try."""

import numpy as np

from kernelff.io.geometry import geometry, same_environments


def label_noise(frames, found):
    """Least noise sigmas that copies of a structure show, by kind.

    Parameters
    ----------
    frames : list of ase.Atoms
    found : list of Labels
        Their labels.

    Returns
    -------
    dict
        "energy" (eV per atom times sqrt(n_atoms), the unit of sigma_energy) and "forces" (eV/Å) where two or more
        frames are copies of each other, up to rotation, reflection and order of the atoms.

    Notes
    -----
    Two labels with independent errors of sd sigma differ by sqrt(2) sigma. The forces of copies are compared by
    their lengths, in order, since the rotation between the copies is not known; that is a lower bound.
    """
    differences = {"energy": [], "forces": []}
    for a, b in same_environments([geometry(atoms) for atoms in frames]):
        one, other = found[a], found[b]
        if one.energy is not None and other.energy is not None:
            differences["energy"].append((one.energy - other.energy) / np.sqrt(len(frames[a])))
        if one.forces is not None and other.forces is not None:
            lengths = [np.sort(np.linalg.norm(forces, axis=1)) for forces in (one.forces, other.forces)]
            differences["forces"] += list((lengths[0] - lengths[1]) / np.sqrt(3))
    return {kind: float(np.sqrt(np.mean(np.square(d)) / 2)) for kind, d in differences.items() if d}
