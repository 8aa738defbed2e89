"""Pictures without a face."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.lab.synthesis.backgrounds import draw_background, find_pictures
from face3dmm_ros.lab.synthesis.scene import Background

_PHOTOGRAPHS = 0.6
"""Share of them that are cut from free photographs; the others are procedural. Chosen by hand, as their sizes."""


@dataclass(frozen=True)
class Scenery:
    """So many pictures, each made from the seed and its number."""

    seed: int
    count: int

    def picture(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) BGR."""
        rng = np.random.default_rng([self.seed, index])
        photographs = find_pictures(None)
        is_photograph = bool(photographs) and rng.random() < _PHOTOGRAPHS
        picture = photographs[int(rng.integers(len(photographs)))] if is_photograph else None
        size = int(rng.integers(160, 480)), int(rng.integers(160, 480))
        background = Background(int(rng.integers(1 << 31)), picture, blur=float(rng.choice([0.0, 0.003, 0.01])))
        return draw_background(background, size)
