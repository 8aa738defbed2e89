"""Cameras, streams and video files, all read by OpenCV."""

import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from math import nan
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_limits import check_size
from face3dmm_ros.files.sample_depth import SampleDepth

DEVICES = Path("/dev")
"""Where Linux has cameras: as video0, video1, … and, under their names and places, as links in v4l/."""
USUAL_RATE = 30.0
"""Images per second where OpenCV gives no plausible rate: that of most webcams."""
_LONGEST_PAUSE = 60.0
"""s between two images of a video, beyond which its times are taken to be wrong. By hand."""
_TIMEOUT = 5
"""s that a stream may take to open, or to give an image; OpenCV's own are 30. By hand: a node that is to stop waits so
long."""
_LIMITS = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 1000 * _TIMEOUT, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 1000 * _TIMEOUT]
_GREY16, _Y16 = int.from_bytes(b"Y1\x00\x10", "little"), int.from_bytes(b"Y16 ", "little")
"""Grey of 16 bits: FFmpeg's gray16le, as `cv2.CAP_PROP_CODEC_PIXEL_FORMAT` has it, and V4L2's Y16."""


@dataclass(frozen=True)
class CameraRequest:
    """What a camera is asked for; zeros and an empty format leave it to the camera.

    Attributes:
        image_size: (width, height), px.
        rate: images per second.
        pixel_format: how it sends pixels, four letters (V4L2's FourCC), such as MJPG or YUYV.

    Raises:
        Face3DMMError: the format has not four letters.
    """

    image_size: tuple[int, int] = (0, 0)
    rate: float = 0.0
    pixel_format: str = ""

    def __post_init__(self) -> None:
        """Check the format."""
        if self.pixel_format and not (len(self.pixel_format) == 4 and self.pixel_format.isascii()):
            raise Face3DMMError(
                f"a camera's format has four letters, such as MJPG or YUYV (v4l2-ctl --list-formats): found "
                f"{self.pixel_format!r}"
            )


AS_IT_IS = CameraRequest()
"""Leaves everything to the camera."""


class Capture:
    """What cameras, streams and video files share: reading by OpenCV."""

    description: str
    notice = ""
    count = 0
    interval: float
    _capture: cv2.VideoCapture

    def __init__(self, description: str) -> None:
        """Before anything is opened."""
        self.description = description
        self._depth = SampleDepth()

    def grab(self) -> bool:
        """Wait for the next image, or decode it."""
        with suppress(cv2.error):
            return self._capture.grab()
        return False

    def retrieve(self) -> NDArray[np.uint8]:
        """The image last grabbed; grey ones of 16 bits are scaled by their `SampleDepth`."""
        with suppress(cv2.error):
            readable, image = self._capture.retrieve()
            if readable and image.dtype == np.uint16:
                return self._depth.scaled(np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint16))
            if readable:
                return np.asarray(image, np.uint8)
        raise Face3DMMError(f"an image of {self.description} cannot be read")

    def close(self) -> None:
        """Give back camera or file."""
        self._capture.release()

    def _keep_16_bits(self, of: int, grey: int) -> None:
        """Keep all bits of this grey format: OpenCV would take the upper 8, of which a camera of 10 bits uses two."""
        if self._capture.get(of) == grey:
            self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)

    def _rate(self) -> float:
        """The rate that OpenCV reports; `USUAL_RATE` where that is 0, NaN or absurd (beyond 0.1 to 1,000 images/s)."""
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        return rate if 0.1 <= rate <= 1000.0 else USUAL_RATE


class Camera(Capture):
    """A camera by its index, or by the path of its device or of a link to it."""

    live = True

    def __init__(self, device: int | Path, request: CameraRequest) -> None:
        """Open a camera and ask it for what is wanted; what it does not give is its `notice`.

        Raises:
            Face3DMMError: no such camera, or it gives no image.
        """
        super().__init__(f"camera {device}" if isinstance(device, int) else str(device))
        path = DEVICES / f"video{device}" if isinstance(device, int) else device
        # OpenCV would look for it too, and write a warning each time.
        if sys.platform == "linux" and not path.exists():
            raise Face3DMMError(f"there is no {path}: is the camera plugged in?")
        # A path by V4L2 alone: OpenCV's readers of files would have their turn before.
        reader = cv2.CAP_ANY if isinstance(device, int) else cv2.CAP_V4L2
        self._capture = cv2.VideoCapture(device if isinstance(device, int) else str(device), reader)
        self._ask_for(request)
        if not (self._capture.isOpened() and self.grab()):
            self.close()
            raise Face3DMMError(
                f"{self.description} cannot be opened or gives no image: is it plugged in ({path}), not in use by "
                "another program, and are you in the group `video`?"
            )
        self.rate = self._rate()
        self.interval = 1.0 / self.rate
        self.notice = self._missing(request)

    def rewind(self) -> bool:
        """A camera does not begin anew."""
        return False

    def _ask_for(self, request: CameraRequest) -> None:
        # The format first: it decides which sizes and rates there are.
        if request.pixel_format:
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*request.pixel_format))
        sizes_and_rate = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)
        for setting, value in zip(sizes_and_rate, (*request.image_size, request.rate), strict=True):
            if value > 0:
                self._capture.set(setting, value)
        # With a longer queue, a slow reader would get old images.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._keep_16_bits(cv2.CAP_PROP_FOURCC, _Y16)

    def _missing(self, request: CameraRequest) -> str:
        """What was asked for and is not given, but for the size, to which images are scaled; empty if nothing."""
        missing = []
        code = int(self._capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        pixel_format = code.to_bytes(4, "little").decode("ascii", "replace").strip("\0") or "another"
        if request.pixel_format not in ("", pixel_format):
            missing.append(f"{request.pixel_format} and gives {pixel_format}")
        if request.rate > self.rate:
            missing.append(f"{request.rate:g} images/s and gives {self.rate:g}")
        return f"{self.description} was asked for {', for '.join(missing)}" if missing else ""


class Video(Capture):
    """A video file, whose images keep the times that it gives them; or what a URL leads to, mostly a live camera."""

    _time_s: float
    _stated_s: float

    def __init__(self, location: str) -> None:
        """Open a video by its path or URL; a password in a URL is left out of the description.

        Raises:
            Face3DMMError: it is not there, gives no image, or one that is too large.
        """
        super().__init__(without_password(location))
        self._location = location
        self._begin()
        width, height = (int(self._capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        check_size(width, height, self.description)
        if not (self._capture.isOpened() and super().grab()):
            self.close()
            raise Face3DMMError(
                f"{self.description} cannot be opened or gives no image within {_TIMEOUT} s: are address, "
                "user and password right, and does the camera answer?"
                if is_url(location)
                else f"{location} is not a readable video"
            )
        # How many images there are is known of recordings alone.
        self.count = max(0, int(np.nan_to_num(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))))
        self.live = is_url(location) and not self.count
        if not self.live:
            self.rewind()

    def grab(self) -> bool:
        """Decode the next image, and find how long after the one before it is to be shown."""
        if not super().grab():
            return False
        time_s = 1e-3 * self._capture.get(cv2.CAP_PROP_POS_MSEC)
        self.interval = time_s - self._time_s
        if 0.0 < self.interval <= _LONGEST_PAUSE:
            self._time_s = time_s
        else:
            # No times, or such as stand still: go on at the usual pace. Where they jump, go on from there.
            self.interval = 1.0 / self.rate
            self._time_s = self._time_s + self.interval if time_s == self._stated_s else time_s
        self._stated_s = time_s
        return True

    def rewind(self) -> bool:
        """Go back to the first image. The file is reopened, since not every format can seek."""
        self._capture.release()
        self._begin()
        return self._capture.isOpened()

    def _begin(self) -> None:
        self._capture = (
            cv2.VideoCapture(self._location, cv2.CAP_FFMPEG, _LIMITS)
            if is_url(self._location)
            else cv2.VideoCapture(self._location)
        )
        self._keep_16_bits(cv2.CAP_PROP_CODEC_PIXEL_FORMAT, _GREY16)
        self.rate = self._rate()
        self.interval = 1.0 / self.rate
        self._time_s = self._stated_s = nan


def camera_indices() -> list[int]:
    """The indices of the video devices that there are, in order; not all of them need be cameras."""
    return sorted(int(number) for path in DEVICES.glob("video*") if re.fullmatch("[0-9]+", number := path.name[5:]))


def is_device(source: str) -> bool:
    """Whether a source is named by the path of a device, such as /dev/video2 or a link in /dev/v4l/by-id."""
    return source.startswith(f"{DEVICES}/")


def is_url(source: str) -> bool:
    """Whether a source is named by a URL, such as rtsp://camera/stream."""
    return "://" in source


def without_password(url: str) -> str:
    """A URL for people and logs: in place of a password it has an ellipsis."""
    found = re.fullmatch(r"(\w+://[^/:@]*):[^/]*@(.*)", url)
    return f"{found[1]}:…@{found[2]}" if found else url
