"""ICT-FaceKit's light model: a folder FaceXModel of OBJ files.

Li et al., Learning Formation of Physically-Based Face Attributes, CVPR 2020; MIT licence. The layout is that of its
README and of ``Scripts/face_model_io.py``: centimetres; generic_neutral_mesh.obj; expressions NAME.obj as
vertex_indices.json lists them, at weight 1; identity000.obj and on, at coefficient 1, normal with variance 1. Folders
with only some of the expressions and identities are read, too.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.landmark_schemes import IBUG68, SCHEME_SIZES
from face3dmm_ros.core.regular_file import read_regular
from face3dmm_ros.core.shape_names import in_arkits_names
from face3dmm_ros.morphable_model.formats.arkit_prior import arkit_prior
from face3dmm_ros.morphable_model.formats.contents import contents
from face3dmm_ros.morphable_model.formats.obj_deltas import columns, read_neutral
from face3dmm_ros.morphable_model.formats.source_head import Basis, SourceHead, in_our_convention
from face3dmm_ros.morphable_model.model import MorphableModel, SurfacePoints

NEUTRAL, INDICES = "generic_neutral_mesh.obj", "vertex_indices.json"
_MILLIMETRES = 10.0  # The layout is in cm.
_MOST_INDICES_BYTES = 2_000_000
"""By hand: the original has 164 kB."""

# Vertices of the full mesh, by the README's tables.
_VERTICES = 26_719
_REGIONS = {
    "face": slice(6_706),  # the narrow area
    "skin": slice(11_248),  # face, head and neck
    "mouth_interior": slice(11_248, 13_294),
    "teeth": slice(17_039, 21_451),
    "eyes": slice(21_451, 24_591),
}
_EYEBALLS = (slice(21_451, 23_021), slice(23_021, 24_591))
"""The left one, then the right one."""
_SOLID = 24_591
"""Vertices before those of tears, of eyes' shades and of lashes, which are transparent where they are shown."""


def load(path: Path) -> MorphableModel:
    """Read a folder.

    ICT's blendshapes have ARKit's names and the default model's prior; browInnerUp and cheekPuff, which ICT has for
    each side, move both. It has no colours, and its eyeballs keep still when the lids follow a look. Landmarks are the
    68 of vertex_indices.json.

    Raises:
        Face3DMMError: a file is missing, damaged or too large, or they do not fit together.
    """
    indices = _indices(path / INDICES)
    files = contents(path).names
    names = [name for name in _expressions(path / INDICES, indices) if f"{name}.obj" in files]
    identities = sorted(path / name for name in files if re.fullmatch(r"identity\d{3,4}\.obj", name))
    shapes = [path / f"{name}.obj" for name in names]
    mesh = read_neutral(path / NEUTRAL, [*shapes, *identities])
    expressions = in_arkits_names(names)
    prior = arkit_prior(tuple(expressions))
    full = len(mesh.vertices) == _VERTICES
    solid = (mesh.triangles < _SOLID).all(axis=1) | (not full)
    return in_our_convention(
        SourceHead(
            name="ict_facekit",
            unit=_MILLIMETRES,
            mean=mesh.vertices,
            triangles=mesh.triangles[solid],
            shape=Basis(columns(mesh.vertices, [[file] for file in identities]), np.ones(len(identities))),
            expression=Basis(
                columns(mesh.vertices, [[shapes[index] for index in each] for each in expressions.values()]),
                prior.sigma,
            ),
            expression_names=tuple(expressions),
            expression_bounds=prior.bounds,
            expression_correlation=prior.correlation,
            landmarks={IBUG68: _landmarks(path / INDICES, indices, len(mesh.vertices))},
            eyes=np.array([_middle(mesh.vertices[eye]) for eye in _EYEBALLS]) if full else None,
            regions={name: _mask(where) for name, where in _REGIONS.items()} if full else {},
        )
    )


def _indices(path: Path) -> dict[str, Any]:
    try:
        indices = json.loads(read_regular(path, _MOST_INDICES_BYTES))
    except Face3DMMError:
        raise
    # Damaged, or nested deeper than Python goes.
    except Exception as error:
        raise Face3DMMError(f"{path} is no readable JSON: {error or type(error).__name__}") from error
    if not isinstance(indices, dict):
        raise Face3DMMError(f"{path}: expected a JSON object, as ICT-FaceKit has it")
    return indices


def _expressions(path: Path, indices: dict[str, Any]) -> list[str]:
    names = indices.get("expressions")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise Face3DMMError(f"{path}: its 'expressions' must be names, each once, as ICT-FaceKit has them")
    return names


def _landmarks(path: Path, indices: dict[str, Any], count: int) -> SurfacePoints:
    found, size = indices.get("idx_to_landmark_verts"), SCHEME_SIZES[IBUG68]
    if not isinstance(found, list) or len(found) != size or not all(type(i) is int and 0 <= i < count for i in found):
        raise Face3DMMError(
            f"{path}: its 'idx_to_landmark_verts' must be {size} numbers of vertices from 0 to {count - 1}"
        )
    return SurfacePoints.at_vertices(found)


def _middle(vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the box around an eyeball."""
    return (vertices.min(axis=0) + vertices.max(axis=0)) / 2


def _mask(where: slice) -> NDArray[np.float32]:
    mask = np.zeros(_VERTICES, np.float32)
    mask[where] = 1.0
    return mask
