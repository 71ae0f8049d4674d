"""The command `kernelff`."""

from kernelff.cli.app import app

__all__ = ["app"]
