"""Folders of pictures with their truth, in the layout of AFLW2000-3D and 300W-LP (Zhu et al., CVPR 2016).

Beside NAME.jpg or NAME.png stands NAME.mat with ``pt3d_68`` (3, 68): x right, y down, px from the centre of the
top-left pixel, z toward the viewer; ``Pose_Para`` (1, 7): pitch, yaw, roll, tx, ty, tz, scale; ``roi`` (1, 4): left,
top, right, bottom of the landmarks. Beyond that layout: ``scale``, ``rotation`` (3, 3, model → camera) and
``translation`` (2) of the weak perspective, ``alpha``, ``beta``, ``gamma``, ``visibility`` (68) of the landmarks,
``model``, ``model_digest``, and of pictures in perspective ``intrinsics`` (focal length, cx, cy, px).
"""

import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import scipy.io
from numpy.typing import NDArray
from tqdm import tqdm

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import pose_angles
from face3dmm_ros.files.whole_file import whole_file
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions, random_scene
from face3dmm_ros.lab.synthesis.scene_renderer import RenderedScene, SceneRenderer
from face3dmm_ros.morphable_model import MorphableModel

RECORD = "synthesis.json"
"""The file that says how a folder was made; a run with other options does not continue it."""

_JPEG_QUALITY = 95


@dataclass(frozen=True)
class DatasetOptions:
    """What to write: so many pictures, from a seed, as ``jpg`` or ``png``."""

    count: int
    seed: int = 0
    suffix: str = "jpg"


def write_dataset(
    folder: Path,
    renderer: SceneRenderer,
    options: DatasetOptions,
    scenes: SceneOptions,
) -> int:
    """Write the pictures that are not there yet, and return how many these were.

    Every picture depends on the seed and its own number alone, and truth appears only after its picture is whole: a run
    that was stopped goes on where it was.

    Args:
        folder: made if missing.
        renderer: of the model whose faces are wanted.
        options: what to write.
        scenes: what the pictures are drawn from.

    Raises:
        Face3DMMError: the folder was made with other options or cannot be written to.
    """
    if options.count < 1:
        raise Face3DMMError(f"a data set holds at least one picture, not {options.count}")
    if options.suffix not in ("jpg", "png"):
        raise Face3DMMError(f"pictures are written as jpg or png, not {options.suffix}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _keep_record(folder, renderer.model, options, scenes)
        written = 0
        for index in tqdm(range(options.count), unit="picture", disable=None):
            path = folder / f"face{index:06d}.{options.suffix}"
            if not path.with_suffix(".mat").exists():
                rng = np.random.default_rng([options.seed, index])
                write_picture(path, renderer.model, renderer.render(random_scene(rng, renderer.model, scenes)))
                written += 1
    except OSError as error:
        raise Face3DMMError(f"{folder} cannot be written to: {error}") from error
    return written


def write_picture(path: Path, model: MorphableModel, rendered: RenderedScene) -> None:
    """Write a picture, .jpg or .png, and its truth beside it."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if path.suffix == ".jpg" else []
    _, encoded = cv2.imencode(path.suffix, rendered.image, settings)
    _write(path, encoded.tobytes())
    content = BytesIO()
    scipy.io.savemat(content, truth(model, rendered), do_compression=True)
    _write(path.with_suffix(".mat"), content.getvalue())


def truth(model: MorphableModel, rendered: RenderedScene) -> dict[str, NDArray | str]:
    """What a picture's .mat holds; see the module."""
    scene = rendered.scene
    values = label(model, scene.camera, rendered.landmarks(), scene.alpha, scene.beta, scene.gamma)
    values["visibility"] = rendered.visibility(model.scheme("ibug68"))
    if scene.intrinsics is not None:
        K = scene.intrinsics
        values["intrinsics"] = np.array([K.focal, K.center_x, K.center_y])
    return values


def label(
    model: MorphableModel,
    camera: WeakPerspective,
    points: NDArray[np.floating],
    alpha: NDArray[np.floating],
    beta: NDArray[np.floating],
    gamma: NDArray[np.floating],
) -> dict[str, NDArray | str]:
    """What a .mat says of a face with those landmarks, (68, 3) px, z toward the viewer; see the module."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    pose = [*pose_angles(camera.rotation), *camera.translation, 0.0, camera.scale]
    return {
        "pt3d_68": points.T,
        "Pose_Para": np.array([pose]),
        "roi": np.array([[*low, *high]]),
        "scale": np.array(camera.scale),
        "rotation": camera.rotation,
        "translation": camera.translation,
        "alpha": alpha,
        "beta": beta,
        "gamma": gamma,
        "model": model.name,
        "model_digest": model.digest,
    }


def _keep_record(folder: Path, model: MorphableModel, options: DatasetOptions, scenes: SceneOptions) -> None:
    """Write how the folder is made, or check that it was made in the same way."""
    record = {
        "seed": options.seed,
        "suffix": options.suffix,
        "model": model.name,
        "model_digest": model.digest,
        "scenes": {name: _plain(value) for name, value in vars(scenes).items()},
    }
    path = folder / RECORD
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise Face3DMMError(f"{path} is not readable: remove the folder, or choose another") from error
        if found != json.loads(json.dumps(record)):
            raise Face3DMMError(f"{folder} was made with other options (see {RECORD}): choose another folder")
        return
    _write(path, (json.dumps(record, indent=1) + "\n").encode())


def _plain(value: object) -> object:
    """A value as JSON holds it; of pictures behind faces their names."""
    if isinstance(value, tuple):
        return [item.name if isinstance(item, Path) else item for item in value]
    return value


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content)
