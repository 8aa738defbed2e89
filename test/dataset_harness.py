"""A data set of rendered faces, written in the test's own process."""

from pathlib import Path

from face3dmm_ros.lab.synthesis.dataset import missing_parts, write_part
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions
from face3dmm_ros.lab.synthesis.scene_renderer import SceneRenderer


def write_dataset(
    folder: Path, renderer: SceneRenderer, scenes: SceneOptions, count: int, seed: int = 0, suffix: str = "jpg"
) -> int:
    """Write the pictures that are not there yet, and return how many these were."""
    parts = missing_parts(folder, renderer.model, scenes, count, seed, suffix)
    return sum(write_part(renderer, part) for part in parts)
