"""Tracked landmarks to parameters: identity grows certain along a track, pose and expression follow each frame."""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.camera import WeakPerspective, estimate_weak_perspective
from face3dmm_ros.errors import Face3DMMError
from face3dmm_ros.fitting.alternating import alternating_fit
from face3dmm_ros.fitting.joint import GaussianPrior, JointFit, identity_information, joint_fit
from face3dmm_ros.fitting.linear_points import LandmarkModel, LinearPoints
from face3dmm_ros.morphable_model.model import MorphableModel
from face3dmm_ros.values import FaceParameters, Landmarks, TrackedLandmarks

FIT_METHODS = ("joint", "alternating")


@dataclass(frozen=True)
class FitOptions:
    """How `joint` weighs its evidence and when it stops.

    Attributes:
        landmark_noise_mm: standard deviation of a landmark on the face, mm; neighbouring landmarks err alike, so it is
            larger than a single landmark's own noise.
        shape_prior: weight of the identity's prior; 0 switches it off.
        expression_prior: weight of the expression's prior; 0 switches it off.
        outline: let outline landmarks slide along the face's visible edge.
        tolerance_px: a fit has converged when a step moves no point by more.
        max_iterations: steps on a face's first frame.
        tracked_iterations: steps on its later frames.
        identity_interval: frames between two refinements of the identity once it has settled.
    """

    landmark_noise_mm: float = 4.0
    shape_prior: float = 1.0
    expression_prior: float = 1.0
    outline: bool = True
    tolerance_px: float = 0.05
    max_iterations: int = 30
    tracked_iterations: int = 4
    identity_interval: int = 15


@dataclass(eq=False)
class _Track:
    """What is known of one face, coefficients in units of σ: its last fit, and the Gaussian ½αᵀΛα − ηᵀα over α.

    The Gaussian speaks of the frames before `identity_fit`, which is added once a further frame needs it as a prior.
    """

    camera: WeakPerspective
    alpha: NDArray[np.float64]
    beta: NDArray[np.float64]
    precision: NDArray[np.float64]
    shift: NDArray[np.float64]
    expression_points: LinearPoints
    identity_fit: JointFit
    refinements: int = 0
    frames_since: int = 0


@dataclass(eq=False)
class TrackFitter:
    """Fits tracked faces, each with a memory of its own.

    Attributes:
        model: the face model.
        method: one of `FIT_METHODS`.
        options: of method `joint`.

    Raises:
        Face3DMMError: an unknown method.
    """

    model: MorphableModel
    method: str = "joint"
    options: FitOptions = field(default_factory=FitOptions)

    def __post_init__(self) -> None:
        if self.method not in FIT_METHODS:
            raise Face3DMMError(f"unknown fit method {self.method!r}; known: {', '.join(FIT_METHODS)}")
        free = np.tile([[-np.inf], [np.inf]], self.model.shape_count)
        self._bounds = np.concatenate([free, self.model.expression_bounds], axis=1) / self.model.sigma
        self._landmark_models: dict[str, LandmarkModel] = {}
        self._tracks: dict[int, _Track] = {}

    def fit(self, face: TrackedLandmarks) -> FaceParameters:
        """Fit one face, continuing its track.

        Raises:
            Face3DMMError: landmarks of a scheme that the model does not know, of the wrong number or not finite, or
                that do not determine a face.
        """
        landmarks = face.landmarks
        model = self._landmark_model(landmarks.scheme)
        observed = _observed(landmarks, model)
        if self.method == "alternating":
            camera, c, residual_px = alternating_fit(model, observed, self._bounds)
            return self._parameters(camera, c, residual_px, landmarks)
        track = self._tracks.get(face.face_id)
        residual_px = np.inf
        if track is not None:
            residual_px = self._follow(track, observed)
        if track is None or residual_px > 3.0 * self.options.landmark_noise_mm * track.camera.scale:
            track, residual_px = self._begin(model, observed)
        elif track.frames_since >= min(2**track.refinements, self.options.identity_interval):
            residual_px = self._refine(model, track, observed)
        self._tracks[face.face_id] = track
        return self._parameters(track.camera, np.concatenate([track.alpha, track.beta]), residual_px, landmarks)

    def retain(self, face_ids: Collection[int]) -> None:
        """Forget all tracks but these."""
        for face_id in [known for known in self._tracks if known not in face_ids]:
            del self._tracks[face_id]

    def reset(self) -> None:
        """Forget all tracks."""
        self._tracks.clear()

    def _landmark_model(self, scheme: str) -> LandmarkModel:
        if scheme not in self._landmark_models:
            outline = self.options.outline and self.method == "joint"
            self._landmark_models[scheme] = LandmarkModel.of(self.model, scheme, outline)
        return self._landmark_models[scheme]

    def _begin(self, model: LandmarkModel, observed: NDArray[np.float64]) -> tuple[_Track, float]:
        """A face's first frame: everything unknown, started at the mean face."""
        K = model.shape_count
        start = np.clip(np.zeros(len(model.sigma)), *self._bounds)
        camera = estimate_weak_perspective(model.points.points(start).T, observed.T)
        precision, shift = self.options.shape_prior * np.eye(K), np.zeros(K)
        prior = self._prior(precision, shift)
        fit = self._solve(model.points, observed, camera, start, prior, self.options.max_iterations)
        alpha, beta = fit.coefficients[:K], fit.coefficients[K:]
        track = _Track(fit.camera, alpha, beta, precision, shift, model.points.holding(alpha), fit)
        return track, fit.residual_px

    def _follow(self, track: _Track, observed: NDArray[np.float64]) -> float:
        """A later frame: pose and expression move, the identity stays."""
        prior = self._prior(np.zeros((0, 0)), np.zeros(0))
        fit = self._solve(
            track.expression_points, observed, track.camera, track.beta, prior, self.options.tracked_iterations
        )
        track.camera, track.beta = fit.camera, fit.coefficients
        track.frames_since += 1
        return fit.residual_px

    def _refine(self, model: LandmarkModel, track: _Track, observed: NDArray[np.float64]) -> float:
        """Now and then a frame also speaks for the identity, with all earlier such frames as its prior."""
        K = model.shape_count
        before = self._prior(track.precision, track.shift)
        noise_px = self.options.landmark_noise_mm * track.identity_fit.camera.scale
        seen_precision, seen_shift = identity_information(track.identity_fit, before, noise_px, K)
        track.precision, track.shift = track.precision + seen_precision, track.shift + seen_shift
        prior = self._prior(track.precision, track.shift)
        start = np.concatenate([track.alpha, track.beta])
        fit = self._solve(model.points, observed, track.camera, start, prior, self.options.tracked_iterations)
        track.camera, track.alpha, track.beta = fit.camera, fit.coefficients[:K], fit.coefficients[K:]
        track.expression_points = model.points.holding(track.alpha)
        track.identity_fit = fit
        track.refinements += 1
        track.frames_since = 0
        return fit.residual_px

    def _prior(self, precision: NDArray[np.float64], shift: NDArray[np.float64]) -> GaussianPrior:
        """The prior of c = (α, β) with (Λ, η) on α; without α where these are empty."""
        K, E = len(shift), self.model.expression_count
        full = np.zeros((K + E, K + E))
        full[:K, :K] = precision
        full[K:, K:] = self.options.expression_prior * np.eye(E)
        return GaussianPrior(full, np.concatenate([shift, np.zeros(E)]), *self._bounds[:, -K - E :])

    def _solve(
        self,
        points: LinearPoints,
        observed: NDArray[np.float64],
        camera: WeakPerspective,
        start: NDArray[np.float64],
        prior: GaussianPrior,
        max_iterations: int,
    ) -> JointFit:
        """Joint fit with the options' noise, at the face's size, and tolerance."""
        return joint_fit(
            points,
            observed,
            camera,
            start,
            prior,
            noise_px=self.options.landmark_noise_mm * camera.scale,
            max_iterations=max_iterations,
            tolerance_px=self.options.tolerance_px,
        )

    def _parameters(
        self,
        camera: WeakPerspective,
        coefficients: NDArray[np.float64],
        residual_px: float,
        landmarks: Landmarks,
    ) -> FaceParameters:
        """The fit as it travels; coefficients (K + E,) come in units of σ."""
        K = self.model.shape_count
        raw = coefficients * self.model.sigma
        return FaceParameters(
            camera=camera,
            alpha=raw[:K],
            beta=np.clip(raw[K:], *self.model.expression_bounds),
            model=self.model.name,
            model_digest=self.model.digest,
            method=self.method,
            residual_px=residual_px,
            confidence=landmarks.confidence,
            image_size=landmarks.image_size,
        )


def _observed(landmarks: Landmarks, model: LandmarkModel) -> NDArray[np.float64]:
    """The landmarks as (2, P) float64 in the model's order, px."""
    points = np.asarray(landmarks.points, dtype=np.float64)
    if points.shape != (len(model.order), 2):
        raise Face3DMMError(
            f"scheme {landmarks.scheme} has {len(model.order)} landmarks, expected an ({len(model.order)}, 2) array, "
            f"found {points.shape}"
        )
    if not np.isfinite(points).all():
        raise Face3DMMError("the landmarks hold values that are not finite (NaN or infinity)")
    return np.ascontiguousarray(points[model.order].T)
