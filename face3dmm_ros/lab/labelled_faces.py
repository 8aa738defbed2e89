"""Where the faces of a labelled data set are, for detectors and trees to learn from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import pose_angles
from face3dmm_ros.files.pictures import find_pictures
from face3dmm_ros.lab.training.labelled_folder import read_labelled
from face3dmm_ros.landmarks.hog_detector import square_of
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.schemes import IBUG68_IN_MEDIAPIPE478, MEDIAPIPE478
from face3dmm_ros.morphable_model import MorphableModel

_KEPT_BACK = 10
"""Every so many-th face of a folder does not teach; chosen by hand."""


@dataclass(frozen=True, eq=False)
class LabelledFace:
    """A picture and its face.

    Attributes:
        picture: the file.
        points: (478, 2) float32, px.
        square: `square_of` its 68 points, turned by its roll.
        yaw: degrees.
        kept_back: whether it does not teach, but tells how sure what was learnt is.
    """

    picture: Path
    points: NDArray[np.float32]
    square: Region
    yaw: float
    kept_back: bool


def labelled_faces(folders: Sequence[Path], model: MorphableModel) -> list[LabelledFace]:
    """The faces of folders of pictures that have their truth beside them, in the order of their names.

    Raises:
        Face3DMMError: a folder holds no picture with its truth, or a damaged one.
    """
    on_model, faces = model.at_points(model.scheme(MEDIAPIPE478)), []
    for folder in folders:
        pictures = [picture for picture in find_pictures(folder) if picture.with_suffix(".mat").is_file()]
        if not pictures:
            raise Face3DMMError(f"{folder} holds no picture with its truth beside it, as `face3dmm synth` writes them")
        for number, picture in enumerate(pictures):
            record = read_labelled(picture, model)
            alpha, beta = (np.asarray(values, np.float64) for values in (record.alpha, record.beta))
            points = record.camera.project(on_model.points(alpha, beta)).astype(np.float32)
            # The model's y axis, which points up, in the image.
            rotation = record.camera.rotation
            roll = math.atan2(rotation[0, 1], -rotation[1, 1])
            yaw = float(np.degrees(pose_angles(rotation)[1]))
            square = square_of(points[IBUG68_IN_MEDIAPIPE478], roll)
            faces.append(LabelledFace(picture, points, square, yaw, number % _KEPT_BACK == 0))
    return faces
