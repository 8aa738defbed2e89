"""The dense network: 468 points of a face turned by up to 90°, each with its depth and how far it may be off.

A small convolutional network that regresses every point and its standard deviation (Wood et al., 3D Face Reconstruction
with Dense Landmarks, ECCV 2022). Its first layers are Face Mesh's; the rest was trained by `face3dmm train dense`, then
`dense_people`, on this package's synthetic faces and on photographs turned to the side. Its points keep their place on
the skin, seen or not. It runs on LiteRT.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.landmarks.network import Network
from face3dmm_ros.landmarks.region import Region, region_around
from face3dmm_ros.landmarks.schemes import SKIN_COUNT

SIDE = 160
"""Side of the network's input, px."""
FEATURES = (10, 10, 128)
"""Of the network's layers before it reaches a stride of 32: rows, columns, channels."""
MARGIN = 1.25
"""Side of its crop over the longer side of the points' box, as in its training."""
_FOREHEAD, _CHIN = 10, 152
_MIRRORED = np.array([-1, 1, 1, 1], np.float32)
_DOUBTFUL, _STEEPNESS = 0.06, 6.0
"""Median σ of the points, in sides of the crop, at which a face is as likely as not, and how steeply that changes:
where there is no face, σ of all points is large. Chosen by hand."""


@dataclass(frozen=True, eq=False)
class DensePoints:
    """What the network sees in a region.

    Attributes:
        points: (468, 2) float32, px.
        depth: (468,) float32, px about their mean; smaller is nearer to the camera.
        deviation: (468,) float32 standard deviation of each coordinate, px.
        confidence: that this is a face, in [0, 1].
        features: (F,) float32 of the layer `FEATURES`, for an `ExpressionReader`.
        on_crop: (468, 2) float32 the points in the network's crop, px, for a `CoverReader`.
    """

    points: NDArray[np.float32]
    depth: NDArray[np.float32]
    deviation: NDArray[np.float32]
    confidence: float
    features: NDArray[np.float32]
    on_crop: NDArray[np.float32]

    def mixed(self, other: "DensePoints", share: float) -> "DensePoints":
        """These and, by a share in [0, 1], others of the same face; with the features and the crop of these."""
        mine, theirs = np.float32(1.0 - share), np.float32(share)
        return DensePoints(
            mine * self.points + theirs * other.points,
            mine * self.depth + theirs * other.depth,
            mine * self.deviation + theirs * other.deviation,
            (1.0 - share) * self.confidence + share * other.confidence,
            self.features,
            self.on_crop,
        )


class DenseNetwork:
    """The network. Not for use by several threads at once."""

    def __init__(self, path: Path) -> None:
        """Load a .tflite file.

        Raises:
            Face3DMMError: LiteRT is not installed, or the file is missing or not such a network.
        """
        if not path.is_file():
            raise Face3DMMError(f"{path} is missing: the package is not installed completely")
        self._network = Network(path, (0.0, 1.0))
        outputs = self._network.run(np.zeros((self._network.side, self._network.side, 3), np.uint8))
        if self._network.side != SIDE or [output.shape for output in outputs] != [(SKIN_COUNT * 4,), FEATURES]:
            raise Face3DMMError(
                f"{path} takes {self._network.side} px and gives arrays of {[output.shape for output in outputs]}, "
                f"expected {SIDE} px and arrays of {[(SKIN_COUNT * 4,), FEATURES]}"
            )

    def locate_in_crop(
        self, crop: NDArray[np.uint8], region: Region, mirror: NDArray[np.int32] | None = None
    ) -> DensePoints:
        """The points of the face in the crop of a region (see `upright_region`).

        Args:
            crop: (SIDE, SIDE, 3) uint8 BGR.
            region: that it shows.
            mirror: (468,) each point's counterpart on the other side of the face: run on the mirror image and mirror
                the points back; their errors differ from those on the crop itself.
        """
        outputs, features = self._network.run(crop if mirror is None else crop[:, ::-1])
        outputs = outputs.reshape(SKIN_COUNT, 4)
        if mirror is not None:
            outputs = outputs[mirror] * _MIRRORED
        points, depth, deviation, on_crop = _in_image(outputs, region.crop_to_image(SIDE), region.size)
        middle = float(np.sort(deviation)[SKIN_COUNT // 2 - 1 : SKIN_COUNT // 2 + 1].mean()) / region.size
        confidence = 1.0 / (1.0 + (middle / _DOUBTFUL) ** _STEEPNESS)
        return DensePoints(points, depth, deviation, confidence, features.ravel(), on_crop)


@compiled
def _in_image(
    outputs: NDArray[np.float32], crop_to_image: NDArray[np.float64], size: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """`DensePoints`' points, depth, deviation and place on a crop of so many px by the network's outputs (468, 4)."""
    points, on_crop = np.empty((len(outputs), 2), np.float32), np.empty((len(outputs), 2), np.float32)
    depth, deviation = np.empty(len(outputs), np.float32), np.empty(len(outputs), np.float32)
    middle = 0.0
    for point in range(len(outputs)):
        middle += outputs[point, 2] / len(outputs)
    for point in range(len(outputs)):
        x, y = outputs[point, 0] * SIDE + (SIDE - 1) / 2.0, outputs[point, 1] * SIDE + (SIDE - 1) / 2.0
        on_crop[point, 0], on_crop[point, 1] = x, y
        for axis in range(2):
            points[point, axis] = crop_to_image[axis, 0] * x + crop_to_image[axis, 1] * y + crop_to_image[axis, 2]
        # The network's depth grows toward the viewer.
        depth[point] = size * (middle - outputs[point, 2])
        deviation[point] = size * math.exp(min(max(outputs[point, 3], -7.0), 0.0))
    return points, depth, deviation, on_crop


def upright_region(points: NDArray[np.floating], margin: float = MARGIN) -> Region:
    """The square around a face's 468 points (468, 2), px, turned so that its chin lies below its forehead."""
    up = points[_FOREHEAD] - points[_CHIN]
    return region_around(points, math.atan2(up[0], -up[1]), margin)
