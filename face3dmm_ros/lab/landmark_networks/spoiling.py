"""What poor cameras make of a picture."""

import cv2
import numpy as np
from numpy.typing import NDArray


def spoilt(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture (H, W, 3), BGR, with less detail, other light, noise and JPEG's marks, of the same size.

    How often and how strongly is chosen by hand.
    """
    height, width = picture.shape[:2]
    if rng.random() < 0.5:
        detail = float(np.exp(rng.uniform(np.log(0.12), 0.0)))
        small = cv2.resize(picture, None, fx=detail, fy=detail, interpolation=cv2.INTER_AREA)
        picture = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < 0.1:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    light = 255.0 * (picture / 255.0) ** np.exp(rng.normal(0, 0.4)) * np.exp(rng.uniform(-1.2, 0.15))
    noisy = light + rng.normal(0, rng.uniform(0, 10), light.shape)
    out = np.clip(noisy, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        encoded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])[1]
        out = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return out
