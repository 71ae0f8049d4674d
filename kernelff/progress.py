"""Progress bars with the time left, for everything long."""

from contextlib import contextmanager

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
    progress : bool or callable
        True opens a bar on the terminal for the duration of the context.
    title : str
    unit : str
        What is counted.
    """
    if progress is not True:
        yield (lambda done, total, note="": progress(done, total)) if progress else None
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
