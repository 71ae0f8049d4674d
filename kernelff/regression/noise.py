"""Noise of the labels: which rows share one sigma."""

from dataclasses import dataclass, field

import numpy as np

from kernelff.checks import require_positive

KINDS = ("energy", "forces", "virial")
_FRAME_KEYS = {"energy": "energy_sigma", "forces": "force_sigma", "virial": "virial_sigma"}


@dataclass(frozen=True)
class Noise:
    """Noise sigmas by kind of label, config_type and frame.

    Parameters
    ----------
    energy, forces, virial : float
        eV per atom (the total's sigma is energy sqrt(n_atoms)), eV/Å per
        component, eV per atom (likewise sqrt(n_atoms)).
    config : dict
        config_type -> {"energy": ..., "forces": ..., "virial": ...}, any of them.

    Notes
    -----
    A frame overrides both by ``info["energy_sigma"]``, ``info["force_sigma"]``
    or ``info["virial_sigma"]``, with the same meaning and unit.
    """

    energy: float
    forces: float
    virial: float
    config: dict = field(default_factory=dict)

    def __post_init__(self):
        for kind in KINDS:
            require_positive(f"sigma_{kind}", getattr(self, kind))
        for name, sigmas in self.config.items():
            for kind, sigma in sigmas.items():
                if kind not in KINDS:
                    raise ValueError(f"config_sigmas[{name!r}]: unknown kind {kind!r}, known are {KINDS}.")
                require_positive(f"config_sigmas[{name!r}][{kind!r}]", sigma)

    @classmethod
    def from_weights(cls, weights):
        """Noise whose posterior mean minimises a weighted loss.

        Parameters
        ----------
        weights : tuple of three floats
            (w_E, w_F, w_S) of the loss sum w_E (dE)^2 / N + w_F |dF|^2
            + w_S |V dS|^2 / N + |w|^2, with totals dE in eV, dF in eV/Å and
            V dS in eV: sigma = w^-1/2.
        """
        if len(weights) != 3:
            raise ValueError(f"loss_weights: three numbers > 0 (w_E, w_F, w_S) are needed, got {weights!r}.")
        for weight in weights:
            require_positive("loss_weights", weight)
        return cls(*(float(w) ** -0.5 for w in weights))

    def of(self, kind, atoms):
        """Group name and scale of one frame's rows: their noise is sigmas()[name] * scale."""
        config = atoms.info.get("config_type")
        own = kind in self.config.get(config, {})
        name = f"{kind}:{config}" if own else kind
        scale = 1.0 if kind == "forces" else np.sqrt(len(atoms))
        if _FRAME_KEYS[kind] in atoms.info:
            sigma = float(atoms.info[_FRAME_KEYS[kind]])
            require_positive(f"info[{_FRAME_KEYS[kind]!r}]", sigma)
            scale *= sigma / self.sigma(name)
        return name, float(scale)

    def sigma(self, name):
        """Sigma of a group."""
        kind, config = kind_of(name), name.partition(":")[2]
        return self.config[config][kind] if config else getattr(self, kind)


def kind_of(name):
    """Kind of label of a noise group: "forces" of "forces" and of "forces:surface"."""
    return name.partition(":")[0]
