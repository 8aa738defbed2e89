"""Names of blendshapes, as files write them."""

import pytest

from face3dmm_ros.core.shape_names import arkit_name, in_arkits_names


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("jawOpen", "jawOpen"),
        ("browDown_L", "browDownLeft"),
        ("eyeBlink_R", "eyeBlinkRight"),
        ("mouthSmile_left", "mouthSmileLeft"),
        ("MOUTHSMILERIGHT", "mouthSmileRight"),
        ("blendShape1.tongue_out", "tongueOut"),
        ("PupilDilate_L", None),
    ],
)
def test_arkits_names_are_found_in_other_spellings(written: str, name: str | None) -> None:
    assert arkit_name(written) == name


def test_sides_that_arkit_does_not_tell_apart_are_added_up() -> None:
    names = ["browInnerUp_L", "jawOpen", "browInnerUp_R", "cheekPuffLeft", "cheekPuffRight"]
    assert in_arkits_names(names) == {"browInnerUp": (0, 2), "jawOpen": (1,), "cheekPuff": (3, 4)}


def test_one_side_alone_keeps_its_name() -> None:
    assert in_arkits_names(["cheekPuff_L", "jawOpen"]) == {"cheekPuff_L": (0,), "jawOpen": (1,)}


def test_a_whole_goes_before_its_sides() -> None:
    names = ["cheekPuff_L", "cheekPuff_R", "cheekPuff"]
    assert in_arkits_names(names) == {"cheekPuff_L": (0,), "cheekPuff_R": (1,), "cheekPuff": (2,)}


def test_of_two_that_mean_the_same_the_closest_is_taken() -> None:
    assert in_arkits_names(["head.jawOpen", "jaw_open"]) == {"head.jawOpen": (0,), "jawOpen": (1,)}


def test_names_that_are_not_arkits_are_kept() -> None:
    assert in_arkits_names(["Dilate", "jawOpen"]) == {"Dilate": (0,), "jawOpen": (1,)}
