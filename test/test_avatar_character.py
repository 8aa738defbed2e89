from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.avatar.avatar import Avatar, AvatarFace
from face3dmm_ros.avatar.character import rig as character_rig
from face3dmm_ros.avatar.character.avatar import Character
from face3dmm_ros.avatar.character.caricature import EYE_CENTER, EYE_RADIUS, EYE_SCALE, EYE_SHIFT, caricature, jacobian
from face3dmm_ros.avatar.character.rig import CharacterRig, build_rig
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_vector
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.morphable_model import MorphableModel

SIZE = (300, 400)
AT = (150.0, 180.0)


@pytest.fixture(scope="module")
def character() -> Iterator[Character]:
    try:
        character = Character()
    except Face3DMMError as error:
        pytest.skip(f"no OpenGL here: {error}")
    yield character
    character.close()


@pytest.fixture(scope="module")
def rig(default_model: MorphableModel) -> CharacterRig:
    return build_rig(default_model)


def face(
    *,
    at: tuple[float, float] = AT,
    scale: float = 1.1,
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0),
    model: str = "default",
    **weights: float,
) -> AvatarFace:
    camera = WeakPerspective(scale, FRONTAL @ rotation_from_vector(turn), np.array(at))
    parameters = FaceParameters(camera, np.ones(7), np.ones(9), model, f"digest of {model}", "joint", 1.0, 0.9, SIZE)
    values = np.array([weights.get(name, 0.0) for name in ARKIT_NAMES], np.float32)
    return AvatarFace(1, parameters, values)


def picture(character: Avatar, *faces: AvatarFace) -> NDArray[np.uint8]:
    """The faces on white, (H, W, 3)."""
    image = np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)
    for layer in character.draw(faces, SIZE, None):
        layer.over(image)
    return image


def covered(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((image != 255).any(axis=2))


def changed_part(character: Avatar, **weights: float) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """(x, y) below and above which a tenth of the changed pixels lie, mm from the face's origin, and how many."""
    difference = np.abs(picture(character, face(**weights)).astype(int) - picture(character, face())).max(axis=2)
    y, x = np.nonzero(difference > 24)
    if not len(x):
        return np.full(2, np.nan), np.full(2, np.nan), 0
    points = (np.column_stack([x, y]) - AT) / 1.1
    low, high = np.percentile(points, [10, 90], axis=0)
    return low, high, len(x)


class TestExpression:
    # The least and the greatest x and y that a blendshape may change, mm to the right of and below the face's origin.
    LEFT_EYE, RIGHT_EYE = (8, 80, -35, 45), (-80, -8, -35, 45)
    LOWER_FACE = (-65, 65, 20, 150)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("names", "part"),
        [
            (("jawOpen",), LOWER_FACE),
            (("mouthPucker",), LOWER_FACE),
            (("mouthFrownLeft", "mouthFrownRight"), LOWER_FACE),
            (("mouthSmileLeft",), (-25, 78, -15, 120)),
            (("mouthSmileRight",), (-78, 25, -15, 120)),
            (("eyeBlinkLeft",), LEFT_EYE),
            (("eyeBlinkRight",), RIGHT_EYE),
            (("eyeLookOutLeft",), LEFT_EYE),
            (("eyeLookInRight",), RIGHT_EYE),
            (("eyeLookUpLeft",), LEFT_EYE),
            (("browInnerUp",), (-75, 75, -95, 15)),
            (("browDownLeft",), (0, 80, -75, 15)),
            (("browOuterUpRight",), (-85, 0, -95, 15)),
            (("noseSneerLeft", "noseSneerRight"), (-65, 65, -60, 90)),
        ],
    )
    def test_a_blendshape_changes_its_part_of_the_face_and_no_other(
        self, character: Character, names: tuple[str, ...], part: tuple[int, int, int, int]
    ) -> None:
        low, high, count = changed_part(character, **dict.fromkeys(names, 1.0))
        assert count > 60
        assert part[0] <= low[0]
        assert high[0] <= part[1]
        assert part[2] <= low[1]
        assert high[1] <= part[3]

    def test_a_blink_hides_the_eye(self, character: Character) -> None:
        closed = picture(character, face(eyeBlinkLeft=1.0, eyeBlinkRight=1.0))
        amber = {name: is_amber(image) for name, image in (("open", picture(character, face())), ("closed", closed))}
        assert amber["open"].sum() > 300
        assert amber["closed"].sum() < 0.02 * amber["open"].sum()

    @pytest.mark.parametrize(
        ("left", "right", "direction"),
        [
            ("eyeLookOutLeft", "eyeLookInRight", (1, 0)),
            ("eyeLookInLeft", "eyeLookOutRight", (-1, 0)),
            ("eyeLookDownLeft", "eyeLookDownRight", (0, 1)),
            ("eyeLookUpLeft", "eyeLookUpRight", (0, -1)),
        ],
    )
    def test_both_eyes_look_where_the_person_looks(
        self, character: Character, left: str, right: str, direction: tuple[int, int]
    ) -> None:
        neutral = is_pupil(picture(character, face()))
        looking = is_pupil(picture(character, face(**{left: 0.7, right: 0.7})))
        for half in (np.s_[:, :150], np.s_[:, 150:]):
            assert (middle(looking[half]) - middle(neutral[half])) @ direction > 2.0

    def test_a_grin_bares_the_teeth_and_lifts_the_corners(self, character: Character) -> None:
        at, across = np.array(AT, int), int(45 * 1.1)
        below = slice(at[1] + int(40 * 1.1), at[1] + int(110 * 1.1)), slice(at[0] - across, at[0] + across)
        calm, grin = (
            picture(character, face(mouthSmileLeft=weight, mouthSmileRight=weight, jawOpen=0.125 * weight))[below]
            for weight in (0.0, 0.8)
        )
        teeth = [int((image.min(axis=-1) > 200).sum()) for image in (calm, grin)]
        assert teeth[0] < 20
        assert teeth[1] > 120

    def test_a_stronger_blendshape_shows_more(self, character: Character) -> None:
        counts = [changed_part(character, jawOpen=weight)[2] for weight in (0.1, 0.4, 1.0)]
        assert counts[0] < counts[1] < counts[2]

    def test_the_tongue_comes_out_of_the_mouth(self, character: Character) -> None:
        low, high, count = changed_part(character, tongueOut=1.0)
        assert count > 60
        assert low[0] > -30
        assert high[0] < 30
        assert low[1] > 50


class TestPose:
    def test_the_head_lies_where_the_face_is(self, character: Character) -> None:
        here = covered(picture(character, face(scale=0.6)))
        there = covered(picture(character, face(scale=0.6, at=(AT[0] + 40.0, AT[1] + 25.0))))
        np.testing.assert_array_equal(there[25:, 40:], here[:-25, :-40])

    def test_the_head_has_the_faces_size(self, character: Character) -> None:
        small, large = (covered(picture(character, face(scale=scale))).sum() for scale in (0.5, 1.0))
        assert large / small == pytest.approx(4.0, rel=0.03)

    @pytest.mark.parametrize(("turn", "side"), [(0.6, 1), (-0.6, -1)])
    def test_the_head_turns_as_the_face_does(self, character: Character, turn: float, side: int) -> None:
        turned = middle(is_amber(picture(character, face(turn=(0.0, turn, 0.0)))))
        assert side * (turned - middle(is_amber(picture(character, face()))))[0] > 5.0

    def test_the_nearer_head_hides_the_farther_in_whatever_order_they_come(self, character: Character) -> None:
        near, far = face(scale=1.0), face(scale=0.7, at=(210.0, 180.0))
        alone, both = picture(character, near), picture(character, near, far)
        inside = covered(alone)
        # Its outline, a few pixels wide, lets the farther one shine through.
        inside[1:-1, 1:-1] &= inside[2:, 1:-1] & inside[:-2, 1:-1] & inside[1:-1, 2:] & inside[1:-1, :-2]
        assert (both[inside] == alone[inside]).mean() > 0.99
        np.testing.assert_array_equal(both, picture(character, far, near))

    def test_a_head_cut_by_the_border_is_drawn_as_far_as_it_reaches(self, character: Character) -> None:
        layers = character.draw([face(at=(0.0, 0.0))], SIZE)
        assert layers[0].rectangle.left == layers[0].rectangle.top == 0
        assert layers[0].pixels[5, 5, 3] == 255

    def test_a_small_head_has_smooth_edges(self, character: Character) -> None:
        alpha = character.draw([face(scale=0.25)], SIZE)[0].pixels[..., 3]
        assert len(np.unique(alpha)) > 8

    def test_a_face_outside_the_picture_gives_no_layer(self, character: Character) -> None:
        assert character.draw([face(at=(-900.0, 100.0)), face(at=(100.0, 2000.0))], SIZE) == []

    def test_without_faces_there_are_no_layers(self, character: Character) -> None:
        assert character.draw([], SIZE) == []


class TestUse:
    def test_whose_face_it_is_and_of_which_model_does_not_show(self, character: Character) -> None:
        np.testing.assert_array_equal(picture(character, face(model="bfm")), picture(character, face()))

    def test_the_picture_is_not_needed(self, character: Character) -> None:
        assert not character.needs_image

    def test_numbers_that_are_not_finite_are_refused(self, character: Character) -> None:
        with pytest.raises(Face3DMMError, match="not finite"):
            character.draw([face(at=(np.nan, 0.0))], SIZE)

    def test_a_closed_character_says_so(self) -> None:
        try:
            character = Character()
        except Face3DMMError as error:
            pytest.skip(f"no OpenGL here: {error}")
        character.close()
        character.close()
        with pytest.raises(Face3DMMError, match="closed"):
            character.draw([face()], SIZE)


class TestRig:
    def test_the_proportions_are_the_same_on_both_sides(self, default_model: MorphableModel) -> None:
        ears = default_model.regions["ears"]
        mirror = np.array([-1.0, 1.0, 1.0])
        left = caricature(default_model.mean, ears)
        np.testing.assert_allclose(caricature(default_model.mean * mirror, ears) * mirror, left, atol=1e-9)

    def test_the_face_is_nowhere_turned_inside_out(self, default_model: MorphableModel) -> None:
        determinants = np.linalg.det(jacobian(default_model.mean, default_model.regions["ears"]))
        assert determinants[default_model.regions["face"] > 0.5].min() > 0.0

    def test_the_jacobian_carries_small_displacements(self, default_model: MorphableModel) -> None:
        ears = default_model.regions["ears"]
        step = np.array([0.015, -0.01, 0.005])
        moved = caricature(default_model.mean + step, ears) - caricature(default_model.mean, ears)
        np.testing.assert_allclose(jacobian(default_model.mean, ears) @ step, moved, atol=1e-3)

    def test_the_eyes_grow_about_the_middles_of_the_models_eyeballs(self, default_model: MorphableModel) -> None:
        eye = default_model.mean[(default_model.regions["eyes"] > 0.5) & (default_model.mean[:, 0] > 0)]
        np.testing.assert_allclose(np.linalg.norm(eye - EYE_CENTER, axis=1), EYE_RADIUS, atol=0.5)

    def test_around_the_eyes_all_grows_like_the_eyeball(self) -> None:
        on_ball = EYE_CENTER + EYE_RADIUS * np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, -0.6, 0.8]])
        expected = EYE_CENTER + EYE_SHIFT + EYE_SCALE * (on_ball - EYE_CENTER)
        np.testing.assert_allclose(caricature(on_ball, np.zeros(4)), expected, atol=1.5)

    def test_brows_and_lashes_move_with_the_skin(self, rig: CharacterRig, default_model: MorphableModel) -> None:
        names = rig.model.expression_names
        basis = rig.model.expression_basis.reshape(rig.model.vertex_count, 3, -1)
        brows_and_lashes = basis[-(2 * 14 + 2 * 16) * 8 :]
        up = brows_and_lashes[:, 1]
        assert up[: 14 * 8, names.index("browDownLeft")].min() < -3.0
        assert up[-32 * 8 : -16 * 8, names.index("eyeBlinkLeft")].min() < -10.0
        np.testing.assert_allclose(up[-16 * 8 :, names.index("eyeBlinkLeft")], 0.0, atol=0.5)

    @pytest.mark.slow
    def test_what_is_left_out_of_the_eye_sockets_shows_in_no_more_than_a_few_pixels(
        self, character: Character, rig: CharacterRig, default_model: MorphableModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(character_rig, "_in_socket", lambda model: np.zeros(model.vertex_count, bool))
        assert len(build_rig(default_model).outlined) > len(rig.outlined) + 600
        whole = Character()
        for turn in ((0.0, 0.0, 0.0), (0.0, 0.7, 0.0), (0.0, -1.2, 0.0), (0.6, 0.3, 0.0), (-0.6, 0.0, 0.2)):
            for shape, weight in (("eyeWide", 1.0), ("eyeBlink", 0.6), ("eyeSquint", 1.0)):
                expression = {f"{shape}Left": weight, f"{shape}Right": weight}
                some = face(turn=turn, **expression)
                assert (picture(character, some) != picture(whole, some)).any(axis=2).sum() < 10
        whole.close()

    def test_triangles_paint_and_normals_fit_the_vertices(self, rig: CharacterRig) -> None:
        count = rig.model.vertex_count + len(rig.still_vertices)
        assert len(rig.paint) == count
        for triangles in (rig.outlined, rig.inner, rig.eyes):
            assert triangles.min() >= 0
            assert triangles.max() < count
        np.testing.assert_allclose(np.linalg.norm(rig.still_normals, axis=1), 1.0, atol=1e-3)


def is_amber(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a BGR picture, above the orange collar, has the iris's colour."""
    b, g, r = (image[..., k].astype(int) for k in range(3))
    above = np.arange(len(image))[:, None] < 260
    return np.asarray((g - b > 70) & (r - g < 75) & above)


def is_pupil(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a BGR picture has the pupils' colour; ink is bluer."""
    return np.asarray((image < (30, 14, 30)).all(axis=2))


def middle(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(x, y) of a mask's middle."""
    y, x = np.nonzero(mask)
    return np.array([x.mean(), y.mean()])
