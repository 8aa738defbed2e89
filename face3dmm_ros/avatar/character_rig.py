"""The character as a linear model of its own: the caricatured head, with brows, lashes, hair and collar that follow it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from face3dmm_ros.avatar.caricature import EYE_CENTER, EYE_RADIUS, EYE_SCALE, EYE_SHIFT, caricature, jacobian
from face3dmm_ros.avatar.character_hair import locks
from face3dmm_ros.avatar.strokes import stroke, stroke_triangles
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.synthesis.hair import HairShaper
from face3dmm_ros.synthesis.parts import ellipsoid, grid_triangles
from face3dmm_ros.synthesis.scene import Hair

SKIN = (0.70, 0.62, 0.95)
HAIR = (0.20, 0.20, 0.46)
COLLAR = (1.00, 0.62, 0.24)
_LIPS = (0.72, 0.36, 0.66)
_BLUSH = (0.93, 0.50, 0.78)
_MOUTH = (0.36, 0.07, 0.17)
_TONGUE = (0.90, 0.40, 0.48)
_TEETH = (1.00, 0.99, 0.97)
_LASH = (0.13, 0.10, 0.24)

_REST = {"eyeWide": 0.75, "mouthSmile": 0.14, "browInnerUp": 0.25}
"""Part of the neutral character, of both sides: open eyes and the hint of a smile."""

_GAINS = {"brow": 1.35, "mouthSmile": 1.1, "mouthFrown": 1.35, "mouthPucker": 1.15, "noseSneer": 1.3}
"""Exaggeration by the beginning of the blendshapes' names."""

# Face Mesh's points along the left brow's edges and the left upper lid, from the temple to the nose, and their mirrors.
_BROWS = {
    "left": ((300, 293, 334, 296, 336), (276, 283, 282, 295, 285)),
    "right": ((70, 63, 105, 66, 107), (46, 53, 52, 65, 55)),
}
_LIDS = {"left": (263, 466, 388, 387, 386, 385, 384, 398, 362), "right": (33, 246, 161, 160, 159, 158, 157, 173, 133)}


@dataclass(frozen=True, eq=False)
class CharacterRig:
    """The character's mesh.

    Attributes:
        model: the linear model, without identities; its expressions are ARKit's blendshapes, all but tongueOut, with
            the exaggeration in them.
        surface, eyes: (M, 3) int32 triangles, of all but the eyes and of the eyes.
        paint: (N, 4) uint8 sRGB and gloss.
        eye_center: of the left eye, (3,) mm.
        eye_radii: (3,) mm.
    """

    model: MorphableModel
    surface: NDArray[np.int32]
    eyes: NDArray[np.int32]
    paint: NDArray[np.uint8]
    eye_center: NDArray[np.float64]
    eye_radii: NDArray[np.float64]


def build_rig(model: MorphableModel) -> CharacterRig:
    """The character of the default model."""
    neutral, basis = _caricatured(model)
    none = np.zeros(basis.shape[2])
    outer = (model.regions["eyes"] < 0.5) & (model.regions["scalp"] < 0.9)
    blocks = [_Block(neutral, basis, model.triangles[outer[model.triangles].any(axis=1)], _head_paint(model))]
    blocks += _brows(model, neutral, basis) + _lashes(model, neutral, basis)
    blocks += [_Block.still(points, triangles, (*HAIR, 0.35), none) for points, triangles in _hair(model, neutral)]
    blocks += [_Block.still(*_collar(), (*COLLAR, 0.0), none)]
    surface_blocks = len(blocks)
    center, radii = EYE_CENTER + EYE_SHIFT, EYE_RADIUS * EYE_SCALE
    for mirror in (1.0, -1.0):
        ball = ellipsoid(center * [mirror, 1.0, 1.0], radii, 13, 25)
        blocks.append(_Block.still(ball.reshape(-1, 3), grid_triangles(13, 25), (1.0, 1.0, 1.0, 0.0), none))
    starts = np.cumsum([0] + [len(block.points) for block in blocks])
    triangles = [block.triangles + start for block, start in zip(blocks, starts[:-1], strict=True)]
    surface, eyes = np.concatenate(triangles[:surface_blocks]), np.concatenate(triangles[surface_blocks:])
    points, basis = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("points", "basis"))
    return CharacterRig(
        model=_linear_model(model.expression_names, points, basis, np.concatenate([surface, eyes])),
        surface=surface,
        eyes=eyes,
        paint=np.concatenate([block.paint for block in blocks]),
        eye_center=center,
        eye_radii=radii,
    )


@dataclass(frozen=True, eq=False)
class _Block:
    """Points (n, 3), their basis (n, 3, E), triangles (m, 3) and paint (n, 4) of a part."""

    points: NDArray[np.floating]
    basis: NDArray[np.floating]
    triangles: NDArray[np.int32]
    paint: NDArray[np.uint8]

    @staticmethod
    def still(
        points: NDArray[np.floating],
        triangles: NDArray[np.int32],
        paint: tuple[float, float, float, float],
        none: NDArray[np.floating],
    ) -> "_Block":
        """A part of one paint that no expression moves; `none` is E zeros."""
        return _Block.moving(points, np.broadcast_to(none, (len(points), 3, len(none))), triangles, paint)

    @staticmethod
    def moving(
        points: NDArray[np.floating],
        basis: NDArray[np.floating],
        triangles: NDArray[np.int32],
        paint: tuple[float, float, float, float],
    ) -> "_Block":
        """A part of one paint."""
        return _Block(points, basis, triangles, np.tile(_bytes(np.array(paint)), (len(points), 1)))


def _caricatured(model: MorphableModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The neutral character's head, (N, 3), and its expressions, (N, 3, E)."""
    names = model.expression_names
    basis = model.expression_basis.reshape(model.vertex_count, 3, -1).astype(np.float64)
    rest = np.array([next((w for name, w in _REST.items() if n.startswith(name)), 0.0) for n in names])
    gain = np.array([next((g for name, g in _GAINS.items() if n.startswith(name)), 1.0) for n in names])
    ears = model.regions["ears"]
    neutral = caricature(model.mean, ears)
    basis = np.einsum("nij,nje->nie", jacobian(model.mean, ears), basis)
    neutral += basis @ rest
    basis = basis * gain
    # Lids that rest wider open have farther to go until they are closed.
    for side in ("Left", "Right"):
        wide, blink = names.index(f"eyeWide{side}"), names.index(f"eyeBlink{side}")
        basis[:, :, blink] -= rest[wide] * basis[:, :, wide]
    return neutral, basis


def _head_paint(model: MorphableModel) -> NDArray[np.uint8]:
    """(N, 4) paint of the head's own vertices."""
    mean, regions = model.mean, model.regions
    side = np.abs(mean[:, 0])
    blush = np.exp(-(((side - 45) / 17) ** 2 + ((mean[:, 1] + 33) / 13) ** 2)) * (mean[:, 2] > -30)
    nose = np.exp(-((side / 13) ** 2 + ((mean[:, 1] + 38) / 13) ** 2)) * (mean[:, 2] > 30)
    tongue = (regions["mouth_interior"] > 0.5) & _is_separate(model)
    depth = np.clip((mean[:, 2] + 45.0) / 60.0, 0.0, 1.0)[:, None]
    paint = np.tile(np.array([*SKIN, 0.0]), (len(mean), 1))
    for share, color in (
        (0.55 * blush + 0.45 * nose, (*_BLUSH, 0.0)),
        (0.35 * regions["ears"], (*_BLUSH, 0.0)),
        (regions["lips"], (*_LIPS, 0.0)),
        (regions["mouth_interior"], (*_MOUTH, 0.0)),
        (tongue.astype(float), (*_TONGUE, 0.0)),
        (regions["teeth"], (*_TEETH, 0.0)),
        (regions["scalp"] > 0.5, (*HAIR, 0.0)),
    ):
        paint += np.asarray(share, float)[:, None] * (np.array(color) - paint)
    inside = ((regions["mouth_interior"] > 0.5) | (regions["teeth"] > 0.5))[:, None]
    paint[:, :3] *= np.where(inside, 0.35 + 0.65 * depth, 1.0)
    return _bytes(paint)


def _is_separate(model: MorphableModel) -> NDArray[np.bool_]:
    """(N,) vertices that no triangles join to the skin, such as the tongue's."""
    joined = model.regions["skin"] > 0.5
    while True:
        touched = np.zeros_like(joined)
        touched[model.triangles[joined[model.triangles].any(axis=1)]] = True
        if not (touched & ~joined).any():
            return ~joined
        joined |= touched


def _brows(model: MorphableModel, neutral: NDArray[np.float64], basis: NDArray[np.float64]) -> list[_Block]:
    """A thick stroke along each brow."""
    points = model.scheme("mediapipe468")
    normals = model.normals(neutral.astype(np.float32))
    blocks = []
    for upper, lower in _BROWS.values():
        middle = points.at(np.array(upper)), points.at(np.array(lower))
        at, moves, outward = (
            _along(0.5 * (middle[0].interpolate(values) + middle[1].interpolate(values)), 14)
            for values in (neutral, basis, normals)
        )
        t = np.linspace(0.0, 1.0, 14)  # from the temple to the nose
        width = 6.2 * np.clip(0.25 + 1.1 * t, 0.0, 1.0) * np.clip(t / 0.12, 0.12, 1.0) ** 0.5
        width *= np.clip((1.0 - t) / 0.12, 0.08, 1.0) ** 0.5
        tube = stroke(at + 2.0 * outward + [0.0, 3.0, 0.0], outward, width, 0.75 * width)
        blocks.append(_following(tube, moves, (*HAIR, 0.0)))
    return blocks


def _lashes(model: MorphableModel, neutral: NDArray[np.float64], basis: NDArray[np.float64]) -> list[_Block]:
    """A dark line along each upper lid, which ends in a wing at the temple."""
    points = model.scheme("mediapipe468")
    blocks = []
    for name, lid in _LIDS.items():
        side = 1.0 if name == "left" else -1.0
        at, moves = (_along(points.at(np.array(lid)).interpolate(values), 16) for values in (neutral, basis))
        t = np.linspace(0.0, 1.0, 16)
        wing = np.clip(1.0 - t / 0.2, 0.0, 1.0)[:, None] ** 1.5 * [6.0 * side, 4.5, -3.0]
        width = 1.9 * np.clip(t / 0.25, 0.1, 1.0) ** 0.8 * np.clip(1.25 - t, 0.0, 1.0) ** 0.6
        outward = np.tile([0.25 * side, 0.35, 1.0], (16, 1))
        tube = stroke(at + wing + [0.0, 0.6, 0.8], outward, width, width)
        blocks.append(_following(tube, moves, (*_LASH, 0.0)))
    return blocks


def _following(
    tube: NDArray[np.floating], moves: NDArray[np.floating], paint: tuple[float, float, float, float]
) -> _Block:
    """A stroke (n, 8, 3) each of whose rows moves as one, by a basis (n, 3, E)."""
    rows, sides = tube.shape[:2]
    return _Block.moving(tube.reshape(-1, 3), np.repeat(moves, sides, axis=0), stroke_triangles(rows), paint)


def _along(values: NDArray[np.floating], count: int) -> NDArray[np.float64]:
    """A smooth curve through values (n, …), (count, …)."""
    spline = CubicSpline(np.linspace(0.0, 1.0, len(values)), np.asarray(values, np.float64))
    return np.asarray(spline(np.linspace(0.0, 1.0, count)))


def _hair(model: MorphableModel, neutral: NDArray[np.float64]) -> list[tuple[NDArray[np.floating], NDArray[np.int32]]]:
    """Points and triangles of the cap over the skull and of its locks."""
    vertices = neutral.astype(np.float32)
    style = Hair(thickness=9.0, volume=8.0, fade=0.2, swept=1.0, cap=HAIR)
    cap = HairShaper(model).parts(style, vertices, model.normals(vertices))[0]
    return [(cap.arrays.position, cap.triangles)] + [
        (lock.reshape(-1, 3), stroke_triangles(len(lock))) for lock in locks()
    ]


def _collar() -> tuple[NDArray[np.floating], NDArray[np.int32]]:
    """Points and triangles of a ring around the neck's end."""
    turn = np.linspace(0.0, 2 * np.pi, 33)
    outward = np.stack([np.sin(turn), 0 * turn, -np.cos(turn)], axis=1)
    path = [0.0, -128.0, -76.0] + outward * [60.0, 0.0, 68.0] + np.cos(turn)[:, None] * [0.0, -0.0, 0.0]
    ring = stroke(path, outward, np.full(33, 17.0), np.full(33, 9.0))
    return ring.reshape(-1, 3), stroke_triangles(33)


def _linear_model(
    names: tuple[str, ...], points: NDArray[np.floating], basis: NDArray[np.floating], triangles: NDArray[np.int32]
) -> MorphableModel:
    """Points (N, 3) and their expressions (N, 3, E) as a model without identities or colours."""
    N, E = len(points), len(names)
    nothing, no_sigma = np.zeros((3 * N, 0), np.float32), np.zeros(0, np.float32)
    return MorphableModel(
        name="character",
        mean=points.astype(np.float32),
        triangles=triangles,
        shape_basis=nothing,
        shape_sigma=no_sigma,
        expression_basis=np.ascontiguousarray(basis, np.float32).reshape(3 * N, E),
        expression_sigma=np.ones(E, np.float32),
        expression_names=names,
        expression_bounds=np.repeat(np.float32([[0.0], [1.0]]), E, axis=1),
        albedo_mean=np.zeros((N, 3), np.float32),
        albedo_basis=nothing,
        albedo_sigma=no_sigma,
        landmarks={},
    )


def _bytes(paint: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.round(255.0 * np.clip(paint, 0.0, 1.0)).astype(np.uint8)
