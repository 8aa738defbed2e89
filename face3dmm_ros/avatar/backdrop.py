"""What an avatar stands before when it is shown alone."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.rendering.smoothstep import smoothstep

_MIDDLE, _EDGE = np.array([214, 203, 190]), np.array([140, 122, 104])  # BGR, chosen by hand


@lru_cache(maxsize=4)
def backdrop(image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """A photographer's backdrop, brighter behind the head: (H, W, 3) uint8 BGR, read-only.

    Args:
        image_size: (width, height), px.
    """
    width, height = image_size
    x, y = np.linspace(-1, 1, width), np.linspace(-0.9, 1.1, height)[:, None]
    share = smoothstep(0.0, 1.3, np.hypot(x, y))[..., None]
    # Half a step of noise: without it a video's codec would draw rings.
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (height, width, 1))
    picture = np.round(_MIDDLE + share * (_EDGE - _MIDDLE) + noise).astype(np.uint8)
    picture.flags.writeable = False
    return picture
