"""The dense network: 468 points of a face turned by up to 90°, each with its depth and how far it may be off.

A small convolutional network that regresses every point and its standard deviation (Wood et al., 3D Face Reconstruction
with Dense Landmarks, ECCV 2022), trained by `tools/train_dense_network.py` on this package's synthetic faces alone. Its
points keep their place on the skin, seen or not. It runs on OpenCV.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.errors import Face3DMMError
from face3dmm_ros.landmarks.region import Region, region_around

SIDE = 96
"""Side of the network's input, px."""
POINT_COUNT = 468
MARGIN = 1.25
"""Side of its crop over the longer side of the points' box."""
_FOREHEAD, _CHIN = 10, 152
# Where there is no face, the network is unsure of all its points: the median deviation, in sides of the crop, at which
# a face is as likely as not, and how steeply that changes.
_DOUBTFUL, _STEEPNESS = 0.072, 6.0


@dataclass(frozen=True, eq=False)
class DensePoints:
    """What the network sees in a region.

    Attributes:
        points: (468, 2) float32, px.
        depth: (468,) float32, px about their mean; smaller is nearer to the camera.
        deviation: (468,) float32 standard deviation of each coordinate, px.
        confidence: that this is a face, in [0, 1].
    """

    points: NDArray[np.float32]
    depth: NDArray[np.float32]
    deviation: NDArray[np.float32]
    confidence: float


class DenseNetwork:
    """The network. Not for use by several threads at once."""

    def __init__(self, path: Path) -> None:
        """Load an ONNX file.

        Raises:
            Face3DMMError: the file is missing or not such a network.
        """
        if not path.is_file():
            raise Face3DMMError(f"{path} is missing: the package is not installed completely")
        try:
            self._network = cv2.dnn.readNetFromONNX(str(path))
            outputs = self._run(np.zeros((SIDE, SIDE, 3), np.uint8))
        except cv2.error as error:
            raise Face3DMMError(f"{path} is not a network that OpenCV can run: {error}") from error
        if outputs.shape != (POINT_COUNT, 4):
            raise Face3DMMError(f"{path} gives an array of {outputs.shape}, expected ({POINT_COUNT}, 4)")

    def locate(self, image: NDArray[np.uint8], region: Region) -> DensePoints:
        """The points of the face in a region (see `upright_region`) of a (H, W, 3) BGR image.

        Raises:
            Face3DMMError: the region does not touch the image.
        """
        outputs = self._run(region.crop(image, SIDE))
        matrix = region.crop_to_image(SIDE).astype(np.float32)
        on_crop = outputs[:, :2] * np.float32(SIDE) + np.float32((SIDE - 1) / 2.0)
        size = np.float32(region.size)
        deviation = np.exp(np.clip(outputs[:, 3], -7.0, 0.0))
        return DensePoints(
            points=on_crop @ matrix[:, :2].T + matrix[:, 2],
            # The network's depth grows toward the viewer.
            depth=-size * (outputs[:, 2] - outputs[:, 2].mean()),
            deviation=size * deviation,
            confidence=float(1.0 / (1.0 + (np.median(deviation) / _DOUBTFUL) ** _STEEPNESS)),
        )

    def _run(self, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(468, 4): x and y from the crop's middle and depth, in sides, and the logarithm of the deviation."""
        self._network.setInput(cv2.dnn.blobFromImage(crop, 1.0 / 127.5, (SIDE, SIDE), (127.5, 127.5, 127.5)))
        return np.asarray(self._network.forward(), dtype=np.float32).reshape(-1, 4)


def upright_region(points: NDArray[np.floating], margin: float = MARGIN) -> Region:
    """The square around a face's 468 points (468, 2), px, turned so that its chin lies below its forehead."""
    up = points[_FOREHEAD] - points[_CHIN]
    return region_around(points, float(np.arctan2(up[0], -up[1])), margin)
