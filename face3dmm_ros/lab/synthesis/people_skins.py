"""Skins of people: textures of the model without light, from portraits with points set by hand.

A portrait is fitted, bent so that brows, lids, lips and nose lie where the model has them, and laid onto the model's
unwrapping. What light a few spherical harmonics tell is divided out; what remains of large light and dark areas is made
symmetric and paler; highlights are damped. Where the portrait shows no skin, the person's tone is continued over a
base, with detail of the other side of the head or made of noise as strong as the person's.

Colours are logarithms of linear light here, in which light and tone add.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RBFInterpolator

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.srgb import LUMINANCE, encoded, linear
from face3dmm_ros.files.pictures import find_pictures, read_picture
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.lab.synthesis.portrait_points import Portrait
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.landmarks.schemes import MEDIAPIPE478
from face3dmm_ros.morphable_model import MorphableModel, SurfacePoints
from face3dmm_ros.morphable_model.makehuman_layout import MakeHumanLayout
from face3dmm_ros.rendering.fractal_noise import pores
from face3dmm_ros.rendering.pull_push import continued
from face3dmm_ros.rendering.smoothstep import smoothstep
from face3dmm_ros.rendering.spherical_harmonics import fit_light
from face3dmm_ros.rendering.texture import DEFAULT_TEXTURE_SIZE, texture_fragments, unwrap
from face3dmm_ros.rendering.vertex_colors import vertex_visibility

# All that follows was chosen by hand while looking at textures and at heads rendered with them.
_DARKEST = 0.003  # linear light added before a logarithm is taken, so that black has one
_STIFFNESS = 0.02  # of the thin plate, in squares of the distance of the eyes: how much a point may miss
_FINEST = 5  # log₂ of texels: larger areas are tone, smaller ones detail
_MARGIN_MM, _FEATHER_MM = 2.0, 3.0  # within jaw and hairline, from where on pixels count, and over how much more
_HAIRLINE_MM = 5.0  # the same, in addition along the hairline, where strands begin
_HAIR = 0.22  # log luminance below the skin around it from which a pixel of the forehead is a hair
_STRANDS = 2.5  # so much rougher than the face's skin in the middle is forehead with strands over it
_PALER = 0.5  # share of what a tone's luminance varies over the face that is taken for skin, not for light
_DULLER = 0.8  # the same of its colours, which shadows and highlights change less
_GLOSS, _GLOSS_KEPT = 0.03, 0.3  # log luminance above the skin's from which it is a highlight; what is kept of more
_BASE_CONTRAST = 0.6  # what is kept of MakeHuman's skins' blotches, which are as large as light and shadow
_SIDEBURN = 91  # texels, twice of what MakeHuman's hair reaches beyond the model's
_NOISE = 0.5  # strength of noise that stands for detail, relative to the person's on the cheeks


def log_light(srgb: ArrayLike) -> NDArray[np.float32]:
    """Logarithm of linear light of sRGB in [0, 1]."""
    return np.asarray(np.log(linear(srgb) + _DARKEST), np.float32)


def from_log_light(log: NDArray[np.floating]) -> NDArray[np.uint8]:
    """sRGB, uint8, of `log_light`."""
    # A table of steps finer than a 255th: the formula takes most of a mixture's time.
    low, high = np.log(_DARKEST), np.log(1.0 + _DARKEST)
    table = np.round(255.0 * encoded(np.exp(np.linspace(low, high, 4096)) - _DARKEST)).astype(np.uint8)
    return table[np.clip((log - low) * (4095.0 / (high - low)) + 0.5, 0.0, 4095.0).astype(np.uint16)]


@dataclass(frozen=True, eq=False)
class SkinSpace:
    """A model's unwrapping with T texels that show its outside, in rows of S texels.

    Attributes:
        model: whose unwrapping it is.
        surface: the T texels' places on the model.
        triangle: (T,) the model's triangle at each.
        shown: (S, S) bool, which texels they are.
        rows: how many rows the outside's chart has; the left half mirrors the right one in them.
        plain: (S, S) float32, 1 on bare skin of the face: neither brows, lids, lips, nostrils nor ears.
        brows: (S, S) float32, 1 where brows may be.
        lips: (S, S) float32, 1 on lips.
    """

    model: MorphableModel
    surface: SurfacePoints
    triangle: NDArray[np.int32]
    shown: NDArray[np.bool_]
    rows: int
    plain: NDArray[np.float32]
    brows: NDArray[np.float32]
    lips: NDArray[np.float32]

    @staticmethod
    def of(model: MorphableModel, size: int = DEFAULT_TEXTURE_SIZE) -> "SkinSpace":
        """Of a model, with so many texels along each side.

        Raises:
            Face3DMMError: the model does not tell the regions of a face.
        """
        missing = {"skin", "face", "lips", "ears", "scalp", "mouth_interior"} - set(model.regions)
        if missing:
            raise Face3DMMError(
                f"model {model.name} lacks the regions {', '.join(sorted(missing))}, which a skin needs"
            )
        unwrapping = unwrap(model)
        fragments = texture_fragments(model, unwrapping, size)
        outside = np.append(unwrapping.skin, False)
        shown = outside[fragments.triangle]
        rows = int(np.flatnonzero(shown.any(axis=1))[-1]) + 1
        surface = fragments.surface_points(model.triangles, shown)
        x, y, z = model.mean.astype(np.float64).T
        side = np.abs(x)
        # mm on the mean face, from the middle of the eyes.
        brows = smoothstep(4.0, 9.0, side) * (1 - smoothstep(54.0, 62.0, side))
        brows *= smoothstep(8.0, 13.0, y) * (1 - smoothstep(30.0, 38.0, y)) * (z > -40)
        eyes = (1 - smoothstep(16.0, 21.0, np.hypot(side - 32.0, 1.4 * y))) * (z > -40)
        nostrils = (1 - smoothstep(20.0, 24.0, side)) * smoothstep(-54.0, -48.0, y) * (1 - smoothstep(-36.0, -30.0, y))
        face = model.regions["face"] * (1 - model.regions["lips"]) * (1 - model.regions["ears"])
        plain = face * (1 - brows) * (1 - eyes) * (1 - nostrils) * (1 - model.regions["mouth_interior"])
        maps = np.zeros((3, size, size), np.float32)
        maps[:, shown] = surface.interpolate(np.column_stack([plain, brows, model.regions["lips"]])).T
        return SkinSpace(model, surface, fragments.triangle[shown], shown, rows, *maps)

    def spread(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Values (N, C) of the model's vertices at the texels, (S, S, C); 0 where the outside is not shown."""
        texels = np.zeros((*self.shown.shape, values.shape[1]), np.float32)
        texels[self.shown] = self.surface.interpolate(values.astype(np.float32))
        return texels

    def mirrored(self, texels: NDArray) -> NDArray:
        """Texels (S, S, …) of the other side of the head."""
        other = texels.copy()
        other[: self.rows] = texels[: self.rows, ::-1]
        return other

    @property
    def finest(self) -> int:
        """log₂ of the texels from which on areas are large."""
        return max(0, _FINEST + round(np.log2(self._share)))

    def blurred(self, texels: NDArray, sigma: float) -> NDArray[np.float32]:
        """Texels (S, S, …) blurred by a Gaussian of sigma texels of a texture of 1024."""
        return np.asarray(cv2.GaussianBlur(texels, (0, 0), max(sigma * self._share, 0.3)), np.float32)

    def disc(self, across: int) -> NDArray[np.uint8]:
        """So many texels of a texture of 1024 across: an element to dilate and erode by."""
        side = max(round(across * self._share), 1)
        return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)

    @property
    def _share(self) -> float:
        return self.shown.shape[0] / DEFAULT_TEXTURE_SIZE

    def tone(self, log: NDArray[np.floating]) -> NDArray[np.float64]:
        """Mean of a texture's log light (S, S, 3) over the bare skin of the face, (3,)."""
        return np.tensordot(self.plain, log, 2) / self.plain.sum()


def plain_base(space: SkinSpace) -> NDArray[np.float32]:
    """The model's own skin and lips without brows and hair: log light, (S, S, 3)."""
    model = space.model
    tone = np.average(model.albedo_mean, axis=0, weights=model.regions["face"] * (1 - model.regions["lips"]))
    albedo = np.where(model.regions["lips"][:, None] > 0.5, model.albedo_mean, tone)
    return continued(log_light(space.spread(albedo)), space.shown.astype(np.float32), 0)


def makehuman_bases(space: SkinSpace, folder: Path) -> list[NDArray[np.float32]]:
    """MakeHuman's skins without the hair painted on them: log light, (S, S, 3) each.

    Args:
        space: where to lay them.
        folder: of MakeHuman's assets, with `skins` in it.

    Raises:
        Face3DMMError: there are no skins, or the model is none that they fit.
    """
    layout = MakeHumanLayout.of(space.model)
    uv = np.full((*space.shown.shape, 2), np.nan, np.float32)
    uv[space.shown] = np.einsum("tk,tkc->tc", space.surface.weights, layout.uv[space.triangle])
    regions = space.model.regions
    names = ("scalp", "ears", "mouth_interior")
    hair, ears, mouth = space.spread(np.column_stack([regions[name] for name in names])).transpose(2, 0, 1)
    # Hair is painted on beyond the model's hairline, but not on the ears.
    hair = cv2.dilate(np.ascontiguousarray(hair), space.disc(_SIDEBURN)) * (ears < 0.5)
    weight = ((hair < 0.1) & (mouth < 0.1) & (space.brows < 0.1) & np.isfinite(uv).all(axis=2)).astype(np.float32)
    weight = space.blurred(cv2.erode(weight, space.disc(9)), 4.0)
    uv = np.nan_to_num(uv)
    bases = []
    for path in find_pictures(folder / "skins", nested=False):
        skin = (read_picture(path)[..., ::-1] / 255.0).astype(np.float32)
        height, width = skin.shape[:2]
        x, y = uv[..., 0] * width - 0.5, (1.0 - uv[..., 1]) * height - 0.5
        base = continued(log_light(cv2.remap(skin, x, y, cv2.INTER_LINEAR)), weight, 0)
        tone = space.tone(base).astype(np.float32)
        bases.append(tone + _BASE_CONTRAST * (base - tone))
    return bases


@dataclass(frozen=True, eq=False)
class PersonSkin:
    """A person's skin.

    Attributes:
        log: (S, S, 3) float32, log light of red, green and blue, complete.
        seen: (S, S) float32, how far each texel comes from the picture.
    """

    log: NDArray[np.float32]
    seen: NDArray[np.float32]

    def forehead(self, space: SkinSpace) -> float:
        """How much of the forehead's bare skin the picture showed, from 0 to 1: less under a fringe."""
        height = space.spread(space.model.mean[:, 1:2])[..., 0]
        skin = space.plain * (height > 32.0) * (height < 62.0)
        return float((skin * self.seen).sum() / max(skin.sum(), 1e-6))


class SkinMaker:
    """Makes skins of a model from portraits."""

    def __init__(self, space: SkinSpace, bases: Sequence[NDArray[np.float32]] = ()) -> None:
        """Lay them onto an unwrapping.

        Args:
            space: the unwrapping.
            bases: what the skin is like where no picture shows it, log light (S, S, 3) each; the one nearest to a
                person's tone is taken. The model's own without any.
        """
        self.space = space
        self.bases = list(bases) or [plain_base(space)]
        self._backend = create_backend()

    def make(self, portrait: Portrait) -> PersonSkin:
        """The skin of the person in a portrait.

        Raises:
            Face3DMMError: no face is found in it.
        """
        space, model = self.space, self.space.model
        found = LandmarkTracker(self._backend).track(portrait.image)
        if not found:
            raise Face3DMMError(f"{portrait.name}: no face is found in the portrait")
        face = TrackFitter(model, "joint").fit(found[0])
        vertices = model.vertices(face.alpha, face.beta)
        normals = model.normals(vertices)
        projected = face.camera.project(vertices)
        points = model.scheme(MEDIAPIPE478).interpolate(projected)
        at = projected + bend(*portrait.correspondences(points), projected)
        visibility = vertex_visibility(vertices, normals, model.triangles, face.camera)
        attributes = np.column_stack([at, visibility, normals @ face.camera.rotation.T, model.mean])
        texels = space.spread(attributes)
        log, within = _looked_at(portrait, face.camera, texels[..., :2])
        hairy = _near_hairline(texels[..., 6:])
        margin = np.clip((within - _MARGIN_MM - _HAIRLINE_MM * hairy) / _FEATHER_MM, 0.0, 1.0)
        weight = np.asarray(margin * texels[..., 2], np.float32)
        log = _unlit(log, weight * space.plain, texels[..., 3:6])
        weight *= 1 - hairy * _hair(log, weight, space, hairy > 0)
        return self._completed(log, weight)

    def _completed(self, log: NDArray[np.float32], seen: NDArray[np.float32]) -> PersonSkin:
        """A whole head's skin from what the picture shows of it."""
        space = self.space
        known = seen * space.plain
        tone = np.tensordot(known, log, 2) / max(known.sum(), 1e-6)
        base = min(self.bases, key=lambda base: float(np.abs(space.tone(base) - tone).sum()))
        base = base + (tone - space.tone(base)).astype(np.float32)
        ratio = log - base
        smooth = continued(ratio, seen, space.finest)
        detail = ratio - smooth
        even = (smooth + space.mirrored(smooth)) / 2
        luminance = (even @ LUMINANCE)[..., None]
        even = _PALER * luminance + _DULLER * (even - luminance)
        bright = space.blurred(detail @ LUMINANCE, 4.0)
        detail = detail - (1 - _GLOSS_KEPT) * np.maximum(bright - _GLOSS, 0.0)[..., None]
        there = space.mirrored(seen) * (1 - seen)
        fine = detail - space.blurred(detail, 6.0)
        strength = np.sqrt(np.tensordot(known, fine**2, 2) / max(known.sum(), 1e-6)).mean() * _NOISE
        noise = pores(space.shown.shape[0]) * strength
        filled = seen[..., None] * detail + there[..., None] * space.mirrored(detail)
        filled += ((1 - seen - there) * noise)[..., None]
        return PersonSkin((base + even + filled).astype(np.float32), seen.astype(np.float32))


def bend(at: NDArray[np.floating], wanted: NDArray[np.floating], points: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far to move points (N, 2), px, so that those at (n, 2) come to where they are wanted (n, 2): a thin plate."""
    unit = np.linalg.norm(np.ptp(at, axis=0)) / 4.0
    middle = at.mean(axis=0)
    plate = RBFInterpolator(
        (at - middle) / unit, wanted - at, kernel="thin_plate_spline", smoothing=_STIFFNESS, degree=1
    )
    # Far from the face the plate's slope would carry on without end.
    reach = np.clip((points - middle) / unit, -2.5, 2.5)
    return np.asarray(plate(reach))


def _looked_at(
    portrait: Portrait, camera: WeakPerspective, at: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Log light (S, S, 3) of the picture at points (S, S, 2), px, and how far within the face's outline, (S, S) mm."""
    image = linear(np.arange(256) / 255.0).astype(np.float32)[portrait.image[..., ::-1]]
    inside = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.round(portrait.outline).astype(np.int32)], (1,))
    inside[0], inside[-1], inside[:, 0], inside[:, -1] = 0, 0, 0, 0
    within = (cv2.distanceTransform(inside, cv2.DIST_L2, 5) / camera.scale).astype(np.float32)
    x, y = np.ascontiguousarray(at[..., 0]), np.ascontiguousarray(at[..., 1])
    light = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    log = np.log(np.asarray(light, np.float32) + np.float32(_DARKEST))
    return log, np.asarray(cv2.remap(within, x, y, cv2.INTER_LINEAR), np.float32)


def _near_hairline(position: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where hair may hang over the face, (S, S) in [0, 1]: forehead and temples, by mm on the mean face (S, S, 3)."""
    height, side = position[..., 1], np.abs(position[..., 0])
    # The line falls toward the temples, as close over the brows' ends as they allow.
    forehead = smoothstep(31.0, 37.0, height + np.maximum(side - 45.0, 0.0))
    temples = smoothstep(60.0, 64.0, side) * smoothstep(-50.0, -35.0, height)
    return np.maximum(forehead, temples).astype(np.float32)


def _hair(
    log: NDArray[np.float32], weight: NDArray[np.float32], space: SkinSpace, where: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Where strands lie over the skin, (S, S) in [0, 1]: darker than the skin around, or rough."""
    middle = weight * space.plain * ~where
    luminance = log @ LUMINANCE
    around = continued(log, middle, space.finest + 1) @ LUMINANCE
    fine = (luminance - space.blurred(luminance, 3.0)) * (weight > 0)
    rough = np.sqrt(space.blurred(fine**2, 4.0))
    usual = float((rough * middle).sum() / max(middle.sum(), 1e-6))
    dark = space.blurred(luminance, 1.5) - around < -_HAIR
    strands = (dark | (rough > _STRANDS * usual)) & (weight > 0) & where
    spread = cv2.dilate(strands.astype(np.float32), space.disc(11))
    return space.blurred(spread, 4.0)


def _unlit(log: NDArray[np.float32], weight: NDArray[np.float32], normals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log light without the shading that nine spherical harmonics explain on skin of one tone.

    Args:
        log: (S, S, 3).
        weight: (S, S), of bare skin.
        normals: (S, S, 3), camera axes.
    """
    n = normals / np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-9)
    few = (slice(None, None, 4), slice(None, None, 4))
    used = weight[few] > 0.2
    light = fit_light(np.exp(log[few][used]), n[few][used], weight[few][used])
    if light is None:
        return log
    shading = np.clip(light.irradiance(n.reshape(-1, 3)).reshape(n.shape), 0.3, 2.0)
    return np.asarray(log - np.log(shading), np.float32)
