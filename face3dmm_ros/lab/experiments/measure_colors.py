"""Measure how bright drawn faces are beside the photographs that they lie over: luminance of the cheeks.

A face is drawn as the renderer draws it, in its own light and opaque, with γ and with the mean skin. Printed are, over
the photographs' largest faces seen from the front, correlation, slope, and mean and mean absolute difference of the
cheeks' luminance (Rec. 709, of sRGB, 0 to 255), drawn against photographed.
"""

import argparse
import sys

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import pose_angles
from face3dmm_ros.core.srgb import LUMINANCE
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.fit_methods import create_fitter
from face3dmm_ros.fitting.albedo import PersonColors
from face3dmm_ros.lab.default_model.face_landmarker import portraits
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.landmarks.colors import sample_colors
from face3dmm_ros.landmarks.schemes import MEDIAPIPE478
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.pipeline import FacePipeline
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace

CHEEKS = (50, 205, 36, 101, 118, 280, 425, 266, 330, 347)
"""Face Mesh's points on the right and the left cheek, clear of nose, eyes, mouth and outline."""


def luminance(image: NDArray[np.uint8], points: NDArray[np.floating]) -> float:
    """Of the cheeks of a face with Face Mesh's points in an image."""
    return float((sample_colors(image, points)[list(CHEEKS)] @ LUMINANCE).mean())


def main() -> None:
    """Fit, draw, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=portraits, help="of photographs")
    parser.add_argument("--name", default="*", help="of the photographs' files, as *_neutral.jpg")
    parser.add_argument("--max-yaw", type=float, default=30.0, metavar="DEG", help="of faces from the front, as fitted")
    parser.add_argument("--fit-method", default="joint", help="joint, alternating, regressor or regressor+fit")
    arguments = parser.parse_args()
    model = load_model("default")
    fitter = create_fitter(model, arguments.fit_method)
    pipeline = FacePipeline(LandmarkTracker(create_backend(), max_faces=5), fitter, colors=PersonColors(model))
    rows = []
    with FaceRenderer(model.triangles) as renderer:
        for path in tqdm([path for path in arguments.folder if path.match(arguments.name)], unit="pictures"):
            image = read_picture(path)
            pipeline.reset()
            try:
                faces = pipeline.process(image)
            except Face3DMMError as error:
                print(f"{path}: {error}", file=sys.stderr)
                continue
            if not faces:
                continue
            face = max(faces, key=lambda face: face.parameters.camera.scale)
            camera, gamma = face.parameters.camera, face.parameters.gamma
            if abs(np.degrees(pose_angles(camera.rotation)[1])) > arguments.max_yaw:
                continue
            vertices = model.vertices(face.parameters.alpha, face.parameters.beta)
            points = camera.project(model.scheme(MEDIAPIPE478).interpolate(vertices))
            row = [luminance(image, face.landmarks.points)]
            for coefficients in (np.zeros(0), gamma):
                posed = PosedFace(vertices, model.normals(vertices), model.rgb(coefficients), camera)
                row.append(luminance(renderer.overlay(image, [posed], opacity=1.0), points))
            rows.append(row)
    photographed, *drawn = np.array(rows).T
    print(f"{len(rows)} faces, cheeks of {photographed.mean():.0f} ± {photographed.std():.0f}")
    for name, values in zip(("mean skin", "with gamma"), drawn, strict=True):
        difference = values - photographed
        print(
            f"{name}: correlation {np.corrcoef(photographed, values)[0, 1]:.3f}, slope "
            f"{np.polyfit(photographed, values, 1)[0]:.2f}, difference {difference.mean():+.1f}, "
            f"absolute {np.abs(difference).mean():.1f}"
        )


if __name__ == "__main__":
    main()
