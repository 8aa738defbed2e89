from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.watermelon.avatar import Watermelon
from face3dmm_ros.avatar.watermelon.face_cutouts import PART_VERTICES
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.camera import WeakPerspective, view_to_clip
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.layer import Framing, Layer, Rectangle

IMAGE_SIZE = (640, 480)
SKIN = (140, 165, 205)  # BGR
BLUE, MAGENTA = (255, 30, 0), (255, 0, 255)
RIGHT_EYE, LEFT_EYE, MOUTH, BROW = range(36, 42), range(42, 48), range(60, 68), range(18, 21)

Image = NDArray[np.uint8]


@pytest.fixture(scope="module")
def watermelon(default_model: MorphableModel) -> Iterator[Watermelon]:
    avatar = open_watermelon(default_model)
    yield avatar
    avatar.close()


def open_watermelon(model: MorphableModel) -> Watermelon:
    try:
        return Watermelon(model)
    except Face3DMMError as error:
        pytest.skip(f"no OpenGL here: {error}")


def a_face(
    model: MorphableModel,
    *,
    face_id: int = 1,
    scale: float = 1.0,
    at: tuple[float, float] = (320.0, 250.0),
    yaw: float = 0.0,
    roll: float = 0.0,
    **blendshapes: float,
) -> AvatarFace:
    """The mean person, angles in degrees."""
    camera = WeakPerspective(scale, rotation_from_pose_angles(0.0, np.radians(yaw), np.radians(roll)), np.array(at))
    beta = np.zeros(model.expression_count)
    weights = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, value in blendshapes.items():
        beta[model.expression_names.index(name)] = weights[ARKIT_NAMES.index(name)] = value
    parameters = FaceParameters(camera, np.zeros(0), beta, model.name, model.digest, "joint", 0.0, 1.0, IMAGE_SIZE)
    return AvatarFace(face_id, parameters, weights)


def skin(color: tuple[int, int, int] = SKIN) -> Image:
    return np.full((IMAGE_SIZE[1], IMAGE_SIZE[0], 3), color, np.uint8)


def marked(
    image: Image, model: MorphableModel, face: AvatarFace, landmarks: Sequence[int], color: tuple[int, int, int]
) -> Image:
    """The image with a dot of 5 mm radius in the middle of some landmarks of a face."""
    middle = place(model, face, landmarks)
    radius = 5.0 * face.parameters.camera.scale
    return cv2.circle(image.copy(), np.round(middle).astype(int).tolist(), round(radius), color, cv2.FILLED)


def place(model: MorphableModel, face: AvatarFace, landmarks: Sequence[int]) -> NDArray[np.float64]:
    """The middle of some of the 68 landmarks of a face, px."""
    vertices = model.vertices(face.parameters.alpha, face.parameters.beta)
    points = face.parameters.camera.project(model.scheme("ibug68").interpolate(vertices))
    return np.asarray(points[list(landmarks)].mean(axis=0))


def drawn(avatar: Watermelon, face: AvatarFace, image: Image) -> Layer:
    (layer,) = avatar.draw([face], IMAGE_SIZE, image)
    return layer


def on_black(layer: Layer) -> Image:
    image = np.zeros((IMAGE_SIZE[1], IMAGE_SIZE[0], 3), np.uint8)
    layer.over(image)
    return image


def count_of(color: tuple[int, int, int], image: Image) -> int:
    return int((np.abs(image.astype(int) - color).max(axis=-1) < 60).sum())


@pytest.mark.parametrize("brightness", [1.0, 1.8])
def test_a_part_of_the_picture_laid_where_it_was_shows_the_very_pixels_or_brighter_ones(
    watermelon: Watermelon, brightness: float
) -> None:
    """To the half pixel: from one to the next the picture grows brighter by 4 of 255."""
    size = 60
    y, x = np.mgrid[:size, :size]
    picture = np.stack([4 * x, 4 * y, np.full_like(x, 99), np.full_like(x, 255)], axis=-1).astype(np.uint8)
    spokes = np.linspace(0.0, 2.0 * np.pi, 48, endpoint=False)
    rings = [26.0 * ring / 6 * np.column_stack([np.cos(spokes), np.sin(spokes)]) for ring in range(1, 7)]
    part = np.concatenate([np.zeros((1, 2)), *rings]) + (size - 1) / 2.0
    assert len(part) == PART_VERTICES
    places = np.tile(part, (3, 1))
    position = np.column_stack([places * [1.0, -1.0], np.zeros(len(places))])
    look = np.tile([-1.0, 1.0, 1.0], (len(places), 1))  # the picture itself, all of it, visible
    framing = Framing(Rectangle(0, 0, size, size), (size, size), 1)
    to_clip = framing.clip_to_canvas() @ view_to_clip((size, size), 1.0)
    with watermelon._drawing() as canvas:
        canvas.begin(size, size)
        canvas.load_picture(picture)
        canvas.draw_cutouts([position, places, look, np.ones((len(places), 3))], to_clip, brightness)
        shown = canvas.read()
    inside = np.hypot(x - (size - 1) / 2.0, y - (size - 1) / 2.0) < 24.0
    share = picture[inside][:, :3] / 255.0
    expected = 255.0 * brightness * share / (1.0 + (brightness - 1.0) * share)
    np.testing.assert_allclose(shown[inside][:, :3].astype(int), expected, atol=1.5)


def outline(layer: Layer) -> NDArray[np.float64]:
    """Width and height of what a layer covers, and its middle in the image, px: (2, 2)."""
    rows, columns = np.nonzero(layer.pixels[..., 3] > 128)
    low, high = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()])
    return np.array([high - low + 1, (low + high) / 2 + [layer.rectangle.left, layer.rectangle.top]])


class TestMelon:
    def test_it_covers_the_whole_head(self, watermelon: Watermelon, default_model: MorphableModel) -> None:
        head = np.flatnonzero((default_model.regions["neck"] < 0.01) & (default_model.mean[:, 1] > -116))
        for yaw, roll in ((0, 0), (40, 0), (-75, 10), (0, 30)):
            face = a_face(default_model, yaw=yaw, roll=roll)
            columns, rows = np.round(face.parameters.camera.project(default_model.mean[head])).astype(int).T
            picture = np.zeros((IMAGE_SIZE[1], IMAGE_SIZE[0]), np.uint8)
            layer = drawn(watermelon, face, skin())
            picture[layer.rectangle.rows_and_columns] = layer.pixels[..., 3]
            assert (picture[rows, columns] == 255).all()

    def test_its_layer_is_no_larger_than_it_must_be(
        self, watermelon: Watermelon, default_model: MorphableModel
    ) -> None:
        covered = drawn(watermelon, a_face(default_model, yaw=20, roll=15), skin()).pixels[..., 3] > 0
        for edge in (covered[:4], covered[-4:], covered[:, :4], covered[:, -4:]):
            assert edge.any()

    def test_it_moves_with_the_head(self, watermelon: Watermelon, default_model: MorphableModel) -> None:
        here = outline(drawn(watermelon, a_face(default_model, at=(300, 250)), skin()))
        there = outline(drawn(watermelon, a_face(default_model, at=(340, 235)), skin()))
        assert there[1] - here[1] == pytest.approx([40, -15], abs=1)

    def test_it_grows_as_the_head_comes_nearer(self, watermelon: Watermelon, default_model: MorphableModel) -> None:
        far, near = (outline(drawn(watermelon, a_face(default_model, scale=s), skin())) for s in (0.5, 1.0))
        assert near[0] == pytest.approx(2 * far[0], abs=4)

    def test_it_tilts_with_the_head(self, watermelon: Watermelon, default_model: MorphableModel) -> None:
        width, height = outline(drawn(watermelon, a_face(default_model, roll=90), skin()))[0]
        assert width > 1.2 * height

    def test_it_turns_with_the_head(self, watermelon: Watermelon, default_model: MorphableModel) -> None:
        nose = (285, 320)
        ahead, turned = (on_black(drawn(watermelon, a_face(default_model, yaw=yaw), skin()))[nose] for yaw in (0, 14))
        assert int(ahead[1]) - int(turned[1]) > 40  # from pale ground to a dark stripe

    def test_it_gets_longer_as_the_mouth_opens(self, watermelon: Watermelon, default_model: MorphableModel) -> None:
        shut, open_ = (outline(drawn(watermelon, a_face(default_model, jawOpen=w), skin())) for w in (0.0, 0.8))
        assert open_[0][1] > shut[0][1] + 8
        assert open_[0][0] < shut[0][0]

    def test_it_is_as_bright_as_the_skin(self, watermelon: Watermelon, default_model: MorphableModel) -> None:
        bright, dim = (
            on_black(drawn(watermelon, a_face(default_model), skin(tuple(round(share * c) for c in SKIN)))).mean()
            for share in (1.0, 0.6)
        )
        assert 0.6 < dim / bright < 0.9

    def test_the_light_comes_from_the_skins_brighter_side(
        self, watermelon: Watermelon, default_model: MorphableModel
    ) -> None:
        image = skin()
        image[:, :320] //= 2
        mirrored = on_black(drawn(watermelon, a_face(default_model), np.ascontiguousarray(image[:, ::-1])))
        lit_from_right = on_black(drawn(watermelon, a_face(default_model), image))
        assert lit_from_right[:, 330:].sum() / lit_from_right[:, :310].sum() > 1.2 * (
            mirrored[:, 330:].sum() / mirrored[:, :310].sum()
        )


class TestFace:
    @pytest.mark.parametrize("part", [RIGHT_EYE, LEFT_EYE, MOUTH])
    def test_the_eyes_and_mouth_of_the_image_appear_enlarged_at_their_places(
        self, watermelon: Watermelon, default_model: MorphableModel, part: Sequence[int]
    ) -> None:
        face = a_face(default_model, yaw=5)
        image = marked(skin(), default_model, face, part, BLUE)
        picture = on_black(drawn(watermelon, face, image))
        assert count_of(BLUE, picture) > 2.4 * count_of(BLUE, image)
        rows, columns = np.nonzero(np.abs(picture.astype(int) - BLUE).max(axis=-1) < 60)
        assert np.hypot(*(np.array([columns.mean(), rows.mean()]) - place(default_model, face, part))) < 20

    @pytest.mark.parametrize("dimmed", [1.0, 0.5])
    def test_they_are_brighter_than_the_picture(
        self, watermelon: Watermelon, default_model: MorphableModel, dimmed: float
    ) -> None:
        face = a_face(default_model)
        grey = round(130 * dimmed)
        bare = skin(tuple(round(dimmed * c) for c in SKIN))
        plain = on_black(drawn(watermelon, face, bare)).astype(int)
        image = marked(bare, default_model, face, MOUTH, (grey, grey, grey))
        picture = on_black(drawn(watermelon, face, image)).astype(int)
        neutral = (np.ptp(picture, axis=-1) < 6) & (np.abs(picture - plain).max(axis=-1) > 12)
        assert np.median(picture[neutral].mean(axis=-1)) > 1.08 * grey

    def test_they_follow_an_expression(self, watermelon: Watermelon, default_model: MorphableModel) -> None:
        face = a_face(default_model, jawOpen=0.8)
        gap = marked(skin(), default_model, face, MOUTH, BLUE)
        assert count_of(BLUE, on_black(drawn(watermelon, face, gap))) > 1.3 * count_of(BLUE, gap)

    def test_bare_skin_leaves_no_trace_around_them(self, watermelon: Watermelon, default_model: MorphableModel) -> None:
        # Two skins of the same brightness: only eyes and lips, which keep their colour, can tell them apart.
        yellow, violet = (100, 160, 160), (200, 130, 182)
        face = a_face(default_model)
        difference = cv2.absdiff(*(on_black(drawn(watermelon, face, skin(c))) for c in (yellow, violet))).max(axis=-1)
        covered = np.count_nonzero(drawn(watermelon, face, skin()).pixels[..., 3])
        assert difference.max() > 20
        assert np.count_nonzero(difference > 4) < 0.12 * covered

    def test_what_lies_on_the_skin_shades_the_rind(self, watermelon: Watermelon, default_model: MorphableModel) -> None:
        face = a_face(default_model)
        plain = on_black(drawn(watermelon, face, skin())).astype(int)
        brow = on_black(drawn(watermelon, face, marked(skin(), default_model, face, BROW, (40, 50, 60)))).astype(int)
        darker = (plain - brow).max(axis=-1) > 25
        assert 60 < np.count_nonzero(darker) < 600
        rows, columns = np.nonzero(darker)
        assert columns.mean() < 320
        assert rows.mean() < 250

    def test_the_far_eye_is_gone_from_a_profile(self, watermelon: Watermelon, default_model: MorphableModel) -> None:
        for yaw, near, far in ((65.0, LEFT_EYE, RIGHT_EYE), (-65.0, RIGHT_EYE, LEFT_EYE)):
            face = a_face(default_model, yaw=yaw)
            image = marked(skin(), default_model, face, far, MAGENTA)
            assert count_of(MAGENTA, on_black(drawn(watermelon, face, image))) == 0
            image = marked(skin(), default_model, face, near, BLUE)
            assert count_of(BLUE, on_black(drawn(watermelon, face, image))) > 20

    def test_from_behind_there_is_no_face(self, watermelon: Watermelon, default_model: MorphableModel) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
        face = a_face(default_model, yaw=180.0)
        np.testing.assert_array_equal(
            drawn(watermelon, face, noise).pixels, drawn(watermelon, face, 255 - noise).pixels
        )


class TestSeveral:
    def test_the_nearer_one_hides_the_farther_in_whatever_order_they_come(
        self, watermelon: Watermelon, default_model: MorphableModel
    ) -> None:
        near = a_face(default_model, face_id=1, scale=0.9, at=(360, 250))
        far = a_face(default_model, face_id=2, scale=0.6, at=(290, 250))
        alone = drawn(watermelon, near, skin())
        covered = alone.pixels[..., 3] == 255
        for faces in ([near, far], [far, near]):
            picture = skin()
            layers = watermelon.draw(faces, IMAGE_SIZE, skin())
            assert len(layers) == 2
            for layer in layers:
                layer.over(picture)
            np.testing.assert_array_equal(
                picture[alone.rectangle.rows_and_columns][covered], alone.pixels[covered][:, :3]
            )

    def test_one_outside_the_picture_gives_no_layer(
        self, watermelon: Watermelon, default_model: MorphableModel
    ) -> None:
        inside, outside = a_face(default_model), a_face(default_model, face_id=2, at=(2000, 250))
        assert len(watermelon.draw([inside, outside], IMAGE_SIZE, skin())) == 1
        assert not watermelon.draw([], IMAGE_SIZE, skin())

    def test_one_at_the_border_is_cut_there(self, watermelon: Watermelon, default_model: MorphableModel) -> None:
        for x in (0, 20, 620):
            rectangle = drawn(watermelon, a_face(default_model, at=(x, 470)), skin()).rectangle
            assert 0 <= rectangle.left < rectangle.right <= 640
            assert rectangle.bottom == 480


class TestUse:
    def test_it_needs_the_image(self, watermelon: Watermelon, default_model: MorphableModel) -> None:
        assert watermelon.needs_image
        with pytest.raises(Face3DMMError, match="needs the camera's image"):
            watermelon.draw([a_face(default_model)], IMAGE_SIZE, None)

    def test_the_image_must_be_the_one_that_the_faces_were_found_in(
        self, watermelon: Watermelon, default_model: MorphableModel
    ) -> None:
        for image in (skin()[:240], skin()[..., 0], skin().astype(np.float32)):
            with pytest.raises(Face3DMMError, match=r"expected a \(480, 640, 3\) uint8 BGR image"):
                watermelon.draw([a_face(default_model)], IMAGE_SIZE, image)

    def test_the_image_stays_as_it_is_and_may_be_a_view(
        self, watermelon: Watermelon, default_model: MorphableModel
    ) -> None:
        image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)[:, ::-1]
        image.flags.writeable = False
        here = drawn(watermelon, a_face(default_model), image).pixels
        np.testing.assert_array_equal(
            here, drawn(watermelon, a_face(default_model), np.ascontiguousarray(image)).pixels
        )

    def test_faces_of_another_model_are_refused(self, watermelon: Watermelon, default_model: MorphableModel) -> None:
        face = a_face(default_model)
        parameters = FaceParameters(face.parameters.camera, np.zeros(0), np.zeros(0), "x", "0" * 64, "", 0, 1, (1, 1))
        with pytest.raises(Face3DMMError, match="use the same model everywhere"):
            watermelon.draw([AvatarFace(1, parameters, face.weights)], IMAGE_SIZE, skin())

    def test_a_camera_that_is_not_finite_is_refused(
        self, watermelon: Watermelon, default_model: MorphableModel
    ) -> None:
        with pytest.raises(Face3DMMError, match="not finite"):
            watermelon.draw([a_face(default_model, at=(np.nan, 0))], IMAGE_SIZE, skin())

    def test_the_same_face_and_image_give_the_same_picture(
        self, watermelon: Watermelon, default_model: MorphableModel
    ) -> None:
        first = drawn(watermelon, a_face(default_model), skin()).pixels
        drawn(watermelon, a_face(default_model, yaw=40, scale=1.5), skin(MAGENTA))
        np.testing.assert_array_equal(drawn(watermelon, a_face(default_model), skin()).pixels, first)

    def test_a_closed_one_says_so(self, default_model: MorphableModel) -> None:
        avatar = open_watermelon(default_model)
        avatar.close()
        avatar.close()
        with pytest.raises(Face3DMMError, match="closed"):
            avatar.draw([], IMAGE_SIZE, skin())
