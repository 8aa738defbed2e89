"""How many threads linear algebra (BLAS) has: one.

The matrices here are small: several threads mostly wait for each other, on a busy machine nearly all the time. This is
about BLAS alone. Torch has threads of its own, which a training needs.
"""

import os
import sys

_CHOICES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


def limit_algebra() -> None:
    """Keep BLAS to one thread in this process and those that it starts, whether or not numpy is loaded already."""
    # What is loaded later, and other processes: OpenBLAS, which numpy, scipy and OpenCV bring, reads this. The others'
    # variables would limit torch too.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(1, user_api="blas")


def limit_algebra_unless_chosen() -> None:
    """The same, unless the user has set one of the variables that tell a BLAS how many threads to use."""
    if not any(os.environ.get(variable) for variable in _CHOICES):
        limit_algebra()
