"""Things drawn over a photographed face: cloth masks, hands, sunglasses, patches of any texture."""

import functools
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.lab.synthesis.backgrounds import find_pictures
from face3dmm_ros.landmarks.schemes import LEFT_EYE_RING, LIP_RINGS, RIGHT_EYE_RING

KINDS = ("mask", "hand", "patch", "glasses")
MOUTH = np.array(LIP_RINGS).ravel()
RIGHT_EYE, LEFT_EYE = np.array(RIGHT_EYE_RING), np.array(LEFT_EYE_RING)
# Face Mesh's points along the jaw from ear to ear, and over the nose, which a mask of cloth follows.
_JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
_OVER_THE_NOSE = (454, 347, 6, 118, 234)
_BRIDGE = 168
_CHEEKS = (205, 425)
# px, the longer side of photographs; chosen by hand: larger ones take longer and show the networks little more.
_SIDE = 450


def photograph(path: Path) -> tuple[NDArray[np.uint8], float]:
    """A picture shrunk to `_SIDE` px, (H, W, 3) BGR, and the factor."""
    picture = read_picture(path)
    shrink = _SIDE / max(picture.shape[:2])
    return np.asarray(cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8), shrink


@functools.cache
def _patterns() -> list[NDArray[np.uint8]]:
    """The free photographs that patches are cut from."""
    return [read_picture(path) for path in find_pictures(None)]


def covered(
    rng: np.random.Generator, picture: NDArray[np.uint8], points: NDArray[np.floating], over: NDArray[np.intp]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A picture (H, W, 3) with a part of the face covered, and how far each pixel is, (H, W) in [0, 1].

    A mask covers mouth and nose, glasses both eyes, and a hand or patch lies over the points asked for. Sizes, colours,
    light and noise are random; their ranges are chosen by hand.

    Args:
        rng: of what covers the face, where it lies, and how it looks.
        picture: BGR.
        points: (468, 2) of the face in it, px.
        over: indices of the points that a hand or patch shall lie over.
    """
    kind = str(rng.choice(KINDS))
    size = float(np.sqrt(np.ptp(points, axis=0).prod()))
    match kind:
        case "mask":
            shape, color = _mask(rng, picture.shape, points, size), _surface(rng, picture.shape)
        case "hand":
            shape, color = _hand(rng, picture, points, size, over)
        case "glasses":
            shape = _glasses(rng, picture.shape, points)
            color = _shaded(rng, picture.shape, rng.uniform(0, 60) * np.ones(3) + rng.normal(0, 6, 3))
        case _:
            shape, color = _patch(rng, picture.shape, points, size, over), _surface(rng, picture.shape)
    soft = max(0.6, float(rng.uniform(0.002, 0.012)) * size)
    alpha = cv2.GaussianBlur(shape.astype(np.float32) / 255.0, (0, 0), soft)[..., None]
    noise = rng.normal(0, rng.uniform(0.5, 4.0), color.shape)
    mixed = (1.0 - alpha) * picture + alpha * np.clip(color + noise, 0, 255)
    return np.round(mixed).astype(np.uint8), np.asarray(alpha[..., 0], np.float32)


def _mask(
    rng: np.random.Generator, shape: tuple[int, ...], points: NDArray[np.floating], size: float
) -> NDArray[np.uint8]:
    top = points[list(_OVER_THE_NOSE)].astype(np.float64)
    down = points[152] - points[_BRIDGE]
    # From below the nose's tip to the bridge.
    top[1:4] += rng.uniform(-0.05, 0.3) * down
    outline = np.concatenate([points[list(_JAW)], top]) + rng.normal(0, 0.01 * size, (len(_JAW) + len(top), 2))
    return _filled(shape, outline)


def _glasses(rng: np.random.Generator, shape: tuple[int, ...], points: NDArray[np.floating]) -> NDArray[np.uint8]:
    drawn = np.zeros(shape[:2], np.uint8)
    right, left = points[RIGHT_EYE].mean(axis=0), points[LEFT_EYE].mean(axis=0)
    across = left - right
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    width = np.linalg.norm(across) * rng.uniform(0.38, 0.5)
    axes = (width, width * rng.uniform(0.6, 0.95))
    for middle in (right, left):
        cv2.ellipse(drawn, _pixel(middle), _pixel(axes), angle, 0, 360, 255, -1, cv2.LINE_AA)
    cv2.line(drawn, _pixel(right), _pixel(left), 255, max(1, round(0.08 * width)), cv2.LINE_AA)
    return drawn


def _patch(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    points: NDArray[np.floating],
    size: float,
    over: NDArray[np.intp],
) -> NDArray[np.uint8]:
    middle = points[over].mean(axis=0) + rng.normal(0, 0.04 * size, 2)
    extent = np.ptp(points[over], axis=0).max() / 2.0
    reach = extent * rng.uniform(1.1, 1.7) * np.exp(rng.normal(0, 0.15, 2))
    angle = rng.uniform(0, 2 * np.pi, 2)
    if rng.random() < 0.5:
        corners = np.sort(rng.uniform(0, 2 * np.pi, 12))
        outline = np.stack([np.cos(corners), np.sin(corners)], axis=1) * reach * rng.uniform(0.85, 1.2, (12, 1))
    else:
        outline = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * reach
    turn = np.array([[np.cos(angle[0]), -np.sin(angle[0])], [np.sin(angle[0]), np.cos(angle[0])]])
    return _filled(shape, middle + outline @ turn.T)


def _hand(
    rng: np.random.Generator,
    picture: NDArray[np.uint8],
    points: NDArray[np.floating],
    size: float,
    over: NDArray[np.intp],
) -> tuple[NDArray[np.uint8], NDArray[np.floating]]:
    """Palm and fingers in the colour of the cheeks, with the shadows between them."""
    drawn, shade = np.zeros(picture.shape[:2], np.uint8), np.ones(picture.shape[:2], np.float32)
    along = rng.uniform(0, 2 * np.pi)
    u = np.array([np.cos(along), np.sin(along)])
    v = np.array([-u[1], u[0]])
    width = size * rng.uniform(0.09, 0.13)
    # The fingers' first joints lie over the part, the palm beside it or over it too.
    middle = points[over].mean(axis=0) + size * (rng.normal(0, 0.05, 2) - rng.uniform(0.0, 0.25) * u)
    for k, length in enumerate((0.36, 0.43, 0.4, 0.3)):
        spread = (k - 1.5) * float(rng.uniform(0.95, 1.15))
        base = middle + spread * width * v
        tip = base + size * length * (u + 0.08 * spread * v)
        for image, value, thick in ((shade, 0.72, 1.12), (shade, 1.0, 0.8), (drawn, 255, 1.0)):
            cv2.line(image, _pixel(base), _pixel(tip), value, max(1, round(thick * width)), cv2.LINE_AA)
    palm = middle - 0.24 * size * u
    cv2.ellipse(drawn, _pixel(palm), _pixel((0.28 * size, 2.3 * width)), float(np.degrees(along)), 0, 360, 255, -1,
                cv2.LINE_AA)  # fmt: skip
    soft = cv2.GaussianBlur(shade, (0, 0), max(0.6, 0.012 * size))
    height, breadth = picture.shape[:2]
    cheeks = np.clip(np.round(points[list(_CHEEKS)]).astype(int), 0, [breadth - 1, height - 1])
    skin = picture[cheeks[:, 1], cheeks[:, 0]].mean(axis=0) * rng.uniform(0.8, 1.1) + rng.normal(0, 4, 3)
    return drawn, _shaded(rng, picture.shape, skin) * soft[..., None]


def _surface(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.floating]:
    """(H, W, 3) of one colour, or of a pattern."""
    if rng.random() < 0.5:
        return _shaded(rng, shape, rng.uniform(10, 245) + rng.normal(0, 25, 3) * rng.choice([0.2, 1.0]))
    pattern = _patterns()[int(rng.integers(len(_patterns())))]
    part = np.array(pattern.shape[:2]) * rng.uniform(0.3, 1.0)
    row, column = (rng.uniform(0, np.array(pattern.shape[:2]) - part)).astype(int)
    cut = pattern[row : row + max(8, int(part[0])), column : column + max(8, int(part[1]))]
    return cv2.resize(cut, (shape[1], shape[0]), interpolation=cv2.INTER_AREA).astype(np.float32)


def _shaded(rng: np.random.Generator, shape: tuple[int, ...], color: NDArray[np.floating]) -> NDArray[np.floating]:
    """(H, W, 3) of a colour in uneven light."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    slope = rng.normal(0, 0.35, 2)
    light = 1.0 + slope[0] * (rows / shape[0] - 0.5) + slope[1] * (columns / shape[1] - 0.5)
    wrinkles = cv2.resize(rng.normal(0, 0.06, (9, 9)), (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.clip(color, 0, 255) * (light + wrinkles)[..., None]


def _filled(shape: tuple[int, ...], outline: NDArray[np.floating]) -> NDArray[np.uint8]:
    drawn = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(drawn, [np.round(outline).astype(np.int32)], 255, cv2.LINE_AA)
    return drawn


def _pixel(values: NDArray[np.floating] | tuple[float, float]) -> tuple[int, int]:
    return round(float(values[0])), round(float(values[1]))
