"""The landmark schemes: which points a detector gives, in which order, and how one scheme is read from another.

Right and left are the person's own.
"""

from dataclasses import replace

import numpy as np

from face3dmm_ros.errors import Face3DMMError
from face3dmm_ros.values import Landmarks

IBUG68 = "ibug68"
"""68 points (Sagonas et al., 300 Faces in-the-Wild, 2013), 0-based."""
MEDIAPIPE468 = "mediapipe468"
"""468 points (Kartynnik et al., Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs, 2019)."""

SCHEME_SIZES = {IBUG68: 68, MEDIAPIPE468: 468}

# fmt: off
IBUG68_IN_MEDIAPIPE468 = np.array([
    234, 93, 132, 58, 172, 136, 150, 176, 152, 400, 379, 365, 397, 288, 361, 323, 454,  # jaw, right to left
    46, 53, 52, 65, 55,                                                                 # right brow
    285, 295, 282, 283, 276,                                                            # left brow
    168, 197, 5, 4,                                                                     # bridge of the nose
    75, 97, 2, 326, 305,                                                                # under the nose
    33, 160, 158, 133, 153, 144,                                                        # right eye
    362, 385, 387, 263, 373, 380,                                                       # left eye
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,                                # outer lips
    78, 82, 13, 312, 308, 317, 14, 87,                                                  # inner lips
], dtype=np.int64)
"""(68,) the Face Mesh point that stands for each iBUG point. The jaw's are only near: Face Mesh has fixed points of the
face there, iBUG the visible contour. iBUG's brows run between Face Mesh's two rows, nearer to the lower one."""
# fmt: on


def convert(landmarks: Landmarks, scheme: str) -> Landmarks:
    """Landmarks in another scheme.

    Raises:
        Face3DMMError: the scheme is unknown, or cannot be read from the landmarks' own.
    """
    if landmarks.scheme == scheme:
        return landmarks
    if (landmarks.scheme, scheme) != (MEDIAPIPE468, IBUG68):
        raise Face3DMMError(f"landmarks of scheme {landmarks.scheme} cannot be converted to {scheme!r}")
    return replace(
        landmarks,
        scheme=scheme,
        points=landmarks.points[IBUG68_IN_MEDIAPIPE468],
        depth=None if landmarks.depth is None else landmarks.depth[IBUG68_IN_MEDIAPIPE468],
        deviation=None if landmarks.deviation is None else landmarks.deviation[IBUG68_IN_MEDIAPIPE468],
    )
