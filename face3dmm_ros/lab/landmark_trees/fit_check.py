"""Fit what tells the faces that trees find from anything else, and write its file.

    tools/in_environment.sh python -m face3dmm_ros.lab.landmark_trees.fit_check FOLDER... \\
        --out resource/landmark_models/tree_check.npz

FOLDERs are those that the trees have learnt from; the faces that were kept back there teach here, and pictures without
a face. The detector and the trees are those in resource/.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.progress_bar import progress_bar
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.files.whole_file import whole_file
from face3dmm_ros.lab.face_detector.scenery import Scenery
from face3dmm_ros.lab.labelled_faces import LabelledFace, labelled_faces
from face3dmm_ros.lab.landmark_networks.logistic import logistic_regression
from face3dmm_ros.landmarks.hog_detector import HogDetector
from face3dmm_ros.landmarks.regression_trees import TreeCascade
from face3dmm_ros.landmarks.tree_finder import TreeFinder
from face3dmm_ros.landmarks.trees_backend import looked_at
from face3dmm_ros.morphable_model import load_model

_ON, _OFF = 0.5, 0.2
"""Overlap with the true square from which it is that face, and up to which it is none; chosen by hand."""


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--out", required=True, type=Path, metavar="NPZ")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    faces = [face for face in labelled_faces(arguments.folders, load_model("default")) if face.kept_back]
    seen = list(_seen(faces, Scenery(arguments.seed + 3, len(faces))))
    signs, is_face = np.array([signs for signs, _ in seen]), np.array([is_face for _, is_face in seen])
    weights, bias = logistic_regression(signs.astype(np.float64), is_face.astype(np.float64))
    right = (signs @ weights + bias > 0.0) == is_face
    print(
        f"{is_face.sum()} faces, {(~is_face).sum()} others; told right: {100 * right[is_face].mean():.1f} % and "
        f"{100 * right[~is_face].mean():.1f} %"
    )
    with whole_file(arguments.out) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, weights=weights.astype(np.float32), bias=np.float32(bias))
    print(f"written: {arguments.out}")


def _seen(faces: list[LabelledFace], scenery: Scenery) -> Iterator[tuple[NDArray[np.float32], bool]]:
    """The signs of what the detector takes for faces, and whether it is one."""
    detector = HogDetector()
    finder = TreeFinder(TreeCascade.load(package_file("resource/landmark_models/trees.npz")))
    for face in progress_bar(faces, desc="faces", unit="face"):
        for found, signs in looked_at(detector, finder, read_picture(face.picture, upright=False)):
            overlap = found.square.overlap(face.square)
            if overlap >= _ON or overlap < _OFF:
                yield signs, overlap >= _ON
    for index in progress_bar(range(scenery.count), desc="pictures without", unit="picture"):
        for _, signs in looked_at(detector, finder, scenery.picture(index)):
            yield signs, False


if __name__ == "__main__":
    main()
