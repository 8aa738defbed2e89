"""A person's own colours as a texture: skin without the light of the picture, complete where the picture does not see.

What the picture sees is the picture, without the shading of the light in it. Elsewhere is the model's albedo with its
detail (`albedo_texture`) in the person's tone: near what is seen it follows the colours there, further off the mean
of the skin, or of the hair, that is seen; with detail of the head's other side, where that is seen, or with grain as
strong as the person's. So there are no seams.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.core.srgb import encoded, linear
from face3dmm_ros.rendering.albedo_texture import AlbedoTexture
from face3dmm_ros.rendering.fractal_noise import pores
from face3dmm_ros.rendering.pull_push import continued
from face3dmm_ros.rendering.smoothstep import smoothstep
from face3dmm_ros.rendering.spherical_harmonics import SphericalHarmonicsLight, fit_light
from face3dmm_ros.rendering.texture import (
    DARKEST,
    DEFAULT_TEXTURE_SIZE,
    SeenTexels,
    as_texture,
)

# All that follows was chosen by hand while looking at heads from the side.
_SHADING = (0.35, 1.8)  # within which light is divided out: less is a cast shadow, more a highlight
_SURE, _STRIDE = 0.2, 16  # how well texels are seen that tell the light, and each how many-th is asked
_STRANGE = 0.3  # log ratio to the skin's tone from which what lies on neck, ears and temples is no skin
_CENTER_MM = np.array([0.0, -30.0])  # middle of the face, x and y
_FACE_MM = (52.0, 68.0)  # from there to where all that the picture shows is taken for face, and to where nothing is
_REACH = 56.0  # texels of 1024, about 2 cm, over which colours at the edge of what is seen fade into the mean ones
_FEW = 200.0  # texels of 1024 that tell a hair's or an eye's mean half as well as the skin's does
_FINE = 6.0  # sigma, texels of 1024: detail below it is grain
_GRAIN = 0.4  # strength of the grain relative to the mean of the person's
_PIXEL = 1.2  # sigma, texels of 1024, of the grain in a picture of 1 px/mm: half a pixel
_EARS_SEEN = (0.6, 0.95)  # how well ears must be seen so that they count, and so that they count fully


def paint_albedo(
    texels: SeenTexels, *, light: SphericalHarmonicsLight | None = None, texture: AlbedoTexture | None = None
) -> NDArray[np.uint8]:
    """Paint a person's skin from a picture, (S, S, 3) uint8 BGR, as bright as the picture shows it.

    Args:
        texels: what the picture shows of the person.
        light: of the picture; told from it without.
        texture: of the model; its albedo has no detail without.
    """
    size = texels.size
    parts = _Parts.of(texels)
    picture = _unlit(texels, texels.seen * parts.plain, light)
    ratio = texels.log_ratio(picture, texels.albedo)
    tone = _mean(ratio, texels.seen * parts.plain)
    seen = texels.seen * _trusted(ratio - tone, texels, parts)

    base = texels.albedo
    if texture is not None:
        detail = np.expm1(ratio - continued(ratio, seen, texels.smooth_level + 1))
        delta = texture.fit(np.asarray(detail, np.float32), seen * parts.plain)
        factor = 1.0 + parts.outside[..., None] * (texture.factor(delta, size) - 1.0)
        base = np.asarray(base * factor, np.float32)
        ratio = texels.log_ratio(picture, base)
    tones = parts.mean_tones(ratio, seen)
    ratio = ratio - tones
    smooth = continued(ratio, seen, texels.smooth_level)
    detail = ratio - smooth
    share = size / DEFAULT_TEXTURE_SIZE
    # Half of a straight edge's surroundings are seen.
    near = np.clip(2.0 * _widely_blurred(seen, _REACH * share), 0.0, 1.0)
    there = (1.0 - seen) * texels.mirrored(seen)
    fine = detail - cv2.GaussianBlur(detail, (0, 0), max(_FINE * share, 0.3))
    strength = _GRAIN * float(_mean(np.abs(fine), seen * parts.plain).mean())
    # No finer than the picture.
    noise = cv2.GaussianBlur(pores(size), (0, 0), max(_PIXEL * share / texels.scale, 0.3))
    grain = (1.0 - seen - there) * parts.outside * strength * noise / noise.std()
    filled = tones + np.maximum(seen, near)[..., None] * smooth + seen[..., None] * detail
    filled += there[..., None] * texels.mirrored(detail) + grain[..., None]
    return as_texture(np.exp(filled) * (base + DARKEST) - DARKEST)


@dataclass(frozen=True, eq=False)
class _Parts:
    """Where things are in a texture, each (S, S) float32 in [0, 1].

    Attributes:
        plain: bare skin of the face, or all of it where the model does not tell.
        hair: the scalp.
        ears: the ears.
        inner: eyes, teeth, tongue and the mouth's inside.
        center: the face's middle, whose colours are a face's whatever they are.
    """

    plain: NDArray[np.float32]
    hair: NDArray[np.float32]
    ears: NDArray[np.float32]
    inner: NDArray[np.float32]
    center: NDArray[np.float32]

    @staticmethod
    def of(texels: SeenTexels) -> "_Parts":
        model = texels.model
        none, whole = np.zeros(model.vertex_count), np.ones(model.vertex_count)
        region = model.regions.get
        inner = np.max([region(name, none) for name in ("eyes", "teeth", "mouth_interior")], axis=0)
        others = np.max([inner, *(region(name, none) for name in ("lips", "brows", "scalp", "beard", "ears"))], axis=0)
        off = np.linalg.norm((model.mean[:, :2] - _CENTER_MM) / [1.0, 1.3], axis=1)
        center = 1.0 - smoothstep(*_FACE_MM, off)
        plain = region("face", whole) * (1.0 - others)
        values = np.column_stack([plain, region("scalp", none), region("ears", none), inner, center])
        return _Parts(*np.moveaxis(texels.spread(values), -1, 0))

    @property
    def outside(self) -> NDArray[np.float32]:
        return 1.0 - self.inner

    def mean_tones(self, ratio: NDArray[np.float32], seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean log ratio (S, S, 3) of what is seen of skin, of hair and of the eyes, each at its own texels."""
        few = _FEW * (len(seen) / DEFAULT_TEXTURE_SIZE) ** 2
        skin = _mean(ratio, seen * self.plain)
        hair, inner = (_mean(ratio, seen * part, skin, few) for part in (self.hair, self.inner))
        tones = skin + self.hair[..., None] * (hair - skin) + self.inner[..., None] * (inner - skin)
        return np.asarray(tones, np.float32)


def _unlit(
    texels: SeenTexels, weight: NDArray[np.float32], light: SphericalHarmonicsLight | None
) -> NDArray[np.float32]:
    """The picture's sRGB (S, S, 3) where it is seen, without shading, its mean over the skin kept."""
    looked = texels.seen > 0.0
    picture, normals, weight = linear(texels.picture[looked]), texels.normals[looked], weight[looked]
    few = np.flatnonzero(weight > _SURE)[::_STRIDE]
    if light is None:
        albedo = linear(texels.albedo[looked][few])
        light = fit_light(picture[few] / np.maximum(albedo, 1e-3), normals[few], weight[few])
    if light is None or not len(few):
        return texels.picture
    shading = light.irradiance(normals)
    shading /= np.maximum(np.average(shading[few], axis=0, weights=weight[few]), 1e-3)
    unlit = texels.picture.copy()
    unlit[looked] = encoded(picture / np.clip(shading, *_SHADING))
    return unlit


def _trusted(ratio: NDArray[np.float32], texels: SeenTexels, parts: _Parts) -> NDArray[np.float32]:
    """How far what is seen is the person, (S, S) in [0, 1]: off the face's middle a collar or the wall may be.

    `ratio` is (S, S, 3), log, to the skin's tone.
    """
    off = continued(np.abs(ratio), texels.seen, max(texels.smooth_level - 3, 0)).max(axis=2) / _STRANGE
    free = np.maximum.reduce([parts.center, parts.hair, parts.inner])
    trusted = free + (1.0 - free) / (1.0 + off**4)
    # Ears stand out from a head in their own way: from the front the picture has something else there.
    return np.asarray(trusted * (1.0 - parts.ears * (1.0 - smoothstep(*_EARS_SEEN, texels.seen))), np.float32)


def _mean(
    values: NDArray[np.floating], weight: NDArray[np.floating], expected: ArrayLike = 0.0, strength: float = 1e-6
) -> NDArray[np.float32]:
    """Weighted mean of texels (S, S, C), (C,), drawn to what is expected as by texels of so much weight."""
    sums = np.tensordot(weight, values, 2).astype(np.float64)
    mean = (sums + strength * np.asarray(expected)) / (float(weight.sum()) + strength)
    return mean.astype(np.float32)


def _widely_blurred(texels: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Texels (S, S) blurred by a Gaussian of many texels, at an eighth of their number along each side."""
    few = cv2.resize(texels, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(few, (0, 0), max(sigma / 8.0, 0.3))
    return np.asarray(cv2.resize(blurred, texels.shape[::-1], interpolation=cv2.INTER_LINEAR))
