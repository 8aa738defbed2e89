"""A face's texture: the model unwrapped onto a square, painted from a picture, with hidden parts filled in.

The head is unwrapped around an axis through it, as longitude and latitude; what lies inside (eyeballs, teeth, tongue,
mouth) gets charts of its own below, so that it does not share the skin's texels.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import Mesh
from face3dmm_ros.morphable_model.model import MorphableModel
from face3dmm_ros.rendering.connected_parts import connected_parts
from face3dmm_ros.rendering.layer import check_image
from face3dmm_ros.rendering.pull_push import continued
from face3dmm_ros.rendering.rasterization import Fragments, rasterize
from face3dmm_ros.rendering.vertex_colors import vertex_visibility

DEFAULT_TEXTURE_SIZE = 1024
"""Texels along each side of a texture; chosen by hand: more show finer detail and make larger files."""

LARGEST_TEXTURE_SIZE = 8192
"""Texels along each side that graphics cards commonly support."""

_INNER_REGIONS = ("eyes", "mouth_interior", "teeth")

# Chosen by hand.
_SKIN_SHARE = 0.88  # of the texture's height; the charts of the inner parts share the rest
_FRONT_EMPHASIS = 0.8  # exponent of the longitude: below 1, the face gets more texels than the back of the head
_POLE_MM = 12.0  # the axis may be moved by so much to go through a vertex

SMOOTH_TEXELS = 32
"""In a texture of 1024: light and skin tone vary over more texels, features over fewer. By hand."""

DARKEST = 0.03
"""sRGB added before a ratio is taken, so that black has a finite one. By hand."""


@dataclass(frozen=True, eq=False)
class Unwrapping:
    """Where a model's surface lies in a texture.

    Attributes:
        vertices: (V,) int32 model vertex of each texture vertex; along seams a vertex is there more than once.
        uv: (V, 2) float32, u right and v down, (0, 0) the texture's top left corner. u runs beyond 1 behind the head's
            seam, where the texture repeats.
        triangles: (M, 3) int32 texture vertices, in the order of the model's triangles.
        skin: (M,) bool, triangles of the head's outside.
    """

    vertices: NDArray[np.int32]
    uv: NDArray[np.float32]
    triangles: NDArray[np.int32]
    skin: NDArray[np.bool_]

    def of(self, mesh: Mesh) -> Mesh:
        """A mesh of the model with the texture's vertices instead of the model's."""
        at = self.vertices
        return replace(
            mesh, vertices=mesh.vertices[at], normals=mesh.normals[at], rgb=mesh.rgb[at], triangles=self.triangles
        )


def unwrap(model: MorphableModel) -> Unwrapping:
    """Unwrap a model's mean face; the result serves all faces of the model."""
    inner = np.zeros(model.vertex_count, bool)
    for name in _INNER_REGIONS:
        inner |= model.regions.get(name, np.zeros(1)) > 0.5
    skin = ~inner[model.triangles].all(axis=1)
    share = _SKIN_SHARE if not skin.all() else 1.0
    uv = np.empty((len(model.triangles), 3, 2))
    uv[skin] = _around_the_head(model.mean, model.triangles[skin]) * [1.0, share]
    _, part_of = connected_parts(model.triangles[~skin], model.vertex_count)
    charts = np.unique(part_of[model.triangles[~skin, 0]], return_inverse=True)[1]
    which = np.flatnonzero(~skin)
    for chart in range(charts.max(initial=-1) + 1):
        rows = which[charts == chart]
        flat = model.mean[model.triangles[rows]][..., :2].astype(np.float64) * [1.0, -1.0]
        low, high = flat.min(axis=(0, 1)), flat.max(axis=(0, 1))
        width, height = 1.0 / (charts.max() + 1), 1.0 - share
        inset = (flat - low) / np.maximum(high - low, 1e-9) * 0.9 + 0.05
        uv[rows] = inset * [width, height] + [chart * width, share]
    corners = np.column_stack([model.triangles.ravel(), np.round(uv.reshape(-1, 2) * 2**20)]).astype(np.int64)
    unique, first, index = np.unique(corners, axis=0, return_index=True, return_inverse=True)
    return Unwrapping(
        unique[:, 0].astype(np.int32),
        uv.reshape(-1, 2)[first].astype(np.float32),
        index.reshape(-1, 3).astype(np.int32),
        np.asarray(skin),
    )


def _around_the_head(mean: NDArray[np.float32], triangles: NDArray[np.int32]) -> NDArray[np.float64]:
    """(M, 3, 2): longitude and latitude of triangles' corners, in [0, 1]; u may exceed 1 behind the seam."""
    used = mean[np.unique(triangles)].astype(np.float64)
    middle = (used.min(axis=0) + used.max(axis=0)) / 2.0
    X = mean[triangles] - [0.0, middle[1], middle[2]]
    radius = np.hypot(X[..., 0], X[..., 2])
    pole = radius < _POLE_MM
    if pole.any():
        # The axis goes through a vertex, so that no triangle turns around it.
        crown = X[radius == radius[pole].min()][0]
        X[..., [0, 2]] -= crown[[0, 2]]
        radius = np.hypot(X[..., 0], X[..., 2])
    longitude = np.arctan2(X[..., 0], X[..., 2]) / np.pi
    u = 0.5 + 0.5 * np.sign(longitude) * np.abs(longitude) ** _FRONT_EMPHASIS
    # A triangle that spans the seam at the back of the head continues beyond the right edge.
    at_pole = radius < 1e-6
    u[at_pole] = np.nan
    u += (np.nanmax(u, axis=1, keepdims=True) - u > 0.5) & (u < 0.5)
    # A vertex on the axis has no longitude: each triangle gives it that of its others.
    u = np.where(at_pole, np.nanmean(u, axis=1, keepdims=True), u)
    latitude = np.arctan2(X[..., 1], np.maximum(radius, 1e-9))
    low, high = latitude.min(), latitude.max()
    return np.stack([u, (high - latitude) / max(high - low, 1e-9)], axis=2)


@dataclass(frozen=True, eq=False)
class SeenTexels:
    """A model's unwrapping, S texels along each side, and what a picture shows of it.

    Attributes:
        model: the model.
        fragments: its triangle at each texel.
        scale: px of the picture per mm.
        skin_rows: how many rows the outside's chart has; the left half mirrors the right one in them.
        picture: (S, S, 3) float32, sRGB in [0, 1] of the picture; nothing in particular where it is not seen.
        albedo: (S, S, 3) float32, the model's, likewise, and continued beyond the surface.
        normals: (S, S, 3) float32 unit, in camera axes; 0 beyond the surface.
        seen: (S, S) float32 in [0, 1], how well the picture shows it.
    """

    model: MorphableModel
    fragments: Fragments
    scale: float
    skin_rows: int
    picture: NDArray[np.float32]
    albedo: NDArray[np.float32]
    normals: NDArray[np.float32]
    seen: NDArray[np.float32]

    @property
    def size(self) -> int:
        """S."""
        return len(self.seen)

    @property
    def smooth_level(self) -> int:
        """log₂ of the texels from which on areas are large."""
        return max(0, round(np.log2(SMOOTH_TEXELS * self.size / 1024.0)))

    def spread(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Values (N, C) of the model's vertices at the texels, (S, S, C); 0 beyond the surface."""
        return _spread(self.model, self.fragments, values)

    def mirrored(self, texels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Texels (S, S, …) of the head's other side; 0 for what lies inside."""
        other = np.zeros_like(texels)
        other[: self.skin_rows] = texels[: self.skin_rows, ::-1]
        return other

    def log_ratio(self, colors: NDArray[np.float32], base: NDArray[np.float32]) -> NDArray[np.float32]:
        """log of some sRGB over other, (S, S, 3), finite also for black."""
        return np.log((colors + np.float32(DARKEST)) / (base + np.float32(DARKEST)))


def look_at_texels(
    image: NDArray[np.uint8],
    model: MorphableModel,
    unwrapping: Unwrapping,
    vertices: NDArray[np.float32],
    camera: WeakPerspective,
    *,
    gamma: NDArray[np.floating] | tuple[()] = (),
    size: int = DEFAULT_TEXTURE_SIZE,
) -> SeenTexels:
    """Look up a face's texels in a picture.

    Args:
        image: (H, W, 3) uint8 BGR.
        model: the face model.
        unwrapping: of that model.
        vertices: (N, 3) the face in the picture, model space, mm.
        camera: projects the face into the picture.
        gamma: albedo coefficients of the person; the first of them or none.
        size: texels along each side.

    Raises:
        Face3DMMError: the image has another form, or the size is out of range.
    """
    check_image(image)
    if not 16 <= size <= LARGEST_TEXTURE_SIZE:
        raise Face3DMMError(f"a texture has 16 to {LARGEST_TEXTURE_SIZE} texels along each side, not {size}")
    projected, normals = camera.project(vertices), model.normals(vertices)
    inside = ((projected >= 0.0) & (projected <= np.array(image.shape[1::-1]) - 1.0)).all(axis=1)
    visibility = inside * vertex_visibility(vertices, normals, model.triangles, camera)
    attributes = np.column_stack([projected, visibility, model.albedo(gamma), normals @ camera.rotation.T])
    fragments = texture_fragments(model, unwrapping, size)
    covered = fragments.triangle >= 0
    texels = _spread(model, fragments, attributes)
    x, y = np.ascontiguousarray(texels[..., 0]), np.ascontiguousarray(texels[..., 1])
    picture = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[..., ::-1]
    n = texels[..., 6:]
    return SeenTexels(
        model,
        fragments,
        camera.scale,
        size if unwrapping.skin.all() else round(_SKIN_SHARE * size),
        picture / np.float32(255.0),
        continued(texels[..., 3:6], covered.astype(np.float32), 0),
        n / np.maximum(np.linalg.norm(n, axis=2, keepdims=True), np.float32(1e-9)),
        texels[..., 2] * covered,
    )


def paint_texture(texels: SeenTexels) -> NDArray[np.uint8]:
    """Paint the texture of a face from a picture, (S, S, 3) uint8 BGR.

    The log ratio q = log(picture / albedo) to the model's albedo is split into a smooth part, which is light and skin
    tone, and detail. Where the surface is visible in the picture, both come from there. Elsewhere the smooth part is
    extrapolated and the detail mirrored from the other side of the head, if that is visible; so there are no seams,
    and the light is the same everywhere.
    """
    ratio, seen = texels.log_ratio(texels.picture, texels.albedo), texels.seen
    smooth = continued(ratio, seen, texels.smooth_level)
    detail = ratio - smooth
    other_side = ((1.0 - seen) * texels.mirrored(seen))[..., None] * texels.mirrored(detail)
    filled = smooth + seen[..., None] * detail + other_side
    return as_texture(np.exp(filled) * (texels.albedo + DARKEST) - DARKEST)


def as_texture(colors: NDArray[np.floating]) -> NDArray[np.uint8]:
    """sRGB in [0, 1], red, green, blue, clipped, as uint8 BGR."""
    return np.round(255.0 * np.clip(colors[..., ::-1], 0.0, 1.0)).astype(np.uint8)


def texture_fragments(model: MorphableModel, unwrapping: Unwrapping, size: int) -> Fragments:
    """Which of the model's triangles lies at each texel of a texture of `size` texels a side, and where on it."""
    points = unwrapping.uv.astype(np.float64) * size - 0.5
    triangles = unwrapping.triangles
    behind_seam = np.flatnonzero((points[triangles, 0] > size - 0.5).any(axis=1))
    points = np.concatenate([points, points - [size, 0.0]])
    triangles = np.concatenate([triangles, triangles[behind_seam] + len(unwrapping.uv)])
    source = np.tile(unwrapping.vertices, 2)
    mean = model.mean.astype(np.float64)
    # Where the surface folds over itself, as behind the ears, the outer layer is painted.
    outward = np.linalg.norm(mean - (mean.min(axis=0) + mean.max(axis=0)) / 2.0, axis=1)
    inner = np.zeros(len(mean), bool)
    inner[model.triangles[~unwrapping.skin]] = True
    nearness = np.where(inner, mean[:, 2], outward)
    fragments = rasterize(points, -nearness[source], triangles, (size, size))
    whole = np.concatenate([np.arange(len(unwrapping.triangles)), behind_seam, [-1]]).astype(np.int32)
    return replace(fragments, triangle=whole[fragments.triangle])


def _spread(model: MorphableModel, fragments: Fragments, values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Vertices' values (N, C) at a texture's texels, (size, size, C); 0 where the surface covers none."""
    covered = fragments.triangle >= 0
    texels = np.zeros((*covered.shape, values.shape[1]), np.float32)
    texels[covered] = fragments.surface_points(model.triangles, covered).interpolate(values.astype(np.float32))
    return texels
