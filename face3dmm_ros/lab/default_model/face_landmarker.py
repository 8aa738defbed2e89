"""Google's Face Landmarker of 2023 on pictures of people: what measures them for the default model."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.lab.synthesis.people_folder import PeopleFolder
from face3dmm_ros.landmarks.blendshape_network import BlendshapeNetwork
from face3dmm_ros.landmarks.facemesh import FaceMeshBackend

# Runs of Face Mesh on each picture, each in the region that the last one found; chosen by
# hand: more take longer.
_LOOKS = 3
# Of a detection, in pictures that are known to show a face; chosen by hand.
_LEAST_SCORE = 0.4


def portraits(folder: str) -> list[Path]:
    """The photographs in FOLDER, FOLDER:odd or FOLDER:even, as an argument's type: argparse says what is wrong."""
    try:
        return PeopleFolder.parse(folder).pictures(nested=False)
    except Face3DMMError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def look_at(pictures: Sequence[Path]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Face Mesh's points (n, 478, 2), px, and the weights (n, 51) of `WITHOUT_TONGUE` of the surest face in n pictures.

    A progress bar is shown.

    Raises:
        SystemExit: a picture shows no face.
    """
    face_mesh = FaceMeshBackend(min_score=_LEAST_SCORE)
    blendshapes = BlendshapeNetwork(package_file("resource/landmark_models/face_blendshapes.tflite"))
    points, weights = [], []
    for picture in tqdm(pictures, unit="pictures", desc="looking"):
        image = read_picture(picture)
        found = face_mesh.detect(image)
        if not found:
            sys.exit(f"{picture}: no face was found")
        region = found[0].region
        for _ in range(_LOOKS):
            face = face_mesh.locate(image, region)
            region = face.region
        points.append(face.landmarks.points)
        weights.append(blendshapes.weights(face.landmarks.points))
    return np.array(points, np.float64), np.array(weights, np.float64)
