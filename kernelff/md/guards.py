"""Why a run stopped, and what to do about it."""

from ase import units


class MDStopped(RuntimeError):
    """A guard rail stopped the run; `reason`, `atoms` (indices) and `step` say where, `what` without files kept.

    `observables` (name -> ObservableResult) are those of the run so far.
    """

    def __init__(self, message, reason, atoms, step):
        super().__init__(message)
        self.reason, self.atoms, self.step, self.what, self.observables = reason, atoms, step, message, {}


def explained(stopped, atoms, step, settings, volume, watch=None):
    """The MDStopped for what the loop reported.

    Parameters
    ----------
    stopped : Stopped
    atoms : ase.Atoms
    step : int
        Steps done before.
    settings : MDSettings
    volume : float
        Å^3, at the start.
    watch : Watch, optional

    Returns
    -------
    MDStopped
    """
    a, b = stopped.culprits
    names = [f"atom {k} ({atoms.symbols[k]})" if k < len(atoms) else "" for k in (a, b)]
    when = "at the start" if step == 0 else f"after step {step}"
    smaller = f"Relax the structure first, or take a smaller timestep than {settings.timestep:g} fs"
    cell = "; with a cell that moves, look at pressure and barostat_time, too" if settings.moves_cell else ""
    text, culprits = {
        "finite": (f"the force on {names[0]}, or its velocity, is not finite. {smaller}", (a,)),
        "force": (
            f"the force on {names[0]} is {stopped.worst:.3g} eV/Å, above max_force = {settings.max_force:g}. "
            f"{smaller}, "
            "or raise max_force",
            (a,),
        ),
        "step": (
            f"{names[0]} would move {stopped.worst:.3g} Å in one step, more than max_step = {settings.max_step:g}. "
            f"{smaller}, lower the temperature, or raise max_step{cell}",
            (a,),
        ),
        "close": (
            f"{names[0]} and {names[1]} are {stopped.worst:.3g} Å apart (periodic images included), less than "
            f"min_distance = {settings.min_distance:g}. Move or remove one of them, or check the cell",
            (a, b),
        ),
        "volume": (
            f"the volume went from {volume:.1f} to {stopped.worst:.1f} Å^3, by more than a factor of max_volume_change "
            f"= {settings.max_volume_change:g}. Check pressure ({settings.pressure[0]:g} GPa) and potential, take a "
            "longer barostat_time, or raise max_volume_change",
            (),
        ),
        "shape": (
            f"the height of the cell along vector {a} is {stopped.worst:.3g} times that at the start, beyond a factor "
            f"of max_volume_change = {settings.max_volume_change:g}. Take cell='isotropic' for a liquid or a gas",
            (),
        ),
        "uncertain": (_told_uncertainty(stopped, names[0], settings, watch), (a,)),
        "crowded": (
            "there are too many atoms and images for one neighbour list. Take a larger or smaller cell, or less skin",
            (),
        ),
    }[stopped.reason]
    return MDStopped(f"The run stopped {when}: {text}.", stopped.reason, culprits, step)


def _told_uncertainty(stopped, name, settings, watch):
    if stopped.reason != "uncertain":
        return ""
    limit, unit = settings.max_uncertainty or float("inf"), " eV" if watch.kind == "std" else ""
    return (
        f"{watch.words} of {name} is {watch.told(stopped.worst):.3g}{unit}, above max_uncertainty = "
        f"{limit:g}{unit}. Label this frame and fit again, lower the temperature, or raise max_uncertainty"
    )


def temperature_limit(settings, freedom, start):
    """The temperature beyond which a run has lost its way, K.

    Parameters
    ----------
    settings : MDSettings
    freedom : float
        Degrees of freedom; few of them fluctuate widely.
    start : float
        Temperature at the start, K.

    Returns
    -------
    float
        `max_temperature`, or ten times the highest temperature asked for or at the start, 1000 K at least.
    """
    if settings.max_temperature is not None:
        return settings.max_temperature
    return 10.0 * (1.0 + 20.0 / max(freedom, 1.0)) * max(*(settings.temperature or (0.0,)), start, 1000.0)


def too_hot(row, limit, settings):
    """The MDStopped for a row of the thermo table beyond the limit, or None."""
    if row["temperature_K"] <= limit:
        return None
    given = "max_temperature" if settings.max_temperature is not None else "the default of max_temperature,"
    return MDStopped(
        f"The run stopped after step {row['step']}: the atoms have {row['temperature_K']:.4g} K, more than {given} "
        f"{limit:.4g}. They gain energy from forces that are wrong far from the training data, from a timestep "
        f"({settings.timestep:g} fs) that is too large, or from a start that was not relaxed. Mend that, or raise "
        "max_temperature.", "temperature", (), row["step"],
    )  # fmt: skip


def pressure_of(system, volume):
    """Pressure in GPa, kinetic part included."""
    return float((system.kinetic.trace() + system.virial.trace()) / (3.0 * volume) / units.GPa)
