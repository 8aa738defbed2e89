"""The frames of the sample clip, for what runs on images one after another."""

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.files.frame_source import sample_clip


def clip_frames(image_size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """The sample clip there and back, so that the face never jumps; (H, W, 3) BGR.

    Raises:
        Face3DMMError: the clip is not installed.
    """
    video = cv2.VideoCapture(str(sample_clip()))
    frames = []
    while (read := video.read())[0]:
        frames.append(np.asarray(cv2.resize(read[1], image_size, interpolation=cv2.INTER_CUBIC), np.uint8))
    return frames + frames[::-1]
