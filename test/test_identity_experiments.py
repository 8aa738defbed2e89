"""Heads of others on our topology, and where the errors of an identity come from."""

import argparse
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.core.values import Landmarks
from face3dmm_ros.lab.default_model.registration import IctHead, ict_folder
from face3dmm_ros.lab.experiments.ict_heads import ict_heads
from face3dmm_ros.lab.experiments.measure_identity import VIEWS, identity_error_mm
from face3dmm_ros.lab.experiments.split_identity_errors import (
    LinearReading,
    independent,
    measured,
    slope_and_correlation,
    structure,
)
from face3dmm_ros.landmarks.schemes import MEDIAPIPE478, SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel, SurfacePoints, load_model

_CM = 10.0


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    """The default model, its 68 landmarks at vertices, so that another head can have the very same."""
    model = load_model("default")
    nearest = cKDTree(model.mean).query(model.scheme("ibug68").interpolate(model.mean))[1]
    return replace(model, landmarks={**model.landmarks, "ibug68": SurfacePoints.at_vertices(nearest)})


@pytest.fixture(scope="module")
def mean(model: MorphableModel) -> np.ndarray:
    """(468, 3) the skin's points on the mean face, mm."""
    return model.scheme(MEDIAPIPE478).at(slice(SKIN_COUNT)).interpolate(model.mean).astype(np.float64)


def _seen(shape: np.ndarray, deviation_px: float = 0.5) -> list[Landmarks]:
    """A shape's points in all views, at 2 px/mm."""
    turns = [rotation_from_pose_angles(*np.radians([pitch, yaw, 0.0])) for pitch, yaw in VIEWS]
    return [
        Landmarks(
            MEDIAPIPE478,
            (2.0 * shape @ turn[:2].T + 240.0).astype(np.float32),
            np.array([100, 100, 200, 200], np.float32),
            1.0,
            (480, 480),
            deviation=np.full(len(shape), deviation_px, np.float32),
        )
        for turn in turns
    ]


def test_another_head_with_our_shape_comes_back_as_ours(model: MorphableModel) -> None:
    turn, shift = rotation_from_pose_angles(0.1, -0.2, 0.05) @ np.diag([1, -1, -1]), np.array([3.0, 1.0, -2.0])
    person = (model.shape_basis[:, :2] * model.shape_sigma[:2]).T.reshape(2, -1, 3)
    skin = (model.regions["skin"][model.triangles] > 0.5).all(axis=1)
    other = IctHead(
        (model.mean.astype(np.float64) / _CM) @ turn.T + shift,
        {},
        (person / _CM @ turn.T).astype(np.float32),
        model.triangles[skin].astype(np.int64),
        model.scheme("ibug68").vertices[:, 0].astype(np.int64),
    )

    heads = ict_heads(other, model)

    assert heads.known.sum() > 0.95 * (model.regions["skin"] > 0.5).sum()
    alpha = np.array([1.0, -2.0])
    ours = model.identity(alpha * model.shape_sigma[:2])
    distance = np.linalg.norm(heads.model.identity(alpha) - ours, axis=1)
    assert distance[heads.known].mean() < 0.1
    assert distance.mean() < 0.5  # eyes and the mouth's inside follow


def test_a_folder_without_ict_facekit_is_refused_by_what_it_lacks(tmp_path) -> None:
    (tmp_path / "vertex_indices.json").write_text("{}")
    with pytest.raises(argparse.ArgumentTypeError, match=r"has no ict_facekit\.npz; expected"):
        ict_folder(str(tmp_path))


def test_the_identity_error_knows_no_similarity_and_only_the_judged(model: MorphableModel) -> None:
    moved = 1.1 * model.mean @ rotation_from_pose_angles(0.2, 0.1, 0.0) + 5.0
    assert identity_error_mm(moved, model.mean) < 1e-3
    judged = model.regions["face"] > 0.5
    moved[~judged] += 20.0
    assert identity_error_mm(moved, model.mean, judged) < 1e-3


def test_a_shape_is_found_from_its_views_alone(model: MorphableModel, mean: np.ndarray) -> None:
    alpha = np.array([0.0, 1.5, -1.5]) * model.shape_sigma[:3]
    shape = model.scheme(MEDIAPIPE478).at(slice(SKIN_COUNT)).interpolate(model.identity(alpha)).astype(np.float64)

    found, in_view = structure(mean, _seen(shape))

    assert identity_error_mm(found, shape) < 0.1 * identity_error_mm(mean, shape)
    assert in_view.max() < 0.3


def test_a_pull_to_the_mean_is_a_slope_below_one_with_full_correlation() -> None:
    true = np.random.default_rng(0).standard_normal((20, 5, 3))
    assert slope_and_correlation(0.4 * true + 7.0, true) == pytest.approx((0.4, 1.0))


def test_a_reading_by_measured_errors_leaves_out_what_people_s_errors_share(
    model: MorphableModel, mean: np.ndarray
) -> None:
    rng, reading = np.random.default_rng(0), LinearReading.of(model, mean)
    true = (rng.standard_normal((60, model.shape_count)) @ reading.basis.T).reshape(60, -1, 3)
    errors = 2.0 * rng.standard_normal((60, 1, 3)) * (mean[:, 1:2] < -40)  # the lower face slips as a whole
    known, judged = slice(0, 40), slice(40, 60)

    def left(way) -> float:
        read = reading.read((true + errors)[judged], way(errors[known], mean)) @ reading.basis.T
        return float(np.linalg.norm(read - true[judged].reshape(20, -1)))

    assert left(measured) < 0.6 * left(independent)
