"""The landmark schemes: which points a detector gives, in which order, and how one scheme is read from another.

Right and left are the person's own.
"""

from dataclasses import replace

import numpy as np

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.landmark_schemes import IBUG68, MEDIAPIPE478, SCHEME_SIZES
from face3dmm_ros.core.values import Landmarks

SKIN_COUNT = 468
"""Points of `MEDIAPIPE478` before the irises'."""
RIGHT_IRIS, LEFT_IRIS = 468, 473
"""The irises' centres among them."""

# fmt: off
IBUG68_IN_MEDIAPIPE478 = np.array([
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

# Face Mesh's rings of 20 points around the mouth, outermost first, from the person's right corner over the upper lip to
# the left corner and back along the lower lip; and its rings of 16 around each eye, from the outer corner over the
# lower lid.
LIP_RINGS: tuple[tuple[int, ...], ...] = (
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
    (76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306, 307, 320, 404, 315, 16, 85, 180, 90, 77),
    (62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292, 325, 319, 403, 316, 15, 86, 179, 89, 96),
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
)
RIGHT_EYE_RING: tuple[int, ...] = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE_RING: tuple[int, ...] = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
BROWS = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107, 276, 283, 282, 295, 285, 300, 293, 334, 296, 336)
"""Face Mesh's two rows along each brow, the right one's first."""


def check_scheme(scheme: str) -> None:
    """Check that a scheme is Face Mesh's or a subset of it.

    Raises:
        Face3DMMError: the scheme is another one.
    """
    if scheme not in SCHEME_SIZES:
        raise Face3DMMError(f"Face Mesh's points make up {', '.join(sorted(SCHEME_SIZES))}, not {scheme!r}")


def convert(landmarks: Landmarks, scheme: str) -> Landmarks:
    """Landmarks in another scheme.

    Raises:
        Face3DMMError: the scheme is unknown, or cannot be read from the landmarks' own.
    """
    if landmarks.scheme == scheme:
        return landmarks
    if (landmarks.scheme, scheme) != (MEDIAPIPE478, IBUG68):
        raise Face3DMMError(f"landmarks of scheme {landmarks.scheme} cannot be converted to {scheme!r}")
    return replace(
        landmarks,
        scheme=scheme,
        points=landmarks.points[IBUG68_IN_MEDIAPIPE478],
        depth=None if landmarks.depth is None else landmarks.depth[IBUG68_IN_MEDIAPIPE478],
        deviation=None if landmarks.deviation is None else landmarks.deviation[IBUG68_IN_MEDIAPIPE478],
        colors=None if landmarks.colors is None else landmarks.colors[IBUG68_IN_MEDIAPIPE478],
        covered=None if landmarks.covered is None else landmarks.covered[IBUG68_IN_MEDIAPIPE478],
    )
