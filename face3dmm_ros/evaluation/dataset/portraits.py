"""Evaluates the live pipeline on people photographed neutral and smiling, as one track and as single pictures."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import Box
from face3dmm_ros.evaluation.dataset.datasets import check_extent
from face3dmm_ros.evaluation.dataset.evaluation import DataSet, Look, Task, file_stamp, spread
from face3dmm_ros.evaluation.dataset.face_evaluator import FAILURES
from face3dmm_ros.evaluation.dataset.pipeline_options import PipelineOptions
from face3dmm_ros.evaluation.dataset.portrait_report import PortraitReport
from face3dmm_ros.evaluation.dataset.results_file import Record, ResultsFile
from face3dmm_ros.evaluation.dataset.smiles import smile_weights
from face3dmm_ros.evaluation.metrics import box_around
from face3dmm_ros.files.pictures import find_pictures, read_picture
from face3dmm_ros.files.truth_files import check_truth_file
from face3dmm_ros.fit_methods import create_fitter
from face3dmm_ros.landmarks import LandmarkTracker
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.pipeline import FacePipeline
from face3dmm_ros.smoothing import FaceSmoother

ENDINGS = ("_neutral.jpg", "_smile.jpg", "_neutral.json")
"""Endings of the names of a person's files."""
SHOWN = 4
"""How often a track shows each picture; the last time is read. Chosen by hand, for the smoothing to settle."""
RATE = 30.0
"""Images of a track per second: those of a usual camera."""


@dataclass(frozen=True)
class Portraits(DataSet):
    """NAME_neutral.jpg, NAME_smile.jpg and NAME_neutral.json of each person."""

    unit = "person"

    def tasks(self, limit: int | None) -> list[Task]:
        """One for every NAME that has any file, and for every other picture, which is then reported as skipped."""
        files = [*find_pictures(self.root, nested=False), *self.root.glob(f"*{ENDINGS[-1]}")]
        names = sorted({_name(path) for path in files})
        return [
            Task(f"person/{name}", self.root / name, file_stamp(*_files(self.root / name)))
            for name in spread(names, limit)
        ]

    def look(self) -> Look:
        """A `PortraitWatcher` at work."""
        return PortraitWatcher(self.options).person

    def evaluation(
        self, records: Iterator[Record], results: ResultsFile, skipped: Mapping[str, str]
    ) -> PortraitReport | None:
        """How often a smile comes through, and what a face at rest shows."""
        in_order = sorted(records, key=lambda record: str(record["key"]))
        seen = smile_weights(in_order, self.options.fit_methods)
        return PortraitReport(self.root, self.options, seen, skipped) if in_order else None


class PortraitWatcher:
    """Runs the live pipeline on people's pictures, up to ARKit's weights, by each fit method."""

    def __init__(self, options: PipelineOptions) -> None:
        """Load the model and the networks.

        Raises:
            Face3DMMError: an option names something that does not exist.
        """
        model = load_model(options.model)
        backend = options.create_backend()
        self._weights = BlendshapeWeights(model)
        self._pipelines = {
            method: FacePipeline(
                LandmarkTracker(backend), create_fitter(model, method, options.regressor), FaceSmoother(model)
            )
            for method in options.fit_methods
        }

    def person(self, path: Path) -> dict[str, Any]:
        """The weights of a person, the path being that of the files without their `ENDINGS`.

        Under `seen`, by method and by `smiles.WAYS`: (52,) of the neutral and of the smiling picture, or a sentence
        that says why there are none.

        Raises:
            Face3DMMError: a picture or the label is missing or cannot be used.
        """
        if path.is_file():
            raise Face3DMMError(f"{path.name} is none of {', '.join(f'NAME{ending}' for ending in ENDINGS)}")
        missing = [file.name for file in _files(path) if not file.is_file()]
        if missing:
            raise Face3DMMError(f"{', '.join(missing)} is missing")
        neutral_file, smile_file, label = _files(path)
        place = read_place(label)
        neutral, smile = read_picture(neutral_file), read_picture(smile_file)
        seen = {}
        for method, pipeline in self._pipelines.items():
            pipeline.reset()
            track = [
                self._read(pipeline, image, k / RATE, place)
                for k, image in enumerate([neutral] * SHOWN + [smile] * SHOWN)
            ]
            single = []
            for image in (neutral, smile):
                pipeline.reset()
                single.append(self._read(pipeline, image, None, place))
            seen[method] = {"track": [track[SHOWN - 1], track[-1]], "single": single}
        return {"seen": seen}

    def _read(
        self, pipeline: FacePipeline, image: NDArray[np.uint8], time: float | None, place: Box
    ) -> list[float] | str:
        """The weights (52,) of the face at a place in an image taken at a time, s, or why there are none."""
        try:
            faces = pipeline.process(image, time)
        except FAILURES as error:
            return str(error)
        for face in faces:
            if _lies_in(face.landmarks.points, place):
                return np.round(self._weights.of(face.parameters).astype(np.float64), 5).tolist()
        return "no face where the label says" if faces else "no face"


def read_place(path: Path) -> Box:
    """The box around the points of a label, px.

    Raises:
        Face3DMMError: the file is missing or damaged, or `check_extent` refuses its points.
    """
    check_truth_file(path)
    try:
        points = np.array(json.loads(path.read_bytes())["points"], dtype=np.float64)
    except (ValueError, TypeError, KeyError) as error:
        raise Face3DMMError(f"{path.name} is no label: expected JSON with points, each of x and y") from error
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise Face3DMMError(f"{path.name} holds points of shape {points.shape}, expected (N, 2)")
    check_extent(path, points)
    return box_around(points)


def _lies_in(points: NDArray[np.float32], place: Box) -> bool:
    """Whether the middle of a face's points (N, 2) lies in a box."""
    x, y = (points.min(axis=0) + points.max(axis=0)) / 2.0
    return bool(place.x <= x <= place.x + place.width and place.y <= y <= place.y + place.height)


def _name(file: Path) -> str:
    """NAME of a person's file; the whole name of any other file."""
    return next((file.name.removesuffix(ending) for ending in ENDINGS if file.name.endswith(ending)), file.name)


def _files(person: Path) -> list[Path]:
    return [person.with_name(person.name + ending) for ending in ENDINGS]
