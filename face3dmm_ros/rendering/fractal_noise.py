"""Fractal noise, as on natural surfaces."""

from functools import cache

import numpy as np
from numpy.typing import NDArray


def fractal(rng: np.random.Generator, shape: tuple[int, int], low: float, high: float, fall: float) -> NDArray:
    """Band-limited noise with amplitude ∝ frequency^−fall.

    Args:
        rng: of the noise.
        shape: (H, W).
        low, high: spatial frequencies that it has, cycles per image.
        fall: exponent.

    Returns:
        (H, W) float64 with mean 0 and standard deviation 1 that tiles seamlessly.
    """
    height, width = shape
    frequency = np.hypot(np.fft.fftfreq(height, 1 / height)[:, None], np.fft.rfftfreq(width, 1 / width))
    amplitude = np.where((frequency >= low) & (frequency <= high), np.maximum(frequency, 1.0) ** -fall, 0.0)
    spectrum = np.fft.rfft2(rng.standard_normal(shape)) * amplitude
    noise = np.fft.irfft2(spectrum, s=shape)
    return np.asarray((noise - noise.mean()) / noise.std())


@cache
def pores(size: int) -> NDArray[np.float32]:
    """Noise like skin's detail in a face's texture, (size, size), of standard deviation 1; the same for all."""
    noise = fractal(np.random.default_rng(0), (size, size), size / 24, size / 2.5, 0.3)
    return noise.astype(np.float32)
