"""What the energies of strained frames say about the stresses, as findings."""

from __future__ import annotations

from kernelff.io.stress_check import StressCheck, check_stress

SURE_PAIRS = 12


def compare(data):
    """The stresses against the energies of strained frames.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    StressCheck or None
        None where no frame carries a stress.
    """
    carriers = data.labelled("energy", "stress")
    if not carriers:
        return None
    part = data.part(carriers)
    return check_stress(part.frames, found=part.labels, refuse=False)


def findings_of(check: StressCheck | None, data):
    """The comparison as findings; none where stresses agree with the energies, or nothing can be said.

    Parameters
    ----------
    check : StressCheck or None
    data : DataSet

    Returns
    -------
    list of Finding
    """
    if check is None or check.verdict == "unknown":
        return []
    carriers = data.labelled("stress")
    message, _, remedy = check.message.partition("; ")
    if check.wrong:
        return [data.finding("error", "stress", message, remedy, carriers)]
    if check.verdict == "unclear" and check.n_pairs >= SURE_PAIRS:
        remedy = remedy or "check them, or leave stresses out with use_stress=False (--no-stress)"
        return [data.finding("warning", "stress", message, remedy, carriers)]
    if check.notable_offset:
        return [data.finding(
            "warning", "stress offset",
            f"the stress labels carry a constant pressure-like offset of {check.offset:+.2f} GPa against the energies "
            f"({check.n_pairs} pairs of strained frames)",
            "nothing to do with [model] stress_offset = true (the default), which learns it; a larger plane-wave basis "
            "removes it", carriers,
        )]  # fmt: skip
    return []
