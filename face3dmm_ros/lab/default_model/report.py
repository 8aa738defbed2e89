"""Draw the pictures of docs/model.md and print its figures: dimensions of random people, errors of the landmarks."""

import argparse
from itertools import pairwise, product
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.landmark_schemes import FACE_OVAL
from face3dmm_ros.lab.default_model.albedo import COMPONENTS
from face3dmm_ros.lab.default_model.face_mesh_points import detect, first_face_mesh, random_view
from face3dmm_ros.landmarks.schemes import BROWS, LEFT_EYE_RING, LIP_RINGS, RIGHT_EYE_RING, SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.rendering.face_renderer import FaceRenderer
from face3dmm_ros.rendering.model_painter import ModelPainter, labelled, sheet, write

SEED = 7
"""Any number; another draws other people."""
# px (width, height) of a picture of landmarks or contours.
_CLOSE_UP = 560, 640
# Cosine between view and normal from which on a landmark counts as seen when its error is measured; chosen by hand.
_FACING = 0.2
GROUPS: dict[str, tuple[int, ...]] = {
    "nose": (1, 2, 4, 5, 6, 168, 195, 197, 98, 97, 326, 327, 19, 94, 48, 278, 64, 294, 122, 351),
    "brows": BROWS,
    "eyelids": (*LEFT_EYE_RING, *RIGHT_EYE_RING),
    "lips": tuple(index for ring in LIP_RINGS for index in ring),
    "outline": FACE_OVAL,
}
GROUPS["other"] = tuple(sorted(set(range(SKIN_COUNT)) - {index for group in GROUPS.values() for index in group}))


def people(painter: ModelPainter) -> NDArray[np.uint8]:
    """Random identities and colours, each from a random side."""
    rng = np.random.default_rng(SEED)
    model, cells = painter.model, []
    for _ in range(32):
        alpha = rng.normal(size=model.shape_count) * model.shape_sigma
        gamma = np.clip(rng.normal(size=len(model.albedo_sigma)), -2, 2) * model.albedo_sigma
        cells.append(painter.face((150, 190), 0.68, alpha=alpha, gamma=gamma, yaw=rng.uniform(-40, 40))[0])
    return sheet(cells, 8)


def blendshapes(painter: ModelPainter) -> NDArray[np.uint8]:
    """Each blendshape at full weight; mouthClose with the open jaw that it is made for."""
    cells = [labelled(painter.face((150, 175), 0.85)[0], "neutral")]
    for name in painter.model.expression_names:
        shown = (name, "jawOpen") if name == "mouthClose" else (name,)
        beta = np.isin(painter.model.expression_names, shown).astype(float)
        picture = painter.face((150, 175), 0.85, beta=beta, middle=(0.0, -38.0, -30.0))[0]
        cells.append(labelled(picture, " + ".join(shown)))
    return sheet(cells, 8)


def identities(painter: ModelPainter) -> NDArray[np.uint8]:
    """The mean, and the first principal components three standard deviations to each side."""
    cells = []
    for sign, k in product((-3.0, 3.0), range(7)):
        alpha = sign * np.diag(painter.model.shape_sigma)[k]
        cells.append(labelled(painter.face((160, 200), 0.68, alpha=alpha, yaw=20)[0], f"{sign:+.0f} sigma of {k + 1}"))
    return sheet(cells, 7)


def colours(painter: ModelPainter) -> NDArray[np.uint8]:
    """Each albedo component two standard deviations to each side."""
    cells = []
    for sign, (k, name) in product((-2.0, 2.0), enumerate(COMPONENTS)):
        gamma = sign * np.diag(painter.model.albedo_sigma)[k]
        cells.append(labelled(painter.face((150, 190), 0.72, gamma=gamma)[0], f"{name} {sign:+.0f}"))
    return sheet(cells, len(COMPONENTS))


def landmarks(painter: ModelPainter, scheme: str) -> NDArray[np.uint8]:
    """A scheme's points on the mean from the front and at 40°; iBUG's with their numbers."""
    model, cells = painter.model, []
    surface = model.scheme(scheme)
    for yaw in (0.0, 40.0):
        picture, camera = painter.face(_CLOSE_UP, 3.0, yaw=yaw, middle=(0.0, -30.0, -30.0))
        facing = surface.interpolate(model.normals(model.mean)) @ camera.rotation[2] < -0.05
        points = _sixteenths(camera.project(surface.interpolate(model.mean)))
        for index in np.flatnonzero(facing):
            x, y = points[index]
            cv2.circle(picture, (x, y), 32, (40, 255, 80), -1, cv2.LINE_AA, 4)
            if scheme == "ibug68":
                write(picture, str(index), (x // 16 + 3, y // 16 - 3), (255, 60, 0))
        cells.append(picture)
    return sheet(cells, 2)


def contours(painter: ModelPainter) -> NDArray[np.uint8]:
    """Both schemes' candidate paths on the mean, turned by 45°."""
    model, cells = painter.model, []
    rng = np.random.default_rng(SEED)
    for scheme in ("ibug68", "mediapipe478"):
        picture, camera = painter.face(_CLOSE_UP, 2.9, yaw=45.0, middle=(0.0, -25.0, -30.0))
        points = _sixteenths(camera.project(model.mean))
        facing = model.normals(model.mean) @ camera.rotation[2] < 0.1
        for path in model.contours[scheme].candidates:
            color = rng.integers(0, 230, 3).tolist()
            for a, b in pairwise(path):
                if facing[a] and facing[b]:
                    cv2.line(picture, points[a], points[b], color, 2, cv2.LINE_AA, 4)
        cells.append(picture)
    return sheet(cells, 2)


def _sixteenths(points: NDArray[np.floating]) -> list[list[int]]:
    """Points (P, 2), px, as OpenCV draws them with four bits behind the point."""
    return np.round(16 * points).astype(int).tolist()


def print_dimensions(model: MorphableModel) -> None:
    """Print mean and standard deviation of well-known distances over a thousand random people, mm."""
    rng = np.random.default_rng(SEED)
    points, skull = model.scheme("ibug68"), (model.regions["skin"] > 0.5) & (model.regions["ears"] < 0.02)
    skull &= model.mean[:, 1] > 0
    eyes = [np.flatnonzero((model.regions["eyes"] > 0.5) & (side * model.mean[:, 0] > 0)) for side in (1, -1)]
    pairs = {
        "interpupillary": (68, 69), "nasion to chin": (27, 8), "outer eye corners": (36, 45),
        "inner eye corners": (39, 42), "mouth width": (48, 54), "jaw width": (4, 12),
    }  # fmt: skip
    rows = []
    for _ in range(1000):
        shape = model.identity(rng.normal(size=model.shape_count) * model.shape_sigma)
        p = np.vstack([points.interpolate(shape), *(shape[eye].mean(axis=0) for eye in eyes)])
        rows.append([*(np.linalg.norm(p[a] - p[b]) for a, b in pairs.values()), *np.ptp(shape[skull], axis=0)[[0, 2]]])
    for name, values in zip((*pairs, "head breadth", "head length"), np.array(rows).T, strict=True):
        print(f"{name:20s} {values.mean():6.1f} ± {values.std():4.1f} mm")


def print_landmark_errors(model: MorphableModel) -> None:
    """Print how far Face Mesh's points lie from the model's on renderings of 200 new people of known pose.

    In per cent of the distance between the outer corners of the eyes: medians over groups of points.
    """
    rng = np.random.default_rng(SEED)
    network, eye_corners = first_face_mesh(), model.scheme("ibug68").at(np.array([36, 45]))
    surface = model.scheme("mediapipe478").at(slice(SKIN_COUNT))
    errors: dict[str, list[NDArray[np.float64]]] = {"nearly frontal": [], "within 40 degrees": []}
    with FaceRenderer(model.triangles) as renderer:
        for k in range(200):
            label, turn = ("within 40 degrees", 1.0) if k % 2 else ("nearly frontal", 0.12)
            view = random_view(rng, model, renderer, turn=turn, open_mouth=k % 4 > 1)
            expected = view.camera.project(surface.interpolate(view.vertices))
            unit = view.camera.scale * np.linalg.norm(np.diff(eye_corners.interpolate(view.vertices), axis=0))
            error = np.linalg.norm(detect(network, view, model) - expected, axis=1) / unit
            normals = surface.interpolate(model.normals(view.vertices))
            error[-(normals @ view.camera.rotation[2]) < _FACING] = np.nan
            errors[label].append(100 * error)
    for label, rows in errors.items():
        medians = {name: np.nanmedian(np.array(rows)[:, list(indices)]) for name, indices in GROUPS.items()}
        print(f"{label:18s}", "  ".join(f"{name} {value:.1f} %" for name, value in medians.items()))


def main() -> None:
    """Draw and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="default")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    model = load_model(arguments.model)
    with FaceRenderer(model.triangles) as renderer:
        painter = ModelPainter(model, renderer)
        pictures = {
            "people": people(painter),
            "blendshapes": blendshapes(painter),
            "identity": identities(painter),
            "albedo": colours(painter),
            "ibug68": landmarks(painter, "ibug68"),
            "mediapipe478": landmarks(painter, "mediapipe478"),
            "contours": contours(painter),
        }
    for name, picture in pictures.items():
        cv2.imwrite(str(arguments.out / f"model_{name}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 86])
    print_dimensions(model)
    print_landmark_errors(model)


if __name__ == "__main__":
    main()
