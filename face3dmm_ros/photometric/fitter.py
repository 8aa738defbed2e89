"""Photometric refinement: pose, α, β, γ and light from the pixels, started from a landmark fit.

Analysis by synthesis (Blanz & Vetter, PAMI 2003) under spherical-harmonics light (Ramamoorthi & Hanrahan, SIGGRAPH
2001): Gauss–Newton, from coarse to fine, on

    E = Σ ‖landmark residual‖² / (s σₗ)²  +  (1 / s²A) Σ ρ(‖colour residual‖ / σ_c)
        + w_α ‖α/σ‖² + w_β ‖β/σ‖² + ‖γ/σ‖² + light prior,   with β within its bounds.

Neighbouring pixels err alike, so that a patch of A mm² counts as one observation, whatever the picture's resolution.
ρ(x) = x² / (1 + x²/k²) is Geman and McClure's: hair, glasses and hands, which no face explains, lose their say. Several
pictures of one person share α and γ; each has its own pose, β and light.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError

try:
    import torch
except ImportError as error:
    raise Face3DMMError(
        f"the photometric fit needs torch, which cannot be imported ({error}): in the source tree `make torch`, "
        "elsewhere pip install torch --index-url https://download.pytorch.org/whl/cpu"
    ) from error

from face3dmm_ros.core.values import FaceParameters, TrackedFace
from face3dmm_ros.fitting.bounded import minimize_in_box
from face3dmm_ros.fitting.confidence import fit_confidence
from face3dmm_ros.fitting.linear_points import LandmarkModel, LinearPoints
from face3dmm_ros.fitting.observation import Observation, in_a_known_scheme
from face3dmm_ros.fitting.pose_step import POSE_SIZE, moved, pose_jacobian, projected
from face3dmm_ros.morphable_model.model import MorphableModel
from face3dmm_ros.photometric.pixels import LIGHT_SIZE, FacePixels, FaceState, Picture, Samples
from face3dmm_ros.photometric.torch_threads import one_torch_thread
from face3dmm_ros.rendering.spherical_harmonics import SphericalHarmonicsLight

METHOD = "photometric"
"""The method's name in parameters, messages and options."""

# Chosen by hand, where nothing else is said.
_GREY_LIGHT = 0.8
"""Radiance of the even light that a fit starts at, and the mean of its prior."""
_LIGHT_SIGMA = np.array([1.5] + 3 * [1.2] + 5 * [0.6])
"""Prior sigma of Lⱼ, by degree."""
_COLOR_SIGMA = 0.3
"""Prior sigma of the light's colours about grey, relative to that of its level; the smaller, the more of a tint becomes
the face's."""
_LIGHT_ITERATIONS = 4
"""Steps of light and γ alone, before all is fitted."""
_OUTLIER = 2.0
"""k of Geman and McClure: a residual of k·σ_c has a quarter of its weight, a larger one ever less."""
_MEDIAN_OF_NORM = 1.5382
"""Median length of a standard normal vector in three dimensions: √ of the median of χ² with 3 degrees of freedom."""
_STEP_LENGTHS = (1.0, 0.5, 0.25, 0.1, 0.03)
"""Of the line search, in order."""
_MARGIN_MM = 10.0
"""Of the picture that is kept around a face, on the face; room to move during a fit."""


@dataclass(frozen=True)
class Level:
    """A resolution to fit at.

    Attributes:
        scale: px per mm of the face, at most; a smaller face is taken as it is.
        iterations: steps at most.
        samples: pixels at most.
    """

    scale: float
    iterations: int
    samples: int


@dataclass(frozen=True)
class PhotometricOptions:
    """How the fit weighs its evidence and when it stops; the defaults were chosen by hand (see docs/photometric.md).

    Attributes:
        levels: from coarse to fine.
        landmark_noise_mm: σₗ, standard deviation of a landmark on the face, mm, where the detector tells none; twice
            that of the landmark fit, which the pixels may correct.
        landmark_sigma_scale: factor on the standard deviations that a detector tells.
        patch_mm: side of the patch A whose pixels count as one observation, mm; what the model's albedo leaves
            unexplained (stubble, freckles, shadows) is alike that far.
        color_noise: least σ_c, sRGB in [0, 1]; above it, σ_c follows the residuals' median.
        shape_prior: w_α, weight of the identity's prior.
        expression_prior: w_β, weight of the expression's prior.
        tolerance_mm: a level is done when a step moves no landmark by more.
    """

    levels: tuple[Level, ...] = (Level(0.35, 6, 3000), Level(0.8, 8, 5000))
    landmark_noise_mm: float = 8.0
    landmark_sigma_scale: float = 2.0
    patch_mm: float = 5.0
    color_noise: float = 0.03
    shape_prior: float = 4.0
    expression_prior: float = 1.0
    tolerance_mm: float = 0.03


@dataclass(frozen=True, eq=False)
class PhotometricFit:
    """A face and the light that it stands in.

    Attributes:
        parameters: s, R, t, α, β and γ; `residual_px` is the landmarks'.
        light: in camera axes.
        color_residual: median distance of the model's colours from the picture's, sRGB in [0, 1].
    """

    parameters: FaceParameters
    light: SphericalHarmonicsLight
    color_residual: float


def photometric_fit(
    images: Sequence[NDArray[np.uint8]],
    starts: Sequence[TrackedFace],
    model: MorphableModel,
    options: PhotometricOptions | None = None,
) -> list[PhotometricFit]:
    """Fit one person's face in one or more pictures.

    Args:
        images: (H, W, 3) uint8 BGR each.
        starts: the face in each picture with its landmarks and a fit to them, which is where to start.
        model: the face model.
        options: `PhotometricOptions()` if None.

    Returns:
        One fit per picture; α and γ are the same in all.

    Raises:
        Face3DMMError: no pictures, another number of starts, an image of another form, or parameters of another model.
    """
    if not images or len(images) != len(starts):
        raise Face3DMMError(f"expected one start for each of some pictures, found {len(starts)} for {len(images)}")
    for image, start in zip(images, starts, strict=True):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or min(image.shape[:2]) < 2:
            raise Face3DMMError(f"expected a (H, W, 3) uint8 BGR image, found {image.shape} {image.dtype}")
        if start.parameters.model_digest != model.digest:
            raise Face3DMMError("the fit to start from was made with another model")
    with torch.no_grad(), one_torch_thread():
        problem = _Problem(model, options or PhotometricOptions(), images, starts)
        return problem.solve()


@dataclass(frozen=True, eq=False)
class _View:
    """One picture at one level, at the point around which the energy is expanded.

    `points` are the landmarks' model points with the outline as chosen; `noise` is σ_c.
    """

    picture: Picture
    samples: Samples
    points: LinearPoints
    noise: float


class _Problem:
    """The energy of some pictures and its descent."""

    def __init__(
        self,
        model: MorphableModel,
        options: PhotometricOptions,
        images: Sequence[NDArray[np.uint8]],
        starts: Sequence[TrackedFace],
    ) -> None:
        self.model, self.options, self.images, self.starts = model, options, images, starts
        K, E, L = model.shape_count, model.expression_count, len(model.albedo_sigma)
        self.sizes = (K, E, L)
        # In these units the priors on α, β and γ are unit normal ones.
        unit = np.concatenate(
            [
                model.shape_sigma / np.sqrt(options.shape_prior),
                model.expression_sigma / np.sqrt(options.expression_prior),
                model.albedo_sigma,
            ]
        ).astype(np.float64)
        self.unit_alpha, self.unit_beta, self.unit_gamma = np.split(unit, [K, K + E])
        self.pixels = FacePixels(model, unit, _vertex_weight(model))
        self.landmark_models: list[LandmarkModel] = []
        self.observed: list[Observation] = []
        for start in starts:
            landmarks = in_a_known_scheme(start.landmarks, model)
            outline = landmarks.deviation is None
            landmark_model = LandmarkModel.of(model, landmarks.scheme, unit=unit[: K + E], outline=outline)
            self.landmark_models.append(landmark_model)
            self.observed.append(Observation.of(landmarks, landmark_model))
        alpha = np.mean([start.parameters.alpha for start in starts], axis=0)
        light = SphericalHarmonicsLight.even(_GREY_LIGHT).coefficients
        self.states = [
            FaceState(start.parameters.camera, alpha, start.parameters.beta, np.zeros(L), light) for start in starts
        ]
        self.light_precision = _light_precision()

    def solve(self) -> list[PhotometricFit]:
        """Descend level by level."""
        for number, level in enumerate(self.options.levels):
            pictures = [self._picture(index, level) for index in range(len(self.images))]
            if number == 0:
                for _ in range(_LIGHT_ITERATIONS):
                    self._step_light(pictures, level)
            for _ in range(level.iterations):
                if self._step(pictures, level) < self.options.tolerance_mm:
                    break
        return [self._result(index) for index in range(len(self.states))]

    def _picture(self, index: int, level: Level) -> Picture:
        """The part of an image around its face at a level's resolution."""
        image, state = self.images[index], self.states[index]
        points = state.camera.project(self.pixels.vertices(state).numpy())
        margin = _MARGIN_MM * state.camera.scale
        box = np.concatenate([points.min(axis=0) - margin, points.max(axis=0) + margin])
        return Picture.of(image, box, min(1.0, level.scale / state.camera.scale))

    def _view(self, index: int, picture: Picture, level: Level) -> tuple[_View, torch.Tensor]:
        """A picture's view at the present state, and its colour residuals (P, 3)."""
        state = self.states[index]
        samples = self.pixels.sample(picture, state, level.samples)
        residuals = self.pixels.residuals(picture, state, samples)
        median = float(residuals.norm(dim=1).median()) if len(residuals) else 0.0
        noise = max(self.options.color_noise, median / _MEDIAN_OF_NORM)
        points = self.landmark_models[index].points
        c = self._coefficients(state)
        selected = points.at_outline(points.visible_outline(state.camera, c)) if points.outline_count else points
        return _View(picture, samples, selected, noise), residuals

    def _coefficients(self, state: FaceState) -> NDArray[np.float64]:
        """(α, β) in their units."""
        return np.concatenate([state.alpha / self.unit_alpha, state.beta / self.unit_beta])

    def _pixel_weight(self, view: _View, state: FaceState) -> float:
        """What a pixel's squared colour residual counts: 1 / (s²A σ_c²), s that of the picture's level."""
        scale = state.camera.scale * view.picture.factor
        # A patch smaller than a pixel cannot be seen: no pixel counts more than once.
        return view.samples.share / (max((scale * self.options.patch_mm) ** 2, 1.0) * view.noise**2)

    def _robust(self, view: _View, residuals: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Weights (P,) of iteratively reweighted least squares, and Σ ρ·σ_c² over the samples."""
        squared = residuals.square().sum(dim=1)
        k2 = (_OUTLIER * view.noise) ** 2
        importance = view.samples.importance
        weights = importance / (1.0 + squared / k2) ** 2
        return weights, float((importance * squared / (1.0 + squared / k2)).double().sum())

    def _energy(self, views: Sequence[_View], states: Sequence[FaceState]) -> float:
        """½E of some states, visibility, outline and σ_c held."""
        total = 0.0
        for index, (view, state) in enumerate(zip(views, states, strict=True)):
            _, color = self._robust(view, self.pixels.residuals(view.picture, state, view.samples))
            total += 0.5 * self._pixel_weight(view, self.states[index]) * color
            difference = self._landmark_residuals(index, view, state) / self._landmark_noise(index)
            total += 0.5 * float((difference**2).sum())
            beta, light = state.beta / self.unit_beta, (state.light - _mean_light()).ravel()
            total += 0.5 * float(beta @ beta + light @ self.light_precision @ light)
        alpha, gamma = states[0].alpha / self.unit_alpha, states[0].gamma / self.unit_gamma
        return total + 0.5 * float(alpha @ alpha + gamma @ gamma)

    def _landmark_residuals(self, index: int, view: _View, state: FaceState) -> NDArray[np.float64]:
        """(2, P) px."""
        return projected(state.camera, self._landmark_points(view, state)) - self.observed[index].points

    def _landmark_noise(self, index: int) -> NDArray[np.float64]:
        """σₗ of a picture's landmarks, (P,), px."""
        observed = self.observed[index]
        if observed.deviation is not None:
            return self.options.landmark_sigma_scale * observed.deviation
        return np.full(observed.points.shape[1], self.options.landmark_noise_mm * self.states[index].camera.scale)

    def _landmark_points(self, view: _View, state: FaceState) -> NDArray[np.float64]:
        """(3, P) mm. In torch, whose threads are held, as are all products of any size here: see `one_torch_thread`."""
        moved = torch.as_tensor(view.points.basis) @ torch.as_tensor(self._coefficients(state))
        return view.points.mean + moved.numpy()

    def _step_light(self, pictures: Sequence[Picture], level: Level) -> None:
        """A Gauss–Newton step of light and γ alone, from whatever they are."""
        L = self.sizes[2]
        n = len(pictures)
        H = np.zeros((L + n * LIGHT_SIZE, L + n * LIGHT_SIZE))
        g = np.zeros(len(H))
        H[:L, :L] = np.eye(L)
        g[:L] = self.states[0].gamma / self.unit_gamma
        for index, picture in enumerate(pictures):
            state = self.states[index]
            view, residuals = self._view(index, picture, level)
            J = self.pixels.shading_jacobian(state, view.samples)
            own = np.arange(L + index * LIGHT_SIZE, L + (index + 1) * LIGHT_SIZE)
            where = np.concatenate([np.arange(L), own])
            self._add_pixels(H, g, where, J, residuals, view, state)
            self._add_light_prior(H, g, own, state)
        v = np.linalg.solve(H, -g)
        self.states = [
            replace(
                state,
                gamma=state.gamma + self.unit_gamma * v[:L],
                light=state.light + v[L + index * LIGHT_SIZE :][:LIGHT_SIZE].reshape(-1, 3),
            )
            for index, state in enumerate(self.states)
        ]

    def _step(self, pictures: Sequence[Picture], level: Level) -> float:
        """A Gauss–Newton step of all unknowns; returns how far it moved a landmark at most, mm."""
        K, E, L = self.sizes
        shared, own_size = K + L, POSE_SIZE + E + LIGHT_SIZE
        n = len(pictures)
        H = np.zeros((shared + n * own_size, shared + n * own_size))
        g = np.zeros(len(H))
        lower, upper = np.full(len(H), -np.inf), np.full(len(H), np.inf)
        H[:shared, :shared] = np.eye(shared)
        g[:K] = self.states[0].alpha / self.unit_alpha
        g[K:shared] = self.states[0].gamma / self.unit_gamma
        views = []
        for index, picture in enumerate(pictures):
            state = self.states[index]
            view, residuals = self._view(index, picture, level)
            views.append(view)
            first = shared + index * own_size
            pose = np.arange(first, first + POSE_SIZE)
            beta = np.arange(first + POSE_SIZE, first + POSE_SIZE + E)
            light = np.arange(first + POSE_SIZE + E, first + own_size)
            alpha, gamma = np.arange(K), np.arange(K, shared)

            J = torch.cat(
                [
                    self.pixels.geometry_jacobian(picture, state, view.samples),
                    self.pixels.shading_jacobian(state, view.samples),
                ],
                dim=2,
            )
            self._add_pixels(H, g, np.concatenate([pose, alpha, beta, gamma, light]), J, residuals, view, state)
            self._add_landmarks(H, g, np.concatenate([pose, alpha, beta]), index, view)
            H[beta, beta] += 1.0
            g[beta] += state.beta / self.unit_beta
            self._add_light_prior(H, g, light, state)
            lower[beta] = (self.model.expression_bounds[0] - state.beta) / self.unit_beta
            upper[beta] = (self.model.expression_bounds[1] - state.beta) / self.unit_beta
        H.reshape(-1)[:: len(H) + 1] *= 1.0 + 1e-9
        return self._search(views, _minimize(H, g, np.minimum(lower, 0.0), np.maximum(upper, 0.0)))

    def _search(self, views: Sequence[_View], v: NDArray[np.float64]) -> float:
        """Go along a step as far as it lowers the energy; returns the landmarks' largest movement, mm."""
        energy = self._energy(views, self.states)
        for length in _STEP_LENGTHS:
            trial = [self._moved(index, length * v) for index in range(len(self.states))]
            if self._energy(views, trial) < energy:
                movement = [
                    np.abs(self._landmark_residuals(i, view, trial[i]) - self._landmark_residuals(i, view, state)).max()
                    / state.camera.scale
                    for i, (view, state) in enumerate(zip(views, self.states, strict=True))
                ]
                self.states = trial
                return float(max(movement))
        return 0.0

    def _moved(self, index: int, v: NDArray[np.float64]) -> FaceState:
        """One picture's state after a step of all unknowns."""
        K, E, L = self.sizes
        shared, own_size = K + L, POSE_SIZE + E + LIGHT_SIZE
        pose, beta, light = np.split(v[shared + index * own_size :][:own_size], [POSE_SIZE, POSE_SIZE + E])
        state = self.states[index]
        return FaceState(
            moved(state.camera, pose),
            state.alpha + self.unit_alpha * v[:K],
            np.clip(state.beta + self.unit_beta * beta, *self.model.expression_bounds.astype(np.float64)),
            state.gamma + self.unit_gamma * v[K:shared],
            state.light + light.reshape(-1, 3),
        )

    def _add_pixels(
        self,
        H: NDArray[np.float64],
        g: NDArray[np.float64],
        where: NDArray[np.intp],
        J: torch.Tensor,
        residuals: torch.Tensor,
        view: _View,
        state: FaceState,
    ) -> None:
        """Add a picture's pixels to the normal equations at the unknowns `where`, the columns of J (P, 3, U)."""
        weights, _ = self._robust(view, residuals)
        root = (self._pixel_weight(view, state) * weights).sqrt()[:, None]
        weighted = (J * root[..., None]).flatten(0, 1)
        H[np.ix_(where, where)] += (weighted.T @ weighted).numpy().astype(np.float64)
        g[where] += (weighted.T @ (residuals * root).flatten()).numpy().astype(np.float64)

    def _add_landmarks(
        self, H: NDArray[np.float64], g: NDArray[np.float64], where: NDArray[np.intp], index: int, view: _View
    ) -> None:
        """Add a picture's landmarks to the normal equations at the unknowns (pose, α, β)."""
        state = self.states[index]
        camera = state.camera
        difference = self._landmark_residuals(index, view, state)
        by_pose = pose_jacobian(camera, self._landmark_points(view, state)).transpose(1, 2, 0)
        by_coefficients = np.einsum("dk,kpc->dpc", camera.scale * camera.rotation[:2], view.points.basis)
        J = np.concatenate([by_pose, by_coefficients], axis=2).reshape(difference.size, -1)
        noise = np.tile(self._landmark_noise(index), 2)
        J /= noise[:, None]
        H[np.ix_(where, where)] += (torch.as_tensor(J).T @ torch.as_tensor(J)).numpy()
        g[where] += J.T @ (difference.ravel() / noise)

    def _add_light_prior(
        self, H: NDArray[np.float64], g: NDArray[np.float64], where: NDArray[np.intp], state: FaceState
    ) -> None:
        H[np.ix_(where, where)] += self.light_precision
        g[where] += self.light_precision @ (state.light - _mean_light()).ravel()

    def _result(self, index: int) -> PhotometricFit:
        state, start = self.states[index], self.starts[index].parameters
        finest = self.options.levels[-1]
        view, residuals = self._view(index, self._picture(index, finest), finest)
        landmarks = self._landmark_residuals(index, view, state)
        parameters = replace(
            start,
            camera=state.camera,
            alpha=state.alpha,
            beta=state.beta,
            gamma=state.gamma,
            method=METHOD,
            residual_px=float(np.sqrt((landmarks**2).sum(axis=0).mean())),
            confidence=fit_confidence(self.starts[index].landmarks, state.camera, METHOD),
            gaze=self.model.gaze(state.camera.rotation, state.beta),
            beta_deviation=np.zeros(0),  # that of the landmarks alone is not the pixels'
        )
        median = float(residuals.norm(dim=1).median()) if len(residuals) else 0.0
        return PhotometricFit(parameters, SphericalHarmonicsLight(state.light), median)


def _minimize(
    H: NDArray[np.float64], g: NDArray[np.float64], lower: NDArray[np.float64], upper: NDArray[np.float64]
) -> NDArray[np.float64]:
    """As `minimize_in_box`, after the unknowns without bounds are eliminated (Schur complement)."""
    held = np.isfinite(lower) | np.isfinite(upper)
    free = ~held
    coupling = torch.as_tensor(np.column_stack([H[np.ix_(free, held)], g[free]]))
    root, info = torch.linalg.cholesky_ex(torch.as_tensor(H[np.ix_(free, free)]))
    if int(info):
        raise Face3DMMError("the normal equations are singular: the picture does not determine the face")
    solved = torch.cholesky_solve(coupling, root)
    reduced = (coupling[:, :-1].T @ solved).numpy()
    v = np.empty(len(g))
    v[held] = minimize_in_box(
        H[np.ix_(held, held)] - reduced[:, :-1], g[held] - reduced[:, -1], lower[held], upper[held]
    )
    v[free] = -(solved[:, :-1] @ torch.as_tensor(v[held]) + solved[:, -1]).numpy()
    return v


def _mean_light() -> NDArray[np.float64]:
    return SphericalHarmonicsLight.even(_GREY_LIGHT).coefficients


def _light_precision() -> NDArray[np.float64]:
    """Λ of a light's (27,): about as bright as even light, and nearly white."""
    grey = np.full((3, 3), 1.0 / 3.0)
    of_colors = grey + (np.eye(3) - grey) / _COLOR_SIGMA**2
    return np.kron(np.diag(_LIGHT_SIGMA**-2.0), of_colors)


def _vertex_weight(model: MorphableModel) -> NDArray[np.float32]:
    """Where a model's surface may be compared with a picture: its face, without hair and the mouth's inside."""
    face = model.regions.get("face")
    if face is None:
        return np.ones(model.vertex_count, np.float32)
    weight = np.maximum(face, model.regions.get("eyes", 0.0 * face))
    for name in ("mouth_interior", "teeth"):
        weight = weight * (1.0 - model.regions.get(name, 0.0 * weight))
    return weight
