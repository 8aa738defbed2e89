"""Method `alternating`, of the student report that this package grew from: pose, expression and identity in turn.

Per iteration: s, R, t by the Gold Standard algorithm; then β and α, each by ridge regression with the rest fixed,
γ = (pcᵀpc + λ·diag(1/σ²))⁻¹ pcᵀ(x − b), here with γ in units of σ. Two faults are mended: R is a proper rotation, and
coefficients stay within their bounds. It is the baseline that `joint` is measured against.
"""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective, estimate_weak_perspective
from face3dmm_ros.fitting.bounded import solve_symmetric
from face3dmm_ros.fitting.linear_points import LandmarkModel
from face3dmm_ros.fitting.pose_step import projected

# All three are the report's.
ITERATIONS = 3
EXPRESSION_WEIGHT = 2000.0
"""λ of β on BFM's scale: px² for 68 landmarks, with σ a standard deviation."""
SHAPE_WEIGHT = 4000.0
"""λ of α, in the same unit."""


def alternating_fit(
    model: LandmarkModel, observed: NDArray[np.float64], bounds: NDArray[np.float64]
) -> tuple[WeakPerspective, NDArray[np.float64], float]:
    """Fit (2, P) image points, px, in the model's order.

    Args:
        model: the landmarks' points; the outline stays where the scheme puts it.
        observed: (2, P) px.
        bounds: (2, K + E) of (α, β), in σ.

    Returns:
        The camera, c = (α, β) in σ and the RMS residual in px.

    Raises:
        Face3DMMError: the landmarks do not determine a camera.
    """
    points, K = model.points, model.shape_count
    c = np.zeros(len(model.unit))
    # λ weighs 68 landmarks; a denser scheme sums over more, so its prior grows in proportion.
    density = observed.shape[1] / 68.0
    for _ in range(ITERATIONS):
        camera = estimate_weak_perspective(points.points(c).T, observed.T)
        A = camera.scale * camera.rotation[:2]
        pc = np.tensordot(A, points.basis, 1).reshape(2 * observed.shape[1], -1)
        for block, weight in ((slice(K, None), EXPRESSION_WEIGHT), (slice(0, K), SHAPE_WEIGHT)):
            others = c.copy()
            others[block] = 0.0
            b = projected(camera, points.points(others))
            H = pc[:, block].T @ pc[:, block]
            H[np.diag_indices_from(H)] += weight * density
            c[block] = solve_symmetric(H, pc[:, block].T @ (observed - b).ravel())
        c = np.clip(c, bounds[0], bounds[1])
    residuals = projected(camera, points.points(c)) - observed
    return camera, c, float(np.sqrt((residuals**2).sum(axis=0).mean()))
