"""One picture through the whole pipeline, and the result compared with the truth, as a record of plain numbers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import pose_angles
from face3dmm_ros.core.similarity import align
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks, TrackedFace, TrackedLandmarks
from face3dmm_ros.evaluation.dataset.datasets import FaceTruth, dataset_format
from face3dmm_ros.evaluation.dataset.expression_metrics import expression_distances
from face3dmm_ros.evaluation.dataset.face_mask import with_mask
from face3dmm_ros.evaluation.dataset.faceless_pictures import FacelessPicture
from face3dmm_ros.evaluation.dataset.pipeline_options import PipelineOptions
from face3dmm_ros.evaluation.dataset.skin_lightness import skin_lightness
from face3dmm_ros.evaluation.metrics import box_around, box_iou, face_size, nme, point_errors
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.fit_methods import RegressorFile, create_fitter
from face3dmm_ros.fitting import FitOptions, TrackFitter
from face3dmm_ros.fitting.linear_points import LandmarkModel
from face3dmm_ros.landmarks import Detection, LandmarkBackend, LandmarkTracker, LocatedFace, Region
from face3dmm_ros.landmarks.facemesh import REGION_SCALE
from face3dmm_ros.landmarks.schemes import IBUG68, convert
from face3dmm_ros.morphable_model import MorphableModel, load_model

FitFace = Callable[[NDArray[np.uint8], Landmarks], FaceParameters]
"""Fits one face, given the picture and its landmarks."""

FAILURES = (Face3DMMError, ArithmeticError, RuntimeError, np.linalg.LinAlgError)
"""What a detector or a fit may raise on a hard picture: then it missed the face, and the evaluation goes on."""
SOURCES = ("detector", "truth")
COVERS = ("none", "mask")
"""Where boxes and landmarks may come from, the default first."""
# More than a labelled picture of one face shows, so that the labelled one is among them; chosen by hand.
_MAX_FACES = 20
# Standard deviation of true landmarks on the face, by which landmark schemes differ in meaning; chosen by hand.
_TRUTH_NOISE_MM = 1.0


@dataclass(frozen=True)
class EvaluationOptions(PipelineOptions):
    """What is evaluated, and on what; the format is one of `datasets.FORMATS`.

    Attributes:
        roi: where to look for landmarks: in the ``detector``'s boxes or in the box of the ``truth``.
        landmarks: the points to fit to: the ``detector``'s or those of the ``truth``.
        cover: ``none``, or ``mask``, painted over the lower face of every picture.
    """

    roi: str = "detector"
    landmarks: str = "detector"
    cover: str = COVERS[0]

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            Face3DMMError: one is unknown, or there is no fit method, or one occurs twice.
        """
        super().__post_init__()
        dataset_format(self.format)
        for option, word in (("roi", self.roi), ("landmarks", self.landmarks)):
            if word not in SOURCES:
                raise Face3DMMError(f"{option} must be {' or '.join(SOURCES)}, found {word!r}")
        if self.cover not in COVERS:
            raise Face3DMMError(f"cover must be {' or '.join(COVERS)}, found {self.cover!r}")


class _TrueBox(LandmarkBackend):
    """A landmark backend whose detector finds one face, in the box of the truth."""

    def __init__(self, backend: LandmarkBackend, box: Box) -> None:
        self.scheme, self.parallel = backend.scheme, backend.parallel
        self._backend = backend
        size = REGION_SCALE * max(box.width, box.height)
        region = Region(box.x + box.width / 2.0, box.y + box.height / 2.0, size)
        self._detection = Detection(box, 1.0, region)

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """The true box."""
        return [self._detection]

    def locate(self, image: NDArray[np.uint8], region: Region, before: LocatedFace | None = None) -> LocatedFace:
        """As the backend does."""
        return self._backend.locate(image, region, before)

    def glance(self, image: NDArray[np.uint8], region: Region) -> LocatedFace:
        """As the backend does."""
        return self._backend.glance(image, region)


class FaceEvaluator:
    """Runs detector, landmarks and fits on single pictures, each by itself."""

    def __init__(self, options: EvaluationOptions) -> None:
        """Load the model and the networks.

        Raises:
            Face3DMMError: an option names something that does not exist.
        """
        self.options = options
        self.format = dataset_format(options.format)
        self.model = load_model(options.model)
        self.ibug = Ibug68Points(self.model)
        self._backend = options.create_backend() if options.landmarks == "detector" else None
        # The truth's outline points may be fixed points of the skin: then they must not slide along the visible edge.
        # Nor does a detector stand between: true points are off by no more than schemes differ in their meaning.
        self._truth_fit_options = FitOptions(outline=self.format.visible_outline, landmark_noise_mm=_TRUTH_NOISE_MM)
        fit_options = FitOptions() if options.landmarks == "detector" else self._truth_fit_options
        self._fits = {
            method: _fit_face(self.model, method, fit_options, options.regressor) for method in options.fit_methods
        }

    def face(self, picture: Path) -> dict[str, Any]:
        """The face in a labelled picture: its truth, what was detected, and each method's errors.

        Raises:
            Face3DMMError: the picture or its truth cannot be used. Failures of detector and fit are part of the record.
        """
        truth = self.format.read(picture)
        image = read_picture(picture)
        size = face_size(truth.points)
        record: dict[str, Any] = {
            "yaw_deg": float(np.degrees(self._yaw(truth, (image.shape[1], image.shape[0])))),
            "pose": truth.pose,
            "skin_lightness": skin_lightness(image, truth.points),
            "expression": expression_distances(truth.points, size).tolist(),
            "extra_faces": 0,
            "detected": None,
            "fits": dict.fromkeys(self._fits),
            "failures": {},
        }
        if self.options.cover == "mask":
            image = with_mask(image, truth.points, picture.name)
        try:
            landmarks, record["extra_faces"] = self._landmarks(image, truth)
        except FAILURES as error:
            record["failures"]["landmarks"] = str(error)
            return record
        if landmarks is None:
            return record
        if self.options.landmarks == "detector":
            record["detected"] = _detected(landmarks, truth)
        for method, fit in self._fits.items():
            try:
                parameters = fit(image, landmarks)
            except FAILURES as error:
                record["failures"][method] = str(error)
            else:
                record["fits"][method] = self._errors(parameters, truth, size)
        return record

    def faceless(self, picture: FacelessPicture) -> int:
        """The number of faces that the detector sees in a picture without one.

        Raises:
            Face3DMMError: the picture cannot be read, or the options say to use no detector.
        """
        return len(self._tracker().track(picture.read()))

    def _detector(self) -> LandmarkBackend:
        if self._backend is None:
            raise Face3DMMError("the true landmarks are used, so there is no detector")
        return self._backend

    def _tracker(self) -> LandmarkTracker:
        return LandmarkTracker(self._detector(), max_faces=_MAX_FACES)

    def _landmarks(self, image: NDArray[np.uint8], truth: FaceTruth) -> tuple[Landmarks | None, int]:
        """The landmarks nearest to the true face, None if there are none, and the number of other detected faces."""
        image_size = (image.shape[1], image.shape[0])
        if self.options.landmarks == "truth":
            return _true_landmarks(truth, image_size), 0
        box = box_around(truth.points)
        if self.options.roi == "truth":
            # The landmarks are evaluated, however unsure they are.
            tracker = LandmarkTracker(_TrueBox(self._detector(), box), min_confidence=0.0)
        else:
            tracker = self._tracker()
        faces = [face.landmarks for face in tracker.track(image)]
        best = max(faces, key=lambda face: box_iou(box_around(face.points), box), default=None)
        return best, max(0, len(faces) - 1)

    def _yaw(self, truth: FaceTruth, image_size: tuple[int, int]) -> float:
        """The true yaw, radians; if the truth has none, that of a fit to the true points."""
        if truth.pose is not None:
            return truth.pose[1]
        fitter = TrackFitter(self.model, "joint", self._truth_fit_options)
        parameters = fitter.fit(TrackedLandmarks(0, _true_landmarks(truth, image_size)))
        return pose_angles(parameters.camera.rotation)[1]

    def _errors(self, parameters: FaceParameters, truth: FaceTruth, size: float) -> dict[str, Any]:
        """The errors of a fit; lengths in % of the face's size unless the name has a unit."""
        fixed, visible = (self.ibug.at(parameters, visible_outline=outline) for outline in (False, True))
        camera = parameters.camera
        points = camera.project(visible if self.format.visible_outline else fixed)
        nme_3d = vertex_mm = None
        if truth.depth is not None:
            # x right, y down, depth forward: right-handed, as a similarity cannot mirror.
            target = np.column_stack([truth.points, truth.depth])
            nme_3d = float(point_errors(align(fixed, target), target, size).mean())
        if truth.shape is not None and truth.shape.model_digest == self.model.digest:
            target = self.model.vertices(truth.shape.alpha, truth.shape.beta)
            aligned = align(self.model.vertices(parameters.alpha, parameters.beta), target)
            vertex_mm = float(np.linalg.norm(aligned - target, axis=1).mean())
        return {
            "iou": box_iou(box_around(points), box_around(truth.points)),
            "nme_fixed": nme(camera.project(fixed), truth.points),
            "nme_visible": nme(camera.project(visible), truth.points),
            "nme_3d": nme_3d,
            "vertex_mm": vertex_mm,
            "residual_px": parameters.residual_px,
            "confidence": parameters.confidence,
            "rotation": camera.rotation.tolist(),
            "shift_px": (points - truth.points).mean(axis=0).tolist(),
            "expression": expression_distances(points, size).tolist(),
            "landmark_errors": np.round(point_errors(points, truth.points, size), 3).tolist(),
            "points": np.round(points, 2).tolist(),
        }


class Ibug68Points:
    """iBUG's 68 points on a model, for any coefficients."""

    def __init__(self, model: MorphableModel) -> None:
        """Restrict the model to these points.

        Raises:
            Face3DMMError: the model lacks the scheme.
        """
        landmark_model = LandmarkModel.of(model, IBUG68, unit=np.ones_like(model.sigma))
        self._points = landmark_model.points
        self._place = np.argsort(landmark_model.order)

    def at(self, parameters: FaceParameters, *, visible_outline: bool) -> NDArray[np.float64]:
        """(68, 3) model points, mm; those of the outline are fixed on the skin or lie on its visible edge."""
        c = np.concatenate([parameters.alpha, parameters.beta])
        points = self._points
        if visible_outline and points.outline_count:
            points = points.at_outline(points.visible_outline(parameters.camera, c))
        return points.points(c).T[self._place]


def _fit_face(model: MorphableModel, method: str, options: FitOptions, regressor: RegressorFile) -> FitFace:
    """A fit method by its name.

    Raises:
        Face3DMMError: the method is unknown, or what it needs is not installed.
    """
    photometric = method == "photometric"
    fitter = create_fitter(model, "joint" if photometric else method, regressor, options)
    if photometric:
        from face3dmm_ros.photometric.fitter import photometric_fit

    def fit(image: NDArray[np.uint8], landmarks: Landmarks) -> FaceParameters:
        fitter.reset()
        parameters = fitter.fit(TrackedLandmarks(0, landmarks), image)
        if photometric:
            parameters = photometric_fit([image], [TrackedFace(0, landmarks, parameters)], model)[0].parameters
        return parameters

    return fit


def _true_landmarks(truth: FaceTruth, image_size: tuple[int, int]) -> Landmarks:
    """The true points as a detector would give them."""
    return Landmarks(IBUG68, truth.points.astype(np.float32), box_around(truth.points), 1.0, image_size)


def _detected(landmarks: Landmarks, truth: FaceTruth) -> dict[str, Any]:
    """The errors of the detector's own points; None if its scheme cannot be converted to the 68."""
    try:
        points = convert(replace(landmarks, depth=None), IBUG68).points.astype(np.float64)
    except Face3DMMError:
        points = None
    return {
        "confidence": landmarks.confidence,
        "nme": None if points is None else nme(points, truth.points),
        "points": None if points is None else np.round(points, 2).tolist(),
    }
