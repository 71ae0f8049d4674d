"""Frames for the commands: read, summarised, checked."""

from kernelff.cli.console import console
from kernelff.cli.tables import findings_table, text_table
from kernelff.doctor import diagnose
from kernelff.io import describe, read_raw_frames, with_labels
from kernelff.io.finding import refuse
from kernelff.progress import as_callback

TYPES_HELP = "Elements of the types 0, 1, .. of MLIP's .mtp and .cfg files, as in Mo or Nb,Mo."


def load_frames(path, keys, title, require_labels=True, trust=False, e0=None):
    """Read a file, show what it holds, and bring its labels to one convention.

    Parameters
    ----------
    path : path-like
    keys : LabelKeys
    title : str
        Heading of the table.
    require_labels : bool
        Refuse frames without labels, and consult the doctor.
    trust : bool
        Do not ask a crude model of the data whether the labels go together.
    e0 : dict, optional
        See `diagnose`.

    Returns
    -------
    list of ase.Atoms

    Raises
    ------
    ValueError
        For frames that cannot be used, or labels that contradict each other.
    """
    raw = read_raw_frames(path, species=keys.species)
    if require_labels:
        diagnosis = examine(raw, keys, f"{title}: {path}", model=not trust, e0=e0)
        refuse(diagnosis.findings, str(path))
        return with_labels(raw, keys, what=str(path))
    labelled = with_labels(raw, keys, what=str(path))
    summary = describe(raw, str(path), keys=keys, require_labels=False)
    show(summary, summary.findings, f"{title}: {path}")
    return labelled


def examine(frames, keys, title, *, test=None, e0=None, model=True, quiet=False):
    """Consult the doctor under a progress bar, and show what the frames hold and what was found.

    Parameters
    ----------
    frames : list of ase.Atoms
        As they stand in the file.
    keys : LabelKeys or None
    title : str
        Heading of the table.
    test : list of ase.Atoms, optional
    e0, model
        See `diagnose`.
    quiet : bool
        Show nothing.

    Returns
    -------
    Diagnosis
    """
    with as_callback(not quiet and console.is_terminal, "examining", unit="frames") as callback:
        diagnosis = diagnose(frames, keys, test=test, e0=e0, model=model, progress=callback)
    if not quiet:
        show(diagnosis.summary, diagnosis.findings, title)
    return diagnosis


def show(summary, findings, title):
    """Print what a data set holds and what was found in it.

    Parameters
    ----------
    summary : DataSummary or None
    findings : sequence of Finding
    title : str
    """
    if summary is not None:
        console.print(text_table(summary.rows(), title))
    if findings:
        console.print()
        console.print(findings_table(findings))
