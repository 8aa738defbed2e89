"""A random linear model of any size: a half ellipsoid of head size with smooth random bases, meaningless as a face."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from face3dmm_ros.morphable_model.model import MorphableModel, SurfacePoints

BFM_VERTICES, BFM_SHAPE, BFM_EXPRESSION = 53_490, 199, 100
"""The report's model's: a Basel Face Model (53,490 vertices) with 199 identity and 100 expression coefficients."""


def random_model(
    vertices: int = BFM_VERTICES,
    shape: int = BFM_SHAPE,
    expression: int = BFM_EXPRESSION,
    landmarks: int = 68,
    blendshapes: bool = False,
    seed: int = 0,
) -> MorphableModel:
    """A model of a number of vertices, components and landmarks.

    The variances of its identity fall; `blendshapes` bounds β to [0, 1], otherwise it is unbounded. Its landmarks have
    the scheme `ibug68` if there are 68, else `mediapipe478`. Shapes, in mm, are those of no face.
    """
    rng = np.random.default_rng(seed)
    # Vogel's spiral spreads the vertices evenly over a disc, which bulges into a half ellipsoid.
    index = np.arange(vertices)
    radius, turn = np.sqrt((index + 0.5) / vertices), index * np.pi * (3.0 - np.sqrt(5.0))
    disc = np.column_stack([radius * np.cos(turn), radius * np.sin(turn)])
    height = np.sqrt(1.0 - np.minimum(radius, 1.0) ** 2)
    mean = (np.column_stack([disc, height]) * [75.0, 110.0, 80.0]).astype(np.float32)
    triangles = Delaunay(disc).simplices.astype(np.int32)
    bounds = np.tile([[0.0], [1.0]] if blendshapes else [[-np.inf], [np.inf]], expression).astype(np.float32)
    points = SurfacePoints.at_vertices(rng.choice(vertices, landmarks, replace=False))
    return MorphableModel(
        name="random",
        mean=mean,
        triangles=triangles,
        shape_basis=_waves(mean, shape, rng),
        shape_sigma=(8.0 / np.sqrt(np.arange(1, shape + 1))).astype(np.float32),
        expression_basis=_waves(mean, expression, rng),
        expression_sigma=np.full(expression, 0.3 if blendshapes else 1.0, np.float32),
        expression_names=tuple(f"exp_{i:02d}" for i in range(expression)),
        expression_bounds=bounds,
        albedo_mean=rng.uniform(0.4, 0.8, (vertices, 3)).astype(np.float32),
        albedo_basis=_waves(mean, 10, rng) * np.float32(0.01),
        albedo_sigma=np.ones(10, np.float32),
        landmarks={"ibug68" if landmarks == 68 else "mediapipe478": points},
    )


def _waves(mean: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(3N, count) smooth displacement fields: plane waves of random direction, length and phase, 1 mm high."""
    basis = np.empty((len(mean), 3, count), np.float32)
    for k in range(3):
        frequency = rng.normal(0.0, 0.05, (3, count)).astype(np.float32)
        phase = rng.uniform(0.0, 2.0 * np.pi, count).astype(np.float32)
        basis[:, k] = np.sin(mean @ frequency + phase)
    return basis.reshape(-1, count)
