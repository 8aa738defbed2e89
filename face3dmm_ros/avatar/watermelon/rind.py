"""The rind of a watermelon as a texture: dark, frayed stripes from pole to pole over a pale, veined ground."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.rendering.fractal_noise import fractal
from face3dmm_ros.rendering.smoothstep import smoothstep

STALK_SHARE = 0.02
"""Share of the texture's height, from the top, that shows the stalk's bark."""

# Chosen by hand; colours are sRGB.
_HEIGHT, _WIDTH = 512, 1024
_STRIPES = 11
_PALE, _VEIN = (0.66, 0.79, 0.40), (0.45, 0.64, 0.27)
_DARK, _DARKEST = (0.13, 0.39, 0.17), (0.04, 0.22, 0.09)
_CROWN, _BARK, _BARK_GROOVE = (0.55, 0.64, 0.30), (0.58, 0.50, 0.28), (0.30, 0.27, 0.12)
_SEED = 5


def melon_rind() -> NDArray[np.uint8]:
    """The texture, (512, 1024, 4) uint8: sRGB and gloss; always the same.

    Columns run once around the melon and repeat, the middle one being its front; rows run from the stalk down to the
    other pole.
    """
    rng = np.random.default_rng(_SEED)
    shape = (_HEIGHT, _WIDTH)
    drift, width, fray, veins, mottle = (
        fractal(rng, shape, low, high, fall)
        for low, high, fall in ((2, 7, 1.0), (2, 14, 0.6), (14, 90, 0.9), (8, 64, 1.0), (30, 160, 0.5))
    )
    u, v = (np.arange(_WIDTH) + 0.5) / _WIDTH, ((np.arange(_HEIGHT) + 0.5) / _HEIGHT)[:, None]
    # Toward the poles, where columns crowd together, the same waver would tear the stripes.
    waver = np.sin(np.pi * v) ** 0.7
    # An odd number of stripes leaves pale ground in the middle of the face.
    across = 1.0 - np.abs(2.0 * np.mod(_STRIPES * u + (0.11 * drift + 0.045 * fray) * waver, 1.0) - 1.0)
    half_width = 0.43 + 0.07 * width * waver + 0.12 * (1.0 - waver)
    stripe = 1.0 - smoothstep(half_width - 0.06, half_width + 0.06, across)
    heart = 1.0 - smoothstep(0.0, 0.8, across / np.maximum(half_width, 0.1) + 0.25 * fray)
    ground = _mix(_PALE, _VEIN, 0.55 * (1.0 - smoothstep(0.0, 0.75, np.abs(veins))) + 0.10 * mottle)
    dark = _mix(_DARK, _DARKEST, 0.75 * heart + 0.12 * mottle)
    color = _mix(ground, dark, stripe)
    color = _mix(_CROWN, color, smoothstep(STALK_SHARE, 0.09, v + 0.01 * drift))
    bark = _mix(_BARK, _BARK_GROOVE, 0.5 + 0.4 * np.cos(2.0 * np.pi * 6.0 * u) * np.ones_like(v))
    color = np.where((v < STALK_SHARE)[..., None], bark, color)
    shine = np.where(v < STALK_SHARE, 0.1, 0.85 + 0.1 * mottle)
    return np.round(255.0 * np.clip(np.dstack([color, shine]), 0.0, 1.0)).astype(np.uint8)


def _mix(
    first: NDArray | tuple[float, ...], second: NDArray | tuple[float, ...], share: NDArray
) -> NDArray[np.float64]:
    share = np.clip(share, 0.0, 1.0)[..., None]
    return np.asarray(first) * (1.0 - share) + np.asarray(second) * share
