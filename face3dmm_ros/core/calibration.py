"""What a camera's calibration says, as ROS's camera_info describes it: a pinhole and how its lens distorts.

The whole sensor is calibrated; images may be rectified, show a window of it, be binned or resized. `Calibration.of`
tells the camera of such images. The conventions are those of sensor_msgs/CameraInfo and REP-104; the centre of the
top-left pixel is (0, 0), so pixels combined or resized by a factor have their centres at u′ = (u + ½)·factor − ½.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from face3dmm_ros.core.camera import Intrinsics, MetricPose, WeakPerspective, metric_pose
from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.core.picture_turns import quarters_of_a_turn
from face3dmm_ros.core.regular_file import read_regular
from face3dmm_ros.core.validation import shown

DISTORTION_MODELS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,), "fisheye": (4,)}
"""The lens models known (sensor_msgs/CameraInfo and OpenCV name them so), each with its possible numbers of
coefficients."""

_MOST_BYTES = 1 << 16
"""Of a calibration's file; chosen by hand: sixty times what ROS writes, read in a second."""
_LONGEST_SIDE = 1 << 16
"""Of a sensor, px; chosen by hand: more than the largest have."""
_LARGEST_NUMBER = 1e9
"""In D, R and P; chosen by hand: far beyond any lens, and far below what overflows."""
_UNDONE = 1.0
"""By which undistorted points, distorted again, may miss, px; chosen by hand, a little less than landmarks do."""

_FOCAL_PX = (1e-3, 1e7)
_FARTHEST_PX = 1e7
"""Between which focal lengths lie, and how far the principal point is from the image's corner at most; chosen by hand:
beyond all cameras, and poses stay finite, also in single precision."""

_RADIAL = ("equidistant", "fisheye")
"""Models with radial coefficients alone."""

_ORTHOGONAL = 1e-3
"""By which R·Rᵀ may differ from the identity; chosen by hand: files hold rotations rounded to four digits or more."""

_TANGENTIAL, _PRISM, _TILT = slice(2, 4), slice(8, 12), slice(12, 14)
"""The other models' coefficients that have a direction, in OpenCV's order: tangential p1, p2; thin prism s1 … s4;
tilted sensor τx, τy."""


@dataclass(frozen=True)
class SensorWindow:
    """The part of the calibrated sensor that images show: CameraInfo's operational parameters.

    Attributes:
        x, y: its left and top pixel, in full-resolution px.
        width, height: its size in full-resolution px; 0, 0 for the whole sensor.
        binning_x, binning_y: pixels combined into one, across and down.
        do_rectify: rectified images show a region of their own, computed from this one, instead of the same pixels.
    """

    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0
    binning_x: int = 1
    binning_y: int = 1
    do_rectify: bool = False


WHOLE_SENSOR = SensorWindow()


@dataclass(frozen=True, eq=False)
class Calibration:
    """A calibrated camera.

    Attributes:
        image_size: (width, height), px, with which it was calibrated; of images of the whole sensor.
        matrix: K, (3, 3) float64, px.
        distortion_model: one of `DISTORTION_MODELS`; meaningless without coefficients.
        distortion: (n,) float64 coefficients D; empty for a lens that does not distort.
        rectification: R, (3, 3) float64, from the axes of the camera that K describes to those of the rectified one,
            in which poses are told: what ROS's frame_id of a camera means (image_geometry). All zero is none.
        projection: P, (3, 4) float64, of rectified images; needed for those alone.
        window: the part of the sensor that the images show.
    """

    image_size: tuple[int, int]
    matrix: NDArray[np.float64]
    distortion_model: str = "plumb_bob"
    distortion: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    rectification: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    projection: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, 4)))
    window: SensorWindow = WHOLE_SENSOR

    def __post_init__(self) -> None:
        """Check K, the image size, the distortion, R and the window.

        Raises:
            Face3DMMError: K is not a finite pinhole matrix with positive focal lengths, the images have no size or an
                absurd one, a number is absurd, the distortion coefficients are not finite or do not fit the lens model,
                R is no rotation, or the window does not lie on the sensor.
        """
        D = np.asarray(self.distortion)
        _check_pinhole("K", np.asarray(self.matrix))
        if not np.isfinite(D).all():
            raise Face3DMMError(f"a lens's distortion coefficients are finite, not {D.tolist()}")
        if not 1 <= min(self.image_size) <= max(self.image_size) <= _LONGEST_SIDE:
            width, height = map(shown, self.image_size)
            raise Face3DMMError(f"a camera's images have 1 to {_LONGEST_SIDE} px a side, not {width}×{height}")
        for name, array in (("D", D), ("R", self.rectification), ("P", self.projection)):
            if (np.abs(array) > _LARGEST_NUMBER).any():
                values = np.ravel(array).tolist()
                raise Face3DMMError(f"a camera's {name} has numbers up to {_LARGEST_NUMBER:g}, not {values}")
        if D.any() and len(D) not in DISTORTION_MODELS.get(self.distortion_model, ()):
            known = ", ".join(f"{name} of {' or '.join(map(str, n))}" for name, n in DISTORTION_MODELS.items())
            raise Face3DMMError(
                f"a lens of model {self.distortion_model!r} with {len(D)} coefficients is not known; known: {known}"
            )
        R = np.asarray(self.rectification)
        if R.any() and not (np.allclose(R @ R.T, np.eye(3), atol=_ORTHOGONAL) and np.linalg.det(R) > 0.0):
            raise Face3DMMError(f"a camera's R is a rotation, or all zero for none, not {np.ravel(R).tolist()}")
        self._check_window()

    def _check_window(self) -> None:
        window, (width, height) = self.window, self.image_size
        if min(window.binning_x, window.binning_y) < 1:
            raise Face3DMMError(f"at least 1×1 pixels are binned, not {window.binning_x}×{window.binning_y}")
        if (window.width == 0) != (window.height == 0) or (window.width == 0 and (window.x or window.y)):
            raise Face3DMMError(f"a region of interest has a width and a height, not {_region(window)}")
        if window.x + window.width > width or window.y + window.height > height:
            raise Face3DMMError(
                f"the region of interest {_region(window)} does not lie within the {width}×{height} pixels that were "
                "calibrated"
            )

    def of(self, image_size: tuple[int, int], *, rectified: bool = False) -> "Calibration":
        """The camera of images of (width, height) px of which this is the calibration.

        They show the window, binned, and may then have been resized with (nearly) the same factor in both directions.

        Args:
            image_size: (width, height), px.
            rectified: the images are rectified, as image_proc does it: P and no distortion hold.

        Raises:
            Face3DMMError: the images' shape is not the window's, or P is not valid.
        """
        if image_size == self.image_size and self.window == WHOLE_SENSOR and not rectified:
            return self
        window, (width, height) = self.window, image_size
        across, down = window.width or self.image_size[0], window.height or self.image_size[1]
        shown = across / window.binning_x, down / window.binning_y
        if max(abs(width - shown[0]), abs(height - shown[1])) < 1.0:
            # As large as the window, but for what binning leaves over.
            scale_x, scale_y = 1.0 / window.binning_x, 1.0 / window.binning_y
        else:
            self._require_resized(image_size, (int(shown[0]), int(shown[1])), rectified=rectified)
            scale_x, scale_y = width / across, height / down
        pixels = np.array(
            [
                [scale_x, 0.0, (0.5 - window.x) * scale_x - 0.5],
                [0.0, scale_y, (0.5 - window.y) * scale_y - 0.5],
                [0.0, 0.0, 1.0],
            ]
        )
        camera = replace(
            self,
            image_size=image_size,
            matrix=pixels @ self.matrix,
            projection=pixels @ self.projection,
            window=WHOLE_SENSOR,
        )
        return camera._rectified() if rectified else camera

    def _require_resized(self, image_size: tuple[int, int], shown: tuple[int, int], *, rectified: bool) -> None:
        """Check that images can be the window's, resized.

        Raises:
            Face3DMMError: their shape is another, or what they show cannot be told.
        """
        window, (width, height) = self.window, image_size
        if min(shown) < 1:
            raise Face3DMMError(
                f"the camera_info's binning, {window.binning_x}×{window.binning_y}, leaves nothing of its images"
            )
        what = f"the camera_info is for images of {shown[0]}×{shown[1]}, these have {width}×{height}"
        # A resized image's sides are rounded to whole pixels.
        if abs(width * shown[1] - height * shown[0]) > max(shown):
            raise Face3DMMError(f"{what}: another shape, so they show another part of the sensor, which is not told")
        whole = self.image_size[0] // window.binning_x, self.image_size[1] // window.binning_y
        if window.width and image_size == whole:
            raise Face3DMMError(
                f"{what}, the size of the whole sensor, but its region of interest is {_region(window)}"
            )
        if rectified and window.do_rectify:
            raise Face3DMMError(
                f"{what}, and roi.do_rectify says that rectified images show a region of their own, which is not told: "
                "take the images before they are rectified"
            )

    def _rectified(self) -> "Calibration":
        """The camera of rectified images."""
        P = np.asarray(self.projection, np.float64)
        _check_pinhole("P, of which rectified images are made,", P[:, :3])
        return Calibration(self.image_size, P[:, :3].copy(), projection=P)

    @property
    def intrinsics(self) -> Intrinsics:
        """The pinhole with square pixels that comes nearest."""
        K = self.matrix
        return Intrinsics(float(np.sqrt(K[0, 0] * K[1, 1])), float(K[0, 2]), float(K[1, 2]))

    def pose(self, camera: WeakPerspective) -> MetricPose:
        """Where a head in weak perspective is, by the pinhole alone, without the lens; see `camera.metric_pose`."""
        pose, R = metric_pose(camera, self.intrinsics), self._to_rectified
        return MetricPose(R @ pose.rotation, R @ pose.position)

    @property
    def _to_rectified(self) -> NDArray[np.float64]:
        R = np.asarray(self.rectification, np.float64)
        return R if R.any() else np.eye(3)

    def turned(self, degrees: int) -> "Calibration":
        """The camera of the same images turned clockwise, by `picture_turns.turned`, whose axes are turned with them.

        Raises:
            Face3DMMError: the angle is no multiple of 90°, or an odd one for a lens model with a tilted sensor, which
                cannot express the turned camera; or the images show a window.
        """
        quarters = quarters_of_a_turn(degrees)
        if quarters and self.window != WHOLE_SENSOR:
            raise Face3DMMError(
                f"only images of the whole sensor can be turned, not {self.window}: take `of` them first"
            )
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

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Where (N, 3) points in the rectified camera's axes, in front of it, are in the image, (N, 2) px."""
        return self._through_the_lens(np.asarray(points, np.float64) @ self._to_rectified)

    def _through_the_lens(self, in_lens: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where (N, 3) points in the axes of the camera that K describes are in the image, (N, 2) px."""
        K, nowhere = np.asarray(self.matrix, np.float64), np.zeros(3)
        if not self.distortion.any():
            return in_lens[:, :2] / in_lens[:, 2:] * [K[0, 0], K[1, 1]] + K[:2, 2]
        project = cv2.fisheye.projectPoints if self.distortion_model in _RADIAL else cv2.projectPoints
        pixels, _ = project(in_lens[:, None], nowhere, nowhere, K, self.distortion)
        return np.asarray(pixels, np.float64).reshape(-1, 2)

    def rays(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Viewing rays of (N, 2) image points, px, as (x/z, y/z), (N, 2): distortion and K undone, turned by R.

        Raises:
            Face3DMMError: the distortion cannot be undone at most of the points.
        """
        rays = self._rays_of_the_lens(points)
        R = self._to_rectified
        turned = rays @ R[:, :2].T + R[:, 2]
        return turned[:, :2] / turned[:, 2:]

    def _rays_of_the_lens(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        K = np.asarray(self.matrix, np.float64)
        if not self.distortion.any():
            return (np.asarray(points, np.float64) - K[:2, 2]) / [K[0, 0], K[1, 1]]
        distorted = np.ascontiguousarray(points, np.float64).reshape(-1, 1, 2)
        if self.distortion_model in _RADIAL:
            undistorted = cv2.fisheye.undistortPoints(distorted, K, self.distortion)
        else:
            undistorted = cv2.undistortPoints(distorted, K, self.distortion)
        rays = np.asarray(undistorted, np.float64).reshape(-1, 2)
        again = self._through_the_lens(np.column_stack([rays, np.ones(len(rays))]))
        off = float(np.median(np.linalg.norm(again - np.asarray(points), axis=1)))
        if not off <= _UNDONE:
            raise Face3DMMError(
                f"the lens's distortion, {self.distortion_model} {np.round(self.distortion, 4).tolist()}, cannot be "
                f"undone at most of the points asked for: taken back and forth they are {off:.3g} px elsewhere"
            )
        return rays


def _check_pinhole(name: str, matrix: NDArray[np.float64]) -> None:
    """Check a pinhole's matrix.

    Raises:
        Face3DMMError: it is not finite, not that of a pinhole, or of no possible camera.
    """
    values = np.ravel(matrix).tolist()
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise Face3DMMError(f"a camera's {name} is a finite 3×3 matrix, not {values}")
    if not np.allclose([matrix[0, 1], matrix[1, 0], *matrix[2]], [0.0, 0.0, 0.0, 0.0, 1.0], atol=1e-6):
        raise Face3DMMError(f"a camera's {name} is [fx 0 cx; 0 fy cy; 0 0 1], not {values}")
    focal, center = np.diag(matrix)[:2], matrix[:2, 2]
    if focal.min() < _FOCAL_PX[0] or focal.max() > _FOCAL_PX[1] or np.abs(center).max() > _FARTHEST_PX:
        raise Face3DMMError(
            f"a camera's {name} has focal lengths of {_FOCAL_PX[0]:g} to {_FOCAL_PX[1]:g} px and its centre within "
            f"{_FARTHEST_PX:g} px, not {values}"
        )


def _region(window: SensorWindow) -> str:
    return f"{window.width}×{window.height} at ({window.x}, {window.y})"


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
        document = yaml.safe_load(read_regular(path, _MOST_BYTES).decode("utf-8"))
        return Calibration(
            image_size=(int(document["image_width"]), int(document["image_height"])),
            matrix=_matrix(document, "camera_matrix").reshape(3, 3),
            distortion_model=str(document["distortion_model"]),
            distortion=_matrix(document, "distortion_coefficients"),
            rectification=_matrix(document, "rectification_matrix").reshape(3, 3),
            projection=_matrix(document, "projection_matrix").reshape(3, 4),
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Face3DMMError(
            f"{path} is not a camera's calibration as ROS's camera_calibration writes it: {one_line(error)}"
        ) from error


def _matrix(document: dict, name: str) -> NDArray[np.float64]:
    return np.array([float(value) for value in document[name]["data"]])
