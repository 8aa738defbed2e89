"""Draw docs/images/readme.jpg: a public-domain portrait, its landmarks, the fitted model over it, and its mesh.glb."""

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
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.pipeline import FacePipeline
from face3dmm_ros.rendering.albedo_texture import AlbedoTexture
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from face3dmm_ros.rendering.landmark_view import draw_landmarks
from face3dmm_ros.rendering.person_texture import paint_albedo
from face3dmm_ros.rendering.rasterization import rasterize
from face3dmm_ros.rendering.spherical_harmonics import SphericalHarmonicsLight
from face3dmm_ros.rendering.texture import Unwrapping, look_at_texels, unwrap
from tools.drawing_code import record

OUT = Path(__file__).resolve().parent.parent / "docs" / "images" / "readme.jpg"
CROP = (slice(10, 230), slice(130, 330))
"""Rows and columns of the portrait around the head."""
PANEL_HEIGHT, BACKGROUND = 440, 238
"""px, and the grey behind the model."""
YAWS, SAMPLES = (0.5, -1.2), 3
"""Radians by which the model is turned, and pixels drawn for one along each side."""
LIGHT = np.array([2.3, -0.8, -1.1, -0.6, 0.0, 0.0, 0.0, 0.0, 0.0])
"""Bright from before, above and the left, in spherical harmonics. All are chosen by hand."""


def main() -> None:
    """Fit, draw, write."""
    image = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    model = load_model("default")
    pipeline = FacePipeline(LandmarkTracker(create_backend()), TrackFitter(model), colors=PersonColors(model))
    (face,) = pipeline.process(image)
    camera = face.parameters.camera
    vertices = model.vertices(face.parameters.alpha, face.parameters.beta)
    normals = model.normals(vertices)
    unwrapping, gamma = unwrap(model), face.parameters.gamma
    texels = look_at_texels(image, model, unwrapping, vertices, camera, gamma=gamma)
    texture = paint_albedo(texels, texture=AlbedoTexture.of(model))
    enlarged, factor = _enlarge(image)
    large = WeakPerspective(
        camera.scale * factor, camera.rotation, (camera.translation - [CROP[1].start, CROP[0].start]) * factor
    )
    panels = [enlarged, _enlarge(draw_landmarks(image, [face.landmarks]))[0]]
    with FaceRenderer.of(model) as renderer:
        panels.append(renderer.overlay(enlarged, [PosedFace(vertices, normals, model.rgb(gamma), large)], opacity=0.7))
    panels += [_turned(model, unwrapping, vertices, texture, yaw) for yaw in YAWS]
    cv2.imwrite(str(OUT), np.hstack(panels), [cv2.IMWRITE_JPEG_QUALITY, 88])
    record("readme")


def _turned(
    model: MorphableModel,
    unwrapping: Unwrapping,
    vertices: NDArray[np.float32],
    texture: NDArray[np.uint8],
    yaw: float,
) -> NDArray[np.uint8]:
    """A panel with the textured model."""
    width, height = 400 * SAMPLES, PANEL_HEIGHT * SAMPLES
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2.0
    scale, rotation = 1.5 * SAMPLES, rotation_from_pose_angles(0.0, yaw, 0.0)
    camera = WeakPerspective(scale, rotation, np.array([width, height]) / 2.0 - scale * rotation[:2] @ middle)
    fragments = rasterize(camera.project(vertices), camera.depth(vertices), model.triangles, (width, height))
    shown = fragments.triangle >= 0
    x, y = np.zeros((2, height, width), np.float32)
    uv = fragments.surface_points(unwrapping.triangles, shown).interpolate(unwrapping.uv)
    x[shown], y[shown] = len(texture) * uv.T - 0.5
    albedo = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)[shown][:, ::-1] / 255.0
    normals = fragments.surface_points(model.triangles, shown).interpolate(model.normals(vertices))
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    panel = np.full((height, width, 3), BACKGROUND, np.uint8)
    light = SphericalHarmonicsLight(LIGHT[:, None] * np.ones(3))
    panel[shown] = light.shade(albedo, normals @ rotation.T)[:, ::-1]
    return np.asarray(cv2.resize(panel, None, fx=1 / SAMPLES, fy=1 / SAMPLES, interpolation=cv2.INTER_AREA), np.uint8)


def _enlarge(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """The crop at the panels' height, and the factor between them."""
    crop = image[CROP]
    factor = PANEL_HEIGHT / crop.shape[0]
    return np.asarray(cv2.resize(crop, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8), factor


if __name__ == "__main__":
    main()
