"""One thread for BLAS (linear algebra) and OpenCV, and in nodes for OpenMP too, which torch computes with.

Matrices and pictures of faces are small, so that several threads mostly wait for each other. Elsewhere than in nodes
torch keeps its threads, which training needs; what looks at single faces with it asks for one.
"""

import os
import sys

_OURS = ("OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
"""What OpenBLAS, which numpy, scipy and OpenCV bring, and OpenCV read when they are loaded."""
_ALL = (*_OURS, "OMP_NUM_THREADS", "GOTO_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
"""These, and what OpenMP, old OpenBLAS, MKL and BLIS read; most of them would limit torch too."""


def limit_threads(*, openmp: bool = False) -> None:
    """Keep BLAS and OpenCV, and OpenMP where asked for, to one thread in this process and its children.

    What is loaded already is limited as well as what is loaded later; of OpenMP what this thread does.
    """
    os.environ.update(dict.fromkeys(_ALL if openmp else _OURS, "1"))
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(1, user_api=None if openmp else "blas")
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)


def limit_threads_unless_chosen(*, openmp: bool = False) -> None:
    """The same, unless the user has set an environment variable to another number of threads."""
    if all(os.environ.get(variable, "1") in ("", "1") for variable in _ALL):
        limit_threads(openmp=openmp)
