"""Distant light of any shape on a matt surface: nine numbers per colour (Ramamoorthi & Hanrahan, SIGGRAPH 2001).

Light from far away is a function on the sphere, L(ω) = Σ Lⱼ Yⱼ(ω), with Yⱼ the real spherical harmonics. A matt surface
gathers it over a hemisphere weighted by a cosine, and that leaves 98 % and more of the result in the first nine terms:

    E(n) / π = Σⱼ Lⱼ · (Aⱼ / π) · Yⱼ(n),   A = π, 2π/3, π/4 for the degrees 0, 1, 2

A surface of albedo a sends out a · E / π. Directions are in camera axes: x right, y down, z forward, so n_z < 0 on
whatever the camera sees. Light is linear; colours are encoded as sRGB (IEC 61966-2-1) only afterwards.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.srgb import LUMINANCE, encoded, linear
from face3dmm_ros.rendering.lighting import Lighting

UNLIT = Lighting(ambient=(1.0, 1.0, 1.0), diffuse=0.0, specular=0.0)
"""With this, the OpenGL renderer shows vertex colours unchanged, such as those of `SphericalHarmonicsLight.shade`."""

COEFFICIENTS = 9
"""Number of spherical harmonics of degrees 0, 1 and 2."""

IRRADIANCE_SCALES = (
    *np.sqrt([1.0 / (4.0 * np.pi)]).tolist(),
    *((2.0 / 3.0) * np.sqrt(np.full(3, 3.0 / (4.0 * np.pi)))).tolist(),
    *(0.25 * np.sqrt(np.array([15.0, 15.0, 5.0 / 4.0, 15.0, 15.0 / 4.0]) / (4.0 * np.pi))).tolist(),
)
"""(Aⱼ / π) · the norm of Yⱼ, in the order 1 | y, z, x | xy, yz, 3z² − 1, zx, x² − y²."""


# Of `fit_light`, chosen by hand.
_STEPS = 8  # of reweighting
_OUTLIER = 0.1  # of the mean luminance
_BEND = 0.02  # prior of the light's second degree, relative to how well the surface tells it


@dataclass(frozen=True, eq=False)
class SphericalHarmonicsLight:
    """Distant light, constant over a face.

    Attributes:
        coefficients: Lⱼ of red, green and blue, (9, 3) float64, linear radiance; even white light of radiance 1 from
            everywhere is √(4π) in the first row.
    """

    coefficients: NDArray[np.float64]

    def __post_init__(self) -> None:
        if np.shape(self.coefficients) != (COEFFICIENTS, 3) or not np.isfinite(self.coefficients).all():
            raise Face3DMMError(f"a light is nine finite numbers per colour, (9, 3), found {self.coefficients!r}")

    @staticmethod
    def even(radiance: float = 1.0) -> "SphericalHarmonicsLight":
        """White light of one radiance from all directions."""
        coefficients = np.zeros((COEFFICIENTS, 3))
        coefficients[0] = radiance * np.sqrt(4.0 * np.pi)
        return SphericalHarmonicsLight(coefficients)

    def irradiance(self, normals: ArrayLike) -> NDArray[np.float64]:
        """E(n) / π of unit normals in camera axes, (N, 3) → (N, 3) linear RGB, never negative."""
        x, y, z = np.asarray(normals, dtype=np.float64).T
        return np.maximum(np.stack(irradiance_basis(x, y, z), axis=-1) @ self.coefficients, 0.0)

    def shade(self, albedo: ArrayLike, normals: ArrayLike) -> NDArray[np.uint8]:
        """Colours (N, 3) uint8 sRGB of surfaces with sRGB albedo (N, 3) in [0, 1] and unit normals in camera axes."""
        return np.round(255.0 * encoded(linear(albedo) * self.irradiance(normals))).astype(np.uint8)


def irradiance_basis(x: Any, y: Any, z: Any) -> list[Any]:
    """(Aⱼ / π) · Yⱼ of unit vectors, nine arrays like x, y and z, which may be numpy's or torch's."""
    terms = (1.0 + 0.0 * x, y, z, x, x * y, y * z, 3.0 * z * z - 1.0, z * x, x * x - y * y)
    return [scale * term for scale, term in zip(IRRADIANCE_SCALES, terms, strict=True)]


def fit_light(
    light: NDArray[np.floating], normals: NDArray[np.floating], weight: NDArray[np.floating]
) -> SphericalHarmonicsLight | None:
    """The light on a surface, relative to its mean there, by what the surface sends out per albedo.

    Args:
        light: (P, 3) linear.
        normals: (P, 3) unit, in camera axes.
        weight: (P,), how far each point counts; highlights and cast shadows lose theirs (Cauchy's loss).

    Returns:
        None where there are too few points.
    """
    if len(weight) < 10 * COEFFICIENTS:
        return None
    H = np.stack(irradiance_basis(*normals.astype(np.float64).T), axis=-1)
    found, w = light.astype(np.float64), weight.astype(np.float64)
    found /= np.maximum(np.average(found, axis=0, weights=w), 1e-9)
    prior = np.diag([0.0] + [1e-3] * 3 + [_BEND] * 5) * w.sum() * np.mean(H[:, 0] ** 2)
    robust = w
    for _ in range(_STEPS):
        weighted = H * robust[:, None]
        solved = np.linalg.solve(H.T @ weighted + prior, weighted.T @ found)
        robust = w / (1 + (((found - H @ solved) @ LUMINANCE) / _OUTLIER) ** 2)
    return SphericalHarmonicsLight(solved)
