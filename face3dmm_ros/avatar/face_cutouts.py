"""The parts of a face that stay visible on an avatar: both eyes with their brows, and the mouth.

A part is a fan of spokes from its middle, across its own outline (eyelids, lips) to an outline on the skin around it.
All its points are tied to the model's surface, so that they move with every expression; between them the face is taken
to be smooth, which carries what the model does not know of, such as an open mouth, across as the picture shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.camera import WeakPerspective
from face3dmm_ros.errors import Face3DMMError
from face3dmm_ros.morphable_model import MorphableModel, SurfacePoints
from face3dmm_ros.rendering.rasterization import Fragments, rasterize

_SCHEME = "ibug68"
_RIGHT_EYE, _LEFT_EYE, _MOUTH = range(36, 42), range(42, 48), range(48, 60)
_RIGHT_BROW, _LEFT_BROW = range(17, 22), range(22, 27)
_SPOKES = 48
_INNER_RINGS, _OUTER_RINGS = 2, 4
_TEXELS_PER_MM = 2
_PART_FADES, _SKIN_FADES = (0.45, 0.20), (0.40, 0.10)
"""Cosine between the viewing ray and the normal from which a part as a whole, and its skin at a place, fades, and at
which it is gone."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A part of one face in one picture; V = `VERTEX_COUNT` points in the order of `patch_triangles`.

    Attributes:
        points: (V, 3) model space, mm.
        beyond: (V,) distance beyond the part's own outline, mm; 0 inside.
        share: (V,) of the way from the part's own outline to the outer one, in [0, 1]; 0 inside.
        visibility: (V,) in [0, 1], how well the camera sees it: 0 where it is turned away.
    """

    points: NDArray[np.float64]
    beyond: NDArray[np.float64]
    share: NDArray[np.float64]
    visibility: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cutout:
    """A part of a model's faces.

    Attributes:
        center: (3,) on the mean face, model space, mm.
        inner: its own outline, landmarks in a ring that runs clockwise as seen from the front.
        outer: (S) points around it on the skin, one a spoke.
    """

    center: NDArray[np.float64]
    inner: SurfacePoints
    outer: SurfacePoints

    def patch(self, vertices: NDArray[np.float32], camera: WeakPerspective) -> Patch:
        """The part of a face of vertices (N, 3), model space, mm, that a camera sees."""
        inner = _closed_curve(len(self.inner.vertices)) @ self.inner.interpolate(vertices)
        outer = self.outer.interpolate(vertices).astype(np.float64)
        middle = inner.mean(axis=0)
        inside = np.linspace(0.0, 1.0, _INNER_RINGS + 1)[1:, None, None]
        outside = np.linspace(0.0, 1.0, _OUTER_RINGS + 1)[1:]
        rings = np.concatenate([middle + inside * (inner - middle), inner + outside[:, None, None] * (outer - inner)])
        beyond = outside[:, None] * np.linalg.norm(outer - inner, axis=1)
        within = np.zeros(1 + _INNER_RINGS * _SPOKES)
        return Patch(
            np.concatenate([middle[None], rings.reshape(-1, 3)]),
            np.concatenate([within, beyond.ravel()]),
            np.concatenate([within, np.repeat(outside, _SPOKES)]),
            np.concatenate([[1.0], _skin_visibility(rings, camera).ravel()]) * _part_visibility(outer, camera),
        )


VERTEX_COUNT = 1 + (_INNER_RINGS + _OUTER_RINGS) * _SPOKES
"""V, vertices of a patch: its middle, then ring by ring."""

OUTER_RING = slice(VERTEX_COUNT - _SPOKES, VERTEX_COUNT)
"""The vertices of a patch's outer outline."""


def patch_triangles() -> NDArray[np.int32]:
    """(M, 3) triangles of a patch, counter-clockwise seen from the front."""
    here = np.arange(_SPOKES)
    after = np.roll(here, -1)
    fan = [np.stack([np.zeros_like(here), 1 + after, 1 + here], axis=1)]
    for ring in range(_INNER_RINGS + _OUTER_RINGS - 1):
        a, b = 1 + ring * _SPOKES + here, 1 + ring * _SPOKES + after
        fan += [np.stack([a, b, a + _SPOKES], axis=1), np.stack([b, b + _SPOKES, a + _SPOKES], axis=1)]
    return np.concatenate(fan).astype(np.int32)


def eyes_and_mouth(model: MorphableModel) -> tuple[Cutout, Cutout, Cutout]:
    """The right eye, the left eye and the mouth of a model's faces.

    Raises:
        Face3DMMError: the model does not know the 68 landmarks, or has no skin around them.
    """
    landmarks = model.scheme(_SCHEME).interpolate(model.mean).astype(np.float64)
    front = _Front(model)
    parts = []
    for eye, brow in ((_RIGHT_EYE, _RIGHT_BROW), (_LEFT_EYE, _LEFT_BROW)):
        box = _box(landmarks[[*eye, *brow]], sideways=(8.0, 8.0), up=10.0, down=13.0)
        parts.append(_cutout(model, front, landmarks, eye, box))
    # Up to the nose, but without the shade below it.
    room = landmarks[33, 1] - landmarks[list(_MOUTH), 1].max()
    box = _box(landmarks[list(_MOUTH)], sideways=(17.0, 17.0), up=0.7 * room, down=18.0)
    parts.append(_cutout(model, front, landmarks, _MOUTH, box))
    return parts[0], parts[1], parts[2]


class _Front:
    """The model's mean face from the front, to find surface points by x and y."""

    def __init__(self, model: MorphableModel) -> None:
        self._model = model
        self._low = model.mean[:, :2].min(axis=0)
        size = np.ceil((model.mean[:, :2].max(axis=0) - self._low) * _TEXELS_PER_MM).astype(int) + 1
        points = (model.mean[:, :2] - self._low) * _TEXELS_PER_MM
        self._seen: Fragments = rasterize(points, -model.mean[:, 2], model.triangles, (int(size[0]), int(size[1])))

    def at(self, points: NDArray[np.float64]) -> SurfacePoints:
        """The foremost surface points at (P, 2) x and y, mm.

        Raises:
            Face3DMMError: there is no surface at one of them.
        """
        column, row = np.round((points - self._low) * _TEXELS_PER_MM).astype(int).T
        height, width = self._seen.triangle.shape
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        if not inside.all() or (self._seen.triangle[row, column] < 0).any():
            raise Face3DMMError(
                f"model {self._model.name} has no skin around eyes and mouth to cut out: choose a model of a whole face"
            )
        triangle = self._seen.triangle[row, column]
        return SurfacePoints(self._model.triangles[triangle], self._seen.weights[row, column])


def _box(
    points: NDArray[np.float64], *, sideways: tuple[float, float], up: float, down: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest (x, y) of points (P, 3), with margins, mm."""
    low = points[:, :2].min(axis=0) - [sideways[0], down]
    return low, points[:, :2].max(axis=0) + [sideways[1], up]


def _cutout(
    model: MorphableModel,
    front: _Front,
    landmarks: NDArray[np.float64],
    outline: Sequence[int],
    box: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> Cutout:
    """The part within an outline of landmarks, with the skin in an ellipse that fills a box around."""
    chosen = np.array(outline)
    inner = _closed_curve(len(chosen)) @ landmarks[chosen]
    center = inner.mean(axis=0)
    middle, radii = (box[0] + box[1]) / 2.0, (box[1] - box[0]) / 2.0
    # Each spoke goes on from the part's middle through its own outline, until it meets the ellipse.
    start, along = (center[:2] - middle) / radii, (inner - center)[:, :2] / radii
    square, half, rest = (along**2).sum(axis=1), along @ start, start @ start - 1.0
    reach = (np.sqrt(half**2 - square * rest) - half) / square
    outer = center[:2] + reach[:, None] * (inner - center)[:, :2]
    return Cutout(center, model.scheme(_SCHEME).at(chosen), front.at(outer))


def _closed_curve(count: int) -> NDArray[np.float64]:
    """(S, count) weights of points in a ring that make a smooth closed curve through them (Catmull & Rom, 1974)."""
    t = np.arange(_SPOKES) * count / _SPOKES
    start = np.floor(t).astype(int)
    f = t - start
    weights = np.zeros((_SPOKES, count))
    for offset, weight in (
        (-1, -0.5 * f + f**2 - 0.5 * f**3),
        (0, 1.0 - 2.5 * f**2 + 1.5 * f**3),
        (1, 0.5 * f + 2.0 * f**2 - 1.5 * f**3),
        (2, -0.5 * f**2 + 0.5 * f**3),
    ):
        weights[np.arange(_SPOKES), (start + offset) % count] += weight
    return weights


def _part_visibility(ring: NDArray[np.float64], camera: WeakPerspective) -> float:
    """How well a camera sees what a clockwise ring (S, 3) encloses, in [0, 1]."""
    # A ring's mean normal is that of the sum of its triangles' areas.
    spokes = ring - ring.mean(axis=0)
    return float(_faded(np.cross(np.roll(spokes, -1, axis=0), spokes).sum(axis=0), camera, _PART_FADES))


def _skin_visibility(rings: NDArray[np.float64], camera: WeakPerspective) -> NDArray[np.float64]:
    """How well a camera sees the skin at the points of clockwise rings (rings, S, 3), in [0, 1] each."""
    visibility = np.ones(rings.shape[:2])
    skin = rings[_INNER_RINGS - 1 :]
    outward = np.gradient(skin, axis=0)
    around = np.roll(skin, -1, axis=1) - np.roll(skin, 1, axis=1)
    visibility[_INNER_RINGS - 1 :] = _faded(np.cross(around, outward), camera, _SKIN_FADES)
    return visibility


def _faded(
    normals: NDArray[np.float64], camera: WeakPerspective, fades: tuple[float, float]
) -> NDArray[np.float64]:
    """1 where normals (…, 3), of any length, face the camera, to 0 where they do not."""
    cosine = -(normals @ camera.rotation[2]) / np.maximum(np.linalg.norm(normals, axis=-1), 1e-9)
    t = np.clip((cosine - fades[1]) / (fades[0] - fades[1]), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
