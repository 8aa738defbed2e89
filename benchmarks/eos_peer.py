"""eos (patrikhuber/eos, C++) on the same model and landmarks."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.morphable_model.model import MorphableModel

ITERATIONS = 5
"""eos's own default."""


def eos_fit(
    model: MorphableModel, observed: NDArray[np.float64], image_size: tuple[int, int]
) -> Callable[[], NDArray[np.float64]]:
    """A call that fits (68, 2) landmarks, px, with eos: pose, identity and expression, without its contour step.

    The call returns where eos puts the landmarks, (68, 2) px.

    Raises:
        ImportError: eos-py is not installed.
    """
    import eos

    triangles = model.triangles.tolist()

    def pca(mean: NDArray, basis: NDArray, sigma: NDArray) -> "eos.morphablemodel.PcaModel":
        # eos multiplies the columns by the roots of the eigenvalues; unit columns give it the very same model.
        length = np.linalg.norm(basis, axis=0)
        return eos.morphablemodel.PcaModel(
            mean.reshape(-1, 1).astype(np.float32),
            basis / length,
            ((sigma * length) ** 2).astype(np.float32),
            triangles,
        )

    zero = np.zeros_like(model.mean)
    peer = eos.morphablemodel.MorphableModel(
        pca(model.mean, model.shape_basis, model.shape_sigma),
        pca(zero, model.expression_basis, model.expression_sigma),
        eos.morphablemodel.PcaModel(),
    )
    indices = model.scheme("ibug68").vertices[:, 0]
    landmarks = [
        eos.core.Landmark(str(i), point.astype(np.float32)) for i, point in zip(indices, observed, strict=True)
    ]
    mapper = eos.core.LandmarkMapper()

    def call() -> NDArray[np.float64]:
        fitted, rendering, *_ = eos.fitting.fit_shape_and_pose(
            peer, landmarks, mapper, *image_size, num_iterations=ITERATIONS
        )
        return _project(np.asarray(fitted.vertices)[indices], rendering, image_size)

    return call


def _project(vertices: NDArray, rendering: object, image_size: tuple[int, int]) -> NDArray[np.float64]:
    """eos's OpenGL-style chain: model view, projection, viewport with y down."""
    homogeneous = np.column_stack([vertices, np.ones(len(vertices))])
    clip = homogeneous @ (rendering.get_projection() @ rendering.get_modelview()).T  # type: ignore[attr-defined]
    width, height = image_size
    ndc = clip[:, :2] / clip[:, 3:]
    return np.column_stack([(ndc[:, 0] + 1) * width / 2, (1 - ndc[:, 1]) * height / 2])
