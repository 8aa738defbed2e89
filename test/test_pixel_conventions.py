"""(0, 0) is the centre of an image's top-left pixel, everywhere: its left edge is x = −0.5, its right one width − 0.5.

Detectors, thumbnails, crops, textures and OpenGL count from the corner; where the one becomes the other, half a pixel
is at stake, which no picture shows and every fit feels.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective, view_to_clip
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.values import Box, Landmarks
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions, place_face
from face3dmm_ros.lab.synthesis.scene import Scene
from face3dmm_ros.lab.synthesis.scene_renderer import RenderedScene
from face3dmm_ros.landmarks.appearance import lightness_at
from face3dmm_ros.landmarks.backend import Detection, LandmarkBackend, LocatedFace
from face3dmm_ros.landmarks.blazeface import AnchorGrid, BlazeFace, anchor_centers
from face3dmm_ros.landmarks.colors import sample_colors
from face3dmm_ros.landmarks.dense_network import FEATURES, DenseNetwork
from face3dmm_ros.landmarks.dense_network import SIDE as DENSE_SIDE
from face3dmm_ros.landmarks.dlib_backend import _DETECTION_SIDE, DlibBackend
from face3dmm_ros.landmarks.locator import FaceLocator
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.schemes import SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.landmark_view import draw_landmarks
from face3dmm_ros.rendering.layer import Framing, Rectangle
from face3dmm_ros.rendering.rasterization import rasterize
from face3dmm_ros.rendering.texture import _spread, texture_fragments, unwrap
from face3dmm_ros.rendering.vertex_colors import sample_vertex_colors

WIDTH, HEIGHT = 40, 30
JUST_INSIDE = [(-0.4, 5.0), (5.0, -0.4), (WIDTH - 0.6, 5.0), (5.0, HEIGHT - 0.6)]
JUST_OUTSIDE = [(-0.6, 5.0), (5.0, -0.6), (WIDTH - 0.4, 5.0), (5.0, HEIGHT - 0.4)]
EDGES = [*((point, True) for point in JUST_INSIDE), *((point, False) for point in JUST_OUTSIDE)]


def ramp(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """An image whose channels are x, y and 200, so that each pixel tells where its centre is."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, 200)], axis=-1).astype(np.uint8)


class _Answers:
    """A network that always answers the same."""

    def __init__(self, side: int, *outputs: NDArray[np.float32]) -> None:
        self.side = side
        self._outputs = list(outputs)

    def run(self, picture: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        return self._outputs


@pytest.mark.parametrize("enlarged", [1, 3])
def test_blazefaces_first_cell_begins_at_the_images_corner(enlarged: int) -> None:
    """Of a network of 128 px in cells of 64 px, which answers: a face fills this cell; key points lie in its middle."""
    logits, answers = np.full(4, -50.0, np.float32), np.zeros((4, 16), np.float32)
    logits[0], answers[0, 2:4] = 50.0, 64.0
    finder = object.__new__(BlazeFace)
    finder._network, finder._min_logit = _Answers(128, logits, answers), 0.0
    finder._centers = anchor_centers(128, (AnchorGrid(64, 1),))
    found = finder.detect(np.zeros((128 * enlarged, 128 * enlarged, 3), np.uint8))
    edge = 64.0 * enlarged - 0.5
    np.testing.assert_allclose(found.boxes, [[-0.5, -0.5, edge, edge]])
    np.testing.assert_allclose(found.keypoints[0], np.full((6, 2), (edge - 0.5) / 2.0))


@pytest.mark.parametrize("mirrored", [False, True])
def test_what_the_dense_network_sees_in_its_middle_is_in_the_regions_middle(mirrored: bool) -> None:
    network = object.__new__(DenseNetwork)
    network._network = _Answers(DENSE_SIDE, np.zeros(4 * SKIN_COUNT, np.float32), np.zeros(FEATURES, np.float32))
    seen = network.locate_in_crop(
        np.zeros((DENSE_SIDE, DENSE_SIDE, 3), np.uint8),
        Region(70.25, 50.5, 640.0, 0.3),
        np.arange(SKIN_COUNT, dtype=np.int32) if mirrored else None,
    )
    np.testing.assert_allclose(seen.points, np.tile([70.25, 50.5], (SKIN_COUNT, 1)), atol=1e-3)
    np.testing.assert_allclose(seen.on_crop, (DENSE_SIDE - 1) / 2.0)


@dataclass
class _WholeThumbnail:
    """dlib's rectangle of a whole thumbnail of 4 : 3."""

    def left(self) -> int:
        return 0

    def top(self) -> int:
        return 0

    def width(self) -> int:
        return _DETECTION_SIDE

    def height(self) -> int:
        return _DETECTION_SIDE * 3 // 4


class _FindsAll:
    """A HOG detector to which everything is one face."""

    def run(self, *_: object) -> tuple[list[_WholeThumbnail], list[float], list[int]]:
        return [_WholeThumbnail()], [1.0], [0]


def test_a_face_that_fills_dlibs_thumbnail_fills_the_image_from_edge_to_edge() -> None:
    backend = object.__new__(DlibBackend)
    backend._detector = _FindsAll()
    (found,) = backend.detect(np.zeros((240, 320, 3), np.uint8))
    assert found.box == Box(-0.5, -0.5, 320.0, 240.0)
    assert (found.region.x, found.region.y) == (159.5, 119.5)


@dataclass
class _Point:
    x: int
    y: int


class _AlwaysTheMeanShape:
    """Regression trees that find no difference in any picture."""

    def __call__(self, *_: object) -> "_AlwaysTheMeanShape":
        return self

    def parts(self) -> list[_Point]:
        return [_Point(80 + 2 * k, 90 + (7 * k) % 100) for k in range(68)]


def test_a_face_that_dlib_sees_in_the_middle_of_its_crop_is_looked_for_there_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dlib = pytest.importorskip("dlib", reason="needs dlib")
    monkeypatch.setattr(dlib, "shape_predictor", lambda _: _AlwaysTheMeanShape())
    trees = tmp_path / "trees.dat"
    trees.write_bytes(b"stands for trees")
    region = Region(300.0, 200.0, 1280.0)
    again = DlibBackend(str(trees)).locate(np.zeros((400, 600, 3), np.uint8), region).region
    assert (again.x, again.y) == pytest.approx((300.0, 200.0), abs=1e-6)


@dataclass
class _SeesPoints(LandmarkBackend):
    """A backend that sees the same points wherever it looks, and would look there again."""

    points: NDArray[np.float32]
    scheme: str = "ibug68"

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        return []

    def locate(self, image: NDArray[np.uint8], region: Region, before: LocatedFace | None = None) -> LocatedFace:
        size = image.shape[1], image.shape[0]
        return LocatedFace(Landmarks(self.scheme, self.points, Box(0, 0, 1, 1), 1.0, size), region)


@pytest.mark.parametrize(("point", "inside"), EDGES)
def test_a_face_with_half_its_points_on_the_images_pixels_is_one(point: tuple[float, float], inside: bool) -> None:
    backend = _SeesPoints(np.float32([point, (-20.0, -20.0)]))
    face = FaceLocator(backend, 0.5).near(ramp(), Region(15.0, 15.0, 20.0))
    assert (face is not None) == inside


@pytest.mark.parametrize(("point", "inside"), EDGES)
def test_colours_at_landmarks_are_those_of_the_images_pixels(point: tuple[float, float], inside: bool) -> None:
    color = sample_colors(ramp(), np.array([point, (20.0, 15.0)]))[0]
    assert color.any() == inside, "black stands for outside"


@pytest.mark.parametrize(("point", "inside"), EDGES)
def test_a_vertex_takes_its_colour_from_the_images_pixels(point: tuple[float, float], inside: bool) -> None:
    fallback = np.full((1, 3), 99, np.uint8)
    color = sample_vertex_colors(ramp(), [point], [1.0], fallback)[0]
    x, y = np.clip(point, 0.0, (WIDTH - 1, HEIGHT - 1))
    np.testing.assert_array_equal(color, [200, np.round(y), np.round(x)] if inside else fallback[0])


def test_lightness_at_a_point_is_that_of_the_pixel_that_holds_it() -> None:
    lightness = ramp()
    lightness[..., 1] = lightness[..., 0]
    points = np.float32([(6.6, 3.0), (7.4, 3.0), (-0.4, 3.0), (WIDTH - 0.6, 3.0)])
    np.testing.assert_array_equal(lightness_at(lightness, points, 1), [7.0, 7.0, 0.0, WIDTH - 1])


def test_a_drawn_landmark_is_centred_on_its_pixel() -> None:
    landmark = Landmarks("other", np.float32([(12, 9)]), Box(0, 0, WIDTH, HEIGHT), 1.0, (WIDTH, HEIGHT))
    drawn = draw_landmarks(np.zeros((HEIGHT, WIDTH, 3), np.uint8), [landmark])[..., 1].astype(float)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    assert (drawn * x).sum() / drawn.sum() == pytest.approx(12.0, abs=0.1)
    assert (drawn * y).sum() / drawn.sum() == pytest.approx(9.0, abs=0.1)


def test_a_pixel_sees_what_lies_under_its_centre() -> None:
    """A triangle over the centres of pixels (1, 1) and (2, 1) and of no other."""
    points = np.array([[0.9, 0.9], [2.3, 0.9], [0.9, 1.9]])
    fragments = rasterize(points, np.zeros(3), np.array([[0, 1, 2]]), (5, 4))
    seen = np.argwhere(fragments.triangle >= 0)
    assert seen.tolist() == [[1, 1], [1, 2]]
    np.testing.assert_allclose(fragments.weights[tuple(seen.T)] @ points, seen[:, ::-1], atol=1e-6)


def test_a_part_of_a_canvas_begins_at_its_first_pixels_edge() -> None:
    rectangle = Rectangle(8, 6, 24, 18)
    to_canvas = Framing(rectangle, (WIDTH, HEIGHT), 1).clip_to_canvas() @ view_to_clip((WIDTH, HEIGHT), 1.0)
    # The world's y points up.
    corners = np.array([[7.5, -5.5, 0.0, 1.0], [23.5, -17.5, 0.0, 1.0]])
    np.testing.assert_allclose((corners @ to_canvas.T)[:, :2], [[-1.0, -1.0], [1.0, 1.0]], atol=1e-12)


def test_a_texels_place_is_its_middle(default_model: MorphableModel) -> None:
    """u and v count from the texture's corner, so texel k shows u = (k + 0.5) / size."""
    size, unwrapping = 64, unwrap(default_model)
    place = np.zeros((default_model.vertex_count, 2), np.float32)
    place[unwrapping.vertices] = unwrapping.uv
    fragments = texture_fragments(default_model, unwrapping, size)
    texels, covered = _spread(default_model, fragments, place), fragments.triangle >= 0
    # In front, far from seams; where charts meet, a vertex has another place as well.
    rows, columns = (part.ravel() for part in np.mgrid[16:40, 20:44])
    assert covered[rows, columns].all()
    off = texels[rows, columns] * size - (np.column_stack([columns, rows]) + 0.5)
    np.testing.assert_allclose(np.median(off, axis=0), 0.0, atol=0.01)


def test_a_random_face_is_placed_about_the_middle_of_the_images_pixels() -> None:
    options = SceneOptions(image_size=(101, 81), off_center=0.0)
    camera = place_face(np.random.default_rng(0), FRONTAL, options)
    center = camera.project(np.array([[0.0, -40.0, -15.0]]))[0]
    np.testing.assert_allclose(center, [50.0, 40.0 + 0.04 * 81])


def one_point_seen_at(model: MorphableModel, point: tuple[float, float], depth: NDArray[np.float32]) -> bool:
    """Whether a rendered picture whose depth buffer is given shows the tip of the nose, which lies at a point, px."""
    tip = model.scheme("ibug68").at(np.array([30]))
    camera = WeakPerspective(1.0, FRONTAL, np.zeros(2))
    vertices = model.mean
    camera = replace(camera, translation=np.array(point) - camera.project(tip.interpolate(vertices))[0])
    neutral = np.zeros(model.shape_count), np.zeros(model.expression_count), np.zeros(len(model.albedo_sigma))
    scene = Scene((WIDTH, HEIGHT), camera, *neutral)
    to_clip = np.diag([1.0, -1.0, 1.0, 1.0]) @ view_to_clip((WIDTH, HEIGHT), 700.0) @ np.eye(4)
    world = np.eye(4)
    world[:2, 3] = camera.translation * [1.0, -1.0]
    normals = np.tile(np.float32([0.0, 0.0, 1.0]), (model.vertex_count, 1))
    rendered = RenderedScene(scene, ramp(), vertices, normals, model, to_clip @ world, depth)
    np.testing.assert_allclose(rendered.points(tip)[0, :2], point, atol=1e-4)
    return bool(rendered.visibility(tip)[0])


@pytest.mark.parametrize(("point", "inside"), EDGES)
def test_the_truth_shows_what_lies_on_the_pictures_pixels(
    default_model: MorphableModel, point: tuple[float, float], inside: bool
) -> None:
    nothing_before_it = np.ones((HEIGHT, WIDTH), np.float32)
    assert one_point_seen_at(default_model, point, nothing_before_it) == inside


@pytest.mark.parametrize("off", [-0.4, 0.4])
def test_what_hides_a_point_is_looked_up_at_the_pixel_that_holds_it(default_model: MorphableModel, off: float) -> None:
    depth = np.zeros((HEIGHT, WIDTH), np.float32)  # something is before all,
    depth[7, 12] = 1.0  # but for one pixel
    assert one_point_seen_at(default_model, (12.0 + off, 7.0 + off), depth)
    assert not one_point_seen_at(default_model, (12.0 + off, 8.0 + off), depth)
    assert not one_point_seen_at(default_model, (13.0 + off, 7.0 + off), depth)
