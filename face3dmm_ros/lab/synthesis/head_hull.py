"""A fitted head on the grid of nodes by which a photograph is meshed."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.rasterization import Fragments, rasterize

# All numbers chosen by hand while looking at portraits turned to the side.
CELL = 2.4
"""mm between nodes: more show steps, fewer take longer."""
NAPE = (-65.0, -85.0)
"""From which to which height above the model's origin short hair ends at the back of the neck, mm."""

_SHORT_HAIR = 12.0  # mm; thicker hair beside the face hangs over the neck too


@dataclass(frozen=True, eq=False)
class HeadHull:
    """A head as it lies over a picture, on (h, w) nodes.

    Attributes:
        step: px between nodes.
        front: (h, w) its nearest depth, mm toward the viewer; NaN where it is not.
        face: (h, w) bool, where its front is bare skin, or eyes and mouth.
        neck: (h, w) bool, where its front is the neck.
        height: (h, w) of the nodes along the head's upright axis, mm above the model's origin.
    """

    step: float
    front: NDArray[np.float64]
    face: NDArray[np.bool_]
    neck: NDArray[np.bool_]
    height: NDArray[np.float64]

    @staticmethod
    def of(
        model: MorphableModel, vertices: NDArray[np.float32], camera: WeakPerspective, image_size: tuple[int, int]
    ) -> "HeadHull":
        """The hull of a face (N, 3), mm, in a picture of (width, height) px."""
        step = CELL * camera.scale
        columns, rows = (int(side / step) + 1 for side in image_size)
        toward = -camera.depth(vertices) / camera.scale
        seen = rasterize(camera.project(vertices) / step, -toward, model.triangles, (columns, rows))
        inner = np.float32(model.regions["skin"] <= 0.5)
        bare = np.maximum(bare_skin(model), inner).astype(np.float64)
        face, neck = (_seen_values(seen, each, model.triangles) > 0.5 for each in (bare, model.regions["neck"]))
        y, x = np.mgrid[:rows, :columns] * step
        up = camera.rotation[:2, 1] / np.linalg.norm(camera.rotation[:2, 1])
        height = ((x - camera.translation[0]) * up[0] + (y - camera.translation[1]) * up[1]) / camera.scale
        return HeadHull(step, _seen_values(seen, toward, model.triangles), face, neck, height)

    @property
    def head(self) -> NDArray[np.bool_]:
        """Where the head is, (h, w)."""
        return np.isfinite(self.front)

    def on_pixels(self, nodes: NDArray, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Values (h, w) of the nodes at the pixels of a picture of shape (H, W, …), (H, W)."""
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) / np.float32(self.step)
        return _read(nodes, x, y)

    def on_nodes(self, pixels: NDArray) -> NDArray[np.float32]:
        """Values (H, W) of pixels at the nodes, (h, w)."""
        rows, columns = self.front.shape
        y, x = (np.mgrid[:rows, :columns] * self.step).astype(np.float32)
        return _read(pixels, x, y)

    def with_hair(
        self,
        model: MorphableModel,
        vertices: NDArray[np.float32],
        camera: WeakPerspective,
        thickness: NDArray[np.float32],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """The head under hair of a thickness (h, w) mm.

        Returns:
            (h, w) its nearest and its farthest depth, mm, and where the farthest is bare skin. The depths are NaN
            beside it, the farthest also where it is the inside, seen through the neck's open end.
        """
        x, y = (camera.project(vertices) / self.step).astype(np.float32).T[:, None]
        thick = _read(thickness, np.ascontiguousarray(x), np.ascontiguousarray(y))[0]
        hair = hair_share(vertices[:, 1], thick) * (1.0 - bare_skin(model)) * thick
        normals = model.normals(vertices)
        covered = vertices + normals * hair[:, None]
        points, toward = camera.project(covered) / self.step, -camera.depth(covered) / camera.scale
        skin = model.triangles[(model.regions["skin"] > 0.5)[model.triangles].all(axis=1)]
        size = self.front.shape[1], self.front.shape[0]
        before, behind = (rasterize(points, sign * toward, skin, size) for sign in (-1.0, 1.0))
        near, far = (_seen_values(seen, toward, skin) for seen in (before, behind))
        far[~(_seen_values(behind, normals @ camera.rotation[2], skin) > 0.0)] = np.nan
        return near, far, _seen_values(behind, bare_skin(model), skin) > 0.5


def bare_skin(model: MorphableModel) -> NDArray[np.float32]:
    """Weights of what hair and clothes leave free on every head: face, ears, the neck in front, (N,)."""
    regions, (_, y, z) = model.regions, model.mean.T
    throat = np.clip((z + 95.0) / 15.0, 0.0, 1.0) * np.clip((-45.0 - y) / 10.0, 0.0, 1.0)
    throat *= np.clip((y + 130.0) / 20.0, 0.0, 1.0)
    free = np.maximum(np.maximum(regions["face"], regions["ears"]), throat) * (1.0 - regions["scalp"])
    return np.asarray(free * (regions["skin"] > 0.5), np.float32)


def hair_share(height: NDArray[np.floating], thickness: NDArray[np.floating]) -> NDArray[np.floating]:
    """How much hair there is at the back of a head, 0 to 1, by height above the origin and the hair's thickness, mm."""
    short = np.clip((height - NAPE[1]) / (NAPE[0] - NAPE[1]), 0.0, 1.0)
    long = np.clip((thickness - _SHORT_HAIR) / 8.0, 0.0, 1.0) * np.clip((height + 130.0) / 15.0, 0.0, 1.0)
    return np.maximum(short, long)


def _seen_values(seen: Fragments, values: NDArray[np.floating], triangles: NDArray[np.int32]) -> NDArray[np.float64]:
    """Values of the vertices where a triangle is seen, NaN elsewhere, (h, w)."""
    covered = seen.triangle >= 0
    result = np.full(covered.shape, np.nan)
    result[covered] = seen.surface_points(triangles, covered).interpolate(values)
    return result


def _read(values: NDArray, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values (h, w) between their places, bilinear, continued beyond the edges."""
    read = cv2.remap(np.asarray(values, np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(read, np.float32)
