"""The compiled kernels and the loop of molecular dynamics from plain C, under sanitizers."""

import subprocess
from pathlib import Path


def test_c_without_python():
    """Address and undefined-behaviour sanitizers, all instruction sets of this machine."""
    done = subprocess.run([Path(__file__).parent / "c_driver" / "run"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ranges agree") >= 4 and done.stdout.count("pairs agree") >= 1
    assert done.stdout.count("rows of pairs agree") >= 1
    assert done.stdout.count("in single precision") >= 3 and done.stdout.count("ok: constant energy") >= 1
    assert done.stdout.count("ok: a limit on uncertainties") >= 1
