"""Everything that a synthetic picture is made of, as plain values: the same scene gives the same picture.

The defaults make one plain portrait, and are chosen by hand; `random_scene` draws values of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import Intrinsics, WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.lab.synthesis.panorama import Panorama
from face3dmm_ros.lab.synthesis.worn import Asset

Color = tuple[float, float, float]
"""sRGB, each in [0, 1]."""


def triple(values: Sequence[float] | NDArray[np.floating]) -> Color:
    """Three numbers as scenes hold them."""
    x, y, z = (float(value) for value in values)
    return x, y, z


IRIS_IN_PICTURE, PUPIL_IN_PICTURE = 0.435, 0.29
"""The iris's share of a picture of an eye, and the pupil's of the iris, as MakeHuman's pictures have them."""


@dataclass(frozen=True, eq=False)
class Place:
    """Where a picture was taken: a panorama, its turn about the vertical, radians, and its colours' gain."""

    panorama: Panorama
    turn: float = 0.0
    gain: Color = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Light:
    """Light on the face; intensities are linear RGB. Axes as in the world: x right, y up, z toward the viewer.

    Attributes:
        to_key, to_fill: directions toward the lights, of any length but zero.
        key, fill: their colours and intensities; the key light alone throws shadows.
        ambient: the mean light from everywhere.
        ambient_slope: (3, 3) nested, per colour how much more of it comes from +x, +y, +z.
        ambient_bend: likewise per colour, times xy, yz, zx of a direction.
        ambient_bulge: likewise per colour, times x², y², z².
        softness: of the shadows' edges, mm.
        reflected: what eyes mirror; None for the lights alone.
    """

    to_key: Color = (0.4, 0.5, 1.0)
    key: Color = (0.8, 0.78, 0.74)
    to_fill: Color = (-1.0, 0.1, 0.4)
    fill: Color = (0.12, 0.13, 0.15)
    ambient: Color = (0.34, 0.35, 0.37)
    ambient_slope: tuple[Color, Color, Color] = ((0.0, 0.12, 0.04), (0.0, 0.12, 0.04), (0.0, 0.13, 0.04))
    ambient_bend: tuple[Color, Color, Color] = ((0.0, 0.0, 0.0),) * 3
    ambient_bulge: tuple[Color, Color, Color] = ((0.0, 0.0, 0.0),) * 3
    softness: float = 3.0
    reflected: Place | None = None


@dataclass(frozen=True)
class Skin:
    """What lies over the model's albedo; amounts from 0 (none) to about 1.

    Attributes:
        offset: of the noise, so that no two skins are alike.
        brow_color: sRGB.
        brow_lift, brow_width: of the brows against the model's, mm, and half their width, mm.
        brow_arch: how much higher their middle is, mm.
        scalp_cover: how much of the scalp's skin short hair hides.
        gloss: strength of the highlights.
        makeup: of the lips.
    """

    offset: tuple[float, float] = (0.0, 0.0)
    brow_color: Color = (0.2, 0.15, 0.12)
    brow_lift: float = 0.0
    brow_width: float = 3.2
    brow_arch: float = 0.0
    brow_density: float = 0.8
    blotches: float = 0.4
    freckles: float = 0.0
    pores: float = 0.5
    stubble: float = 0.0
    scalp_cover: float = 0.8
    gloss: float = 0.12
    makeup: float = 0.0


@dataclass(frozen=True, eq=False)
class SkinPicture:
    """The albedo of a head's skin as a picture.

    Attributes:
        pixels: (H, W, 4) uint8 sRGB in the space of `face3dmm_ros.rendering.texture.unwrap`, in the order red, green,
            blue, and an alpha that says where it holds; elsewhere the model's colours show. It must not change.
        gain: of its linear red, green and blue, to recolour it.
    """

    pixels: NDArray[np.uint8]
    gain: Color = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        """Check the picture.

        Raises:
            Face3DMMError: its pixels have another form.
        """
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 4 or self.pixels.dtype != np.uint8:
            found = f"{self.pixels.shape} {self.pixels.dtype}"
            raise Face3DMMError(f"a picture of skin must be (H, W, 4) uint8, red, green, blue, alpha, found {found}")


@dataclass(frozen=True, eq=False)
class Worn:
    """An asset that hangs on the face, such as hair: its colour (sRGB) and the strength of its highlights."""

    asset: Asset
    color: Color
    gloss: float = 0.4


@dataclass(frozen=True)
class Eyes:
    """Iris colour (sRGB), the pupil's share of the iris, and how red the white is, from 0 to 1.

    Attributes:
        picture: (S, S, 4) uint8 sRGB of an eye that looks at the viewer, in place of the iris colour and the white: its
            pupil in the middle, `PUPIL_IN_PICTURE` of the iris wide, which is `IRIS_IN_PICTURE` of the picture.
    """

    iris: Color = (0.36, 0.24, 0.15)
    pupil: float = 0.38
    redness: float = 0.3
    picture: NDArray[np.uint8] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Hair:
    """Hair on head and chin; lengths in mm.

    Attributes:
        color: sRGB.
        thickness: of the hair over the skull; 0 for none.
        length: how far it hangs down beside and behind the face from where it grows.
        fringe: how far it hangs into the forehead from the hairline.
        recession: how far the hairline in front lies behind the usual one.
        fade: how much shorter the hair is at the sides, from 0 to 1.
        tucked: long hair falls behind the ears and not over them.
        parting: side of the fringe's gap, from −1 to 1.
        curl: from 0 (straight) to 1 (curly).
        volume: extra thickness at the crown.
        bun: radius of a bun at the back; 0 for none.
        beard: length of a full beard; 0 for none.
        swept: from 0 (strands end at the hairline, combed forward) to 1 (they begin there, combed back).
        cap: sRGB of a cap of cloth in the hair's place; None for none.
        seed: of its irregularities.
    """

    color: Color = (0.2, 0.15, 0.11)
    thickness: float = 9.0
    length: float = 0.0
    fringe: float = 0.0
    recession: float = 0.0
    fade: float = 0.4
    tucked: bool = False
    parting: float = 0.0
    curl: float = 0.1
    volume: float = 4.0
    bun: float = 0.0
    beard: float = 0.0
    swept: float = 0.5
    cap: Color | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Outfit:
    """Shoulders and what they wear.

    Attributes:
        color: sRGB.
        neckline: how far below the model's cut edge the cloth begins, mm.
        collar: how far a collar stands off, mm.
        stripes, checks: strength of the pattern.
        width: half the shoulders' width, mm.
        turn: (3,) rotation vector of the shoulders against the head, radians, in model space.
        seed: of its folds.
    """

    color: Color = (0.2, 0.25, 0.35)
    neckline: float = 45.0
    collar: float = 4.0
    stripes: float = 0.0
    checks: float = 0.0
    width: float = 205.0
    turn: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    seed: int = 0


@dataclass(frozen=True)
class Glasses:
    """Glasses: the frame's colour (sRGB), tube radius and lens half sizes in mm, roundness 2 (oval) to 6 (square)."""

    color: Color = (0.08, 0.07, 0.07)
    tube: float = 1.1
    width: float = 23.0
    height: float = 17.0
    roundness: float = 3.0
    tint: float = 0.05


@dataclass(frozen=True, eq=False)
class Occluder:
    """Something held before the face: ``hand``, ``phone``, ``cup`` or ``microphone``.

    Attributes:
        kind: which of them.
        position: (3,) of its middle, mm, in model axes turned toward the camera (x right, y up, z to the viewer).
        turn: (3,) rotation vector, radians.
        color: sRGB; of a hand the skin's.
    """

    kind: str
    position: NDArray[np.float64]
    turn: NDArray[np.float64]
    color: Color


@dataclass(frozen=True)
class Background:
    """What is behind the face: a place, a picture or a procedural texture.

    Attributes:
        seed: of all that is random in it.
        picture: the file that it shows; None for a procedural texture.
        blur: as of a lens focused on the face, a share of the image's width.
        place: in place of a picture.
        field_of_view: of the camera that sees the place, horizontal, degrees.
    """

    seed: int = 0
    picture: Path | None = None
    blur: float = 0.01
    place: Place | None = None
    field_of_view: float = 40.0


@dataclass(frozen=True)
class Sensor:
    """What lens and camera do to the light.

    Attributes:
        exposure: in stops.
        contrast: 1 leaves it.
        saturation: 1 leaves it, 0 is black and white.
        white_balance: gains of red, green, blue.
        blur: standard deviation, px.
        motion: (length, angle) of a linear motion blur, px and radians.
        resolution: share of the pixels per side that the camera had, scaled up again; 1 for all.
        noise: standard deviation of the noise in the dark, of 255.
        shot_noise: that at full white which grows with the root of the light, of 255.
        jpeg: quality of a JPEG compression, 1 to 100; 0 for none.
        seed: of the noise.
    """

    exposure: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    white_balance: Color = (1.0, 1.0, 1.0)
    blur: float = 0.0
    motion: tuple[float, float] = (0.0, 0.0)
    resolution: float = 1.0
    noise: float = 0.0
    shot_noise: float = 0.0
    jpeg: int = 0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Scene:
    """One picture of one face.

    Attributes:
        image_size: (width, height), px.
        camera: weak perspective: s (px/mm), R (model → camera), t (px).
        alpha, beta, gamma: the model's coefficients. Brows, iris, hair, freckles and the like lie over T(γ).
        intrinsics: None renders in weak perspective, exactly as `camera` says; with them the picture is perspective,
            from the metric pose that `camera` means (`face3dmm_ros.core.camera.metric_pose`).
        skin_picture: in place of T(γ); brows, freckles and the like still lie over it, as `skin` says.
        worn: what else hangs on the face; `hair` is None where hair is among it.
    """

    image_size: tuple[int, int]
    camera: WeakPerspective
    alpha: NDArray[np.float64]
    beta: NDArray[np.float64]
    gamma: NDArray[np.float64]
    light: Light = field(default_factory=Light)
    skin: Skin = field(default_factory=Skin)
    eyes: Eyes = field(default_factory=Eyes)
    hair: Hair | None = field(default_factory=Hair)
    outfit: Outfit | None = field(default_factory=Outfit)
    glasses: Glasses | None = None
    occluder: Occluder | None = None
    background: Background = field(default_factory=Background)
    sensor: Sensor = field(default_factory=Sensor)
    intrinsics: Intrinsics | None = None
    skin_picture: SkinPicture | None = None
    worn: tuple[Worn, ...] = ()
