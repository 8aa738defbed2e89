"""Where the points of our skin lie on ICT-FaceKit's head: so that what is measured on that one can be told of ours.

It is moved onto ours by its 68 landmarks and bent toward our skin (`face3dmm_ros.correspondence.registration`).
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.rotations import nearest_rotation
from face3dmm_ros.correspondence.registration import KnownPairs, Registration, Similarity
from face3dmm_ros.correspondence.registration import register as bend
from face3dmm_ros.correspondence.surface import Surface
from face3dmm_ros.morphable_model import SurfacePoints

INNER = slice(17, 68)
"""iBUG's points without the jaw's, which every author puts elsewhere."""

_ARRAYS, _INDICES = "ict_facekit.npz", "vertex_indices.json"
ICT_FOLDER = f"folder of {_ARRAYS} and {_INDICES}"
"""What `ict_folder` takes, for a program's help."""

# Smoothing of the spline at the landmarks; chosen by hand.
_LOOSE_LANDMARKS = 0.05
# ICT-FaceKit's first vertices, of skin and the mouth's inside; eye sockets, gums, teeth, eyes and lashes follow.
_ICT_SKIN = 13294


@dataclass(frozen=True, eq=False)
class IctHead:
    """ICT-FaceKit (Li et al., Learning Formation of Physically-Based Face Attributes, CVPR 2020; MIT), as arrays.

    Attributes:
        neutral: (V, 3) cm.
        shapes: displacements (V, 3), cm, by the name of the blendshape, ARKit's but where ICT tells more by side.
        identities: (K, V, 3) float32, cm: displacements by coefficients that are standard normal over people.
        triangles: (M, 3) of the skin.
        landmarks: (68,) vertices, iBUG's points.
    """

    neutral: NDArray[np.float64]
    shapes: dict[str, NDArray[np.float64]]
    identities: NDArray[np.float32]
    triangles: NDArray[np.int64]
    landmarks: NDArray[np.int64]

    @staticmethod
    def load(folder: Path) -> "IctHead":
        """Read ``ict_facekit.npz`` and ``vertex_indices.json``."""
        arrays = np.load(folder / _ARRAYS, allow_pickle=False)
        quads = arrays["quads"].astype(np.int64)
        triangles = np.concatenate([quads[:, :3], quads[quads[:, 3] >= 0][:, [0, 2, 3]]])
        landmarks = json.loads((folder / _INDICES).read_text())["idx_to_landmark_verts"]
        names = [str(name).replace("_L", "Left").replace("_R", "Right") for name in arrays["expression_names"]]
        return IctHead(
            arrays["neutral"].astype(np.float64),
            dict(zip(names, arrays["expressions"].astype(np.float64), strict=True)),
            arrays["identities"].astype(np.float32),
            triangles[(triangles < _ICT_SKIN).all(axis=1)],
            np.array(landmarks),
        )

    def displacement(self, name: str) -> NDArray[np.float64]:
        """(V, 3) cm, of an ARKit blendshape; what ICT tells by side and ARKit does not is the sum of both."""
        return self.shapes[name] if name in self.shapes else self.shapes[name + "Left"] + self.shapes[name + "Right"]


def ict_folder(path: str) -> Path:
    """A program's argument that is a folder with both of ICT-FaceKit's files."""
    folder = Path(path)
    if missing := [name for name in (_ARRAYS, _INDICES) if not (folder / name).is_file()]:
        raise argparse.ArgumentTypeError(f"{folder} has no {' and no '.join(missing)}; expected a {ICT_FOLDER}")
    return folder


def register(
    other: IctHead,
    mean: NDArray[np.float64],
    triangles: NDArray[np.integer],
    on_skin: NDArray[np.bool_],
    landmarks: SurfacePoints,
) -> Registration:
    """Register ICT's neutral with our mean (N, 3), mm, of which some vertices (N,) are skin, and its 68 landmarks."""
    ours = landmarks.interpolate(mean)
    theirs = other.neutral[other.landmarks]
    scale = float(np.linalg.norm(ours[36] - ours[45]) / np.linalg.norm(theirs[36] - theirs[45]))
    ours_inner, theirs_inner = (points[INNER] - points[INNER].mean(axis=0) for points in (ours, theirs))
    rotation = nearest_rotation(ours_inner.T @ theirs_inner)
    moved = scale * other.neutral @ rotation.T
    shift = (ours[INNER] - moved[other.landmarks][INNER]).mean(axis=0)
    inner = (moved + shift)[other.landmarks[INNER]]
    return bend(
        Surface(other.neutral, other.triangles),
        Similarity(scale, rotation, shift),
        Surface(mean, triangles),
        on_skin,
        KnownPairs(inner, ours[INNER].astype(np.float64), np.full(len(inner), _LOOSE_LANDMARKS)),
    )
