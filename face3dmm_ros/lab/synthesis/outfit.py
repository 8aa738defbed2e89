"""Neck, shoulders and clothes below the model's cut edge."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_from_vector
from face3dmm_ros.lab.synthesis.parts import Head, Part, grid_part
from face3dmm_ros.lab.synthesis.scene import Outfit
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.fractal_noise import fractal
from face3dmm_ros.rendering.grids import grid_normals
from face3dmm_ros.rendering.smoothstep import smoothstep

# How the outline of the neck becomes that of the chest, row by row below the cut edge: distance down, mm, share of the
# way to the shoulders' width and to their depth. As all numbers of this module chosen by hand, looking at renders.
_DOWN = np.array([0, 8, 18, 30, 42, 54, 66, 80, 98, 120, 160, 230, 330, 420], float)
_WIDEN = np.array([0, 0, 0.02, 0.06, 0.14, 0.27, 0.44, 0.62, 0.8, 0.93, 1.0, 1.0, 0.97, 0.95])
_DEEPEN = np.array([0, 0.02, 0.06, 0.12, 0.22, 0.34, 0.46, 0.58, 0.7, 0.8, 0.92, 1.0, 1.05, 1.05])
_CHEST_DEPTH = 105.0
_SLOPE = 32.0  # mm by which the shoulders' ends lie below their middle


class OutfitShaper:
    """Shoulders for heads of one model."""

    def __init__(self, model: MorphableModel) -> None:
        """Find the closed edge at which the model's neck is cut off.

        Raises:
            Face3DMMError: the model's neck does not end in one closed edge.
        """
        self._edge = _neck_edge(model)

    @property
    def edge(self) -> NDArray[np.intp]:
        """The model's vertices along the cut, whose colours go on below it."""
        return self._edge

    def parts(self, outfit: Outfit, head: Head) -> list[Part]:
        """Neck and clothes below a head."""
        rim, normals, rgb, openness = (values[self._edge] for values in head)
        rim = rim.astype(np.float64)
        middle = rim.mean(axis=0)
        angle = np.arctan2(rim[:, 0], rim[:, 2] - middle[2])
        # A superellipse: shoulders are broad and flat.
        c, s = np.cos(angle), np.sin(angle)
        norm = (np.abs(c) ** 2.6 + np.abs(s) ** 2.6) ** (-1 / 2.6)
        chest_x = outfit.width * norm * s
        chest_z = middle[2] - 8.0 + _CHEST_DEPTH * norm * c
        down, widen, deepen = _DOWN[:, None], _WIDEN[:, None], _DEEPEN[:, None]
        level = np.clip(down / 60.0, 0, 1)  # the cut is slanted, the shoulders are not
        x = rim[:, 0] + widen * (chest_x - rim[:, 0])
        y = (1 - level) * rim[:, 1] + level * (middle[1] + 4.0) - down - _SLOPE * widen * s**2
        z = rim[:, 2] + deepen * (chest_z - rim[:, 2]) - 0.12 * down * (1 - deepen)
        points = _turned(np.stack([x, y, z], axis=-1), outfit.turn, middle)
        # The seam must not show: shading, too, goes on from the model's.
        blend = np.clip(_DOWN / 20.0, 0.0, 1.0)[:, None, None]
        surface = (1 - blend) * normals + blend * grid_normals(points)
        color = (1 - blend) * (rgb / 255.0) + blend * rgb.mean(axis=0) / 255.0
        under_chin = np.interp(_DOWN, [0, 40, 70, 120], [0.0, 0.62, 0.85, 1.0])[:, None]
        occlusion = (1 - np.clip(down / 40.0, 0.0, 1.0)) * openness + under_chin
        traits = np.zeros((*points.shape[:2], 4))
        traits[..., 0] = occlusion
        first = min(max(int(np.searchsorted(_DOWN, outfit.neckline)), 2), len(_DOWN) - 3)
        skin = slice(first + 1)
        # Away from the axis about which the face is unrolled.
        place = np.broadcast_to([30.0, -150.0, -80.0], points.shape) - down[..., None] * [0.0, 1.0, 0.0]
        neck = grid_part(
            "skin", points[skin], color[skin], place=place[skin], traits=traits[skin], masks=(0, 0, 1, 1),
            normals=surface[skin],
        )  # fmt: skip
        return [neck, _cloth(outfit, points[first:], _DOWN[first:, None], occlusion[first:], float(rim[:, 2].mean()))]


def _cloth(
    outfit: Outfit,
    body: NDArray[np.floating],
    down: NDArray[np.floating],
    occlusion: NDArray[np.floating],
    axis: float,
) -> Part:
    """What lies over rows of the body (R, C, 3), so far (R, 1) below the cut edge; the body's axis is at z = axis."""
    outward = body - np.array([0.0, 0.0, axis])
    outward[..., 1] = 0.0
    outward /= np.maximum(np.linalg.norm(outward, axis=-1, keepdims=True), 1e-9)
    folds = fractal(np.random.default_rng(outfit.seed), body.shape[:2], 1, 9, 0.7)
    folds[:, -1] = folds[:, 0]
    cloth = body + (2.5 + 2.0 * np.clip(down / 120, 0, 1) * folds)[..., None] * outward
    # The collar stands up before the cloth begins.
    collar = cloth[:1] + outfit.collar * (np.array([0.0, 2.2, 0.0]) + 0.6 * outward[:1])
    cloth = np.concatenate([collar, cloth])
    traits = np.empty((*cloth.shape[:2], 4))
    traits[..., 0] = np.concatenate([occlusion[:1], occlusion])
    traits[..., 1:] = 0.03, 0.05, 0.8
    masks = (outfit.stripes, outfit.checks, 1, 0.8)
    return grid_part("plain", cloth, outfit.color, place=cloth * [1.0, 1.0, 0.0], traits=traits, masks=masks)


def _turned(points: NDArray[np.floating], turn: NDArray[np.float64], middle: NDArray[np.floating]) -> NDArray:
    """Rows turned about the neck: the upper ones with the head, the lower ones as the shoulders stand."""
    pivot = middle + np.array([0.0, -15.0, 0.0])
    turns = np.stack([rotation_from_vector(share * turn) for share in smoothstep(0.0, 75.0, _DOWN)])
    return np.einsum("rcj,rij->rci", points - pivot, turns) + pivot


def _neck_edge(model: MorphableModel) -> NDArray[np.intp]:
    """Vertices around the neck's cut edge, the first repeated at the end, in the order that `grid_part` wants."""
    edges = np.sort(model.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    neck = model.regions["neck"] > 0.5
    border = unique[(count == 1) & neck[unique].any(axis=1)]
    neighbors: dict[int, list[int]] = {}
    for a, b in border.tolist():
        neighbors.setdefault(a, []).append(b)
        neighbors.setdefault(b, []).append(a)
    if not neighbors or any(len(around) != 2 for around in neighbors.values()):
        raise Face3DMMError(f"model {model.name}: its neck does not end in one closed edge")
    start = min(neighbors, key=lambda vertex: float(model.mean[vertex, 2]))
    loop = [start, max(neighbors[start], key=lambda vertex: float(model.mean[vertex, 0]))]
    while loop[-1] != start:
        a, b = neighbors[loop[-1]]
        loop.append(b if a == loop[-2] else a)
    return np.array(loop)
