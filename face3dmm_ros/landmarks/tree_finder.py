"""Finds a face's points in a region by the trees: from several starts, whose agreement tells how sure they are."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.landmark_schemes import SCHEME_SIZES
from face3dmm_ros.landmarks.hog_detector import square_of
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.regression_trees import CROP_IN_SQUARES, CROP_SIDE, SQUARE_PX, TreeCascade, normalized
from face3dmm_ros.landmarks.schemes import IBUG68_IN_MEDIAPIPE478, MEDIAPIPE478

_STARTS = (
    ((0.0, 0.0), 1.0, 0.0),
    ((0.04, 0.03), 1.06, 0.08),
    ((-0.04, 0.03), 0.94, -0.08),
    ((0.03, -0.04), 0.94, 0.08),
    ((-0.03, -0.04), 1.06, -0.08),
)
"""Of the mean shape, chosen by hand: shift, in sides of the square, growth, and turn, radians."""

_FLIP = np.array([-1.0, 1.0], np.float32)


@dataclass(frozen=True, eq=False)
class FoundShape:
    """A face's points.

    Attributes:
        points: (478, 2) float32, px of the image.
        spread: (478,) float32, px, how far the starts' points lie apart: the standard deviation of a coordinate.
        deviation: (478,) float32, px, that of the points' own errors.
        yaw: degrees; see `core.rotations`.
        square: its `square_of`, turned by its roll.
        coefficients: c (C,) of the shape, or of its mirror image where it looks to the left.
    """

    points: NDArray[np.float32]
    spread: NDArray[np.float32]
    deviation: NDArray[np.float32]
    yaw: float
    square: Region
    coefficients: NDArray[np.float32]


class TreeFinder:
    """A cascade with its starts. Holds no state; several threads may use it at once."""

    def __init__(self, cascade: TreeCascade) -> None:
        """Work the starts out.

        Raises:
            Face3DMMError: the cascade is of other points, or has no view besides that of a first look.
        """
        expected, points, views = SCHEME_SIZES[MEDIAPIPE478], len(cascade.mirror), len(cascade.yaw)
        if points != expected or views < 2:
            raise Face3DMMError(f"expected trees of {expected} points and 2 views or more, found {points} and {views}")
        self.cascade = cascade
        self._starts = [np.stack([cascade.start(view, *start) for start in _STARTS]) for view in range(views)]

    def view_of(self, yaw: float | None) -> int:
        """The view that knows a yaw best, degrees; without one that of a first look."""
        views = self.cascade.yaw
        return len(views) - 1 if yaw is None else int(np.abs(views[:-1] - abs(yaw)).argmin())

    def find(
        self, image: NDArray[np.uint8], square: Region, yaw: float | None = None, starts: int = len(_STARTS)
    ) -> FoundShape:
        """The points of the face that fills a square of a (H, W, 3) BGR image.

        Args:
            image: BGR.
            square: where a detector, or the image before, has its `square_of`.
            yaw: about how it is turned, degrees; None for a first look, which tells that first of all.
            starts: how many; one takes a fraction of the time of all, and does not tell how sure the points are.

        Raises:
            Face3DMMError: the square does not touch the image.
        """
        cascade, view, aside = self.cascade, self.view_of(yaw), yaw is not None and yaw < 0.0
        region = replace(square, size=CROP_IN_SQUARES * square.size)
        crop = np.asarray(cv2.cvtColor(region.crop(image, CROP_SIDE), cv2.COLOR_BGR2GRAY), np.uint8)
        c = cascade.shapes(normalized(crop[:, ::-1] if aside else crop), view, self._starts[view][:starts])
        best, apart = c.mean(axis=0), c - c.mean(axis=0)
        variance = np.square(np.tensordot(apart, cascade.basis, (1, 2))).sum(axis=(0, 2)) / (2 * max(len(c) - 1, 1))
        shape, mean = cascade.points(view, best), cascade.mean[view]
        deviation = np.sqrt(cascade.spread[view, 0] + cascade.spread[view, 1] * variance)
        roll = _turned(mean, shape)
        turn = float(cascade.turn[view, :-1] @ best + cascade.turn[view, -1])
        if aside:
            mirror = cascade.mirror
            shape, variance, deviation = shape[mirror] * _FLIP, variance[mirror], deviation[mirror]
            roll, turn = -roll, -turn
        points = region.to_image(shape * np.float32(SQUARE_PX) + np.float32((CROP_SIDE - 1) / 2.0), CROP_SIDE)
        return FoundShape(
            points.astype(np.float32),
            (square.size * np.sqrt(variance)).astype(np.float32),
            (square.size * deviation).astype(np.float32),
            turn,
            square_of(points[IBUG68_IN_MEDIAPIPE478], square.angle + roll),
            best,
        )


def _turned(mean: NDArray[np.float32], shape: NDArray[np.float32]) -> float:
    """By how much a shape is turned against the mean one, radians (least squares over similarities)."""
    # In the plane a similarity is one complex factor and a shift.
    u, v = (points @ np.array([1.0, 1j]) for points in (mean, shape))
    return float(np.angle(np.vdot(u - u.mean(), v - v.mean())))
