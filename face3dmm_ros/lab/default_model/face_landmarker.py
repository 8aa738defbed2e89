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
from face3dmm_ros.files.pictures import find_pictures, read_picture
from face3dmm_ros.landmarks.blendshape_network import BlendshapeNetwork
from face3dmm_ros.landmarks.facemesh import FaceMeshBackend

_LOOKS = 3
"""At each picture, every one where the last saw the face."""


def portraits(folder: str) -> list[Path]:
    """The photographs in a folder, as an argument's type: argparse says what is wrong with one that has none."""
    try:
        return find_pictures(Path(folder), nested=False)
    except Face3DMMError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def look_at(pictures: Sequence[Path]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, 478, 2) px and (n, 51) weights of the surest face in each of n pictures, under a progress bar."""
    landmarker = FaceLandmarker()
    looks = [landmarker.look(picture) for picture in tqdm(pictures, unit="pictures", desc="looking")]
    points, weights = (np.array(each, np.float64) for each in zip(*looks, strict=True))
    return points, weights


class FaceLandmarker:
    """Points and blendshapes of one face in a picture."""

    def __init__(self) -> None:
        """Load the networks that ship with the package."""
        self._face_mesh = FaceMeshBackend(min_score=0.4)
        self._blendshapes = BlendshapeNetwork(package_file("resource/landmark_models/face_blendshapes.tflite"))

    def look(self, picture: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(478, 2) px and the (51,) weights of `WITHOUT_TONGUE` of the surest face in a picture."""
        image = read_picture(picture)
        found = self._face_mesh.detect(image)
        if not found:
            sys.exit(f"{picture}: no face was found")
        region = found[0].region
        for _ in range(_LOOKS):
            face = self._face_mesh.locate(image, region)
            region = face.region
        return face.landmarks.points, self._blendshapes.weights(face.landmarks.points)
