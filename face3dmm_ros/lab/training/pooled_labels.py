"""Labels of real photographs: many pictures of one person, each fitted alone and pooled into one label.

Single fits of one person differ from picture to picture. Tran et al., Regressing Robust and Discriminative 3D Morphable
Models with a Very Deep Neural Network, CVPR 2017, take for a person's coefficients the mean of those of the pictures,
weighed by the landmark detector's confidence in each, and teach a network to see them in every one of the pictures.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import FaceParameters, TrackedFace
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.files.whole_file import whole_file
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.fitting.identity_pool import IdentityPool
from face3dmm_ros.fitting.observation import Observation, in_a_known_scheme
from face3dmm_ros.lab.synthesis.dataset import label, write_picture
from face3dmm_ros.lab.training.face_chunks import FaceRecord
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.landmarks.schemes import IBUG68
from face3dmm_ros.morphable_model import MorphableModel, load_model

LABEL_METHODS = ("joint", "photometric")
"""How a single picture is fitted: by its landmarks, or then by its pixels too, which gives an albedo as well."""
RECORD = "person.json"
"""The file that says how a person's labels were made, written last."""

_MAX_FACES = 20  # chosen by hand: the person is the largest of the faces, so that all must be found


@dataclass(frozen=True, eq=False)
class PooledCoefficients:
    """The coefficients pooled over n fits of one person.

    Attributes:
        alpha: (K,) identity.
        gamma: (L,) albedo; empty where the fits have none.
        weights: (n,) of the fits, which sum to 1.
    """

    alpha: NDArray[np.float64]
    gamma: NDArray[np.float64]
    weights: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LabelledPerson:
    """A person's labels.

    Attributes:
        pooled: the identity, and what each picture counts for.
        pictures: those that show a face: the picture's path, and s, R, t and β fitted to it under the pooled α and γ.
        spread_mm: RMS distance of the single fits' neutral faces from the pooled one, mm over all vertices.
    """

    pooled: PooledCoefficients
    pictures: tuple[tuple[Path, FaceParameters], ...]
    spread_mm: float


@dataclass(frozen=True, eq=False)
class PersonPictures:
    """A person to label.

    Attributes:
        pictures: of the person.
        folder: to write to.
        recipe: what the labels depend on, for `is_written`.
    """

    pictures: tuple[Path, ...]
    folder: Path
    recipe: Mapping[str, object]


def pool(fits: Sequence[FaceParameters], confidence: ArrayLike) -> PooledCoefficients:
    """Fits of one person pooled: α̂ = Σ wᵢαᵢ and γ̂ = Σ wᵢγᵢ with wᵢ = cᵢ / Σ cⱼ (Tran et al., CVPR 2017, section 3.1).

    Args:
        fits: n of them, of one model.
        confidence: (n,) c, not negative.

    Raises:
        Face3DMMError: no fit, fits of different models, or no confidence in any.
    """
    if not fits:
        raise Face3DMMError("a person is pooled from at least one fit, there is none")
    if len({fit.model_digest for fit in fits}) > 1 or len({len(fit.gamma) for fit in fits}) > 1:
        raise Face3DMMError("only fits of one model and one method can be pooled, these differ")
    c = np.asarray(confidence, dtype=np.float64)
    if c.shape != (len(fits),) or not (np.isfinite(c).all() and (c >= 0).all() and c.sum() > 0):
        raise Face3DMMError(f"expected {len(fits)} confidences from 0 up, not all of them 0, found {c}")
    identity = IdentityPool()
    for fit, confidence_in_it in zip(fits, c, strict=True):
        identity.add(fit, float(confidence_in_it))
    return PooledCoefficients(*identity.mean(), c / c.sum())


def confidence_of(face: TrackedFace) -> float:
    """The weight of a picture's fit.

    That a face is there is hardly ever in doubt, where its landmarks are is: of a detector that tells their deviations,
    the confidence is divided by the square of their median in mm.
    """
    landmarks = face.landmarks
    if landmarks.deviation is None:
        return float(landmarks.confidence)
    deviation_mm = float(np.median(landmarks.deviation)) / face.parameters.camera.scale
    return float(landmarks.confidence) / deviation_mm**2


class PersonLabeller(TrackFitter):
    """Labels pictures of one person, and then of the next."""

    def __init__(self, model: MorphableModel, backend: str = "dense", fit_method: str = "joint") -> None:
        """Load a landmark detector.

        Raises:
            Face3DMMError: an unknown detector or method, or what they need is not installed.
        """
        if fit_method not in LABEL_METHODS:
            raise Face3DMMError(f"labels are fitted by {' or '.join(LABEL_METHODS)}, not by {fit_method!r}")
        super().__init__(model, "joint")
        self.fit_method = fit_method
        self._tracker = LandmarkTracker(create_backend(backend), max_faces=_MAX_FACES)

    def label(self, paths: Sequence[Path]) -> LabelledPerson:
        """Fit each picture alone, pool the fits, and fit pose and expression of each under the pooled identity.

        The largest face of a picture is the person; pictures that show no face or cannot be read are left out.

        Raises:
            Face3DMMError: no picture shows a face.
        """
        seen = [(path, face) for path in paths if (face := self._fit_alone(path)) is not None]
        if not seen:
            raise Face3DMMError(f"none of its {len(paths)} pictures shows a face")
        fits = [face.parameters for _, face in seen]
        pooled = pool(fits, [confidence_of(face) for _, face in seen])
        pictures = tuple((path, self._under(pooled, face)) for path, face in seen)
        neutral = self.model.identity(pooled.alpha)
        squared = [((self.model.identity(fit.alpha) - neutral) ** 2).sum(axis=1).mean() for fit in fits]
        return LabelledPerson(pooled, pictures, float(np.sqrt(pooled.weights @ squared)))

    def _fit_alone(self, path: Path) -> TrackedFace | None:
        """The largest face of a picture, fitted by the method."""
        try:
            image = read_picture(path, upright=True)
        except Face3DMMError:
            return None
        self._tracker.reset()
        self.reset()
        faces = self._tracker.track(image)
        if not faces:
            return None
        largest = max(faces, key=lambda face: float(np.ptp(face.landmarks.points, axis=0).prod()))
        face = TrackedFace(largest.face_id, largest.landmarks, self.fit(largest))
        if self.fit_method == "joint":
            return face
        from face3dmm_ros.photometric.fitter import photometric_fit

        return replace(face, parameters=photometric_fit([image], [face], self.model)[0].parameters)

    def _under(self, pooled: PooledCoefficients, face: TrackedFace) -> FaceParameters:
        """Pose and expression of a picture under the pooled identity, by its landmarks."""
        K = self.model.shape_count
        landmarks = in_a_known_scheme(face.landmarks, self.model)
        model = self._landmark_model(landmarks)
        observed = Observation.of(landmarks, model)
        held = pooled.alpha / self._unit[:K]
        solved = self._solve(
            model.points.holding(held),
            observed,
            face.parameters.camera,
            np.clip(face.parameters.beta / self._unit[K:], *self._bounds[:, K:]),
            self._expression_prior(observed),
            self.options.max_iterations,
        )
        fitted = self._parameters(
            solved.camera, np.concatenate([held, solved.coefficients]), solved.residual_px, landmarks
        )
        return replace(fitted, gamma=pooled.gamma, method=self.fit_method)


def label_person(labeller: PersonLabeller, person: PersonPictures) -> tuple[int, float]:
    """Label a person and write it; returns how many pictures show a face, and `LabelledPerson.spread_mm`.

    Raises:
        Face3DMMError: no picture shows a face, or the folder cannot be written to.
    """
    labelled = labeller.label(person.pictures)
    write_person(person.folder, labelled, labeller.model, dict(person.recipe))
    return len(labelled.pictures), labelled.spread_mm


def open_labeller(model: str, backend: str, fit_method: str) -> PersonLabeller:
    """A labeller with a model of this name.

    Raises:
        Face3DMMError: as of `PersonLabeller`, or the model cannot be read.
    """
    return PersonLabeller(load_model(model), backend, fit_method)


def write_person(folder: Path, person: LabelledPerson, model: MorphableModel, recipe: dict[str, object]) -> None:
    """Write a person's pictures, cut to the surroundings of the face, each with its label: a `labelled_folder`.

    Beside every NAME.jpg stands NAME.mat as `face3dmm synth --format dataset` writes it, in the picture's pixels, and
    `RECORD` says which pictures counted how much.

    Args:
        folder: made if missing.
        person: whom to write.
        model: of the coefficients.
        recipe: what the labels depend on, for `is_written`.

    Raises:
        Face3DMMError: the folder cannot be written to, or a picture has become unreadable.
    """
    names: list[str] = []
    for path, fitted in person.pictures:
        names.append(_unused(path.stem, names))
        # The landmarks are the model's, which a network's are compared with.
        points = model.scheme(IBUG68).interpolate(model.vertices(fitted.alpha, fitted.beta))
        coefficients = fitted.alpha, fitted.beta, fitted.gamma
        image = read_picture(path, upright=True)
        record = FaceRecord(image, fitted.camera, *coefficients, fitted.camera.project(points)).surroundings()
        on_picture = np.column_stack([record.landmarks, -record.camera.depth(points)])
        truth = {**label(model, record.camera, on_picture, *coefficients), "confidence": np.array(fitted.confidence)}
        write_picture(folder / f"{names[-1]}.jpg", record.picture, truth)
    summary = {
        **recipe,
        "weights": dict(zip(names, person.pooled.weights.tolist(), strict=True)),
        "spread_mm": person.spread_mm,
        "alpha": person.pooled.alpha.tolist(),
        "gamma": person.pooled.gamma.tolist(),
    }
    with whole_file(folder / RECORD) as unfinished:
        unfinished.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def is_written(folder: Path, recipe: dict[str, object]) -> bool:
    """Whether a person's labels are there, made by this recipe."""
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and all(found.get(key) == value for key, value in recipe.items())


def _unused(name: str, names: Sequence[str]) -> str:
    """A name, numbered where it is taken: a folder may hold both a.jpg and a.png."""
    number, unused = 1, name
    while unused in names:
        number += 1
        unused = f"{name}_{number}"
    return unused
