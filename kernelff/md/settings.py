"""Settings of a molecular dynamics, checked, and the stages of a time step that follow from them."""

from dataclasses import asdict, dataclass
from numbers import Integral, Real

import numpy as np
from ase import units

from kernelff.checks import require_positive, require_whole
from kernelff.single_precision import PRECISIONS

THERMOSTATS = ("langevin", "bussi", "nose-hoover")
CELLS = ("isotropic", "anisotropic", "flexible")
FORCES, KICK, DRIFT, NOISE, RESCALE, CHAIN, CELL_KICK, CELL_NOISE, CELL_CHAIN = range(9)  # ext/md.h

_UNCERTAINTY = ("uncertainty", "uncertainty_every", "max_uncertainty")
GUARDS = ("max_force", "max_step", "min_distance", "max_volume_change", "max_temperature", "max_uncertainty")
_TIMES = 1e-9, 1e12  # fs
_STEPS_PER_TIME = 4  # of a Nose-Hoover chain or a cell, at least

_MIDDLE = {
    "langevin": [(DRIFT, 0.5), (NOISE, 1.0), (DRIFT, 0.5), (FORCES, 1.0)],
    "other": [(DRIFT, 1.0), (FORCES, 1.0)],
}


@dataclass(frozen=True)
class MDSettings:
    """How the atoms move; see `run` for what the names mean."""

    ensemble: str = "nve"
    temperature: tuple | None = None
    pressure: tuple = (0.0, 0.0)
    timestep: float = 1.0
    thermostat: str | None = None
    thermostat_time: float = 100.0
    cell: str | None = None
    barostat_time: float = 1000.0
    seed: int = 0
    skin: float = 0.5
    max_force: float = 1000.0
    max_step: float = 0.5
    min_distance: float = 0.3
    max_volume_change: float = 3.0
    precision: str = "double"
    uncertainty: str | None = None
    uncertainty_every: int = 10
    max_uncertainty: float | None = None
    max_temperature: float | None = None

    @classmethod
    def checked(cls, ensemble, temperature=None, pressure=None, thermostat=None, cell=None, **others):
        """Settings from the arguments of `run`.

        Raises
        ------
        ValueError
            For values and combinations that mean nothing, by name.
        """
        if ensemble in THERMOSTATS:
            if thermostat not in (None, ensemble):
                raise ValueError(f"thermostat: ensemble {ensemble!r} and thermostat {thermostat!r} disagree; give one.")
            ensemble, thermostat = "nvt", ensemble
        _require_one_of("ensemble", ensemble, ("nve", "nvt", "nph", "npt", *THERMOSTATS))
        warm, moving = ensemble in ("nvt", "npt"), ensemble in ("nph", "npt")
        if warm:
            thermostat = "langevin" if thermostat is None else thermostat
            _require_one_of("thermostat", thermostat, THERMOSTATS)
        elif thermostat is not None:
            raise ValueError(f"thermostat: ensemble {ensemble!r} has none; use 'nvt' or 'npt', or leave it out.")
        if moving:
            cell = "isotropic" if cell is None else cell
            _require_one_of("cell", cell, CELLS)
        elif cell is not None or pressure is not None:
            name = "cell" if cell is not None else "pressure"
            raise ValueError(
                f"{name}: the cell is fixed with ensemble {ensemble!r}; use 'npt' or 'nph', or leave it out."
            )
        if (warm or moving) and temperature is None:
            raise ValueError(f"temperature: ensemble {ensemble!r} needs one, in K.")
        if temperature is not None:
            temperature = _ends("temperature", temperature)
            if min(temperature) < 0 or ((warm or moving) and min(temperature) == 0):
                raise ValueError(f"temperature: must be > 0 K, got {temperature}.")
            if not warm and temperature[0] != temperature[1]:
                raise ValueError(
                    f"temperature: a ramp needs a thermostat; ensemble {ensemble!r} takes the start alone."
                )
        others |= _checked_uncertainty(**{name: others[name] for name in _UNCERTAINTY if name in others})
        settings = cls(
            ensemble, temperature, _ends("pressure", 0.0 if pressure is None else pressure), thermostat=thermostat,
            cell=cell, **others,
        )  # fmt: skip
        _require_one_of("precision", settings.precision, PRECISIONS)
        settings._check_numbers()
        if settings.ramps and settings.moves_cell and min(settings.temperature) <= 0:
            raise ValueError(f"temperature: must be > 0 K, got {settings.temperature}.")
        return settings

    def _check_numbers(self):
        positive = ("timestep", "thermostat_time", "barostat_time", "skin", "max_force", "max_step")
        for name in (*positive, *(["max_temperature"] if self.max_temperature is not None else [])):
            require_positive(name, getattr(self, name))
        if not isinstance(self.min_distance, Real) or not 0 <= self.min_distance < np.inf:
            raise ValueError(f"min_distance: must be a number >= 0 Å, got {self.min_distance!r}.")
        if not isinstance(self.max_volume_change, Real) or not self.max_volume_change > 1:
            raise ValueError(f"max_volume_change: must be a number > 1, got {self.max_volume_change!r}.")
        if not isinstance(self.seed, Integral) or isinstance(self.seed, bool) or not 0 <= self.seed < 2**63:
            raise ValueError(f"seed: must be a whole number >= 0, got {self.seed!r}.")
        self._check_times()

    def _check_times(self):
        """Refuse times whose squares leave the range of numbers, and chains and cells that a step cannot follow."""
        least = {"timestep": 0.0, "thermostat_time": 0.0, "barostat_time": 0.0}
        if self.thermostat == "nose-hoover":
            least["thermostat_time"] = _STEPS_PER_TIME * self.timestep
        if self.moves_cell:
            least["barostat_time"] = _STEPS_PER_TIME * self.timestep
        for name, bound in least.items():
            value = getattr(self, name)
            if not max(bound, _TIMES[0]) <= value <= _TIMES[1]:
                raise ValueError(
                    f"{name}: must lie between {max(bound, _TIMES[0]):g} and {_TIMES[1]:g} fs, got {value:g}. "
                    f"Usual is {getattr(MDSettings, name):g}."
                )

    @property
    def ramps(self):
        """Whether temperature or pressure change during the run."""
        return any(ends is not None and ends[0] != ends[1] for ends in (self.temperature, self.pressure))

    @property
    def moves_cell(self):
        return self.cell is not None

    @property
    def keeps_momentum(self):
        """Whether the total momentum of atoms that are all free stays what it is."""
        return self.thermostat != "langevin"

    def stages(self):
        """(kind, part of the time step) of every stage of a step, symmetric in time around the forces."""
        before = [(KICK, 0.5)]
        if self.moves_cell:
            before = [(CELL_KICK, 0.5), *before]
        if self.thermostat == "nose-hoover":
            chains = [(CHAIN, 0.5)] + ([(CELL_CHAIN, 0.5)] if self.moves_cell else [])
            before = [*chains, *before]
        middle = list(_MIDDLE["langevin" if self.thermostat == "langevin" else "other"])
        if self.thermostat == "langevin" and self.moves_cell:
            middle.insert(2, (CELL_NOISE, 1.0))
        after = before[::-1]
        if self.thermostat == "bussi":
            after = [*after, (RESCALE, 1.0)] + ([(CELL_NOISE, 1.0)] if self.moves_cell else [])
        return [*before, *middle, *after]

    def numbers(self, freedom, steps):
        """Numbers of md_system in ASE's units, for so many degrees of freedom and steps."""
        kt = [units.kB * t for t in self.temperature or (0.0, 0.0)]
        cell_time = self.barostat_time * units.fs
        return {
            "skin": self.skin, "timestep": self.timestep * units.fs, "kt": kt,
            "pressure": [p * units.GPa for p in self.pressure], "n_ramp": steps if self.ramps else 0,
            "freedom": freedom, "friction": 1.0 / (self.thermostat_time * units.fs),
            "relaxation": self.thermostat_time * units.fs, "seed": int(self.seed),
            "motion": CELLS.index(self.cell) + 1 if self.moves_cell else 0,
            "cell_mass": (freedom + 3.0) * kt[0] * cell_time**2 / 3.0, "cell_friction": 1.0 / cell_time,
            "cell_relaxation": cell_time, "most_force": self.max_force, "most_step": self.max_step,
            "least_distance": self.min_distance,
            "most_change": self.max_volume_change,
        }  # fmt: skip

    def to_dict(self, guards=True):
        """All settings by name, JSON-able; without the guard rails if so wished."""
        known = {name: value for name, value in asdict(self).items() if guards or name not in GUARDS}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in known.items()}


def _ends(name, value):
    """(first, last) of a number or of a pair of them."""
    try:
        ends = np.atleast_1d(np.asarray(value, dtype=float))
    except (TypeError, ValueError):
        ends = np.zeros(0)
    if ends.shape not in ((1,), (2,)) or not np.isfinite(ends).all():
        raise ValueError(f"{name}: must be a number, or two of them for a ramp, got {value!r}.")
    return float(ends[0]), float(ends[-1])


def _checked_uncertainty(uncertainty=None, uncertainty_every=10, max_uncertainty=None):
    if uncertainty is None and max_uncertainty is not None:
        raise ValueError('max_uncertainty: of which kind? Give uncertainty="std", "novelty" or "grade" too.')
    if max_uncertainty is not None:
        require_positive("max_uncertainty", max_uncertainty)
        max_uncertainty = float(max_uncertainty)
    require_whole("uncertainty_every", uncertainty_every, 1)
    return dict(zip(_UNCERTAINTY, (uncertainty, int(uncertainty_every), max_uncertainty), strict=True))


def _require_one_of(name, value, allowed):
    if value not in allowed:
        raise ValueError(f"{name}: must be one of {', '.join(allowed)}, got {value!r}.")
