"""The formulas of `lighting` and `toon` without OpenGL, in compiled loops over vertices and pixels.

Pictures are (H, W, 4) uint8 BGRA, premultiplied; the fragments' first pixel lies at `corner`, (row, column), of the
picture. Axes are OpenGL's: x right, y up, z toward the viewer.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.srgb import encoded, linear
from face3dmm_ros.rendering.lighting import Lighting
from face3dmm_ros.rendering.toon import MIDDLE_TINT, SHADOW_TINT

_DECODED = linear(np.arange(256) / 255.0)
_STEPS = 4096
"""Of a table that is read between its entries: with so many it is right to a hundredth of an sRGB level."""
_ENCODED = 255.0 * encoded(np.arange(_STEPS + 2) / _STEPS)

_LONGEST_LINE = 1e5
"""Px; none of a mesh that can be seen is longer."""

_Vector = tuple[float, float, float]


class Drawn(NamedTuple):
    """What is seen of a mesh.

    Attributes:
        vertices: (N, 3) float64, as `rasterization.draw` took them.
        triangles: (M, 3) int32.
        seen: (h, w) int32, the triangle of each fragment, −1 for none.
        weights: (h, w, 3) float32, barycentric.
        opacity: (N,) float32 in [0, 1], of the vertices.
    """

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int32]
    seen: NDArray[np.int32]
    weights: NDArray[np.float32]
    opacity: NDArray[np.float32]


class Light(NamedTuple):
    """`Lighting` as compiled loops take it, seen from the model: tuples, whose use costs no counting of references.

    Attributes:
        to_light: L, in model space.
        halfway: H, in model space.
        to_viewer: V, in model space.
        phong: whether the highlight is Phong's.
        ambient, diffuse, specular: red, green and blue of each term.
        shininess: n.
        transmission: share of the scattered light that shows on the back.
    """

    to_light: _Vector
    halfway: _Vector
    to_viewer: _Vector
    phong: bool
    ambient: _Vector
    diffuse: _Vector
    specular: _Vector
    shininess: float
    transmission: float

    @staticmethod
    def of(lighting: Lighting, normal_to_world: NDArray[np.float64]) -> "Light":
        """A lighting for a model that is turned so, (3, 3)."""
        to_model, color = normal_to_world.T, np.array(lighting.color, np.float64)
        halfway = lighting.to_light + np.array([0.0, 0.0, 1.0])
        # There is none, and no highlight either, where the light comes straight from behind.
        halfway /= max(float(np.linalg.norm(halfway)), 1e-9)
        return Light(
            as_vector(to_model @ lighting.to_light),
            as_vector(to_model @ halfway),
            as_vector(to_model[:, 2]),
            lighting.model == "phong",
            as_vector(lighting.ambient),
            as_vector(lighting.diffuse * color),
            as_vector(lighting.specular * color),
            float(lighting.shininess),
            float(lighting.transmission),
        )


def as_vector(values: Sequence[float] | NDArray[np.floating]) -> _Vector:
    """Three numbers as the compiled loops take them."""
    x, y, z = values
    return float(x), float(y), float(z)


@compiled
def _dot(a: _Vector, b: _Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@compiled
def _unit(vector: _Vector) -> _Vector:
    """A vector at length 1; zero stays as it is."""
    length = max(math.sqrt(vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2), 1e-9)
    return vector[0] / length, vector[1] / length, vector[2] / length


@compiled
def _shown(light: float) -> float:
    """Linear light from 0 up as sRGB from 0 to 255."""
    at = min(light, 1.0) * _STEPS
    cell = int(at)
    return _ENCODED[cell] + (at - cell) * (_ENCODED[cell + 1] - _ENCODED[cell])


@compiled
def _lit(albedo: _Vector, normal: _Vector, front: bool, light: Light) -> _Vector:
    """The sRGB, 0 to 255, of a surface point; its normal may have any length."""
    N = _unit(normal)
    lambert = max(_dot(N, light.to_light), 0.0)
    highlight = 0.0
    if not front:
        lambert *= light.transmission
    elif lambert > 0.0:
        if light.phong:
            cosine = 2.0 * lambert * _dot(N, light.to_viewer) - _dot(light.to_light, light.to_viewer)
        else:
            cosine = _dot(N, light.halfway)
        highlight = max(cosine, 1e-6) ** light.shininess
    ambient, diffuse, specular = light.ambient, light.diffuse, light.specular
    return (
        _shown(albedo[0] * (ambient[0] + lambert * diffuse[0]) + highlight * specular[0]),
        _shown(albedo[1] * (ambient[1] + lambert * diffuse[1]) + highlight * specular[1]),
        _shown(albedo[2] * (ambient[2] + lambert * diffuse[2]) + highlight * specular[2]),
    )


@compiled
def _is_front(vertices: NDArray[np.float64], a: int, b: int, c: int) -> bool:
    """Whether a projected triangle is seen from outside: counter-clockwise, where y of `vertices` points down."""
    ux, uy = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1]
    vx, vy = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1]
    return bool(ux * vy - uy * vx < 0.0)


@compiled
def _blend(values: NDArray[np.floating], a: int, b: int, c: int, weights: _Vector) -> _Vector:
    """Three numbers per vertex, (N, 3), at barycentric weights between three vertices."""
    return (
        weights[0] * values[a, 0] + weights[1] * values[b, 0] + weights[2] * values[c, 0],
        weights[0] * values[a, 1] + weights[1] * values[b, 1] + weights[2] * values[c, 1],
        weights[0] * values[a, 2] + weights[1] * values[b, 2] + weights[2] * values[c, 2],
    )


@compiled
def _put(pixels: NDArray[np.uint8], y: int, x: int, rgb: _Vector, opacity: float) -> None:
    """Paint a pixel in sRGB from 0 to 255."""
    pixels[y, x, 0] = np.uint8(opacity * rgb[2] + 0.5)
    pixels[y, x, 1] = np.uint8(opacity * rgb[1] + 0.5)
    pixels[y, x, 2] = np.uint8(opacity * rgb[0] + 0.5)
    pixels[y, x, 3] = np.uint8(opacity * 255.0 + 0.5)


@compiled
def _opacity(opacity: NDArray[np.float32], a: int, b: int, c: int, weights: _Vector) -> float:
    """A vertex attribute at barycentric weights between three vertices, within [0, 1] whatever rounding does."""
    return min(max(weights[0] * opacity[a] + weights[1] * opacity[b] + weights[2] * opacity[c], 0.0), 1.0)


@compiled
def _clear(pixels: NDArray[np.uint8], y: int, x: int) -> None:
    """Let a pixel show nothing: what lies there hides what was painted before."""
    pixels[y, x, 0], pixels[y, x, 1], pixels[y, x, 2], pixels[y, x, 3] = 0, 0, 0, 0


@compiled
def _albedo(rgb: NDArray[np.uint8], i: int) -> _Vector:
    """A vertex's colour as linear light."""
    return _DECODED[rgb[i, 0]], _DECODED[rgb[i, 1]], _DECODED[rgb[i, 2]]


@compiled
def paint_lit_at_vertices(
    drawn: Drawn,
    rgb: NDArray[np.uint8],
    normals: NDArray[np.float32],
    light: Light,
    pixels: NDArray[np.uint8],
    corner: tuple[int, int],
) -> None:
    """Paint what is seen, lit at the corners of the triangles and blended between them.

    Args:
        drawn: what is seen.
        rgb: (N, 3) sRGB.
        normals: (N, 3) in model space, of any length.
        light: that falls on them.
        pixels: (H, W, 4), changed in place.
        corner: where the fragments lie in it.
    """
    vertices, triangles, seen, weights, opacity = drawn
    # Of each vertex's front, then of each one's back, and only of those that show: half of a face's, or fewer.
    colors = np.empty((2 * len(rgb), 3))
    lit = np.zeros(2 * len(rgb), np.bool_)
    top, left = corner
    a, b, c, side, last, hidden = 0, 0, 0, 0, -1, False
    for y in range(seen.shape[0]):
        for x in range(seen.shape[1]):
            t = seen[y, x]
            if t >= 0:
                if t != last:
                    last = t
                    a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                    front = _is_front(vertices, a, b, c)
                    side = 0 if front else len(rgb)
                    hidden = max(opacity[a], opacity[b], opacity[c]) <= 0.0
                    for i in (a, b, c):
                        if not hidden and not lit[side + i]:
                            lit[side + i] = True
                            normal = normals[i, 0], normals[i, 1], normals[i, 2]
                            color = _lit(_albedo(rgb, i), normal, front, light)
                            colors[side + i, 0], colors[side + i, 1], colors[side + i, 2] = color
                if hidden:
                    _clear(pixels, top + y, left + x)
                else:
                    at = weights[y, x, 0], weights[y, x, 1], weights[y, x, 2]
                    color = _blend(colors, side + a, side + b, side + c, at)
                    _put(pixels, top + y, left + x, color, _opacity(opacity, a, b, c, at))


@compiled
def paint_lit(
    drawn: Drawn,
    rgb: NDArray[np.uint8],
    normals: NDArray[np.float32],
    light: Light,
    pixels: NDArray[np.uint8],
    corner: tuple[int, int],
) -> None:
    """Paint what is seen, lit pixel by pixel; arguments as of `paint_lit_at_vertices`."""
    vertices, triangles, seen, weights, opacity = drawn
    albedo = np.empty((len(rgb), 3))
    for i in range(len(rgb)):
        albedo[i, 0], albedo[i, 1], albedo[i, 2] = _albedo(rgb, i)
    top, left = corner
    for y in range(seen.shape[0]):
        for x in range(seen.shape[1]):
            t = seen[y, x]
            if t >= 0:
                a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                if max(opacity[a], opacity[b], opacity[c]) <= 0.0:
                    _clear(pixels, top + y, left + x)
                    continue
                front, at = _is_front(vertices, a, b, c), (weights[y, x, 0], weights[y, x, 1], weights[y, x, 2])
                color = _lit(_blend(albedo, a, b, c, at), _blend(normals, a, b, c, at), front, light)
                _put(pixels, top + y, left + x, color, _opacity(opacity, a, b, c, at))


@compiled
def _smoothstep(low: float, high: float, value: float) -> float:
    """0 below `low`, 1 above `high`, and a smooth step between."""
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return share * share * (3.0 - 2.0 * share)


@compiled
def _flattened(srgb: _Vector) -> _Vector:
    """Brightness in soft steps and a stronger hue, as if painted with few colours; sRGB from 0 to 1."""
    steps = 6.0
    brightness = max(0.3 * srgb[0] + 0.59 * srgb[1] + 0.11 * srgb[2], 1e-3)
    whole = np.floor(brightness * steps)
    painted = (whole + _smoothstep(0.35, 0.65, brightness * steps - whole) + 0.15) / steps
    scale = painted / brightness
    return (
        min(max(painted + 1.35 * (srgb[0] * scale - painted), 0.0), 1.0),
        min(max(painted + 1.35 * (srgb[1] * scale - painted), 0.0), 1.0),
        min(max(painted + 1.35 * (srgb[2] * scale - painted), 0.0), 1.0),
    )


@compiled
def _toon(srgb: _Vector, N: _Vector, to_light: _Vector, to_viewer: _Vector) -> _Vector:
    """`toon.TOON_FUNCTION`, from 0 to 255; N is of unit length."""
    cosine = _dot(N, to_light)
    middle, bright = _smoothstep(-0.02, 0.08, cosine), _smoothstep(0.38, 0.50, cosine)
    rim = 0.35 * _smoothstep(0.66, 0.80, 1.0 - _dot(N, to_viewer)) * _smoothstep(0.15, 0.35, cosine)
    shade, half = (1.0 - bright) * (1.0 - middle), (1.0 - bright) * middle
    return (
        255.0 * ((1.0 - rim) * srgb[0] * (shade * SHADOW_TINT[0] + half * MIDDLE_TINT[0] + bright) + rim),
        255.0 * ((1.0 - rim) * srgb[1] * (shade * SHADOW_TINT[1] + half * MIDDLE_TINT[1] + bright) + rim),
        255.0 * ((1.0 - rim) * srgb[2] * (shade * SHADOW_TINT[2] + half * MIDDLE_TINT[2] + bright) + rim),
    )


@compiled
def paint_toon(
    drawn: Drawn,
    rgb: NDArray[np.uint8],
    normals: NDArray[np.float32],
    to_light: _Vector,
    to_viewer: _Vector,
    pixels: NDArray[np.uint8],
    corner: tuple[int, int],
) -> None:
    """Paint what is seen like a cartoon; arguments as of `paint_lit_at_vertices` and `Light`."""
    vertices, triangles, seen, weights, opacity = drawn
    srgb = rgb / 255.0
    top, left = corner
    for y in range(seen.shape[0]):
        for x in range(seen.shape[1]):
            t = seen[y, x]
            if t >= 0:
                a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                if max(opacity[a], opacity[b], opacity[c]) <= 0.0:
                    _clear(pixels, top + y, left + x)
                    continue
                at = weights[y, x, 0], weights[y, x, 1], weights[y, x, 2]
                nx, ny, nz = _unit(_blend(normals, a, b, c, at))
                if not _is_front(vertices, a, b, c):
                    nx, ny, nz = -nx, -ny, -nz
                flat_color = _flattened(_blend(srgb, a, b, c, at))
                color = _toon(flat_color, (nx, ny, nz), to_light, to_viewer)
                _put(pixels, top + y, left + x, color, _opacity(opacity, a, b, c, at))


@compiled
def paint_flat(drawn: Drawn, rgb: _Vector, pixels: NDArray[np.uint8], corner: tuple[int, int]) -> None:
    """Paint what is seen in one colour, sRGB from 0 to 255; other arguments as of `paint_lit_at_vertices`."""
    _, triangles, seen, weights, opacity = drawn
    top, left = corner
    for y in range(seen.shape[0]):
        for x in range(seen.shape[1]):
            t = seen[y, x]
            if t >= 0:
                a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                at = weights[y, x, 0], weights[y, x, 1], weights[y, x, 2]
                _put(pixels, top + y, left + x, rgb, _opacity(opacity, a, b, c, at))


@compiled
def paint_lines(
    vertices: NDArray[np.float64],
    edges: NDArray[np.int32],
    nearest: NDArray[np.float64],
    opacity: NDArray[np.float32],
    rgb: _Vector,
    pixels: NDArray[np.uint8],
    corner: tuple[int, int],
) -> None:
    """Paint lines a pixel wide where nothing lies before them.

    Args:
        vertices: (N, 3) as `rasterization.draw` took them.
        edges: (E, 2) vertex indices.
        nearest: (h, w) depth buffer.
        opacity: (N,) in [0, 1], of the vertices.
        rgb: their colour, sRGB from 0 to 255.
        pixels: (H, W, 4), changed in place.
        corner: where the depth buffer lies in it.
    """
    top, left = corner
    height, width = nearest.shape
    for e in range(len(edges)):
        a, b = edges[e, 0], edges[e, 1]
        ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        dx, dy, dz = vertices[b, 0] - ax, vertices[b, 1] - ay, vertices[b, 2] - az
        length = max(abs(dx), abs(dy))
        if not 0.0 < length < _LONGEST_LINE:
            continue
        # A pixel for each column that a flat line crosses, or for each row that a steep one does.
        begin, slope = (ax, dx) if abs(dx) >= abs(dy) else (ay, dy)
        first, last = np.round(min(begin, begin + slope)), np.round(max(begin, begin + slope))
        for step in range(int(last - first) + 1):
            share = min(max((first + step - begin) / slope, 0.0), 1.0)
            x, y = int(np.round(ax + share * dx)), int(np.round(ay + share * dy))
            if 0 <= x < width and 0 <= y < height and az + share * dz <= nearest[y, x]:
                shown = (1.0 - share) * opacity[a] + share * opacity[b]
                _put(pixels, top + y, left + x, rgb, shown)
