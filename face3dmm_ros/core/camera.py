"""Cameras: weak perspective, the Gold Standard algorithm, metric pose and the chain to the screen.

Frames. Model: mm, x toward the viewer's right, y up, z out of the face. Camera: REP-103 optical, x right, y down,
z forward. Image: px, (0, 0) the centre of the top-left pixel. A frontal face has R = diag(1, −1, −1).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL


@dataclass(frozen=True, eq=False)
class WeakPerspective:
    """x = s·P·R·X + t with P the first two rows of I₃.

    Attributes:
        scale: s, px per mm.
        rotation: R, (3, 3) float64, proper rotation model → camera.
        translation: t, (2,) float64, px.
    """

    scale: float
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Project (N, 3) model points, mm, to (N, 2) image points, px."""
        return points @ (self.scale * self.rotation[:2]).T + self.translation

    def depth(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Depth of (N, 3) model points behind the model's origin along the viewing ray, (N,) px."""
        return points @ (self.scale * self.rotation[2])


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera with square pixels: focal length and principal point, px."""

    focal: float
    center_x: float
    center_y: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.focal, self.center_x, self.center_y]).all() and self.focal > 0):
            raise Face3DMMError(f"a camera needs a positive focal length and a finite principal point, not {self}")

    @staticmethod
    def from_field_of_view(image_size: tuple[int, int], horizontal_degrees: float) -> "Intrinsics":
        """Intrinsics of an uncalibrated camera with a horizontal field of view, principal point in the middle.

        Raises:
            Face3DMMError: the field of view is not between 0° and 180°.
        """
        if not 0.0 < horizontal_degrees < 180.0:
            raise Face3DMMError(f"the field of view must lie between 0 and 180 degrees, not {horizontal_degrees}")
        width, height = image_size
        focal = width / (2.0 * np.tan(np.radians(horizontal_degrees) / 2.0))
        return Intrinsics(float(focal), (width - 1) / 2.0, (height - 1) / 2.0)


@dataclass(frozen=True, eq=False)
class MetricPose:
    """X_camera = size · rotation · X / 1000 + position: model mm to metres in the camera's optical frame.

    Attributes:
        rotation: (3, 3) float64, model → camera.
        position: (3,) float64, the model's origin in the camera, m.
        size: of the head, over the model's.
    """

    rotation: NDArray[np.float64]
    position: NDArray[np.float64]
    size: float = 1.0

    def transform(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Carry (N, 3) model points, mm, into the camera's frame, m."""
        return points @ (self.size / 1000.0 * self.rotation.T).astype(points.dtype) + self.position.astype(points.dtype)

    def resized(self, factor: float) -> "MetricPose":
        """The pose of a head so much larger and farther away that it looks the same."""
        return MetricPose(self.rotation, factor * self.position, factor * self.size)


def _normalization(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Similarity (d+1, d+1) that centres (N, d) points at mean distance √d, and the points under it."""
    dimension = points.shape[1]
    center = points.mean(axis=0)
    spread = np.linalg.norm(points - center, axis=1).mean()
    if spread == 0.0:
        raise Face3DMMError("all points coincide: an affine camera needs points that differ")
    scale = np.sqrt(dimension) / spread
    similarity = np.eye(dimension + 1)
    similarity[:dimension, :dimension] *= scale
    similarity[:dimension, dimension] = -scale * center
    return similarity, (points - center) * scale


def gold_standard_affine(model_points: ArrayLike, image_points: ArrayLike) -> NDArray[np.float64]:
    """Maximum-likelihood affine camera from correspondences, (N, 3) ↔ (N, 2) → (2, 4).

    The Gold Standard algorithm (Hartley & Zisserman, Multiple View Geometry, 2nd ed., algorithm 7.2): normalise both
    sets, solve the 2N×8 system, denormalise.

    Raises:
        Face3DMMError: fewer than 4 points, shapes that disagree, values not finite, or model points in a plane.
    """
    X = np.asarray(model_points, dtype=np.float64)
    x = np.asarray(image_points, dtype=np.float64)
    if X.ndim != 2 or X.shape[1] != 3 or x.shape != (len(X), 2):
        raise Face3DMMError(f"expected (N, 3) model points and (N, 2) image points, found {X.shape} and {x.shape}")
    if len(X) < 4:
        raise Face3DMMError(f"an affine camera needs at least 4 correspondences, found {len(X)}")
    if not (np.isfinite(X).all() and np.isfinite(x).all()):
        raise Face3DMMError("the correspondences hold values that are not finite (NaN or infinity)")
    T, x_normalized = _normalization(x)
    U, X_normalized = _normalization(X)
    # The two rows of P share one N×4 system, so the 2N×8 matrix of the book need not be built.
    A = np.column_stack([X_normalized, np.ones(len(X))])
    singular = np.linalg.svd(A, compute_uv=False)
    if singular[-1] < 1e-6 * singular[0]:
        raise Face3DMMError("the model points lie in a plane: an affine camera cannot be told from them")
    P_normalized = np.vstack([np.linalg.lstsq(A, x_normalized, rcond=None)[0].T, [0.0, 0.0, 0.0, 1.0]])
    return (np.linalg.inv(T) @ P_normalized @ U)[:2]


def weak_perspective_from_affine(affine: ArrayLike) -> WeakPerspective:
    """The weak perspective nearest to a (2, 4) affine camera.

    The rows of its 2×3 part become orthonormal (nearest in the Frobenius norm), s is the mean of its singular values
    and r₃ = r₁ × r₂, so R is a proper rotation.

    Raises:
        Face3DMMError: the matrix is not a finite 2×4, or its rows do not span a plane.
    """
    P = np.asarray(affine, dtype=np.float64)
    if P.shape != (2, 4) or not np.isfinite(P).all():
        raise Face3DMMError(f"an affine camera is a finite 2×4 matrix, found {P.tolist()}")
    U, S, Vt = np.linalg.svd(P[:, :3], full_matrices=False)
    if S[1] < 1e-9 * S[0] or S[0] == 0.0:
        raise Face3DMMError("the affine camera has rank below two: the image points lie on a line or coincide")
    r1, r2 = U @ Vt
    return WeakPerspective(float(S.mean()), np.stack([r1, r2, np.cross(r1, r2)]), P[:, 3].copy())


def estimate_weak_perspective(model_points: ArrayLike, image_points: ArrayLike) -> WeakPerspective:
    """Weak perspective from correspondences (N, 3) mm ↔ (N, 2) px, through the Gold Standard affine camera.

    Raises:
        Face3DMMError: the correspondences do not determine a camera; see `gold_standard_affine` and
            `weak_perspective_from_affine`.
    """
    return weak_perspective_from_affine(gold_standard_affine(model_points, image_points))


def _turn_axis_onto(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest rotation that turns the optical axis (0, 0, 1) onto a direction in front of the camera."""
    x, y, z = direction / np.linalg.norm(direction)
    K = np.array([[0.0, 0.0, x], [0.0, 0.0, y], [-x, -y, 0.0]])
    return np.eye(3) + K + K @ K / (1.0 + z)


def metric_pose(camera: WeakPerspective, intrinsics: Intrinsics) -> MetricPose:
    """Where the head is in metres: Z = f / (1000 s), T = ((t − c) Z / f, Z), rotation R_ray · R.

    R of weak perspective is relative to the viewing ray; R_ray turns the optical axis onto T, so a face that looks
    into the camera from the picture's edge comes out turned toward the camera.
    """
    position = metric_position(camera, intrinsics)
    return MetricPose(_turn_axis_onto(position) @ camera.rotation, position)


def metric_position(camera: WeakPerspective, intrinsics: Intrinsics) -> NDArray[np.float64]:
    """The model's origin in the camera's frame, (3,) m, of a face whose scaled orthographic image is known."""
    Z = intrinsics.focal / (1000.0 * camera.scale)
    x, y = (camera.translation - [intrinsics.center_x, intrinsics.center_y]) * (Z / intrinsics.focal)
    return np.array([x, y, Z])


# The report's chain, model → world → view → clip → screen, with its orthographic camera at the origin. The world is
# OpenGL's (y up, z toward the viewer), in px, its origin at the centre of the image's top-left pixel.


def model_to_world(camera: WeakPerspective) -> NDArray[np.float64]:
    """(4, 4) matrix from model space, mm, to the world, px."""
    matrix = np.eye(4)
    matrix[:3, :3] = camera.scale * FRONTAL @ camera.rotation
    matrix[:2, 3] = camera.translation * [1.0, -1.0]
    return matrix


def world_to_view() -> NDArray[np.float64]:
    """(4, 4) view matrix: the camera stands at the world's origin and looks down −z."""
    return np.eye(4)


def view_to_clip(image_size: tuple[int, int], depth_range: float) -> NDArray[np.float64]:
    """(4, 4) orthographic projection of an image of (width, height) px, |z| ≤ depth_range px, to clip space."""
    width, height = image_size
    left, right, top, bottom = -0.5, width - 0.5, 0.5, 0.5 - height
    return np.array(
        [
            [2 / (right - left), 0, 0, -(right + left) / (right - left)],
            [0, 2 / (top - bottom), 0, -(top + bottom) / (top - bottom)],
            [0, 0, -1 / depth_range, 0],
            [0, 0, 0, 1],
        ]
    )


def clip_to_screen(clip: NDArray[np.floating], image_size: tuple[int, int]) -> NDArray[np.float64]:
    """Homogeneous (N, 4) clip coordinates to (N, 2) px: the division by w and the viewport."""
    ndc = clip[:, :2] / clip[:, 3:]
    width, height = image_size
    return np.column_stack([(ndc[:, 0] + 1) * width / 2 - 0.5, (1 - ndc[:, 1]) * height / 2 - 0.5])
