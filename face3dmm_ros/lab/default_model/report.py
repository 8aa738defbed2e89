"""Draw the pictures of docs/model.md and print its figures: dimensions of random people, errors of the landmarks."""

import argparse
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.lab.default_model.albedo import COMPONENTS
from face3dmm_ros.lab.default_model.face_mesh_points import (
    FACE_OVAL,
    detect,
    first_face_mesh,
    random_view,
)
from face3dmm_ros.landmarks.schemes import BROWS, LEFT_EYE_RING, LIP_RINGS, RIGHT_EYE_RING, SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace

SEED = 7
_BACKGROUND = 238
_NOSE = (1, 2, 4, 5, 6, 168, 195, 197, 98, 97, 326, 327, 19, 94, 48, 278, 64, 294, 122, 351)
GROUPS: dict[str, tuple[int, ...]] = {
    "nose": _NOSE,
    "brows": BROWS,
    "eyelids": (*LEFT_EYE_RING, *RIGHT_EYE_RING),
    "lips": tuple(index for ring in LIP_RINGS for index in ring),
    "outline": FACE_OVAL,
}
GROUPS["other"] = tuple(sorted(set(range(SKIN_COUNT)) - {index for group in GROUPS.values() for index in group}))


class Painter:
    """Pictures of one model."""

    def __init__(self, model: MorphableModel, renderer: FaceRenderer) -> None:
        self.model = model
        self._renderer = renderer

    def camera(self, size: tuple[int, int], scale: float, yaw: float, middle: tuple[float, float]) -> WeakPerspective:
        """A camera that shows the point (x, y, −30) in the middle of the picture, the head turned by yaw degrees."""
        rotation = rotation_from_pose_angles(0.0, np.radians(yaw), 0.0)
        offset = scale * rotation[:2] @ np.array([*middle, -30.0])
        return WeakPerspective(scale, rotation, np.array(size) / 2 - offset)

    def face(
        self,
        size: tuple[int, int],
        scale: float,
        *,
        alpha: NDArray[np.float64] | None = None,
        beta: dict[str, float] | None = None,
        gamma: NDArray[np.float64] | None = None,
        yaw: float = 0.0,
        middle: tuple[float, float] = (0.0, -15.0),
    ) -> NDArray[np.uint8]:
        """One face, (H, W, 3) BGR."""
        weights = np.zeros(self.model.expression_count)
        for name, weight in (beta or {}).items():
            weights[self.model.expression_names.index(name)] = weight
        vertices = self.model.vertices(np.zeros(0) if alpha is None else alpha, weights)
        rgb = np.round(255 * self.model.albedo(np.zeros(0) if gamma is None else gamma)).astype(np.uint8)
        camera = self.camera(size, scale, yaw, middle)
        rgba = self._renderer.render(size, [PosedFace(vertices, self.model.normals(vertices), rgb, camera)])
        cover = rgba[:, :, 3:] / 255.0
        return np.round(rgba[:, :, 2::-1] * cover + _BACKGROUND * (1 - cover)).astype(np.uint8)


def sheet(cells: list[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Equal cells in rows."""
    blank = np.full_like(cells[0], _BACKGROUND)
    cells = cells + [blank] * (-len(cells) % columns)
    return np.vstack([np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)])


def labelled(cell: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """The cell with a caption at its foot."""
    cv2.putText(cell, text, (5, cell.shape[0] - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (40, 40, 40), 1, cv2.LINE_AA)
    return cell


def people(painter: Painter) -> NDArray[np.uint8]:
    """Random identities and colours, each from a random side."""
    rng = np.random.default_rng(SEED)
    model, cells = painter.model, []
    for _ in range(32):
        alpha = rng.normal(size=model.shape_count) * model.shape_sigma
        gamma = np.clip(rng.normal(size=len(model.albedo_sigma)), -2, 2) * model.albedo_sigma
        cells.append(painter.face((150, 190), 0.68, alpha=alpha, gamma=gamma, yaw=rng.uniform(-40, 40)))
    return sheet(cells, 8)


def blendshapes(painter: Painter) -> NDArray[np.uint8]:
    """Each blendshape at full weight; mouthClose with the open jaw that it is made for."""
    cells = [labelled(painter.face((150, 175), 0.85), "neutral")]
    for name in painter.model.expression_names:
        beta = {name: 1.0, "jawOpen": 1.0} if name == "mouthClose" else {name: 1.0}
        cell = painter.face((150, 175), 0.85, beta=beta, middle=(0.0, -38.0))
        cells.append(labelled(cell, name + (" + jawOpen" if name == "mouthClose" else "")))
    return sheet(cells, 8)


def identities(painter: Painter) -> NDArray[np.uint8]:
    """The mean, and the first principal components three standard deviations to each side."""
    model, cells = painter.model, []
    for sign in (-3.0, 3.0):
        for k in range(7):
            alpha = np.zeros(model.shape_count)
            alpha[k] = sign * model.shape_sigma[k]
            cells.append(labelled(painter.face((160, 200), 0.68, alpha=alpha, yaw=20), f"{sign:+.0f} sigma of {k + 1}"))
    return sheet(cells, 7)


def colours(painter: Painter) -> NDArray[np.uint8]:
    """Each albedo component two standard deviations to each side."""
    model, cells = painter.model, []
    for sign in (-2.0, 2.0):
        for k, name in enumerate(COMPONENTS):
            gamma = np.zeros(len(COMPONENTS))
            gamma[k] = sign * model.albedo_sigma[k]
            cells.append(labelled(painter.face((150, 190), 0.72, gamma=gamma), f"{name} {sign:+.0f}"))
    return sheet(cells, len(COMPONENTS))


def landmarks(painter: Painter, scheme: str) -> NDArray[np.uint8]:
    """A scheme's points on the mean from the front and at 40°; iBUG's with their numbers."""
    model, cells, size, scale = painter.model, [], (560, 640), 3.0
    surface = model.scheme(scheme)
    for yaw in (0.0, 40.0):
        picture = painter.face(size, scale, yaw=yaw, middle=(0.0, -30.0))
        camera = painter.camera(size, scale, yaw, (0.0, -30.0))
        facing = surface.interpolate(model.normals(model.mean)) @ camera.rotation[2] < -0.05
        for index, (point, seen) in enumerate(
            zip(camera.project(surface.interpolate(model.mean)), facing, strict=True)
        ):
            if seen:
                x, y = (int(np.round(16 * value)) for value in point)
                cv2.circle(picture, (x, y), 32, (40, 255, 80), -1, cv2.LINE_AA, 4)
                if scheme == "ibug68":
                    place = (x // 16 + 3, y // 16 - 3)
                    cv2.putText(
                        picture, str(index), place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 60, 0), 1, cv2.LINE_AA
                    )
        cells.append(picture)
    return sheet(cells, 2)


def contours(painter: Painter) -> NDArray[np.uint8]:
    """Both schemes' candidate paths on the mean, turned by 45°."""
    model, cells, size, scale = painter.model, [], (560, 640), 2.9
    rng = np.random.default_rng(SEED)
    for scheme in ("ibug68", "mediapipe478"):
        picture = painter.face(size, scale, yaw=45.0, middle=(0.0, -25.0))
        camera = painter.camera(size, scale, 45.0, (0.0, -25.0))
        projected = camera.project(model.mean)
        facing = model.normals(model.mean) @ camera.rotation[2] < 0.1
        for path in model.contours[scheme].candidates:
            color = tuple(int(c) for c in rng.integers(0, 230, 3))
            for a, b in pairwise(path):
                if facing[a] and facing[b]:
                    ends = [tuple(int(np.round(16 * v)) for v in projected[index]) for index in (a, b)]
                    cv2.line(picture, ends[0], ends[1], color, 2, cv2.LINE_AA, 4)
        cells.append(picture)
    return sheet(cells, 2)


def print_dimensions(model: MorphableModel, count: int = 1000) -> None:
    """Mean and spread of well-known distances over random people, mm."""
    rng = np.random.default_rng(SEED)
    points, skull = model.scheme("ibug68"), (model.regions["skin"] > 0.5) & (model.regions["ears"] < 0.02)
    skull &= model.mean[:, 1] > 0
    eyes = [np.flatnonzero((model.regions["eyes"] > 0.5) & (side * model.mean[:, 0] > 0)) for side in (1, -1)]
    rows = []
    for _ in range(count):
        shape = model.identity(rng.normal(size=model.shape_count) * model.shape_sigma)
        p, head = points.interpolate(shape), shape[skull]
        pupils = [shape[eye].mean(axis=0) for eye in eyes]
        pairs = ((27, 8), (36, 45), (39, 42), (48, 54), (4, 12))
        rows.append(
            [np.linalg.norm(pupils[0] - pupils[1])]
            + [np.linalg.norm(p[a] - p[b]) for a, b in pairs]
            + [np.ptp(head[:, 0]), np.ptp(head[:, 2])]
        )
    names = ("interpupillary", "nasion to chin", "outer eye corners", "inner eye corners", "mouth width", "jaw width")
    for name, values in zip((*names, "head breadth", "head length"), np.array(rows).T, strict=True):
        print(f"{name:20s} {values.mean():6.1f} ± {values.std():4.1f} mm")


def print_landmark_errors(model: MorphableModel, views: int = 200) -> None:
    """Face Mesh on renderings of new people of known pose: distance to the model's points, % of the eye distance."""
    rng = np.random.default_rng(SEED)
    network, eyes = first_face_mesh(), model.scheme("ibug68")
    surface = model.scheme("mediapipe478").at(slice(SKIN_COUNT))
    errors = {False: [], True: []}  # type: dict[bool, list[NDArray[np.float64]]]
    with FaceRenderer(model.triangles) as renderer:
        for k in range(views):
            turned = k % 2 > 0
            view = random_view(rng, model, renderer, turn=1.0 if turned else 0.12, open_mouth=k % 4 > 1)
            expected = view.camera.project(surface.interpolate(view.vertices))
            corners = eyes.interpolate(view.vertices)[[36, 45]]
            unit = view.camera.scale * np.linalg.norm(corners[0] - corners[1])
            error = np.linalg.norm(detect(network, view, model) - expected, axis=1) / unit
            normals = surface.interpolate(model.normals(view.vertices))
            error[-(normals @ view.camera.rotation[2]) < 0.2] = np.nan
            errors[turned].append(100 * error)
    for turned, rows in errors.items():
        medians = {name: np.nanmedian(np.array(rows)[:, list(indices)]) for name, indices in GROUPS.items()}
        label = "within 40 degrees" if turned else "nearly frontal"
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
        painter = Painter(model, renderer)
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
