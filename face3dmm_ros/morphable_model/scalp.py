"""The skin above the hairline of a model's faces, in polar angles about the crown: what hair and caps sit on."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from face3dmm_ros.morphable_model.model import MorphableModel

SKULL_MIDDLE = np.array([0.0, 15.0, -75.0])
"""The skull's middle on the default model's mean face, mm; chosen while looking at renders, as all numbers here."""
_CROWN = np.array([0.0, 0.97, -0.25])
"""Direction from the skull's middle to the crown."""
_HAIRLINE = np.array(
    [
        (0, 72, 7), (30, 71, -2), (52, 60, -18), (63, 47, -30), (67, 33, -42), (71, 16, -52), (74, -4, -64),
        (76, -6, -76), (76, 8, -92), (75, -14, -104), (68, -38, -116), (50, -62, -138), (26, -72, -152), (0, -74, -160),
    ],
    float,
)  # fmt: skip
"""Where hair ends, mm: from the middle of the forehead over temple, sideburn, ear and neck to the nape."""
_COLUMNS = 49
"""Meridians."""
_NEIGHBORS = 6
"""Vertices whose distance is averaged for each direction."""
_MAP_ROWS, _LOWEST = 48, np.radians(150)
"""Of the map of the skull: number of polar angles, and the largest one, from the crown."""


class Scalp:
    """Where the scalp of any face of a model lies, by direction from the skull's middle.

    Every direction is tied to the nearest skin of the model's mean, so that hair sits on every skull alike.

    Attributes:
        azimuth: (C,) of the meridians, radians from the front, left positive; the first and the last are the nape's.
        hairline: (C,) polar angle from the crown at which hair ends on each, radians.
    """

    def __init__(self, model: MorphableModel) -> None:
        """Find the skin below each direction on the mean of a model that has a region ``skin``."""
        mean = model.mean.astype(np.float64)
        ears = model.regions.get("ears", np.zeros(model.vertex_count))
        ground = np.flatnonzero((model.regions["skin"] > 0.9) & (ears < 0.05) & (mean[:, 1] > -95))
        self.azimuth = np.linspace(np.pi, -np.pi, _COLUMNS)
        line_azimuth, line_polar = _angles(_HAIRLINE - SKULL_MIDDLE)
        order = np.argsort(line_azimuth)
        self.hairline = np.interp(np.abs(self.azimuth), line_azimuth[order], line_polar[order])
        offset = mean[ground] - SKULL_MIDDLE
        distance = np.linalg.norm(offset, axis=1, keepdims=True)
        outermost = distance[:, 0] > 55
        tree = cKDTree((offset / distance)[outermost])
        polar = np.linspace(0.0, _LOWEST, _MAP_ROWS)[:, None]
        gap, index = tree.query(_directions(polar, self.azimuth), k=_NEIGHBORS)
        weight = 1.0 / (gap + 0.01) ** 2
        self._ground = ground[outermost][index]
        self._weight = (weight / weight.sum(axis=-1, keepdims=True)).astype(np.float32)

    def distances(self, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
        """How far the skin of a face (N, 3), mm, is from the skull's middle, mm: (polar angles, meridians)."""
        distance = np.linalg.norm(vertices - SKULL_MIDDLE.astype(np.float32), axis=1)
        return np.einsum("pck,pck->pc", self._weight, distance[self._ground])

    def points(self, distances: NDArray[np.float32], polar: NDArray[np.floating]) -> NDArray[np.floating]:
        """Points (R, C, 3) of the skin at polar angles (R, C) of the meridians, mm, from `distances`."""
        at = np.clip(polar / _LOWEST, 0.0, 0.999) * (_MAP_ROWS - 1)
        row = at.astype(np.intp)
        column = np.arange(_COLUMNS)
        radius = distances[row, column] * (1 - at + row) + distances[row + 1, column] * (at - row)
        return np.asarray(SKULL_MIDDLE + radius[..., None] * _directions(polar, self.azimuth))


def _crown_frame() -> NDArray[np.float64]:
    """Rows: left, crown, front of the skull's own axes."""
    crown = _CROWN / np.linalg.norm(_CROWN)
    left = np.array([1.0, 0.0, 0.0])
    return np.stack([left, crown, np.cross(left, crown)])


def _directions(polar: NDArray[np.floating], azimuth: NDArray[np.floating]) -> NDArray[np.floating]:
    """Unit vectors (…, 3) at angles from the crown and about it."""
    axes = np.broadcast_arrays(np.sin(polar) * np.sin(azimuth), np.cos(polar), np.sin(polar) * np.cos(azimuth))
    return np.asarray(np.stack(axes, axis=-1) @ _crown_frame())


def _angles(offset: NDArray[np.floating]) -> tuple[NDArray, NDArray]:
    """Azimuth from the front (left positive) and polar angle from the crown of (n, 3) offsets, radians."""
    x, y, z = (offset @ _crown_frame().T).T
    return np.arctan2(x, z), np.arctan2(np.hypot(x, z), y)
