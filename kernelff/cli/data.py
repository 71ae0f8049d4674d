"""Frames for the commands: read, summarised, checked."""

from kernelff.cli.console import console
from kernelff.cli.tables import text_table
from kernelff.io import describe, read_raw_frames, with_labels


def load_frames(path, keys, title, require_labels=True):
    """Read a file, show what it holds, and bring its labels to one convention.

    Parameters
    ----------
    path : path-like
    keys : LabelKeys
    title : str
        Heading of the table.
    require_labels : bool
        Refuse frames without labels.

    Returns
    -------
    list of ase.Atoms

    Raises
    ------
    ValueError
        For frames that cannot be used, or stresses that contradict the energies.
    """
    raw = read_raw_frames(path)
    labelled = with_labels(raw, keys, what=str(path))
    summary = describe(raw, str(path), keys=keys, require_labels=require_labels)
    console.print(text_table(summary.rows(), f"{title}: {path}"))
    if summary.stress_check is not None and summary.stress_check.wrong:
        raise ValueError(f"{path}: {summary.stress_check.message}")
    return labelled
