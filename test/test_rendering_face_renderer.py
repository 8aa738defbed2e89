import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_vector
from face3dmm_ros.rendering import face_renderer, offscreen, software_canvas
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from face3dmm_ros.rendering.lighting import Lighting
from face3dmm_ros.rendering.offscreen import SOFTWARE

GOLDEN = Path(__file__).parent / "golden"
UNLIT = Lighting(ambient=(1.0, 1.0, 1.0), color=(0.0, 0.0, 0.0))
SQUARE = np.array([[0, 1, 2], [0, 2, 3]])  # counter-clockwise seen from +z


class OpenRenderer(Protocol):
    def __call__(
        self,
        triangles: NDArray[np.integer],
        lighting: Lighting | None = None,
        opacity: NDArray[np.floating] | None = None,
    ) -> FaceRenderer: ...


@pytest.fixture(scope="module", params=["opengl", SOFTWARE])
def open_renderer(request: pytest.FixtureRequest) -> OpenRenderer:
    """Makes renderers, with OpenGL and without: what is told here of the pictures holds for both."""

    def open_one(
        triangles: NDArray[np.integer],
        lighting: Lighting | None = None,
        opacity: NDArray[np.floating] | None = None,
    ) -> FaceRenderer:
        return FaceRenderer(triangles, opacity=opacity, lighting=lighting, platform=platform)

    platform = request.param
    if platform != SOFTWARE:
        try:
            platform = offscreen.choose_platform(offscreen.PLATFORMS)
        except offscreen.NoOpenGLError as error:
            pytest.skip(f"no OpenGL here: {error}")
    return open_one


@pytest.fixture(scope="module")
def square_renderer(open_renderer: OpenRenderer) -> Iterator[FaceRenderer]:
    with open_renderer(SQUARE, UNLIT) as renderer:
        yield renderer


@pytest.fixture(autouse=True)
def _unlit(square_renderer: FaceRenderer) -> None:
    square_renderer.lighting = UNLIT


def frontal(scale: float = 1.0, x: float = 0.0, y: float = 0.0) -> WeakPerspective:
    return WeakPerspective(scale, FRONTAL, np.array([x, y]))


def square(camera: WeakPerspective, *, side: float = 20.0, rgb: tuple[int, int, int] = (200, 100, 50)) -> PosedFace:
    """A square in the model's xy plane, mm, around its origin, that looks along +z."""
    half = side / 2
    corners = np.float32([[-half, -half, 0], [half, -half, 0], [half, half, 0], [-half, half, 0]])
    return PosedFace(corners, np.float32([[0, 0, 1]] * 4), np.array([rgb] * 4, np.uint8), camera)


def egg(columns: int = 48, rows: int = 24) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Vertices (mm), normals and triangles of a head-sized ellipsoid that is open at the top and the bottom."""
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, columns, endpoint=False), np.linspace(0.2 * np.pi, 0.85 * np.pi, rows))
    sphere = np.stack([np.sin(v) * np.sin(u), np.cos(v), np.sin(v) * np.cos(u)], axis=-1).reshape(-1, 3)
    radii = np.array([75.0, 105.0, 90.0])
    normals = sphere / radii
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    upper_left = (np.arange(rows - 1)[:, None] * columns + np.arange(columns)).ravel()
    upper_right = (np.arange(rows - 1)[:, None] * columns + (np.arange(columns) + 1) % columns).ravel()
    lower_left, lower_right = upper_left + columns, upper_right + columns
    first = np.stack([upper_left, lower_left, upper_right], axis=1)
    second = np.stack([upper_right, lower_left, lower_right], axis=1)
    triangles = np.concatenate([first, second]).astype(np.int32)
    return (sphere * radii).astype(np.float32), normals.astype(np.float32), triangles


def egg_face(camera: WeakPerspective) -> tuple[PosedFace, NDArray[np.int32]]:
    vertices, normals, triangles = egg()
    rgb = np.tile(np.uint8([210, 160, 140]), (len(vertices), 1))
    rgb[vertices[:, 0] > 0] = [150, 170, 210]
    return PosedFace(vertices, normals, rgb, camera), triangles


def encoded(linear: float) -> float:
    """sRGB, 0 to 255, of linear light."""
    return 255.0 * (12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055)


def decoded(srgb: float) -> float:
    """Linear light of sRGB, 0 to 255."""
    return srgb / 255 / 12.92 if srgb / 255 <= 0.04045 else ((srgb / 255 + 0.055) / 1.055) ** 2.4


class TestGeometry:
    def test_the_origin_is_the_centre_of_the_top_left_pixel(self, square_renderer: FaceRenderer) -> None:
        picture = square_renderer.render((8, 6), [square(frontal(1.0, 0.0, 0.0), side=1.0)])
        assert picture[0, 0, 3] == 255
        assert np.count_nonzero(picture[..., 3]) == 1

    def test_the_last_pixel_is_one_less_than_the_size(self, square_renderer: FaceRenderer) -> None:
        picture = square_renderer.render((8, 6), [square(frontal(1.0, 7.0, 5.0), side=1.0)])
        assert picture[5, 7, 3] == 255
        assert np.count_nonzero(picture[..., 3]) == 1

    @pytest.mark.parametrize("image_size", [(640, 480), (176, 144), (33, 257)])
    def test_what_is_drawn_lies_where_the_camera_projects_it(
        self, square_renderer: FaceRenderer, image_size: tuple[int, int]
    ) -> None:
        rng = np.random.default_rng(1)
        for _ in range(10):
            rotation = FRONTAL @ rotation_from_vector(rng.uniform(-0.6, 0.6, 3))
            camera = WeakPerspective(rng.uniform(0.8, 1.2), rotation, rng.uniform(14, np.array(image_size) - 15))
            face = square(camera, side=12.0)
            alpha = square_renderer.render(image_size, [face])[..., 3].astype(float)
            y, x = np.indices(alpha.shape)
            drawn = np.array([(alpha * x).sum(), (alpha * y).sum()]) / alpha.sum()
            assert np.abs(drawn - camera.project(face.vertices).mean(axis=0)).max() < 0.1

    def test_up_in_the_model_is_up_in_the_image_and_its_left_side_is_on_the_right(
        self, square_renderer: FaceRenderer
    ) -> None:
        face = square(frontal(1.0, 20.0, 20.0), side=20.0)
        face.rgb[:] = np.uint8([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]])
        picture = square_renderer.render((41, 41), [face])
        assert picture[28, 12, :3].argmax() == 0  # (−x, −y): below, on the left
        assert picture[28, 28, :3].argmax() == 1  # (+x, −y): below, on the right
        assert picture[12, 28, :3].argmax() == 2  # (+x, +y): above, on the right

    def test_a_nearer_part_hides_one_behind_it_in_whatever_order_they_come(self, open_renderer: OpenRenderer) -> None:
        far, near = square(frontal(1.0, 15.0, 15.0)), square(frontal(1.0, 15.0, 15.0), rgb=(0, 0, 255))
        vertices = np.concatenate([near.vertices + np.float32([0, 0, 9]), far.vertices])
        normals, rgb = np.concatenate([near.normals, far.normals]), np.concatenate([near.rgb, far.rgb])
        for triangles in (np.concatenate([SQUARE, SQUARE + 4]), np.concatenate([SQUARE + 4, SQUARE])):
            with open_renderer(triangles, UNLIT) as renderer:
                picture = renderer.render((31, 31), [PosedFace(vertices, normals, rgb, far.camera)])
            assert tuple(picture[15, 15]) == (0, 0, 255, 255)

    def test_a_face_with_the_larger_scale_hides_one_with_the_smaller(self, square_renderer: FaceRenderer) -> None:
        near, far = square(frontal(1.0, 20.0, 15.0), rgb=(0, 0, 255)), square(frontal(0.8, 15.0, 15.0))
        for faces in ([near, far], [far, near]):
            picture = square_renderer.render((41, 31), faces)
            assert tuple(picture[15, 15, :3]) == (0, 0, 255)
            assert tuple(picture[15, 8, :3]) == (200, 100, 50)

    def test_a_face_cut_by_the_border_is_drawn_as_far_as_it_reaches(self, square_renderer: FaceRenderer) -> None:
        whole = square_renderer.render((60, 60), [square(frontal(1.0, 30.5, 30.5))])
        cut = square_renderer.render((30, 30), [square(frontal(1.0, 0.5, 0.5))])
        np.testing.assert_array_equal(cut, whole[30:, 30:])

    def test_a_face_outside_the_image_is_not_drawn(self, square_renderer: FaceRenderer) -> None:
        for x, y in ((-40, 10), (80, 10), (10, -40), (10, 1e12)):
            assert not square_renderer.render((40, 40), [square(frontal(1.0, x, y))]).any()

    def test_a_face_larger_than_the_image_fills_it(self, square_renderer: FaceRenderer) -> None:
        assert (square_renderer.render((50, 40), [square(frontal(100.0, 25.0, 20.0))])[..., 3] == 255).all()

    def test_the_image_size_may_change_between_frames(self, square_renderer: FaceRenderer) -> None:
        for size in ((40, 30), (1280, 720), (64, 64), (40, 30)):
            face = square(frontal(size[1] / 40, size[0] / 2, size[1] / 2))
            picture = square_renderer.render(size, [face])
            assert picture.shape == (size[1], size[0], 4)
            assert picture[size[1] // 2, size[0] // 2, 3] == 255

    def test_an_image_too_large_for_opengl_is_no_trouble_where_the_face_is_small(
        self, square_renderer: FaceRenderer
    ) -> None:
        assert square_renderer.render((40000, 20), [square(frontal(0.5, 39000.0, 10.0))])[10, 39000, 3] == 255

    def test_without_faces_there_is_nothing(self, square_renderer: FaceRenderer) -> None:
        assert not square_renderer.render((20, 10), []).any()


class TestOverlay:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)

    def test_pixels_without_a_face_are_untouched_and_so_is_the_image_given(self, square_renderer: FaceRenderer) -> None:
        before = self.image.copy()
        for view in face_renderer.VIEWS:
            face = square(frontal(1.0, 40.3, 30.2))
            drawn = square_renderer.overlay(self.image, [face], view=view)
            covered = square_renderer.render((80, 60), [face], view=view)[..., 3] > 0
            np.testing.assert_array_equal(drawn[~covered], self.image[~covered])
            assert (drawn[covered] != self.image[covered]).any()
        np.testing.assert_array_equal(self.image, before)

    @pytest.mark.parametrize("opacity", [0.0, 0.3, 0.7, 1.0])
    def test_opacity_mixes_the_face_with_the_image(self, square_renderer: FaceRenderer, opacity: float) -> None:
        drawn = square_renderer.overlay(self.image, [square(frontal(1.0, 40.0, 30.0))], opacity=opacity)
        inside = np.s_[25:35, 35:45]
        expected = opacity * np.array([50.0, 100.0, 200.0]) + (1 - opacity) * self.image[inside]
        assert np.abs(drawn[inside] - expected).max() <= 1.5

    @pytest.mark.parametrize("scale", [1.0, 20.0])
    def test_a_face_fades_by_its_vertices_opacities(self, open_renderer: OpenRenderer, scale: float) -> None:
        size = round(40 * scale)
        face = square(frontal(scale, size / 2, size / 2), rgb=(200, 200, 200))
        black = np.zeros((size, size, 3), np.uint8)
        with open_renderer(SQUARE, UNLIT, np.array([0.0, 1.0, 1.0, 0.0])) as renderer:
            row = renderer.overlay(black, [face], opacity=1.0)[size // 2, :, 0]
        share = (np.arange(size) - size / 2) / (20.0 * scale) + 0.5
        inside = (share > 0.06) & (share < 0.94)
        assert np.abs(row[inside] - 200.0 * share[inside]).max() < 3.0
        assert not row[share < -0.06].any()

    @pytest.mark.parametrize("view", face_renderer.VIEWS)
    def test_what_does_not_show_of_a_face_leaves_the_image_as_it_is(
        self, open_renderer: OpenRenderer, view: str
    ) -> None:
        face, triangles = egg_face(frontal(1.0, 150.0, 160.0))
        image = np.random.default_rng(0).integers(0, 256, (320, 300, 3), np.uint8)
        with open_renderer(triangles, UNLIT, face.vertices[:, 1] < 0.0) as renderer:
            below, whole = (renderer.overlay(image, [face], view=view, extent=extent) for extent in ("face", "head"))
        changed = (below != image).any(axis=2)
        assert not changed[:140].any()
        assert changed[180:250, 100:200].any()
        assert (whole != image).any(axis=2)[100:140].any()

    def test_a_head_hides_what_lies_behind_it_also_where_it_does_not_show(self, open_renderer: OpenRenderer) -> None:
        near, far = square(frontal(1.0, 40.0, 30.0)), square(frontal(0.9, 32.0, 30.0))
        with open_renderer(SQUARE, UNLIT, np.array([0.0, 1.0, 1.0, 0.0])) as renderer:
            drawn = renderer.overlay(self.image, [near, far], opacity=1.0)
            alone = renderer.overlay(self.image, [near], opacity=1.0)
        np.testing.assert_array_equal(drawn[25:35, 32:48], alone[25:35, 32:48])

    def test_without_opacities_all_of_a_face_shows(self, square_renderer: FaceRenderer) -> None:
        face = square(frontal(1.0, 40.0, 30.0))
        drawn = [square_renderer.overlay(self.image, [face], extent=extent) for extent in ("face", "head")]
        np.testing.assert_array_equal(*drawn)

    def test_a_small_face_has_smooth_edges(self, square_renderer: FaceRenderer) -> None:
        black = np.zeros((40, 40, 3), np.uint8)
        face = square(frontal(1.0, 20.25, 20.0), rgb=(200, 200, 200))
        drawn = square_renderer.overlay(black, [face], opacity=1.0)
        # Its left edge lies at 10.25, so it covers a quarter of pixel 10.
        assert drawn[20, 10, 0] == pytest.approx(50, abs=2)

    def test_a_large_face_has_edges_that_fade_inwards(self, square_renderer: FaceRenderer) -> None:
        alpha = square_renderer.render((500, 500), [square(frontal(20.0, 250.0, 250.0))])[..., 3]
        middle_row = alpha[250]
        assert 0 < middle_row[middle_row > 0][0] < 255
        assert (middle_row[60:440] == 255).all()

    def test_views_of_an_image_and_read_only_images_are_accepted(self, square_renderer: FaceRenderer) -> None:
        face = square(frontal(1.0, 20.0, 20.0))
        flipped = self.image[:, ::-1]
        flipped.flags.writeable = False
        drawn = square_renderer.overlay(flipped, [face])
        np.testing.assert_array_equal(drawn, square_renderer.overlay(np.ascontiguousarray(flipped), [face]))

    def test_without_faces_the_result_is_a_copy(self, square_renderer: FaceRenderer) -> None:
        drawn = square_renderer.overlay(self.image, [])
        np.testing.assert_array_equal(drawn, self.image)
        assert not np.shares_memory(drawn, self.image)

    def test_the_wireframe_shows_the_edges_and_not_what_they_enclose(self, square_renderer: FaceRenderer) -> None:
        wires = square_renderer.render((500, 500), [square(frontal(20.0, 250.0, 250.0))], view="wireframe")[..., 3]
        assert wires[150, 300] == wires[350, 200] == 0  # inside the two triangles
        assert wires[248:253, 250].any()  # the diagonal
        assert wires[300, 49:52].any()  # the left side

    def test_the_wireframe_hides_what_the_surface_hides(self, open_renderer: OpenRenderer) -> None:
        face, triangles = egg_face(frontal(1.5, 150.0, 160.0))
        with open_renderer(triangles) as renderer:
            shown = renderer.render((300, 320), [face], view="wireframe")[..., 3] > 0
        # Seen through, the back's edges would lie between the front's and fill the middle.
        assert 0.1 < shown[120:200, 110:190].mean() < 0.75

    def test_a_cartoon_has_a_dark_outline_around_the_face(self, open_renderer: OpenRenderer) -> None:
        face, triangles = egg_face(frontal(2.0, 200.0, 230.0))
        with open_renderer(triangles) as renderer:
            surface = renderer.render((400, 460), [face])[230]
            cartoon = renderer.render((400, 460), [face], view="toon")[230]
        added = np.flatnonzero((cartoon[:, 3] == 255) & (surface[:, 3] == 0))
        assert 2 <= np.count_nonzero(added < 200) <= 4
        assert 2 <= np.count_nonzero(added > 200) <= 4
        assert (cartoon[added, :3] < 60).all()

    def test_a_cartoon_shows_a_colour_in_few_tones(self, open_renderer: OpenRenderer) -> None:
        face, triangles = egg_face(frontal(2.0, 200.0, 230.0))
        face.rgb[:] = (190, 150, 130)
        tones = {}
        with open_renderer(triangles) as renderer:
            for view in ("shaded", "toon"):
                middle = renderer.render((400, 460), [face], view=view)[100:360, 70:330, 0]
                counts = np.bincount(middle.ravel(), minlength=256)
                tones[view] = np.sort(counts)[-3:].sum() / counts.sum()
        assert tones["shaded"] < 0.2
        assert tones["toon"] > 0.7


class TestLight:
    """A square that looks along z, lit so that each term can be told."""

    @staticmethod
    def shade(renderer: FaceRenderer, lighting: Lighting, *, rgb: int = 128, turn: float = 0.0) -> float:
        """sRGB, 0 to 255, of the middle of the square turned about the vertical axis."""
        renderer.lighting = lighting
        camera = WeakPerspective(1.0, FRONTAL @ rotation_from_vector([0.0, turn, 0.0]), np.array([15.0, 15.0]))
        return float(renderer.render((31, 31), [square(camera, rgb=(rgb, rgb, rgb))])[15, 15, 0])

    def test_full_ambient_light_gives_back_the_vertex_colours(self, square_renderer: FaceRenderer) -> None:
        for level in (0, 3, 10, 77, 128, 200, 255):
            assert self.shade(square_renderer, UNLIT, rgb=level) == pytest.approx(level, abs=1)

    def test_lambert_follows_the_cosine_in_linear_light(self, square_renderer: FaceRenderer) -> None:
        for degrees in (0, 30, 60, 85):
            angle = np.radians(degrees)
            light = Lighting((-np.sin(angle), 0.0, -np.cos(angle)), (1, 1, 1), (0, 0, 0), specular=0.0, diffuse=0.8)
            expected = encoded(0.8 * np.cos(angle) * decoded(128))
            assert self.shade(square_renderer, light) == pytest.approx(expected, abs=1.5)

    def test_light_from_behind_leaves_only_the_ambient(self, square_renderer: FaceRenderer) -> None:
        light = Lighting((0.1, 0.0, 1.0), (1, 1, 1), (0.2, 0.2, 0.2), specular=1.0, shininess=0.0)
        assert self.shade(square_renderer, light) == pytest.approx(encoded(0.2 * decoded(128)), abs=1.5)

    @pytest.mark.parametrize(("model", "share_of_angle"), [("blinn-phong", 0.5), ("phong", 1.0)])
    def test_the_highlight_follows_its_models_cosine(
        self, square_renderer: FaceRenderer, model: str, share_of_angle: float
    ) -> None:
        for degrees in (0, 20, 40):
            angle = np.radians(degrees)
            direction = (-np.sin(angle), 0.0, -np.cos(angle))
            light = Lighting(direction, (1, 1, 1), (0, 0, 0), 0.0, 0.5, 10.0, model=model)
            # The halfway vector is half as far from the normal as the mirrored light is from the viewer.
            expected = encoded(0.5 * np.cos(share_of_angle * angle) ** 10)
            assert self.shade(square_renderer, light, rgb=0) == pytest.approx(expected, abs=1.5)

    def test_a_back_shows_the_light_that_shines_through_and_no_highlight(self, square_renderer: FaceRenderer) -> None:
        light = Lighting((0, 0, 1), (1, 1, 1), (0, 0, 0), 1.0, 1.0, 1.0, transmission=0.4)
        seen_from_behind = self.shade(square_renderer, light, turn=np.pi)
        assert seen_from_behind == pytest.approx(encoded(0.4 * decoded(128)), abs=1.5)

    def test_light_has_a_colour(self, square_renderer: FaceRenderer) -> None:
        square_renderer.lighting = Lighting((0, 0, -1), (1.0, 0.5, 0.0), (0, 0, 0), specular=0.0)
        pixel = square_renderer.render((31, 31), [square(frontal(1.0, 15.0, 15.0), rgb=(128, 128, 128))])[15, 15]
        expected = [128, encoded(0.5 * decoded(128)), 0]
        assert pixel[:3].tolist() == pytest.approx(expected, abs=1.5)

    def test_small_triangles_look_the_same_lit_at_their_vertices(
        self, monkeypatch: pytest.MonkeyPatch, open_renderer: OpenRenderer
    ) -> None:
        face, triangles = egg_face(
            WeakPerspective(1.0, FRONTAL @ rotation_from_vector([0.5, 0.4, 0]), np.array([120, 125]))
        )
        pictures = []
        for limit in (0, 10**9):
            monkeypatch.setattr(face_renderer, "_PER_PIXEL_TRIANGLE", limit)
            with open_renderer(triangles) as renderer:
                pictures.append(renderer.render((240, 250), [face]).astype(float))
        assert np.abs(pictures[0] - pictures[1]).mean() < 0.5


def test_a_large_face_is_the_same_drawn_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    face, triangles = egg_face(
        WeakPerspective(2.0, FRONTAL @ rotation_from_vector([0.5, 0.4, 0]), np.array([240, 250]))
    )
    monkeypatch.setattr(software_canvas.os, "sched_getaffinity", lambda _: set(range(5)))
    pictures = []
    for limit in (10**9, 20_000):
        monkeypatch.setattr(software_canvas, "_BAND_PIXELS", limit)
        with FaceRenderer(triangles, platform=SOFTWARE) as renderer:
            pictures.append(renderer.render((480, 500), [face]))
    np.testing.assert_array_equal(*pictures)


class TestGoldenPictures:
    """Made with FACE3DMM_UPDATE_GOLDEN=1, and looked at before they are kept."""

    @pytest.mark.parametrize(
        ("name", "turn", "lighting", "view"),
        [
            ("egg_blinn_phong", (0.25, 0.4, 0.0), Lighting(specular=0.5, shininess=20.0), "shaded"),
            ("egg_phong", (0.25, 0.4, 0.0), Lighting(specular=0.5, shininess=20.0, model="phong"), "shaded"),
            ("egg_into", (1.2, 0.0, 0.0), Lighting(direction=(-0.5, -0.3, 0.8), transmission=0.8), "shaded"),
            ("egg_wireframe", (0.25, 0.4, 0.0), Lighting(), "wireframe"),
            ("egg_toon", (0.25, 0.4, 0.0), Lighting(direction=(-0.8, -0.5, -1.0)), "toon"),
        ],
    )
    def test_egg(
        self, name: str, turn: tuple[float, float, float], lighting: Lighting, view: str, open_renderer: OpenRenderer
    ) -> None:
        camera = WeakPerspective(0.55, FRONTAL @ rotation_from_vector(turn), np.array([60.0, 64.0]))
        face, triangles = egg_face(camera)
        background = np.full((128, 120, 3), 60, np.uint8)
        background[:, ::12] = 110
        with open_renderer(triangles, lighting) as renderer:
            drawn = renderer.overlay(background, [face], opacity=0.9, view=view)
        path = GOLDEN / f"{name}.png"
        if os.environ.get("FACE3DMM_UPDATE_GOLDEN"):
            cv2.imwrite(str(path), drawn)
        difference = np.abs(drawn.astype(int) - cv2.imread(str(path)))
        assert difference.mean() < 1.0
        assert np.percentile(difference, 99) < 16


class TestUse:
    def test_any_thread_may_draw(self, square_renderer: FaceRenderer) -> None:
        face = square(frontal(1.0, 20.0, 20.0))
        expected = square_renderer.render((40, 40), [face])
        failures = []

        def draw() -> None:
            for _ in range(20):
                if not np.array_equal(square_renderer.render((40, 40), [face]), expected):
                    failures.append(threading.get_ident())

        threads = [threading.Thread(target=draw) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures

    def test_two_renderers_live_side_by_side(self, square_renderer: FaceRenderer, open_renderer: OpenRenderer) -> None:
        face, triangles = egg_face(frontal(0.3, 40.0, 40.0))
        with open_renderer(triangles) as other:
            assert other.render((80, 80), [face])[40, 40, 3] == 255
        assert square_renderer.render((40, 40), [square(frontal(1.0, 20.0, 20.0))])[20, 20, 3] == 255

    def test_a_closed_renderer_says_so(self, open_renderer: OpenRenderer) -> None:
        renderer = open_renderer(SQUARE)
        renderer.close()
        renderer.close()
        with pytest.raises(Face3DMMError, match="closed"):
            renderer.render((10, 10), [])

    def test_triangles_must_be_triangles(self) -> None:
        for triangles in (np.zeros((0, 3), int), np.zeros((4, 2), int), np.zeros((2, 3)), np.array([[0, 1, -1]])):
            with pytest.raises(Face3DMMError, match="triangles"):
                FaceRenderer(triangles)

    def test_opacities_must_be_those_of_the_vertices(self) -> None:
        for opacity in (np.ones(3), np.ones((4, 1)), np.zeros(4), np.full(4, 1.5), np.full(4, np.nan)):
            with pytest.raises(Face3DMMError, match="opacity must"):
                FaceRenderer(SQUARE, opacity=opacity)

    def test_arrays_that_do_not_fit_are_refused(self, square_renderer: FaceRenderer) -> None:
        good = square(frontal())
        three = slice(0, 3)
        for bad, reason in (
            (PosedFace(good.vertices[three], good.normals[three], good.rgb[three], good.camera), "4 vertices"),
            (PosedFace(good.vertices, good.normals[three], good.rgb, good.camera), "per vertex"),
            (PosedFace(good.vertices, good.normals, good.rgb.astype(float), good.camera), "uint8"),
            (PosedFace(good.vertices * np.nan, good.normals, good.rgb, good.camera), "not finite"),
            (PosedFace(good.vertices, good.normals, good.rgb, frontal(1.0, np.inf)), "not finite"),
        ):
            with pytest.raises(Face3DMMError, match=reason):
                square_renderer.render((20, 20), [bad])

    def test_impossible_requests_are_refused(self, square_renderer: FaceRenderer) -> None:
        image = np.zeros((20, 20, 3), np.uint8)
        for call, reason in (
            (lambda: square_renderer.render((0, 20), []), "positive width"),
            (lambda: square_renderer.render((20, 20), [], view="sketch"), "unknown view 'sketch'"),
            (lambda: square_renderer.overlay(image, [], opacity=1.5), "opacity"),
            (
                lambda: square_renderer.overlay(image, [], extent="hat"),
                "unknown extent 'hat': choose one of",
            ),
            (lambda: square_renderer.overlay(image, [], opacity=float("nan")), "opacity"),
            (lambda: square_renderer.overlay(image[..., 0], []), "BGR"),
            (lambda: square_renderer.overlay(image.astype(float), []), "BGR"),
        ):
            with pytest.raises(Face3DMMError, match=reason):
                call()
