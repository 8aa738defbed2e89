"""Evaluates the pipeline on labelled faces, and its detector on pictures without a face."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from face3dmm_ros.evaluation.dataset.accuracy import face_errors
from face3dmm_ros.evaluation.dataset.datasets import dataset_format
from face3dmm_ros.evaluation.dataset.evaluation import DataSet, Look, Task, file_stamp, name_of, spread
from face3dmm_ros.evaluation.dataset.face_evaluator import EvaluationOptions, FaceEvaluator
from face3dmm_ros.evaluation.dataset.faceless_pictures import (
    FacelessPicture,
    faceless_pictures_in,
    installed_faceless_pictures,
)
from face3dmm_ros.evaluation.dataset.report import FaceReport, worst_faces
from face3dmm_ros.evaluation.dataset.results_file import Record, ResultsFile
from face3dmm_ros.files.pictures import find_pictures


@dataclass(frozen=True)
class LabelledFaces(DataSet):
    """Pictures, each with the truth of one face beside it.

    Attributes:
        negatives: a folder of more pictures without a face.
    """

    options: EvaluationOptions
    negatives: Path | None = None
    unit = "picture"

    def tasks(self, limit: int | None) -> list[Task]:
        """One for every labelled picture and, if the detector runs, for every picture without a face."""
        return self._labelled(limit) + self._faceless()

    def look(self) -> Look:
        """A `FaceEvaluator` at work."""
        evaluator = FaceEvaluator(self.options)

        def look(picture: Path | FacelessPicture) -> Record:
            if isinstance(picture, FacelessPicture):
                return {"name": picture.name, "faces": evaluator.faceless(picture)}
            return evaluator.face(picture)

        return look

    def evaluation(
        self, records: Iterator[Record], results: ResultsFile, skipped: Mapping[str, str]
    ) -> FaceReport | None:
        """Errors by yaw bin, and the worst faces."""
        faceless: list[tuple[str, int]] = []

        def labelled() -> Iterator[Record]:
            """Records of faces; those of pictures without a face are put aside as they come along."""
            for record in records:
                if "faces" in record:
                    faceless.append((record["name"], record["faces"]))
                else:
                    yield record

        visible_outline = dataset_format(self.options.format).visible_outline
        errors = face_errors(labelled(), self.options.fit_methods, visible_outline=visible_outline)
        first = errors[self.options.fit_methods[0]]
        if not first.names:
            return None
        worst: dict[str, Record] = {name: {} for name in worst_faces(first)}  # in this order
        for record in results.records():
            if record["key"].startswith("face/") and name_of(record) in worst:
                worst[name_of(record)] = record
        false_alarms = faceless if self._detects else None
        return FaceReport(self.root, self.options, errors, skipped, false_alarms, worst)

    @property
    def _detects(self) -> bool:
        return "truth" not in (self.options.roi, self.options.landmarks)

    def _labelled(self, limit: int | None) -> list[Task]:
        form = dataset_format(self.options.format)
        return [
            Task(
                f"face/{picture.relative_to(self.root)}",
                picture,
                file_stamp(picture, picture.with_suffix(form.truth_suffix)),
            )
            for picture in spread(find_pictures(self.root, form.nested), limit)
        ]

    def _faceless(self) -> list[Task]:
        if not self._detects:
            return []
        pictures = installed_faceless_pictures() + (faceless_pictures_in(self.negatives) if self.negatives else [])
        return [Task(f"faceless/{p.path}/{p.quarter}", p, file_stamp(p.path)) for p in pictures]
