"""The shape of a watermelon that takes a head's place: a full, slightly uneven ellipsoid, and its stalk.

Its body is |x/a|ᵖ + |y/b|ᵖ + |z/c|ᵖ = 1 (a superquadric; Barr, IEEE CG&A 1981) about a point inside the head, with p a
little above 2, so that it is fuller than an ellipsoid and hides chin and forehead of a turned head too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.watermelon.rind import STALK_SHARE
from face3dmm_ros.rendering.grids import grid_normals, grid_triangles

# Chosen by hand, so that the melon covers heads of the default model.
_CENTER = np.array([0.0, 5.0, -62.0])  # mm, model space
_RADII = np.array([114.0, 147.0, 124.0])  # mm
_POWER = 2.35
_COLUMNS, _ROWS = 56, 36
_STALK = np.array([(0, -6, 0), (1, 8, 0), (5, 19, 1), (13, 29, 3), (24, 36, 5), (28, 37, 6)], float)  # mm, its middle
_STALK_RADII = np.array([16.0, 8.5, 7.0, 6.5, 7.5, 0.0])  # mm
_STALK_SIDES = 10


@dataclass(frozen=True)
class Squash:
    """How much a melon is stretched, 1 being its shape at rest.

    Attributes:
        sideways: along x.
        upward: along y, above its middle.
        downward: along y, below its middle.
    """

    sideways: float = 1.0
    upward: float = 1.0
    downward: float = 1.0

    def factors(self, y: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N, 3) factors of points at heights y, (N,), above the middle."""
        factors = np.ones((len(y), 3), np.float32)
        factors[:, 0] = self.sideways
        factors[:, 1] = np.where(y > 0.0, self.upward, self.downward)
        return factors


@dataclass(frozen=True, eq=False)
class MelonShape:
    """Vertices of a melon with its stalk, at rest.

    Attributes:
        offsets: (N, 3) float32 from the melon's middle, mm.
        normals: (N, 3) float32.
        rind: (N, 2) float32 texture coordinates in `melon_rind`, u right and v down.
        triangles: (M, 3) int32, counter-clockwise seen from outside.
    """

    offsets: NDArray[np.float32]
    normals: NDArray[np.float32]
    rind: NDArray[np.float32]
    triangles: NDArray[np.int32]

    def squashed(self, squash: Squash) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vertices in model space, mm, and normals, (N, 3) each, of a stretched melon."""
        factors = squash.factors(self.offsets[:, 1])
        return self.offsets * factors + _CENTER.astype(np.float32), self.normals / factors


def melon_shape() -> MelonShape:
    """The melon with its stalk."""
    body, stalk = _surface(*_body()), _surface(*_stalk())
    points, normals, rind = (np.concatenate(arrays) for arrays in zip(body[:3], stalk[:3], strict=True))
    return MelonShape(points, normals, rind, np.concatenate([body[3], stalk[3] + len(body[0])]))


def melon_front(points: NDArray[np.floating], squash: Squash) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project points along z onto the melon's front.

    Args:
        points: (N, 2) x and y, model space, mm; those beyond the melon's outline are moved to it.
        squash: of the melon.

    Returns:
        Points in model space, mm, and unit normals, (N, 3) each.
    """
    radii = _RADII * squash.factors(points[:, 1] - _CENTER[1])
    across = (points - _CENTER[:2]) / radii[:, :2]
    reach = (np.abs(across) ** _POWER).sum(axis=1)
    across *= np.minimum(1.0, (0.98 / np.maximum(reach, 1e-9)) ** (1.0 / _POWER))[:, None]
    depth = (1.0 - (np.abs(across) ** _POWER).sum(axis=1)) ** (1.0 / _POWER)
    unit = np.column_stack([across, depth])
    normals = _gradient(unit) / radii
    return unit * radii + _CENTER, normals / np.linalg.norm(normals, axis=1, keepdims=True)


def _gradient(unit: NDArray[np.floating]) -> NDArray[np.floating]:
    """Of Σ|x|ᵖ, up to its length."""
    return np.sign(unit) * np.abs(unit) ** (_POWER - 1.0)


def _body() -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Rows of (rows, columns, 3) offsets from the stalk down, and their (rows, columns, 2) places on the rind."""
    u, v = np.meshgrid(np.linspace(1.0, 0.0, _COLUMNS + 1), np.linspace(0.0, 1.0, _ROWS + 1))
    longitude, polar = 2.0 * np.pi * (u - 0.5), np.pi * v
    direction = np.stack([np.sin(polar) * np.sin(longitude), np.cos(polar), np.sin(polar) * np.cos(longitude)], axis=-1)
    unit = direction / ((np.abs(direction) ** _POWER).sum(axis=-1, keepdims=True)) ** (1.0 / _POWER)
    # Broad lobes, and a dimple that the stalk grows from.
    lobes = 0.010 * np.sin(3.0 * longitude + 0.7) + 0.008 * np.sin(5.0 * longitude + 2.0 * polar)
    dimple = 0.07 * np.exp(-((polar / 0.22) ** 2))
    swell = 1.0 + lobes * np.sin(polar) - dimple
    return unit * swell[..., None] * _RADII, np.stack([u, STALK_SHARE + (1.0 - STALK_SHARE) * v], axis=-1)


def _stalk() -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """As `_body`, of the stalk, from its end down to the melon."""
    angle = np.linspace(2.0 * np.pi, 0.0, _STALK_SIDES + 1)
    ring = np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], axis=-1)
    along = np.gradient(_STALK, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    # Each ring stands across the stalk: its circle in the horizontal plane, sheared to be square to the path.
    tilt = along[:, None, :] * (ring @ along.T).T[..., None]
    across = ring - tilt
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    base = np.array([0.0, 0.93 * _RADII[1], 0.0])
    points = (_STALK + base)[:, None] + _STALK_RADII[:, None, None] * across
    u = np.broadcast_to(angle / (2.0 * np.pi), points.shape[:2])
    v = np.full(points.shape[:2], 0.5 * STALK_SHARE)
    return points[::-1], np.stack([u, v], axis=-1)[::-1]


def _surface(
    points: NDArray[np.floating], rind: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Points, normals, rind and triangles of a `MelonShape` from (rows, columns, 3) points and (…, 2) places."""
    normals = grid_normals(points)
    # At a pole the ring has no extent: the next one's mean normal stands for it.
    for pole, next_ring in ((0, 1), (-1, -2)):
        if np.abs(normals[pole]).max() < 0.5:
            normals[pole] = normals[next_ring].mean(axis=0)
    flat = (points.reshape(-1, 3), normals.reshape(-1, 3), rind.reshape(-1, 2))
    offsets, normal, place = (np.ascontiguousarray(array, np.float32) for array in flat)
    return offsets, normal, place, grid_triangles(*points.shape[:2])
