"""What a camera's calibration says, as ROS's camera_info describes it: a pinhole and how its lens distorts."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from face3dmm_ros.core.camera import Intrinsics
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.picture_turns import quarters_of_a_turn

DISTORTION_MODELS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,), "fisheye": (4,)}
"""The lens models known (sensor_msgs/CameraInfo and OpenCV name them so), each with its possible numbers of
coefficients."""

_RADIAL = ("equidistant", "fisheye")
"""Models with radial coefficients alone."""

_TANGENTIAL, _PRISM, _TILT = slice(2, 4), slice(8, 12), slice(12, 14)
"""The other models' coefficients that have a direction, in OpenCV's order: tangential p1, p2; thin prism s1 … s4;
tilted sensor τx, τy."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """A calibrated camera.

    Attributes:
        image_size: (width, height), px, of the images that it holds for.
        matrix: K, (3, 3) float64, px.
        distortion_model: one of `DISTORTION_MODELS`; meaningless without coefficients.
        distortion: (n,) float64 coefficients D; empty for a lens that does not distort.
        rectification: R, (3, 3) float64.
        projection: P, (3, 4) float64.
    """

    image_size: tuple[int, int]
    matrix: NDArray[np.float64]
    distortion_model: str = "plumb_bob"
    distortion: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    rectification: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    projection: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, 4)))

    def __post_init__(self) -> None:
        """Check K, the image size and the distortion.

        Raises:
            Face3DMMError: K is not a finite pinhole matrix with positive focal lengths, the images have no size, or the
                distortion coefficients are not finite or do not fit the lens model.
        """
        K, D = np.asarray(self.matrix), np.asarray(self.distortion)
        if K.shape != (3, 3) or not np.isfinite(K).all() or not (K[0, 0] > 0.0 and K[1, 1] > 0.0):
            raise Face3DMMError(
                f"a camera's K is a finite 3×3 matrix with positive focal lengths, not {np.ravel(K).tolist()}"
            )
        if not np.allclose([K[0, 1], K[1, 0], *K[2]], [0.0, 0.0, 0.0, 0.0, 1.0], atol=1e-6):
            raise Face3DMMError(f"a camera's K is [fx 0 cx; 0 fy cy; 0 0 1], not {np.ravel(K).tolist()}")
        if min(self.image_size) < 1:
            raise Face3DMMError(f"a camera's images have a size, not {self.image_size[0]}×{self.image_size[1]}")
        if not np.isfinite(D).all():
            raise Face3DMMError(f"a lens's distortion coefficients are finite, not {D.tolist()}")
        if D.any() and len(D) not in DISTORTION_MODELS.get(self.distortion_model, ()):
            known = ", ".join(f"{name} of {' or '.join(map(str, n))}" for name, n in DISTORTION_MODELS.items())
            raise Face3DMMError(
                f"a lens of model {self.distortion_model!r} with {len(D)} coefficients is not known; known: {known}"
            )

    @property
    def intrinsics(self) -> Intrinsics:
        """The pinhole with square pixels that comes nearest."""
        K = self.matrix
        return Intrinsics(float(np.sqrt(K[0, 0] * K[1, 1])), float(K[0, 2]), float(K[1, 2]))

    def turned(self, degrees: int) -> "Calibration":
        """The camera of the same images turned clockwise, by `picture_turns.turned`, whose axes are turned with them.

        Raises:
            Face3DMMError: the angle is no multiple of 90°, or an odd one for a lens model with a tilted sensor, which
                cannot express the turned camera.
        """
        quarters = quarters_of_a_turn(degrees)
        if quarters % 2 and self.distortion[_TILT].any():
            raise Face3DMMError(
                f"a camera with a tilted sensor (coefficients {self.distortion[_TILT].tolist()}) cannot be turned by "
                f"{degrees}°, only by 180°: use images as they are"
            )
        camera = self
        for _ in range(quarters):
            camera = camera._turned_by_a_quarter()
        return camera

    def _turned_by_a_quarter(self) -> "Calibration":
        width, height = self.image_size
        axes = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # x′ = −y, y′ = x
        pixels = axes.copy()
        pixels[0, 2] = height - 1.0
        projection = pixels @ self.projection
        projection[:, :3] = projection[:, :3] @ axes.T
        return replace(
            self,
            image_size=(height, width),
            matrix=pixels @ self.matrix @ axes.T,
            distortion=self._distortion_turned_by_a_quarter(),
            rectification=axes @ self.rectification @ axes.T,
            projection=projection,
        )

    def _distortion_turned_by_a_quarter(self) -> NDArray[np.float64]:
        """What is radial stays; what has a direction turns."""
        D = np.array(self.distortion, np.float64)
        if self.distortion_model in _RADIAL:
            return D
        # Along x′ = −y there acts what acted along −y, along y′ = x what acted along x; p1 acts along y, p2 along x.
        for part, order, signs in (
            (_TANGENTIAL, [1, 0], [1.0, -1.0]),
            (_PRISM, [2, 3, 0, 1], [-1.0, -1.0, 1.0, 1.0]),
            (_TILT, [1, 0], [-1.0, 1.0]),
        ):
            if len(D) >= part.stop:
                D[part] = D[part][order] * signs
        return D

    def require_size(self, image_size: tuple[int, int]) -> None:
        """Check that the calibration was made for images of (width, height) px.

        Raises:
            Face3DMMError: the sizes differ.
        """
        if image_size != self.image_size:
            raise Face3DMMError(
                f"the calibration is for images of {self.image_size[0]}×{self.image_size[1]}, this one has "
                f"{image_size[0]}×{image_size[1]}"
            )

    def rays(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Viewing rays of (N, 2) image points, px, as (x/z, y/z), (N, 2): distortion and K undone."""
        K = np.asarray(self.matrix, np.float64)
        if not self.distortion.any():
            return (np.asarray(points, np.float64) - K[:2, 2]) / [K[0, 0], K[1, 1]]
        distorted = np.ascontiguousarray(points, np.float64).reshape(-1, 1, 2)
        if self.distortion_model in _RADIAL:
            undistorted = cv2.fisheye.undistortPoints(distorted, K, self.distortion)
        else:
            undistorted = cv2.undistortPoints(distorted, K, self.distortion)
        return np.asarray(undistorted, np.float64).reshape(-1, 2)


def pinhole(intrinsics: Intrinsics, image_size: tuple[int, int]) -> Calibration:
    """A camera without distortion."""
    f, cx, cy = intrinsics.focal, intrinsics.center_x, intrinsics.center_y
    return Calibration(image_size, np.array([[f, 0.0, cx], [0.0, f, cy], [0.0, 0.0, 1.0]]))


def read_calibration(path: Path) -> Calibration:
    """A calibration in the YAML that ROS's camera_calibration writes.

    Raises:
        Face3DMMError: the file cannot be read or parsed, lacks a field, or describes no valid camera.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Calibration(
            image_size=(int(document["image_width"]), int(document["image_height"])),
            matrix=_matrix(document, "camera_matrix").reshape(3, 3),
            distortion_model=str(document["distortion_model"]),
            distortion=_matrix(document, "distortion_coefficients"),
            rectification=_matrix(document, "rectification_matrix").reshape(3, 3),
            projection=_matrix(document, "projection_matrix").reshape(3, 4),
        )
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise Face3DMMError(
            f"{path} is not a camera's calibration as ROS's camera_calibration writes it: {error}"
        ) from error


def _matrix(document: dict, name: str) -> NDArray[np.float64]:
    return np.array([float(value) for value in document[name]["data"]])
