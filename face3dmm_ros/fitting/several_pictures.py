"""Several pictures of one person: one identity from all of them, pose and expression from each.

The sum of the pictures' energies of `joint` is minimised over the α that they share and their own s, R, t and β. Every
picture is fitted under the others' information on the identity and gives its own, ½αᵀSα − hᵀα, with its own unknowns
eliminated (as bundle adjustment does: Triggs et al., Bundle Adjustment – A Modern Synthesis, 1999). At the fixed point
α is the minimum of the sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import FaceParameters, Landmarks
from face3dmm_ros.fitting.bounded import solve_symmetric
from face3dmm_ros.fitting.joint import posterior_deviation
from face3dmm_ros.fitting.linear_points import LandmarkModel
from face3dmm_ros.fitting.observation import Observation, in_a_known_scheme
from face3dmm_ros.fitting.track_fitter import FitOptions, TrackFitter
from face3dmm_ros.morphable_model.model import MorphableModel

PICTURE_OPTIONS = FitOptions(frame_correlation=0.1)
"""Separate pictures show a face from different sides, so that their landmarks' errors are less correlated than those of
a track's frames; by how much was chosen by hand."""

_ROUNDS = 10
"""At most, chosen by hand; `_SETTLED` usually ends them before."""
_SETTLED = 0.01
"""The rounds end once one moves no coefficient by more, in the prior's standard deviations; chosen by hand."""


@dataclass(frozen=True, eq=False)
class SamePerson:
    """One person in n pictures.

    Attributes:
        alpha: (K,) the identity.
        pictures: what each picture shows; all have that identity.
        uncertainty_mm: (n + 1,) what remains unknown of the neutral face after 0, 1, … n of the pictures: standard
            deviation of a vertex, RMS over the vertices, mm.
    """

    alpha: NDArray[np.float64]
    pictures: tuple[FaceParameters, ...]
    uncertainty_mm: NDArray[np.float64]


class PersonFitter(TrackFitter):
    """Fits several pictures of one person at once, by method `joint`."""

    def __init__(self, model: MorphableModel, options: FitOptions = PICTURE_OPTIONS) -> None:
        """Fit this model."""
        super().__init__(model, "joint", options)

    def fit_person(self, pictures: Sequence[Landmarks]) -> SamePerson:
        """One identity for all pictures, and each one's pose and expression.

        Args:
            pictures: the person's landmarks in each picture, which may differ in size and scheme.

        Raises:
            Face3DMMError: no picture, or landmarks that `fit` refuses.
        """
        if not pictures:
            raise Face3DMMError("a person is fitted in at least one picture, there is none")
        K, options = self.model.shape_count, self.options
        seen = [self._observe(landmarks) for landmarks in pictures]
        tracks, evidence = [], (np.zeros((len(seen), K, K)), np.zeros((len(seen), K)))
        for i, (model, observed, _) in enumerate(seen):
            track, fit = self._begin(model, observed)
            tracks.append(track)
            evidence[0][i], evidence[1][i] = self._evidence(fit)

        def pooled(chosen: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            """(Λ, η) of the identity by some of the pictures."""
            S, h = (values[chosen].sum(axis=0) for values in evidence)
            return self._pooled(S, h, int(chosen.sum()))

        everyone = np.ones(len(seen), bool)
        alpha = solve_symmetric(*pooled(everyone))
        for _ in range(_ROUNDS if len(seen) > 1 else 0):
            for i, (track, (model, observed, _)) in enumerate(zip(tracks, seen, strict=True)):
                others = everyone.copy()
                others[i] = False
                prior = self._prior(*pooled(others), observed)
                start = np.concatenate([alpha, track.beta])
                fit = self._solve(model.points, observed, track.camera, start, prior, options.tracked_iterations)
                track.camera, track.beta = fit.camera, fit.coefficients[K:]
                evidence[0][i], evidence[1][i] = self._evidence(fit)
            before, alpha = alpha, solve_symmetric(*pooled(everyone))
            if np.abs(alpha - before).max() * np.sqrt(options.shape_prior or 1.0) < _SETTLED:
                break
        fitted = []
        for track, (model, observed, landmarks) in zip(tracks, seen, strict=True):
            points = model.points.holding(alpha)
            fit = self._solve(
                points, observed, track.camera, track.beta, self._expression_prior(observed), options.max_iterations
            )
            c = np.concatenate([alpha, fit.coefficients])
            deviation = posterior_deviation(fit, 0)
            fitted.append(self._parameters(fit.camera, c, fit.residual_px, landmarks, deviation))
        counts = range(len(seen) + 1)
        uncertainty = [self._uncertainty_mm(pooled(np.arange(len(seen)) < count)[0]) for count in counts]
        return SamePerson(fitted[0].alpha, tuple(fitted), np.array(uncertainty))

    def _observe(self, landmarks: Landmarks) -> tuple[LandmarkModel, Observation, Landmarks]:
        """What a picture's landmarks are fitted by, the landmarks in that order, and as they are."""
        landmarks = in_a_known_scheme(landmarks, self.model)
        model = self._landmark_model(landmarks)
        return model, Observation.of(landmarks, model), landmarks

    def _uncertainty_mm(self, precision: NDArray[np.float64]) -> float:
        """Standard deviation of the neutral face's vertices, RMS, mm, by α's precision (K, K) in the fit's units."""
        basis = self.model.shape_basis * self._unit[: self.model.shape_count].astype(np.float32)
        covariance = solve_symmetric(precision, np.eye(len(precision)))
        return float(np.sqrt((covariance * (basis.T @ basis)).sum() / self.model.vertex_count))
