"""Folders of pictures with their truth, in the layout of AFLW2000-3D and 300W-LP (Zhu et al., CVPR 2016).

Beside NAME.jpg or NAME.png stands NAME.mat with ``pt3d_68`` (3, 68): x right, y down, px from the centre of the
top-left pixel, z toward the viewer; ``Pose_Para`` (1, 7): pitch, yaw, roll, tx, ty, tz, scale; ``roi`` (1, 4): left,
top, right, bottom of the landmarks. Beyond that layout: ``scale``, ``rotation`` (3, 3, model → camera) and
``translation`` (2) of the weak perspective, ``alpha``, ``beta``, ``gamma``, ``visibility`` (68) of the landmarks,
``model``, ``model_digest``, and of pictures in perspective ``intrinsics`` (focal length, cx, cy, px).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import scipy.io
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import pose_angles
from face3dmm_ros.files.whole_file import write_whole
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions, random_scene
from face3dmm_ros.lab.synthesis.scene_renderer import RenderedScene, SceneRenderer
from face3dmm_ros.morphable_model import MorphableModel, load_model

RECORD = "synthesis.json"
"""The file that says how a folder was made; a run with other options does not continue it."""

_IN_PART = 20  # chosen by hand: seconds of work, so that handing it over takes no time that counts
_JPEG_QUALITY = 95  # chosen by hand: its artefacts are weaker than those that `Sensor.jpeg` adds on purpose


@dataclass(frozen=True)
class DatasetPart:
    """Some pictures of a data set, to be written by anybody.

    Attributes:
        folder, scenes, seed, suffix: as of `missing_parts`.
        missing: the pictures' numbers.
    """

    folder: Path
    scenes: SceneOptions
    seed: int
    suffix: str
    missing: tuple[int, ...]

    def path(self, index: int) -> Path:
        """Of a picture."""
        return self.folder / f"face{index:06d}.{self.suffix}"


def missing_parts(
    folder: Path, model: MorphableModel, scenes: SceneOptions, count: int, seed: int = 0, suffix: str = "jpg"
) -> list[DatasetPart]:
    """The pictures that are not in a data set yet, in parts.

    Every picture depends on the seed and its own number alone, and truth appears only after its picture is whole: a run
    that was stopped goes on where it was.

    Args:
        folder: made if missing.
        model: whose faces are wanted.
        scenes: what the pictures are drawn from.
        count: how many pictures the folder is to hold.
        seed: of all that is random.
        suffix: ``jpg`` or ``png``.

    Raises:
        Face3DMMError: the folder was made with other options, or cannot be written to.
    """
    record = {"seed": seed, "suffix": suffix, "model": model.name, "model_digest": model.digest}
    keep_record(folder, {**record, "scenes": scenes.recipe()})
    whole = DatasetPart(folder, scenes, seed, suffix, ())
    missing = [index for index in range(count) if not whole.path(index).with_suffix(".mat").exists()]
    return [
        replace(whole, missing=tuple(missing[first : first + _IN_PART])) for first in range(0, len(missing), _IN_PART)
    ]


def write_part(renderer: SceneRenderer, part: DatasetPart) -> int:
    """Write a part's pictures, except for those that somebody wrote meanwhile; returns how many pictures it has.

    Raises:
        Face3DMMError: the folder cannot be written to.
    """
    for index in part.missing:
        path = part.path(index)
        if not path.with_suffix(".mat").exists():
            scene = random_scene(np.random.default_rng([part.seed, index]), renderer.model, part.scenes)
            rendered = renderer.render(scene)
            write_picture(path, rendered.image, truth(renderer.model, rendered))
    return len(part.missing)


def open_renderer(model: str) -> SceneRenderer:
    """A renderer of a model of this name.

    Raises:
        Face3DMMError: the model cannot be read, or there is no OpenGL 3.3.
    """
    return SceneRenderer(load_model(model))


def write_picture(path: Path, image: NDArray[np.uint8], values: Mapping[str, object]) -> None:
    """Write an image, (H, W, 3) BGR uint8, as .jpg or .png, and then what its .mat holds beside it.

    Raises:
        Face3DMMError: the folder cannot be written to.
    """
    write_whole(path, cv2.imencode(path.suffix, image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes())
    content = BytesIO()
    scipy.io.savemat(content, dict(values), do_compression=True)
    write_whole(path.with_suffix(".mat"), content.getvalue())


def truth(model: MorphableModel, rendered: RenderedScene) -> dict[str, NDArray | str]:
    """The content of a rendered picture's .mat; see the module."""
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
    """The content of a .mat for a face with these landmarks, (68, 3) px, z toward the viewer; see the module."""
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


def keep_record(folder: Path, record: Mapping[str, object]) -> None:
    """Write into a folder how it is made.

    Raises:
        Face3DMMError: it was made in another way, or cannot be written to.
    """
    path = folder / RECORD
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        write_whole(path, (json.dumps(record, indent=1) + "\n").encode())
        return
    except (OSError, ValueError) as error:
        raise Face3DMMError(f"{path} is not readable: remove the folder, or choose another") from error
    if found != json.loads(json.dumps(record)):
        raise Face3DMMError(f"{folder} was made with other options (see {RECORD}): choose another folder")
