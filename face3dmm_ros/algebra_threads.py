"""How many threads a process's linear algebra has: a matter of its environment, until it imports numpy."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


def single_threaded_algebra(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables, where the user has not set them, that keep a process's linear algebra to one core."""
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {variable: "1" for variable in variables if variable not in environment}


@contextmanager
def single_threaded_workers() -> Iterator[None]:
    """In this block, processes that are spawned keep their linear algebra to one core each.

    Otherwise each would use all cores, and they would mostly wait for each other.
    """
    variables = single_threaded_algebra(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for variable in variables:
            os.environ.pop(variable, None)
