"""What detectors' crops and photographs do to a face and synthetic faces lack, at random and anew every time."""

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.landmarks.dense_network import SIDE, upright_region
from face3dmm_ros.landmarks.region import Region

Pixels = NDArray[np.floating]
_EYES = ((33, 133), (362, 263))


def crop(
    picture: NDArray[np.uint8], points: NDArray[np.float32], region: Region
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A region of a picture, (SIDE, SIDE, 3), and the points (468, 3) in its pixels."""
    matrix = region.crop_to_image(SIDE)
    on_crop = (points[:, :2] - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    depth = points[:, 2:] * (SIDE / region.size)
    return region.crop(picture, SIDE), np.hstack([on_crop, depth]).astype(np.float32)


def augmented(
    rng: np.random.Generator, picture: NDArray[np.uint8], points: NDArray[np.float32], mirror: NDArray[np.int32]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A random crop of a picture, mirrored every other time, in a random light, half hidden, blurred or noisy."""
    pixels, points = crop(picture, points, _jittered(rng, upright_region(points[:, :2])))
    if rng.random() < 0.5:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
        points = points[mirror] * np.array([-1, 1, 1], np.float32) + np.array([SIDE - 1, 0, 0], np.float32)
    x = pixels.astype(np.float32)
    for chance, change in (
        (0.5, _hard_light),
        (0.25, _strands),
        (0.12, lambda rng, x: _dark_lenses(rng, x, points)),
        (0.3, _patch),
        (0.8, _colours),
        (0.3, _gamma),
        (0.35, _blur),
        (0.2, _coarse),
        (0.4, _noise),
    ):
        if rng.random() < chance:
            x = np.clip(change(rng, x), 0, 255).astype(np.float32)
    return x.astype(np.uint8), points


def _jittered(rng: np.random.Generator, region: Region) -> Region:
    """The region as a detector might give it: usually close, at times far off."""
    far = rng.random() < 0.3
    shift = rng.normal(0, 0.09 if far else 0.045, 2) * region.size
    size = region.size * np.exp(rng.normal(0, 0.16 if far else 0.08))
    turn = np.radians(rng.normal(0, 32 if far else 10))
    return Region(region.x + shift[0], region.y + shift[1], float(size), region.angle + float(turn))


def _hard_light(rng: np.random.Generator, x: Pixels) -> Pixels:
    """A gradient of light, or the edge of a shadow, across the face."""
    rows, columns = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    turn = rng.uniform(0, 2 * np.pi)
    across = columns * np.cos(turn) + rows * np.sin(turn) + rng.uniform(-0.6, 0.6)
    edge = 1 / (1 + np.exp(-across * rng.uniform(2, 30)))
    share = edge if rng.random() < 0.5 else 0.5 + 0.5 * np.clip(across, -1, 1)
    dark = rng.uniform(0.15, 0.9)
    return x * (dark + (rng.uniform(0.9, 1.5) - dark) * share)[..., None]


def _strands(rng: np.random.Generator, x: Pixels) -> Pixels:
    """Strands of hair, straps, wires."""
    canvas = x.astype(np.uint8)
    color, start = rng.uniform(0, 255, 3), rng.uniform(-20, SIDE + 20, 2)
    along = rng.normal(0, 1, 2)
    along /= np.linalg.norm(along) + 1e-6
    for _ in range(rng.integers(2, 14)):
        first = start + rng.normal(0, rng.uniform(3, 22), 2)
        last = first + along * rng.uniform(20, 110) + rng.normal(0, 8, 2)
        tone = [float(value) for value in np.clip(color + rng.normal(0, 18, 3), 0, 255)]
        cv2.line(canvas, _pixel(first), _pixel(last), tone, int(rng.integers(1, 4)), cv2.LINE_AA)
    return canvas.astype(np.float32)


def _dark_lenses(rng: np.random.Generator, x: Pixels, points: NDArray[np.float32]) -> Pixels:
    """Sunglasses."""
    plain = x.astype(np.uint8)
    lenses = plain.copy()
    tone = [float(value) for value in rng.uniform(0, 110, 3)]
    width = max(3, int(0.27 * np.linalg.norm(points[263, :2] - points[33, :2])))
    for outer, inner in _EYES:
        middle = (points[outer, :2] + points[inner, :2]) / 2
        axes = (width, int(width * rng.uniform(0.6, 0.95)))
        cv2.ellipse(lenses, _pixel(middle), axes, 0, 0, 360, tone, -1, cv2.LINE_AA)
    opacity = rng.uniform(0.5, 1.0)
    return (opacity * lenses + (1 - opacity) * plain).astype(np.float32)


def _patch(rng: np.random.Generator, x: Pixels) -> Pixels:
    """Something plain, or noise, before the face."""
    height, width = rng.integers(10, 55, 2)
    top, left = rng.integers(0, SIDE - height), rng.integers(0, SIDE - width)
    fill = rng.uniform(0, 255, 3) if rng.random() < 0.5 else rng.uniform(0, 255, (height, width, 3))
    x = x.copy()
    x[top : top + height, left : left + width] = fill
    return x


def _colours(rng: np.random.Generator, x: Pixels) -> Pixels:
    """Exposure, white balance and saturation."""
    x = (x * rng.uniform(0.5, 1.5) + rng.uniform(-45, 45)) * rng.uniform(0.8, 1.2, 3)
    grey = x.mean(axis=2, keepdims=True)
    return grey + (x - grey) * rng.uniform(0.0, 1.4)


def _gamma(rng: np.random.Generator, x: Pixels) -> Pixels:
    return 255 * (x / 255) ** rng.uniform(0.5, 1.8)


def _blur(rng: np.random.Generator, x: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 2.0)), dtype=np.float32)


def _coarse(rng: np.random.Generator, x: Pixels) -> Pixels:
    """As a camera of few pixels sees it."""
    share = rng.uniform(0.25, 0.7)
    small = cv2.resize(x, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (SIDE, SIDE)), dtype=np.float32)


def _noise(rng: np.random.Generator, x: Pixels) -> Pixels:
    return x + rng.normal(0, rng.uniform(2, 14), x.shape).astype(np.float32)


def _pixel(point: NDArray[np.floating]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
