"""Noise images that repeat, for skin, strands and backgrounds. Always the same: what varies is where they are read."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.rendering.fractal_noise import fractal


def _as_bytes(noise: NDArray, spread: float) -> NDArray[np.uint8]:
    return np.clip(np.round(255 * (0.5 + spread * noise)), 0, 255).astype(np.uint8)


def scene_noise() -> dict[str, NDArray[np.uint8]]:
    """The noise textures that `scene_shaders` reads, (H, W, C) uint8 about 128 (strands: a share of the light).

    Their frequencies, in periods per image, and amplitudes are chosen by hand, while looking at renders.
    """
    rng = np.random.default_rng(20240601)
    square = (256, 256)
    bands = ((1, 12, 1.2), (14, 40, 0.0), (30, 128, 0.0), (4, 40, 0.8))  # lowest and highest frequency, fall
    tone = np.stack([_as_bytes(fractal(rng, square, *band), 0.17) for band in bands], axis=-1)
    height = fractal(rng, square, 12, 110, 0.9)
    slope = np.stack([np.roll(height, -1, 1) - np.roll(height, 1, 1), np.roll(height, -1, 0) - np.roll(height, 1, 0)])
    relief = np.stack([_as_bytes(part / part.std(), 0.14) for part in slope], axis=-1)
    # Strands: fine across, long along; some start and end on the way.
    frequency_along = np.abs(np.fft.fftfreq(64, 1 / 64))[:, None]
    frequency_across = np.abs(np.fft.rfftfreq(512, 1 / 512))
    window = (frequency_along <= 5) * (frequency_across >= 6) * np.minimum(1.0, 60.0 / np.maximum(frequency_across, 1))
    strands = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((64, 512))) * window, s=(64, 512))
    rank = np.argsort(np.argsort(strands.ravel())).reshape(strands.shape) / strands.size  # evenly from 0 to 1
    return {
        "tone_noise": tone,
        "relief_noise": relief,
        "strand_noise": np.round(255 * rank).astype(np.uint8)[..., None],
    }
