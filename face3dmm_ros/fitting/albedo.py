"""A person's albedo coefficients γ from an image's colours at the landmarks, separated from the light.

sRGB is nearly a power of the light, so that light multiplies sRGB albedo, too. With a factor that is linear in the
surface's normal n, a point's colour without its gloss is

    c = (T̄ + Σ γᵢTᵢ) · (level + direction · (n − n̄)),   n̄ the mean normal of the points that the camera sees,

with a level of red, green and blue and one direction for all three. γ has the model's prior. Colours alone do not tell
a dark face in bright light from a bright one in the dark: the light's level is held near that of the light in which
overlays are drawn, so that a face is drawn about as bright as it is in the image, and near white, so that a lamp's
colour does not become the person's. Where the light comes from is free: a side in shadow does not darken the face.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.face_memory import FaceMemory
from face3dmm_ros.core.srgb import encoded, linear
from face3dmm_ros.core.values import TrackedFace
from face3dmm_ros.fitting.bounded import solve_symmetric
from face3dmm_ros.fitting.observation import in_a_known_scheme
from face3dmm_ros.landmarks.schemes import SKIN_COUNT
from face3dmm_ros.morphable_model.model import MorphableModel

# Chosen by hand, where nothing else is said; `lab.experiments.measure_colors` measures what comes of them.
_LEVEL, _GLOSS = 0.9, 0.02
"""Mean over a frontal face that `rendering.lighting.Lighting()` lights: factor on its sRGB, and highlight, linear."""
_LEVEL_DEVIATION, _TINT_DEVIATION = 0.02, 0.05
"""Prior sigmas of the light's level, common to all three colours and of each by itself: larger ones let the light
explain a dark skin, or a tinted light the person's colour."""
_DIRECTION_DEVIATION = 0.3
"""Prior sigma of the light's direction, relative to its level: weak, for lamps may stand anywhere."""
_NOISE = 0.25
"""Sigma of a colour, sRGB. Neighbouring points err alike, so it is larger than a single one's."""
_OUTLIER = 0.12
"""Cauchy's k, sRGB: colours further off count less and less: hair, glasses, hands, beards, highlights."""
_CHANNELS = np.array([0.7, 1.8, 0.5])
"""Weights of red, green and blue: between equal ones and three times those of luminance (Rec. 709)."""
_STEPS = 5
"""Reweighted Gauss–Newton steps."""
_REACH = 3.0
"""Limit of γ, in standard deviations; the default model's skins then go from the darkest to the lightest that cameras
record."""
_FADE_COSINES = (0.15, 0.5)
"""Cosines of the viewing angle up to which a surface is seen too obliquely to count, and from which it counts fully."""
_MEMORY = 30
"""Length of the moving average over looks: longer is steadier, shorter follows a change of light sooner."""
_EASE = 0.1
"""Share of the way to the estimate that the published colours go per image, so that they do not jump."""


@dataclass(frozen=True, eq=False)
class AlbedoPoints:
    """A model's albedo at P points of its skin.

    Attributes:
        mean: (P, 3) sRGB.
        basis: (P, 3, L) per standard deviation of γ.
        normals: (P, 3) unit, model space, of the mean face: what identity and expression change matters little to light
            as smooth as this.
    """

    mean: NDArray[np.float64]
    basis: NDArray[np.float64]
    normals: NDArray[np.float64]

    @staticmethod
    def of(model: MorphableModel, scheme: str) -> "AlbedoPoints":
        """At a scheme's points but the irises'.

        Raises:
            Face3DMMError: the model does not know the scheme.
        """
        points = model.scheme(scheme).at(slice(0, SKIN_COUNT))
        normals = points.interpolate(model.normals(model.mean)).astype(np.float64)
        return AlbedoPoints(
            points.interpolate(model.albedo_mean).astype(np.float64),
            points.interpolate_basis(model.albedo_basis) * model.albedo_sigma,
            normals / np.linalg.norm(normals, axis=1, keepdims=True),
        )


def albedo_evidence(
    points: AlbedoPoints, colors: NDArray[np.uint8], rotation: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """An image's information on γ in standard deviations with the light marginalised, ½γᵀSγ − hᵀγ: S (L, L), h (L,).

    Args:
        points: where the image was looked at.
        colors: (P, 3) sRGB found there; (0, 0, 0) tells nothing.
        rotation: R, model to camera.

    Raises:
        Face3DMMError: the numbers of colours and points differ.
    """
    if colors.shape != points.mean.shape:
        raise Face3DMMError(f"expected a colour for each of {len(points.mean)} landmarks, found {colors.shape}")
    L = points.basis.shape[2]
    normals = points.normals @ rotation.T
    low, high = _FADE_COSINES
    seen = np.clip((-normals[:, 2] - low) / (high - low), 0.0, 1.0) * colors.any(axis=1)
    used = seen > 0.0
    if not used.any():
        return np.zeros((L, L)), np.zeros(L)
    seen, normals, mean, basis = seen[used], normals[used], points.mean[used], points.basis[used].reshape(-1, L)
    turned = normals - seen @ normals / seen.sum()
    matt = encoded(np.maximum(linear(colors[used] / 255.0) - _GLOSS, 0.0))
    prior_mean = np.concatenate([np.zeros(L), [_LEVEL] * 3, np.zeros(3)])
    prior = np.zeros((L + 6, L + 6))
    prior[:L, :L] = np.eye(L)
    prior[L : L + 3, L : L + 3] = np.linalg.inv(_LEVEL_DEVIATION**2 + _TINT_DEVIATION**2 * np.eye(3))
    prior[L + 3 :, L + 3 :] = np.eye(3) / _DIRECTION_DEVIATION**2
    v = prior_mean
    J = np.zeros((*matt.shape, L + 6))
    rows = J.reshape(-1, L + 6)
    for step in range(_STEPS):
        albedo = mean + (basis @ v[:L]).reshape(matt.shape)
        light = v[L : L + 3] + (turned @ v[L + 3 :])[:, None]
        np.multiply(basis, light.reshape(-1, 1), out=rows[:, :L])
        J[:, [0, 1, 2], [L, L + 1, L + 2]] = albedo
        np.multiply(albedo[..., None], turned[:, None], out=J[..., L + 3 :])
        residual = matt - albedo * light
        # Hardly anything is an outlier in the first steps: a dark face is far from the mean one.
        outlier = max(_OUTLIER, 0.5**step)
        weight = seen / (1.0 + (residual**2).sum(axis=1) / outlier**2) / _NOISE**2
        weighted = rows * (weight[:, None] * _CHANNELS).reshape(-1, 1)
        H = weighted.T @ rows
        g = weighted.T @ residual.ravel() + H @ v
        v = solve_symmetric(H + prior, g + prior @ prior_mean)
        v[:L] = v[:L].clip(-_REACH, _REACH)
    # The light is integrated out.
    known = H[L:, L:] + prior[L:, L:]
    to_light = np.linalg.solve(known, H[L:, :L]).T
    return H[:L, :L] - to_light @ H[L:, :L], g[:L] - to_light @ (g[L:] + prior[L:, L:] @ prior_mean[L:])


@dataclass(eq=False)
class _Track:
    """The mean information of a number of looks on a person's γ, and the γ that is published."""

    precision: NDArray[np.float64]
    shift: NDArray[np.float64]
    shown: NDArray[np.float64]
    looks: int = 1

    def hear(self, precision: NDArray[np.float64], shift: NDArray[np.float64]) -> None:
        """Average in another look. Looks err alike, so that many weigh as one."""
        self.looks = min(self.looks + 1, _MEMORY)
        self.precision += (precision - self.precision) / self.looks
        self.shift += (shift - self.shift) / self.looks


class PersonColors(FaceMemory[_Track]):
    """Gives tracked faces the albedo of their persons, each with a memory of its own.

    It replaces γ of the fit method, if any. A face whose landmarks have had no colours yet stays as it is.
    """

    def __init__(self, model: MorphableModel) -> None:
        """For faces of a model."""
        self._model = model
        # A model without albedo has none to tell.
        known = model.landmarks if model.albedo_sigma.size else ()
        self._points = {scheme: AlbedoPoints.of(model, scheme) for scheme in known}
        super().__init__()

    def color(self, face: TrackedFace) -> TrackedFace:
        """The face with its person's γ, if that can be estimated.

        Raises:
            Face3DMMError: the numbers of colours and landmarks differ.
        """
        track = self._faces.get(face.face_id)
        evidence = self._evidence(face)
        if evidence is not None:
            if track is None:
                track = self._faces[face.face_id] = _Track(*evidence, most_probable(*evidence))
            else:
                track.hear(*evidence)
        if track is None:
            return face
        track.shown += _EASE * (most_probable(track.precision, track.shift) - track.shown)
        return self._with(face, track.shown)

    def color_together(self, faces: Sequence[TrackedFace]) -> list[TrackedFace]:
        """One person's faces in several pictures, with one γ estimated from all of them, if that is possible.

        Raises:
            Face3DMMError: the numbers of a face's colours and landmarks differ.
        """
        heard = [evidence for face in faces if (evidence := self._evidence(face)) is not None]
        if not heard:
            return list(faces)
        precisions, shifts = zip(*heard, strict=True)
        gamma = most_probable(np.mean(precisions, axis=0), np.mean(shifts, axis=0))
        return [self._with(face, gamma) for face in faces]

    def _evidence(self, face: TrackedFace) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """`albedo_evidence` of a face's landmarks; None where they have no colours, or the model no γ."""
        landmarks = in_a_known_scheme(face.landmarks, self._model)
        points = self._points.get(landmarks.scheme)
        if points is None or landmarks.colors is None:
            return None
        return albedo_evidence(points, landmarks.colors[:SKIN_COUNT], face.parameters.camera.rotation)

    def _with(self, face: TrackedFace, gamma: NDArray[np.float64]) -> TrackedFace:
        """The face with γ given in standard deviations."""
        return replace(face, parameters=replace(face.parameters, gamma=gamma * self._model.albedo_sigma))


def most_probable(precision: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """γ in standard deviations, (L,), under its prior and evidence ½γᵀSγ − hᵀγ; within what a person can be."""
    return np.clip(solve_symmetric(precision + np.eye(len(shift)), shift), -_REACH, _REACH)
