"""The parts of a face that are shown on the melon: both eyes with their brows, and the mouth.

A part is a fan of spokes from its middle, across its own outline (eyelids, lips) to an outer outline on the skin.
The outlines are points of the model's surface, so that they move with every expression; between them positions are
interpolated, so that what the model does not cover, such as an open mouth, is shown as the picture has it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.morphable_model import MorphableModel, SurfacePoints
from face3dmm_ros.rendering.grids import cross
from face3dmm_ros.rendering.rasterization import rasterize
from face3dmm_ros.rendering.smoothstep import smoothstep

_SCHEME = "ibug68"
_RIGHT_EYE, _LEFT_EYE, _MOUTH = range(36, 42), range(42, 48), range(48, 60)
_RIGHT_BROW, _LEFT_BROW = range(17, 22), range(22, 27)
_SPOKES = 48  # these and all numbers below were chosen by hand
_INNER_RINGS, _OUTER_RINGS = 2, 4
_INSIDE = np.linspace(0.0, 1.0, _INNER_RINGS + 1, dtype=np.float32)[1:, None, None]
_OUTSIDE = np.linspace(0.0, 1.0, _OUTER_RINGS + 1, dtype=np.float32)[1:, None, None]
_TEXELS_PER_MM = 2
_PART_FADES = np.array([(0.45, 0.20), (0.45, 0.20), (0.60, 0.25)])
"""Cosines between the viewing ray and the normals of right eye, left eye and mouth below which they fade, and at which
they are gone. The mouth protrudes, so that its far corner is hidden sooner.
"""

_SKIN_FADES = np.array((0.50, 0.20))
"""The same of each point of the skin around them."""

PART_VERTICES = 1 + (_INNER_RINGS + _OUTER_RINGS) * _SPOKES
"""V, vertices of a part: its middle, then ring by ring outward."""

OUTER_RING = slice(PART_VERTICES - _SPOKES, PART_VERTICES)
"""The vertices of its outer outline."""


@dataclass(frozen=True, eq=False)
class Patches:
    """The P parts of one face in one picture, each of V = `PART_VERTICES` points.

    Attributes:
        points: (P, V, 3) model space, mm.
        beyond: (P, V) distance beyond the part's own outline, mm; 0 inside.
        share: (P, V) of the way from the part's own outline to the outer one, in [0, 1]; 0 inside.
        visibility: (P, V) in [0, 1]; 0 where the surface faces away from the camera.
    """

    points: NDArray[np.float32]
    beyond: NDArray[np.float32]
    share: NDArray[np.float32]
    visibility: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FaceCutouts:
    """P parts of a model's faces.

    Attributes:
        centers: (P, 2) x and y on the mean face, mm.
        vertices: (U,) the model's vertices that the parts depend on.
        outlines: (2·P·S, U) float32 weights of these vertices for the points of the parts' own outlines, one per spoke,
            clockwise as seen from the front, then for those of the outer outlines.
    """

    centers: NDArray[np.float64]
    vertices: NDArray[np.integer]
    outlines: NDArray[np.float32]

    def patches(self, vertices: NDArray[np.float32], camera: WeakPerspective) -> Patches:
        """The parts of a face with vertices (N, 3), model space, mm, seen by a camera."""
        count = len(self.centers)
        inner, outer = (self.outlines @ vertices[self.vertices]).reshape(2, count, 1, _SPOKES, 3)
        middle = inner.mean(axis=2, keepdims=True)
        gap = outer - inner
        rings = np.concatenate([middle + _INSIDE * (inner - middle), inner + _OUTSIDE * gap], axis=1)
        within = np.zeros((count, 1 + _INNER_RINGS * _SPOKES), np.float32)
        beyond = _OUTSIDE[..., 0] * np.sqrt((gap**2).sum(axis=-1))
        share = np.broadcast_to(_OUTSIDE[..., 0], beyond.shape)
        seen = _skin_visibility(rings, camera).reshape(count, -1)
        return Patches(
            np.concatenate([middle[:, 0], rings.reshape(count, -1, 3)], axis=1),
            np.concatenate([within, beyond.reshape(count, -1)], axis=1),
            np.concatenate([within, share.reshape(count, -1)], axis=1),
            np.concatenate([np.ones((count, 1), np.float32), seen], axis=1) * _part_visibility(outer[:, 0], camera),
        )


def part_triangles() -> NDArray[np.int32]:
    """(M, 3) triangles of a part, counter-clockwise seen from the front."""
    here = np.arange(_SPOKES)
    after = np.roll(here, -1)
    fan = [np.stack([np.zeros_like(here), 1 + after, 1 + here], axis=1)]
    for ring in range(_INNER_RINGS + _OUTER_RINGS - 1):
        a, b = 1 + ring * _SPOKES + here, 1 + ring * _SPOKES + after
        fan += [np.stack([a, b, a + _SPOKES], axis=1), np.stack([b, b + _SPOKES, a + _SPOKES], axis=1)]
    return np.concatenate(fan).astype(np.int32)


def eyes_and_mouth(model: MorphableModel) -> FaceCutouts:
    """The right eye, the left eye and the mouth of a model's faces.

    Raises:
        Face3DMMError: the model has no 68 landmarks, or no skin around them.
    """
    scheme = model.scheme(_SCHEME)
    landmarks = scheme.interpolate(model.mean).astype(np.float64)
    # Up to the nose, but without the shade below it.
    to_nose = 0.7 * (landmarks[33, 1] - landmarks[list(_MOUTH), 1].max())
    parts = (
        (_RIGHT_EYE, _box(landmarks[[*_RIGHT_EYE, *_RIGHT_BROW]], sideways=8.0, up=10.0, down=13.0)),
        (_LEFT_EYE, _box(landmarks[[*_LEFT_EYE, *_LEFT_BROW]], sideways=8.0, up=10.0, down=13.0)),
        (_MOUTH, _box(landmarks[list(_MOUTH)], sideways=17.0, up=to_nose, down=18.0)),
    )
    curves = [_closed_curve(len(outline)) for outline, _ in parts]
    paths = [curve @ landmarks[list(outline), :2] for curve, (outline, _) in zip(curves, parts, strict=True)]
    inner = [scheme.at(np.array(outline)) for outline, _ in parts]
    outer = _on_front(model, np.concatenate([_around(path, box) for path, (_, box) in zip(paths, parts, strict=True)]))
    used = np.unique(np.concatenate([points.vertices for points in (*inner, outer)]))
    weights = [curve @ _weights(points, used) for curve, points in zip(curves, inner, strict=True)]
    weights.append(_weights(outer, used))
    centers = np.array([path.mean(axis=0) for path in paths])
    return FaceCutouts(centers, used, np.concatenate(weights).astype(np.float32))


def _weights(points: SurfacePoints, used: NDArray[np.integer]) -> NDArray[np.float64]:
    """(P, U) of the used vertices in surface points."""
    weights = np.zeros((len(points.vertices), len(used)))
    np.add.at(weights, (np.arange(len(weights))[:, None], np.searchsorted(used, points.vertices)), points.weights)
    return weights


def _on_front(model: MorphableModel, points: NDArray[np.float64]) -> SurfacePoints:
    """The foremost points of the mean face's surface at (P, 2) x and y, mm.

    Raises:
        Face3DMMError: there is no surface at one of them.
    """
    low, high = model.mean[:, :2].min(axis=0), model.mean[:, :2].max(axis=0)
    width, height = (np.ceil((high - low) * _TEXELS_PER_MM).astype(int) + 1).tolist()
    seen = rasterize((model.mean[:, :2] - low) * _TEXELS_PER_MM, -model.mean[:, 2], model.triangles, (width, height))
    column, row = np.round((points - low) * _TEXELS_PER_MM).astype(int).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    if not inside.all() or (seen.triangle[row, column] < 0).any():
        raise Face3DMMError(
            f"model {model.name} has no skin around eyes and mouth to cut out: choose a model of a whole face"
        )
    return SurfacePoints(model.triangles[seen.triangle[row, column]], seen.weights[row, column])


def _box(
    points: NDArray[np.float64], *, sideways: float, up: float, down: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest (x, y) of points (P, 3), with margins, mm."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return low - np.array([sideways, down]), high + np.array([sideways, up])


def _around(outline: NDArray[np.float64], box: tuple[NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.float64]:
    """(S, 2) where spokes from the middle through an outline (S, 2) meet the ellipse that fills a box."""
    middle, radii = (box[0] + box[1]) / 2.0, (box[1] - box[0]) / 2.0
    center = outline.mean(axis=0)
    start, along = (center - middle) / radii, (outline - center) / radii
    square, half, rest = (along**2).sum(axis=1), along @ start, start @ start - 1.0
    reach = (np.sqrt(half**2 - square * rest) - half) / square
    return center + reach[:, None] * (outline - center)


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


def _part_visibility(outlines: NDArray[np.float32], camera: WeakPerspective) -> NDArray[np.float32]:
    """How well a camera sees what clockwise outlines (P, S, 3) enclose, (P, 1) in [0, 1]."""
    # An outline's mean normal is that of the sum of its triangles' areas.
    spokes = outlines - outlines.mean(axis=1, keepdims=True)
    normals = cross(np.roll(spokes, -1, axis=1), spokes).sum(axis=1)
    return _faded(normals, camera, _PART_FADES)[:, None]


def _skin_visibility(rings: NDArray[np.float32], camera: WeakPerspective) -> NDArray[np.float32]:
    """How well a camera sees the skin at the points of clockwise rings (P, rings, S, 3), (P, rings, S) in [0, 1]."""
    visibility = np.ones(rings.shape[:3], np.float32)
    skin = rings[:, _INNER_RINGS - 1 :]
    outward = np.diff(skin, axis=1, append=2.0 * skin[:, -1:] - skin[:, -2:-1])
    around = np.roll(skin, -1, axis=2) - np.roll(skin, 1, axis=2)
    visibility[:, _INNER_RINGS - 1 :] = _faded(cross(around, outward), camera, _SKIN_FADES)
    return visibility


def _faded(normals: NDArray[np.float32], camera: WeakPerspective, fades: NDArray[np.float64]) -> NDArray[np.float32]:
    """1 where normals (…, 3), of any length, face the camera, to 0 where they do not; between two cosines (…, 2)."""
    toward = -(normals @ camera.rotation[2].astype(np.float32))
    cosine = toward / np.maximum(np.sqrt((normals**2).sum(axis=-1)), 1e-9)
    return smoothstep(fades[..., 1], fades[..., 0], cosine).astype(np.float32)
