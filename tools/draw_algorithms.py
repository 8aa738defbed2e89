"""Draw docs/images/algorithms/: pictures to docs/algorithms.md, of the free model alone."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.landmarks.hog import CELL, hog_features
from face3dmm_ros.landmarks.hog_detector import square_of
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.regression_trees import CROP_IN_SQUARES, CROP_SIDE, SQUARE_PX, TreeCascade, normalized
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from face3dmm_ros.rendering.offscreen import SOFTWARE
from face3dmm_ros.rendering.rasterization import rasterize
from face3dmm_ros.rendering.spherical_harmonics import irradiance_basis
from tools.drawing_code import record

OUT = Path(__file__).resolve().parent.parent / "docs" / "images" / "algorithms"
SIDE, BACKGROUND, INK, ACCENT = 240, 238, 60, (180, 90, 20)
"""px of a panel; grey of what is behind; of lines; and the colour, BGR, of what matters in a picture."""


def main() -> None:
    """Draw all."""
    OUT.mkdir(parents=True, exist_ok=True)
    model = load_model("default")
    with FaceRenderer.of(model, platform=SOFTWARE) as renderer:
        write("model", model_and_shapes(model, renderer))
        write("hog", oriented_gradients(model, renderer))
        write("trees", tree_stages(model, renderer))
        write("shading", shadings(model, renderer))
    write("rasterization", rasterized(model))
    write("robust_loss", robust_loss())
    write("smoothing", smoothing())
    write("spherical_harmonics", spherical_harmonics())
    record("algorithms")


def write(name: str, picture: NDArray[np.uint8]) -> None:
    """Write a picture of few colours, which takes few bytes."""
    levels = np.round(picture / 255.0 * 31.0) * 255.0 / 31.0
    cv2.imwrite(str(OUT / f"{name}.png"), levels.astype(np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 9])


def posed(
    model: MorphableModel, yaw: float = 0.35, alpha: NDArray | None = None, beta: NDArray | None = None
) -> PosedFace:
    """A head in the middle of a panel, turned by radians."""
    alpha = np.zeros(model.shape_count) if alpha is None else alpha
    beta = np.zeros(model.expression_count) if beta is None else beta
    vertices = model.vertices(alpha, beta)
    rotation = rotation_from_pose_angles(0.0, yaw, 0.0)
    camera = WeakPerspective(SIDE / 290.0, rotation, np.array([SIDE / 2.0, 0.42 * SIDE]))
    return PosedFace(vertices, model.normals(vertices), model.rgb(np.zeros(len(model.albedo_sigma))), camera)


def drawn(renderer: FaceRenderer, face: PosedFace, **options: object) -> NDArray[np.uint8]:
    """A panel with a whole head."""
    empty = np.full((SIDE, SIDE, 3), BACKGROUND, np.uint8)
    return renderer.overlay(empty, [face], opacity=1.0, extent="head", **options)  # type: ignore[arg-type]


def model_and_shapes(model: MorphableModel, renderer: FaceRenderer) -> NDArray[np.uint8]:
    """The mean, two identities and two expressions."""
    alpha = np.zeros((2, model.shape_count))
    alpha[0, 0], alpha[1, 0] = 2.5 * model.shape_sigma[0], -2.5 * model.shape_sigma[0]
    beta = np.zeros((2, model.expression_count))
    for row, name in enumerate(("mouthSmile", "browInnerUp")):
        for k, known in enumerate(model.expression_names):
            beta[row, k] = float(known.startswith(name)) * (0.7 if row == 0 else 1.0)
    beta[1, list(model.expression_names).index("jawOpen")] = 0.6
    faces = [posed(model), *(posed(model, alpha=a) for a in alpha), *(posed(model, beta=b) for b in beta)]
    return np.hstack([drawn(renderer, face) for face in faces])


def oriented_gradients(model: MorphableModel, renderer: FaceRenderer) -> NDArray[np.uint8]:
    """A head, and in each cell a stroke along the edges of each direction, the darker the more there are."""
    picture = drawn(renderer, posed(model))
    gray = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
    unsigned = hog_features(gray)[:, :, 18:27]
    scale, strokes = 4, np.zeros((SIDE * 4, SIDE * 4), np.float32)
    for (row, column, direction), strength in np.ndenumerate(unsigned):
        # An edge runs across its gradient, whose sector of 20 degrees begins at the x axis.
        angle = np.radians(20.0 * direction + 10.0 + 90.0)
        middle = scale * CELL * (np.array([column, row]) + 0.5)
        reach = 0.45 * scale * CELL * np.array([np.cos(angle), np.sin(angle)])
        ends = [tuple(int(value) for value in middle + sign * reach) for sign in (-1, 1)]
        line = np.zeros_like(strokes)
        cv2.line(line, ends[0], ends[1], float(strength), 3)
        box = (
            slice(scale * CELL * row, scale * CELL * (row + 1)),
            slice(scale * CELL * column, scale * CELL * (column + 1)),
        )
        strokes[box] = np.maximum(strokes[box], line[box])
    shades = 255.0 * (1.0 - np.minimum(strokes / 0.4, 1.0))
    small = cv2.resize(shades, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8)
    return np.hstack([picture, np.asarray(cv2.cvtColor(small, cv2.COLOR_GRAY2BGR), np.uint8)])


def tree_stages(model: MorphableModel, renderer: FaceRenderer) -> NDArray[np.uint8]:
    """Where the points are before the first stage, and after one, three and all."""
    face = posed(model, yaw=0.25)
    picture = drawn(renderer, face)
    landmarks = face.camera.project(model.scheme("ibug68").interpolate(face.vertices).astype(np.float64))
    square = square_of(landmarks)
    # As a detector may frame it.
    region = Region(
        square.x + 0.07 * square.size, square.y - 0.05 * square.size, 1.1 * CROP_IN_SQUARES * square.size, 0.1
    )
    crop = np.asarray(cv2.cvtColor(region.crop(picture, CROP_SIDE), cv2.COLOR_BGR2GRAY), np.uint8)
    cascade = TreeCascade.load(package_file("resource/landmark_models/trees.npz"))
    panels = []
    for stages in (0, 1, 3, cascade.thresholds.shape[1]):
        part = {
            name: getattr(cascade, name)[:, :stages]
            for name in ("anchors", "offsets", "pixels", "thresholds", "leaves", "steps")
        }
        c = np.zeros((1, cascade.basis.shape[2]), np.float32)
        if stages:
            c = TreeCascade(**(vars(cascade) | part)).shapes(normalized(crop), 0, c)
        points = region.to_image(cascade.points(0, c[0]) * SQUARE_PX + (CROP_SIDE - 1) / 2.0, CROP_SIDE)
        panel = picture.copy()
        for x, y in points[:468:2]:
            cv2.circle(panel, (round(float(x)), round(float(y))), 1, ACCENT, -1, cv2.LINE_AA)
        panels.append(panel)
    return np.hstack(panels)


def shadings(model: MorphableModel, renderer: FaceRenderer) -> NDArray[np.uint8]:
    """Lit, like a cartoon, and as edges."""
    return np.hstack([drawn(renderer, posed(model), view=view) for view in ("shaded", "toon", "wireframe")])


def rasterized(model: MorphableModel) -> NDArray[np.uint8]:
    """A triangle whose corners' weights are red, green and blue, and a head whose depth is a shade."""
    triangle = np.full((SIDE, SIDE, 3), BACKGROUND, np.uint8)
    a, b, c = (np.array(corner, float) for corner in ((30, 200), (200, 160), (100, 25)))
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)

    def area(p: NDArray, q: NDArray) -> NDArray[np.float64]:
        return np.asarray((q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]), np.float64)

    weights = np.stack([area(b, c), area(c, a), area(a, b)], axis=2)
    weights /= weights.sum(axis=2, keepdims=True)
    inside = (weights >= 0).all(axis=2)
    triangle[inside] = (255.0 * weights[inside]).astype(np.uint8)
    face = posed(model)
    away = face.camera.depth(face.vertices)
    seen = rasterize(face.camera.project(face.vertices), away, model.triangles, (SIDE, SIDE))
    corners = away[model.triangles[seen.triangle]]
    depth, covered = (corners * seen.weights).sum(axis=2), seen.triangle >= 0
    shades = np.full((SIDE, SIDE), BACKGROUND, np.uint8)
    near, far = np.quantile(depth[covered], [0.0, 1.0])
    shades[covered] = (220.0 * (far - depth[covered]) / (far - near) + 10.0).astype(np.uint8)
    return np.hstack([triangle, np.asarray(cv2.cvtColor(shades, cv2.COLOR_GRAY2BGR), np.uint8)])


def plot(curves: list[tuple[NDArray, tuple[int, int, int]]], width: int) -> NDArray[np.uint8]:
    """Curves (n,) from left to right on common axes, each of a colour."""
    panel = np.full((SIDE, width, 3), 255, np.uint8)
    low, high = min(curve.min() for curve, _ in curves), max(curve.max() for curve, _ in curves)
    for curve, color in curves:
        x = np.linspace(10, width - 10, len(curve))
        y = SIDE - 15 - (SIDE - 30) * (curve - low) / (high - low)
        cv2.polylines(panel, [np.column_stack([x, y]).round().astype(np.int32)], False, color, 2, cv2.LINE_AA)
    return panel


def robust_loss() -> NDArray[np.uint8]:
    """Cauchy's loss beside the square, and the weight, from 0 to 6 σ, for k = 2."""
    off, k = np.linspace(0.0, 6.0, 200), 2.0
    loss = k**2 * np.log1p(off**2 / k**2)
    square = np.minimum(off**2, 1.3 * loss.max())
    weight = 1.0 / (1.0 + off**2 / k**2)
    return np.hstack([plot([(square, (190,) * 3), (loss, ACCENT)], 2 * SIDE), plot([(weight, ACCENT)], 2 * SIDE)])


def smoothing() -> NDArray[np.uint8]:
    """A turn to and fro, seen with noise, and what a Kalman filter of place and speed makes of it."""
    rng, t = np.random.default_rng(0), np.arange(150) / 30.0
    truth = np.where((t > 1.0) & (t < 4.0), np.sin(2.0 * np.pi * (t - 1.0) / 3.0), 0.0)
    seen = truth + 0.06 * rng.standard_normal(len(t))
    place, speed, P, smoothed = seen[0], 0.0, np.eye(2), []
    step, noise = np.array([[1.0, 1.0 / 30.0], [0.0, 1.0]]), np.diag([1e-5, 0.05])
    for z in seen:
        place, speed = step @ [place, speed]
        P = step @ P @ step.T + noise
        gain = P[:, 0] / (P[0, 0] + 0.06**2)
        place, speed = np.array([place, speed]) + gain * (z - place)
        P = P - np.outer(gain, P[0])
        smoothed.append(place)
    return plot([(seen, (190,) * 3), (np.array(smoothed), ACCENT)], 4 * SIDE)


def spherical_harmonics() -> NDArray[np.uint8]:
    """A sphere lit by each: light is orange, its lack blue."""
    side = SIDE // 2
    y, x = (np.mgrid[:side, :side] + 0.5) / side * 2.0 - 1.0
    inside = x**2 + y**2 < 0.92**2
    normal = np.stack([x / 0.92, -y / 0.92, np.sqrt(np.maximum(1.0 - (x**2 + y**2) / 0.92**2, 0.0))], axis=2)
    panels = []
    for value in irradiance_basis(*np.moveaxis(normal, 2, 0)):
        value = np.broadcast_to(value, (side, side))
        share = np.clip(value / np.abs(value[inside]).max(), -1.0, 1.0)[..., None]
        color = np.where(share > 0, share * [30.0, 140.0, 250.0], -share * [230.0, 120.0, 30.0])
        panel = np.where(inside[..., None], 40.0 + 0.84 * color, 255.0)
        panels.append(panel.astype(np.uint8))
    return np.hstack(panels)


if __name__ == "__main__":
    main()
