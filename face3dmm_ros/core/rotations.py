"""Rotations, (3, 3) proper, from model to camera; see `camera` for the frames."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.core.errors import Face3DMMError

FRONTAL = np.diag([1.0, -1.0, -1.0])
"""R of a face that looks straight into the camera; also turns camera axes into OpenGL's (y up, z to the viewer)."""


def nearest_rotation(matrix: ArrayLike) -> NDArray[np.float64]:
    """The rotation nearest to a (3, 3) matrix in the Frobenius norm (Kabsch: R = U·diag(1, 1, det UVᵀ)·Vᵀ).

    Raises:
        Face3DMMError: the matrix is not 3×3 and finite, or has rank below two, where no rotation is nearest.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise Face3DMMError(f"a finite 3×3 matrix has a nearest rotation, this one is not: {matrix.tolist()}")
    U, S, Vt = np.linalg.svd(matrix)
    if S[1] <= 1e-12 * max(S[0], 1e-300):
        raise Face3DMMError("a matrix of rank below two has no single nearest rotation")
    return U @ np.diag([1.0, 1.0, np.sign(np.linalg.det(U @ Vt))]) @ Vt


def rotation_from_vector(vector: ArrayLike) -> NDArray[np.float64]:
    """Rodrigues' formula: the rotation by |v| radians about v, (3,) → (3, 3)."""
    x, y, z = np.asarray(vector, np.float64).tolist()
    square = x * x + y * y + z * z
    angle = math.sqrt(square)
    # sin(θ)/θ and (1 − cos θ)/θ², which near 0 leave the first terms of their series.
    a, b = (1.0, 0.5) if angle < 1e-8 else (math.sin(angle) / angle, (1.0 - math.cos(angle)) / square)
    # I + a·K + b·K² of the cross product's matrix K, written out: numpy takes five times as long over 3×3 matrices.
    return np.array(
        [
            [1.0 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y],
            [b * x * y + a * z, 1.0 - b * (x * x + z * z), b * y * z - a * x],
            [b * x * z - a * y, b * y * z + a * x, 1.0 - b * (x * x + y * y)],
        ]
    )


def quaternion(rotation: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """The unit quaternion (x, y, z, w) of a proper rotation (3, 3), with w ≥ 0."""
    v, w = _scaled_quaternion(rotation)
    norm = math.hypot(*v, w)
    return v[0] / norm, v[1] / norm, v[2] / norm, w / norm


def rotation_vector(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `rotation_from_vector` on a proper rotation, (3, 3) → (3,) of length π at most."""
    v, w = _scaled_quaternion(rotation)
    sine = math.hypot(*v)
    # atan2(|v|, w) is half the angle; |v| → 0 leaves 2 v / w.
    factor = 2.0 * math.atan2(sine, w) / sine if sine > 1e-12 * w else 2.0 / w
    return np.array([factor * part for part in v])


def _scaled_quaternion(rotation: NDArray[np.float64]) -> tuple[list[float], float]:
    """The quaternion's vector and real part (≥ 0) of a proper rotation, at whatever length."""
    # Through the quaternion's largest part (Shepperd, 1978), which is exact near half a turn too; in plain numbers, as
    # above.
    R = rotation.tolist()
    diagonal = [R[0][0], R[1][1], R[2][2]]
    trace = sum(diagonal)
    if trace >= max(diagonal):
        w, v = 1.0 + trace, [R[2][1] - R[1][2], R[0][2] - R[2][0], R[1][0] - R[0][1]]
    else:
        i = diagonal.index(max(diagonal))
        j, k = (i + 1) % 3, (i + 2) % 3
        v = [0.0, 0.0, 0.0]
        v[i], v[j], v[k] = 1.0 - trace + 2.0 * R[i][i], R[j][i] + R[i][j], R[k][i] + R[i][k]
        w = R[k][j] - R[j][k]
        if w < 0.0:
            w, v = -w, [-part for part in v]
    return v, w


def rotation_angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Geodesic distance between rotations, (..., 3, 3) and (..., 3, 3) → (...), radians."""
    # The chord ‖A − B‖ = 2√2·sin(θ/2) keeps its precision near zero, where arccos of the trace loses it.
    chord = np.linalg.norm(a - b, axis=(-2, -1)) / (2.0 * np.sqrt(2.0))
    return np.asarray(2.0 * np.arcsin(np.minimum(1.0, chord)))


def rotation_from_pose_angles(pitch: float, yaw: float, roll: float) -> NDArray[np.float64]:
    """R of AFLW2000-3D's and 300W-LP's angles, radians: FRONTAL·Rx(pitch)·Ry(yaw)·Rz(roll) (Zhu et al., CVPR 2016)."""
    cx, sx, cy, sy, cz, sz = (f(a) for a in (pitch, yaw, roll) for f in (np.cos, np.sin))
    Rx = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    Ry = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    Rz = np.array([[cz, sz, 0], [-sz, cz, 0], [0, 0, 1]])
    return FRONTAL @ Rx @ Ry @ Rz


def pose_angles(rotation: NDArray[np.float64]) -> tuple[float, float, float]:
    """(pitch, yaw, roll), radians, of R: the inverse of `rotation_from_pose_angles`."""
    R = FRONTAL @ rotation
    yaw = np.arcsin(np.clip(-R[0, 2], -1.0, 1.0))
    return float(np.arctan2(R[1, 2], R[2, 2])), float(yaw), float(np.arctan2(R[0, 1], R[0, 0]))
