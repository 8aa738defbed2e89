"""How far from the truth: landmark, rotation and detection errors, and what sums them up over many faces.

Errors of landmarks are in % of the face's size, √(w·h) of the box around the true landmarks (Zhu et al., Face Alignment
Across Large Poses, CVPR 2016). A face that was missed has an infinite error.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import nearest_rotation, pose_angles, rotation_angle
from face3dmm_ros.core.values import Box

# Faces with a rotation error beyond this many medians are left out of the offset between two models' frames. Chosen by
# hand: it keeps most of a set that scatters evenly and drops failed fits.
_OUTLIER = 2.0
# `rotation_offset` stops where the faces it uses no longer change; this bound on its rounds is chosen by hand.
_OFFSET_ROUNDS = 20


def box_around(points: ArrayLike) -> Box:
    """The upright box around (N, 2) or (N, 3) points by their x and y."""
    xy = np.asarray(points, dtype=np.float64)[:, :2]
    (left, top), (right, bottom) = xy.min(axis=0), xy.max(axis=0)
    return Box(float(left), float(top), float(right - left), float(bottom - top))


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, in [0, 1]; 0 where both are empty."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    shared = max(width, 0.0) * max(height, 0.0)
    union = a.width * a.height + b.width * b.height - shared
    return shared / union if union > 0.0 else 0.0


def face_size(truth: ArrayLike) -> float:
    """√(w·h) of the box around the true landmarks (N, 2) or (N, 3), px.

    Raises:
        Face3DMMError: the box has no area.
    """
    box = box_around(truth)
    size = float(np.sqrt(box.width * box.height))
    if not size > 0.0:
        raise Face3DMMError(f"the true landmarks span a box of {box.width}×{box.height} px, expected one with an area")
    return size


def point_errors(points: ArrayLike, truth: ArrayLike, size: float) -> NDArray[np.float64]:
    """Distance of each point (N, d) from its truth (N, d), (N,), in % of a size in the same unit.

    Raises:
        Face3DMMError: the shapes differ.
    """
    a, b = np.asarray(points, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2:
        raise Face3DMMError(f"expected points and their truth as (N, d) arrays, found {a.shape} and {b.shape}")
    return 100.0 * np.linalg.norm(a - b, axis=1) / size


def nme(points: ArrayLike, truth: ArrayLike) -> float:
    """Normalised mean error, %: mean distance of (N, 2) points from their truth over √(w·h) of the truth's box.

    Raises:
        Face3DMMError: the shapes differ, or the truth's box has no area.
    """
    return float(point_errors(points, truth, face_size(truth)).mean())


def angle_degrees(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle between each pair of unit vectors, (..., 3) and (..., 3) → (...), degrees."""
    return np.degrees(2.0 * np.arcsin(np.minimum(1.0, 0.5 * np.linalg.norm(a - b, axis=-1))))


def rotation_offset(predicted: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """The constant rotation O with truth ≈ predicted · O, since two models call different poses frontal.

    It is the rotation nearest to Σ predictedᵀ·truth, found again from the faces within twice the median error until
    these no longer change, so that failed fits do not count.

    Args:
        predicted: (N, 3, 3) rotations, model → camera.
        truth: (N, 3, 3) rotations, the truth's model → camera.

    Raises:
        Face3DMMError: the shapes differ, N is 0, or the sum has no single nearest rotation.
    """
    if predicted.shape != truth.shape or predicted.ndim != 3 or len(predicted) == 0:
        raise Face3DMMError(
            f"an offset needs two (N, 3, 3) arrays of rotations, found {predicted.shape} and {truth.shape}"
        )
    between = np.swapaxes(predicted, 1, 2) @ truth
    used = np.ones(len(between), dtype=bool)
    for _ in range(_OFFSET_ROUNDS):
        offset = nearest_rotation(between[used].sum(axis=0))
        errors = np.degrees(rotation_angle(between, offset))
        near = errors <= _OUTLIER * np.median(errors) + 1e-9
        if (near == used).all():
            break
        used = near
    return offset


def pose_angle_errors(rotation: NDArray[np.float64], pose: ArrayLike) -> NDArray[np.float64]:
    """|pitch|, |yaw| and |roll| errors, degrees, of a rotation (3, 3) from true angles (pitch, yaw, roll), radians.

    Every rotation has two such triples, one of them with a yaw beyond 90°: the one nearer to the truth counts.
    """
    pitch, yaw, roll = pose_angles(rotation)
    both = np.array([[pitch, yaw, roll], [pitch + np.pi, np.pi - yaw, roll + np.pi]]) - np.asarray(pose)
    errors = np.degrees(np.abs((both + np.pi) % (2.0 * np.pi) - np.pi))
    return errors[np.linalg.norm(errors, axis=1).argmin()]


def cumulative_error(errors: ArrayLike, thresholds: ArrayLike) -> NDArray[np.float64]:
    """The share of faces whose error is at most each threshold: the cumulative error curve, in [0, 1]."""
    ordered = np.sort(np.nan_to_num(np.asarray(errors, dtype=np.float64), nan=np.inf))
    return np.searchsorted(ordered, np.asarray(thresholds), side="right") / max(len(ordered), 1)


def auc(errors: ArrayLike, limit: float) -> float:
    """Area under the cumulative error curve from 0 to a limit, over the limit, in [0, 1]; NaN without faces."""
    e = np.asarray(errors, dtype=np.float64)
    # The curve of one face is a step at its error, so its area is what remains of the interval behind the step.
    return float(np.where(e < limit, 1.0 - np.minimum(e, limit) / limit, 0.0).mean()) if e.size else float("nan")


def failure_rate(errors: ArrayLike, limit: float) -> float:
    """The share of faces with an error above a limit, misses among them, in [0, 1]; NaN without faces."""
    e = np.asarray(errors, dtype=np.float64)
    return float((~(e <= limit)).mean()) if e.size else float("nan")
