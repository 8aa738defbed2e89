"""Small changes of a weak perspective camera as six numbers, (ω, Δlog s, Δt): the unknowns of every pose step.

ω is a rotation vector in camera axes, R ← exp([ω]×)·R; s ← s·exp(Δlog s); t ← t + Δt, px.
"""

import math

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import rotation_vector
from face3dmm_ros.fitting import point_loops
from face3dmm_ros.fitting.point_loops import POSE_SIZE, Pose


def moved(camera: WeakPerspective, step: NDArray[np.float64]) -> WeakPerspective:
    """The camera after a pose step (6,)."""
    return WeakPerspective(*point_loops.moved(Pose.of(camera), np.ascontiguousarray(step, np.float64)))


def step_between(before: WeakPerspective, after: WeakPerspective) -> NDArray[np.float64]:
    """The pose step (6,) that leads from one camera to another: the inverse of `moved`."""
    step = np.empty(POSE_SIZE)
    step[:3] = rotation_vector(after.rotation @ before.rotation.T)
    step[3] = math.log(after.scale / before.scale)
    step[4:] = after.translation - before.translation
    return step


def projected(camera: WeakPerspective, X: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, P) model points, mm, to (2, P) image points, px."""
    return (camera.scale * camera.rotation[:2]) @ X + camera.translation[:, None]


def pose_jacobian(camera: WeakPerspective, X: NDArray[np.float64]) -> NDArray[np.float64]:
    """Derivative of `projected` by the pose step, (6, 2, P), at points X, (3, P) mm."""
    x, y, z = camera.scale * camera.rotation @ X
    J = np.zeros((POSE_SIZE, 2, X.shape[1]))
    J[1, 0], J[2, 0], J[3, 0], J[4, 0] = z, -y, x, 1.0
    J[0, 1], J[2, 1], J[3, 1], J[5, 1] = -z, x, y, 1.0
    return J
