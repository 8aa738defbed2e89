"""What a face detector learns from: windows of faces by their yaw, and windows of anything else."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.lab.labelled_faces import LabelledFace
from face3dmm_ros.landmarks.hog import CELL, CHANNELS, hog_features, mirrored
from face3dmm_ros.landmarks.hog_detector import WINDOW, WINDOW_IN_SQUARES
from face3dmm_ros.landmarks.region import Region

# All chosen by hand: how a face may lie in a window, and how pictures differ.
_SHIFT, _GROWTH, _ROLL = 0.08, 0.1, 13.0
"""How far a face may lie from a window's middle, in sides of its square, the log of its size from the window's, as the
nearest cell and the nearest size of the image have it, and its roll from the view's, degrees."""
_GAMMA, _SLOPE, _NOISE, _BLUR = (0.5, 1.8), 0.3, 6.0, 2.0
"""Exponents of shades; standard deviation of how they change from the middle to a side; of noise the largest standard
deviation, of 255; of blur the largest, px of the window."""
_COVERED = 0.15
"""Share of the faces that something lies over."""


class View(NamedTuple):
    """What a classifier learns: faces that look `yaw` to the side, or from `least` up to `most`, and are rolled.

    All in degrees; a positive roll turns a face's x axis toward the image's y axis.
    """

    yaw: float
    least: float
    most: float
    roll: float = 0.0

    def knows(self, face: LabelledFace) -> bool:
        """Whether it learns from a face, or its mirror image."""
        return self.least <= abs(face.yaw) <= self.most


def face_window(
    image: NDArray[np.uint8], face: LabelledFace, view: View, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The features of a window of a face, about where a detector would have it, (`WINDOW`, `WINDOW`, `CHANNELS`)."""
    # A view of faces that look ahead learns from both sides.
    mirror = face.yaw < 0.0 if view.yaw else bool(rng.random() < 0.5)
    square = face.square
    shift = square.size * rng.uniform(-_SHIFT, _SHIFT, 2)
    size = square.size * float(np.exp(rng.uniform(-_GROWTH, _GROWTH)))
    roll = math.radians(view.roll + rng.uniform(-_ROLL, _ROLL))
    angle = square.angle + (roll if mirror else -roll)
    framed = Region(square.x + float(shift[0]), square.y + float(shift[1]), size, angle)
    gray = _with_margin(image, framed)
    return _without_margin(disturbed(np.ascontiguousarray(gray[:, ::-1]) if mirror else gray, rng))


def window_features(image: NDArray[np.uint8], square: Region) -> NDArray[np.float32]:
    """The features of the window about a square of a BGR image, (`WINDOW`, `WINDOW`, `CHANNELS`)."""
    return _without_margin(_with_margin(image, square))


def _with_margin(image: NDArray[np.uint8], square: Region) -> NDArray[np.uint8]:
    """The grey picture of the window about a square, and of a cell more on each side."""
    wide = replace(square, size=square.size * WINDOW_IN_SQUARES * (WINDOW + 2) / WINDOW)
    return np.asarray(cv2.cvtColor(wide.crop(image, CELL * (WINDOW + 2)), cv2.COLOR_BGR2GRAY), np.uint8)


def _without_margin(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Its features without those cells, on whose neighbours the others' depend."""
    return hog_features(np.ascontiguousarray(gray))[1:-1, 1:-1]


def disturbed(gray: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A grey picture as another camera might have taken it, and at times with something before it."""
    side = len(gray)
    if rng.random() < _COVERED:
        gray = gray.copy()
        width, height = rng.integers(side // 8, side // 3, 2)
        x, y = rng.integers(0, side - width), rng.integers(side // 3, side - height)
        gray[y : y + height, x : x + width] = rng.integers(0, 256)
    shades = 255.0 * (gray / 255.0) ** rng.uniform(*_GAMMA)
    shades = 128.0 * rng.uniform(0.6, 1.2) + (shades - 128.0) * rng.uniform(0.4, 1.1)
    if rng.random() < 0.5:
        along, (across, down) = np.linspace(-1.0, 1.0, side), _SLOPE * rng.standard_normal(2)
        shades = shades * (1.0 + across * along + down * along[:, None])
    if rng.random() < 0.5:
        shades = np.asarray(cv2.GaussianBlur(shades, (0, 0), rng.uniform(0.3, _BLUR)), np.float64)
    return np.clip(shades + rng.uniform(0.0, _NOISE) * rng.standard_normal(gray.shape), 0, 255).astype(np.uint8)


def random_windows(image: NDArray[np.uint8], count: int, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Features of windows anywhere in a BGR picture without a face, at sizes from the smallest to all of it."""
    smaller = min(image.shape[:2])
    for _ in range(count):
        # By rounding it may be larger than all of the picture.
        side = min(float(np.exp(rng.uniform(np.log(min(48.0, smaller)), np.log(smaller)))), smaller)
        x, y = (rng.uniform(side / 2, length - side / 2) for length in image.shape[1::-1])
        yield window_features(image, Region(x, y, side / WINDOW_IN_SQUARES))


def principal_components(windows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The leading components of cells' features, (`CHANNELS`, count), each even or odd under mirroring.

    They are those of cells and their mirror images together, whose covariance mirroring does not change: split into
    its even and its odd part, each has its own.
    """
    cells = windows.reshape(-1, CHANNELS).astype(np.float64)
    second = cells.T @ cells / len(cells)
    flip = mirrored(np.eye(CHANNELS, dtype=np.float32)[:, None])[:, 0].astype(np.float64)
    second = (second + flip.T @ second @ flip) / 2.0
    vectors, values = [], []
    for sign in (1.0, -1.0):
        span = np.linalg.svd(np.eye(CHANNELS) + sign * flip)
        basis = span[0][:, span[1] > 1e-6]
        value, vector = np.linalg.eigh(basis.T @ second @ basis)
        vectors.append(basis @ vector)
        values.append(value)
    best = np.argsort(-np.concatenate(values))[:count]
    return np.concatenate(vectors, axis=1)[:, best].astype(np.float32)
