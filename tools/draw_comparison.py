"""Draw what the fit methods make of the same faces, side by side.

    tools/in_environment.sh face3dmm synth … --count 60 --out faces      # faces with exact truth
    tools/in_environment.sh python tools/draw_comparison.py faces comparison.jpg --rows 6

Any folder of pictures does; without truths beside them there is no label column. `--fit-method` chooses what is set
side by side. How far each is off, `face3dmm evaluate dataset faces --format aflw2000 --fit-method …` tells.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective, estimate_weak_perspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import TrackedFace, TrackedLandmarks
from face3dmm_ros.evaluation.dataset.datasets import read_aflw2000
from face3dmm_ros.files.pictures import find_pictures, read_picture
from face3dmm_ros.fit_methods import FIT_METHODS, create_fitter
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.landmarks.schemes import IBUG68
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.photometric.fitter import METHOD, photometric_fit
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from face3dmm_ros.rendering.spherical_harmonics import UNLIT

METHODS = ("alternating", "joint", METHOD)
"""Those that are compared unless others are asked for."""
LIT = "with albedo and light"
PANEL = 220
HEADING = 30

Picture = NDArray[np.uint8]


def main() -> None:
    """Fit, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="a folder of pictures, with AFLW2000-3D's .mat beside them or not")
    parser.add_argument("out", type=Path, help="the picture to write")
    parser.add_argument("--rows", type=int, default=6, help="faces to draw")
    parser.add_argument("--fit-method", nargs="+", choices=(*FIT_METHODS, METHOD), default=list(METHODS))
    arguments = parser.parse_args()
    model, tracker = load_model("default"), LandmarkTracker(create_backend())
    rows: list[dict[str, Picture]] = []
    with FaceRenderer(model.triangles) as grey, FaceRenderer(model.triangles, lighting=UNLIT) as colored:
        for path in find_pictures(arguments.pictures):
            if len(rows) == arguments.rows:
                break
            image = read_picture(path)
            tracker.reset()
            faces = tracker.track(image)
            if faces:
                row, camera = drawn(image, faces[0], model, arguments.fit_method, grey, colored)
                truth = _truth(path, model)
                if truth is not None:
                    row = {"label": _clay(image, model, *truth, grey), **row}
                rows.append({name: _cut(panel, model, camera) for name, panel in {"picture": image, **row}.items()})
    if not rows:
        raise SystemExit(f"no face was found in the pictures of {arguments.pictures}")
    strips = [_heading(list(rows[0])), *(np.hstack(list(row.values())) for row in rows)]
    cv2.imwrite(str(arguments.out), np.vstack(strips), [cv2.IMWRITE_JPEG_QUALITY, 88])


def drawn(
    image: Picture,
    tracked: TrackedLandmarks,
    model: MorphableModel,
    methods: list[str],
    grey: FaceRenderer,
    colored: FaceRenderer,
) -> tuple[dict[str, Picture], WeakPerspective]:
    """The image with each method's face over it, and the camera of joint's, around which panels lie."""
    # The photometric fit starts from joint's.
    fits = {method: create_fitter(model, method).fit(tracked, image) for method in {*methods, "joint"} - {METHOD}}
    panels = {}
    for method in methods:
        if method == METHOD:
            start = TrackedFace(tracked.face_id, tracked.landmarks, fits["joint"])
            (refined,) = photometric_fit([image], [start], model)
            fits[method] = refined.parameters
        found = fits[method]
        vertices = model.vertices(found.alpha, found.beta)
        panels[method] = _clay(image, model, vertices, found.camera, grey)
        if method == METHOD:
            normals = model.normals(vertices)
            rgb = refined.light.shade(model.albedo(found.gamma), normals @ found.camera.rotation.T)
            panels[LIT] = colored.overlay(image, [PosedFace(vertices, normals, rgb, found.camera)], opacity=1.0)
    return panels, fits["joint"].camera


def _truth(path: Path, model: MorphableModel) -> tuple[NDArray[np.float32], WeakPerspective] | None:
    """The vertices beside a picture and their camera; None where there are none of this model."""
    try:
        truth = read_aflw2000(path)
    except Face3DMMError:
        return None
    if truth.shape is None or truth.shape.model_digest != model.digest:
        return None
    vertices = model.vertices(truth.shape.alpha, truth.shape.beta)
    return vertices, estimate_weak_perspective(model.scheme(IBUG68).interpolate(vertices), truth.points)


def _clay(
    image: Picture, model: MorphableModel, vertices: NDArray[np.float32], camera: WeakPerspective, grey: FaceRenderer
) -> Picture:
    clay = np.full((model.vertex_count, 3), 190, np.uint8)
    return grey.overlay(image, [PosedFace(vertices, model.normals(vertices), clay, camera)], opacity=1.0)


def _cut(picture: Picture, model: MorphableModel, camera: WeakPerspective) -> Picture:
    """The surroundings of a face, in a panel."""
    head = camera.project(model.mean)
    middle, half = head.mean(axis=0), 0.6 * np.ptp(head, axis=0).max()
    factor = PANEL / (2.0 * half)
    matrix = np.column_stack([np.eye(2) * factor, (half - middle) * factor])
    interpolation = cv2.INTER_CUBIC if factor > 1.0 else cv2.INTER_AREA
    warped = cv2.warpAffine(picture, matrix, (PANEL, PANEL), flags=interpolation, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def _heading(names: list[str]) -> Picture:
    """A strip with the columns' names."""
    strip = np.full((HEADING, PANEL * len(names), 3), 255, np.uint8)
    for column, name in enumerate(names):
        place = (column * PANEL + 8, 20)
        cv2.putText(strip, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
    return strip


if __name__ == "__main__":
    main()
