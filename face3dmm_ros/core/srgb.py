"""sRGB and linear light (IEC 61966-2-1)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Weights of red, green and blue in linear light (Rec. 709)."""


def linear(srgb: ArrayLike) -> NDArray[np.float64]:
    """sRGB in [0, 1] as linear light in [0, 1]."""
    value = np.asarray(srgb, dtype=np.float64)
    return np.where(value <= 0.04045, value / 12.92, ((np.maximum(value, 0.04045) + 0.055) / 1.055) ** 2.4)


def encoded(light: ArrayLike) -> NDArray[np.float64]:
    """Linear light, clipped to [0, 1], as sRGB in [0, 1]."""
    value = np.clip(np.asarray(light, dtype=np.float64), 0.0, 1.0)
    return np.where(value <= 0.0031308, 12.92 * value, 1.055 * np.maximum(value, 0.0031308) ** (1.0 / 2.4) - 0.055)
