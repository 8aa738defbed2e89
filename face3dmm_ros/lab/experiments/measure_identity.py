"""How near a fitted identity comes to a person's: beside the mean face, from exact and from detected points.

    tools/in_environment.sh python -m face3dmm_ros.lab.experiments.measure_identity --people 20

Random people are rendered at rest in eight views. The vertices of the fitted identity are compared with the true ones
after a similarity, in mm; the mean face tells what a fit that learns nothing would give, and the fit of exact points
what the points allow at best. What lies between these two can be won by better points.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.core.similarity import align
from face3dmm_ros.core.values import Landmarks, TrackedLandmarks
from face3dmm_ros.evaluation.metrics import box_around
from face3dmm_ros.fitting import TrackFitter
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


def identity_error_mm(model: MorphableModel, alpha: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Mean distance of all vertices at rest after a similarity."""
    rest = np.zeros(0)
    target = model.vertices(truth, rest)
    return float(np.linalg.norm(align(model.vertices(alpha, rest), target) - target, axis=1).mean())


def fitted(fitter: TrackFitter, landmarks: Sequence[Landmarks]) -> NDArray[np.float64]:
    """α after all views of one person; the fitter forgets others."""
    fitter.reset()
    parameters = [fitter.fit(TrackedLandmarks(0, each)) for each in landmarks]
    return parameters[-1].alpha


def main() -> None:
    """Measure, and print means and standard errors over people."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20, metavar="N", help="random people")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    model = load_model("default")
    fitter, backend = TrackFitter(model), create_backend("dense")
    errors: dict[str, list[float]] = {"the mean face": [], "exact points": [], "detected points": []}
    with SceneRenderer(model) as renderer:
        for person in tqdm(range(arguments.people), unit="person", disable=None):
            rendered = views(model, np.random.default_rng([arguments.seed, person]), renderer)
            truth = rendered[0].scene.alpha
            found = [LandmarkTracker(backend).track(each.image) for each in rendered]
            detected = [faces[0].landmarks for faces in found if faces]
            errors["the mean face"].append(identity_error_mm(model, np.zeros(0), truth))
            exact = [exact_landmarks(model, each) for each in rendered]
            errors["exact points"].append(identity_error_mm(model, fitted(fitter, exact), truth))
            if detected:
                errors["detected points"].append(identity_error_mm(model, fitted(fitter, detected), truth))
    for name, values in errors.items():
        print(f"{name}: {np.mean(values):.2f} ± {np.std(values) / np.sqrt(len(values)):.2f} mm ({len(values)} people)")


if __name__ == "__main__":
    main()
