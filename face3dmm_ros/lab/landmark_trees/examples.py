"""What trees learn from: crops of faces, where their points are, and where the trees begin to look for them."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.lab.labelled_faces import LabelledFace
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.regression_trees import CROP_IN_SQUARES, CROP_SIDE, normalized

# All chosen by hand: how a detector, or the last image of a film, frames a face.
_SHIFT, _GROWTH, _ROLL = 0.06, 0.09, 0.14
"""Standard deviations of its place, in sides of the square, of the log of its size, and of its roll, radians."""
_COVERED = 0.12
_GAMMA, _NOISE, _BLUR = (0.5, 1.8), 8.0, 2.0


@dataclass(frozen=True, eq=False)
class Examples:
    """N crops.

    Attributes:
        crops: (N, `CROP_SIDE`, `CROP_SIDE`) grey, of normalized shades.
        points: (N, P, 2) float32, in sides of the crop's square, from its middle.
        yaw: (N,) degrees.
    """

    crops: NDArray[np.uint8]
    points: NDArray[np.float32]
    yaw: NDArray[np.float32]


def examples_of(
    faces: list[LabelledFace], mirror: NDArray[np.integer], both: bool, repeats: int, rng: np.random.Generator
) -> Examples:
    """Crops of faces that look to the right of the image, others mirrored; with `both`, as many of each as there are.

    Args:
        faces: the faces.
        mirror: (P,) each point's counterpart.
        both: whether each face is taken as it is and mirrored.
        repeats: crops of a face, each framed and disturbed anew.
        rng: of all that is random.
    """
    count = len(faces) * repeats
    crops = np.empty((count, CROP_SIDE, CROP_SIDE), np.uint8)
    points, yaws = np.empty((count, len(mirror), 2), np.float32), np.empty(count, np.float32)
    middle = (CROP_SIDE - 1) / 2.0
    for k, face in enumerate(faces):
        image = read_picture(face.picture, upright=False)
        for repeat in range(repeats):
            i = k * repeats + repeat
            region = framed(face.square, rng)
            crop = cv2.cvtColor(region.crop(image, CROP_SIDE), cv2.COLOR_BGR2GRAY)
            there = (region.to_crop(face.points, CROP_SIDE) - middle) * (CROP_IN_SQUARES / CROP_SIDE)
            yaw = face.yaw
            if bool(i % 2) if both else yaw < 0.0:
                crop, there, yaw = crop[:, ::-1], there[mirror] * [-1.0, 1.0], -yaw
            crops[i] = normalized(disturbed(np.ascontiguousarray(crop), rng))
            points[i], yaws[i] = there, yaw
    return Examples(crops, points, yaws)


def framed(square: Region, rng: np.random.Generator) -> Region:
    """A region for the crop of a face, about as it would be framed before its points are known."""
    shift = _SHIFT * square.size * rng.standard_normal(2)
    size = square.size * float(np.exp(_GROWTH * rng.standard_normal()))
    roll = float(_ROLL * np.clip(rng.standard_normal(), -2.5, 2.5))
    return Region(square.x + float(shift[0]), square.y + float(shift[1]), CROP_IN_SQUARES * size, square.angle + roll)


def disturbed(gray: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A grey crop as another camera might have taken it, and at times with something before it."""
    shades = gray.astype(np.float32)
    side = len(gray)
    if rng.random() < _COVERED:
        width, height = rng.integers(side // 8, side // 3, 2)
        x, y = rng.integers(side // 8, side - side // 8 - width), rng.integers(side // 8, side - side // 8 - height)
        shades[y : y + height, x : x + width] = rng.uniform(0, 255)
    shades = 255.0 * (shades / 255.0) ** np.float32(rng.uniform(*_GAMMA))
    if rng.random() < 0.4:
        shades = np.asarray(cv2.GaussianBlur(shades, (0, 0), rng.uniform(0.3, _BLUR)), np.float32)
    if rng.random() < 0.5:
        # Light from one side.
        ramp = np.linspace(-1.0, 1.0, side, dtype=np.float32)
        slope = rng.normal(0.0, 0.25, 2)
        shades = shades * np.float32(1.0) * (1.0 + slope[0] * ramp[None, :] + slope[1] * ramp[:, None])
    noise = rng.uniform(0.0, _NOISE) * rng.standard_normal(gray.shape)
    return np.clip(shades + noise, 0, 255).astype(np.uint8)
