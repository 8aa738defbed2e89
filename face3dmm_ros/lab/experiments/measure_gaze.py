"""Measure how well eyes are followed: on renderings whose gaze is known, and on photographs against Face Mesh's irises.

Renderings show random people with eyes turned by up to 25° across and 15° up and down, under heads that are turned as
well. What photographs look at is not known: there, the fitted gaze is compared with where Face Mesh sees the irises
between the corners of the eyes, which it sees on photographs as no rendering does.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from face3dmm_ros.core.rotations import pose_angles
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.files.pictures import find_pictures, read_picture
from face3dmm_ros.fit_methods import create_fitter
from face3dmm_ros.lab.default_model.face_landmarker import FaceLandmarker
from face3dmm_ros.lab.experiments.blendshape_confusion import somebody, turned
from face3dmm_ros.lab.synthesis.scene_renderer import SceneRenderer
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.landmarks.schemes import LEFT_IRIS, RIGHT_IRIS
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.pipeline import FacePipeline

_ACROSS, _UP = 25.0, 15.0
_HEAD = 20.0
_FRONTAL = 15.0
"""Degrees of a head's turn up to which irises between the corners tell the gaze and not the turn."""
_EYES = ((33, 133, RIGHT_IRIS), (362, 263, LEFT_IRIS))
"""Face Mesh's corners of each eye, from left to right in the image, and its iris."""


def glance(model: MorphableModel, across: float, up: float) -> NDArray[np.float64]:
    """β of eyes turned by degrees across, to the person's left, and up."""
    beta = np.zeros(model.expression_count)
    for side, outward in (("Left", across), ("Right", -across)):
        for name, degrees in (("Out", outward), ("In", -outward), ("Up", up), ("Down", -up)):
            index = model.expression_names.index(f"eyeLook{name}{side}")
            alone = np.eye(model.expression_count)[index]
            full = angles(model.gaze(np.eye(3), alone))[0 if side == "Left" else 1]
            beta[index] = max(0.0, degrees) / np.abs(full).max()
    return beta


def angles(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…, 2) degrees to the person's left and up of unit vectors (…, 3) in the model's axes."""
    x, y, z = np.moveaxis(directions, -1, 0)
    return np.degrees(np.stack([np.arctan2(x, z), np.arcsin(np.clip(y, -1.0, 1.0))], axis=-1))


def in_the_head(parameters: FaceParameters) -> NDArray[np.float64]:
    """(2,) degrees to the left and up of where both eyes look, out of the head."""
    return angles(parameters.gaze @ parameters.camera.rotation)[2]


def rendered(pipeline: FacePipeline, model: MorphableModel, count: int) -> tuple[NDArray, NDArray]:
    """(n, 2) true and (n, 2) fitted angles of `count` people."""
    true, found = [], []
    with SceneRenderer(model) as renderer:
        for seed in tqdm(range(count), unit="faces", desc="rendering"):
            rng = np.random.default_rng([7, seed])
            scene = turned(somebody(rng, model), *rng.uniform(-_HEAD, _HEAD, 2) * [0.5, 1.0])
            beta = glance(model, rng.uniform(-_ACROSS, _ACROSS), rng.uniform(-_UP, _UP))
            pipeline.reset()
            faces = pipeline.process(renderer.render(replace(scene, beta=beta)).image)
            if faces:
                true.append(angles(model.gaze(np.eye(3), beta))[2])
                found.append(in_the_head(faces[0].parameters))
    return np.array(true), np.array(found)


def photographed(pipeline: FacePipeline, folder: Path) -> tuple[NDArray, NDArray]:
    """(n,) places of the irises, shares of the eyes' width to the person's left; (n,) fitted degrees to the left."""
    landmarker, places, found = FaceLandmarker(), [], []
    for path in tqdm(find_pictures(folder, False), unit="faces", desc="looking"):
        image = read_picture(path)
        pipeline.reset()
        faces = pipeline.process(image)
        if not faces:
            continue
        parameters = max(faces, key=lambda face: face.parameters.camera.scale).parameters
        if np.abs(np.degrees(pose_angles(parameters.camera.rotation))).max() > _FRONTAL:
            continue
        points = landmarker.look(path)[0].astype(np.float64)
        shares = []
        for first, last, iris in _EYES:
            along = points[last] - points[first]
            shares.append((points[iris] - points[first]) @ along / (along @ along) - 0.5)
        places.append(np.mean(shares))
        found.append(in_the_head(parameters)[0])
    return np.array(places), np.array(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=150, help="to render (default: %(default)s)")
    parser.add_argument("--photographs", type=Path, help="a folder of pictures of faces")
    arguments = parser.parse_args()
    model = load_model("default")
    pipeline = FacePipeline(LandmarkTracker(create_backend()), create_fitter(model, "joint"))
    true, found = rendered(pipeline, model, arguments.faces)
    for k, what in enumerate(("across", "up and down")):
        slope, correlation = np.polyfit(true[:, k], found[:, k], 1)[0], np.corrcoef(true[:, k], found[:, k])[0, 1]
        error = np.abs(found[:, k] - true[:, k]).mean()
        print(
            f"{len(true)} rendered faces, {what}: slope {slope:.2f}, correlation {correlation:.2f}, error {error:.1f}°"
        )
    if arguments.photographs is not None:
        places, turned_by = photographed(pipeline, arguments.photographs)
        print(
            f"{len(places)} photographs: correlation {np.corrcoef(places, turned_by)[0, 1]:.2f} with Face Mesh's irises"
        )


if __name__ == "__main__":
    main()
