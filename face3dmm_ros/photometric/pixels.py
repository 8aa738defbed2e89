"""Colour residuals of a picture's pixels and their derivatives, by closed formulas in torch.

A sample is a point u on the surface, at barycentric weights of a triangle, seen by a pixel. Its residual is the model's
colour less the picture's where the point is projected,

    r(θ) = encode(a(u) · E(R n(u))) − I(s·P·R·X(u) + t),

and while the samples are held, so is the visibility. X and the albedo a are linear in the coefficients; n follows the
triangles' cross products; the derivative of I is its gradient. Autograd would take one pass per unknown or per
residual; these products take one pass for all.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize, pad

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.fitting.pose_step import pose_jacobian
from face3dmm_ros.morphable_model.model import MorphableModel
from face3dmm_ros.photometric.differentiable import DifferentiableRenderer, shade
from face3dmm_ros.rendering.spherical_harmonics import COEFFICIENTS, IRRADIANCE_SCALES, irradiance_basis

LIGHT_SIZE = 3 * COEFFICIENTS
"""Unknowns of a light: Lⱼ of red, green and blue, colours running fastest."""

# Both chosen by hand.
_FACING = (0.15, 0.45)
"""Cosines of the viewing angle between which the weight of a surface rises from 0 to 1."""
_DEPTH_STEP_MM = 4.0
"""A larger second difference of the depth over neighbouring pixels is an edge, which no sample may lie on."""


@dataclass(frozen=True, eq=False)
class FaceState:
    """All that one picture of a face depends on.

    Attributes:
        camera: s, R, t of the whole picture.
        alpha: (K,) identity.
        beta: (E,) expression.
        gamma: (L,) albedo.
        light: (9, 3) spherical harmonics.
    """

    camera: WeakPerspective
    alpha: NDArray[np.float64]
    beta: NDArray[np.float64]
    gamma: NDArray[np.float64]
    light: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Picture:
    """A part of a picture at one resolution.

    Attributes:
        rgb: (H, W, 3) float32 sRGB in [0, 1].
        gradient: (H, W, 3, 2) float32, its derivative along x and y.
        factor: pixels here per pixel of the whole picture.
        offset: (2,) the whole picture's origin less this part's, px of the whole picture.
    """

    rgb: Tensor
    gradient: Tensor
    factor: float
    offset: NDArray[np.float64]

    @staticmethod
    def of(image: NDArray[np.uint8], box: NDArray[np.float64], factor: float) -> "Picture":
        """The part of a BGR image within a box (left, top, right, bottom), px, scaled by a factor of at most 1."""
        height, width = image.shape[:2]
        left, top = np.clip(np.floor(box[:2]).astype(int), 0, [width - 2, height - 2])
        right, bottom = np.clip(np.ceil(box[2:]).astype(int), [left + 2, top + 2], [width, height])
        part = cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_BGR2RGB).astype(np.float32) / 255.0
        size = (max(2, round(part.shape[1] * factor)), max(2, round(part.shape[0] * factor)))
        if size != (part.shape[1], part.shape[0]):
            # The part is stretched by less than a pixel, so that one factor serves both axes.
            matrix = np.array([[factor, 0.0, 0.5 * factor - 0.5], [0.0, factor, 0.5 * factor - 0.5]])
            blurred = cv2.GaussianBlur(part, (0, 0), max(0.5 / factor - 0.3, 0.1))
            scaled = cv2.warpAffine(blurred, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            part = np.asarray(scaled, np.float32)
        smooth = cv2.GaussianBlur(part, (3, 3), 0.0)
        gradient = np.stack([cv2.Sobel(smooth, -1, 1, 0, ksize=3), cv2.Sobel(smooth, -1, 0, 1, ksize=3)], axis=-1) / 8.0
        return Picture(
            torch.as_tensor(part), torch.as_tensor(gradient), factor, -np.array([left, top], dtype=np.float64)
        )

    def camera(self, camera: WeakPerspective) -> WeakPerspective:
        """A camera of the whole picture as a camera of this part."""
        translation = (camera.translation + self.offset + 0.5) * self.factor - 0.5
        return WeakPerspective(camera.scale * self.factor, camera.rotation, translation)

    def at(self, points: Tensor) -> Tensor:
        """Colours (P, 3), bilinear, at points (P, 2) px of this part; those outside take the edge's."""
        height, width = self.rgb.shape[:2]
        x = points[:, 0].clamp(0.0, width - 1.001)
        y = points[:, 1].clamp(0.0, height - 1.001)
        column, row = x.long(), y.long()
        fx, fy = (x - column)[:, None], (y - row)[:, None]
        flat = self.rgb.reshape(-1, 3)
        index = row * width + column
        upper = flat[index] * (1.0 - fx) + flat[index + 1] * fx
        lower = flat[index + width] * (1.0 - fx) + flat[index + width + 1] * fx
        return upper * (1.0 - fy) + lower * fy


@dataclass(frozen=True, eq=False)
class Samples:
    """P surface points that pixels of a picture see.

    Attributes:
        row, column: (P,) int64, their pixels.
        corners: (P, 3) int64 vertices.
        weights: (P, 3) barycentric weights.
        importance: (P,) in [0, 1].
        share: pixels that each sample stands for, at least 1.
    """

    row: Tensor
    column: Tensor
    corners: Tensor
    weights: Tensor
    importance: Tensor
    share: float


class FacePixels:
    """A model's pixels and their derivatives by its coefficients.

    Attributes:
        renderer: what draws the model.
        vertex_weight: (N,) how much each vertex counts.
    """

    def __init__(self, model: MorphableModel, unit: NDArray[np.float64], vertex_weight: NDArray[np.floating]) -> None:
        """Prepare a model.

        Args:
            model: the face model.
            unit: (K + E + L,) how much of (α, β, γ) one unit of an unknown is.
            vertex_weight: (N,) in [0, 1], how much the surface counts at each vertex.
        """
        self.renderer = DifferentiableRenderer(model)
        self.vertex_weight = self.renderer.tensor(vertex_weight)
        N, D = model.vertex_count, len(model.sigma)
        units = unit.astype(np.float32)
        geometry = np.concatenate(
            [model.shape_basis.reshape(N, 3, -1), model.expression_basis.reshape(N, 3, -1)], axis=2
        )
        self._geometry = torch.as_tensor(geometry * units[:D])
        self._albedo = torch.as_tensor(model.albedo_basis.reshape(N, 3, -1) * units[D:])
        self._triangles = torch.as_tensor(model.triangles, dtype=torch.int64)
        self._rings = torch.as_tensor(_triangles_around(model.triangles, N))

    def vertices(self, state: FaceState) -> Tensor:
        """(N, 3) mm."""
        return self.renderer.vertices(self.renderer.tensor(state.alpha), self.renderer.tensor(state.beta))

    def sample(self, picture: Picture, state: FaceState, most: int) -> Samples:
        """The surface points under a picture's pixels, at most so many, without those at depth edges."""
        height, width = picture.rgb.shape[:2]
        vertices = self.vertices(state)
        camera = picture.camera(state.camera)
        fragments = self.renderer.visible(vertices, camera, (width, height))
        depth = camera.depth(vertices.numpy()) / camera.scale
        corners = self.renderer.model.triangles[np.maximum(fragments.triangle, 0)]
        surface = np.where(fragments.triangle >= 0, (fragments.weights * depth[corners]).sum(axis=2), 1e6)
        usable = torch.as_tensor(_smooth(surface.astype(np.float32), camera.scale))
        row, column = torch.nonzero(usable, as_tuple=True)
        triangle = torch.as_tensor(fragments.triangle).long()[row, column]
        weights = torch.as_tensor(fragments.weights)[row, column]
        corners = self._triangles[triangle]
        normals = (weights[..., None] * self.renderer.normals(vertices)[corners]).sum(dim=1)
        cosine = -(normalize(normals, dim=1) @ self.renderer.tensor(camera.rotation[2]))
        facing = ((cosine - _FACING[0]) / (_FACING[1] - _FACING[0])).clamp(0.0, 1.0)
        importance = facing * (weights * self.vertex_weight[corners]).sum(dim=1)
        chosen = torch.nonzero(importance > 0.05)[:, 0]
        share = 1.0
        if len(chosen) > most:
            share = len(chosen) / most
            # Any fixed shuffle spreads the chosen evenly; a stride would draw stripes.
            chosen = chosen[torch.as_tensor(np.sort(np.random.default_rng(0).permutation(len(chosen))[:most]))]
        return Samples(row[chosen], column[chosen], corners[chosen], weights[chosen], importance[chosen], share)

    def residuals(self, picture: Picture, state: FaceState, samples: Samples) -> Tensor:
        """r of the samples, (P, 3) sRGB in [0, 1], the model's colours less the picture's."""
        point, normal, albedo = self._at_samples(state, samples)
        camera = picture.camera(state.camera)
        projection = self.renderer.tensor(camera.scale * camera.rotation[:2].T)
        seen = picture.at(point @ projection + self.renderer.tensor(camera.translation))
        turned = normalize(normal, dim=1) @ self.renderer.tensor(camera.rotation.T)
        return shade(albedo, turned, self.renderer.tensor(state.light)) - seen

    def shading_jacobian(self, state: FaceState, samples: Samples) -> Tensor:
        """Derivative of the residuals by γ (in its units) and light, (P, 3, L + 27); the geometry held."""
        _, normal, albedo = self._at_samples(state, samples)
        turned = normalize(normal, dim=1) @ self.renderer.tensor(state.camera.rotation.T)
        H = torch.stack(irradiance_basis(*turned.unbind(1)), dim=1)
        irradiance = H @ self.renderer.tensor(state.light)
        slope = _encoded_slope(albedo * irradiance)
        by_albedo = self._albedo_derivative(state, samples) * (slope * irradiance)[..., None]
        P = len(H)
        by_light = torch.zeros((P, 3, COEFFICIENTS, 3))
        for color in range(3):
            by_light[:, color, :, color] = (slope * albedo)[:, color, None] * H
        return torch.cat([by_albedo, by_light.view(P, 3, LIGHT_SIZE)], dim=2)

    def geometry_jacobian(self, picture: Picture, state: FaceState, samples: Samples) -> Tensor:
        """Derivative of the residuals by pose and (α, β) (in their units), (P, 3, 6 + K + E)."""
        tensor = self.renderer.tensor
        point, normal, albedo = self._at_samples(state, samples)
        camera = picture.camera(state.camera)
        R = tensor(camera.rotation)
        length = normal.norm(dim=1, keepdim=True).clamp(min=1e-9)
        unit_normal = normal / length
        turned = unit_normal @ R.T
        light = tensor(state.light)
        slope = _encoded_slope(albedo * (torch.stack(irradiance_basis(*turned.unbind(1)), dim=1) @ light))
        # ∂C/∂(R n), (P, 3 colours, 3 axes), and the picture's gradient −∂I/∂x, (P, 3 colours, 2).
        by_turned = (slope * albedo)[..., None] * torch.einsum("pja,jc->pca", _irradiance_slope(turned), light)
        by_pixel = -picture.gradient[samples.row, samples.column]

        pixel_by_pose = pose_jacobian(camera, point.double().numpy().T).transpose(2, 1, 0)
        # Unknown is t in px of the whole picture.
        pixel_by_pose[..., 4:] *= picture.factor
        by_pose = by_pixel @ tensor(pixel_by_pose)
        by_pose[..., :3] += torch.linalg.cross(turned[:, None].expand_as(by_turned), by_turned)

        by_point = by_pixel @ (camera.scale * R[:2])
        by_unit_normal = by_turned @ R
        along = (by_unit_normal * unit_normal[:, None]).sum(dim=2, keepdim=True)
        by_normal = (by_unit_normal - along * unit_normal[:, None]) / length[..., None]
        factors = torch.cat([by_point, by_normal], dim=2)

        used, local = torch.unique(samples.corners, return_inverse=True)
        table = torch.cat([self._geometry[used], self._normal_derivative(self.vertices(state), used)], dim=1)
        at_samples = embedding_bag(local, table.flatten(1), per_sample_weights=samples.weights, mode="sum")
        return torch.cat([by_pose, factors @ at_samples.view(len(local), *table.shape[1:])], dim=2)

    def _at_samples(self, state: FaceState, samples: Samples) -> tuple[Tensor, Tensor, Tensor]:
        """Point (mm), normal (not of unit length) and linear albedo of the samples, (P, 3) each."""
        vertices, gamma = self.vertices(state), self.renderer.tensor(state.gamma)
        attributes = torch.cat([vertices, self.renderer.normals(vertices), self.renderer.albedo(gamma)], dim=1)
        at = (samples.weights[..., None] * attributes[samples.corners]).sum(dim=1)
        return at[:, :3], at[:, 3:6], at[:, 6:]

    def _albedo_derivative(self, state: FaceState, samples: Samples) -> Tensor:
        """Derivative of the samples' linear albedo by γ in its units, (P, 3, L)."""
        used, local = torch.unique(samples.corners, return_inverse=True)
        model = self.renderer.model
        rows = np.asarray(used)
        basis = model.albedo_basis.reshape(model.vertex_count, 3, -1)[rows]
        srgb = self.renderer.tensor(model.albedo_mean[rows] + basis @ state.gamma.astype(np.float32))
        table = self._albedo[used] * _linear_slope(srgb)[..., None]
        at = embedding_bag(local, table.flatten(1), per_sample_weights=samples.weights, mode="sum")
        return at.view(len(local), *table.shape[1:])

    def _normal_derivative(self, vertices: Tensor, used: Tensor) -> Tensor:
        """Derivative of some vertices' unit normals by (α, β) in their units, (V, 3, K + E)."""
        rings = self._rings[used]
        around, local = torch.unique(rings, return_inverse=True)
        corners = self._triangles[around[around >= 0]]
        a, b, c = corners.unbind(1)
        u, v = vertices[b] - vertices[a], vertices[c] - vertices[a]
        basis = self._geometry
        of_triangles = _cross(u, basis[c] - basis[a]) - _cross(v, basis[b] - basis[a])
        # Where rings are padded, `around` begins with −1, a triangle without area.
        padding = int((around < 0).any())
        flat = pad(of_triangles.flatten(1), (0, 0, padding, 0))
        sums = embedding_bag(local, flat, mode="sum").view(len(used), *of_triangles.shape[1:])
        normal = pad(torch.linalg.cross(u, v), (0, 0, padding, 0))[local].sum(dim=1)
        length = normal.norm(dim=1, keepdim=True).clamp(min=1e-9)
        normal = normal / length
        along = torch.einsum("va,vad->vd", normal, sums)
        return (sums - normal[..., None] * along[:, None]) / length[..., None]


def _cross(vectors: Tensor, tables: Tensor) -> Tensor:
    """vectors (F, 3) × each column of tables (F, 3, D)."""
    x, y, z = (component[:, None] for component in vectors.unbind(1))
    p, q, r = tables.unbind(1)
    return torch.stack([y * r - z * q, z * p - x * r, x * q - y * p], dim=1)


def _triangles_around(triangles: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """(N, most) triangles around each vertex, −1 where there are fewer."""
    vertex = triangles.ravel()
    order = np.argsort(vertex, kind="stable")
    degree = np.bincount(vertex, minlength=count)
    rings = np.full((count, max(1, int(degree.max()))), -1, np.int64)
    position = np.arange(len(vertex)) - np.repeat(np.cumsum(degree) - degree, degree)
    rings[vertex[order], position] = order // 3
    return rings


def _smooth(depth: NDArray[np.float32], scale: float) -> NDArray[np.bool_]:
    """Where a depth map, (H, W) mm, has no edge within a pixel: its second difference is small."""
    limit = _DEPTH_STEP_MM + 1.0 / scale
    bend = [np.abs(cv2.filter2D(depth, -1, kernel)) for kernel in (_BEND, _BEND.T)]
    return (bend[0] < limit) & (bend[1] < limit) & (depth < 1e5)


_BEND = np.array([[0.0, 0.0, 0.0], [1.0, -2.0, 1.0], [0.0, 0.0, 0.0]], np.float32)


def _irradiance_slope(normals: Tensor) -> Tensor:
    """Derivative of `irradiance_basis` by its vector, (P, 9, 3)."""
    x, y, z = normals.unbind(1)
    one, none = torch.ones_like(x), torch.zeros_like(x)
    rows = [
        (none, none, none),
        *((none, one, none), (none, none, one), (one, none, none)),
        *((y, x, none), (none, z, y), (none, none, 6.0 * z), (z, none, x), (2.0 * x, -2.0 * y, none)),
    ]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1) * torch.tensor(IRRADIANCE_SCALES)[:, None]


def _encoded_slope(light: Tensor) -> Tensor:
    """Derivative of `encoded`."""
    return torch.where(light <= 0.0031308, 12.92, (1.055 / 2.4) * light.clamp(min=0.0031308) ** (1.0 / 2.4 - 1.0))


def _linear_slope(srgb: Tensor) -> Tensor:
    """Derivative of sRGB's decoding, none where the albedo is clipped to [0, 1]."""
    slope = torch.where(
        srgb <= 0.04045, 1.0 / 12.92, (2.4 / 1.055) * ((srgb.clamp(min=0.04045) + 0.055) / 1.055) ** 1.4
    )
    return slope * ((srgb > 0.0) & (srgb < 1.0))
