"""Tracked landmarks to parameters: the identity is pooled over a track, pose and expression follow each frame."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective, estimate_weak_perspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.face_memory import FaceMemory
from face3dmm_ros.core.second_thread import SecondThread
from face3dmm_ros.core.values import FaceParameters, Landmarks, TrackedLandmarks
from face3dmm_ros.fitting.alternating import alternating_fit
from face3dmm_ros.fitting.bounded import solve_symmetric
from face3dmm_ros.fitting.confidence import fit_confidence
from face3dmm_ros.fitting.joint import (
    GaussianPrior,
    JointFit,
    drawn,
    identity_information,
    joint_fit,
    posterior_deviation,
    turned,
)
from face3dmm_ros.fitting.linear_points import LandmarkModel, LinearPoints
from face3dmm_ros.fitting.observation import Observation, in_a_known_scheme, weights_read
from face3dmm_ros.landmarks.face_mesh_response import yaw_degrees
from face3dmm_ros.morphable_model.model import MorphableModel

LANDMARK_METHODS = ("joint", "alternating")
"""Those that need landmarks alone, the default first."""

_ALIKE = 5.0
"""From the front, σ of a point in the pose is at least this many lower quartiles of all σ, so that nearly all count
alike. With `_ALIKE_YAW` chosen by hand while looking at `aflw2000_dev` (docs/landmarks.md)."""
_ALIKE_YAW = (20.0, 40.0)
"""Degrees of yaw between which that lower limit fades out: on turned heads the far side's points are guessed."""
_HELD_FAST = 10.0
"""Precision with which a weight is held at its last value, in units of a usual frame's; chosen by hand."""


@dataclass(frozen=True)
class FitOptions:
    """How `joint` weighs its evidence and when it stops.

    The priors' weights were chosen on the sample clip, portraits and pictures without a face, the other defaults by
    hand; docs/landmarks.md has figures for `held_*`.

    Attributes:
        landmark_noise_mm: standard deviation of a landmark on the face, mm, where the detector tells none; neighbouring
            landmarks err alike, so it is larger than a single landmark's own noise.
        landmark_sigma_scale: factor on the standard deviations that a detector tells, for the same reason.
        expression_sigma_scale: the same for the expression that a detector reads, whose errors are alike in all frames.
        held_sigma_scale: in place of `landmark_sigma_scale` where the identity is held and the detector has read the
            expression: an error of the identity moves points too, and would be taken for an expression.
        outlier: Cauchy's k, in standard deviations as `landmark_sigma_scale` enlarges them: landmarks further off count
            less and less; infinite for least squares.
        shape_prior: weight of the identity's prior; 0 switches it off.
        expression_prior: weight of the expression's prior; 0 switches it off.
        outline: let outline landmarks slide along the face's visible edge.
        tolerance_px: a fit has converged when a step moves no point by more.
        max_iterations: steps on a face's first frame.
        tracked_iterations: steps on its later frames.
        identity_interval: frames between two that speak for the identity, once it has settled.
        held_from: share of a frame's usual information on a weight (log of prior over posterior variance) that must be
            missing for the weight to keep its last value, since a part of the face is covered or turned away. From
            twice that on it is held fully.
        held_images: time constant of holding, in images: a held weight decays by 1/e, and the usual variance adapts.
        frame_correlation: ρ, how alike the landmarks' errors are in two frames of a track. n frames weigh as
            n / (1 + (n − 1)ρ) independent ones, so that a detector's bias does not become certainty.
    """

    landmark_noise_mm: float = 4.0
    landmark_sigma_scale: float = 2.0
    expression_sigma_scale: float = 1.3
    held_sigma_scale: float = 10.0
    outlier: float = 2.0
    shape_prior: float = 3.0
    expression_prior: float = 0.5
    outline: bool = True
    tolerance_px: float = 0.1
    max_iterations: int = 30
    tracked_iterations: int = 3
    identity_interval: int = 15
    held_from: float = 0.45
    held_images: float = 45.0
    frame_correlation: float = 0.5


@dataclass(frozen=True, eq=False)
class _Identity:
    """What is known of a face's identity, coefficients in the fit's units.

    `precision` and `shift` sum the information ½αᵀSα − hᵀα of `frames` frames. That of the first frame is computed from
    `first_fit` when a second frame needs it, so never for a single picture. `points` move with the expression alone.
    """

    alpha: NDArray[np.float64]
    points: LinearPoints
    precision: NDArray[np.float64]
    shift: NDArray[np.float64]
    frames: int = 0
    first_fit: JointFit | None = None


@dataclass(eq=False)
class _Track:
    """The state of one face, coefficients in the fit's units.

    `refined` gives the identity that the next image is to be fitted with, and may still be worked on. `known` is β as
    it was last seen well, and `usual_variance` its posterior variance by such a frame alone.
    """

    model: LandmarkModel
    identity: _Identity
    camera: WeakPerspective
    beta: NDArray[np.float64]
    beta_deviation: NDArray[np.float64] | None
    known: NDArray[np.float64]
    usual_variance: NDArray[np.float64] | None = None
    frames_since: int = 0
    refined: Callable[[], _Identity] | None = None


@dataclass(eq=False)
class TrackFitter(FaceMemory[_Track]):
    """Fits tracked faces, each with a memory of its own.

    Attributes:
        model: the face model.
        method: one of `LANDMARK_METHODS`.
        options: of method `joint`.

    Raises:
        Face3DMMError: an unknown method, or the model has no landmarks.
    """

    model: MorphableModel
    method: str = "joint"
    options: FitOptions = field(default_factory=FitOptions)

    def __post_init__(self) -> None:
        if self.method not in LANDMARK_METHODS:
            raise Face3DMMError(f"unknown fit method {self.method!r}; known: {', '.join(LANDMARK_METHODS)}")
        model, options = self.model, self.options
        model.require_landmarks()
        self._unit = model.sigma.copy()
        if self.method == "joint":
            # In units of the prior's standard deviation the prior is the unit normal one, whose steps are cheapest.
            K = model.shape_count
            self._unit[:K] /= np.sqrt(options.shape_prior or 1.0)
            self._unit[K:] /= np.sqrt(options.expression_prior or 1.0)
        free = np.tile([[-np.inf], [np.inf]], model.shape_count)
        self._bounds = np.concatenate([free, model.expression_bounds], axis=1) / self._unit
        self._read = weights_read(model)
        self._read_unit = self._unit[model.shape_count :][self._read]
        # Prior variance of β.
        self._unseen_variance = np.full(model.expression_count, np.inf)
        if self.method == "joint" and options.expression_prior > 0:
            self._unseen_variance = np.linalg.inv(model.expression_precision).diagonal()
        self._expression_alone = self._prior(np.zeros((0, 0)), np.zeros(0))
        self._landmark_models: dict[tuple[str, bool], LandmarkModel] = {}
        self._settled = False
        self._second_thread = SecondThread("identity")
        super().__init__()

    def settle(self) -> None:
        """From now on, keep the identities that are known as they are."""
        self._settled = True

    def fit(
        self,
        face: TrackedLandmarks,
        image: NDArray[np.uint8] | None = None,
        start: FaceParameters | None = None,
    ) -> FaceParameters:
        """Fit one face, continuing its track.

        Args:
            face: its landmarks.
            image: not looked at.
            start: of method `joint`: from where a face is fitted of which nothing is known yet; the mean face if None.

        Raises:
            Face3DMMError: landmarks of a scheme that the model can make nothing of, of the wrong number or not finite,
                or that do not determine a face.
        """
        landmarks = in_a_known_scheme(face.landmarks, self.model)
        model = self._landmark_model(landmarks)
        observed = Observation.of(landmarks, model)
        if self.method == "alternating":
            camera, c, residual_px = alternating_fit(model, observed.points, self._bounds)
            return self._parameters(camera, c, residual_px, landmarks)
        track, due = self._faces.get(face.face_id), False
        if track is not None and track.model is not model:
            track = None
        if track is not None:
            if track.refined is not None:
                track.identity, track.refined = track.refined(), None
            due = track.frames_since >= min(2**track.identity.frames, self.options.identity_interval)
            fit = self._follow(track, observed)
            if self._settled and self._is_off(fit, track):
                fit = self._find_again(track, observed)
        if track is None or (not self._settled and self._is_off(fit, track)):
            track, fit = self._begin(model, observed, start)
        elif due and not self._settled:
            # The next image takes it up, however long it takes, so that results do not depend on the machine.
            refine = partial(self._refined, track.model, track.identity, track.camera, track.beta, observed)
            track.frames_since, track.refined = 1, self._second_thread.begin(refine)
        self._faces[face.face_id] = track
        c = np.concatenate([track.identity.alpha, track.beta])
        return self._parameters(_posed(fit, observed), c, fit.residual_px, landmarks, track.beta_deviation)

    def _landmark_model(self, landmarks: Landmarks) -> LandmarkModel:
        # Detectors with deviations locate points of the skin, seen or not; others mark the visible outline.
        outline = self.options.outline and self.method == "joint" and landmarks.deviation is None
        key = landmarks.scheme, outline
        if key not in self._landmark_models:
            model = LandmarkModel.of(self.model, landmarks.scheme, unit=self._unit, outline=outline)
            self._landmark_models[key] = model
        return self._landmark_models[key]

    def _begin(
        self, model: LandmarkModel, observed: Observation, start: FaceParameters | None = None
    ) -> tuple[_Track, JointFit]:
        """A face's first frame: everything unknown, started at the mean face."""
        K = model.shape_count
        if start is None:
            c = np.clip(np.zeros(len(self._unit)), *self._bounds)
            camera = estimate_weak_perspective(model.points.points(c).T, observed.points.T)
        else:
            c = np.clip(np.concatenate([start.alpha, start.beta]) / self._unit, *self._bounds)
            camera = start.camera
        prior = self._prior(float(self.options.shape_prior > 0) * np.eye(K), np.zeros(K), observed)
        fit = self._solve(model.points, observed, camera, c, prior, self.options.max_iterations)
        alpha, beta = fit.coefficients[:K], fit.coefficients[K:]
        identity = _Identity(alpha, model.points.holding(alpha), np.zeros((K, K)), np.zeros(K), first_fit=fit)
        return _Track(model, identity, fit.camera, beta, posterior_deviation(fit, K), beta), fit

    def _is_off(self, fit: JointFit, track: _Track) -> bool:
        """Whether a fit that went on from a track's last image ended elsewhere than at the face."""
        return fit.residual_px > 3.0 * self.options.landmark_noise_mm * track.camera.scale

    def _find_again(self, track: _Track, observed: Observation) -> JointFit:
        """Go on with a track whose face has moved too far: pose and expression anew, the identity stays."""
        points = track.identity.points
        track.beta = np.clip(np.zeros(self.model.expression_count), *self._bounds[:, self.model.shape_count :])
        track.camera = estimate_weak_perspective(points.points(track.beta).T, observed.points.T)
        return self._follow(track, observed, self.options.max_iterations)

    def _follow(self, track: _Track, observed: Observation, iterations: int | None = None) -> JointFit:
        """A later frame: pose and expression move, the identity stays."""
        points, iterations = track.identity.points, iterations or self.options.tracked_iterations
        prior = self._expression_prior(observed)
        sigma_scale = None if self._reading(observed) is None else self.options.held_sigma_scale
        fit = self._solve(points, observed, track.camera, track.beta, prior, iterations, sigma_scale, np.float32)
        track.beta_deviation = posterior_deviation(fit, 0)
        if track.beta_deviation is not None:
            fit = self._held(track, fit, track.beta_deviation**2, prior)
        track.camera, track.beta = fit.camera, fit.coefficients
        track.frames_since += 1
        return fit

    def _held(self, track: _Track, fit: JointFit, variance: NDArray[np.float64], prior: GaussianPrior) -> JointFit:
        """A fit in which weights with little information in this frame keep the track's value.

        `variance` (E,) is that of β by this frame alone.
        """
        options = self.options
        if track.usual_variance is None:
            track.usual_variance = variance
        usual = track.usual_variance = np.minimum(variance, (1.0 + 1.0 / options.held_images) * track.usual_variance)
        missing = np.log(variance / usual) / np.maximum(np.log(self._unseen_variance / usual), 1e-9)
        share = np.clip(missing / options.held_from - 1.0, 0.0, 1.0)
        known = (1.0 - 1.0 / options.held_images) * track.known
        if share.any():
            fit = drawn(fit, prior, known, _HELD_FAST * share / usual)
        track.known = share * known + (1.0 - share) * fit.coefficients
        return fit

    def _refined(
        self,
        model: LandmarkModel,
        identity: _Identity,
        camera: WeakPerspective,
        beta: NDArray[np.float64],
        observed: Observation,
    ) -> _Identity:
        """An identity after one more frame: that is fitted anew under the earlier frames' information, and all pooled.

        The fit starts at the frame's camera and β.
        """
        precision, shift, frames = identity.precision, identity.shift, identity.frames
        if identity.first_fit is not None:
            precision, shift = self._evidence(identity.first_fit)
            frames = 1
        start = np.concatenate([identity.alpha, beta])
        prior = self._prior(*self._pooled(precision, shift, frames), observed)
        iterations = self.options.tracked_iterations
        fit = self._solve(model.points, observed, camera, start, prior, iterations, precision=np.float32)
        more_precision, more_shift = self._evidence(fit)
        precision, shift, frames = precision + more_precision, shift + more_shift, frames + 1
        alpha = solve_symmetric(*self._pooled(precision, shift, frames))
        return _Identity(alpha, model.points.holding(alpha), precision, shift, frames)

    def _evidence(self, fit: JointFit) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(S, h): the information ½αᵀSα − hᵀα of a frame's fit on the identity."""
        K = self.model.shape_count
        return identity_information(fit, self._prior(np.zeros((K, K)), np.zeros(K)), K)

    def _pooled(
        self, precision: NDArray[np.float64], shift: NDArray[np.float64], frames: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(Λ, η) of the identity by the sums over so many frames, discounted for the correlation of their errors."""
        weight = 1.0 / (1.0 + (frames - 1) * self.options.frame_correlation)
        # Without a prior, directions that no frame has seen would make the system singular.
        prior = 1.0 if self.options.shape_prior > 0 else 1e-6
        return weight * precision + prior * np.eye(len(shift)), weight * shift

    def _reading(self, observed: Observation) -> NDArray[np.float64] | None:
        """The detector's reading of the expression, (2, 51); None if the model's expressions are not ARKit's."""
        return observed.expression if len(self._read) else None

    def _expression_prior(self, observed: Observation) -> GaussianPrior:
        """The prior on β alone, with the detector's reading."""
        return self._with_reading(self._expression_alone, observed)

    def _prior(
        self, precision: NDArray[np.float64], shift: NDArray[np.float64], observed: Observation | None = None
    ) -> GaussianPrior:
        """The prior on c = (α, β), with the detector's reading of the expression if given.

        Args:
            precision: Λ, (K, K), of α; empty without α.
            shift: η, (K,).
            observed: with the reading of β.
        """
        K, E = len(shift), self.model.expression_count
        full = np.zeros((K + E, K + E))
        full[:K, :K] = precision
        if self.options.expression_prior > 0:
            full[K:, K:] = self.model.expression_precision
        prior = GaussianPrior(full, np.concatenate([shift, np.zeros(E)]), *self._bounds[:, -K - E :])
        return prior if observed is None else self._with_reading(prior, observed)

    def _with_reading(self, prior: GaussianPrior, observed: Observation) -> GaussianPrior:
        """A prior on (α, β), or on β alone, with the detector's reading of the expression if there is one."""
        reading = self._reading(observed)
        if reading is None:
            return prior
        read = len(prior.shift) - self.model.expression_count + self._read
        mean, precision = np.zeros(len(prior.shift)), np.zeros(len(prior.shift))
        mean[read], deviation = reading / self._read_unit
        precision[read] = (self.options.expression_sigma_scale * deviation) ** -2
        return prior.pulled(mean, precision)

    def _solve(
        self,
        points: LinearPoints,
        observed: Observation,
        camera: WeakPerspective,
        start: NDArray[np.float64],
        prior: GaussianPrior,
        max_iterations: int,
        sigma_scale: float | None = None,
        precision: type[np.floating] = np.float64,
    ) -> JointFit:
        """Joint fit with the landmarks' σ times a scale (`landmark_sigma_scale` if None), or else the options' σ."""
        options = self.options
        if observed.deviation is None:
            sigma_scale = options.landmark_sigma_scale
            noise_px = np.full(observed.points.shape[1], options.landmark_noise_mm * camera.scale)
        else:
            sigma_scale = sigma_scale or options.landmark_sigma_scale
            noise_px = sigma_scale * observed.deviation
        return joint_fit(
            points,
            observed.points,
            camera,
            start,
            prior,
            noise_px=noise_px,
            max_iterations=max_iterations,
            tolerance_px=options.tolerance_px,
            outlier=options.outlier * options.landmark_sigma_scale / sigma_scale,
            precision=precision,
        )

    def _parameters(
        self,
        camera: WeakPerspective,
        coefficients: NDArray[np.float64],
        residual_px: float,
        landmarks: Landmarks,
        beta_deviation: NDArray[np.float64] | None = None,
    ) -> FaceParameters:
        """A fit as `FaceParameters`; coefficients (K + E,) and β's deviations are given in the fit's units."""
        K = self.model.shape_count
        raw = coefficients * self._unit
        beta = np.clip(raw[K:], *self.model.expression_bounds)
        return FaceParameters(
            camera=camera,
            alpha=raw[:K],
            beta=beta,
            model=self.model.name,
            model_digest=self.model.digest,
            method=self.method,
            residual_px=residual_px,
            confidence=fit_confidence(landmarks, camera, self.method),
            image_size=landmarks.image_size,
            gaze=self.model.gaze(camera.rotation, beta),
            beta_deviation=np.zeros(0) if beta_deviation is None else beta_deviation * self._unit[K:],
        )


def _posed(fit: JointFit, observed: Observation) -> WeakPerspective:
    """A fit's pose to publish, in which from the front nearly all points count alike.

    Lips and lids have the smallest σ but move with the expression: weighed by σ, these few would make the pose jitter.
    """
    camera = fit.camera
    yaw = abs(yaw_degrees(camera.rotation))
    if observed.deviation is None or yaw >= _ALIKE_YAW[1]:
        return camera
    alike = np.interp(yaw, _ALIKE_YAW, (_ALIKE, 0.0))
    quarter = len(observed.deviation) // 4
    least = alike * np.partition(observed.deviation, quarter)[quarter]
    return turned(camera, fit.place.X, observed.points, np.maximum(observed.deviation, least), np.inf)
