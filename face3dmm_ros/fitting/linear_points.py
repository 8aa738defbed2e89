"""A model's landmarks as a fit needs them: linear in the coefficients, with outline points that can slide."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.morphable_model.model import Contour, MorphableModel, SurfacePoints

_NO_CONTOUR = Contour(np.zeros(0, np.int32), np.zeros((0, 1), np.int32))


@dataclass(frozen=True, eq=False)
class LinearPoints:
    """P model points X = mean + basis·c, mm; the last L of them lie on the face's outline and slide along C candidates.

    Coordinates come first, so that a projection is one product with a 2×3 matrix.

    Attributes:
        mean: (3, P) float64.
        basis: (3, P, D) float64.
        candidate_mean: (3, L, C) float64, where the outline points may sit.
        candidate_basis: (3, L, C, D) float64.
        outward: (2, L) float64 unit vectors in the frontal face's x, y, from its middle across each outline point.
    """

    mean: NDArray[np.float64]
    basis: NDArray[np.float64]
    candidate_mean: NDArray[np.float64]
    candidate_basis: NDArray[np.float64]
    outward: NDArray[np.float64]

    @property
    def outline_count(self) -> int:
        """L."""
        return self.outward.shape[1]

    def points(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """X = mean + basis·c, (3, P)."""
        return self.mean + self.motion(coefficients)

    def motion(self, change: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far a change of the coefficients moves the points, (3, P)."""
        return self.basis @ change

    def holding(self, leading: NDArray[np.float64]) -> "LinearPoints":
        """The same points with the leading coefficients held: they move into the mean, the others remain unknown."""
        K = len(leading)
        return LinearPoints(
            self.mean + self.basis[..., :K] @ leading,
            np.ascontiguousarray(self.basis[..., K:]),
            self.candidate_mean + self.candidate_basis[..., :K] @ leading,
            np.ascontiguousarray(self.candidate_basis[..., K:]),
            self.outward,
        )

    def visible_outline(self, camera: WeakPerspective, coefficients: NDArray[np.float64]) -> NDArray[np.intp]:
        """Index of the candidate that lies outermost in the image for each outline point, (L,).

        What a detector marks as the face's outline is its visible edge, which wanders across the skin as the head
        turns (the landmark marching of Zhu et al., CVPR 2015, along precomputed paths).
        """
        candidates = self.candidate_mean + self.candidate_basis @ coefficients
        up = camera.rotation[:2, 1] / max(float(np.linalg.norm(camera.rotation[:2, 1])), 1e-9)
        across = np.array([-up[1], up[0]])
        direction = np.outer(across, self.outward[0]) + np.outer(up, self.outward[1])  # (2, L), in the image
        toward = camera.rotation[:2].T @ direction  # (3, L), the same direction in model space
        return np.einsum("dl,dlc->lc", toward, candidates).argmax(axis=1)

    def at_outline(self, choice: NDArray[np.intp]) -> "LinearPoints":
        """The points with each outline point at its chosen candidate (L,)."""
        L = self.outline_count
        rows = np.arange(L)
        mean, basis = self.mean.copy(), self.basis.copy()
        mean[:, -L:] = self.candidate_mean[:, rows, choice]
        basis[:, -L:] = self.candidate_basis[:, rows, choice]
        return LinearPoints(mean, basis, self.candidate_mean, self.candidate_basis, self.outward)

    @cached_property
    def kernel(self) -> NDArray[np.float64]:
        """basis·basisᵀ, (3, P, 3, P): how the points move together when the coefficients are white."""
        flat = self.basis.reshape(-1, self.basis.shape[-1])
        return (flat @ flat.T).reshape(*self.basis.shape[:2], *self.basis.shape[:2])


@dataclass(frozen=True, eq=False)
class LandmarkModel:
    """The points of one landmark scheme, with c = (α, β) in units that the fit chose.

    Attributes:
        points: the P points, outline points last.
        order: (P,) the landmark of the scheme that each point answers for.
        unit: (K + E,) how much of (α, β) one of c is.
        shape_count: K, the leading coefficients that are α.
    """

    points: LinearPoints
    order: NDArray[np.intp]
    unit: NDArray[np.float64]
    shape_count: int

    @staticmethod
    def of(
        model: MorphableModel, scheme: str, *, unit: NDArray[np.float64] | None = None, outline: bool = True
    ) -> "LandmarkModel":
        """Restrict a model to a landmark scheme.

        Args:
            model: the whole model.
            scheme: the landmarks' scheme.
            unit: (K + E,) of the coefficients; the model's σ if None.
            outline: let outline points slide; otherwise they stay where the scheme puts them.

        Raises:
            Face3DMMError: the model does not know the scheme.
        """
        surface = model.scheme(scheme)
        P = len(surface.vertices)
        contour = model.contours.get(scheme, _NO_CONTOUR) if outline else _NO_CONTOUR
        order = np.concatenate([np.setdiff1d(np.arange(P), contour.landmarks), contour.landmarks]).astype(np.intp)
        points = surface.at(order)
        unit = model.sigma if unit is None else unit
        mean, basis = _coordinates_first(model, points, unit)
        L, C = contour.candidates.shape
        candidates = _up_to_the_landmarks(model, contour, points.at(slice(P - L, P)))
        candidate_mean, candidate_basis = _coordinates_first(model, candidates, unit)
        outward = mean[:2, P - L :] - mean[:2].mean(axis=1, keepdims=True)
        outward /= np.linalg.norm(outward, axis=0)
        linear = LinearPoints(
            mean, basis, candidate_mean.reshape(3, L, C), candidate_basis.reshape(3, L, C, len(unit)), outward
        )
        return LandmarkModel(linear, order, unit, model.shape_count)


def _up_to_the_landmarks(model: MorphableModel, contour: Contour, landmarks: SurfacePoints) -> SurfacePoints:
    """Candidates (L·C) from the front of each path to its landmark's own place, which fills the rest.

    Where the landmark itself is seen, that is where it is marked; only what the turned head hides slides forward.
    """
    L, C = contour.candidates.shape
    distance = np.linalg.norm(
        model.mean[contour.candidates] - landmarks.interpolate(model.mean)[:, None].astype(np.float32), axis=2
    )
    behind = np.arange(C) >= distance.argmin(axis=1)[:, None]
    on_path = SurfacePoints.at_vertices(contour.candidates.ravel())
    vertices = np.where(behind[..., None], landmarks.vertices[:, None], on_path.vertices.reshape(L, C, 3))
    weights = np.where(behind[..., None], landmarks.weights[:, None], on_path.weights.reshape(L, C, 3))
    return SurfacePoints(vertices.reshape(-1, 3), weights.reshape(-1, 3))


def _coordinates_first(
    model: MorphableModel, points: SurfacePoints, unit: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (3, P) and basis (3, P, K + E), mm per unit, of points on the surface."""
    at = model.at_points(points)
    basis = np.concatenate([at.shape, at.expression], axis=2) * unit
    return at.mean.T.copy(), np.ascontiguousarray(basis.transpose(1, 0, 2))
