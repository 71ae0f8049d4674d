"""The terminal: one console, and errors as one clear message."""

import functools
import warnings
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

_USER_ERRORS = (ValueError, OSError, RuntimeError, MemoryError, ImportError)


def guarded(command):
    """Decorator of commands: errors end in one red message and exit code 1, unless --debug is given.

    Parameters
    ----------
    command : callable
        Takes the keyword ``context``, a `typer.Context`.

    Returns
    -------
    callable
        With the same signature.
    """

    @functools.wraps(command)
    def wrapped(*args, **kwargs):
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return command(*args, **kwargs)
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except KeyboardInterrupt:
            fail("stopped", code=130)
        except Exception as error:
            if kwargs["context"].find_root().params.get("debug"):
                raise
            fail(_message(error))

    return wrapped


def fail(message, code=1):
    """Print an error and leave.

    Parameters
    ----------
    message : str
    code : int
        Exit code.
    """
    errors.print(f"[bold red]Error:[/] {escape(message)}")
    raise typer.Exit(code)


def note(message):
    """Print something the user should know, that is no error."""
    console.print(f"[yellow]Note:[/] {escape(message)}")


def check_writable(path):
    """Refuse an output path before hours are spent on its content.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    ValueError
        If the folder does not exist, or the path is a folder or a device.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is a device or a pipe; give the name of a file")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist; make it first")


def _message(error):
    if isinstance(error, MemoryError):
        return "not enough memory; fewer sparse points (--n-sparse) or a lower level (--level) need less"
    if isinstance(error, _USER_ERRORS) and str(error):
        return str(error)
    name = type(error).__name__
    return f"{name}: {error}. This looks like a fault of kernelff; kernelff --debug ... shows where."


def _show_warning(message, category, filename, lineno, file=None, line=None):
    note(str(message))
