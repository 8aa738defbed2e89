"""The character as a linear model: the caricatured head, with its brows, lashes, hair and collar.

Colours and shapes without another origin were chosen by hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from face3dmm_ros.avatar.character.caricature import (
    EYE_CENTER,
    EYE_RADIUS,
    LARGE_EYE_CENTER,
    LARGE_EYE_RADII,
    caricature,
    jacobian,
)
from face3dmm_ros.avatar.character.hair import locks, scalp_cap
from face3dmm_ros.avatar.character.strokes import stroke, stroke_triangles
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.morphable_model.scalp import Scalp
from face3dmm_ros.rendering.connected_parts import connected_parts
from face3dmm_ros.rendering.grids import grid_triangles

Paint = tuple[float, float, float, float]
"""sRGB and gloss, in [0, 1]."""

SKIN = (0.70, 0.62, 0.95)
HAIR = (0.20, 0.20, 0.46)
COLLAR = (1.00, 0.62, 0.24)
_LIPS = (0.72, 0.36, 0.66)
_BLUSH = (0.93, 0.50, 0.78)
_MOUTH = (0.36, 0.07, 0.17)
_TONGUE = (0.90, 0.40, 0.48)
_TEETH = (1.00, 0.99, 0.97)
_LASH = (0.13, 0.10, 0.24)

_COLLAR_PROFILE = (
    (0.82, -8),
    (0.86, 2),
    (0.97, 8),
    (1.08, 8),
    (1.17, 0),
    (1.19, -12),
    (1.12, -20),
    (0.9, -24),
    (0.02, -25),
)
"""The collar's profile from the neck outward and down: distance from the axis in radii, and height, mm."""

_REST = {"eyeWide": 2.2, "eyeSquint": -1.3, "mouthSmile": 0.15, "browInnerUp": 0.25}
"""Weights of blendshapes, by the beginning of their names, that are part of the neutral character."""

_FROWN_MM = 5.0  # by which a brow's inner end is lowered in addition to the skin under it
_UPPER_TEETH_SHIFT = (0.0, -1.5, -3.0)  # mm, so that a smile shows them

_GAINS = {
    "browDown": 1.7,
    "browInnerUp": 1.9,
    "browOuterUp": 1.6,
    "mouthSmile": 1.45,
    "mouthUpperUp": 1.2,
    "mouthLowerDown": 1.2,
    "mouthStretch": 1.3,
    "cheekSquint": 1.3,
    "mouthFrown": 1.6,
    "mouthPucker": 1.15,
    "noseSneer": 1.3,
    "jawOpen": 1.1,
}
"""Factors of blendshapes, by the beginning of their names."""

_GRIN = {"mouthUpperUp": 0.26, "mouthLowerDown": 0.1, "cheekSquint": 0.15}
"""Weights of what comes with a smile on its side, so that it bares the teeth and lifts the cheek."""

# Face Mesh's points along the left brow's edges and the left upper lid, from the temple to the nose, and their mirrors.
_BROWS = {
    "Left": ((300, 293, 334, 296, 336), (276, 283, 282, 295, 285)),
    "Right": ((70, 63, 105, 66, 107), (46, 53, 52, 65, 55)),
}
_LIDS = {"Left": (263, 466, 388, 387, 386, 385, 384, 398, 362), "Right": (33, 246, 161, 160, 159, 158, 157, 173, 133)}


@dataclass(frozen=True, eq=False)
class CharacterRig:
    """The character's mesh: N vertices that move, and after them n that are fixed to the head.

    Attributes:
        model: the N as a linear model without identities; its expressions are ARKit's blendshapes, with the
            exaggeration in them.
        still_vertices, still_normals: (n, 3) float32, mm and unit vectors.
        outlined, inner, eyes: (M, 3) int32 triangles of all N + n: of what has an outline, of the mouth's inside, and
            of the eyes.
        paint: (N + n, 4) uint8 sRGB and gloss.
    """

    model: MorphableModel
    still_vertices: NDArray[np.float32]
    still_normals: NDArray[np.float32]
    outlined: NDArray[np.int32]
    inner: NDArray[np.int32]
    eyes: NDArray[np.int32]
    paint: NDArray[np.uint8]


def build_rig(model: MorphableModel) -> CharacterRig:
    """Build the character from the default model."""
    neutral, basis = _caricatured(model)
    head, inner = _head(model, neutral, basis)
    moving = _joined([head, *_brows(model, neutral, basis), *_lashes(model, neutral, basis)])
    dressing = _joined([*_hair(model, neutral), _collar()])
    eyes = _joined([_eyeball(LARGE_EYE_CENTER * [mirror, 1.0, 1.0]) for mirror in (1.0, -1.0)])
    still = _joined([dressing, eyes])
    N, dressed = len(moving.points), len(dressing.triangles)
    return CharacterRig(
        model=_linear_model(
            model.expression_names, replace(moving, triangles=np.concatenate([moving.triangles, inner]))
        ),
        still_vertices=still.points.astype(np.float32),
        still_normals=_linear_model((), still).normals(still.points.astype(np.float32)),
        # Hair first: what it hides need not be shaded.
        outlined=np.concatenate([still.triangles[:dressed] + N, moving.triangles]),
        inner=inner,
        eyes=still.triangles[dressed:] + N,
        paint=np.concatenate([moving.paint, still.paint]),
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """Points (n, 3), their basis (n, 3, E) with E = 0 where they lie still, triangles (m, 3) and paint (n, 4)."""

    points: NDArray[np.floating]
    basis: NDArray[np.floating]
    triangles: NDArray[np.int32]
    paint: NDArray[np.uint8]


def _painted(
    points: NDArray[np.floating], triangles: NDArray[np.int32], paint: Paint, basis: NDArray[np.floating] | None = None
) -> _Part:
    """A part of one paint with points (…, 3); without a basis no expression moves it."""
    points = points.reshape(-1, 3)
    basis = np.zeros((len(points), 3, 0)) if basis is None else basis
    return _Part(points, basis, triangles, _bytes(np.tile(paint, (len(points), 1))))


def _joined(parts: Sequence[_Part]) -> _Part:
    starts = np.cumsum([0, *(len(part.points) for part in parts[:-1])], dtype=np.int32)
    return _Part(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.basis for part in parts]),
        np.concatenate([part.triangles + start for part, start in zip(parts, starts, strict=True)]),
        np.concatenate([part.paint for part in parts]),
    )


def _head(
    model: MorphableModel, neutral: NDArray[np.float64], basis: NDArray[np.float64]
) -> tuple[_Part, NDArray[np.int32]]:
    """The head without eyes and what hair covers, and its triangles within the mouth, which are not in the part."""
    hidden = (model.regions["eyes"] > 0.5) | (model.regions["scalp"] > 0.9) | _in_socket(model)
    shown = model.triangles[~hidden[model.triangles].all(axis=1)]
    used, corners = np.unique(shown, return_inverse=True)
    corners = np.asarray(corners.reshape(-1, 3), np.int32)
    within = _in_mouth(model)[shown].all(axis=1)
    outside = np.asarray(corners[~within], np.int32)
    return _Part(neutral[used], basis[used], outside, _head_paint(model)[used]), np.asarray(corners[within], np.int32)


def _in_socket(model: MorphableModel) -> NDArray[np.bool_]:
    """(N,) the sockets' skin behind the eyeballs: a tenth of the head's triangles, out of any view of the face."""
    from_eye = (_mirrored(model) - EYE_CENTER) / EYE_RADIUS
    around = (np.linalg.norm(from_eye, axis=1) < 1.2) & (model.regions["face"] < 0.01)
    # Above the ball farther back: from below, one sees far up between it and a wide eye's lid.
    return np.asarray(around & (from_eye @ [-0.2, 0.8, 1.0] < 0.15))


def _mirrored(model: MorphableModel) -> NDArray[np.float32]:
    """(N, 3) where the mean face's vertices lie, mm, those of its right half mirrored to the left."""
    return np.column_stack([np.abs(model.mean[:, 0]), model.mean[:, 1:]])


def _in_mouth(model: MorphableModel) -> NDArray[np.bool_]:
    return np.asarray((model.regions["mouth_interior"] > 0.5) | (model.regions["teeth"] > 0.5))


def _caricatured(model: MorphableModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The neutral character's head, (N, 3), and its expressions, (N, 3, E)."""
    names = model.expression_names
    basis = model.expression_basis.reshape(model.vertex_count, 3, -1).astype(np.float64)
    rest = np.array([next((w for name, w in _REST.items() if n.startswith(name)), 0.0) for n in names])
    gain = np.array([next((g for name, g in _GAINS.items() if n.startswith(name)), 1.0) for n in names])
    ears = model.regions["ears"]
    neutral = caricature(model.mean, ears)
    basis = _smoothed(model, np.einsum("nij,nje->nie", jacobian(model.mean, ears), basis))
    neutral = _smoothed(model, neutral) + basis @ rest
    above = (model.regions["teeth"] > 0.5) & (np.abs(basis[:, 1, names.index("jawOpen")]) < 1.0)
    neutral[above] += _UPPER_TEETH_SHIFT
    basis = basis * gain
    for side in ("Left", "Right"):
        for name, weight in _GRIN.items():
            basis[:, :, names.index(f"mouthSmile{side}")] += weight * basis[:, :, names.index(f"{name}{side}")]
    # Lids that rest wider open have farther to go until they are closed, or until a lowered brow is above them.
    for side in ("Left", "Right"):
        opening = [names.index(f"{name}{side}") for name in ("eyeWide", "eyeSquint")]
        open_lids = basis[:, :, opening] @ rest[opening]
        basis[:, :, names.index(f"eyeBlink{side}")] -= open_lids
        basis[:, :, names.index(f"browDown{side}")] -= 0.55 * open_lids
    return neutral, basis


def _smoothed(model: MorphableModel, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of the head's vertices, (N, …), smoothed by Laplacian steps, except at lids and lips.

    Shading then shows few large shapes, as in a drawing.
    """
    corners = model.triangles
    pairs = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    pairs = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)
    N = model.vertex_count
    neighbours = scipy.sparse.csr_array((np.ones(len(pairs)), pairs.T), shape=(N, N))
    mean = neighbours / neighbours.sum(axis=1)[:, None]
    mirrored = _mirrored(model)
    from_eye = np.linalg.norm(mirrored - EYE_CENTER, axis=1)
    from_lips = np.linalg.norm((mirrored - [0.0, -72.0, 25.0]) / [1.9, 1.0, 1.6], axis=1)
    free = np.clip((from_eye - 21.0) / 9.0, 0.0, 1.0) * np.clip((from_lips - 15.0) / 6.0, 0.0, 1.0)
    free *= (model.regions["skin"] > 0.9) & (model.mean[:, 1] > -140)
    free = free * (1.0 - model.regions["ears"])
    smooth = values.reshape(N, -1)
    for _ in range(10):
        smooth = smooth + 0.6 * free[:, None] * (mean @ smooth - smooth)
    return smooth.reshape(values.shape)


def _head_paint(model: MorphableModel) -> NDArray[np.uint8]:
    """(N, 4) paint of the head's own vertices."""
    mean, regions = model.mean, model.regions
    side = np.abs(mean[:, 0])
    blush = np.exp(-(((side - 45) / 17) ** 2 + ((mean[:, 1] + 33) / 13) ** 2)) * (mean[:, 2] > -30)
    nose = np.exp(-((side / 13) ** 2 + ((mean[:, 1] + 38) / 13) ** 2)) * (mean[:, 2] > 30)
    tongue = (regions["mouth_interior"] > 0.5) & _is_separate(model)
    depth = np.clip((mean[:, 2] + 28.0) / 40.0, 0.0, 1.0)[:, None]
    paint = np.tile(np.array([*SKIN, 0.0]), (len(mean), 1))
    for share, color in (
        (0.55 * blush + 0.45 * nose, (*_BLUSH, 0.0)),
        (0.35 * regions["ears"], (*_BLUSH, 0.0)),
        (regions["lips"], (*_LIPS, 0.0)),
        (regions["mouth_interior"], (*_MOUTH, 0.0)),
        (tongue.astype(float), (*_TONGUE, 0.0)),
        (regions["teeth"], (*_TEETH, 0.0)),
    ):
        paint += np.asarray(share, float)[:, None] * (np.array(color) - paint)
    paint[:, :3] *= np.where(_in_mouth(model)[:, None], 0.35 + 0.65 * depth, 1.0)
    return _bytes(paint)


def _is_separate(model: MorphableModel) -> NDArray[np.bool_]:
    """(N,) vertices that no triangles join to the skin, such as the tongue's."""
    _, part_of = connected_parts(model.triangles, model.vertex_count)
    return ~np.isin(part_of, part_of[model.regions["skin"] > 0.5])


def _brows(model: MorphableModel, neutral: NDArray[np.float64], basis: NDArray[np.float64]) -> list[_Part]:
    """A thick stroke along each brow."""
    points = model.scheme("mediapipe478")
    normals = model.normals(neutral.astype(np.float32))
    parts = []
    for side, (upper, lower) in _BROWS.items():
        middle = points.at(np.array(upper)), points.at(np.array(lower))
        at, moves, outward = (
            _along(0.5 * (middle[0].interpolate(values) + middle[1].interpolate(values)), 14)
            for values in (neutral, basis, normals)
        )
        t = np.linspace(0.0, 1.0, 14)  # from the temple to the nose
        width = 5.6 * np.clip(0.25 + 1.1 * t, 0.0, 1.0) * np.clip(t / 0.12, 0.12, 1.0) ** 0.5
        width *= np.clip((1.0 - t) / 0.12, 0.08, 1.0) ** 0.5
        moves[:, 1, model.expression_names.index(f"browDown{side}")] -= _FROWN_MM * t**2
        tube = stroke(at + 2.0 * outward + [0.0, 3.0, 0.0], outward, width, 0.75 * width)
        parts.append(_stroke_part(tube, moves, (*HAIR, 0.0)))
    return parts


def _lashes(model: MorphableModel, neutral: NDArray[np.float64], basis: NDArray[np.float64]) -> list[_Part]:
    """A dark line along each upper lid, which ends in a wing at the temple."""
    points = model.scheme("mediapipe478")
    parts = []
    for name, lid in _LIDS.items():
        side = 1.0 if name == "Left" else -1.0
        at, moves = (_along(points.at(np.array(lid)).interpolate(values), 16) for values in (neutral, basis))
        t = np.linspace(0.0, 1.0, 16)
        wing = np.clip(1.0 - t / 0.2, 0.0, 1.0)[:, None] ** 1.5 * [6.0 * side, 4.5, -3.0]
        width = 2.5 * np.clip(t / 0.25, 0.1, 1.0) ** 0.8 * np.clip(1.25 - t, 0.0, 1.0) ** 0.6
        outward = np.tile([0.25 * side, 0.35, 1.0], (16, 1))
        tube = stroke(at + wing + [0.0, 0.6, 0.8], outward, width, width)
        parts.append(_stroke_part(tube, moves, (*_LASH, 0.0)))
    return parts


def _stroke_part(tube: NDArray[np.floating], moves: NDArray[np.floating], paint: Paint) -> _Part:
    """A stroke (n, 8, 3) each of whose rows moves as one, by a basis (n, 3, E)."""
    return _painted(tube, stroke_triangles(len(tube)), paint, np.repeat(moves, tube.shape[1], axis=0))


def _along(values: NDArray[np.floating], count: int) -> NDArray[np.float64]:
    """A smooth curve through values (n, …), (count, …)."""
    spline = CubicSpline(np.linspace(0.0, 1.0, len(values)), np.asarray(values, np.float64))
    return np.asarray(spline(np.linspace(0.0, 1.0, count)))


def _hair(model: MorphableModel, neutral: NDArray[np.float64]) -> list[_Part]:
    """The locks and the cap over the skull, outermost first."""
    cap = scalp_cap(Scalp(model), neutral.astype(np.float32))
    paint = (*HAIR, 0.35)
    strands = [_painted(lock, stroke_triangles(len(lock)), paint) for lock in locks()]
    return [*strands, _painted(cap, grid_triangles(*cap.shape[:2]), paint)]


def _eyeball(center: NDArray[np.float64]) -> _Part:
    """The front half of an eyeball."""
    up, around = np.meshgrid(np.linspace(1.5, -1.5, 11), np.linspace(1.5, -1.5, 11), indexing="ij")
    sphere = np.stack([np.cos(up) * np.sin(around), np.sin(up), np.cos(up) * np.cos(around)], axis=-1)
    return _painted(center + LARGE_EYE_RADII * sphere, grid_triangles(11, 11), (1.0, 1.0, 1.0, 0.0))


def _collar() -> _Part:
    """A collar around the neck's end, closed below."""
    profile = np.array(_COLLAR_PROFILE)[:, :, None]
    turn = np.linspace(0.0, 2 * np.pi, 33)
    across, height = profile[:, 0], profile[:, 1]
    x, z = 52.0 * across * np.sin(turn), -54.0 * across * np.cos(turn)
    y = height - 0.4 * z
    points = np.stack([x, y - 110.0, z - 92.0], axis=-1)
    return _painted(points, grid_triangles(len(profile), 33), (*COLLAR, 0.0))


def _linear_model(names: tuple[str, ...], part: _Part) -> MorphableModel:
    """A part as a model without identities or colours."""
    N, E = len(part.points), len(names)
    nothing, no_sigma = np.zeros((3 * N, 0), np.float32), np.zeros(0, np.float32)
    return MorphableModel(
        name="character",
        mean=part.points.astype(np.float32),
        triangles=part.triangles,
        shape_basis=nothing,
        shape_sigma=no_sigma,
        expression_basis=np.ascontiguousarray(part.basis, np.float32).reshape(3 * N, E),
        expression_sigma=np.ones(E, np.float32),
        expression_names=names,
        expression_bounds=np.repeat(np.array([[0.0], [1.0]], np.float32), E, axis=1),
        albedo_mean=np.zeros((N, 3), np.float32),
        albedo_basis=nothing,
        albedo_sigma=no_sigma,
        landmarks={},
    )


def _bytes(paint: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.round(255.0 * np.clip(paint, 0.0, 1.0)).astype(np.uint8)
