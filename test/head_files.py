"""Small heads as files, and the comparison of a model's points in a picture with those of the raw file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.morphable_model import MorphableModel

COLUMNS, ROWS = 12, 10
COUNT = COLUMNS * ROWS
FACE_PIXELS = 200.0
TOLERANCE = 1e-4
"""px."""


def sheet() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A curved sheet of a head's size that looks along +z, mm, off the origin: (N, 3), and its quads (Q, 4)."""
    x, y = np.meshgrid(np.linspace(-80, 80, COLUMNS), np.linspace(-110, 110, ROWS))
    z = 100 - (x**2 + y**2) / 160
    corner = (np.arange(ROWS - 1)[:, None] * COLUMNS + np.arange(COLUMNS - 1)).ravel()
    quads = np.stack([corner, corner + 1, corner + COLUMNS + 1, corner + COLUMNS], axis=1)
    return np.stack([x + 1, y - 2, z + 5], axis=-1).reshape(-1, 3), quads


def write_obj(path: Path, vertices: NDArray, faces: NDArray | None = None, colors: NDArray | None = None) -> None:
    """A mesh, with faces of as many corners as given, in the way of v/vt."""
    rows = vertices if colors is None else np.hstack([vertices, colors])
    lines = ["# a head", *("v " + " ".join(f"{value:.9g}" for value in row) for row in rows), "vt 0 0"]
    lines += [
        "f " + " ".join(f"{vertex + 1}/1" for vertex in face) for face in (sheet()[1] if faces is None else faces)
    ]
    path.write_text("\n".join(lines) + "\n")


def assert_same_in_pictures(
    model: MorphableModel,
    raw: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
    rng: np.random.Generator,
) -> None:
    """Check that s·P·R·X + t of random coefficients is the same by the model and by the file's own definition.

    Args:
        model: as loaded.
        raw: (α, β) → (N, 3) mm in the file's axes and origin.
        rng: draws coefficients and turns.
    """
    rest = raw(np.zeros(model.shape_count), np.zeros(model.expression_count))
    origin = rest[0] - model.mean[0].astype(np.float64)
    scale = FACE_PIXELS / np.ptp(rest[:, 1])
    for turn in (np.eye(3), Rotation.random(random_state=int(rng.integers(1000))).as_matrix()):
        alpha = rng.normal(size=model.shape_count) * model.shape_sigma
        beta = np.abs(rng.normal(size=model.expression_count)) * model.expression_sigma
        camera = scale * (turn @ FRONTAL)[:2]
        ours = model.vertices(alpha, beta).astype(np.float64) @ camera.T
        np.testing.assert_allclose(ours, (raw(alpha, beta) - origin) @ camera.T, atol=TOLERANCE)
