"""Progress bars with the time left, for everything long."""

from contextlib import contextmanager

import numpy as np
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextmanager
def as_callback(progress, title, unit="rows"):
    """Turn a fit's `progress` argument into a callable (done, total, note=""), or None; a bar shows the note.

    Parameters
    ----------
    progress : bool, callable or None
        True opens a bar on the terminal for the duration of the context.
    title : str
    unit : str
        What is counted.

    Raises
    ------
    ValueError
        For anything else.
    """
    if not (callable(progress) or progress is None or isinstance(progress, (bool, np.bool_))):
        raise ValueError(f"progress: must be True, False or a function (done, total), got {progress!r}.")
    if callable(progress) or not progress:
        yield (lambda done, total, note="": progress(done, total)) if callable(progress) else None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total, note="": bar.update(
            task, completed=done, total=total, description=f"{title}, {note}" if note else title
        )
