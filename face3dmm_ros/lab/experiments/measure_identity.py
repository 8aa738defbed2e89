"""How near a fitted identity comes to a person's: beside the mean face, from exact and from detected points.

    tools/in_environment.sh python -m face3dmm_ros.lab.experiments.measure_identity --people 20
    tools/in_environment.sh python -m face3dmm_ros.lab.experiments.measure_identity --people 20 --heads FOLDER

Random people are rendered at rest in eight views. The vertices of the fitted identity are compared with the true ones
after a similarity, in mm; the mean face tells what a fit that learns nothing would give, and the fit of exact points
what the points allow at best. What lies between these two can be won by better points. The views are fitted as frames
of a track and as pictures of one person. With `--heads` the people are ICT-FaceKit's, whom our model has not seen.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.core.similarity import align
from face3dmm_ros.core.values import Landmarks, TrackedLandmarks
from face3dmm_ros.evaluation.metrics import box_around
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.fitting.several_pictures import PersonFitter
from face3dmm_ros.lab.default_model.registration import ICT_FOLDER, IctHead, ict_folder
from face3dmm_ros.lab.experiments.ict_heads import ict_heads
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions, random_identity, random_person
from face3dmm_ros.lab.synthesis.scene_renderer import RenderedScene, SceneRenderer
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.landmarks.schemes import MEDIAPIPE478
from face3dmm_ros.morphable_model import MorphableModel, load_model

VIEWS = ((0, 0), (0, 20), (0, -20), (0, 40), (0, -40), (15, 0), (-15, 0), (0, 60))
"""Pitch and yaw of each, degrees; chosen by hand: what a short turn of the head before a camera shows."""
_EXACT_MM = 0.05
"""Standard deviation of the points that are exact, on the face; by hand, small beside what any detector reaches."""
_SIZE = 480


@dataclass(frozen=True, eq=False)
class SeenPerson:
    """A person at rest in `VIEWS`.

    Attributes:
        alpha: identity coefficients in the model that the person was drawn from.
        vertices: (N, 3) float32, mm: the true shape.
        exact: the points as the truth has them, view by view.
        detected: the points as they were detected, of the views in which a face was found.
    """

    alpha: NDArray[np.float64]
    vertices: NDArray[np.float32]
    exact: tuple[Landmarks, ...]
    detected: tuple[Landmarks, ...]


@dataclass(frozen=True, eq=False)
class People:
    """Where random people come from.

    Attributes:
        model: they are drawn from its identities.
        judged: by name, the vertices (N,) on which their shape is known and compared.
    """

    model: MorphableModel
    judged: dict[str, NDArray[np.bool_]]

    @staticmethod
    def of(ours: MorphableModel, heads: Path | None = None) -> "People":
        """Our own, or ICT-FaceKit's on our vertices if its folder is given."""
        other = None if heads is None else ict_heads(IctHead.load(heads), ours)
        known = np.ones(ours.vertex_count, bool) if other is None else other.known
        return People(
            ours if other is None else other.model, {"head": known, "face": known & (ours.regions["face"] > 0.5)}
        )

    def seen(self, count: int, seed: int, backend: str = "dense") -> Iterator[SeenPerson]:
        """Random people, rendered and looked at one after another."""
        eyes = create_backend(backend)
        with SceneRenderer(self.model) as renderer:
            for person in tqdm(range(count), unit="person", disable=None):
                rendered = views(self.model, np.random.default_rng([seed, person]), renderer)
                found = [LandmarkTracker(eyes).track(each.image) for each in rendered]
                yield SeenPerson(
                    rendered[0].scene.alpha,
                    rendered[0].vertices,
                    tuple(exact_landmarks(self.model, each) for each in rendered),
                    tuple(faces[0].landmarks for faces in found if faces),
                )


def views(model: MorphableModel, rng: np.random.Generator, renderer: SceneRenderer) -> list[RenderedScene]:
    """A random person at rest, rendered in `VIEWS`."""
    options = SceneOptions(image_size=(_SIZE, _SIZE), clean=True, glasses=0.0)
    person = random_person(rng, model, *random_identity(rng, model), options)
    cameras = [
        WeakPerspective(
            person.camera.scale,
            rotation_from_pose_angles(*np.radians([pitch, yaw, 0.0])),
            np.array([_SIZE / 2, 0.4 * _SIZE]),
        )
        for pitch, yaw in VIEWS
    ]
    return [renderer.render(replace(person, camera=camera)) for camera in cameras]


def exact_landmarks(model: MorphableModel, rendered: RenderedScene) -> Landmarks:
    """The 478 points as the truth has them."""
    points = rendered.points(model.scheme(MEDIAPIPE478))
    deviation = np.full(len(points), _EXACT_MM * rendered.scene.camera.scale, np.float32)
    return Landmarks(
        MEDIAPIPE478,
        points[:, :2].astype(np.float32),
        box_around(points),
        1.0,
        (_SIZE, _SIZE),
        depth=-points[:, 2].astype(np.float32),
        deviation=deviation,
        expression=np.zeros(model.expression_count - 1, np.float32),
        expression_deviation=np.full(model.expression_count - 1, 0.01, np.float32),
    )


def identity_error_mm(
    vertices: NDArray[np.floating], truth: NDArray[np.floating], judged: NDArray[np.bool_] | slice = slice(None)
) -> float:
    """Mean distance of a face's vertices (N, 3) at rest, or of some, from the true ones after a similarity."""
    target = truth[judged].astype(np.float64)
    return float(np.linalg.norm(align(vertices[judged], target) - target, axis=1).mean())


def fitted(fitter: TrackFitter, landmarks: Sequence[Landmarks]) -> NDArray[np.float64]:
    """α after all views of one person; the fitter forgets others."""
    fitter.reset()
    parameters = [fitter.fit(TrackedLandmarks(0, each)) for each in landmarks]
    return parameters[-1].alpha


def main() -> None:
    """Measure, and print means and standard errors over people."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20, metavar="N", help="random people")
    parser.add_argument("--heads", type=ict_folder, metavar="FOLDER", help=f"{ICT_FOLDER}: its people in place of ours")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    model = load_model("default")
    people = People.of(model, arguments.heads)
    frames, pictures = TrackFitter(model), PersonFitter(model)
    errors: dict[str, list[list[float]]] = {}
    for person in people.seen(arguments.people, arguments.seed):
        alphas = {"the mean face": np.zeros(0)}
        for name, landmarks in (("exact points", person.exact), ("detected points", person.detected)):
            if landmarks:
                alphas[f"{name}, a track"] = fitted(frames, landmarks)
                alphas[f"{name}, pictures"] = pictures.fit_person(landmarks).alpha
        for name, alpha in alphas.items():
            found = model.identity(alpha)
            row = [identity_error_mm(found, person.vertices, judged) for judged in people.judged.values()]
            errors.setdefault(name, []).append(row)
    print(f"mm, {arguments.people} people, on the {' and the '.join(people.judged)}")
    for name, rows in errors.items():
        values = np.array(rows)
        doubt = values.std(axis=0) / np.sqrt(len(values))
        print(
            f"{name:24}", *(f"{mean:6.2f} ± {each:.2f}" for mean, each in zip(values.mean(axis=0), doubt, strict=True))
        )
    for way in ("a track", "pictures"):
        names = "the mean face", f"detected points, {way}", f"exact points, {way}"
        if names[1] in errors:
            mean, detected, exact = (np.mean(errors[name], axis=0) for name in names)
            closed = 100 * (mean - detected) / (mean - exact)
            print(f"of the gap, {way:12}", *(f"{share:6.0f} %      " for share in closed))


if __name__ == "__main__":
    main()
