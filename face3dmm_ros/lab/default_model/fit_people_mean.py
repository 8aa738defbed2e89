"""Fit how people's faces at rest differ from the mended mean; write face3dmm_ros/lab/default_model/people_mean.json.

Each photograph of a calm face is explained by a pose and an identity, under the identity's prior; what all leave in
common, less what Face Mesh itself strays on renderings of that mean from the front, is how the mean is off.
"""

import argparse
from pathlib import Path

import numpy as np

from face3dmm_ros.lab.default_model.build import mended_identity
from face3dmm_ros.lab.default_model.face_landmarker import look_at, portraits
from face3dmm_ros.lab.default_model.head import build_head
from face3dmm_ros.lab.default_model.makehuman import MakeHuman
from face3dmm_ros.lab.default_model.people_mean import OFFSETS, PeopleMean, common_offsets
from face3dmm_ros.landmarks.face_mesh_response import FaceMeshResponse
from face3dmm_ros.landmarks.schemes import LEFT_IRIS, RIGHT_IRIS, SKIN_COUNT
from face3dmm_ros.morphable_model import load_model


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=portraits, help="of frontal photographs of calm faces, one a person")
    parser.add_argument(
        "response",
        type=Path,
        help="what measure_face_mesh_response.py writes without photographs, of a model built with offsets of 0",
    )
    MakeHuman.add_arguments(parser)
    parser.add_argument("--out", type=Path, default=OFFSETS)
    arguments = parser.parse_args()
    makehuman = MakeHuman.of(arguments)
    head = build_head(makehuman)
    identity = mended_identity(makehuman, head)
    points = load_model("default").scheme("mediapipe478")
    faces, _ = look_at(arguments.folder)
    offsets = common_offsets(faces, points, identity.mean, identity.basis, identity.sigma)
    response = FaceMeshResponse.load(arguments.response)
    skin = offsets[:SKIN_COUNT] - response.bias[0, :SKIN_COUNT] * [1, -1]
    skin = (skin + skin[response.mirror[:SKIN_COUNT]] * [-1, 1]) / 2
    eye = (offsets[LEFT_IRIS] + offsets[RIGHT_IRIS] * [-1, 1]) / 2
    PeopleMean(skin, eye).write(arguments.out)
    print(f"{len(faces)} people; RMS {np.sqrt((skin**2).sum(axis=1).mean()):.2f} mm, eyes {eye.round(1).tolist()} mm")


if __name__ == "__main__":
    main()
