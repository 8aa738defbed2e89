"""Data sets of labelled faces, and pictures without a face beside them: how far from the truth is the pipeline?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from face3dmm_ros.evaluation.dataset.accuracy import face_errors
from face3dmm_ros.evaluation.dataset.datasets import dataset_format
from face3dmm_ros.evaluation.dataset.evaluation import (
    Look,
    Made,
    Task,
    file_stamp,
    nothing_usable,
    records_of,
    spread,
)
from face3dmm_ros.evaluation.dataset.face_evaluator import EvaluationOptions, FaceEvaluator
from face3dmm_ros.evaluation.dataset.faceless_pictures import (
    FacelessPicture,
    faceless_pictures_in,
    installed_faceless_pictures,
)
from face3dmm_ros.evaluation.dataset.report import (
    Evaluation,
    FalseAlarms,
    console_table,
    html_report,
    worst_faces,
    write_json,
)
from face3dmm_ros.evaluation.dataset.results_file import Record, ResultsFile
from face3dmm_ros.files.pictures import find_pictures


@dataclass(frozen=True)
class LabelledFaces:
    """A `dataset_evaluation.DataSet`, each picture with the truth of one face beside it.

    Attributes:
        root: the folder.
        options: what is judged.
        negatives: a folder of more pictures without a face.
    """

    root: Path
    options: EvaluationOptions
    negatives: Path | None = None
    unit = "picture"

    def tasks(self, limit: int | None) -> list[Task]:
        """One for every labelled picture, and for every picture without a face where the detector runs.

        Raises:
            Face3DMMError: there is no picture in a folder, or the limit is not positive.
        """
        return self._labelled(limit) + self._faceless()

    def look(self) -> Look:
        """A `FaceEvaluator` at work.

        Raises:
            Face3DMMError: an option names something that does not exist.
        """
        evaluator = FaceEvaluator(self.options)

        def look(picture: Path | FacelessPicture) -> Record:
            if isinstance(picture, FacelessPicture):
                return {"name": picture.name, "faces": evaluator.faceless(picture)}
            return evaluator.face(picture)

        return look

    def report(self, tasks: Sequence[Task], results: ResultsFile, out: Path) -> str:
        """Write report.json and report.html; returns the figures as plain text.

        Raises:
            Face3DMMError: not one picture could be used, or nothing can be written there.
        """
        evaluation = self._collect(tasks, results)
        worst = worst_faces(evaluation.errors[self.options.fit_methods[0]])
        keys = {f"face/{name}": name for name in worst}
        found = {keys[record["key"]]: record for record in results.records() if record["key"] in keys}
        write_json(evaluation, out / "report.json")
        html_report(evaluation, {name: found[name] for name in worst}).write(out / "report.html")
        return console_table(evaluation)

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
        """A task for every picture without a face: those that are installed and those of the folder."""
        if not self._detects:
            return []
        pictures = installed_faceless_pictures() + (faceless_pictures_in(self.negatives) if self.negatives else [])
        return [Task(f"faceless/{p.path}/{p.quarter}", p, file_stamp(p.path)) for p in pictures]

    def _collect(self, tasks: Sequence[Task], results: ResultsFile) -> Evaluation:
        """The evaluation that the results of these tasks make."""
        skipped: dict[str, str] = {}
        faces: dict[str, int] = {}
        pictures = 0

        def labelled() -> Iterator[Record]:
            """Records of faces; the others are counted as they come along."""
            nonlocal pictures
            for record in records_of(tasks, results, skipped):
                if "faces" not in record:
                    yield record
                    continue
                pictures += 1
                if record["faces"]:
                    faces[record["name"]] = record["faces"]

        visible_outline = dataset_format(self.options.format).visible_outline
        errors = face_errors(labelled(), self.options.fit_methods, visible_outline=visible_outline)
        if not errors[self.options.fit_methods[0]].names:
            raise nothing_usable(tasks, self.unit, skipped)
        return Evaluation(
            dataset=self.root,
            options=self.options,
            made=Made.by(self.options),
            errors=errors,
            skipped=skipped,
            false_alarms=FalseAlarms(pictures, faces) if self._detects else None,
        )
