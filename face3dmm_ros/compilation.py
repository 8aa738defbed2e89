"""Compiles whatever `core.compiled` would compile when it is first used: `python -m face3dmm_ros.compilation`.

A build does so, that no first run has to wait some ten seconds for it.
"""

import sys

import numpy as np

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.landmark_schemes import MEDIAPIPE478, SCHEME_SIZES
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.fitting.albedo import PersonColors
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.pipeline import FacePipeline
from face3dmm_ros.rendering.face_cover import FaceCover
from face3dmm_ros.rendering.face_renderer import VIEWS, FaceRenderer, PosedFace
from face3dmm_ros.rendering.offscreen import SOFTWARE
from face3dmm_ros.smoothing import FaceSmoother

_IMAGES = 20
"""So that the identity is refined from a settled track, after `FitOptions.identity_interval` images."""
_SCALES = (0.7, 1.5, 3.0)
"""px/mm: a face that is supersampled, one lit at its vertices, and one lit pixel by pixel."""


def compile_ahead() -> None:
    """Draw the default model's mean face at some sizes in each view, and track it.

    Raises:
        Face3DMMError: a package or a file is missing, or the drawn face is not found.
    """
    model = load_model("default")
    image = np.full((480, 640, 3), 128, np.uint8)
    normals, rgb = model.normals(model.mean), model.rgb()
    with FaceRenderer(model.triangles, platform=SOFTWARE) as renderer:
        for scale in _SCALES:
            face = PosedFace(model.mean, normals, rgb, WeakPerspective(scale, FRONTAL, np.array([320.0, 240.0])))
            drawn = [renderer.overlay(image, [face], opacity=1.0, view=view) for view in VIEWS]
            if scale == 1.5:
                portrait = drawn[0]
    FaceCover(model).shown(np.full(SCHEME_SIZES[MEDIAPIPE478], 255, np.uint8), FRONTAL)
    tracker = LandmarkTracker(create_backend())
    pipeline = FacePipeline(tracker, TrackFitter(model), FaceSmoother(model), PersonColors(model))
    for number in range(_IMAGES):
        if not pipeline.process(portrait, number / 30.0):
            raise Face3DMMError("the model's mean face is not found in a picture of it")


if __name__ == "__main__":
    try:
        compile_ahead()
    except (ImportError, Face3DMMError) as error:
        sys.exit(f"not everything could be compiled ahead: {error}")
