"""Fit what tells the faces that trees find from anything else, and write its file.

    tools/in_environment.sh python -m face3dmm_ros.lab.landmark_trees.fit_check FOLDER... \\
        --out resource/landmark_models/tree_check.npz

FOLDERs are those that the trees have learnt from; pictures without a face are drawn besides. The detector and the trees
are those in resource/.
"""

import argparse
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.progress_bar import progress_bar
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.files.whole_file import whole_file
from face3dmm_ros.lab.face_detector.max_margin import separate
from face3dmm_ros.lab.face_detector.scenery import Scenery
from face3dmm_ros.lab.face_detector.windows import disturbed
from face3dmm_ros.lab.labelled_faces import LabelledFace, labelled_faces
from face3dmm_ros.lab.landmark_networks.logistic import logistic_regression
from face3dmm_ros.landmarks.hog_detector import HogDetector
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.regression_trees import TreeCascade
from face3dmm_ros.landmarks.tree_check import SIGNS, TreeCheck, aligned_window
from face3dmm_ros.landmarks.tree_finder import FoundShape, TreeFinder
from face3dmm_ros.landmarks.trees_backend import glances
from face3dmm_ros.morphable_model import load_model

_ON, _OFF = 0.5, 0.2
"""Overlap with the true square from which it is that face, and up to which it is none; chosen by hand."""
_TEACHERS = 4000
"""Faces, and as many pictures without, that the classifiers learn from."""
_SIDES = {0.0: (0.0, 32.0), 42.0: (20.0, 66.0), 78.0: (52.0, 180.0)}
"""Of the yaw, degrees, that a classifier stands for, from and up to which it learns."""
_COST = 0.01
"""C of the classifiers; chosen by hand."""


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--out", required=True, type=Path, metavar="NPZ")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    faces = labelled_faces(arguments.folders, load_model("default"))
    detector, rng = HogDetector(), np.random.default_rng(arguments.seed)
    finder = TreeFinder(TreeCascade.load(package_file("resource/landmark_models/trees.npz")))
    teachers = [face for face in faces if not face.kept_back][:: max(1, len(faces) // _TEACHERS)]
    seen = list(_seen(detector, finder, teachers, Scenery(arguments.seed + 3, len(teachers)), rng))
    windows = np.array([aligned_window(image, found) @ detector.views.basis for image, _, found, _ in seen], np.float32)
    check = _classified(
        detector.views.basis,
        windows,
        np.array([abs(found.yaw) for _, _, found, _ in seen]),
        np.array([is_face for *_, is_face in seen]),
        arguments.seed,
    )
    judges = [face for face in faces if face.kept_back]
    seen = list(_seen(detector, finder, judges, Scenery(arguments.seed + 4, len(judges)), rng))
    signs = np.array([check.signs(detector, image, before, found) for image, before, found, _ in seen])
    is_face = np.array([is_face for *_, is_face in seen])
    weights, bias = logistic_regression(signs.astype(np.float64), is_face.astype(np.float64))
    check = replace(check, weights=weights.astype(np.float32), offset=np.array([bias], np.float32))
    right = (signs @ weights + bias > 0.0) == is_face
    print(
        f"of {is_face.sum()} faces and {(~is_face).sum()} others that were kept back are told right "
        f"{100 * right[is_face].mean():.1f} % and {100 * right[~is_face].mean():.1f} %"
    )
    with whole_file(arguments.out) as unfinished, unfinished.open("wb") as file:
        halved = {"filters": check.filters.astype(np.float16)}
        arrays: dict[str, Any] = vars(check) | halved
        np.savez_compressed(file, **arrays)
    print(f"written: {arguments.out}")


_Seen = tuple[NDArray[np.uint8], Region, FoundShape, bool]
"""A picture, the square that was looked at, what trees found in it, and whether that is a face."""


def _seen(
    detector: HogDetector, finder: TreeFinder, faces: list[LabelledFace], scenery: Scenery, rng: np.random.Generator
) -> Iterator[_Seen]:
    """What trees find in what the detector takes for faces, in pictures of faces and in as many without."""

    def looks(image: NDArray[np.uint8]) -> Iterator[tuple[Region, FoundShape]]:
        for glance in glances(detector, finder, image):
            with suppress(Face3DMMError):  # the points have left the image
                yield glance.square, finder.find(image, glance.square, glance.yaw)

    for face in progress_bar(faces, desc="faces", unit="face"):
        gray = np.asarray(cv2.cvtColor(read_picture(face.picture, upright=False), cv2.COLOR_BGR2GRAY), np.uint8)
        image = np.asarray(cv2.cvtColor(disturbed(gray, rng), cv2.COLOR_GRAY2BGR), np.uint8)
        for before, found in looks(image):
            overlap = found.square.overlap(face.square)
            if overlap >= _ON or overlap < _OFF:
                yield image, before, found, overlap >= _ON
    for index in progress_bar(range(scenery.count), desc="pictures without", unit="picture"):
        image = scenery.picture(index)
        for before, found in looks(image):
            yield image, before, found, False


def _classified(
    basis: NDArray[np.float32],
    windows: NDArray[np.float32],
    side: NDArray[np.floating],
    is_face: NDArray[np.bool_],
    seed: int,
) -> TreeCheck:
    """The classifiers of windows (N, `WINDOW`, `WINDOW`, K) of what is turned by `side` (N,), degrees."""
    filters, bias = [], []
    for least, most in _SIDES.values():
        own = (side >= least) & (side <= most)
        rows = windows[own].reshape(own.sum(), -1)
        rows = np.column_stack([rows, np.ones(len(rows), np.float32)])
        share = is_face[own].mean()
        cost = _COST * np.where(is_face[own], 0.5 / share, 0.5 / (1.0 - share))
        found = separate(rows, is_face[own], cost, seed=seed)
        filters.append(found.weights[:-1].reshape(windows.shape[1:]))
        bias.append(found.weights[-1])
        print(f"{least:.0f} to {most:.0f} degrees: {is_face[own].sum()} faces, {(~is_face[own]).sum()} others")
    return TreeCheck(
        basis,
        np.array(filters, np.float32),
        np.array(bias, np.float32),
        np.array(list(_SIDES), np.float32),
        np.zeros(len(SIGNS), np.float32),
        np.zeros(1, np.float32),
    )


if __name__ == "__main__":
    main()
