"""Learn the classifiers of the face detector from faces with their truth, and write their file.

    tools/in_environment.sh python -m face3dmm_ros.lab.face_detector.train FOLDER... \\
        --out resource/landmark_models/hog.npz

FOLDERs are data sets of `face3dmm synth --format dataset`: renders, and photographs turned. One in ten faces of each is
kept back, and tells how sure a score is. Runs ten minutes on one core; a run that was stopped begins again.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.progress_bar import progress_bar
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.files.whole_file import whole_file
from face3dmm_ros.lab.face_detector.max_margin import separate
from face3dmm_ros.lab.face_detector.scenery import Scenery
from face3dmm_ros.lab.face_detector.windows import (
    View,
    face_window,
    principal_components,
    random_windows,
    window_features,
)
from face3dmm_ros.lab.labelled_faces import LabelledFace, labelled_faces
from face3dmm_ros.lab.landmark_networks.logistic import logistic_regression
from face3dmm_ros.landmarks.hog_detector import HogDetector, HogViews
from face3dmm_ros.morphable_model import load_model

# All chosen by hand.
VIEWS = (View(0.0, 0.0, 28.0), View(0.0, 0.0, 28.0, roll=26.0), View(40.0, 18.0, 62.0), View(75.0, 50.0, 100.0))
_COMPONENTS = 20
"""Of the 31 channels: a window's sum takes two thirds of the time that all would."""
_COST = 0.005
"""C of a negative example; positive ones weigh as much in sum."""
_WINDOWS_A_FACE = 2
_PICTURES, _WINDOWS_A_PICTURE = 2500, 5
"""Without a face: how many, and of each how many windows anywhere."""
_ROUNDS, _HARD_A_PICTURE = 3, 6
_HARD = -0.9
"""The score from which a window without a face is learnt from: little less than the margin, −1."""
_EASY = -1.3
"""The highest score of a window without a face that the next round does without."""
_ELSEWHERE = 0.25
"""Overlap with a face's square below which a window of its picture shows no face."""


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--out", required=True, type=Path, metavar="NPZ")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    faces = labelled_faces(arguments.folders, load_model("default"))
    judges, teachers = ([face for face in faces if face.kept_back is kept] for kept in (True, False))
    print(f"{len(teachers)} faces teach, {len(judges)} tell how sure a score is")
    views = learn(teachers, arguments.seed)
    views = calibrated(views, judges, arguments.seed)
    with whole_file(arguments.out) as unfinished, unfinished.open("wb") as file:
        kinds = {
            "basis": np.float32,
            "filters": np.float16,
            "bias": np.float32,
            "odds": np.float32,
            "yaw": np.float32,
            "roll": np.float32,
        }
        np.savez_compressed(file, **{name: getattr(views, name).astype(kind) for name, kind in kinds.items()})
    print(f"written: {arguments.out}")


def learn(faces: list[LabelledFace], seed: int) -> HogViews:
    """The views, of scores that are not yet odds."""
    rng = np.random.default_rng(seed)
    positive: list[list[NDArray[np.float32]]] = [[] for _ in VIEWS]
    for face in progress_bar(faces, desc="faces", unit="face"):
        image = read_picture(face.picture, upright=False)
        for windows, view in zip(positive, VIEWS, strict=True):
            if view.knows(face):
                windows += [face_window(image, face, view, rng) for _ in range(_WINDOWS_A_FACE)]
    scenery = Scenery(seed + 1, _PICTURES)
    negative: list[NDArray[np.float32]] = []
    for index in progress_bar(range(scenery.count), desc="pictures without", unit="picture"):
        negative += random_windows(scenery.picture(index), _WINDOWS_A_PICTURE, rng)
    basis = principal_components(
        np.array([window for windows in [*positive, negative] for window in windows[::5]]), _COMPONENTS
    )
    seen = [np.array(windows, np.float32) @ basis for windows in positive]
    unseen = np.array(negative, np.float32) @ basis
    del positive, negative
    views = _separated(basis, seen, unseen, seed)
    for number in range(_ROUNDS):
        hard = list(_hard_windows(views, scenery, faces[number :: 2 * _ROUNDS], rng))
        sums = np.tensordot(unseen, views.filters, ((1, 2, 3), (1, 2, 3))) + views.bias
        easy = sums.max(axis=1) < _EASY
        unseen = np.concatenate([unseen[~easy], np.array(hard, np.float32).reshape(-1, *unseen.shape[1:])])
        print(f"round {number + 1}: {len(hard)} windows without a face that looked like one, {len(unseen)} in all")
        views = _separated(basis, seen, unseen, seed)
    return views


def _separated(
    basis: NDArray[np.float32], seen: list[NDArray[np.float32]], unseen: NDArray[np.float32], seed: int
) -> HogViews:
    """Views from windows of each one's faces, and windows without (…, `WINDOW`, `WINDOW`, K)."""
    filters, bias = [], []
    for windows in seen:
        both = np.concatenate([windows, unseen]).reshape(len(windows) + len(unseen), -1)
        both = np.column_stack([both, np.ones(len(both), np.float32)])
        is_face = np.arange(len(both)) < len(windows)
        cost = np.where(is_face, _COST * len(unseen) / len(windows), _COST)
        found = separate(both, is_face, cost, seed=seed)
        filters.append(found.weights[:-1].reshape(windows.shape[1:]))
        bias.append(found.weights[-1])
    count = len(seen)
    return HogViews(
        basis,
        np.array(filters, np.float32),
        np.array(bias, np.float32),
        np.tile(np.array([1.0, 0.0], np.float32), (count, 1)),
        np.array([view.yaw for view in VIEWS], np.float32),
        np.array([view.roll for view in VIEWS], np.float32),
    )


def _hard_windows(
    views: HogViews, scenery: Scenery, faces: list[LabelledFace], rng: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """Windows without a face that score as if they nearly had one, of scenery and of what is beside faces."""
    detector = HogDetector(views.with_mirror_images())

    def hard(image: NDArray[np.uint8], face: LabelledFace | None = None) -> Iterator[NDArray[np.float32]]:
        squares = [square for _, _, square in detector.squares(image, _HARD)]
        if face is not None:
            squares = [square for square in squares if square.overlap(face.square) < _ELSEWHERE]
        for square in squares[:_HARD_A_PICTURE]:
            yield window_features(image, square) @ views.basis

    for index in progress_bar(range(scenery.count), desc="hard ones", unit="picture"):
        yield from hard(scenery.picture(index))
    for face in progress_bar(faces, desc="beside faces", unit="face"):
        yield from hard(read_picture(face.picture, upright=False), face)


def calibrated(views: HogViews, faces: list[LabelledFace], seed: int) -> HogViews:
    """The views with the odds of their scores: a face's best window against the best of a picture without one."""
    detector = HogDetector(views.with_mirror_images())
    scenery = Scenery(seed + 2, len(faces))
    empty = np.array(
        [
            np.max([scores.max(axis=(1, 2)) for scores, _ in detector.sizes(scenery.picture(index))], axis=0)
            for index in progress_bar(range(scenery.count), desc="pictures without", unit="picture")
        ]
    )
    rng, odds = np.random.default_rng([seed, 3]), []
    for v, view in enumerate(VIEWS):
        windows = [
            face_window(read_picture(face.picture, upright=False), face, view, rng) @ views.basis
            for face in faces
            if view.knows(face)
        ]
        own = np.tensordot(np.array(windows), views.filters[v], 3) + views.bias[v]
        weights, offset = logistic_regression(
            np.concatenate([own, empty[:, v]])[:, None].astype(np.float64),
            np.repeat([1.0, 0.0], [len(own), len(empty)]),
        )
        odds.append([float(weights[0]), offset])
        print(
            f"yaw {view.yaw:.0f}, roll {view.roll:.0f}: median score of {len(own)} faces {np.median(own):.2f}, highest "
            f"in a picture without {np.median(empty[:, v]):.2f}; half as sure at {-offset / weights[0]:.2f}"
        )
    return replace(views, odds=np.array(odds, np.float32))


if __name__ == "__main__":
    main()
