"""How many of their 16 bits the samples of images use, told from the images themselves.

A camera of 10, 12 or 14 bits sends its values in 16 and leaves the upper bits 0; neither messages nor most files say
how many it uses. Taken for values of 16 bits, they would make pictures that are all but black.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_FEWEST_BITS, _MOST_BITS = 8, 16
_STRAY_SHARE = 1e-3
"""Of the samples, which may lie above the depth and become white: hot pixels, or a damaged line in 1,000. By hand."""


class SampleDepth:
    """The depth of a stream of 16-bit images.

    It is the least number of bits, from 8 to 16, that holds all but the brightest thousandth of an image's samples, and
    never less than for an image before: since it can only grow, pictures do not flicker as light comes and goes.

    Attributes:
        bits: the depth that the images so far have shown.
    """

    def __init__(self) -> None:
        """Before the first image."""
        self.bits = _FEWEST_BITS

    def scaled(self, samples: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """The samples of the next image, of any shape, with the depth's range scaled to 0 … 255."""
        stray = _STRAY_SHARE * samples.size
        while self.bits < _MOST_BITS and np.count_nonzero(samples >> self.bits) > stray:
            self.bits += 1
        scaled = cv2.convertScaleAbs(samples, alpha=255.0 / ((1 << self.bits) - 1))
        return np.asarray(scaled, np.uint8).reshape(samples.shape)
