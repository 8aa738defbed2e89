"""Image in, tracked and fitted faces out."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import pose_angles, rotation_angle, rotation_from_vector
from face3dmm_ros.core.values import FaceParameters, TrackedLandmarks
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.fitting.albedo import PersonColors
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.morphable_model.shaper import FaceShaper
from face3dmm_ros.pipeline import FacePipeline
from face3dmm_ros.smoothing import FaceSmoother


@pytest.fixture
def pipeline(default_model: MorphableModel) -> FacePipeline:
    return FacePipeline(LandmarkTracker(create_backend(), max_faces=2), TrackFitter(default_model))


def test_the_portrait_is_found_upright_and_smiling(
    pipeline: FacePipeline, default_model: MorphableModel, astronaut: np.ndarray
) -> None:
    (face,) = pipeline.process(astronaut)
    assert np.abs(np.degrees(pose_angles(face.parameters.camera.rotation))).max() < 15.0
    weights = dict(zip(default_model.expression_names, face.parameters.beta, strict=True))
    assert weights["mouthSmileLeft"] > 0.2
    assert weights["mouthSmileRight"] > 0.2
    assert weights["eyeBlinkLeft"] < 0.3
    assert face.parameters.image_size == (astronaut.shape[1], astronaut.shape[0])


def test_the_fitted_model_lies_on_the_landmarks(
    pipeline: FacePipeline, default_model: MorphableModel, astronaut: np.ndarray
) -> None:
    (face,) = pipeline.process(astronaut)
    parameters = face.parameters
    points = default_model.scheme("mediapipe478").interpolate(default_model.vertices(parameters.alpha, parameters.beta))
    distance = np.linalg.norm(parameters.camera.project(points) - face.landmarks.points, axis=1)
    eyes = np.linalg.norm(face.landmarks.points[33] - face.landmarks.points[263])
    assert np.median(distance) < 0.03 * eyes


@pytest.mark.parametrize("degrees", [-25.0, 25.0])
def test_a_turned_picture_turns_the_pose(pipeline: FacePipeline, astronaut: np.ndarray, degrees: float) -> None:
    (face,) = pipeline.process(astronaut)
    pipeline.reset()
    # cv2 counts counter-clockwise as seen, which is about the camera's axis z (forward) a negative angle.
    turn = cv2.getRotationMatrix2D((255.5, 255.5), -degrees, 1.0)
    (turned,) = pipeline.process(cv2.warpAffine(astronaut, turn, (512, 512)))
    expected = rotation_from_vector([0.0, 0.0, np.radians(degrees)]) @ face.parameters.camera.rotation
    assert np.degrees(rotation_angle(turned.parameters.camera.rotation, expected)) < 4.0
    np.testing.assert_allclose(
        turned.parameters.camera.translation,
        turn[:, :2] @ face.parameters.camera.translation + turn[:, 2],
        atol=0.05 * np.linalg.norm(face.landmarks.points[33] - face.landmarks.points[263]),
    )


def test_two_faces_have_two_lasting_identities(pipeline: FacePipeline, astronaut: np.ndarray) -> None:
    both = np.hstack([astronaut, cv2.convertScaleAbs(astronaut, alpha=0.7)])
    first = [face.face_id for face in pipeline.process(both)]
    assert len(set(first)) == 2
    assert [face.face_id for face in pipeline.process(both)] == first


def test_a_face_that_cannot_be_fitted_does_not_take_its_neighbour_with_it(
    pipeline: FacePipeline, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = pipeline.fitter.fit

    def fit_but_the_first(face: TrackedLandmarks, image: np.ndarray) -> FaceParameters:
        if face.face_id == 0:
            raise Face3DMMError("the landmarks do not determine a face")
        return fit(face, image)

    monkeypatch.setattr(pipeline.fitter, "fit", fit_but_the_first)
    assert [face.face_id for face in pipeline.process(np.hstack([astronaut, astronaut]))] == [1]
    pipeline.tracker.reset()
    monkeypatch.setattr(pipeline.fitter, "fit", lambda face, image: fit_but_the_first(replace(face, face_id=0), image))
    with pytest.raises(Face3DMMError, match="do not determine"):
        pipeline.process(astronaut)


def test_a_picture_without_a_face_gives_none(pipeline: FacePipeline) -> None:
    assert pipeline.process(np.zeros((480, 640, 3), np.uint8)) == []


@pytest.mark.parametrize("image", [np.zeros((0, 0, 3), np.uint8), np.zeros((48, 64), np.uint8), np.zeros((4, 4, 3))])
def test_what_is_no_image_is_refused(pipeline: FacePipeline, image: np.ndarray) -> None:
    with pytest.raises(Face3DMMError, match="image"):
        pipeline.process(image)


def test_the_shaper_gives_the_models_vertices_and_keeps_the_neutral_face(
    pipeline: FacePipeline, default_model: MorphableModel, astronaut: np.ndarray
) -> None:
    (face,) = pipeline.process(astronaut)
    shaper = FaceShaper(default_model)
    expected = default_model.vertices(face.parameters.alpha, face.parameters.beta)
    for _ in range(2):
        np.testing.assert_array_equal(shaper.vertices(face.face_id, face.parameters), expected)


def test_the_shaper_refuses_parameters_of_another_model(
    pipeline: FacePipeline, default_model: MorphableModel, astronaut: np.ndarray
) -> None:
    (face,) = pipeline.process(astronaut)
    with pytest.raises(Face3DMMError, match="digest"):
        FaceShaper(default_model).vertices(0, replace(face.parameters, model_digest="0" * 64))


def test_a_pipeline_tells_the_persons_colours_where_it_is_to(
    pipeline: FacePipeline, default_model: MorphableModel, astronaut: np.ndarray
) -> None:
    (plain,) = pipeline.process(astronaut)
    assert plain.parameters.gamma.shape == (0,)
    colored = FacePipeline(pipeline.tracker, pipeline.fitter, colors=PersonColors(default_model))
    tones = []
    for light in (1.0, 0.4):
        colored.reset()
        (face,) = colored.process(cv2.convertScaleAbs(astronaut, alpha=light))
        tones.append(face.parameters.gamma[0])
    assert tones[1] < tones[0] - 1.0


def test_a_pipeline_smooths_where_it_has_a_smoother_and_the_time(
    pipeline: FacePipeline, default_model: MorphableModel, astronaut: np.ndarray
) -> None:
    smoothed = FacePipeline(pipeline.tracker, pipeline.fitter, FaceSmoother(default_model))
    moved = np.roll(astronaut, 1, axis=1)
    pictures = (astronaut, moved, astronaut, moved)
    fitted = [pipeline.process(picture)[0].parameters.camera.translation[0] for picture in pictures]
    pipeline.reset()
    seen = [
        smoothed.process(picture, stamp)[0].parameters.camera.translation[0]
        for picture, stamp in zip(pictures, (0.0, 1.0, 1.03, None), strict=True)
    ]
    assert seen[1] == pytest.approx(fitted[1]), "after a gap: as it is"
    assert fitted[2] + 0.005 < seen[2] < fitted[1], "lags behind"
    assert seen[3] == pytest.approx(fitted[3]), "without a time: as it is"
