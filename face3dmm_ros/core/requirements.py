"""What the library runs on, and a check that the running Python has it, for commands that no pip has installed."""

import sys
from collections.abc import Mapping
from importlib.util import find_spec

MODULES = {
    "ai-edge-litert": "ai_edge_litert",
    "h5py": "h5py",
    "matplotlib": "matplotlib",
    "numba": "numba",
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "PyOpenGL": "OpenGL",
    "python-osc": "pythonosc",
    "PyYAML": "yaml",
    "rosbags": "rosbags",
    "scipy": "scipy",
    "threadpoolctl": "threadpoolctl",
    "tqdm": "tqdm",
}
"""What pip calls it → its module: the `install_requires` of setup.cfg."""


_DISPENSABLE = {"ai-edge-litert", "PyOpenGL"}
"""What the backend `trees` and the package's own drawing do without; who needs them says so where they are missing."""


def require_modules(modules: Mapping[str, str] = MODULES) -> None:
    """Check that all modules are there, but those that some uses do without; none is imported.

    Raises:
        SystemExit: some are not; the message names them, and what to do.
    """
    missing = {package: module for package, module in modules.items() if find_spec(module) is None}
    if missing.keys() - _DISPENSABLE:
        sys.exit(
            f"face3dmm_ros: {sys.executable} has no {', '.join(missing.values())}. Where a virtual environment has "
            "them, activate it and build again (rm -r build/face3dmm_ros; colcon build); else: "
            f"{sys.executable} -m pip install {' '.join(missing)}"
        )
