"""The character's hair: a cap over the skull, and over it thick locks that are combed from a parting."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.character.strokes import stroke
from face3dmm_ros.morphable_model.scalp import SKULL_MIDDLE, Scalp

_ROWS, _CAP_ROWS = 12, 10  # of a lock and of the cap; chosen by hand, as are all numbers here

# Each lock: where it begins, over what it bends and where its tip lies, mm on the character; half its width and depth.
_LOCKS = (
    # over the forehead, to the left
    ((-34, 96, -18), (8, 122, 22), (72, 62, -2), 17, 9),
    ((-36, 88, -10), (-6, 106, 30), (50, 66, 14), 14, 8),
    ((-38, 82, -6), (-22, 92, 28), (22, 66, 22), 11, 7),
    ((-32, 104, -34), (30, 136, -2), (86, 62, -26), 18, 10),
    ((-28, 110, -54), (44, 140, -30), (90, 46, -52), 19, 10),
    ((-24, 114, -76), (40, 146, -66), (92, 44, -84), 20, 10),
    # from the parting down to the right
    ((-36, 90, -12), (-58, 98, 0), (-74, 50, -14), 13, 7),
    ((-34, 100, -30), (-72, 108, -26), (-84, 42, -38), 16, 8),
    ((-30, 108, -54), (-78, 112, -56), (-88, 38, -66), 18, 8),
    # at the crown
    ((-10, 116, -90), (10, 150, -104), (44, 132, -140), 14, 9),
    ((-20, 114, -96), (-34, 140, -120), (-20, 118, -160), 14, 9),
)


def locks() -> list[NDArray[np.float64]]:
    """Points (n, 8, 3) of each lock, mm; see `strokes.stroke`."""
    t = np.linspace(0.0, 1.0, _ROWS)[:, None]
    made = []
    for begin, bend, tip, width, depth in _LOCKS:
        a, b, c = (np.array(point, float) for point in (begin, bend, tip))
        path = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
        fullness = np.sin(np.pi * (0.12 + 0.88 * t[:, 0]) ** 0.75) ** 0.7
        made.append(stroke(path, path - SKULL_MIDDLE, width * fullness + 0.3, depth * fullness + 0.2))
    return made


def scalp_cap(scalp: Scalp, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
    """The cap on a head: points (R, C, 3), mm, in rows from the crown to the hairline.

    Args:
        scalp: of the head's model.
        vertices: (N, 3) of the head, mm.
    """
    share = np.linspace(0.02, 1.0, _CAP_ROWS)[:, None]
    polar = share * scalp.hairline
    cap = scalp.points(scalp.distances(vertices), polar)
    outward = cap - SKULL_MIDDLE
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    closing = np.clip((1.0 - share) / 0.4, 0.0, 1.0)
    front = np.clip(1.0 - np.abs(scalp.azimuth) / np.radians(78), 0.0, 1.0)
    sides = np.clip((polar - 0.6) / 0.7, 0.0, 1.0) * (1.0 - 0.5 * front)
    fullness = np.sqrt(closing * (2.0 - closing)) * (1.0 - 0.2 * sides)
    thickness = fullness * (9.0 + 8.0 * np.sin(np.pi * np.clip(share * 0.9 + 0.1, 0, 1)))
    # It ends in the skin, so that no gap shows below its edge.
    lift = 1.2 - 5.0 * (1.0 - closing) ** 2
    return np.asarray(cap + (thickness + lift)[..., None] * outward, np.float32)
