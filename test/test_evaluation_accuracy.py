"""Single faces summed up by yaw bin, on made-up records with figures that are easy to check by hand."""

import numpy as np
import pytest

from face3dmm_ros.core.rotations import rotation_from_pose_angles, rotation_from_vector
from face3dmm_ros.evaluation.dataset.accuracy import (
    FaceErrors,
    by_skin,
    confidence_reliability,
    expression_agreement,
    face_errors,
    skin_terciles,
    summarize,
)

OFFSET = rotation_from_vector([0.05, 0.0, 0.0])
"""From the truth's frame to the model's."""


def record(
    name: str,
    yaw: float,
    nme: float | None,
    *,
    iou: float = 0.8,
    turned: float = 0.0,
    lips: tuple = (0.0, 0.0),
    confidence: float = 0.5,
    lightness: float | None = 60.0,
) -> dict:
    """A face with true yaw in degrees; `turned` degrees of rotation error; nme None: nothing was fitted.

    `lips`: how far they are apart, fitted and true.
    """
    pose = (0.1, np.radians(yaw), -0.1)
    fit = None
    if nme is not None:
        rotation = rotation_from_pose_angles(*pose) @ rotation_from_vector([0, 0, np.radians(turned)]) @ OFFSET.T
        fit = {
            "iou": iou,
            "nme_fixed": nme,
            "nme_visible": nme + 1.0,
            "nme_3d": nme / 2.0,
            "vertex_mm": None,
            "confidence": confidence,
            "rotation": rotation.tolist(),
            "shift_px": [1.0, -1.0],
            "landmark_errors": [nme] * 68,
            "expression": [0.0, 0.0, lips[0], 0.0, 0.0],
        }
    return {
        "key": f"face/{name}",
        "yaw_deg": yaw,
        "pose": pose,
        "skin_lightness": lightness,
        "expression": [0.0, 0.0, lips[1], 0.0, 0.0],
        "extra_faces": 0,
        "detected": None if nme is None else {"nme": 2.0 * nme},
        "fits": {"joint": fit},
        "failures": {},
    }


def errors(*records: dict, visible_outline: bool = False) -> FaceErrors:
    return face_errors(records, ["joint"], visible_outline=visible_outline)["joint"]


@pytest.mark.parametrize(
    ("yaw", "name"),
    [(0, "0-30"), (-29.9, "0-30"), (30, "30-60"), (-59.9, "30-60"), (60, "60-90"), (-95, "60-90"), (172, "60-90")],
)
def test_bins_begin_at_their_lower_end_and_the_last_has_no_upper_one(yaw: float, name: str) -> None:
    bins = summarize(errors(record("a", yaw, 3.0)))
    assert {key for key in ("0-30", "30-60", "60-90") if bins[key]["faces"]} == {name}


def test_a_bin_says_how_many_were_found_and_how_well_these_fit() -> None:
    bins = summarize(
        errors(record("a", 10, 2.0), record("b", -20, 6.0), record("c", 0, None), record("d", 5, 50.0, iou=0.49))
    )
    frontal = bins["0-30"]
    assert (frontal["faces"], frontal["found"]) == (4, 0.5)
    assert frontal["nme_fitted"] == pytest.approx(4.0)
    assert frontal["nme_visible_outline"] == pytest.approx(5.0)
    assert frontal["nme_detected"] == pytest.approx(8.0)
    assert frontal["nme_3d"] == pytest.approx(2.0)
    assert frontal["auc10"] == pytest.approx((0.8 + 0.4 + 0.0 + 0.0) / 4)
    assert frontal["failure10"] == pytest.approx(2 / 4)
    assert np.isnan(frontal["vertex_mm"])


def test_an_overlap_of_one_half_is_found() -> None:
    assert summarize(errors(record("a", 0, 2.0, iou=0.5)))["all"]["found"] == 1.0


def test_a_truth_that_marks_the_visible_edge_is_compared_with_it() -> None:
    assert summarize(errors(record("a", 0, 2.0), visible_outline=True))["all"]["nme_fitted"] == pytest.approx(3.0)


def test_the_mean_weighs_bins_alike_and_all_weighs_faces() -> None:
    bins = summarize(
        errors(
            record("a", 0, 2.0), record("b", 0, 2.0), record("c", 0, 2.0), record("d", 40, 6.0), record("e", 80, 10.0)
        )
    )
    assert bins["mean"]["faces"] == bins["all"]["faces"] == 5
    assert bins["mean"]["nme_fitted"] == pytest.approx(6.0)
    assert bins["all"]["nme_fitted"] == pytest.approx(22 / 5)


def test_an_empty_bin_is_left_out_of_the_mean_but_a_bin_of_misses_is_not() -> None:
    assert summarize(errors(record("a", 0, 2.0)))["mean"]["nme_fitted"] == pytest.approx(2.0)
    bins = summarize(errors(record("a", 0, 2.0), record("b", 70, None)))
    assert np.isnan(bins["mean"]["nme_fitted"])
    assert bins["mean"]["found"] == pytest.approx(0.5)


def test_rotation_errors_are_what_the_constant_offset_leaves() -> None:
    judged = errors(
        *(record(str(index), yaw, 3.0) for index, yaw in enumerate((-50, -10, 0, 20, 70))),
        record("off", 0, 3.0, turned=8.0),
    )
    np.testing.assert_allclose(judged.offset, OFFSET, atol=1e-9)
    np.testing.assert_allclose(judged.means["rotation_deg"], [0, 0, 0, 0, 0, 8.0], atol=1e-5)
    assert summarize(judged)["60-90"]["rotation_deg"] == pytest.approx(0.0, abs=1e-5)


def test_without_a_true_pose_there_is_no_rotation_error() -> None:
    face = record("a", 0, 3.0) | {"pose": None}
    judged = errors(face)
    assert judged.offset is None
    assert np.isnan(summarize(judged)["all"]["rotation_deg"])
    assert summarize(judged)["all"]["nme_fitted"] == pytest.approx(3.0)


def test_a_run_that_found_nothing_has_a_summary() -> None:
    bins = summarize(errors(record("a", 0, None), record("b", 45, None)))
    assert bins["mean"]["found"] == 0.0
    assert bins["mean"]["auc10"] == 0.0
    assert bins["mean"]["failure10"] == 1.0
    assert np.isnan(bins["mean"]["rotation_deg"])


def test_the_mean_of_the_angles_errors_is_their_mae() -> None:
    judged = errors(*(record(str(index), yaw, 3.0) for index, yaw in enumerate((-20, 0, 20, 45))))
    for angle, values in {"pitch_deg": [1, 3, 5, 20], "yaw_deg": [2, 4, 6, 30], "roll_deg": [3, 5, 7, 40]}.items():
        judged.means[angle][:] = values
    bins = summarize(judged)
    assert [bins["0-30"][key] for key in ("pitch_deg", "yaw_deg", "roll_deg", "mae_deg")] == [3, 4, 5, 4]
    assert bins["mean"]["mae_deg"] == pytest.approx((4 + 30) / 2)
    assert bins["all"]["mae_deg"] == pytest.approx((3 * 4 + 30) / 4)


def test_expressions_are_judged_on_the_faces_found_that_look_at_the_camera() -> None:
    judged = errors(
        record("a", 0, 3.0, lips=(0.1, 0.0)),
        record("turned", 31, 3.0, lips=(9.0, 0.1)),
        record("b", -29, 3.0, lips=(0.2, 0.2)),
        record("elsewhere", 0, 3.0, iou=0.4, lips=(9.0, 0.3)),
        record("not fitted", 0, None, lips=(9.0, 0.4)),
        record("c", 20, 3.0, lips=(0.3, 0.4)),
    )
    assert judged.with_expression.sum() == 3
    lips = expression_agreement(judged)["lips"]
    assert (lips.slope, lips.correlation) == pytest.approx((0.5, 1.0))
    assert np.isnan(expression_agreement(judged)["eyes"].slope)


def test_confidences_are_held_against_how_many_of_the_faces_found_are_right() -> None:
    sure = [record(f"s{k}", 0, 2.0 if k < 3 else 6.0, confidence=0.95) for k in range(4)]
    doubtful = [record(f"d{k}", 0, 2.0 if k < 1 else 6.0, confidence=0.25) for k in range(4)]
    missed = [record("m", 0, 2.0, iou=0.1, confidence=0.95), record("n", 0, None)]
    found = confidence_reliability(errors(*sure, *doubtful, *missed))
    assert found.count.tolist() == [0, 0, 4, 0, 0, 0, 0, 0, 0, 4]
    np.testing.assert_allclose(found.said[[2, 9]], [0.25, 0.95])
    np.testing.assert_allclose(found.true[[2, 9]], [0.25, 0.75])
    assert found.error == pytest.approx((0.0 + 0.2) / 2)


def test_a_confidence_of_one_belongs_to_the_last_bin_and_no_face_has_no_error() -> None:
    assert confidence_reliability(errors(record("a", 0, 2.0, confidence=1.0))).count[-1] == 1
    assert np.isnan(confidence_reliability(errors(record("a", 0, None))).error)


def test_thirds_of_skin_lightness_hold_every_yaw_alike() -> None:
    tones = {"a": 20.0, "b": 40.0, "c": 60.0}
    records = [
        record(f"{yaw}{name}", yaw, nme=tone / 10.0 + yaw / 30.0, lightness=tone + yaw)
        for yaw in (0, 45)
        for name, tone in tones.items()
    ]
    errors = face_errors([*records, record("unseen", 0, 9.0, lightness=None)], ["joint"], visible_outline=False)[
        "joint"
    ]
    members = {name: np.array(errors.names)[each].tolist() for name, each in skin_terciles(errors).items()}
    assert members == {"dark": ["0a", "45a"], "medium": ["0b", "45b"], "light": ["0c", "45c"]}
    terciles = by_skin(errors)
    assert [terciles[name]["nme_fitted"] for name in members] == pytest.approx([2.75, 4.75, 6.75])
    assert [terciles[name]["lightness"] for name in members] == pytest.approx([42.5, 62.5, 82.5])
