"""What lens, sensor and compression do to a picture."""

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.lab.synthesis.scene import Sensor


def expose(image: NDArray[np.uint8], sensor: Sensor) -> NDArray[np.uint8]:
    """The image that a camera with this sensor would take of an ideal image; both are (H, W, 3) uint8 BGR."""
    image = _toned(image, sensor)
    image = _softened(image, sensor)
    if sensor.noise > 0 or sensor.shot_noise > 0:
        image = _noisy(image, sensor)
    if sensor.jpeg:
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, sensor.jpeg])
        image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return image


def _toned(image: NDArray[np.uint8], sensor: Sensor) -> NDArray[np.uint8]:
    """Exposure, white balance, contrast and saturation."""
    if sensor.saturation != 1.0:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        image = np.asarray(cv2.addWeighted(image, sensor.saturation, grey, 1.0 - sensor.saturation, 0.0), np.uint8)
    balance = np.array(sensor.white_balance)[::-1]
    if sensor.exposure == 0.0 and sensor.contrast == 1.0 and (balance == 1.0).all():
        return image
    # Gains act on linear light, for which a gamma of 2.2 is near enough here.
    level = np.linspace(0.0, 1.0, 256)[:, None]
    curve = level * (2.0**sensor.exposure * balance) ** (1 / 2.2)
    # Highlights roll off from 80 % on and contrast turns about 45 %; chosen by hand, as tone curves of cameras look.
    curve = np.where(curve > 0.8, 1.0 - 0.2 * np.exp((0.8 - curve) / 0.2), curve)
    curve = 0.45 + sensor.contrast * (curve - 0.45)
    table = np.round(255 * np.clip(curve, 0, 1)).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)


def _softened(image: NDArray[np.uint8], sensor: Sensor) -> NDArray[np.uint8]:
    """Too few pixels, motion and defocus."""
    height, width = image.shape[:2]
    if sensor.resolution < 1.0:
        size = (max(round(sensor.resolution * width), 8), max(round(sensor.resolution * height), 8))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    length, angle = sensor.motion
    if length > 1.0:
        reach = int(np.ceil(length / 2)) + 1
        kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
        half = 0.5 * length * np.array([np.cos(angle), np.sin(angle)])
        ends = [tuple(int(v) for v in np.round(16 * (reach + sign * half))) for sign in (-1, 1)]
        cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA, 4)
        image = np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)
    if sensor.blur > 0.0:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sensor.blur), np.uint8)
    return image


def _noisy(image: NDArray[np.uint8], sensor: Sensor) -> NDArray[np.uint8]:
    """Fresh noise in each pixel and channel: variance = dark² + shot² · light."""
    rng = np.random.Generator(np.random.SFC64(sensor.seed))
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    if sensor.shot_noise > 0:
        variance = sensor.noise**2 + sensor.shot_noise**2 * np.arange(256) / 255.0
        noise *= cv2.LUT(image, np.sqrt(variance).astype(np.float32))
    else:
        noise *= sensor.noise
    return np.asarray(cv2.add(noise, image, dtype=cv2.CV_8U), np.uint8)  # rounds and saturates
