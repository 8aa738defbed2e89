"""What an avatar stands before when it is shown alone."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.rendering.smoothstep import smoothstep

_MIDDLE, _EDGE = np.array([214, 203, 190]), np.array([140, 122, 104])  # BGR, chosen by hand
_ROWS = 16
"""That are made at a time, so that a large picture takes little more memory than its pixels; chosen by hand."""


@lru_cache(maxsize=1)
def backdrop(image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """A photographer's backdrop, brighter behind the head: (H, W, 3) uint8 BGR, read-only.

    Args:
        image_size: (width, height), px.
    """
    width, height = image_size
    x, y = np.linspace(-1, 1, width), np.linspace(-0.9, 1.1, height)[:, None]
    picture = np.empty((height, width, 3), np.uint8)
    # Half a step of noise: without it a video's codec would draw rings.
    noise = np.random.default_rng(0)
    for top in range(0, height, _ROWS):
        rows = slice(top, top + _ROWS)
        share = smoothstep(0.0, 1.3, np.hypot(x, y[rows]))[..., None]
        picture[rows] = np.round(_MIDDLE + share * (_EDGE - _MIDDLE) + noise.uniform(-0.5, 0.5, share.shape))
    picture.flags.writeable = False
    return picture
