"""Draw what the fit methods make of the same faces, side by side, and print their errors as a table.

    tools/in_environment.sh face3dmm synth … --count 60 --out faces      # faces with exact truth
    tools/in_environment.sh python tools/draw_comparison.py faces comparison.jpg --rows 6

Any folder of pictures does; without truths beside them there is no label column and no table. `--fit-method` chooses
what is set side by side.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective, estimate_weak_perspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_angle
from face3dmm_ros.core.similarity import align
from face3dmm_ros.core.values import FaceParameters, TrackedFace
from face3dmm_ros.evaluation.dataset.datasets import FaceTruth, read_aflw2000
from face3dmm_ros.evaluation.metrics import nme
from face3dmm_ros.files.pictures import find_pictures, read_picture
from face3dmm_ros.fit_methods import FIT_METHODS, create_fitter
from face3dmm_ros.fitting.face_fitter import FaceFitter
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.landmarks.schemes import IBUG68
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.photometric.fitter import METHOD, photometric_fit
from face3dmm_ros.pipeline import FacePipeline
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from face3dmm_ros.rendering.spherical_harmonics import UNLIT, SphericalHarmonicsLight

METHODS = ("alternating", "joint", METHOD)
"""Those that are compared by default."""
PANEL, HEADING = 220, 30
"""Sides of a panel and height of the heading, px; chosen by hand."""
MEASURES = ("vertices, mm", "neutral face, mm", "rotation, °", "NME of the 68, %")

Picture = NDArray[np.uint8]
Truth = tuple[FaceTruth, NDArray[np.float32], WeakPerspective]
"""The truth beside a picture, its vertices and its camera."""
Fit = tuple[TrackedFace, SphericalHarmonicsLight | None]
"""A fitted face, and the light where the method finds one."""


def main() -> None:
    """Fit, draw, write, print."""
    arguments = _arguments()
    model = load_model("default")
    rows: list[Picture] = []
    methods: list[str] = arguments.fit_method
    # The photometric fit starts from joint's, and panels lie around that.
    fitters = {method: create_fitter(model, method) for method in {*methods, "joint"} - {METHOD}}
    errors: dict[str, list[tuple[float, ...]]] = {method: [] for method in methods}
    with FaceRenderer(model.triangles) as grey, FaceRenderer(model.triangles, lighting=UNLIT) as colored:
        for path in find_pictures(arguments.pictures)[: arguments.count]:
            image = read_picture(path)
            truth = _truth(path, model)
            fits = _fits(image, model, truth, fitters, METHOD in methods)
            if fits is None:
                continue
            chosen = {method: fits[method] for method in methods}
            if truth is not None:
                for method, (face, _) in chosen.items():
                    errors[method].append(_errors(model, face.parameters, *truth))
            if len(rows) < arguments.rows:
                rows.append(_row(image, model, truth, fits["joint"][0].parameters, chosen, grey, colored))
    if not rows:
        raise SystemExit(f"no face was found in the pictures of {arguments.pictures}")
    labelled = any(errors.values())
    names = ["picture", *(["label"] if labelled else []), *methods]
    if METHOD in methods:
        names.insert(names.index(METHOD) + 1, "with albedo and light")
    cv2.imwrite(str(arguments.out), np.vstack([_heading(names), *rows]), [cv2.IMWRITE_JPEG_QUALITY, 88])
    if labelled:
        _print_table(errors)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="a folder of pictures, with AFLW2000-3D's .mat beside them or not")
    parser.add_argument("out", type=Path, help="the picture to write")
    parser.add_argument("--rows", type=int, default=6, help="faces to draw")
    parser.add_argument("--fit-method", nargs="+", choices=(*FIT_METHODS, METHOD), default=list(METHODS))
    parser.add_argument("--count", type=int, default=60, help="faces to measure")
    return parser.parse_args()


def _truth(path: Path, model: MorphableModel) -> Truth | None:
    """The truth beside a picture; None where there is none for this model."""
    try:
        truth = read_aflw2000(path)
    except Face3DMMError:
        return None
    if truth.shape is None or truth.shape.model_digest != model.digest:
        return None
    vertices = model.vertices(truth.shape.alpha, truth.shape.beta)
    points = model.scheme(IBUG68).interpolate(vertices)
    return truth, vertices, estimate_weak_perspective(points, truth.points)


def _fits(
    image: Picture, model: MorphableModel, truth: Truth | None, fitters: dict[str, FaceFitter], photometric: bool
) -> dict[str, Fit] | None:
    """Each method's fit; None where the detector finds no face."""
    fits: dict[str, Fit] = {}
    for method, fitter in fitters.items():
        fitter.reset()
        found = FacePipeline(LandmarkTracker(create_backend()), fitter).process(image)
        if truth is not None:
            middle = truth[0].points.mean(axis=0)
            size = np.ptp(truth[0].points, axis=0).max()
            found = [f for f in found if np.linalg.norm(f.landmarks.points.mean(axis=0) - middle) < 0.5 * size]
        if not found:
            return None
        fits[method] = (found[0], None)
    if photometric:
        start = fits["joint"][0]
        (refined,) = photometric_fit([image], [start], model)
        fits[METHOD] = (TrackedFace(start.face_id, start.landmarks, refined.parameters), refined.light)
    return fits


def _errors(
    model: MorphableModel,
    found: FaceParameters,
    truth: FaceTruth,
    vertices: NDArray[np.float32],
    camera: WeakPerspective,
) -> tuple[float, ...]:
    """`MEASURES` of one fit; vertices are compared over the face, after a similarity."""
    part = model.regions["face"] > 0.5

    def distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
        return float(np.linalg.norm(align(a[part], b[part]) - b[part], axis=1).mean())

    assert truth.shape is not None
    ours = model.vertices(found.alpha, found.beta)
    points = found.camera.project(model.scheme(IBUG68).interpolate(ours))
    return (
        distance(ours, vertices),
        distance(model.identity(found.alpha), model.identity(truth.shape.alpha)),
        float(np.degrees(rotation_angle(found.camera.rotation, camera.rotation))),
        nme(points, truth.points),
    )


def _row(
    image: Picture,
    model: MorphableModel,
    truth: Truth | None,
    joint: FaceParameters,
    fits: dict[str, Fit],
    grey: FaceRenderer,
    colored: FaceRenderer,
) -> Picture:
    """Picture, label and fits of one face."""
    projected = joint.camera.project(model.vertices(joint.alpha, joint.beta))
    middle, half = projected.mean(axis=0), 0.6 * np.ptp(projected, axis=0).max()

    def panel(picture: Picture) -> Picture:
        factor = PANEL / (2.0 * half)
        matrix = np.column_stack([np.eye(2) * factor, (half - middle) * factor])
        flags = cv2.INTER_CUBIC if factor > 1.0 else cv2.INTER_AREA
        warped = cv2.warpAffine(picture, matrix, (PANEL, PANEL), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(warped, np.uint8)

    def overlay(vertices: NDArray[np.float32], camera: WeakPerspective) -> Picture:
        return grey.overlay(image, [PosedFace(vertices, model.normals(vertices), clay, camera)], opacity=1.0)

    clay = np.full((model.vertex_count, 3), 190, np.uint8)
    panels = [panel(image)]
    if truth is not None:
        panels.append(panel(overlay(truth[1], truth[2])))
    for face, light in fits.values():
        parameters = face.parameters
        vertices = model.vertices(parameters.alpha, parameters.beta)
        panels.append(panel(overlay(vertices, parameters.camera)))
        if light is not None:
            normals = model.normals(vertices)
            rgb = light.shade(model.albedo(parameters.gamma), normals @ parameters.camera.rotation.T)
            lit = colored.overlay(image, [PosedFace(vertices, normals, rgb, parameters.camera)], opacity=1.0)
            panels.append(panel(lit))
    return np.hstack(panels)


def _heading(names: Sequence[str]) -> Picture:
    """A strip with the columns' names."""
    strip = np.full((HEADING, PANEL * len(names), 3), 255, np.uint8)
    for column, name in enumerate(names):
        place = (column * PANEL + 8, 20)
        cv2.putText(strip, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
    return strip


def _print_table(errors: dict[str, list[tuple[float, ...]]]) -> None:
    """Means and medians as a Markdown table."""
    count = len(next(iter(errors.values())))
    print(f"mean (median) of {count} faces\n")
    print("| | " + " | ".join(MEASURES) + " |")
    print("| --- |" + " --- |" * len(MEASURES))
    for method, rows in errors.items():
        cells = [f"{np.mean(values):.2f} ({np.median(values):.2f})" for values in zip(*rows, strict=True)]
        print(f"| `{method}` | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
