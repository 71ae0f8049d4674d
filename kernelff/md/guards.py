"""Why a run stopped, and what to do about it."""

from ase import units


class MDStopped(RuntimeError):
    """A guard rail stopped the run; `reason`, `atoms` (indices) and `step` say where."""

    def __init__(self, message, reason, atoms, step):
        super().__init__(message)
        self.reason, self.atoms, self.step = reason, atoms, step


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
    text, culprits = {
        "finite": (f"the force on {names[0]} is not finite. {smaller}", (a,)),
        "force": (
            f"the force on {names[0]} is {stopped.worst:.3g} eV/Å, above max_force = {settings.max_force:g}. "
            f"{smaller}, "
            "or raise max_force",
            (a,),
        ),
        "step": (
            f"{names[0]} would move {stopped.worst:.3g} Å in one step, more than max_step = {settings.max_step:g}. "
            f"{smaller}, lower the temperature, or raise max_step",
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
        "crowded": ("there are too many atoms and images for one neighbour list. Take a larger or smaller cell", ()),
    }[stopped.reason]
    return MDStopped(f"The run stopped {when}: {text}.", stopped.reason, culprits, step)


def _told_uncertainty(stopped, name, settings, watch):
    if stopped.reason != "uncertain":
        return ""
    limit, unit = settings.max_uncertainty or float("inf"), " eV" if watch.kind == "std" else ""
    return (
        f"{watch.name} of {name} is {watch.told(stopped.worst):.3g}{unit}, above max_uncertainty = "
        f"{limit:g}. Label this frame and fit again, lower the temperature, or raise max_uncertainty"
    )


def pressure_of(system, volume):
    """Pressure in GPa, kinetic part included."""
    return float((system.kinetic.trace() + system.virial.trace()) / (3.0 * volume) / units.GPa)
