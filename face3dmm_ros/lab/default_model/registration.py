"""Where the points of our skin lie on another head: so that what is measured on that one can be told of ours.

The other head is moved onto ours by its 68 landmarks and then bent, smoothly, toward the nearest points of our skin, in
passes that ask for ever more of them (a coarse-to-fine non-rigid ICP with biharmonic splines).
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from face3dmm_ros.core.rotations import nearest_rotation
from face3dmm_ros.lab.default_model.surface import nearest_on_surface
from face3dmm_ros.morphable_model import SurfacePoints

INNER = slice(17, 68)
"""iBUG's points without the jaw's, which every author puts elsewhere."""

_ARRAYS, _INDICES = "ict_facekit.npz", "vertex_indices.json"
ICT_FOLDER = f"folder of {_ARRAYS} and {_INDICES}"
"""What `ict_folder` takes, for a program's help."""

# How many of our skin's points pull, the spline's smoothing there, and from how far at most they pull, mm; pass by
# pass. Chosen by hand, as the smoothing at the landmarks is: looser passes keep the other's shape, tighter ones fold.
_PASSES = ((150, 2.0, 15.0), (400, 1.0, 10.0), (800, 0.5, 7.0), (1200, 0.3, 6.0), (1500, 0.2, 5.0))
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


@dataclass(frozen=True, eq=False)
class Registration:
    """Of another head with ours.

    Attributes:
        scale: mm per unit of the other, by the outer corners of the eyes.
        rotation: (3, 3) from the other's axes to ours.
        shift: (3,) mm, of the other's origin once scaled and turned.
        points: of the other's surface, one for each of our N vertices.
        trust: (N,) from 0 to 1, how well surface and normal agree there; 0 off the skin.
    """

    scale: float
    rotation: NDArray[np.float64]
    shift: NDArray[np.float64]
    points: SurfacePoints
    trust: NDArray[np.float64]


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
    moved += shift
    skin = np.flatnonzero(on_skin)
    normals = _normals(mean, triangles)
    face = skin[(mean[skin, 2] > -70) & (mean[skin, 1] > -115) & (mean[skin, 1] < 75)]
    source, target = moved[other.landmarks[INNER]], ours[INNER]
    looseness = np.full(len(source), _LOOSE_LANDMARKS)
    bent = moved + RBFInterpolator(source, target - source, kernel="linear", smoothing=0.1)(moved)
    for count, loose, reach in _PASSES:
        points, distance, alignment = _nearest(bent, other.triangles, mean[face], normals[face])
        near = np.flatnonzero((distance < reach) & (alignment > 0.5))
        pulling = near[far_apart(mean[face[near]], count)]
        start = np.vstack([source, points.at(pulling).interpolate(moved)])
        goal = np.vstack([target, mean[face[pulling]]])
        _, once = np.unique(np.round(start, 3), axis=0, return_index=True)
        smoothing = np.concatenate([looseness, np.full(len(pulling), loose)])[once]
        spline = RBFInterpolator(start[once], (goal - start)[once], kernel="linear", smoothing=smoothing)
        bent = moved + spline(moved)
    points, distance, alignment = _nearest(bent, other.triangles, mean[skin], normals[skin])
    trust = np.zeros(len(mean))
    trust[skin] = np.exp(-((distance / 2.5) ** 2)) * np.clip((alignment - 0.3) / 0.4, 0.0, 1.0)
    vertices, weights = np.zeros((len(mean), 3), np.int32), np.zeros((len(mean), 3), np.float32)
    vertices[skin], weights[skin] = points.vertices, points.weights
    return Registration(scale, rotation, shift, SurfacePoints(vertices, weights), trust)


def _nearest(
    surface: NDArray[np.float64], triangles: NDArray[np.integer], points: NDArray[np.float64], facing: NDArray
) -> tuple[SurfacePoints, NDArray[np.float64], NDArray[np.float64]]:
    """The surface's points nearest to (P, 3), their distance (P,), and the cosine (P,) between the normals."""
    found = nearest_on_surface(points, surface, triangles)
    normal = found.interpolate(_normals(surface, triangles))
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    return found, np.linalg.norm(found.interpolate(surface) - points, axis=1), (normal * facing).sum(axis=1)


def far_apart(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Up to `count` of (P, 3) points, each the farthest from those before."""
    chosen, distance = [0], np.full(len(points), np.inf)
    while len(chosen) < min(count, len(points)):
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    return np.array(chosen)


def _normals(vertices: NDArray[np.float64], triangles: NDArray[np.integer]) -> NDArray[np.float64]:
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    of_triangle = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(normals, triangles[:, k], of_triangle)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
