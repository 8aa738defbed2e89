"""Points of an unknown head, found by drawing it and looking at the pictures with our own detector.

Both heads, ours and theirs, are drawn in the same grey, light and views, and the same detector looks at both: what it
gets wrong it gets wrong on both alike. So a point of theirs answers to what was found on ours and not to where ours
should have been found. Each is a robust mean of the surface points under it over all views that show it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.landmark_schemes import MEDIAPIPE478
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_pose_angles
from face3dmm_ros.correspondence.registration import Similarity
from face3dmm_ros.correspondence.surface import Surface, pick
from face3dmm_ros.landmarks import DenseBackend, LocatedFace, Region
from face3dmm_ros.landmarks.dense_network import upright_region
from face3dmm_ros.landmarks.facemesh import REGION_SCALE
from face3dmm_ros.landmarks.schemes import SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel, SurfacePoints
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from face3dmm_ros.rendering.lighting import Lighting

# All of these are chosen by hand, on ICT-FaceKit's head and on cut ones.
_SIDE = 320
"""px of a picture: a face fills most of it, larger than the 192 px that the detector sees."""
_SCALE, _MIDDLE = 1.2, np.array([0.0, -30.0, 0.0])
"""px per mm, and the point of our head that is in the picture's middle."""
_YAWS, _PITCHES = (-40.0, -25.0, -12.0, 0.0, 12.0, 25.0, 40.0), (-12.0, 0.0, 12.0)
"""Degrees; all pairs of them are looked at."""
_FIRST_YAWS, _FIRST_PITCHES = (-20.0, 0.0, 20.0), (0.0,)
"""Those after which the similarity is told anew, so that both heads fill the pictures alike."""
_SHARES = (1.0, 0.7, 0.5)
"""Of a head's height, that pictures show which look for its face."""
_GREY, _BACKGROUND = 170, 96
"""sRGB levels of 255."""
_LIGHT = Lighting(direction=(0.2, -0.4, -1.0), color=(0.75,) * 3, ambient=(0.3,) * 3, specular=0.05)
_SMALLEST = 1e-6
"""Extent, in any unit, of what is drawn."""
_LEAST_CONFIDENCE = 0.5
"""Of a face on a picture of a head."""
_TOO_FAR = 4.0
"""px between a point and the surface from which on a sighting does not count."""
_LEAST_FACING = 0.25
"""Cosine between the view and a point's normal below which a sighting does not count."""
_NEIGHBOURS, _STRAY_MM = 12, 6.0
"""A point that strays from how so many neighbours lie on both heads, by more than this, is left out."""
_CERTAIN_MM = 3.0
"""Spread of a point's sightings about their mean, from which on it is left out."""


@dataclass(frozen=True, eq=False)
class KeyPoints:
    """P points found on both heads.

    Attributes:
        similarity: from their unit and axes to ours.
        theirs, ours: (P,) points of the surfaces.
        numbers: (P,) which of `MEDIAPIPE478` they are.
        spread: (P,) mm, of the sightings on theirs.
    """

    similarity: Similarity
    theirs: SurfacePoints
    ours: SurfacePoints
    numbers: NDArray[np.int64]
    spread: NDArray[np.float64]


def find_key_points(
    theirs: Surface, ours: MorphableModel, name: str, progress: Callable[[], object] = lambda: None
) -> KeyPoints:
    """Points of a head that looks along +z, with +y up, as all models do.

    Args:
        theirs: its mean, in any unit.
        ours: the default model.
        name: of the other, for errors.
        progress: is called after each picture, `VIEWS` times.

    Raises:
        Face3DMMError: no face is found on its pictures, or too few points of it agree.
    """
    backend = DenseBackend()
    our_surface = Surface(ours.mean.astype(np.float64), ours.triangles)
    skin = ours.scheme(MEDIAPIPE478).at(slice(SKIN_COUNT))
    known = skin.interpolate(our_surface.vertices).astype(np.float64)
    with FaceRenderer(theirs.triangles) as their_renderer, FaceRenderer(ours.triangles) as our_renderer:
        heads = _Drawn(theirs, their_renderer), _Drawn(our_surface, our_renderer)
        first = _first_sight(heads[0], backend, name)
        progress()
        similarity = _trimmed(first.interpolate(theirs.vertices).astype(np.float64), known)
        seen = _look(heads, similarity, skin, backend, _FIRST_YAWS, _FIRST_PITCHES, progress)
        similarity = _trimmed(seen.their_place, seen.our_place)
        seen = _look(heads, similarity, skin, backend, _YAWS, _PITCHES, progress)
    moved = similarity.of(seen.their_place)
    good = np.flatnonzero(
        np.isfinite(moved).all(axis=1) & (seen.spread < _CERTAIN_MM) & (_straying(moved, seen.our_place) < _STRAY_MM)
    )
    if len(good) < SKIN_COUNT // 4:
        raise Face3DMMError(
            f"only {len(good)} of {SKIN_COUNT} points of a face are found alike on pictures of model {name}: its face "
            "must look along +z with +y up, with eyes, nose and mouth"
        )
    similarity = _trimmed(seen.their_place[good], seen.our_place[good])
    return KeyPoints(
        similarity,
        theirs.nearest(seen.their_place[good]),
        our_surface.nearest(seen.our_place[good]),
        good,
        seen.spread[good],
    )


@dataclass(frozen=True, eq=False)
class _Drawn:
    surface: Surface
    renderer: FaceRenderer

    def picture(self, vertices: NDArray[np.float64], camera: WeakPerspective) -> NDArray[np.uint8]:
        """(SIDE, SIDE, 3) uint8 of its vertices in another place, (V, 3) mm, all in grey."""
        self.renderer.lighting = _LIGHT
        normals = Surface(vertices, self.surface.triangles).normals.astype(np.float32)
        grey = np.full((len(vertices), 3), _GREY, np.uint8)
        face = PosedFace(vertices.astype(np.float32), normals, grey, camera)
        rgba = self.renderer.render((_SIDE, _SIDE), [face])
        cover = rgba[:, :, 3:] / 255.0
        return np.ascontiguousarray(np.uint8(rgba[:, :, 2::-1] * cover + _BACKGROUND * (1.0 - cover)))


def _first_sight(head: _Drawn, backend: DenseBackend, name: str) -> SurfacePoints:
    """The 468 points under the surest face on pictures of a head from the front."""
    vertices = head.surface.vertices
    used = vertices[np.unique(head.surface.triangles)]
    low, high = used.min(axis=0), used.max(axis=0)
    extent = max(high[0] - low[0], high[1] - low[1], _SMALLEST)
    best: tuple[SurfacePoints, float] | None = None
    for share in _SHARES:
        for height in np.unique(np.linspace(share / 2, 1 - share / 2, 1 if share == 1.0 else 3)):
            scale = 0.7 * _SIDE / (share * extent)
            middle = np.array([(low[0] + high[0]) / 2, low[1] + height * (high[1] - low[1])]) * [1, -1]
            # mm or not: the drawer wants numbers of the size of a head's.
            camera = WeakPerspective(1.0, FRONTAL, np.array([_SIDE, _SIDE]) / 2 - scale * middle)
            image = head.picture(scale * vertices, camera)
            for detection in backend.detect(image)[:1]:
                located = backend.locate(image, detection.region)
                located = backend.locate(image, located.region)
                confidence = located.landmarks.confidence
                if confidence > _LEAST_CONFIDENCE and (best is None or confidence > best[1]):
                    points = located.landmarks.points[:SKIN_COUNT].astype(np.float64)
                    best = pick(points, scale * vertices, head.surface.triangles, camera)[0], confidence
        if best is not None:
            return best[0]
    raise Face3DMMError(
        f"no face is found on pictures of model {name}: it must look along +z with +y up, with eyes, nose and mouth"
    )


@dataclass(frozen=True, eq=False)
class _Seen:
    """Places (468, 3) on both heads, each in its own unit; NaN where none was seen; spread (468,) of theirs, mm."""

    their_place: NDArray[np.float64]
    our_place: NDArray[np.float64]
    spread: NDArray[np.float64]


def _look(
    heads: tuple[_Drawn, _Drawn],
    similarity: Similarity,
    skin: SurfacePoints,
    backend: DenseBackend,
    yaws: Sequence[float],
    pitches: Sequence[float],
    progress: Callable[[], object],
) -> _Seen:
    theirs, ours = heads
    moved = similarity.of(theirs.surface.vertices), ours.surface.vertices
    normals, known = ours.surface.normals, skin.interpolate(ours.surface.vertices)
    places: tuple[list, list] = ([], [])
    weights = []
    for yaw in yaws:
        for pitch in pitches:
            rotation = rotation_from_pose_angles(np.radians(pitch), np.radians(yaw), 0.0)
            camera = WeakPerspective(_SCALE, rotation, _SIDE / 2 - _SCALE * (rotation @ _MIDDLE)[:2])
            region = upright_region(camera.project(known), REGION_SCALE)
            weight = np.clip(-(skin.interpolate(normals) @ rotation[2]) - _LEAST_FACING, 0.0, None)
            for head, vertices, found in zip(heads, moved, places, strict=True):
                image = head.picture(vertices, camera)
                located = _located(backend, image, region)
                points, off = pick(
                    located.landmarks.points[:SKIN_COUNT].astype(np.float64), vertices, head.surface.triangles, camera
                )
                found.append(points.interpolate(vertices))
                weight = np.where(off < _TOO_FAR, weight, 0.0)
                if located.landmarks.confidence < _LEAST_CONFIDENCE:
                    weight = np.zeros_like(weight)
            weights.append(weight)
            progress()
    weight = np.array(weights)
    their_place, our_place = (robust_means(np.array(found), weight) for found in places)
    away = np.linalg.norm(np.array(places[0]) - their_place, axis=2)
    with np.errstate(invalid="ignore"):
        spread = (weight * away).sum(axis=0) / weight.sum(axis=0)
    return _Seen(similarity.back(their_place), our_place, spread)


def _located(backend: DenseBackend, image: NDArray[np.uint8], region: Region) -> LocatedFace:
    """The face in the region, looked at twice, since the first look tells better where to look."""
    return backend.locate(image, backend.locate(image, region).region)


VIEWS = 1 + len(_FIRST_YAWS) * len(_FIRST_PITCHES) + len(_YAWS) * len(_PITCHES)
"""How often `find_key_points` tells of its progress."""


def robust_means(places: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted geometric medians over (V, P, 3) sightings, (P, 3): Weiszfeld's algorithm, smooth within half a mm.

    Where no sighting (V, P) counts they are NaN.
    """
    with np.errstate(invalid="ignore"):
        middle = np.einsum("vp,vpk->pk", weights, places) / weights.sum(axis=0)[:, None]
        for _ in range(30):
            pull = weights / np.maximum(np.linalg.norm(places - middle, axis=2), 0.5)
            middle = np.einsum("vp,vpk->pk", pull, places) / pull.sum(axis=0)[:, None]
    return middle


def _trimmed(theirs: NDArray[np.float64], ours: NDArray[np.float64]) -> Similarity:
    """The similarity of points (P, 3), of which those that fit worst and those that are NaN are left out."""
    good = np.flatnonzero(np.isfinite(theirs).all(axis=1) & np.isfinite(ours).all(axis=1))
    similarity = Similarity.between(theirs[good], ours[good])
    for _ in range(5):
        off = np.linalg.norm(similarity.of(theirs[good]) - ours[good], axis=1)
        kept = good[off <= np.quantile(off, 0.7)]
        similarity = Similarity.between(theirs[kept], ours[kept])
    return similarity


def _straying(theirs: NDArray[np.float64], ours: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far, mm, each of (P, 3) points lies off the way by which its neighbours on ours differ in the median."""
    way = ours - theirs
    apart = np.linalg.norm(ours[:, None] - ours[None], axis=2)
    near = np.argsort(np.nan_to_num(apart, nan=np.inf), axis=1)[:, 1 : _NEIGHBOURS + 1]
    return np.linalg.norm(way - np.nanmedian(way[near], axis=1), axis=1)
