"""How the time from image to overlay grows: `make bench ARGS="--growth"`.

With the image's size, with faces, and with the model's; one process, each candidate in turn with the smallest.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.random_model import random_model
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
