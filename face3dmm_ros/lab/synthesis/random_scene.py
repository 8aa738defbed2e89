"""Random scenes: people, light, clothes, pose, camera and what is behind."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from face3dmm_ros.core.camera import Intrinsics, WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.lab.synthesis.expressions import ExpressionSpace
from face3dmm_ros.lab.synthesis.makehuman_assets import find_assets, open_assets
from face3dmm_ros.lab.synthesis.occluders import KINDS
from face3dmm_ros.lab.synthesis.random_assets import dress
from face3dmm_ros.lab.synthesis.random_skins import open_skins, with_mixed_skin
from face3dmm_ros.lab.synthesis.scene import (
    Background,
    Color,
    Eyes,
    Glasses,
    Hair,
    Light,
    Occluder,
    Outfit,
    Scene,
    Sensor,
    Skin,
    triple,
)
from face3dmm_ros.morphable_model import MorphableModel

# All numbers of this module, and the options' defaults, are chosen by hand while looking at rendered faces, unless they
# say otherwise. A change of any makes other faces of the same seed.
_FACE_HEIGHT = 150.0  # mm, from the brows' upper edge to the chin and a little more
FACE_CENTER = np.array([0.0, -40.0, -15.0])
"""The face's middle in model space, mm."""

_HAIR_COLORS: tuple[Color, ...] = (
    (0.06, 0.05, 0.05), (0.10, 0.08, 0.07), (0.16, 0.11, 0.08), (0.23, 0.16, 0.10), (0.33, 0.23, 0.14),
    (0.45, 0.32, 0.19), (0.58, 0.45, 0.28), (0.70, 0.58, 0.40), (0.42, 0.20, 0.10), (0.40, 0.38, 0.37),
    (0.52, 0.51, 0.50), (0.64, 0.63, 0.61),
)  # fmt: skip
_HAIR_SHARES = np.array([4, 5, 4, 3.5, 2.5, 2, 1.5, 1, 0.8, 1, 0.8, 0.5])
_IRIS_COLORS: tuple[Color, ...] = (
    (0.16, 0.09, 0.05), (0.24, 0.14, 0.08), (0.33, 0.20, 0.10), (0.38, 0.30, 0.16), (0.30, 0.34, 0.22),
    (0.33, 0.42, 0.46), (0.36, 0.48, 0.62), (0.42, 0.46, 0.48),
)  # fmt: skip
_DARK_TO_LIGHT = (-2.3, 1.9)  # range of γ along the skin's tone


@dataclass(frozen=True)
class SceneOptions:
    """What random scenes are drawn from.

    Attributes:
        image_size: (width, height), px.
        max_yaw: yaw is uniform within ± this, degrees.
        max_pitch, max_roll: pitch and roll are normal with this as about two standard deviations, degrees.
        face_share: range of the face's height as a share of the image's.
        off_center: range of the face's middle about the image's, as a share of its height.
        pictures: files that may stand behind a face; see `backgrounds.find_pictures`.
        glasses, occluder: shares of the faces with them.
        few_blendshapes: share of the faces that show one to three blendshapes or none, not a whole expression.
        winks: share of the faces whose eyes are shut by any amount, mostly each by its own.
        at_rest: the same scenes, but without their expressions.
        clean: no blur, noise, compression or colour cast.
        field_of_view: horizontal, degrees: pictures in perspective; None for weak perspective.
        assets: folder of MakeHuman's assets and of panoramas, see `makehuman_assets.find_assets`; None for none.
        people: folders of portraits whose skins are mixed, see `skin_library`; none for none.
    """

    image_size: tuple[int, int] = (450, 450)
    max_yaw: float = 90.0
    max_pitch: float = 30.0
    max_roll: float = 25.0
    face_share: tuple[float, float] = (0.34, 0.46)
    off_center: float = 0.05
    pictures: tuple[Path, ...] = ()
    glasses: float = 0.16
    occluder: float = 0.1
    few_blendshapes: float = 0.0
    winks: float = 0.0
    at_rest: bool = False
    clean: bool = False
    field_of_view: float | None = None
    assets: Path | None = None
    people: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            Face3DMMError: a value lies outside of its range.
        """
        width, height = self.image_size
        if not (16 <= width <= 8192 and 16 <= height <= 8192):
            raise Face3DMMError(f"pictures are 16 to 8192 px wide and high, not {width}×{height}")
        if not 0.0 <= self.max_yaw <= 110.0:
            raise Face3DMMError(f"the greatest yaw must lie between 0 and 110 degrees, not {self.max_yaw}")
        low, high = self.face_share
        if not 0.02 <= low <= high <= 3.0:
            raise Face3DMMError(f"the face's share of the image must be a range from 0.02 up, not {low} to {high}")
        if not 0.0 <= self.few_blendshapes <= 1.0:
            raise Face3DMMError(f"the share of faces with few blendshapes lies in [0, 1], not {self.few_blendshapes}")
        if not 0.0 <= self.winks <= 1.0:
            raise Face3DMMError(f"the share of faces that wink lies in [0, 1], not {self.winks}")
        if self.field_of_view is not None and not 5.0 <= self.field_of_view <= 120.0:
            raise Face3DMMError(f"the field of view must lie between 5 and 120 degrees, not {self.field_of_view}")

    def recipe(self) -> dict[str, object]:
        """The options as JSON holds them; of pictures behind faces, assets and people their names."""
        recipe = {**vars(self), "pictures": [path.name for path in self.pictures]}
        del recipe["assets"], recipe["people"]
        if not self.winks:
            del recipe["winks"]
        if self.assets is not None:
            recipe["assets"] = {kind: list(paths) for kind, paths in find_assets(self.assets).items()}
        if self.people:
            recipe["people"] = [Path(folder).name for folder in self.people]
        return recipe

    def open(self, model: MorphableModel) -> None:
        """Open assets and skins, once in a process, so that what is missing shows before anything is drawn.

        Raises:
            Face3DMMError: something is missing, damaged, or not for this model.
        """
        if self.assets is not None:
            open_assets(self.assets, model)
        if self.people:
            open_skins(self.people, model, self.assets)


def random_scene(rng: np.random.Generator, model: MorphableModel, options: SceneOptions | None = None) -> Scene:
    """A scene with everything at random; the same generator state gives the same scene."""
    options = options or SceneOptions()
    yaw = rng.uniform(-options.max_yaw, options.max_yaw)
    pitch, roll = (
        float(np.clip(rng.normal(0, most / 2), -most, most)) for most in (options.max_pitch, options.max_roll)
    )
    angles = np.radians([pitch, yaw, roll])
    camera = place_face(rng, rotation_from_pose_angles(*angles), options)
    alpha, gamma = random_identity(rng, model)
    person = random_person(rng, model, alpha, gamma, options)
    # The shoulders follow the head a part of the way.
    shoulders = rotation_from_pose_angles(*angles * rng.uniform([0.0, 0.2, 0.0], [0.5, 0.9, 0.5]))
    occluder = random_occluder(rng, model, gamma) if rng.random() < options.occluder else None
    expressions = ExpressionSpace(model)
    few = options.few_blendshapes > 0.0 and rng.random() < options.few_blendshapes
    beta = expressions.few(rng) if few else expressions.random(rng)
    if options.winks > 0.0 and rng.random() < options.winks:
        beta = expressions.winking(rng, beta)
    return replace(
        turned(person, camera, shoulders), beta=np.zeros_like(beta) if options.at_rest else beta, occluder=occluder
    )


def turned(person: Scene, camera: WeakPerspective, shoulders: NDArray[np.float64]) -> Scene:
    """A person seen by another camera, over shoulders of a rotation model → camera, (3, 3), of their own."""
    if person.outfit is None:
        return replace(person, camera=camera)
    turn = Rotation.from_matrix(camera.rotation.T @ shoulders).as_rotvec()
    return replace(person, camera=camera, outfit=replace(person.outfit, turn=np.asarray(turn)))


def place_face(rng: np.random.Generator, rotation: NDArray[np.float64], options: SceneOptions) -> WeakPerspective:
    """A camera that sees the face somewhere about the middle of the image, in a size of the options' range."""
    width, height = options.image_size
    share = np.exp(rng.uniform(*np.log(options.face_share)))
    scale = float(share * height / _FACE_HEIGHT)
    middle = np.array([(width - 1) / 2, (height - 1) / 2]) + options.off_center * height * rng.uniform(-1, 1, 2)
    middle[1] += 0.04 * height
    return WeakPerspective(scale, rotation, middle - scale * rotation[:2] @ FACE_CENTER)


def random_identity(rng: np.random.Generator, model: MorphableModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """α from the model's prior and γ, skins of all tones alike."""
    alpha = np.clip(rng.standard_normal(model.shape_count), -2.8, 2.8) * model.shape_sigma
    gamma = np.clip(rng.standard_normal(len(model.albedo_sigma)), -2.0, 2.0)
    if len(gamma):
        gamma[0] = rng.uniform(*_DARK_TO_LIGHT)
    if len(gamma) > 1:
        # Blood shows less through dark skin.
        gamma[1] *= np.interp(gamma[0], _DARK_TO_LIGHT, [0.35, 1.0])
    return alpha, gamma * model.albedo_sigma


def random_person(
    rng: np.random.Generator,
    model: MorphableModel,
    alpha: NDArray[np.float64],
    gamma: NDArray[np.float64],
    options: SceneOptions,
) -> Scene:
    """Somebody in some place, frontal and at rest: a scene whose pose, expression and occluder may be replaced."""
    dark = float(np.interp(gamma[0] if len(gamma) else 0.0, _DARK_TO_LIGHT, [1.0, 0.0]))
    hair_color = _hair_color(rng, dark)
    bearded = rng.random() < 0.45
    hair = random_hair(rng, hair_color, bearded)
    brow_color = triple(np.array(hair_color) * rng.uniform(0.45, 0.85))
    skin = Skin(
        offset=(rng.random(), rng.random()),
        brow_color=brow_color,
        brow_lift=rng.normal(0, 0.8),
        brow_width=rng.uniform(2.0, 4.4),
        brow_arch=rng.normal(0.3, 0.7),
        brow_density=rng.uniform(0.35, 1.0),
        blotches=rng.uniform(0.1, 0.65),
        freckles=max(rng.uniform(-1.2, 0.8), 0.0) * (1 - dark),
        pores=rng.uniform(0.15, 0.9),
        stubble=1.6 if hair.beard > 0 else rng.uniform(0.1, 1.0) if bearded else 0.0,
        scalp_cover=rng.uniform(0.6, 1.0),
        gloss=rng.uniform(0.03, 0.22),
        makeup=0.0 if bearded else max(rng.uniform(-1.0, 0.8), 0.0),
    )
    irises = np.arange(len(_IRIS_COLORS))
    iris = _IRIS_COLORS[int(rng.choice(irises, p=_shares(np.where(irises < 3, 2.0, 1.2 * (1 - dark) + 0.02))))]
    light = random_light(rng)
    picture: Path | None = None
    if options.pictures and rng.random() < 0.6:
        picture = options.pictures[int(rng.integers(len(options.pictures)))]
    size, view = options.image_size, options.field_of_view
    person = Scene(
        image_size=size,
        camera=place_face(rng, rotation_from_pose_angles(0.0, 0.0, 0.0), options),
        alpha=alpha,
        beta=np.zeros(model.expression_count),
        gamma=gamma,
        light=light,
        skin=skin,
        eyes=Eyes(_jittered(rng, iris, 0.12), rng.uniform(0.28, 0.52), rng.uniform(0.0, 0.5)),
        hair=hair,
        outfit=random_outfit(rng),
        glasses=random_glasses(rng) if rng.random() < options.glasses else None,
        background=Background(_seed(rng), picture, float(rng.choice([0.0, 0.006, 0.015, 0.03]))),
        sensor=Sensor(seed=_seed(rng)) if options.clean else random_sensor(rng, size[0], dark),
        intrinsics=None if view is None else Intrinsics.from_field_of_view(size, view),
    )
    if options.people:
        person = with_mixed_skin(rng, person, open_skins(options.people, model, options.assets))
    return person if options.assets is None else dress(rng, person, model, open_assets(options.assets, model))


def random_hair(rng: np.random.Generator, color: Color, bearded: bool) -> Hair:
    """Bald, cropped, short, medium or long, straight or curly, or under a cap."""
    seed = _seed(rng)
    curl = float(np.clip(rng.choice([0.05, 0.25, 1.0], p=[0.6, 0.25, 0.15]) + rng.normal(0, 0.05), 0, 1))
    parting = float(rng.choice([0.0, 1.0, -1.0], p=[0.3, 0.35, 0.35]) * rng.uniform(0.2, 0.9))
    beard = rng.uniform(3, 14) if bearded and rng.random() < 0.25 else 0.0
    base = Hair(color=color, curl=curl, parting=parting, beard=beard, swept=rng.uniform(0, 1), seed=seed)
    style = rng.random()
    if style < 0.07:
        recession = rng.uniform(0, 25)
        return replace(base, thickness=0.0, recession=recession)
    if style < 0.14:
        cloth = _clothes_color(rng)
        return replace(base, thickness=rng.uniform(3, 8), volume=4.0, cap=cloth)
    recession = float(max(rng.normal(6, 8), -3)) if bearded else rng.uniform(-3, 9)
    if style < (0.75 if bearded else 0.35):
        thickness = rng.uniform(3, 22) if curl < 0.6 else rng.uniform(6, 30)
        fringe = float(rng.choice([0.0, rng.uniform(5, 32)], p=[0.65, 0.35]))
        return replace(base, thickness=thickness, fringe=fringe, recession=recession, fade=rng.uniform(0, 0.95),
                       volume=rng.uniform(0, 14))  # fmt: skip
    if not bearded and style < 0.48:
        return replace(base, thickness=rng.uniform(2, 6), volume=2.0, fade=0.0, bun=rng.uniform(20, 42),
                       recession=recession)  # fmt: skip
    return replace(
        base,
        thickness=rng.uniform(6, 20),
        length=rng.uniform(40, 260),
        fringe=float(rng.choice([0.0, rng.uniform(8, 36)], p=[0.6, 0.4])),
        volume=rng.uniform(0, 10),
        fade=0.0,
        tucked=bool(rng.random() < 0.35),
        recession=recession,
    )


def random_outfit(rng: np.random.Generator) -> Outfit:
    """Clothes of some colour and neckline."""
    return Outfit(
        color=_clothes_color(rng),
        neckline=rng.uniform(12, 85),
        collar=rng.uniform(0, 7),
        stripes=rng.uniform(0.3, 1) * (rng.random() < 0.15),
        checks=rng.uniform(0.3, 1) * (rng.random() < 0.12),
        width=rng.uniform(175, 235),
        seed=_seed(rng),
    )


def random_glasses(rng: np.random.Generator) -> Glasses:
    """Glasses of any frame, mostly with clear lenses."""
    color = (0.07, 0.06, 0.06) if rng.random() < 0.5 else _clothes_color(rng)
    dark = rng.random() < 0.15
    return Glasses(
        color=color,
        tube=float(rng.choice([0.6, 1.1, 1.9])),
        width=rng.uniform(21, 26),
        height=rng.uniform(14, 22),
        roundness=rng.uniform(2.0, 6.0),
        tint=rng.uniform(0.6, 0.96) if dark else rng.uniform(0.0, 0.12),
    )


def random_occluder(rng: np.random.Generator, model: MorphableModel, gamma: NDArray[np.float64]) -> Occluder:
    """Something that hides a part of the lower or one side of the face."""
    kind = KINDS[int(rng.choice(len(KINDS), p=[0.55, 0.2, 0.15, 0.1]))]
    side = float(rng.choice([-1.0, 1.0]))
    if kind == "hand":
        position = np.array([side * rng.uniform(20, 75), rng.uniform(-140, -20), rng.uniform(60, 85)])
        turn = np.array(
            [rng.normal(0, 0.2), rng.choice([0.0, np.pi]) + rng.normal(0, 0.3), side * rng.uniform(-0.2, 1.3)]
        )
        skin = model.regions.get("face")
        rgb = model.rgb(gamma) if skin is None else model.rgb(gamma)[skin > 0.9]
        return Occluder(kind, position, turn, triple(rgb.mean(axis=0) / 255.0))
    position = np.array([side * rng.uniform(5, 75), rng.uniform(-150, -70), rng.uniform(75, 95)])
    turn = np.array([rng.normal(0, 0.25), rng.normal(0, 0.4), rng.normal(0, 0.4)])
    return Occluder(kind, position, turn, _clothes_color(rng))


def random_light(rng: np.random.Generator) -> Light:
    """A room, a window, a studio or the sun: key light from somewhere before the face, the rest around it."""
    azimuth = np.radians(np.clip(rng.normal(0, 50), -125, 125))
    elevation = np.radians(rng.uniform(-5, 65))
    level = np.cos(elevation)
    to_key = level * np.sin(azimuth), np.sin(elevation), level * np.cos(azimuth)
    total = rng.uniform(0.75, 1.15)
    key_share = rng.uniform(0.2, 0.85)
    warm = np.array([1.0, 1.0 - 0.12 * rng.uniform(-0.6, 1.0), 1.0 - 0.3 * rng.uniform(-0.5, 1.0)])
    surround = np.array([1.0, 1.0, 1.0]) + rng.normal(0, 0.07, 3)
    key = total * 1.15 * key_share * warm
    ambient = total * 0.95 * (1.0 - 0.75 * key_share) * surround
    slope = ambient[:, None] * np.array([rng.normal(0, 0.25), rng.uniform(0.0, 0.45), rng.normal(0.1, 0.15)])
    fill_azimuth = azimuth + np.pi * rng.uniform(0.5, 1.5)
    fill = total * rng.uniform(0.0, 0.3) * (np.ones(3) + rng.normal(0, 0.15, 3))
    return Light(
        to_key=triple(to_key),
        key=triple(key),
        to_fill=triple((np.sin(fill_azimuth), rng.uniform(-0.1, 0.5), np.cos(fill_azimuth))),
        fill=triple(np.maximum(fill, 0.0)),
        ambient=triple(ambient),
        ambient_slope=(triple(slope[0]), triple(slope[1]), triple(slope[2])),
        softness=rng.uniform(0.8, 7.0),
    )


def random_sensor(rng: np.random.Generator, width: int, dark: float = 0.5) -> Sensor:
    """Anything from a good camera in daylight to a cheap one in a dim room; for dark skins (1) it exposes longer."""
    poor = rng.random() ** 2
    return Sensor(
        exposure=float(np.clip(rng.normal(0.55 * dark - 0.2, 0.3), -0.9, 1.0)),
        contrast=rng.uniform(0.88, 1.25),
        saturation=0.0 if rng.random() < 0.04 else rng.uniform(0.75, 1.35),
        white_balance=triple(1.0 + rng.normal(0, 0.05, 3)),
        blur=rng.uniform(0.0, 1.2) * poor * width / 320,
        motion=(rng.uniform(2, 9) * width / 320, rng.uniform(0, np.pi)) if rng.random() < 0.06 else (0.0, 0.0),
        resolution=rng.uniform(0.3, 0.8) if rng.random() < 0.12 else 1.0,
        noise=rng.uniform(0.3, 1.0 + 7.0 * poor),
        shot_noise=rng.uniform(0.0, 8.0 * poor),
        jpeg=int(rng.integers(35, 96)) if rng.random() < 0.6 else 0,
        seed=_seed(rng),
    )


def _hair_color(rng: np.random.Generator, dark: float) -> Color:
    """Dark skin goes mostly with dark hair."""
    lightness = np.array([sum(color) / 3 for color in _HAIR_COLORS])
    grey = np.array([max(color) - min(color) < 0.05 for color in _HAIR_COLORS])
    shares = _HAIR_SHARES * np.where(grey, 1.0, np.exp(-9.0 * dark * lightness))
    return _jittered(rng, _HAIR_COLORS[int(rng.choice(len(_HAIR_COLORS), p=_shares(shares)))], 0.15)


def _clothes_color(rng: np.random.Generator) -> Color:
    value = rng.uniform(0.04, 0.9)
    return triple(np.clip(value + rng.normal(0, 0.13, 3) * rng.choice([0.1, 1.0]), 0.02, 0.95))


def _jittered(rng: np.random.Generator, color: Color, amount: float) -> Color:
    return triple(np.clip(np.array(color) * (1 + amount * rng.normal(0, 1) + 0.3 * amount * rng.normal(0, 1, 3)), 0, 1))


def _shares(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))
