"""One thread for BLAS (linear algebra).

The matrices here are small, so that several threads mostly wait for each other. Torch has threads of its own, which
training needs, and keeps them.
"""

import os
import sys

# What OpenMP, OpenBLAS (new and old), MKL and BLIS read.
_CHOICES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


def limit_algebra() -> None:
    """Keep BLAS to one thread in this process and its children, whether or not numpy is loaded already."""
    # OpenBLAS, which numpy, scipy and OpenCV bring, reads this when it is loaded. The other variables of `_CHOICES`
    # would limit torch too.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(1, user_api="blas")


def limit_algebra_unless_chosen() -> None:
    """Keep BLAS to one thread, unless the user has set an environment variable for its number of threads."""
    if not any(os.environ.get(variable) for variable in _CHOICES):
        limit_algebra()
