"""Scenes to pictures, with the truth that belongs to them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective, metric_pose, model_to_world, view_to_clip
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.srgb import encoded, linear
from face3dmm_ros.lab.synthesis.backgrounds import draw_background
from face3dmm_ros.lab.synthesis.glasses import glasses_parts
from face3dmm_ros.lab.synthesis.hair import HairShaper
from face3dmm_ros.lab.synthesis.noise import scene_noise
from face3dmm_ros.lab.synthesis.occluders import occluder_parts
from face3dmm_ros.lab.synthesis.outfit import OutfitShaper
from face3dmm_ros.lab.synthesis.parts import Head, Part, VertexArrays, as_bytes, join
from face3dmm_ros.lab.synthesis.scene import IRIS_IN_PICTURE, PUPIL_IN_PICTURE, Light, Scene, SkinPicture
from face3dmm_ros.lab.synthesis.sensor import expose
from face3dmm_ros.morphable_model import MorphableModel, SurfacePoints
from face3dmm_ros.rendering.drawer import Drawer
from face3dmm_ros.rendering.texture import unwrap
from face3dmm_ros.rendering.vertex_colors import visible_vertices

if TYPE_CHECKING:
    from face3dmm_ros.lab.synthesis.scene_canvas import SceneCanvas

# All chosen by hand while looking at renders of the default model, unless it says otherwise.
_SHADOW_CENTER = np.array([0.0, -35.0, -60.0])  # mm; the ball that the shadow map covers: head and shoulders
_SHADOW_RADIUS = 230.0  # mm
_HIDDEN_BY = 3.0  # mm by which a visible point may lie behind what was drawn: less than a frame or a strand is away
_IRIS_RADIUS = np.radians(24.5)  # seen from the middle of the eyeball
_HAIR_ON_BALD = (0.2, 0.16, 0.13)  # sRGB of the stubble on a head without hair
_APART = 1.5  # mm between the lips from which on teeth are worth their time
_AROUND = 3  # px around a vertex whose mean colour in a picture is taken
_DIRECTIONS = 28  # of light, for ambient occlusion: more take longer to open, fewer leave it blotchy


@dataclass(frozen=True, eq=False)
class RenderedScene:
    """A picture and its truth.

    Attributes:
        scene: what was drawn; its camera, α, β and γ are the truth.
        image: (H, W, 3) uint8 BGR.
        vertices: (N, 3) float32, model space, mm.
        normals: (N, 3) float32, model space.
    """

    scene: Scene
    image: NDArray[np.uint8]
    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    _model: MorphableModel
    _model_to_clip: NDArray[np.float64]
    _depth: NDArray[np.float32]

    def points(self, surface: SurfacePoints) -> NDArray[np.float64]:
        """Points of the surface in the picture, (P, 3): x right and y down, px, z toward the viewer, px.

        z is relative to the model's origin, in pixels of the weak perspective's scale.
        """
        points = surface.interpolate(self.vertices).astype(np.float64)
        camera = self.scene.camera
        return np.column_stack([self._on_image(points)[:, :2], -camera.depth(points)])

    def visibility(self, surface: SurfacePoints) -> NDArray[np.bool_]:
        """Which points of the surface the picture shows, (P,) bool: inside it, facing the camera, and nothing in front.

        Hair, glasses' frames and things held before the face hide what is behind them; lenses do not.
        """
        normals = surface.interpolate(self.normals).astype(np.float64)
        points = surface.interpolate(self.vertices).astype(np.float64)
        facing = -(normals @ self.scene.camera.rotation[2]) > 0.0
        # Lifted toward the camera, so that the surface around a point does not hide it.
        lifted = points - _HIDDEN_BY * self.scene.camera.rotation[2]
        x, y = self._on_image(points)[:, :2].T
        depth = self._on_image(lifted)[:, 2]
        height, width = self.scene.image_size[::-1]
        inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
        row = np.clip(np.round(y), 0, height - 1).astype(np.intp)
        column = np.clip(np.round(x), 0, width - 1).astype(np.intp)
        return np.asarray(inside & facing & (depth <= self._depth[row, column]))

    def landmarks(self, scheme: str = "ibug68") -> NDArray[np.float64]:
        """A landmark scheme's points in the picture, as `points`."""
        return self.points(self._model.scheme(scheme))

    def mask(self) -> NDArray[np.bool_]:
        """Which pixels show the person and what belongs to them, (H, W) bool; the rest is background."""
        return self._depth < 1.0

    def before(self, other: "RenderedScene") -> NDArray[np.bool_]:
        """Which pixels show a nearer surface than another picture of the same size does, (H, W) bool."""
        return self._depth < other._depth

    def _on_image(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Model points, mm, to x, y (px) and the depth buffer's depth, (P, 3)."""
        clip = points @ self._model_to_clip[:, :3].T + self._model_to_clip[:, 3]
        ndc = clip[:, :3] / clip[:, 3:]
        width, height = self.scene.image_size
        return np.column_stack(
            [(ndc[:, 0] + 1) * width / 2 - 0.5, (ndc[:, 1] + 1) * height / 2 - 0.5, (ndc[:, 2] + 1) / 2]
        )


class SceneRenderer(Drawer["SceneCanvas"]):
    """Draws scenes of one model.

    Hair needs the model's regions ``scalp`` and ``skin``, shoulders ``neck``; a model without them is drawn bald and
    cut off, as it is. Any thread may call it, one at a time.
    """

    def __init__(self, model: MorphableModel, samples: int = 4) -> None:
        """Open an offscreen OpenGL context and prepare the model.

        Args:
            model: of whose coefficients the scenes are made.
            samples: per pixel, for antialiasing; 1 has none and draws in half the time.

        Raises:
            Face3DMMError: OpenGL 3.3 is not available.
        """
        self.model = model
        regions = model.regions
        self._hair = HairShaper(model) if {"scalp", "skin", "lips"} <= set(regions) else None
        self._outfit = OutfitShaper(model) if {"neck", "skin"} <= set(regions) else None
        self._ibug = model.landmarks.get("ibug68")
        self._eye_center = _left_eye(model)
        self._brow, self._nostril = _brow_curve(model), _left_nostril(model)
        arrays = _head_arrays(model)
        self._openness = arrays.traits[:, 0] / 255.0
        # Along its seams the picture of the skin needs vertices more than once.
        self._unwrapping = unwrap(model)
        self._uv = np.zeros((model.vertex_count, 2))
        self._uv[self._unwrapping.vertices] = self._unwrapping.uv
        taken = VertexArrays._make(array[self._unwrapping.vertices] for array in arrays)
        head = taken._replace(uv=self._unwrapping.uv)

        def make_canvas() -> "SceneCanvas":
            from face3dmm_ros.lab.synthesis.scene_canvas import SceneCanvas

            return SceneCanvas(head, _head_triangles(model, self._unwrapping.triangles), scene_noise(), samples)

        super().__init__("auto", make_canvas)

    def render(self, scene: Scene) -> RenderedScene:
        """The picture of a scene.

        Raises:
            Face3DMMError: the scene has more coefficients than the model, the image is smaller than 8×8 px, a light's
                direction is zero or not finite, or the background's picture cannot be read.
        """
        self._require_open()
        width, height = scene.image_size
        if width < 8 or height < 8:
            raise Face3DMMError(f"a synthetic picture is at least 8×8 px, not {width}×{height}")
        vertices = self.model.vertices(scene.alpha, scene.beta)
        head = Head(vertices, self.model.normals(vertices), self.model.rgb(scene.gamma), self._openness)
        landmarks = None if self._ibug is None else self._ibug.interpolate(vertices)
        model_to_clip, rotation = _model_to_clip(scene)
        worn = [thing for thing in scene.worn if thing.asset.kind != "teeth" or _lips_are_apart(landmarks)]
        things = join(self._things(scene, head, landmarks))
        with self._drawing() as canvas:
            canvas.load_head(Head._make(array[self._unwrapping.vertices] for array in head))
            canvas.load_things(*things)
            canvas.load_cards([thing.asset.card(head, thing.color, thing.gloss) for thing in worn])
            canvas.draw(
                scene.image_size,
                model_to_clip,
                _model_to_shadow(scene.light, rotation),
                _light_uniforms(scene.light, rotation),
                self._material_uniforms(scene, landmarks),
                {
                    "skin": None if scene.skin_picture is None else scene.skin_picture.pixels,
                    "eye": scene.eyes.picture,
                },
                None if scene.light.reflected is None else scene.light.reflected.panorama.mirrored,
                ("tooth",) if any(thing.asset.kind == "teeth" for thing in worn) else (),
            )
            pixels, depth = canvas.read(), canvas.read_depth()
        image = expose(_over(pixels, draw_background(scene.background, scene.image_size)), scene.sensor)
        return RenderedScene(scene, image, vertices, head.normals, self.model, model_to_clip, depth)

    def _things(self, scene: Scene, head: Head, landmarks: NDArray[np.floating] | None) -> list[Part]:
        parts: list[Part] = []
        if self._outfit is not None and scene.outfit is not None:
            if scene.skin_picture is not None:
                head = head._replace(rgb=self._pictured(scene.skin_picture, head.rgb, self._outfit.edge))
            parts += self._outfit.parts(scene.outfit, head)
        if self._hair is not None and scene.hair is not None:
            parts += self._hair.parts(scene.hair, head)
        if landmarks is not None and scene.glasses is not None:
            parts += glasses_parts(scene.glasses, landmarks)
        if scene.occluder is not None:
            parts += occluder_parts(scene.occluder, scene.camera.rotation)
        return parts

    def _pictured(self, picture: SkinPicture, rgb: NDArray[np.uint8], vertices: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Colours (N, 3) of which those of some vertices are the picture's there."""
        height, width = picture.pixels.shape[:2]
        at = self._uv[vertices] * [width, height]
        near = np.arange(-_AROUND, _AROUND + 1)
        rows = np.clip(at[:, 1, None].astype(np.intp) + near, 0, height - 1)
        columns = (at[:, 0, None].astype(np.intp) + near) % width
        pixels = picture.pixels[rows[:, :, None], columns[:, None, :]].reshape(len(vertices), -1, 4) / 255.0
        cover = pixels[..., 3:]
        light = (linear(pixels[..., :3]) * cover).sum(axis=1) / np.maximum(cover.sum(axis=1), 1e-6)
        there = cover.mean(axis=1) > 0.5
        rgb = rgb.copy()
        rgb[vertices] = np.where(there, as_bytes(encoded(light * picture.gain)), rgb[vertices])
        return rgb

    def _material_uniforms(self, scene: Scene, landmarks: NDArray[np.floating] | None) -> dict[str, dict[str, object]]:
        skin, eyes, hair, picture = scene.skin, scene.eyes, scene.hair, scene.skin_picture
        place = scene.light.reflected
        (base, slope, bend), span = self._brow
        lids = np.zeros((3, 3))
        lids[0, :2] = 1e3  # far above, so that no lid shades the eye
        if landmarks is not None:
            lids[:, :2] = np.column_stack([_lid(landmarks[42:48]), _lid(landmarks[36:42])])
        amounts = ("brow_density", "blotches", "freckles", "pores", "stubble", "gloss", "makeup")
        offset = {"offset": skin.offset}
        mirrors = {"mirrors": 0.0 if place is None else 1.0}
        return {
            "skin": {
                **offset,
                **{name: getattr(skin, name) for name in amounts},
                "hair_color": linear(_HAIR_ON_BALD if hair is None else hair.color),
                "brow_color": linear(skin.brow_color),
                "brow_curve": (
                    base + skin.brow_lift,
                    slope + 4 * skin.brow_arch,
                    bend - 4 * skin.brow_arch,
                    skin.brow_width,
                ),
                "brow_span": span,
                "nostril": self._nostril,
                "scalp_cover": 0.0 if hair is None else skin.scalp_cover,
                "pictured": 0.0 if picture is None else 1.0,
                "picture_gain": (1.0, 1.0, 1.0) if picture is None else picture.gain,
                **mirrors,
            },
            "eye": {
                **offset,
                "eye_center": self._eye_center,
                "iris_color": linear(eyes.iris),
                "iris_radius": _IRIS_RADIUS,
                "pupil_radius": _IRIS_RADIUS * eyes.pupil,
                "redness": eyes.redness,
                "upper_lid": lids,
                "pictured": 0.0 if eyes.picture is None else 1.0,
                "in_picture": (IRIS_IN_PICTURE, PUPIL_IN_PICTURE),
                **mirrors,
                "place_gain": (1.0, 1.0, 1.0) if place is None else place.gain,
                "place_turn": 0.0 if place is None else place.turn / (2 * np.pi),
            },
            "hair": offset,
            "fur": offset,
            "plain": offset,
            "glass": offset,
        }


def _model_to_clip(scene: Scene) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(4, 4) from model space to clip space with y downward, and the rotation model → camera."""
    camera = scene.camera
    upside_down = np.diag([1.0, -1.0, 1.0, 1.0])
    if scene.intrinsics is None:
        depth_range = camera.scale * 700.0
        return upside_down @ view_to_clip(scene.image_size, depth_range) @ model_to_world(camera), camera.rotation
    pose, K = metric_pose(camera, scene.intrinsics), scene.intrinsics
    width, height = scene.image_size
    near, far = max(pose.position[2] - 0.45, 0.02), pose.position[2] + 0.7
    # From REP-103's axes (z forward): x and y of clip space are those of the image.
    clip = np.zeros((4, 4))
    clip[0, [0, 2]] = 2 * K.focal / width, (2 * K.center_x + 1) / width - 1
    clip[1, [1, 2]] = 2 * K.focal / height, (2 * K.center_y + 1) / height - 1
    clip[2, [2, 3]] = (far + near) / (far - near), -2 * far * near / (far - near)
    clip[3, 2] = 1.0
    to_camera = np.eye(4)
    to_camera[:3, :3], to_camera[:3, 3] = pose.rotation / 1000.0, pose.position
    return clip @ to_camera, pose.rotation


def _model_to_shadow(light: Light, rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, 4) from model space to the key light's clip space, a ball about the head filling it."""
    to_light = _unit(light.to_key) @ (FRONTAL @ rotation)
    side = np.cross([0.3, 1.0, 0.2], to_light)
    side /= np.linalg.norm(side)
    axes = np.stack([side, np.cross(to_light, side), -to_light]) / _SHADOW_RADIUS
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes, -axes @ _SHADOW_CENTER
    return matrix


def _light_uniforms(light: Light, rotation: NDArray[np.float64]) -> dict[str, object]:
    return {
        "normal_to_world": FRONTAL @ rotation,
        "to_key": _unit(light.to_key),
        "key_color": light.key,
        "to_fill": _unit(light.to_fill),
        "fill_color": light.fill,
        "ambient_mean": light.ambient,
        "ambient_slope": light.ambient_slope,
        "ambient_bend": light.ambient_bend,
        "ambient_bulge": light.ambient_bulge,
        "shadow_softness": light.softness / (2 * _SHADOW_RADIUS),
    }


def _unit(vector: tuple[float, ...]) -> NDArray[np.float64]:
    direction = np.asarray(vector, dtype=np.float64)
    length = float(np.linalg.norm(direction))
    if not (np.isfinite(length) and length > 0):
        raise Face3DMMError(f"the direction of a light must be finite and not zero, found {vector}")
    return direction / length


def _over(pixels: NDArray[np.uint8], background: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Premultiplied BGRA over a picture."""
    kept = cv2.bitwise_not(cv2.extractChannel(pixels, 3))
    behind = cv2.multiply(background, cv2.merge([kept, kept, kept]), scale=1.0 / 255.0)
    return np.asarray(cv2.add(cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR), behind), np.uint8)


def _lid(eye: NDArray[np.floating]) -> NDArray[np.floating]:
    """a, b, c of the upper lid's height a + b (x − c)² through an eye's six points."""
    outer, inner = eye[0], eye[3]
    middle = 0.5 * (outer[0] + inner[0])
    top = 0.5 * (eye[1] + eye[2])
    reach = 0.25 * (outer[0] - inner[0]) ** 2
    ends = 0.5 * (outer[1] + inner[1])
    inset = 0.25 * (eye[1][0] - eye[2][0]) ** 2
    bend = (ends - top[1]) / max(reach - inset, 1.0)
    return np.array([top[1] - bend * inset, bend, middle])


def _lips_are_apart(landmarks: NDArray[np.floating] | None) -> bool:
    """Whether teeth may show between the lips of a face with these (68, 3) iBUG landmarks, mm."""
    return landmarks is None or bool(np.linalg.norm(landmarks[61:64] - landmarks[[67, 66, 65]], axis=1).max() > _APART)


def _left_eye(model: MorphableModel) -> NDArray[np.float64]:
    """Centre of the left eyeball on the mean, mm."""
    ball = model.mean[(_region(model, "eyes") > 0.5) & (model.mean[:, 0] > 0)].astype(np.float64)
    # A sphere through the vertices: |p|² = 2 p·c + k is linear in its centre c.
    return np.linalg.lstsq(np.column_stack([2 * ball, np.ones(len(ball))]), (ball**2).sum(axis=1), rcond=None)[0][:3]


def _brow_curve(model: MorphableModel) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Height a + b t + c t² of the brows' middle along them and the distances of their ends from the midline, mm."""
    if "ibug68" not in model.landmarks:
        return np.array([1e4, 0.0, 0.0]), (10.0, 50.0)
    points = model.scheme("ibug68").interpolate(model.mean)[17:27]
    side = np.abs(points[:, 0])
    span = (float(side.min()) - 1.0, float(side.max()))
    t = (side - span[0]) / (span[1] - span[0])
    c, b, a = np.polyfit(t, points[:, 1], 2)
    return np.array([a, b, c]), span


def _left_nostril(model: MorphableModel) -> NDArray[np.float64]:
    """The left nostril's middle on the mean, mm: on the nose's underside, between its tip and the wing's foot."""
    if "ibug68" not in model.landmarks:
        return np.full(3, 1e4)
    tip, foot, wing = model.scheme("ibug68").interpolate(model.mean)[[30, 34, 35]].astype(np.float64)
    forward = np.array([0.0, 0.46, 0.1]) * (tip - foot)
    return np.array([0.5 * (foot[0] + wing[0]) - 1.2, foot[1], foot[2]]) + forward


def _region(model: MorphableModel, name: str, default: float = 0.0) -> NDArray[np.float32]:
    """(N,) a region's weights, or the default in a model without it."""
    return model.regions.get(name, np.full(model.vertex_count, default, np.float32))


def _head_triangles(model: MorphableModel, triangles: NDArray[np.int32]) -> dict[str, NDArray[np.int32]]:
    """Triangles, (M, 3) in the order of the model's, by material."""
    eye, tooth = ((_region(model, name)[model.triangles] > 0.5).all(axis=1) for name in ("eyes", "teeth"))
    parts = {"skin": ~(eye | tooth), "eye": eye, "tooth": tooth}
    return {material: triangles[chosen] for material, chosen in parts.items()}


def _head_arrays(model: MorphableModel) -> VertexArrays:
    """What stays of the head's vertices: their places on the mean, ambient occlusion and masks."""
    zeros = np.zeros((model.vertex_count, 3), np.float32)
    occlusion = _ambient_occlusion(model)
    traits = np.stack([occlusion, *(_region(model, name) for name in ("lips", "beard", "scalp"))], axis=1)
    is_tooth = _region(model, "teeth") > 0.5
    traits[is_tooth, 0] = np.clip(1.6 * occlusion[is_tooth], 0.35, 1.0)
    face, skin = _region(model, "face", 0.0 if model.regions else 1.0), _region(model, "skin", 1.0)
    masks = np.stack([_region(model, "mouth_interior"), face, skin, zeros[:, 0]], axis=1)
    return VertexArrays(
        zeros, zeros, model.mean, zeros.astype(np.uint8), as_bytes(traits), as_bytes(masks), zeros[:, :2]
    )


def _ambient_occlusion(model: MorphableModel) -> NDArray[np.float32]:
    """Share of the light from everywhere that reaches each vertex of the mean, (N,) float32.

    The inside of the mouth is judged with the jaw open, since closed it cannot be seen.
    """
    result = _openness(model, model.mean, _DIRECTIONS)
    inside = np.maximum(_region(model, "mouth_interior"), _region(model, "teeth"))
    if "jawOpen" in model.expression_names and inside.any():
        beta = np.zeros(model.expression_count)
        beta[model.expression_names.index("jawOpen")] = 0.8
        opened = _openness(model, model.vertices([], beta), _DIRECTIONS // 2)
        result = np.where(inside > 0.3, opened, result)
    return result.astype(np.float32)


def _openness(model: MorphableModel, vertices: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    normals = model.normals(vertices).astype(np.float64)
    seen, total = np.zeros(len(vertices)), np.zeros(len(vertices))
    # Directions evenly over the sphere, along a golden spiral.
    k = np.arange(count) + 0.5
    height, turn = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    around = np.sqrt(1 - height**2)
    for toward in np.stack([around * np.cos(turn), height, around * np.sin(turn)], axis=1):
        cosine = np.maximum(normals @ toward, 0.0)
        side = np.cross([0.31, 0.83, 0.47], toward)
        side /= np.linalg.norm(side)
        camera = WeakPerspective(1.0, np.stack([side, np.cross(-toward, side), -toward]), np.zeros(2))
        total += cosine
        seen += cosine * visible_vertices(vertices, model.triangles, camera, tolerance_mm=4.0)
    return np.asarray(seen / np.maximum(total, 1e-9))
