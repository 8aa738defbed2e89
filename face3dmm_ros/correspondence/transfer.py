"""What our head knows of its surface, told of another head: landmarks, outlines and regions.

The other head's surface, bent onto ours (`registration`), lies on it: what is near is the same place of a face.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from face3dmm_ros.core.landmark_schemes import MEDIAPIPE478
from face3dmm_ros.correspondence.registration import Registration
from face3dmm_ros.correspondence.surface import Surface
from face3dmm_ros.landmarks.schemes import SKIN_COUNT
from face3dmm_ros.morphable_model import Contour, MorphableModel, SurfacePoints
from face3dmm_ros.morphable_model.side_file import Correspondence
from face3dmm_ros.rendering.connected_parts import connected_parts

# All of these are chosen by hand.
_SAME_PLACE_MM = 10.0
"""From how far at most the regions of ours are told of theirs."""
_OUTLINE_MM = 6.0
"""How far a candidate of an outline may lie off its own place, as it does where a head is cut."""
_SAME_VERTEX_MM = 1e-3
"""Vertices that lie closer together are one, as where a texture's seam doubled them."""
_EYE_RADII_MM, _EYE_OFF_MM = (8.0, 18.0), 12.0
"""Radii of eyeballs, and how far a part's middle may lie from where ours has one."""
_LEAST_OF_EYE = 20
"""Vertices of an eyeball at least."""
_LEAST_SHARE = 0.1
"""Of the key points, that a part of a mesh which is skin holds at least."""


def parts_of(surface: Surface, unit_mm: float) -> NDArray[np.int32]:
    """Which connected part of a mesh each vertex belongs to, (V,); vertices in the same place are connected.

    Args:
        surface: in its own unit.
        unit_mm: mm per unit.
    """
    places = np.round(surface.vertices * (unit_mm / _SAME_VERTEX_MM)).astype(np.int64)
    _, same = np.unique(places, axis=0, return_inverse=True)
    same = same.ravel()
    _, part = connected_parts(same[surface.triangles], int(same.max()) + 1)
    return part[same]


def skin_triangles(surface: Surface, unit_mm: float, on_skin: SurfacePoints) -> NDArray[np.integer]:
    """The triangles (M, 3) of the connected parts that hold most of some points: skin, not eyeballs or teeth."""
    part = parts_of(surface, unit_mm)
    held = np.bincount(part[on_skin.vertices[:, 0]], minlength=int(part.max()) + 1)
    skin = held >= min(_LEAST_SHARE * len(on_skin.vertices), held.max())
    return surface.triangles[skin[part[surface.triangles[:, 0]]]]


def transfer(ours: MorphableModel, theirs: Surface, registration: Registration) -> Correspondence:
    """Landmarks, outlines and regions of another head.

    Args:
        ours: the default model.
        theirs: the whole of the other's mean in its own unit, of whose triangles the registration has those of skin.
        registration: of both.
    """
    mean = Surface(ours.mean.astype(np.float64), ours.triangles)
    eyes = _eyes(ours, theirs, registration)
    landmarks = {scheme: _points(mean, points, registration.bent) for scheme, points in ours.landmarks.items()}
    if MEDIAPIPE478 in landmarks:
        skin, irises = (
            landmarks[MEDIAPIPE478].at(slice(SKIN_COUNT)),
            ours.landmarks[MEDIAPIPE478].at(slice(SKIN_COUNT, None)),
        )
        landmarks[MEDIAPIPE478] = skin.followed_by(_irises(mean, irises, registration, theirs, eyes))
    contours = {
        scheme: _contour(contour, mean, landmarks[scheme], registration.bent)
        for scheme, contour in ours.contours.items()
    }
    return Correspondence(landmarks, contours, _regions(ours, mean, theirs, registration, eyes))


def _points(mean: Surface, points: SurfacePoints, bent: Surface) -> SurfacePoints:
    """Points of ours on the other's bent skin, where it faces as ours does."""
    places = points.interpolate(mean.vertices)
    return bent.nearest(places.astype(np.float64), points.interpolate(mean.normals).astype(np.float64))


def _contour(contour: Contour, mean: Surface, landmarks: SurfacePoints, bent: Surface) -> Contour:
    """Every path's candidates that the other head has; at least the vertex at the landmark itself."""
    used = np.unique(bent.triangles)
    tree = cKDTree(bent.vertices[used])
    paths = []
    for landmark, path in zip(contour.landmarks, contour.candidates, strict=True):
        off, nearest = tree.query(mean.vertices[path])
        found = used[nearest[off < _OUTLINE_MM]]
        own = landmarks.vertices[landmark, landmarks.weights[landmark].argmax()]
        paths.append(_without_repetition(found) if len(found) else np.array([own]))
    longest = max(len(path) for path in paths)
    candidates = np.array([np.pad(path, (0, longest - len(path)), mode="edge") for path in paths], np.int32)
    return Contour(contour.landmarks, candidates)


def _without_repetition(path: NDArray[np.integer]) -> NDArray[np.integer]:
    return path[np.sort(np.unique(path, return_index=True)[1])]


@dataclass(frozen=True, eq=False)
class _Eye:
    """An eyeball of ours and the part of the other's mesh that answers to it.

    Attributes:
        ours: (K,) vertices.
        theirs: (L,) vertices; empty where there is none.
        center, radius: of ours, mm.
        their_center, their_radius: in the other's unit.
    """

    ours: NDArray[np.int64]
    theirs: NDArray[np.int64]
    center: NDArray[np.float64]
    radius: float
    their_center: NDArray[np.float64]
    their_radius: float


def _eyes(ours: MorphableModel, theirs: Surface, registration: Registration) -> list[_Eye]:
    """Both eyeballs; the other's are round parts, apart from the skin, near to where ours are."""
    similarity = registration.similarity
    mean = ours.mean.astype(np.float64)
    balls = np.flatnonzero(ours.regions["eyes"] > 0.5)
    part = parts_of(theirs, similarity.scale)
    used = np.unique(theirs.triangles)
    skin = np.unique(part[registration.bent.triangles[:, 0]])
    apart = used[~np.isin(part[used], skin)]
    order = apart[np.argsort(part[apart], kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(part[order])) + 1)
    spheres = [(members, *_sphere(theirs.vertices[members])) for members in groups if len(members) >= _LEAST_OF_EYE]
    found = []
    for side in (-1, 1):
        ball = balls[side * mean[balls, 0] > 0]
        center, radius, _ = _sphere(mean[ball])
        best, best_off = None, np.inf
        for members, their_center, their_radius, roughness in spheres:
            moved, size = similarity.of(their_center[None])[0], similarity.scale * their_radius
            off = float(np.linalg.norm(moved - center))
            if off < _EYE_OFF_MM and _EYE_RADII_MM[0] < size < _EYE_RADII_MM[1] and roughness < 0.1 and off < best_off:
                best, best_off = (members, their_center, their_radius), off
        members, their_center, their_radius = best or (np.zeros(0, np.int64), np.zeros(3), 0.0)
        found.append(_Eye(ball, members, center, radius, their_center, their_radius))
    return found


def _sphere(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float]:
    """Centre and radius of the sphere that fits (P, 3) points best, and the RMS residual over the radius."""
    origin = points.mean(axis=0)
    local = points - origin
    solution = np.linalg.lstsq(np.column_stack([2 * local, np.ones(len(local))]), (local**2).sum(axis=1), rcond=None)[0]
    radius = float(np.sqrt(max(solution[3] + (solution[:3] ** 2).sum(), 1e-12)))
    residual = np.linalg.norm(local - solution[:3], axis=1) - radius
    return origin + solution[:3], radius, float(np.sqrt((residual**2).mean()) / radius)


def _irises(
    mean: Surface, irises: SurfacePoints, registration: Registration, theirs: Surface, eyes: list[_Eye]
) -> SurfacePoints:
    """Points of the irises: in the same directions from the eyeballs' middles; without eyeballs, what is nearest."""
    places = irises.interpolate(mean.vertices)
    normals = irises.interpolate(mean.normals).astype(np.float64)
    found = registration.bent.nearest(places.astype(np.float64))
    vertices, weights = found.vertices.copy(), found.weights.copy()
    turn = registration.similarity.rotation
    for eye in eyes:
        here = np.flatnonzero(np.linalg.norm(places - eye.center, axis=1) < 2 * eye.radius)
        if not len(eye.theirs):
            continue
        mine = np.isin(theirs.triangles, eye.theirs).all(axis=1)
        ball = Surface(theirs.vertices, theirs.triangles[mine])
        goal = eye.their_center + (places[here] - eye.center) @ turn * (eye.their_radius / eye.radius)
        on_ball = ball.nearest(goal, normals[here] @ turn)
        vertices[here], weights[here] = on_ball.vertices, on_ball.weights
    return SurfacePoints(vertices, weights)


def _regions(
    ours: MorphableModel, mean: Surface, theirs: Surface, registration: Registration, eyes: list[_Eye]
) -> dict[str, NDArray[np.float32]]:
    """Our regions at the nearest point of ours; what is apart from the skin is as most of it is."""
    bent = _all_bent(theirs, registration, eyes)
    used = np.unique(theirs.triangles)
    nearest = mean.nearest(bent.vertices[used], bent.normals[used])
    off = np.linalg.norm(nearest.interpolate(mean.vertices) - bent.vertices[used], axis=1)
    part = parts_of(theirs, registration.similarity.scale)[used]
    is_skin = np.isin(part, np.unique(part[np.isin(used, registration.bent.triangles)]))
    regions = {}
    for name, mask in ours.regions.items():
        values = np.where(off < _SAME_PLACE_MM, nearest.interpolate(mask), 0.0)
        shares = np.bincount(part, values) / np.maximum(np.bincount(part), 1)
        if name == "skin":
            values = np.where(off < _SAME_PLACE_MM, values, 1.0) * is_skin
        elif name in ("eyes", "teeth"):
            values = np.where(is_skin, 0.0, shares[part] > 0.5)
        regions[name] = np.zeros(len(theirs.vertices), np.float32)
        regions[name][used] = np.clip(values, 0.0, 1.0)
    if "eyes" in regions:
        for eye in eyes:
            regions["eyes"][eye.theirs] = 1.0
    return regions


def _all_bent(theirs: Surface, registration: Registration, eyes: list[_Eye]) -> Surface:
    """The other's whole surface on ours: skin bent, eyeballs in the place of ours, the rest moved."""
    vertices = registration.bent.vertices.copy()
    for eye in eyes:
        if len(eye.theirs):
            local = (theirs.vertices[eye.theirs] - eye.their_center) @ registration.similarity.rotation.T
            vertices[eye.theirs] = eye.center + local * (eye.radius / eye.their_radius)
    return Surface(vertices, theirs.triangles)
