"""The model as pixels that torch can differentiate: rasterised visibility, interpolated attributes, SH light.

Which triangle a pixel sees is decided without a gradient (`face3dmm_ros.rendering.rasterization`). Where on it the
pixel's centre lies, its albedo, its normal and its light are functions of the parameters, and torch carries their
gradients: exact inside the face, silent about pixels that would change triangles at its outline.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.morphable_model.model import MorphableModel
from face3dmm_ros.rendering.rasterization import Fragments, rasterize
from face3dmm_ros.rendering.spherical_harmonics import irradiance_basis


@dataclass(frozen=True, eq=False)
class Rendering:
    """A picture of a face.

    Attributes:
        rgb: (H, W, 3) sRGB, 1 is white and more is overexposed; 0 where there is no face.
        mask: (H, W) bool, which pixels the face covers.
    """

    rgb: Tensor
    mask: Tensor


class DifferentiableRenderer:
    """Draws a model's faces; every method is differentiable in its tensors.

    Attributes:
        model: the face model.
    """

    def __init__(self, model: MorphableModel, dtype: torch.dtype = torch.float32) -> None:
        """Take a model's arrays over as tensors."""
        self.model = model
        self._dtype = dtype
        self._mean = self.tensor(model.mean)
        self._shape_basis = self.tensor(model.shape_basis)
        self._expression_basis = self.tensor(model.expression_basis)
        self._albedo_mean = self.tensor(model.albedo_mean)
        self._albedo_basis = self.tensor(model.albedo_basis)
        self._triangles = torch.as_tensor(model.triangles, dtype=torch.int64)

    def tensor(self, values: NDArray) -> Tensor:
        """An array in the renderer's precision."""
        return torch.as_tensor(np.asarray(values, order="C")).to(self._dtype)

    def vertices(self, alpha: Tensor, beta: Tensor) -> Tensor:
        """S̄ + Σ αᵢSᵢ + Σ βᵢEᵢ, (N, 3) mm, of (K,) and (E,) coefficients."""
        return self._mean + (self._shape_basis @ alpha + self._expression_basis @ beta).view(-1, 3)

    def normals(self, vertices: Tensor) -> Tensor:
        """Smooth vertex normals, (N, 3) → (N, 3) unit vectors out of the face."""
        a, b, c = vertices[self._triangles].unbind(1)
        of_triangles = torch.linalg.cross(b - a, c - a)
        sums = torch.zeros_like(vertices).index_add(0, self._triangles.ravel(), of_triangles.repeat_interleave(3, 0))
        return torch.nn.functional.normalize(sums, dim=1, eps=1e-12)

    def albedo(self, gamma: Tensor) -> Tensor:
        """T̄ + Σ γᵢTᵢ, decoded from sRGB: (N, 3) linear in [0, 1]."""
        srgb = self._albedo_mean + (self._albedo_basis @ gamma).view(-1, 3)
        return linear(srgb.clamp(0.0, 1.0))

    def visible(self, vertices: Tensor, camera: WeakPerspective, image_size: tuple[int, int]) -> Fragments:
        """What each pixel of an image of (width, height) sees; without a gradient."""
        X = vertices.detach().cpu().numpy()
        return rasterize(camera.project(X), camera.depth(X), self.model.triangles, image_size)

    def render(
        self,
        scale: Tensor,
        rotation: Tensor,
        translation: Tensor,
        alpha: Tensor,
        beta: Tensor,
        gamma: Tensor,
        light: Tensor,
        image_size: tuple[int, int],
        *,
        fragments: Fragments | None = None,
    ) -> Rendering:
        """A face under spherical-harmonics light.

        Args:
            scale: s, px/mm, a scalar.
            rotation: R, (3, 3), model → camera.
            translation: t, (2,) px.
            alpha: (K,) identity.
            beta: (E,) expression.
            gamma: (L,) albedo.
            light: (9, 3), see `face3dmm_ros.rendering.spherical_harmonics`.
            image_size: (width, height), px.
            fragments: hold the visibility at this one; by default it is that of the given parameters.
        """
        vertices = self.vertices(alpha, beta)
        if fragments is None:
            numbers = [value.detach().cpu().double().numpy() for value in (scale, rotation, translation)]
            fragments = self.visible(vertices, WeakPerspective(float(numbers[0]), *numbers[1:]), image_size)
        mask = torch.as_tensor(fragments.triangle >= 0)
        row, column = torch.nonzero(mask, as_tuple=True)
        corners = self._triangles[torch.as_tensor(fragments.triangle).long()[row, column]]
        projected = scale * vertices @ rotation[:2].T + translation
        weights = _barycentric(projected[corners], torch.stack([column, row], dim=1).to(self._dtype))
        attributes = torch.cat([self.normals(vertices), self.albedo(gamma)], dim=1)
        at_pixels = (weights[..., None] * attributes[corners]).sum(dim=1)
        normals = torch.nn.functional.normalize(at_pixels[:, :3], dim=1) @ rotation.T
        rgb = torch.zeros((*mask.shape, 3), dtype=self._dtype)
        return Rendering(rgb.index_put((row, column), shade(at_pixels[:, 3:], normals, light)), mask)


def shade(albedo: Tensor, normals: Tensor, light: Tensor) -> Tensor:
    """sRGB (P, 3) of linear albedo (P, 3) with unit normals (P, 3) in camera axes under light (9, 3)."""
    irradiance = torch.stack(irradiance_basis(*normals.unbind(1)), dim=1) @ light
    return encoded(albedo * irradiance)


def linear(srgb: Tensor) -> Tensor:
    """sRGB as linear light (IEC 61966-2-1)."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)


def encoded(light: Tensor) -> Tensor:
    """Linear light as sRGB, on beyond 1 and, as a straight line, below 0: a gradient must not vanish at the ends."""
    return torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clamp(min=0.0031308) ** (1.0 / 2.4) - 0.055)


def _barycentric(corners: Tensor, points: Tensor) -> Tensor:
    """Barycentric weights (P, 3) of 2D points (P, 2) in triangles (P, 3, 2)."""
    a, b, c = corners.unbind(1)
    u, v, p = b - a, c - a, points - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    beta = (p[:, 0] * v[:, 1] - p[:, 1] * v[:, 0]) / area
    gamma = (u[:, 0] * p[:, 1] - u[:, 1] * p[:, 0]) / area
    return torch.stack([1.0 - beta - gamma, beta, gamma], dim=1)
