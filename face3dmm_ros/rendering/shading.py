"""The formulas of `lighting` and `toon` without OpenGL, in compiled loops over vertices and pixels.

Pictures are (H, W, 4) uint8 BGRA, and what is painted is opaque; the fragments' first pixel lies at `corner`, (row,
column), of the picture. Axes are OpenGL's: x right, y up, z toward the viewer.
"""

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


class Light(NamedTuple):
    """`Lighting` as compiled loops take it.

    Attributes:
        to_light: L, (3,) float64.
        halfway: H, (3,) float64.
        phong: whether the highlight is Phong's.
        ambient, diffuse, specular: (3,) float64, red, green and blue of each term.
        shininess: n.
        transmission: share of the scattered light that shows on the back.
    """

    to_light: NDArray[np.float64]
    halfway: NDArray[np.float64]
    phong: bool
    ambient: NDArray[np.float64]
    diffuse: NDArray[np.float64]
    specular: NDArray[np.float64]
    shininess: float
    transmission: float

    @staticmethod
    def of(lighting: Lighting) -> "Light":
        """The terms of a lighting, each with its colour."""
        to_light, color = lighting.to_light, np.array(lighting.color, np.float64)
        halfway = to_light + np.array([0.0, 0.0, 1.0])
        return Light(
            to_light,
            # There is none, and no highlight either, where the light comes straight from behind.
            halfway / max(float(np.linalg.norm(halfway)), 1e-9),
            lighting.model == "phong",
            np.array(lighting.ambient, np.float64),
            lighting.diffuse * color,
            lighting.specular * color,
            float(lighting.shininess),
            float(lighting.transmission),
        )


@compiled
def _shown(light: float) -> float:
    """Linear light from 0 up as sRGB from 0 to 255."""
    at = min(light, 1.0) * _STEPS
    cell = int(at)
    return _ENCODED[cell] + (at - cell) * (_ENCODED[cell + 1] - _ENCODED[cell])


@compiled
def _lit(albedo: _Vector, normal: _Vector, front: bool, light: Light) -> _Vector:
    """The sRGB, 0 to 255, of a surface point; its normal may have any length."""
    length = max(np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2), 1e-9)
    nx, ny, nz = normal[0] / length, normal[1] / length, normal[2] / length
    to_light, halfway = light.to_light, light.halfway
    lambert = max(nx * to_light[0] + ny * to_light[1] + nz * to_light[2], 0.0)
    highlight = 0.0
    if not front:
        lambert *= light.transmission
    elif lambert > 0.0:
        if light.phong:
            cosine = 2.0 * lambert * nz - to_light[2]
        else:
            cosine = nx * halfway[0] + ny * halfway[1] + nz * halfway[2]
        highlight = max(cosine, 1e-6) ** light.shininess
    ambient, diffuse, specular = light.ambient, light.diffuse, light.specular
    return (
        _shown(albedo[0] * (ambient[0] + lambert * diffuse[0]) + highlight * specular[0]),
        _shown(albedo[1] * (ambient[1] + lambert * diffuse[1]) + highlight * specular[1]),
        _shown(albedo[2] * (ambient[2] + lambert * diffuse[2]) + highlight * specular[2]),
    )


@compiled
def lit_vertices(rgb: NDArray[np.uint8], normals: NDArray[np.float64], light: Light) -> NDArray[np.float64]:
    """What vertices show of their front and of their back, (2, N, 3) float64 sRGB from 0 to 255.

    Args:
        rgb: (N, 3) sRGB.
        normals: (N, 3), of any length.
        light: that falls on them.
    """
    colors = np.empty((2, len(rgb), 3))
    for i in range(len(rgb)):
        albedo = _DECODED[rgb[i, 0]], _DECODED[rgb[i, 1]], _DECODED[rgb[i, 2]]
        normal = normals[i, 0], normals[i, 1], normals[i, 2]
        colors[0, i, 0], colors[0, i, 1], colors[0, i, 2] = _lit(albedo, normal, True, light)
        colors[1, i, 0], colors[1, i, 1], colors[1, i, 2] = _lit(albedo, normal, False, light)
    return colors


@compiled
def _is_front(vertices: NDArray[np.float64], a: int, b: int, c: int) -> bool:
    """Whether a projected triangle is seen from outside: counter-clockwise, where y of `vertices` points down."""
    ux, uy = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1]
    vx, vy = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1]
    return bool(ux * vy - uy * vx < 0.0)


@compiled
def _blend(values: NDArray[np.float64], a: int, b: int, c: int, weights: NDArray[np.float32]) -> _Vector:
    """Three numbers per vertex, (N, 3), at barycentric weights, (3,), between three vertices."""
    return (
        weights[0] * values[a, 0] + weights[1] * values[b, 0] + weights[2] * values[c, 0],
        weights[0] * values[a, 1] + weights[1] * values[b, 1] + weights[2] * values[c, 1],
        weights[0] * values[a, 2] + weights[1] * values[b, 2] + weights[2] * values[c, 2],
    )


@compiled
def _put(pixels: NDArray[np.uint8], y: int, x: int, rgb: _Vector) -> None:
    """Paint a pixel in sRGB from 0 to 255."""
    pixels[y, x, 0] = np.uint8(rgb[2] + 0.5)
    pixels[y, x, 1] = np.uint8(rgb[1] + 0.5)
    pixels[y, x, 2] = np.uint8(rgb[0] + 0.5)
    pixels[y, x, 3] = 255


@compiled
def paint_vertex_colors(
    vertices: NDArray[np.float64],
    triangles: NDArray[np.int32],
    seen: NDArray[np.int32],
    weights: NDArray[np.float32],
    colors: NDArray[np.float64],
    pixels: NDArray[np.uint8],
    corner: tuple[int, int],
) -> None:
    """Paint what is seen in the colours of `lit_vertices`.

    Args:
        vertices: (N, 3) as `rasterization.draw` took them.
        triangles: (M, 3).
        seen: (h, w) triangle of each fragment, −1 for none.
        weights: (h, w, 3).
        colors: (2, N, 3).
        pixels: (H, W, 4), changed in place.
        corner: where the fragments lie in it.
    """
    top, left = corner
    for y in range(seen.shape[0]):
        for x in range(seen.shape[1]):
            if seen[y, x] >= 0:
                a, b, c = triangles[seen[y, x]]
                side = 0 if _is_front(vertices, a, b, c) else 1
                _put(pixels, top + y, left + x, _blend(colors[side], a, b, c, weights[y, x]))


@compiled
def paint_lit(
    vertices: NDArray[np.float64],
    triangles: NDArray[np.int32],
    seen: NDArray[np.int32],
    weights: NDArray[np.float32],
    rgb: NDArray[np.uint8],
    normals: NDArray[np.float64],
    light: Light,
    pixels: NDArray[np.uint8],
    corner: tuple[int, int],
) -> None:
    """Paint what is seen, lit pixel by pixel; arguments as of `paint_vertex_colors` and `lit_vertices`."""
    albedo = np.empty((len(rgb), 3))
    for i in range(len(rgb)):
        for k in range(3):
            albedo[i, k] = _DECODED[rgb[i, k]]
    top, left = corner
    for y in range(seen.shape[0]):
        for x in range(seen.shape[1]):
            if seen[y, x] >= 0:
                a, b, c = triangles[seen[y, x]]
                front, at = _is_front(vertices, a, b, c), weights[y, x]
                color = _lit(_blend(albedo, a, b, c, at), _blend(normals, a, b, c, at), front, light)
                _put(pixels, top + y, left + x, color)


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
def _toon(srgb: _Vector, normal: _Vector, to_light: NDArray[np.float64]) -> _Vector:
    """`toon.TOON_FUNCTION`, from 0 to 255; the normal is of unit length."""
    cosine = normal[0] * to_light[0] + normal[1] * to_light[1] + normal[2] * to_light[2]
    middle, bright = _smoothstep(-0.02, 0.08, cosine), _smoothstep(0.38, 0.50, cosine)
    rim = 0.35 * _smoothstep(0.66, 0.80, 1.0 - normal[2]) * _smoothstep(0.15, 0.35, cosine)
    shade = (1.0 - bright) * (1.0 - middle)
    half = (1.0 - bright) * middle
    return (
        255.0 * ((1.0 - rim) * srgb[0] * (shade * SHADOW_TINT[0] + half * MIDDLE_TINT[0] + bright) + rim),
        255.0 * ((1.0 - rim) * srgb[1] * (shade * SHADOW_TINT[1] + half * MIDDLE_TINT[1] + bright) + rim),
        255.0 * ((1.0 - rim) * srgb[2] * (shade * SHADOW_TINT[2] + half * MIDDLE_TINT[2] + bright) + rim),
    )


@compiled
def paint_toon(
    vertices: NDArray[np.float64],
    triangles: NDArray[np.int32],
    seen: NDArray[np.int32],
    weights: NDArray[np.float32],
    rgb: NDArray[np.uint8],
    normals: NDArray[np.float64],
    to_light: NDArray[np.float64],
    pixels: NDArray[np.uint8],
    corner: tuple[int, int],
) -> None:
    """Paint what is seen like a cartoon; arguments as of `paint_lit`."""
    srgb = rgb / 255.0
    top, left = corner
    for y in range(seen.shape[0]):
        for x in range(seen.shape[1]):
            if seen[y, x] >= 0:
                a, b, c = triangles[seen[y, x]]
                nx, ny, nz = _blend(normals, a, b, c, weights[y, x])
                length = max(np.sqrt(nx * nx + ny * ny + nz * nz), 1e-9)
                if not _is_front(vertices, a, b, c):
                    length = -length
                flat_color = _flattened(_blend(srgb, a, b, c, weights[y, x]))
                toon = _toon(flat_color, (nx / length, ny / length, nz / length), to_light)
                _put(pixels, top + y, left + x, toon)


@compiled
def paint_lines(
    vertices: NDArray[np.float64],
    edges: NDArray[np.int32],
    nearest: NDArray[np.float64],
    rgb: _Vector,
    pixels: NDArray[np.uint8],
    corner: tuple[int, int],
) -> None:
    """Paint lines a pixel wide where nothing lies before them.

    Args:
        vertices: (N, 3) as `rasterization.draw` took them.
        edges: (E, 2) vertex indices.
        nearest: (h, w) depth buffer.
        rgb: their colour, sRGB from 0 to 255.
        pixels: (H, W, 4), changed in place.
        corner: where the depth buffer lies in it.
    """
    top, left = corner
    height, width = nearest.shape
    for e in range(len(edges)):
        a, b = edges[e]
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
                _put(pixels, top + y, left + x, rgb)
