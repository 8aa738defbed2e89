"""A bag's images as a film."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.bags.reader import BagReader, RecordedImage
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_clock import ImageClock
from face3dmm_ros.files.captures import USUAL_RATE

_SUFFIXES = (".mcap", ".db3")


def is_bag(path: Path) -> bool:
    """Whether a path is a rosbag2: a file of its kinds, or a folder with one."""
    if path.is_dir():
        return any(each.suffix in _SUFFIXES for each in path.iterdir())
    return path.suffix in _SUFFIXES


class BagFrames:
    """A bag's images, of /camera/image_raw or its only image topic, at the times of their stamps: a `FrameSource`."""

    live = False
    rate = USUAL_RATE

    def __init__(self, path: Path) -> None:
        """Open a bag.

        Raises:
            Face3DMMError: it cannot be read, or it is not clear which of its topics are the images.
        """
        self._reader = BagReader(path)
        self.notice = self._reader.notice
        self._topic = self._reader.image_topic()
        self.count = self._reader.count(self._topic)
        self.description = f"{self._topic} in {path}"
        self.interval = 1.0 / self.rate
        self._images = self._reader.images(self._topic)
        self._image: RecordedImage | None = None
        self._clock = ImageClock()
        self._time_ns: int | None = None

    def grab(self) -> bool:
        """Go to the next image."""
        self._image = next(self._images, None)
        if self._image is None:
            return False
        time_ns = self._clock.time_of(self._image.stamp_ns, self._image.time_ns)
        if self._time_ns is not None:
            self.interval = max(0.0, 1e-9 * (time_ns - self._time_ns))
        self._time_ns = time_ns
        return True

    def retrieve(self) -> NDArray[np.uint8]:
        """The image last grabbed."""
        if self._image is None:
            raise Face3DMMError(f"{self.description} has no further image")
        return self._image.pixels()

    def rewind(self) -> bool:
        """Back to the first image."""
        self._images = self._reader.images(self._topic)
        self._image = self._time_ns = None
        self._clock = ImageClock()
        return True

    def close(self) -> None:
        """Close the bag."""
        self._reader.close()
