"""Small random heads in the layouts of other models' files, and what is asked of all who read them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from face3dmm_ros.morphable_model import MorphableModel

COLUMNS, ROWS = 12, 10
COUNT = COLUMNS * ROWS
FACE_PIXELS = 200.0


def sheet(rng: np.random.Generator) -> NDArray[np.float64]:
    """A curved sheet that looks along +z, off the origin, (N, 3) mm."""
    x, y = np.meshgrid(np.linspace(-80, 80, COLUMNS), np.linspace(-90, 90, ROWS))
    z = 100 - (x**2 + y**2) / 160
    return np.stack([x + 1, y - 2, z + 5], axis=-1).reshape(-1, 3) + rng.normal(scale=0.1, size=(COUNT, 3))


def sheet_triangles() -> NDArray[np.int32]:
    """Its triangles from zero, (M, 3), counter-clockwise seen from its front."""
    corner = (np.arange(ROWS - 1)[:, None] * COLUMNS + np.arange(COLUMNS - 1)).ravel()
    both = [[corner, corner + 1, corner + COLUMNS], [corner + 1, corner + COLUMNS + 1, corner + COLUMNS]]
    return np.concatenate([np.stack(three, axis=1) for three in both]).astype(np.int32)


def assert_projects_as(
    model: MorphableModel,
    definition: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
    to_millimetres: float,
) -> None:
    """A model's points are where its file's own definition has them, once unit and origin are the same.

    Args:
        model: as it was read.
        definition: coefficients (K,) and (E,) to points (N, 3) in the file's unit.
        to_millimetres: mm per unit of the file.
    """
    rng = np.random.default_rng(7)
    moved = to_millimetres * definition(np.zeros(model.shape_count), np.zeros(model.expression_count))
    origin = (moved - model.mean).mean(axis=0)
    scale = FACE_PIXELS / np.ptp(model.mean[:, 0])
    for turn in (np.diag([1.0, -1.0, -1.0]), Rotation.random(rng=rng).as_matrix()):
        alpha = rng.normal(size=model.shape_count) * model.shape_sigma
        beta = rng.normal(size=model.expression_count) * model.expression_sigma
        expected = to_millimetres * definition(alpha, beta) - origin
        found = model.vertices(alpha, beta).astype(np.float64)
        step = scale * (found - expected) @ turn[:2].T
        assert np.abs(step).max() < 1e-4
