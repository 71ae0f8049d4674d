"""All commands, and the options they share."""

from typing import Annotated

import typer

from kernelff.cli.check import check
from kernelff.cli.console import console
from kernelff.cli.convert import convert
from kernelff.cli.evaluate import evaluate
from kernelff.cli.fit import fit
from kernelff.cli.info import info
from kernelff.cli.md import md
from kernelff.cli.properties import properties
from kernelff.cli.quickstart import quickstart
from kernelff.cli.tune import tune

app = typer.Typer(
    name="kernelff",
    help="Kernel-method force fields: fit DFT data, use the result through ASE, with error bars.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(wanted: bool):
    if wanted:
        from kernelff import __version__

        console.print(f"kernelff {__version__}", highlight=False)
        raise typer.Exit()


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
):
    """Kernel-method force fields: fit DFT data, use the result through ASE, with error bars."""


app.command()(quickstart)
app.command()(check)
app.command()(fit)
app.command()(tune)
app.command()(evaluate)
app.command()(properties)
app.command()(info)
app.command()(convert)
app.command()(md)
