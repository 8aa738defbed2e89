"""Draw docs/images/avatars.jpg, what the avatars make of some faces, and docs/images/avatars.webp, a clip of them.

The faces are a public-domain portrait and rendered people; each is found, fitted and drawn as it would be live. Sizes
and people are chosen by hand.
"""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.backdrop import backdrop
from face3dmm_ros.avatar.styles import HEAD, WATERMELON, create_avatar
from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.core.values import TrackedFace
from face3dmm_ros.fit_methods import create_fitter
from face3dmm_ros.lab.synthesis.motion import sequence
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions
from face3dmm_ros.lab.synthesis.scene_renderer import SceneRenderer
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.pipeline import FacePipeline
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from tools.drawing_code import record

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
PANEL, CLIP_PANEL, GAP = 300, 240, 4
"""Sizes, px: of a still's and of the clip's panels, and of the white between panels."""
RATE, SECONDS = 15, 5
"""Of the clip, frames per second and length."""
STILL_SEEDS, CLIP_SEED = (53, 49), 42
"""Of the rendered people."""

Picture = NDArray[np.uint8]


class Studio:
    """Draws a face's fit and its avatars, as the live nodes do."""

    def __init__(self, model: MorphableModel) -> None:
        """Draw a model and the avatars that follow it."""
        self.model = model
        self._weights = BlendshapeWeights(model)
        self._renderer = FaceRenderer.of(model)
        self._avatars = {style: create_avatar(style, model) for style in (WATERMELON, HEAD)}

    def overlay(self, image: Picture, face: TrackedFace, view: str) -> Picture:
        """The fitted model over the image."""
        return self._renderer.overlay(image, [PosedFace.of(self.model, face.parameters)], opacity=0.85, view=view)

    def avatar(self, style: str, image: Picture, face: TrackedFace, *, alone: bool) -> Picture:
        """An avatar in the person's place, or alone."""
        size = image.shape[1], image.shape[0]
        picture = np.array(backdrop(size) if alone else image)
        driven = AvatarFace(face.face_id, face.parameters, self._weights.of(face.parameters))
        for layer in self._avatars[style].draw([driven], size, image):
            layer.over(picture)
        return picture


def main() -> None:
    """Track, draw, write."""
    model = load_model("default")
    studio = Studio(model)
    portrait = np.ascontiguousarray(skimage.data.astronaut()[:380, 60:440, ::-1])
    people = [[portrait], *(frames_of(model, seed, "free", 24) for seed in STILL_SEEDS)]
    rows = [still_row(studio, images) for images in people]
    cv2.imwrite(str(IMAGES / "avatars.jpg"), joined(rows, axis=0), [cv2.IMWRITE_JPEG_QUALITY, 88])
    clip(studio, frames_of(model, CLIP_SEED, "free", RATE * SECONDS))
    record("avatars")


def frames_of(model: MorphableModel, seed: int, motion: str, frames: int) -> list[Picture]:
    """A rendered person who moves."""
    options = SceneOptions(image_size=(480, 480), max_yaw=30.0, face_share=(0.36, 0.42), occluder=0.0)
    with SceneRenderer(model) as renderer:
        scenes = sequence(np.random.default_rng(seed), model, motion, frames, RATE, options, noise=1.0)
        return [renderer.render(scene).image for scene in scenes]


def tracked(model: MorphableModel, images: Sequence[Picture]) -> list[TrackedFace]:
    """The face in each image of a sequence."""
    pipeline = FacePipeline(LandmarkTracker(create_backend()), create_fitter(model))
    times = (k / RATE for k in count())
    return [pipeline.process(image, next(times))[0] for image in images]


def still_row(studio: Studio, images: Sequence[Picture]) -> Picture:
    """The last image, what was found in it, and each avatar."""
    face, image = tracked(studio.model, images)[-1], images[-1]
    panels = [
        image,
        studio.overlay(image, face, "shaded"),
        studio.overlay(image, face, "toon"),
        studio.avatar(WATERMELON, image, face, alone=False),
        studio.avatar(HEAD, image, face, alone=True),
    ]
    return joined([resized(panel, PANEL) for panel in panels], axis=1)


def clip(studio: Studio, images: Sequence[Picture]) -> None:
    """The images, the watermelon and the character, side by side and moving."""
    frames = []
    for image, face in zip(images, tracked(studio.model, images), strict=True):
        panels = [
            image,
            studio.avatar(WATERMELON, image, face, alone=False),
            studio.avatar(HEAD, image, face, alone=True),
        ]
        frames.append(joined([resized(panel, CLIP_PANEL) for panel in panels], axis=1))
    animation = cv2.Animation()
    animation.frames, animation.durations = frames, [round(1000 / RATE)] * len(frames)
    cv2.imwriteanimation(str(IMAGES / "avatars.webp"), animation, [cv2.IMWRITE_WEBP_QUALITY, 85])


def resized(image: Picture, height: int) -> Picture:
    """A picture at a height, px."""
    return np.asarray(cv2.resize(image, (height, height), interpolation=cv2.INTER_AREA), np.uint8)


def joined(pictures: Sequence[Picture], axis: int) -> Picture:
    """Pictures one below the other (axis 0) or side by side (axis 1), with white between them."""
    gap = np.full_like(np.take(pictures[0], range(GAP), axis), 255)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis)


if __name__ == "__main__":
    main()
