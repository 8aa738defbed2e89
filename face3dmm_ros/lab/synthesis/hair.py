"""Hair over the scalp: a cap of meridians from the crown to the hairline, which may hang on from there."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.lab.synthesis.parts import Head, Part, grid_part
from face3dmm_ros.lab.synthesis.scene import Hair
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.morphable_model.scalp import SKULL_MIDDLE, Scalp
from face3dmm_ros.rendering.fractal_noise import fractal
from face3dmm_ros.rendering.grids import ellipsoid, unit

# As all numbers of this module chosen by hand, while looking at renders of the default model.
_CAP_ROWS, _HANGING_ROWS = 10, 9


class HairShaper:
    """Hair for faces of one model."""

    def __init__(self, model: MorphableModel) -> None:
        """Tie the cap to the model's mean, which must have a region ``scalp``."""
        self._scalp = Scalp(model)
        nothing = np.zeros(model.vertex_count)
        ears = model.regions.get("ears", nothing) > 0.5
        self._ears = ears if ears.any() else np.ones_like(ears)
        beard = model.regions.get("beard", nothing) * (1 - model.regions["lips"])
        bearded = model.triangles[(beard[model.triangles] > 0.03).any(axis=1)]
        self._beard_vertices, corners = np.unique(bearded, return_inverse=True)
        self._beard_triangles = corners.reshape(-1, 3).astype(np.int32)
        self._beard = beard[self._beard_vertices]
        self._beard_across = model.mean[self._beard_vertices, 0] / 60

    def parts(self, hair: Hair, head: Head) -> list[Part]:
        """The hair of a head."""
        rng = np.random.default_rng(hair.seed)
        parts = self._cap(hair, head.vertices, rng) if hair.thickness > 0 else []
        if hair.bun > 0 and hair.cap is None:
            back = SKULL_MIDDLE + np.array([0, 25 + 40 * rng.random(), -105.0])
            points = ellipsoid(back, hair.bun * np.array([1.0, 0.9, 0.85]), 13, 25)
            parts.append(_strand_part("fur", points, hair, np.linspace(0.0, 0.5, 13)[:, None], spread=8.0))
        if hair.beard > 0:
            parts += self._full_beard(hair, head)
        return parts

    def _cap(self, hair: Hair, vertices: NDArray[np.float32], rng: np.random.Generator) -> list[Part]:
        wobble = fractal(rng, (_CAP_ROWS + _HANGING_ROWS, len(self._scalp.azimuth) - 1), 1, 9, 0.6)
        wobble = np.concatenate([wobble, wobble[:, :1]], axis=1)
        front = np.clip(1.0 - np.abs(self._scalp.azimuth) / np.radians(78), 0.0, 1.0)
        hairline = self._scalp.hairline - np.radians(hair.recession) * np.sin(0.5 * np.pi * front)
        hairline = hairline + (0.0 if hair.cap is not None else 0.02) * wobble[0]
        share = np.linspace(0.02, 1.0, _CAP_ROWS)[:, None]
        polar = share * hairline
        skull = self._scalp.distances(vertices)
        cap = self._scalp.points(skull, polar)
        outward = cap - SKULL_MIDDLE
        outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
        begins = 104.0 if hair.tucked else 58.0
        falls = np.interp(np.abs(self._scalp.azimuth), np.radians([begins, begins + 14.0]), [0.0, 1.0])
        hangs = hair.length * falls + hair.fringe * _fringe_profile(self._scalp.azimuth, hair.parting)
        # Where hair goes on beyond the hairline it keeps its thickness there, elsewhere it thins out.
        kept = np.clip(hangs / 15.0, 0.0, 1.0)
        closing = np.clip((1.0 - share) / 0.4, 0.0, 1.0)
        taper = np.maximum(np.sqrt(closing * (2.0 - closing)), 0.6 * kept)
        sides = np.clip((polar - 0.6) / 0.7, 0.0, 1.0) * (1.0 - 0.5 * front)
        taper = taper * (1.0 - hair.fade * sides * (1.0 - kept))
        thickness = hair.thickness * taper + hair.volume * np.sin(np.pi * np.clip(share * 0.9 + 0.1, 0, 1)) * taper
        rough = 0.5 * hair.thickness * hair.curl + (0.0 if hair.cap is not None else 0.10 * hair.thickness)
        thickness = thickness + rough * wobble[:_CAP_ROWS] * taper
        # Hair that ends at the hairline goes into the skin there, so that no gap shows below its edge.
        lift = 1.2 - 5.0 * (1.0 - kept) * (1.0 - closing) ** 2
        cap = cap + (np.maximum(thickness, 0.0) + lift)[..., None] * outward
        points, reach = cap, np.linspace(0.0, 0.55, _CAP_ROWS)[:, None]
        if hangs.max() > 1.0:
            hanging = self._hanging(hair, vertices, skull, cap[-1], outward[-1], hangs, hairline, wobble)
            points = np.concatenate([cap, hanging])
            reach = np.concatenate([reach, np.linspace(0.6, 1.0, _HANGING_ROWS)[:, None]])
        # Where nothing hangs, the strands end at the hairline, or begin there.
        reach = reach + (1 - np.clip(hangs / 12.0, 0, 1)) * np.minimum(reach / 0.55, 1.0) * (0.9 - 0.55)
        if hair.cap is not None:
            place, masks = points * [1.0, 1.0, 0.0], (0, 0, 1, 0.7)
            return [grid_part("plain", points, hair.cap, place=place, traits=(0.95, 0.02, 0.1, 0.9), masks=masks)]
        frayed = np.maximum(0.3 - 0.3 * hair.swept, kept) * np.interp(hair.length, [0.0, 120.0], [1.0, 0.3])
        material = "hair" if hair.length > 0 else "fur"
        # Loose hairs around the rest.
        loose = np.ones(points.shape[:2])
        loose[:_CAP_ROWS] = taper
        distance = loose * (0.5 + 0.15 * hair.thickness * (0.4 + hair.curl))
        shell = points + distance[..., None] * unit(points - points.mean(axis=(0, 1)))
        return [
            _strand_part(material, points, hair, reach, frayed),
            _strand_part("fur", shell, hair, reach, frayed, layer=0.46),
        ]

    def _hanging(
        self,
        hair: Hair,
        vertices: NDArray[np.float32],
        skull: NDArray[np.float32],
        edge: NDArray[np.floating],
        outward: NDArray[np.floating],
        hangs: NDArray[np.floating],
        hairline: NDArray[np.floating],
        wobble: NDArray[np.floating],
    ) -> NDArray[np.floating]:
        """What goes on from the cap's edge (C, 3): a fringe along the forehead, the rest straight down."""
        share = np.linspace(1.0 / _HANGING_ROWS, 1.0, _HANGING_ROWS)[:, None]
        down = share * hangs
        front = np.abs(self._scalp.azimuth) < np.radians(70)
        along = self._scalp.points(skull, hairline + down / 85.0 * front)
        kept = np.clip(hangs / 15.0, 0.0, 1.0)
        lift = kept * (1.5 + hair.thickness * 0.4 * (1 - 0.5 * share)) - 3.8 * (1.0 - kept)
        over_forehead = along + lift[..., None] * outward
        level = np.stack([outward[:, 0], 0 * outward[:, 1], outward[:, 2]], axis=-1)
        flare = 0.06 + 0.008 * hair.volume
        sideways = 2.0 + flare * np.minimum(down, 110) - 0.12 * np.maximum(down - 110, 0)
        sideways = sideways + 1.5 * wobble[_CAP_ROWS:] * share
        straight = edge + sideways[..., None] * unit(level)
        straight[..., 1] -= down
        if not hair.tucked:
            # Over the ears.
            ear = 0.5 * float(np.ptp(vertices[self._ears, 0])) + 5.0
            bulge = ear * np.exp(-(((straight[..., 2] + 78.0) / 75.0) ** 4))
            bulge *= np.clip(down / 18.0, 0.0, 1.0)
            straight[..., 0] = np.sign(straight[..., 0]) * np.maximum(np.abs(straight[..., 0]), bulge)
        return np.asarray(np.where(front[:, None], over_forehead, straight))

    def _full_beard(self, hair: Hair, head: Head) -> list[Part]:
        cover = self._beard
        vertices, normals = head.vertices[self._beard_vertices], head.normals[self._beard_vertices]
        away = normals + np.array([0.0, -0.5, 0.1])
        parts = []
        for layer in range(4):
            height = hair.beard * (layer + 0.4) / 4
            points = vertices + (height * cover)[:, None] * away
            place = np.column_stack([self._beard_across, 1.0 - cover, np.full(len(cover), 0.22 * layer)])
            column = grid_part(
                "fur", points[:, None], hair.color, place=place[:, None], traits=(0.8, hair.curl, 0.3, 1),
                normals=normals[:, None],
            )  # fmt: skip
            parts.append(column._replace(triangles=self._beard_triangles))
        return parts


def _strand_part(
    material: str,
    points: NDArray[np.floating],
    hair: Hair,
    reach: NDArray[np.floating],
    frayed: NDArray[np.floating] | float = 1.0,
    *,
    layer: float = 0.0,
    spread: float = 22.0,
) -> Part:
    """Strands along the rows of points (R, C, 3), `reach` (R, 1 or C) of their length from the root."""
    rows, columns = points.shape[:2]
    place, traits = np.empty((rows, columns, 3)), np.empty((rows, columns, 4))
    place[..., 0], place[..., 1], place[..., 2] = np.linspace(0.0, spread, columns), reach, layer
    traits[..., 0] = 0.75 + 0.25 * np.linspace(1.0, 0.0, rows)[:, None]  # darker toward the tips
    traits[..., 1:3] = hair.curl, 0.8 * (1 - 0.6 * hair.curl)
    traits[..., 3] = frayed
    return grid_part(material, points, hair.color, place=place, traits=traits)


def _fringe_profile(azimuth: NDArray[np.floating], parting: float) -> NDArray[np.floating]:
    """Share of the fringe's length per meridian: all over the forehead, but for a gap at the parting."""
    over = np.clip((np.radians(66) - np.abs(azimuth)) / np.radians(16), 0.0, 1.0)
    gap = np.exp(-(((azimuth - parting * np.radians(35)) / np.radians(14)) ** 2))
    return np.asarray(over * (1.0 - gap * min(1.0, 1.6 * abs(parting))))
