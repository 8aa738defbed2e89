"""Draw docs/images/readme.jpg: a public-domain portrait, its landmarks, the fitted model over it and by itself."""

from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.fitting.albedo import PersonColors
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.pipeline import FacePipeline
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from face3dmm_ros.rendering.landmark_view import draw_landmarks
from face3dmm_ros.rendering.vertex_colors import sample_vertex_colors, vertex_visibility

OUT = Path(__file__).resolve().parent.parent / "docs" / "images" / "readme.jpg"
CROP = (slice(10, 230), slice(130, 330))
"""Rows and columns of the portrait around the head."""
PANEL_HEIGHT, BACKGROUND = 440, 238
"""px, and the grey behind the model. All are chosen by hand."""


def main() -> None:
    """Fit, draw, write."""
    image = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    model = load_model("default")
    pipeline = FacePipeline(LandmarkTracker(create_backend()), TrackFitter(model), colors=PersonColors(model))
    (face,) = pipeline.process(image)
    camera = face.parameters.camera
    vertices = model.vertices(face.parameters.alpha, face.parameters.beta)
    normals = model.normals(vertices)
    albedo = model.rgb(face.parameters.gamma)
    seen = vertex_visibility(vertices, normals, model.triangles, camera)
    colors = sample_vertex_colors(image, camera.project(vertices), seen, albedo, skin=model.regions["skin"])
    enlarged, factor = _enlarge(image)
    large = WeakPerspective(
        camera.scale * factor, camera.rotation, (camera.translation - [CROP[1].start, CROP[0].start]) * factor
    )
    panels = [enlarged, _enlarge(draw_landmarks(image, [face.landmarks]))[0]]
    with FaceRenderer(model.triangles) as renderer:
        panels.append(renderer.overlay(enlarged, [PosedFace(vertices, normals, albedo, large)], opacity=0.7))
        for yaw in (0.6, -0.6):
            turned = WeakPerspective(1.6, rotation_from_pose_angles(0.0, yaw, 0.0), np.array([210.0, 190.0]))
            drawn = renderer.render((420, PANEL_HEIGHT), [PosedFace(vertices, normals, colors, turned)])
            alpha = drawn[..., 3:] / 255.0
            panels.append((drawn[..., 2::-1] * alpha + BACKGROUND * (1.0 - alpha)).astype(np.uint8))
    cv2.imwrite(str(OUT), np.hstack(panels), [cv2.IMWRITE_JPEG_QUALITY, 88])


def _enlarge(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """The crop at the panels' height, and the factor between them."""
    crop = image[CROP]
    factor = PANEL_HEIGHT / crop.shape[0]
    return np.asarray(cv2.resize(crop, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8), factor


if __name__ == "__main__":
    main()
