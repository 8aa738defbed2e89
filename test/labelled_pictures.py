"""A few pictures of faces with their truth beside them, for what learns from such folders."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.lab.synthesis.dataset import truth, write_picture
from face3dmm_ros.lab.synthesis.scene import Scene
from face3dmm_ros.lab.synthesis.scene_renderer import SceneRenderer

SIZE = (160, 160)
YAWS = ((10.0, -20.0, 25.0), (30.0, -35.0, 55.0), (60.0, -80.0, 70.0))
"""Degrees, of a folder each: every view of the detector and of the trees has some, and is judged by some."""


def write_folders(folder: Path, renderer: SceneRenderer, yaws: Sequence[Sequence[float]] = YAWS) -> list[Path]:
    """Folders of pictures, one for each row of yaws; their people differ."""
    folders = []
    for row, of_row in enumerate(yaws):
        folders.append(folder / f"faces{row}")
        for column, yaw in enumerate(of_row):
            path = folders[-1] / f"face{column}.png"
            rendered = renderer.render(person(renderer, yaw, seed=10 * row + column))
            write_picture(path, rendered.image, truth(renderer.model, rendered))
    return folders


def person(renderer: SceneRenderer, yaw: float, seed: int) -> Scene:
    """Somebody without an expression, who fills half the picture."""
    model, rng = renderer.model, np.random.default_rng(seed)
    camera = WeakPerspective(
        0.6, rotation_from_pose_angles(0.0, np.radians(yaw), 0.0), np.array([SIZE[0] / 2, 0.45 * SIZE[1]])
    )
    alpha = model.shape_sigma * rng.standard_normal(model.shape_count)
    gamma = model.albedo_sigma * rng.standard_normal(len(model.albedo_sigma))
    return Scene(SIZE, camera, alpha, np.zeros(model.expression_count), gamma)
