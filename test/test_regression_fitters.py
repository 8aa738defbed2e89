"""Fit methods that run a network, whose answers a test makes up: where it looks, and what becomes of what it says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")
import torch

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_angle, rotation_from_pose_angles
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks, TrackedLandmarks
from face3dmm_ros.fit_methods import RegressorFile, create_fitter
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.fitting.confidence import fit_confidence
from face3dmm_ros.fitting.face_fitter import FaceFitter
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.regressor.crops import SIDE, CropView, face_region
from face3dmm_ros.regressor.export import Archive
from face3dmm_ros.regressor.guided_fitter import GuidedFitter
from face3dmm_ros.regressor.image_regressor import ImageRegressor, open_regressor
from face3dmm_ros.regressor.parameter_layout import ParameterLayout
from face3dmm_ros.regressor.regressor_fitter import RegressorFitter
from face3dmm_ros.regressor.weights_file import RegressorDescription

SIZE = (320, 240)
IMAGE = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
SHAPES, EXPRESSIONS = 5, 4


class Face:
    """A face somewhere in the image, its exact landmarks, and a network that sees it in its crop."""

    def __init__(
        self, model: MorphableModel, landmarks: int = 68, inputs: int = 3, turn: float = 0.4, textures: int = 0
    ) -> None:
        rng = np.random.default_rng(3)
        self.model = model
        self.camera = WeakPerspective(0.7, rotation_from_pose_angles(0.1, turn, 0.3), np.array([150.0, 110.0]))
        self.alpha = np.concatenate([rng.standard_normal(SHAPES), np.zeros(model.shape_count - SHAPES)])
        self.alpha *= model.shape_sigma
        self.beta = np.concatenate([[0.6, 0.1, 0.0, 0.9], np.zeros(model.expression_count - EXPRESSIONS)])
        vertices = model.vertices(self.alpha, self.beta)
        self.points = self.camera.project(model.scheme("ibug68").interpolate(vertices))
        self.gamma = np.concatenate([rng.standard_normal(textures), np.zeros(len(model.albedo_sigma) - textures)])
        self.layout = ParameterLayout("6d", SHAPES, EXPRESSIONS, landmarks, textures)
        description = RegressorDescription("light", inputs, self.layout, model.name, model.digest)
        self.archive = Archive(self._see, description)
        self.asked: list[tuple[torch.Tensor, ...]] = []
        self.scale, self.deviation = 1.0, 0.5
        self.found: np.ndarray | None = None  # where the detector has the landmarks; None where they are
        self.seen_at: WeakPerspective | None = None
        self.seen_points: np.ndarray | None = None

    @property
    def landmarks(self) -> Landmarks:
        return Landmarks("ibug68", self.points.astype(np.float32), Box(0, 0, *SIZE), 0.8, SIZE)

    @property
    def tracked(self) -> TrackedLandmarks:
        return TrackedLandmarks(7, self.landmarks)

    def _see(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        self.asked.append(inputs)
        view = CropView(face_region(self.landmarks.points if self.found is None else self.found))
        camera = self.seen_at or view.camera(self.camera)
        points = view.points(self.points, np.arange(68)) if self.seen_points is None else self.seen_points
        points = points[: self.layout.landmark_count]

        def one(values: object) -> torch.Tensor:
            return torch.tensor(np.asarray(values)[None], dtype=torch.float32)

        return (
            one(camera.scale * self.scale), one(camera.rotation), one(camera.translation),
            one(self.alpha[:SHAPES]), one(self.beta[:EXPRESSIONS]), one(self.gamma[: self.layout.texture_count]),
            one(points), one(np.full(len(points), self.deviation)),
        )  # fmt: skip


@pytest.fixture
def face(default_model: MorphableModel) -> Face:
    return Face(default_model)


def test_what_a_network_sees_in_its_crop_is_said_in_pixels_of_the_image(face: Face) -> None:
    seen = ImageRegressor(face.model, face.archive).regress(IMAGE, face.landmarks)
    camera = seen.parameters.camera
    assert camera.scale == pytest.approx(face.camera.scale, rel=1e-5)
    assert np.degrees(rotation_angle(camera.rotation, face.camera.rotation)) < 1e-3
    np.testing.assert_allclose(camera.translation, face.camera.translation, atol=1e-3)
    np.testing.assert_allclose(seen.points, face.points, atol=1e-3)
    region = face_region(face.landmarks.points)
    np.testing.assert_allclose(seen.deviation, 0.5 * region.size / SIDE, rtol=1e-5)
    assert seen.parameters.residual_px < 1e-3


def test_a_face_is_looked_at_in_one_thread_and_torch_keeps_its_own(face: Face) -> None:
    seen_with = []

    def see(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        seen_with.append(torch.get_num_threads())
        return face._see(*inputs)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    ImageRegressor(face.model, replace(face.archive, module=see)).regress(IMAGE, face.landmarks)
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert (seen_with, after) == ([1], 2)


def test_coefficients_that_a_network_does_not_regress_are_zero(face: Face) -> None:
    parameters = ImageRegressor(face.model, face.archive).regress(IMAGE, face.landmarks).parameters
    np.testing.assert_allclose(parameters.alpha, face.alpha, atol=1e-5)
    np.testing.assert_allclose(parameters.beta, face.beta, atol=1e-6)


def test_albedo_that_a_network_regresses_is_filled_up_with_zeros(default_model: MorphableModel) -> None:
    face = Face(default_model, textures=3)
    parameters = ImageRegressor(face.model, face.archive).regress(IMAGE, face.landmarks).parameters
    assert len(parameters.gamma) == len(default_model.albedo_sigma)
    np.testing.assert_allclose(parameters.gamma, face.gamma, atol=1e-6)


def test_a_network_that_does_not_regress_albedo_gives_none(face: Face) -> None:
    assert ImageRegressor(face.model, face.archive).regress(IMAGE, face.landmarks).parameters.gamma.shape == (0,)


def test_blendshape_weights_stay_in_their_range(face: Face) -> None:
    face.beta[:2] = -0.3, 1.4
    beta = ImageRegressor(face.model, face.archive).regress(IMAGE, face.landmarks).parameters.beta
    assert (beta[0], beta[1]) == (0.0, 1.0)


def test_a_network_is_shown_the_crop_around_the_landmarks(face: Face) -> None:
    image = IMAGE.copy()
    column, row = face.points[30].astype(int)
    image[row - 2 : row + 3, column - 2 : column + 3] = 255
    ImageRegressor(face.model, face.archive).regress(image, face.landmarks)
    ((crop,),) = face.asked
    assert crop.shape == (1, SIDE, SIDE, 3)
    view = CropView(face_region(face.landmarks.points))
    x, y = view.points(face.points, np.arange(68))[30].round().astype(int)
    assert crop[0, y, x].min() == 255
    assert crop[0, :20].max() == 0


def test_a_network_of_four_channels_gets_a_map_of_the_landmarks(default_model: MorphableModel) -> None:
    face = Face(default_model, inputs=4)
    ImageRegressor(default_model, face.archive).regress(IMAGE, face.landmarks)
    ((_, marks),) = face.asked
    assert marks.shape == (1, SIDE, SIDE)
    assert 40 < int((marks == 1).sum()) <= 68


def test_a_network_without_landmarks_of_its_own_gives_none(default_model: MorphableModel) -> None:
    face = Face(default_model, landmarks=0)
    seen = ImageRegressor(default_model, face.archive).regress(IMAGE, face.landmarks)
    assert seen.points is None
    assert seen.deviation is None


def test_an_answer_that_is_not_finite_is_refused(face: Face) -> None:
    face.scale = np.nan
    with pytest.raises(Face3DMMError, match="not finite"):
        ImageRegressor(face.model, face.archive).regress(IMAGE, face.landmarks)


@pytest.mark.parametrize(
    ("layout", "complaint"),
    [
        (ParameterLayout("6d", 500, 4), "gives 500 shape"),
        (
            ParameterLayout("6d", 5, 4, texture_count=99),
            r"99 texture coefficients, the model default has 100, 52 and 8",
        ),
        (ParameterLayout("none", 5, 0, texture_count=8), "tells who somebody is but not where the face is"),
    ],
)
def test_a_network_that_does_not_fit_the_model_or_the_task_is_refused(
    face: Face, layout: ParameterLayout, complaint: str
) -> None:
    archive = Archive(None, RegressorDescription("light", 3, layout, face.model.name, face.model.digest))
    with pytest.raises(Face3DMMError, match=complaint):
        ImageRegressor(face.model, archive)


# `regressor`


def test_the_regressor_method_takes_the_network_at_its_word(face: Face) -> None:
    parameters = RegressorFitter(ImageRegressor(face.model, face.archive)).fit(face.tracked, IMAGE)
    assert parameters.method == "regressor"
    assert parameters.confidence == fit_confidence(face.landmarks, parameters.camera, "regressor")
    np.testing.assert_allclose(parameters.alpha, face.alpha, atol=1e-5)


def test_one_identity_is_pooled_along_a_track(face: Face) -> None:
    fitter = RegressorFitter(ImageRegressor(face.model, face.archive))
    first = face.alpha.copy()
    fitter.fit(face.tracked, IMAGE)
    face.alpha = 3.0 * first
    second = fitter.fit(face.tracked, IMAGE)
    np.testing.assert_allclose(second.alpha, 2.0 * first, atol=1e-5)
    np.testing.assert_array_equal(fitter.fit(face.tracked, IMAGE).alpha, second.alpha)
    np.testing.assert_allclose(fitter.fit(face.tracked, IMAGE).alpha, 2.5 * first, atol=1e-5)


def test_albedo_is_pooled_along_a_track_as_the_shape_is(default_model: MorphableModel) -> None:
    face = Face(default_model, textures=3)
    fitter = RegressorFitter(ImageRegressor(face.model, face.archive))
    first = face.gamma.copy()
    fitter.fit(face.tracked, IMAGE)
    face.gamma = 3.0 * first
    np.testing.assert_allclose(fitter.fit(face.tracked, IMAGE).gamma, 2.0 * first, atol=1e-5)


@pytest.mark.parametrize("fitter", [RegressorFitter, GuidedFitter])
def test_the_gaze_is_that_of_the_pose_and_expression(face: Face, fitter: type) -> None:
    fitted = fitter(ImageRegressor(face.model, face.archive)).fit(face.tracked, IMAGE)
    assert fitted.gaze.shape == (3, 3)
    np.testing.assert_array_equal(fitted.gaze, face.model.gaze(fitted.camera.rotation, fitted.beta))


def test_a_face_that_comes_back_after_its_track_ended_is_new(face: Face) -> None:
    fitter = RegressorFitter(ImageRegressor(face.model, face.archive))
    first = face.alpha.copy()
    fitter.fit(face.tracked, IMAGE)
    fitter.retain({1})
    face.alpha = 3.0 * first
    np.testing.assert_allclose(fitter.fit(face.tracked, IMAGE).alpha, 3.0 * first, atol=1e-5)


@pytest.mark.parametrize("kind", [RegressorFitter, GuidedFitter])
def test_methods_that_look_at_pixels_ask_for_the_image(
    face: Face, kind: Callable[[ImageRegressor], FaceFitter]
) -> None:
    with pytest.raises(Face3DMMError, match="looks at pixels: give it the image"):
        kind(ImageRegressor(face.model, face.archive)).fit(face.tracked)


# `regressor+fit`


def guided(face: Face) -> GuidedFitter:
    return GuidedFitter(ImageRegressor(face.model, face.archive))


def test_the_guided_fit_starts_a_new_face_at_what_the_network_sees(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []

    def fit(self: TrackFitter, evidence: TrackedLandmarks, start: FaceParameters) -> FaceParameters:
        starts.append(start)
        return start

    monkeypatch.setattr(TrackFitter, "fit", fit)
    assert guided(face).fit(face.tracked, IMAGE).method == "regressor+fit"
    assert np.degrees(rotation_angle(starts[0].camera.rotation, face.camera.rotation)) < 1e-3


def test_the_guided_fit_is_to_the_networks_landmarks_too_where_deviations_are_known(face: Face) -> None:
    exact = face.landmarks
    # The detector is off, and says so; the network is right.
    face.found = exact.points + np.float32([12.0, 0.0])
    landmarks = replace(exact, points=face.found, deviation=np.full(68, 12.0, np.float32))
    fitted = guided(face).fit(TrackedLandmarks(7, landmarks), IMAGE)
    alone = TrackFitter(face.model).fit(TrackedLandmarks(7, landmarks))
    assert abs(fitted.camera.translation[0] - face.camera.translation[0]) < 1.0
    assert abs(alone.camera.translation[0] - face.camera.translation[0]) > 8.0


def test_the_guided_fit_is_to_the_detectors_landmarks_alone_where_these_have_no_deviation(face: Face) -> None:
    fitted = guided(face).fit(face.tracked, IMAGE)
    alone = TrackFitter(face.model).fit(face.tracked)
    assert fitted.residual_px == pytest.approx(alone.residual_px, abs=0.2)
    assert np.degrees(rotation_angle(fitted.camera.rotation, alone.camera.rotation)) < 1.0


def test_a_fit_far_from_what_the_network_sees_is_less_confident(face: Face) -> None:
    face.deviation = 3.0
    fitted = guided(face).fit(face.tracked, IMAGE)
    near = fitted.confidence
    assert near == pytest.approx(fit_confidence(face.landmarks, fitted.camera, "joint"), rel=0.01)
    view = CropView(face_region(face.landmarks.points))
    beside = replace(face.camera, translation=face.camera.translation + np.array([0.0, 30.0]))
    face.seen_at = view.camera(beside)
    face.seen_points = view.points(face.points + np.array([0.0, 30.0]), np.arange(68))
    assert guided(face).fit(face.tracked, IMAGE).confidence < 0.4 * near


# Files


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_file_that_is_not_there_is_one_clear_error(default_model: MorphableModel, tmp_path: Path) -> None:
    with pytest.raises(Face3DMMError, match=r"none\.safetensors cannot be read: No such file"):
        create_fitter(default_model, "regressor", RegressorFile(str(tmp_path / "none.safetensors")))


def test_an_archive_whose_hash_is_not_named_is_not_opened(default_model: MorphableModel, tmp_path: Path) -> None:
    (tmp_path / "face.pt").write_bytes(b"anything")
    with pytest.raises(Face3DMMError, match="expected one that you name: a TorchScript archive can run any code"):
        open_regressor(default_model, tmp_path / "face.pt")
