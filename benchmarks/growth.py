"""How the time from image to overlay grows: `make bench ARGS="--growth"`.

With the image's size, with faces, and with the model's; one process, each candidate in turn with the smallest. Curves
are drawn of these and of what `benchmarks.node_growth` measures.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.random_model import BFM_VERTICES, random_model
from face3dmm_ros.evaluation.report import new_plots
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.landmarks.tracker import LIVE_LOOKS
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.morphable_model.model import MorphableModel
from face3dmm_ros.morphable_model.shaper import FaceShaper
from face3dmm_ros.pipeline import FacePipeline
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace

SIZES = ((640, 480), (1280, 960), (1920, 1440), (3840, 2880))
"""(width, height), px."""
FACES = (1, 2, 4, 8, 16)
_GRID = 4
"""Rows and columns of faces in an image of `SIZES[1]`."""
_PANEL_WIDTH, _PANEL_HEIGHT = 6.0, 2.8
"""Inches; chosen by hand."""
_SETTLING = 30
"""Images after which every face is tracked; chosen by hand."""

Image = NDArray[np.uint8]


def by_image_size(portrait: Image) -> dict[str, Callable[[], object]]:
    """One face that fills the same share of images of several sizes."""
    model = load_model("default")
    images = {f"{width}×{height}": _resized(portrait, (width, height)) for width, height in SIZES}
    return {name: _to_overlay(model, image, 1) for name, image in images.items()}


def by_faces(portrait: Image) -> dict[str, Callable[[], object]]:
    """So many faces in an image of one size, each as large as the next."""
    model, (width, height) = load_model("default"), SIZES[1]
    tile = _resized(portrait, (width // _GRID, height // _GRID))
    candidates = {}
    for count in FACES:
        image = np.full((height, width, 3), 128, np.uint8)
        for number in range(count):
            row, column = divmod(number, _GRID)
            top, left = row * tile.shape[0], column * tile.shape[1]
            image[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        candidates[f"{count} face{'s' * (count > 1)}"] = _to_overlay(model, image, count)
    return candidates


def by_model(portrait: Image) -> dict[str, Callable[[], object]]:
    """One face by the default model and by a random one of BFM's size, whose 68 landmarks are fitted."""
    default, large = load_model("default"), random_model()
    return {
        f"{m.vertex_count:,} vertices, {m.shape_count} + {m.expression_count}": _to_overlay(m, portrait, 1)
        for m in (default, large)
    }


def positions(kind: str) -> list[float]:
    """How large each candidate of a kind is: megapixels, faces or vertices."""
    return {
        "image_size": [1e-6 * width * height for width, height in SIZES],
        "faces": [float(count) for count in FACES],
        "model": [float(load_model("default").vertex_count), float(BFM_VERTICES)],
    }[kind]


def with_ratios(rows: Mapping[str, Mapping[str, float]], peer: str) -> dict[str, dict[str, float]]:
    """Rows of a table, with the ratios of their times to those of one of them: `X_ratio` beside each `X_ms`."""
    return {
        name: dict(row)
        | {
            f"{key.removesuffix('_ms')}_ratio": value / rows[peer][key] if rows[peer][key] else math.nan
            for key, value in row.items()
            if key.endswith("_ms")
        }
        for name, row in rows.items()
    }


def draw(
    path: Path, axis: str, panels: Mapping[str, Mapping[str, tuple[Sequence[float] | Sequence[str], Sequence[float]]]]
) -> None:
    """Draw curves, (what grows, ratio) by name, in panels one below the other, and write a picture."""
    figure, plots = new_plots(len(panels), _PANEL_WIDTH, _PANEL_HEIGHT)
    for plot, (title, curves) in zip(plots, panels.items(), strict=True):
        for name, (across, ratios) in curves.items():
            plot.plot(across, ratios, "o-", label=name)
        plot.set_ylabel(title)
        plot.set_ylim(bottom=0.0)
        plot.grid(alpha=0.3)
        if len(curves) > 1:
            plot.legend(fontsize="small")
    plots[-1].set_xlabel(axis)
    figure.savefig(path, bbox_inches="tight")


def _resized(image: Image, size: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def _to_overlay(model: MorphableModel, image: Image, faces: int) -> Callable[[], object]:
    """What takes an image, whose faces are tracked already, to its overlay."""
    tracker = LandmarkTracker(create_backend(), max_faces=faces, looks_per_image=LIVE_LOOKS)
    pipeline = FacePipeline(tracker, TrackFitter(model))
    shaper, renderer = FaceShaper(model), FaceRenderer.of(model)
    rgb = model.rgb()

    def run() -> int:
        found = pipeline.process(image)
        shapes = [(face.parameters.camera, shaper.vertices(face.face_id, face.parameters)) for face in found]
        posed = [PosedFace(vertices, model.normals(vertices), rgb, camera) for camera, vertices in shapes]
        renderer.overlay(image, posed)
        return len(found)

    tracked = [run() for _ in range(_SETTLING)][-1]
    if tracked != faces:
        print(f"\nof {faces} faces {tracked} are tracked")
    return run
