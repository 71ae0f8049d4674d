"""Threads of the BLAS: one, wherever matrices are small or threads work on frames."""

from functools import lru_cache

from threadpoolctl import ThreadpoolController


def one_blas_thread():
    """Context, also a decorator, in which matrix products use one thread.

    Those of a single frame are so small that threads only wait for each other:
    64 atoms took 5 ms by one thread and 65 ms by two on a busy machine with
    two cores. In a fit the threads work on frames instead.
    """
    return _controller().limit(limits=1, user_api="blas")


@lru_cache(maxsize=1)
def _controller():
    """Looking for the loaded libraries takes a millisecond: once is enough."""
    return ThreadpoolController()
