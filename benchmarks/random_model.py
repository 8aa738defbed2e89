"""A random linear model of any size: smooth enough to be solved, meaningless as a face."""

import numpy as np

from face3dmm_ros.morphable_model.model import MorphableModel, SurfacePoints

BFM_VERTICES = 53_490
BFM_SHAPE = 199
BFM_EXPRESSION = 100


def random_model(
    vertices: int = BFM_VERTICES,
    shape: int = BFM_SHAPE,
    expression: int = BFM_EXPRESSION,
    landmarks: int = 68,
    blendshapes: bool = False,
    seed: int = 0,
) -> MorphableModel:
    """A model of head size with falling variances; `blendshapes` bounds β to [0, 1], otherwise it is unbounded."""
    rng = np.random.default_rng(seed)
    mean = (rng.uniform(-1, 1, (vertices, 3)) * [70, 100, 60]).astype(np.float32)
    index = np.arange(1, shape + 1)
    bounds = np.tile(np.float32([[0], [1]] if blendshapes else [[-np.inf], [np.inf]]), expression)
    return MorphableModel(
        name="random",
        mean=mean,
        triangles=rng.integers(0, vertices, (2 * vertices, 3), dtype=np.int32),
        shape_basis=rng.standard_normal((3 * vertices, shape), dtype=np.float32) / np.sqrt(shape).astype(np.float32),
        shape_sigma=(8.0 / np.sqrt(index)).astype(np.float32),
        expression_basis=rng.standard_normal((3 * vertices, expression), dtype=np.float32),
        expression_sigma=np.full(expression, 0.3 if blendshapes else 1.0, np.float32),
        expression_names=tuple(f"exp_{i:02d}" for i in range(expression)),
        expression_bounds=bounds,
        albedo_mean=rng.uniform(0, 1, (vertices, 3)).astype(np.float32),
        albedo_basis=np.zeros((3 * vertices, 0), np.float32),
        albedo_sigma=np.zeros(0, np.float32),
        landmarks={
            "ibug68" if landmarks == 68 else "mediapipe468": SurfacePoints.at_vertices(
                rng.choice(vertices, landmarks, replace=False)
            )
        },
    )
