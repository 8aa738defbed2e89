"""How much of a head an overlay shows: the face, which fades toward hairline, ears and neck, or all of it.

What shows is told from the outline of the face, seen from a point inside the head: a vertex's angle from the direction
that the face looks in is compared with the outline's in the same direction around it. That holds for whatever mesh the
outline lies on, and is smooth whatever its triangles are.
"""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.landmark_schemes import FACE_OVAL, IBUG68, MEDIAPIPE478
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.smoothstep import smoothstep

FACE, HEAD = "face", "head"
EXTENTS = (FACE, HEAD)
"""What an overlay covers: the face, or the whole head."""

_IBUG_JAW, _IBUG_BROWS, _IBUG_CHIN = slice(0, 17), slice(17, 27), 8

# All of these were chosen by hand, on pictures of faces from all sides.
_BEHIND = 45.0
"""mm that the point inside the head lies behind the outline's rearmost point."""
_FOREHEAD = 0.35
"""Of the height from chin to brows, how far above the brows a forehead ends whose outline no landmark tells."""
_ABOVE, _BELOW = (32.0, 3.0), (4.0, 14.0)
"""mm inside the outline from which on all shows, and mm outside of it where nothing does: on forehead and temples,
where hair may begin, and below the jaw.
"""
_TURN = (0.35, 0.9)
"""How far down a direction points, −1 to 1, up to which the former holds, and from which on the latter does."""


def face_opacity(model: MorphableModel) -> NDArray[np.float32]:
    """How much of each vertex an overlay of the face shows, (N,) in [0, 1].

    It is 1 on brows, eyes, nose, cheeks, mouth and chin and what lies within, and falls smoothly to 0 at the hairline,
    before the ears and below the jaw. Of a model without landmarks in a known scheme all shows.
    """
    outline = _outline(model)
    if outline is None:
        return np.ones(model.vertex_count, np.float32)
    middle = (outline.min(axis=0) + outline.max(axis=0)) / 2.0
    inside = np.array([0.0, middle[1], outline[:, 2].min() - _BEHIND])
    around, angle, distance = _seen_from(inside, outline)
    order = np.argsort(around)
    vertex_around, vertex_angle, _ = _seen_from(inside, model.mean.astype(np.float64))
    edge_angle, edge_distance = (
        np.interp(vertex_around, around[order], values[order], period=2.0 * np.pi) for values in (angle, distance)
    )
    beyond = (vertex_angle - edge_angle) * edge_distance  # mm outside the outline, negative inside
    low = smoothstep(*_TURN, -np.cos(vertex_around))
    full, none = (above + low * (below - above) for above, below in zip(_ABOVE, _BELOW, strict=True))
    opacity = smoothstep(none, -full, beyond)
    for region in ("eyes", "mouth_interior", "teeth"):
        if region in model.regions:
            opacity = np.maximum(opacity, model.regions[region])
    return opacity.astype(np.float32)


def _outline(model: MorphableModel) -> NDArray[np.float64] | None:
    """Points around the mean face, (P, 3), mm; None if the model has no landmarks that tell."""
    if MEDIAPIPE478 in model.landmarks:
        return model.scheme(MEDIAPIPE478).interpolate(model.mean)[list(FACE_OVAL)].astype(np.float64)
    if IBUG68 in model.landmarks:
        points = model.scheme(IBUG68).interpolate(model.mean).astype(np.float64)
        brows = points[_IBUG_BROWS]
        upward = np.array([0.0, _FOREHEAD * (brows[:, 1].mean() - points[_IBUG_CHIN, 1]), 0.0])
        return np.concatenate([points[_IBUG_JAW], brows + upward])
    return None


def _seen_from(
    inside: NDArray[np.float64], points: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of points (P, 3): their direction around the z axis (0 is up, the person's left positive), their angle from that
    axis, radians, and their distance, mm.
    """
    x, y, z = (points - inside).T
    across = np.hypot(x, y)
    return np.arctan2(x, y), np.arctan2(across, z), np.hypot(across, z)
