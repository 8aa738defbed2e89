"""Depth images of heads, as a sensor gives them: noise, steps, holes, blended edges and a wall behind."""

import numpy as np

from face3dmm_ros.core.calibration import Calibration
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.core.values import Box, Landmarks
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.rasterization import rasterize

SIZE = (640, 480)
CAMERA = Calibration(SIZE, np.array([[600.0, 0.0, 319.5], [0.0, 600.0, 239.5], [0.0, 0.0, 1.0]]))
WALL = 2.5


class Head:
    """A random person, so many times as large as the model, who moves before the camera."""

    def __init__(self, model: MorphableModel, seed: int, size: float, distance: float) -> None:
        rng = np.random.default_rng(seed)
        self.size, self.distance = size, distance
        self._model = model
        self._alpha = rng.standard_normal(model.shape_count) * model.shape_sigma
        self._beta = np.clip(rng.normal(0.0, 0.2, model.expression_count), 0.0, 1.0)
        self._phase = rng.uniform(0.0, 6.0)

    def at(self, second: float) -> tuple[np.ndarray, np.ndarray]:
        """Where its origin is, m, and its vertices in the camera, (N, 3) m."""
        t = 2.0 * np.pi * second
        R = rotation_from_pose_angles(0.2 * np.sin(0.3 * t), 0.4 * np.sin(0.4 * t + self._phase), 0.1 * np.sin(0.5 * t))
        T = self.distance * np.array([0.1 * np.sin(0.2 * t), 0.05, 1.0 + 0.1 * np.sin(0.25 * t)])
        vertices = self._model.vertices(self._alpha, self._beta * (0.5 + 0.5 * np.sin(0.7 * t)))
        return T, self.size / 1000.0 * vertices @ R.T + T


def landmarks_of(model: MorphableModel, vertices: np.ndarray) -> Landmarks:
    """A head's landmarks, from its vertices in the camera, m."""
    points = CAMERA.project(model.scheme("mediapipe478").interpolate(vertices)).astype(np.float32)
    return Landmarks("mediapipe478", points, Box(0, 0, *SIZE), 1.0, SIZE)


def depth_of(model: MorphableModel, vertices: np.ndarray, rng: np.random.Generator, noise: float = 0.015) -> np.ndarray:
    """What a depth sensor tells of a head, (H, W) m; `noise` is relative, holes are 0."""
    seen = rasterize(CAMERA.project(vertices), -1.0 / vertices[:, 2], model.triangles, SIZE)
    head = seen.triangle >= 0
    depth = np.full(head.shape, WALL)
    # In perspective 1/z is what is affine in the image.
    depth[head] = 1.0 / (seen.weights[head] / vertices[model.triangles[seen.triangle[head]], 2]).sum(axis=1)
    edge = head & ~(np.roll(head, 2, 0) & np.roll(head, -2, 0) & np.roll(head, 2, 1) & np.roll(head, -2, 1))
    depth[edge] += rng.uniform(0.0, 1.0, edge.sum()) * (WALL - depth[edge])
    depth *= 1.0 + noise * rng.standard_normal(depth.shape)
    depth[rng.random(depth.shape) < 0.1] = 0.0
    for x, y in rng.integers(0, [SIZE[0], SIZE[1]], (60, 2)):
        depth[y : y + 12, x : x + 12] = 0.0
    return np.round(depth, 3).astype(np.float32)
