from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.landmark_schemes import IBUG68, MEDIAPIPE478
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_pose_angles
from face3dmm_ros.landmarks.schemes import LEFT_EYE_RING, LIP_RINGS, RIGHT_EYE_RING
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.face_cover import FaceCover
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from face3dmm_ros.rendering.offscreen import SOFTWARE

LIPS = [point for ring in LIP_RINGS for point in ring]
EYES = [*RIGHT_EYE_RING, *LEFT_EYE_RING]


@pytest.fixture(scope="module")
def cover(default_model: MorphableModel) -> FaceCover:
    return FaceCover(default_model)


def covered(likelihood: float, points: list[int], elsewhere: float = 0.0) -> NDArray[np.uint8]:
    told = np.full(478, round(255 * elsewhere), np.uint8)
    told[points] = round(255 * likelihood)
    return told


def at(model: MorphableModel, shown: NDArray[np.float32], points: list[int]) -> NDArray[np.float32]:
    """How much shows at some landmarks."""
    return model.scheme(MEDIAPIPE478).interpolate(shown[:, None])[points, 0]


def test_a_covered_mouth_is_left_out_and_the_eyes_stay(default_model: MorphableModel, cover: FaceCover) -> None:
    shown = cover.shown(covered(1.0, LIPS), FRONTAL)
    assert at(default_model, shown, LIPS).mean() < 0.1
    assert at(default_model, shown, EYES).min() > 0.99
    assert shown.min() >= 0.0
    assert shown.max() <= 1.0


def test_what_is_left_out_has_a_smooth_border(default_model: MorphableModel, cover: FaceCover) -> None:
    shown, triangles = cover.shown(covered(1.0, LIPS), FRONTAL), default_model.triangles
    skin = triangles[(default_model.regions["skin"] > 0.5)[triangles].all(axis=1)]
    assert ((shown[skin] > 0.1) & (shown[skin] < 0.9)).any(axis=1).sum() > 50


@pytest.mark.parametrize("told", [None, covered(0.0, LIPS), covered(0.9, LIPS, 0.9), np.full(68, 255, np.uint8)])
def test_all_shows_where_no_cover_is_certain(cover: FaceCover, told: NDArray[np.uint8] | None) -> None:
    assert cover.shown(told, FRONTAL) is None


def test_what_is_likely_beside_what_is_certain_is_left_out_too(default_model: MorphableModel, cover: FaceCover) -> None:
    glasses = covered(0.85, EYES)
    glasses[list(RIGHT_EYE_RING[:4])] = 255
    shown = cover.shown(glasses, FRONTAL)
    assert at(default_model, shown, list(RIGHT_EYE_RING)).mean() < 0.2


def test_what_is_likely_elsewhere_stays(default_model: MorphableModel, cover: FaceCover) -> None:
    told = covered(0.85, EYES)
    told[LIPS] = 255
    assert at(default_model, cover.shown(told, FRONTAL), EYES).min() > 0.99


def test_of_a_face_from_the_side_nothing_is_left_out(cover: FaceCover) -> None:
    told = covered(1.0, LIPS)
    assert cover.shown(told, rotation_from_pose_angles(0.0, np.radians(70.0), 0.0)) is None
    least = [cover.shown(told, rotation_from_pose_angles(0.0, np.radians(yaw), 0.0)).min() for yaw in (30.0, 47.0)]
    assert least[0] < 0.1 < least[1]


def test_the_neck_and_the_back_of_the_head_are_told_nothing(default_model: MorphableModel, cover: FaceCover) -> None:
    shown = cover.shown(np.full(478, 255, np.uint8), FRONTAL)
    assert shown[default_model.mean[:, 2] < -110.0].min() == 1.0


def test_a_model_without_these_landmarks_is_never_covered(default_model: MorphableModel) -> None:
    sparse = replace(default_model, landmarks={IBUG68: default_model.scheme(IBUG68)}, contours={})
    assert FaceCover.of(sparse) is None


def mean_face(model: MorphableModel, told: NDArray[np.uint8] | None) -> PosedFace:
    camera = WeakPerspective(1.2, FRONTAL, np.array([160.0, 130.0]))
    return PosedFace(model.mean, model.normals(model.mean), model.rgb(), camera, told)


@pytest.mark.parametrize("view", ["shaded", "wireframe", "toon"])
@pytest.mark.parametrize("extent", ["face", "head"])
def test_an_overlay_keeps_what_lies_over_the_face(default_model: MorphableModel, view: str, extent: str) -> None:
    image = np.full((280, 320, 3), 90, np.uint8)
    face = mean_face(default_model, covered(1.0, LIPS))
    x, y = face.camera.project(default_model.scheme(MEDIAPIPE478).interpolate(default_model.mean))[14].astype(int)
    mouth = slice(y - 4, y + 4), slice(x - 8, x + 8)
    with FaceRenderer.of(default_model, platform=SOFTWARE) as renderer:
        free = renderer.overlay(image, [replace(face, covered=None)], opacity=1.0, view=view, extent=extent)
        kept = renderer.overlay(image, [face], opacity=1.0, view=view, extent=extent)
    changed, still_changed = (np.abs(picture.astype(int) - image).mean(axis=2) for picture in (free, kept))
    assert still_changed[mouth].mean() < 0.15 * changed[mouth].mean()
    assert (kept[:90] == free[:90]).all()


def test_a_head_drawn_alone_is_whole(default_model: MorphableModel) -> None:
    with FaceRenderer.of(default_model, platform=SOFTWARE) as renderer:
        pictures = [
            renderer.render((320, 280), [mean_face(default_model, told)]) for told in (None, covered(1.0, LIPS))
        ]
    assert (pictures[0] == pictures[1]).all()


def test_a_face_of_another_model_is_refused(default_model: MorphableModel) -> None:
    face = mean_face(default_model, covered(1.0, LIPS))
    longer = [np.concatenate([each, each[:1]]) for each in (face.vertices, face.normals, face.rgb)]
    other = PosedFace(*longer, face.camera, face.covered)
    with (
        FaceRenderer.of(default_model, platform=SOFTWARE) as renderer,
        pytest.raises(Face3DMMError, match="the renderer's model"),
    ):
        renderer.overlay(np.zeros((280, 320, 3), np.uint8), [other], extent="head")
