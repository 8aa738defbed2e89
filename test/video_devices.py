"""Cameras that are plugged in and out, streams that break, and videos of variable frame rate, for tests."""

import struct
import time
from pathlib import Path

import cv2
import numpy as np

SIZE = (32, 24)


class VideoDevices:
    """Stands in for `cv2.VideoCapture`: devices in a folder, which stands for /dev, and streams by their URLs.

    Attributes:
        opened: what was asked to be opened, each time, with the reader of OpenCV that was asked.
        settings: what the last opened device was asked for, in that order.
        gives: what devices answer, whatever they were asked for.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.opened: list[tuple[object, int]] = []
        self.settings: list[tuple[int, float]] = []
        self.gives: dict[int, float] = {}
        self._values: dict[str, int] = {}
        self._left: dict[str, int] = {}

    def plug_in(self, name: str, value: int, images: int = 1_000_000) -> None:
        """A device, or a URL, that gives so many images of one value."""
        self._values[name], self._left[name] = value, images
        if "://" not in name:
            (self.folder / name).touch()

    def unplug(self, name: str) -> None:
        del self._left[name], self._values[name]
        (self.folder / name).unlink(missing_ok=True)

    def take_image(self, name: str) -> bool:
        time.sleep(0.005)
        self._left[name] = self._left.get(name, 0) - 1
        return self._left[name] >= 0

    def value(self, name: str) -> int:
        return self._values[name]

    def is_there(self, name: str) -> bool:
        return name in self._values

    def __call__(self, location: int | str, reader: int = cv2.CAP_ANY, limits: tuple[int, ...] = ()) -> "_Capture":
        self.opened.append((location, reader))
        self.settings.clear()
        if isinstance(location, str) and "://" in location:
            return _Capture(self, location)
        path = self.folder / f"video{location}" if isinstance(location, int) else Path(location)
        return _Capture(self, path.resolve().name)


class _Capture:
    """What an open device is: it does not follow a device that is plugged in anew."""

    def __init__(self, devices: VideoDevices, name: str) -> None:
        self._devices, self._name = devices, name
        self._value = devices.value(name) if devices.is_there(name) else None

    def isOpened(self) -> bool:
        return self._value is not None

    def grab(self) -> bool:
        there = self._devices.is_there(self._name) and self._devices.value(self._name) == self._value
        return there and self._devices.take_image(self._name)

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        if (cv2.CAP_PROP_CONVERT_RGB, 0) in self._devices.settings:
            return True, np.full(SIZE[::-1], self._value, np.uint16)
        return (True, np.full((*SIZE[::-1], 3), self._value, np.uint8)) if self._value else (False, None)

    def set(self, setting: int, value: float) -> bool:
        self._devices.settings.append((setting, value))
        return True

    def get(self, setting: int) -> float:
        asked = dict(self._devices.settings)
        return self._devices.gives.get(setting, asked.get(setting, 0.0))

    def release(self) -> None:
        self._value = None


def write_video(path: Path, times_s: list[float]) -> None:
    """An MP4 file with an image for each of these times, which begin with 0; the k-th image has the value 10 k.

    OpenCV writes it at a constant rate; then its table of durations (`stts`) is replaced, which lies behind the images.
    """
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30.0, SIZE)
    for k in range(len(times_s)):
        writer.write(np.full((*SIZE[::-1], 3), 10 * k, np.uint8))
    writer.release()
    data = bytearray(path.read_bytes())
    ticks = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)[0]
    durations = np.diff(np.round(np.array([*times_s, 2 * times_s[-1] - times_s[-2]]) * ticks).astype(int))
    table = struct.pack(">II", 0, len(durations)) + b"".join(struct.pack(">II", 1, d) for d in durations)
    start = data.index(b"stts")
    grown = len(table) + 8 - struct.unpack_from(">I", data, start - 4)[0]
    data[start + 4 : start + 4 + len(table) - grown] = table
    for name in (b"stts", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        place = data.index(name) - 4
        struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + grown)
    # Its list of edits would cut the video at its old length.
    edits = data.index(b"edts")
    data[edits : edits + 4] = b"free"
    path.write_bytes(data)
