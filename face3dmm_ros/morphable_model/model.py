"""The 3D morphable face model: S = S̄ + Σ αᵢSᵢ + Σ βᵢEᵢ, T = T̄ + Σ γᵢTᵢ (Blanz & Vetter, SIGGRAPH 1999)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.core.camera import MetricPose
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.landmark_schemes import SCHEME_SIZES
from face3dmm_ros.core.normals import vertex_normals
from face3dmm_ros.core.values import Mesh
from face3dmm_ros.morphable_model.gaze import EyeGaze

# What a model may have, by hand: far above any face's, so that no file fills the memory or yields what is no number.
MOST_VERTICES = 500_000
"""The Basel Face Model of 2009 has 53,490."""
MOST_TRIANGLES = 1_000_000
"""The Basel Face Model of 2009 has 105,840."""
_MOST_COMPONENTS = 1_000
"""Of identity, of expression or of albedo: the Basel Face Model of 2009 has 199."""
_LARGEST = 1e5
"""Coordinate or displacement by one standard deviation, mm; or colour, where white is 1."""
_SMALLEST_SIGMA, _LARGEST_SIGMA = 1e-6, 1e7
"""Standard deviations: those of the BFM layout reach 10⁶."""
_LARGEST_BOUND = 1e7
"""Of β, where it is bounded."""


@dataclass(frozen=True, eq=False)
class SurfacePoints:
    """P points on the surface, each a weighted mean of three vertices.

    Attributes:
        vertices: (P, 3) int32 vertex indices.
        weights: (P, 3) float32 barycentric weights, rows sum to 1.
    """

    vertices: NDArray[np.int32]
    weights: NDArray[np.float32]

    @staticmethod
    def at_vertices(indices: ArrayLike) -> "SurfacePoints":
        """Points that are vertices themselves, (P,) indices."""
        vertices = np.repeat(np.asarray(indices, dtype=np.int32)[:, None], 3, axis=1)
        return SurfacePoints(vertices, np.tile(np.array([1, 0, 0], np.float32), (len(vertices), 1)))

    def at(self, index: NDArray[np.intp] | slice) -> "SurfacePoints":
        """Some of the points."""
        return SurfacePoints(self.vertices[index], self.weights[index])

    def followed_by(self, others: "SurfacePoints") -> "SurfacePoints":
        """These points and, after them, others."""
        return SurfacePoints(
            np.concatenate([self.vertices, others.vertices]), np.concatenate([self.weights, others.weights])
        )

    def interpolate(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Per-vertex values (N, …) at the points, (P, …)."""
        return np.einsum("pk,pk...->p...", self.weights, values[self.vertices])

    def interpolate_basis(self, basis: NDArray[np.floating]) -> NDArray[np.float64]:
        """A linear basis over the vertices' coordinates, (3N, C), at the points, (P, 3, C)."""
        N, C = len(basis) // 3, basis.shape[1]
        return self.interpolate(basis.reshape(N, 3, C)).astype(np.float64)


@dataclass(frozen=True, eq=False)
class PointModel:
    """A face model restricted to P points of its surface: X = mean + shape·α + expression·β, mm.

    Attributes:
        mean: (P, 3) float64, mm.
        shape: (P, 3, K) float64, mm per unit of α.
        expression: (P, 3, E) float64, mm per unit of β.
    """

    mean: NDArray[np.float64]
    shape: NDArray[np.float64]
    expression: NDArray[np.float64]

    def neutral(self, alpha: NDArray[np.float64]) -> NDArray[np.float64]:
        """The points without expression, (…, K) → (…, P, 3) mm."""
        return self.mean + _times(self.shape, alpha)

    def points(self, alpha: NDArray[np.float64], beta: NDArray[np.float64]) -> NDArray[np.float64]:
        """The points of one face or many, (…, K) and (…, E) → (…, P, 3) mm."""
        return self.neutral(alpha) + _times(self.expression, beta)


@dataclass(frozen=True, eq=False)
class Contour:
    """Where the landmarks that lie on a face's visible outline may sit on the model.

    Attributes:
        landmarks: (L,) int32, indices of the outline landmarks in their scheme.
        candidates: (L, C) int32 vertices, one path across the cheek per landmark, from the front to the back; shorter
            paths repeat their last vertex. On a turned head the landmark sits at the candidate that lies outermost.
    """

    landmarks: NDArray[np.int32]
    candidates: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class MorphableModel:
    """A linear face model of N vertices with K identity, E expression and L albedo components.

    Model space is millimetres: x toward the viewer's right (+x is the person's Left), y up, z out of the face.

    Attributes:
        name: the model's name, as it appears in messages.
        mean: S̄, (N, 3) float32, mm.
        triangles: (M, 3) int32, counter-clockwise seen from outside.
        shape_basis: S, (3N, K) float32, mm per unit of α; row 3i + k is coordinate k of vertex i.
        shape_sigma: (K,) float32 standard deviation of α.
        expression_basis: E, (3N, E) float32, mm per unit of β.
        expression_sigma: (E,) float32 standard deviation of β.
        expression_names: E names.
        expression_bounds: (2, E) float32, lowest and highest β; ±inf where unbounded.
        albedo_mean: T̄, (N, 3) float32 sRGB in [0, 1].
        albedo_basis: T, (3N, L) float32 per unit of γ.
        albedo_sigma: (L,) float32 standard deviation of γ.
        landmarks: the landmark schemes that the model knows, each with its points on the surface.
        contours: per scheme, its outline landmarks and their candidate vertices.
        regions: named masks, each (N,) float32 in [0, 1].
        expression_correlation: (E, E) float32 correlation of β: σσᵀ times it is their covariance; None for independent
            expressions.
    """

    name: str
    mean: NDArray[np.float32]
    triangles: NDArray[np.int32]
    shape_basis: NDArray[np.float32]
    shape_sigma: NDArray[np.float32]
    expression_basis: NDArray[np.float32]
    expression_sigma: NDArray[np.float32]
    expression_names: tuple[str, ...]
    expression_bounds: NDArray[np.float32]
    albedo_mean: NDArray[np.float32]
    albedo_basis: NDArray[np.float32]
    albedo_sigma: NDArray[np.float32]
    landmarks: Mapping[str, SurfacePoints]
    contours: Mapping[str, Contour] = field(default_factory=dict)
    regions: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    expression_correlation: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Check that the arrays fit together.

        Raises:
            Face3DMMError: shapes disagree, there is too little or too much of something, an index is out of range, or a
                value is not finite or beyond what a face's could be.
        """
        N, K, E, L = self.vertex_count, self.shape_count, self.expression_count, len(self.albedo_sigma)
        check_counts(f"model {self.name}", N, len(self.triangles), max(K, E, L))
        expected = {
            "mean": (N, 3),
            "triangles": (len(self.triangles), 3),
            "shape_basis": (3 * N, K),
            "expression_basis": (3 * N, E),
            "expression_bounds": (2, E),
            "albedo_mean": (N, 3),
            "albedo_basis": (3 * N, L),
        }
        for attribute, shape in expected.items():
            found = getattr(self, attribute)
            if found.shape != shape:
                raise Face3DMMError(f"model {self.name}: {attribute} has shape {found.shape}, expected {shape}")
        if not len(self.expression_names) == len(set(self.expression_names)) == E:
            names = f"{len(self.expression_names)} names, {len(set(self.expression_names))} of them different"
            raise Face3DMMError(f"model {self.name}: {names}, for {E} expressions")
        if unprintable := [name for name in self.expression_names if not name.isprintable()]:
            raise Face3DMMError(
                f"model {self.name}: names of expressions must be plain text on one line, found {unprintable[0]!a}"
            )
        self._check_numbers()
        if self.expression_correlation is not None and not _is_correlation(self.expression_correlation, E):
            raise Face3DMMError(
                f"model {self.name}: expression_correlation must be a positive definite ({E}, {E}) matrix with ones on "
                f"its diagonal, found one of shape {self.expression_correlation.shape} that is not"
            )
        self._check_points()
        for region, mask in self.regions.items():
            if mask.shape != (N,):
                raise Face3DMMError(f"model {self.name}: region {region} has shape {mask.shape}, expected {(N,)}")

    def _check_numbers(self) -> None:
        for attribute in ("shape_sigma", "expression_sigma", "albedo_sigma"):
            sigma = getattr(self, attribute)
            wrong = ~((sigma >= _SMALLEST_SIGMA) & (sigma <= _LARGEST_SIGMA))
            if wrong.any():
                first = int(wrong.argmax())
                raise Face3DMMError(
                    f"model {self.name}: {attribute} must be positive and finite, from {_SMALLEST_SIGMA:g} to "
                    f"{_LARGEST_SIGMA:g}; component {first}, counted from 0, has {sigma[first]:g}: leave it out"
                )
        for attribute in ("mean", "albedo_mean", "shape_basis", "expression_basis", "albedo_basis"):
            largest = _largest(getattr(self, attribute))
            if attribute.endswith("basis"):
                largest = largest * getattr(self, attribute.replace("basis", "sigma"))
            if not np.isfinite(largest).all():
                raise Face3DMMError(f"model {self.name}: {attribute} holds values that are not finite")
            if (largest > _LARGEST).any():
                raise Face3DMMError(
                    f"model {self.name}: {attribute} reaches {largest.max():g}, times sigma in a basis; up to "
                    f"{_LARGEST:g} is taken: a model is in millimetres and its colours are in [0, 1]"
                )
        low, high = self.expression_bounds
        bounded = self.expression_bounds[np.isfinite(self.expression_bounds)]
        if not ((low <= high) & (low < np.inf) & (high > -np.inf)).all() or (np.abs(bounded) > _LARGEST_BOUND).any():
            raise Face3DMMError(
                f"model {self.name}: expression_bounds must hold a lowest β and one that is no lower, each infinite or "
                f"within ±{_LARGEST_BOUND:g}"
            )

    def _check_points(self) -> None:
        N = self.vertex_count
        indices = {"triangles": self.triangles}
        indices |= {f"landmarks {scheme}": points.vertices for scheme, points in self.landmarks.items()}
        indices |= {f"contour {scheme}": contour.candidates for scheme, contour in self.contours.items()}
        for what, index in indices.items():
            if index.size and not (index.min() >= 0 and index.max() < N):
                raise Face3DMMError(
                    f"model {self.name}: {what} refer to vertices {index.min()} to {index.max()}, but there are {N}"
                )
        for scheme, points in self.landmarks.items():
            found, size = len(points.vertices), SCHEME_SIZES.get(scheme, len(points.vertices))
            if found != size or not found:
                raise Face3DMMError(
                    f"model {self.name}: landmarks {scheme} are {found} points, expected {size or 'some'}"
                )
            if not (np.abs(points.weights.sum(axis=1) - 1.0) < 1e-3).all() or np.abs(points.weights).max() > 10.0:
                raise Face3DMMError(f"model {self.name}: the weights of landmarks {scheme} must sum to 1")
        for scheme, contour in self.contours.items():
            size = len(self.landmarks[scheme].vertices) if scheme in self.landmarks else 0
            outline = contour.landmarks
            if outline.min(initial=0) < 0 or outline.max(initial=-1) >= size or not contour.candidates.shape[1]:
                raise Face3DMMError(
                    f"model {self.name}: contour {scheme} needs landmarks among the {size} of its scheme, and vertices "
                    "for each"
                )

    @property
    def vertex_count(self) -> int:
        """N."""
        return len(self.mean)

    @property
    def shape_count(self) -> int:
        """K, the number of identity coefficients."""
        return len(self.shape_sigma)

    @property
    def expression_count(self) -> int:
        """E, the number of expression coefficients."""
        return len(self.expression_sigma)

    def with_components(self, identities: int | None = None, expressions: int | None = None) -> "MorphableModel":
        """The model with its first components alone; None keeps all.

        Raises:
            Face3DMMError: it has fewer.
        """
        K = self._kept("identities", identities, self.shape_count)
        E = self._kept("expressions", expressions, self.expression_count)
        correlation = self.expression_correlation
        return replace(
            self,
            shape_basis=np.ascontiguousarray(self.shape_basis[:, :K]),
            shape_sigma=self.shape_sigma[:K],
            expression_basis=np.ascontiguousarray(self.expression_basis[:, :E]),
            expression_sigma=self.expression_sigma[:E],
            expression_names=self.expression_names[:E],
            expression_bounds=self.expression_bounds[:, :E],
            expression_correlation=None if correlation is None else correlation[:E, :E],
        )

    def _kept(self, what: str, wanted: int | None, count: int) -> int:
        if wanted is not None and not 0 <= wanted <= count:
            raise Face3DMMError(f"model {self.name} has {count} {what}: {wanted} of them cannot be kept")
        return count if wanted is None else wanted

    @cached_property
    def sigma(self) -> NDArray[np.float64]:
        """Standard deviations of (α, β), (K + E,) float64."""
        return np.concatenate([self.shape_sigma, self.expression_sigma]).astype(np.float64)

    @cached_property
    def expression_precision(self) -> NDArray[np.float64]:
        """Inverse of β's correlation, (E, E) float64: the prior's precision in units of σ."""
        if self.expression_correlation is None:
            return np.eye(self.expression_count)
        return np.linalg.inv(self.expression_correlation.astype(np.float64))

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over everything that gives parameters their meaning: geometry, bases and topology."""
        sha = hashlib.sha256()
        geometry = (self.mean, self.triangles, self.shape_basis, self.expression_basis)
        for array in (*geometry, self.albedo_mean, self.albedo_basis):
            sha.update(repr((array.shape, array.dtype.str)).encode())
            sha.update(np.ascontiguousarray(array).data)
        sha.update("\n".join(self.expression_names).encode())
        return sha.hexdigest()

    def vertices(self, alpha: ArrayLike, beta: ArrayLike) -> NDArray[np.float32]:
        """S of identity α and expression β, (N, 3) float32, mm. Leading coefficients may be given alone.

        Raises:
            Face3DMMError: more coefficients than the model has, or values that are not finite.
        """
        return self.express(self.identity(alpha), beta)

    def identity(self, alpha: ArrayLike) -> NDArray[np.float32]:
        """S̄ + Σ αᵢSᵢ: the neutral face of an identity, (N, 3) float32, mm."""
        return self.mean + _combine(self.shape_basis, alpha, "alpha")

    def express(self, neutral: NDArray[np.float32], beta: ArrayLike) -> NDArray[np.float32]:
        """A neutral face (N, 3), mm, with expression β, (N, 3) float32, mm."""
        return neutral + _combine(self.expression_basis, beta, "beta")

    @cached_property
    def _eye_gaze(self) -> EyeGaze | None:
        eyeballs = self.regions.get("eyes", np.zeros(self.vertex_count)) > 0.5
        return EyeGaze.of(self.mean, eyeballs, self.expression_basis, self.expression_sigma)

    def gaze(self, rotation: NDArray[np.float64], beta: ArrayLike) -> NDArray[np.float64]:
        """Where a face of rotation R, (3, 3), and expression β, (E,), looks, as `FaceParameters.gaze` holds it.

        Returns:
            (3, 3) unit rows in the axes that R leads to: left eye, right eye, both; (0, 3) where the model has no eyes
            that turn.
        """
        return np.zeros((0, 3)) if self._eye_gaze is None else self._eye_gaze.directions(rotation, beta)

    def albedo(self, gamma: ArrayLike) -> NDArray[np.float32]:
        """T of albedo coefficients γ, (N, 3) float32 sRGB, clipped to [0, 1]."""
        return np.clip(self.albedo_mean + _combine(self.albedo_basis, gamma, "gamma"), 0.0, 1.0)

    def rgb(self, gamma: ArrayLike = ()) -> NDArray[np.uint8]:
        """T of albedo coefficients γ as vertex colours, (N, 3) uint8 sRGB; the mean's without any."""
        return np.round(255.0 * self.albedo(gamma)).astype(np.uint8)

    def normals(self, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
        """Smooth vertex normals, (N, 3) → (N, 3) float32: area-weighted mean of the surrounding triangles' normals.

        Raises:
            Face3DMMError: the number of vertices is not the model's.
        """
        if vertices.shape != self.mean.shape:
            raise Face3DMMError(f"model {self.name} has vertices {self.mean.shape}, found {vertices.shape}")
        return vertex_normals(vertices, self.triangles)

    def mesh(self, vertices: NDArray[np.float32], pose: MetricPose, rgb: NDArray[np.uint8]) -> Mesh:
        """A posed mesh in camera space, m, from (N, 3) model vertices, mm, and (N, 3) uint8 vertex colours."""
        normals = self.normals(vertices) @ pose.rotation.T.astype(np.float32)
        return Mesh(pose.transform(vertices), normals, self.triangles, rgb, self.digest)

    def at_points(self, points: SurfacePoints) -> PointModel:
        """The model restricted to points of its surface."""
        return PointModel(
            points.interpolate(self.mean).astype(np.float64),
            points.interpolate_basis(self.shape_basis),
            points.interpolate_basis(self.expression_basis),
        )

    def require_landmarks(self) -> None:
        """Check, before anything that takes long, that faces can be fitted by some landmarks.

        Raises:
            Face3DMMError: the model knows none.
        """
        if not self.landmarks:
            raise Face3DMMError(
                f"model {self.name} has no landmarks, by which faces are fitted; "
                "`face3dmm model correspond FILE` finds them"
            )

    def scheme(self, name: str) -> SurfacePoints:
        """The points of a landmark scheme on the surface.

        Raises:
            Face3DMMError: the model does not know the scheme.
        """
        if name not in self.landmarks:
            known = ", ".join(sorted(self.landmarks)) or "none"
            raise Face3DMMError(
                f"model {self.name} has no landmark scheme {name!r}; it knows: {known}; "
                "`face3dmm model correspond FILE` finds them"
            )
        return self.landmarks[name]


def check_counts(name: str, vertices: int, triangles: int, components: int) -> None:
    """Check how much a model has, which files do before they read it; `name` is what the error calls it.

    Raises:
        Face3DMMError: it has no vertices or triangles, or too many of these or of components.
    """
    counts = (("vertices", vertices, 1, MOST_VERTICES), ("triangles", triangles, 1, MOST_TRIANGLES))
    for what, found, least, most in (*counts, ("components of one kind", components, 0, _MOST_COMPONENTS)):
        if not least <= found <= most:
            raise Face3DMMError(f"{name} has {found} {what}; a face model has {least} to {most}")


def _largest(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The largest magnitude in each column, without a copy of all; NaN where there is one."""
    extremes = (values.max(axis=0, initial=0.0), values.min(axis=0, initial=0.0))
    return np.maximum(extremes[0], -extremes[1]).astype(np.float64)


def _times(basis: NDArray[np.float64], coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Σ cᵢ·basisᵢ, (P, 3, C) and (…, C) → (…, P, 3)."""
    flat = basis.reshape(-1, basis.shape[-1])
    return (coefficients @ flat.T).reshape(*coefficients.shape[:-1], -1, 3)


def _is_correlation(matrix: NDArray[np.float32], size: int) -> bool:
    if matrix.shape != (size, size) or not np.isfinite(matrix).all():
        return False
    symmetric = np.allclose(matrix, matrix.T, atol=1e-5) and np.allclose(np.diag(matrix), 1.0, atol=1e-5)
    return bool(symmetric and np.linalg.eigvalsh(matrix).min(initial=np.inf) > 1e-4)


def _combine(basis: NDArray[np.float32], coefficients: ArrayLike, what: str) -> NDArray[np.float32]:
    """Σ cᵢ·basisᵢ as (N, 3) float32; fewer coefficients than columns mean that the rest are zero."""
    c = np.asarray(coefficients, dtype=np.float32)
    if c.ndim != 1 or len(c) > basis.shape[1]:
        raise Face3DMMError(f"{what} must be a vector of at most {basis.shape[1]} coefficients, found shape {c.shape}")
    if not np.isfinite(c).all():
        raise Face3DMMError(f"{what} holds values that are not finite")
    used = len(c)
    return ((basis if used == basis.shape[1] else basis[:, :used]) @ c).reshape(-1, 3)
