"""Meshes of one topology as components: what each adds to the neutral one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.regular_file import require_regular
from face3dmm_ros.files.wavefront import MOST_OBJ_BYTES, ObjMesh, read_obj, read_obj_vertices
from face3dmm_ros.morphable_model.model import MOST_TRIANGLES, MOST_VERTICES

_MOST_MESHES, _MOST_FOLDER_BYTES = 1_000, 1_000_000_000
"""Of a folder, by hand: ICT-FaceKit's has 160 of 2.6 MB."""


def read_neutral(path: Path, others: Sequence[Path]) -> ObjMesh:
    """The mesh that others are compared with; how large these are is judged first.

    Raises:
        Face3DMMError: it is no readable mesh, or some other is no file; or they are too many or too large together.
    """
    if len(others) > _MOST_MESHES:
        raise Face3DMMError(f"{path.parent} has {len(others)} meshes; up to {_MOST_MESHES} are read")
    for file in (path, *others):
        require_regular(file, MOST_OBJ_BYTES)
    size = sum(file.stat().st_size for file in (path, *others))
    if size > _MOST_FOLDER_BYTES:
        raise Face3DMMError(f"the meshes of {path.parent} have {size} bytes; up to {_MOST_FOLDER_BYTES} are read")
    return read_obj(path, MOST_VERTICES, MOST_TRIANGLES)


def columns(neutral: NDArray[np.float64], groups: Sequence[Sequence[Path]]) -> NDArray[np.float32]:
    """(3N, C): per group the sum of what its meshes add to the neutral one, (N, 3).

    Raises:
        Face3DMMError: a mesh cannot be read, or has another number of vertices.
    """
    basis = np.zeros((3 * len(neutral), len(groups)), np.float32)
    # Differences of numbers without an end are none, which the model refuses.
    with np.errstate(over="ignore", invalid="ignore"):
        for column, paths in enumerate(groups):
            for path in paths:
                basis[:, column] += _delta(neutral, path).ravel().astype(np.float32)
    return basis


def _delta(neutral: NDArray[np.float64], path: Path) -> NDArray[np.float64]:
    vertices = read_obj_vertices(path, MOST_VERTICES)
    if len(vertices) != len(neutral):
        raise Face3DMMError(
            f"{path} has {len(vertices)} vertices, the neutral mesh beside it {len(neutral)}: blendshapes must have "
            "the same mesh; export them without merging or splitting vertices"
        )
    return vertices - neutral
