"""What is behind a face: photographs where there are some, and procedural textures."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.files import pictures
from face3dmm_ros.lab.synthesis.environment import behind
from face3dmm_ros.lab.synthesis.scene import Background

_FREE_PHOTOGRAPHS = (
    "coffee.png", "chelsea.png", "rocket.jpg", "brick.png", "grass.png", "gravel.png", "motorcycle_left.png",
    "motorcycle_right.png", "hubble_deep_field.jpg", "coins.png",
)  # fmt: skip
# As all probabilities and sizes of this module chosen by hand, while looking at backgrounds.
_LONGEST_SIDE = 640  # px; pictures are kept at this size, so that 256 of them fit into memory


def find_pictures(folder: Path | None) -> tuple[Path, ...]:
    """Pictures to stand behind faces, in the order of their names.

    Args:
        folder: of the user's own, searched with its subfolders; None for those photographs without people that
            scikit-image carries, where it is installed.

    Raises:
        Face3DMMError: the folder is none, or holds no picture.
    """
    if folder is not None:
        return tuple(pictures.find_pictures(folder))
    from importlib.util import find_spec

    package = find_spec("skimage")
    if package is None or package.origin is None:
        return ()
    data = Path(package.origin).parent / "data"
    return tuple(data / name for name in _FREE_PHOTOGRAPHS if (data / name).is_file())


def draw_background(background: Background, image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """The background alone, (H, W, 3) uint8 BGR.

    Raises:
        Face3DMMError: the background's picture cannot be read.
    """
    rng = np.random.default_rng(background.seed)
    width, height = image_size
    if background.place is not None:
        image = behind(background.place, background.field_of_view, image_size)
    elif background.picture is not None:
        image = _cut(_read(background.picture), image_size, rng)
        if rng.random() < 0.3:
            image = image[:, ::-1]
        tint = rng.uniform(0.6, 1.15) * rng.uniform(0.85, 1.15, 3)
        image = np.asarray(cv2.convertScaleAbs(cv2.multiply(image, np.array([*tint, 1.0]))), np.uint8)
    else:
        painters: tuple[Callable, ...] = (_gradient, _clouds, _room, _lights, _foliage)
        painter = painters[int(rng.integers(len(painters)))]
        small = (max(width // 2, 8), max(height // 2, 8))
        image = cv2.resize(painter(rng, small), image_size, interpolation=cv2.INTER_LINEAR)
    sigma = background.blur * width
    return np.asarray(_blurred(np.ascontiguousarray(image), sigma), np.uint8)


def _blurred(image: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Gaussian blur; a wide one is computed on a smaller picture."""
    if sigma < 0.5:
        return image
    factor = min(int(sigma / 1.5), 8)
    if factor < 2:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
    height, width = image.shape[:2]
    small = cv2.resize(image, (max(width // factor, 4), max(height // factor, 4)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


@lru_cache(maxsize=256)
def _read(path: Path) -> NDArray[np.uint8]:
    picture = pictures.read_picture(path, upright=True)
    scale = _LONGEST_SIDE / max(picture.shape[:2])
    if scale < 1.0:
        return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    return picture


def _cut(picture: NDArray[np.uint8], image_size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A random part of a picture with the image's aspect, scaled to it."""
    height, width = picture.shape[:2]
    aspect = image_size[0] / image_size[1]
    full_width, full_height = min(width, height * aspect), min(height, width / aspect)
    share = rng.uniform(0.5, 1.0)
    w, h = max(int(share * full_width), 2), max(int(share * full_height), 2)
    x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
    return np.asarray(cv2.resize(picture[y : y + h, x : x + w], image_size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _color(rng: np.random.Generator, vivid: float = 60.0) -> NDArray[np.float64]:
    return np.clip(rng.uniform(25, 225) + rng.normal(0, vivid / 3, 3), 0, 255)


def _noise(rng: np.random.Generator, size: tuple[int, int], cells: int) -> NDArray[np.float32]:
    """Smooth noise with about so many cells across, (H, W) float32 in [0, 1]."""
    rows = max(cells * size[1] // size[0], 2)
    return np.asarray(cv2.resize(rng.random((rows, cells), np.float32), size, interpolation=cv2.INTER_CUBIC))


def _mixed(share: NDArray[np.floating], a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(a + share[..., None] * (b - a), 0, 255).astype(np.uint8)


def _gradient(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A wall that light falls on from one side."""
    angle = rng.uniform(0, 2 * np.pi)
    x, y = np.meshgrid(np.linspace(-1, 1, size[0], dtype=np.float32), np.linspace(-1, 1, size[1], dtype=np.float32))
    share = 0.5 + 0.35 * (np.cos(angle) * x + np.sin(angle) * y) + 0.1 * (_noise(rng, size, 5) - 0.5)
    base = _color(rng)
    return _mixed(share, base, np.clip(base + rng.uniform(-70, 70), 0, 255))


def _clouds(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    share = sum(0.5**k * _noise(rng, size, 3 * 2**k) for k in range(5)) / 1.9
    return _mixed(np.asarray(share), _color(rng), _color(rng))


def _room(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Wall and floor with rectangles: doors, frames, shelves, windows."""
    image = _gradient(rng, size)
    w, h = size
    for _ in range(int(rng.integers(3, 14))):
        x, y = int(rng.integers(-w // 6, w)), int(rng.integers(-h // 6, h))
        right, bottom = x + int(rng.integers(w // 16, w // 2)), y + int(rng.integers(h // 16, h // 2))
        color = _color(rng, 90) if rng.random() < 0.8 else np.full(3, 240.0)
        cv2.rectangle(image, (x, y), (right, bottom), color.tolist(), -1)
        if rng.random() < 0.5:
            cv2.rectangle(image, (x, y), (right, bottom), (0.5 * color).tolist(), max(w // 100, 1))
    return image


def _lights(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Discs of light out of focus."""
    image = (_gradient(rng, size) // 3).astype(np.uint8)
    radius = rng.uniform(0.015, 0.07) * size[0]
    for _ in range(int(rng.integers(10, 50))):
        middle = (int(rng.integers(size[0])), int(rng.integers(size[1])))
        around = max(int(radius * rng.uniform(0.5, 1.3)), 1)
        cv2.circle(image, middle, around, _color(rng, 150).tolist(), -1, cv2.LINE_AA)
    return image


def _foliage(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Leaves and gaps of sky: thresholds of noise at two scales."""
    leaves = _noise(rng, size, 40) * 0.6 + _noise(rng, size, 12) * 0.4
    green = np.array([rng.uniform(20, 70), rng.uniform(70, 140), rng.uniform(30, 110)])
    image = _mixed(np.clip(leaves * 1.6 - 0.3, 0, 1), 0.3 * green, 1.3 * green).copy()
    sky = _noise(rng, size, 16) > rng.uniform(0.6, 0.95)
    image[sky] = np.clip(np.array([235, 225, 215]) + rng.normal(0, 8, 3), 0, 255).astype(np.uint8)
    return image
