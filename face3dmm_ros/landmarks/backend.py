"""What every landmark detector offers, so that one tracker serves them all."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import Box, Landmarks
from face3dmm_ros.landmarks.region import Region


@dataclass(frozen=True)
class Detection:
    """A face found in an image.

    Attributes:
        box: the face, px, as the detector frames it.
        score: in [0, 1].
        region: where the same backend looks for its landmarks.
    """

    box: Box
    score: float
    region: Region


@dataclass(frozen=True, eq=False)
class LocatedFace:
    """Landmarks of one face, and where to look for them in the next image.

    Attributes:
        landmarks: with the confidence that there is a face.
        region: where to look in the next image.
        seen: the backend's own state for the next image.
        confirmed: confidence of a second, independent network that there is a face, in [0, 1]; None where there is
            none.
    """

    landmarks: Landmarks
    region: Region
    seen: object = None
    confirmed: float | None = None


class LandmarkBackend(Protocol):
    """Finds faces and their landmarks in single images; holds no state from image to image.

    Attributes:
        scheme: of the landmarks that it gives; see `landmarks.schemes`.
        parallel: whether several threads may use it at once.
    """

    scheme: str
    parallel: bool

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """All faces in a (H, W, 3) BGR image, the surest first."""
        ...

    def locate(self, image: NDArray[np.uint8], region: Region, before: LocatedFace | None = None) -> LocatedFace:
        """Landmarks of the face in a region of a (H, W, 3) BGR image.

        `before` is what this backend located of the same face in the image before: it may look less closely then.

        Raises:
            Face3DMMError: the region does not touch the image.
        """
        ...

    def glance(self, image: NDArray[np.uint8], region: Region) -> LocatedFace:
        """The same in less time where the backend can, well enough to say where to look again.

        Raises:
            Face3DMMError: the region does not touch the image.
        """
        return self.locate(image, region)


def check_image(image: object) -> NDArray[np.uint8]:
    """The image as a contiguous array that is only read, so that compiled functions meet one kind of array.

    Raises:
        Face3DMMError: the image is not a non-empty (H, W, 3) uint8 array.
    """
    if image is None:
        raise Face3DMMError(
            "expected an image as a (H, W, 3) uint8 array, found None: the camera or the file gave none, so check that "
            "it is there, and has not come to its end"
        )
    if not isinstance(image, np.ndarray):
        raise Face3DMMError(f"expected an image as a (H, W, 3) uint8 array, found {type(image).__name__}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise Face3DMMError(
            f"expected an image as a (H, W, 3) uint8 array, found shape {image.shape} of {image.dtype}: "
            f"{_remedy(image)}"
        )
    if image.size == 0:
        raise Face3DMMError(f"the image is empty: its shape is {image.shape}")
    read_only = np.ascontiguousarray(image).view()
    read_only.flags.writeable = False
    return read_only


def _remedy(image: NDArray) -> str:
    """How to make an image of three channels of uint8 of an array that is none."""
    if image.dtype != np.uint8:
        return "scale its values to 0 … 255 and convert it with .astype(np.uint8)"
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        return "it is grey, so give it three channels with cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)"
    if image.ndim == 3 and image.shape[2] == 4:
        return "it has a fourth channel, so take image[..., :3]"
    return "give it one image, rows first and channels last"
