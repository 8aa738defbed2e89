"""`face3dmm fit IMAGE`: a 3D model of every face in one picture."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from face3dmm_ros.values import TrackedFace

DEFAULT_MAX_FACES = 20


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Describe the verb."""
    verb = verbs.add_parser(
        "fit",
        help="make 3D models of the faces in a picture",
        description=(
            "Fit the morphable model to every face in a picture. Writes params.json (s, R, t, alpha, beta of each "
            "face), mesh.obj, mesh.ply and mesh.glb with colours sampled from the picture (mesh_1.obj … for further "
            "faces), and overlay.png. Exit code 2 where there is no face or no readable picture."
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    verb.add_argument("image", type=Path, help="a picture that OpenCV reads: PNG, JPEG, WebP, TIFF, BMP …")
    verb.add_argument(
        "--out", type=Path, default=Path("out"), metavar="DIR", help="folder to write to, made if missing"
    )
    verb.add_argument("--model", default="default", help="'default', a model .npz, or a BFM .mat")
    verb.add_argument("--backend", default="facemesh", help="landmark detector: facemesh or dlib")
    verb.add_argument("--fit-method", default="joint", help="joint or alternating")
    verb.add_argument("--max-faces", type=int, default=DEFAULT_MAX_FACES, metavar="N", help="fit at most N faces")
    verb.add_argument("--fov", type=float, default=60.0, metavar="DEG", help="horizontal field of view of the camera")
    verb.add_argument("--opacity", type=float, default=0.7, help="of the faces in overlay.png, 0 to 1")
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Fit and write; returns 0.

    Raises:
        Face3DMMError: no readable picture, no face, or options that cannot be.
    """
    import json
    import sys

    import cv2
    import numpy as np

    from face3dmm_ros.camera import Intrinsics, metric_pose
    from face3dmm_ros.errors import Face3DMMError
    from face3dmm_ros.fitting import TrackFitter
    from face3dmm_ros.landmarks import LandmarkTracker, create_backend
    from face3dmm_ros.mesh_files import write_mesh
    from face3dmm_ros.morphable_model import load_model
    from face3dmm_ros.pipeline import FacePipeline
    from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
    from face3dmm_ros.rendering.vertex_colors import sample_vertex_colors, vertex_visibility

    if not arguments.image.is_file():
        raise Face3DMMError(f"{arguments.image} is not a file: name a picture")
    decoded = cv2.imread(str(arguments.image), cv2.IMREAD_COLOR)
    if decoded is None:
        raise Face3DMMError(f"{arguments.image} is not a picture that OpenCV can read")
    image = np.asarray(decoded, dtype=np.uint8)
    image_size = (image.shape[1], image.shape[0])
    intrinsics = Intrinsics.from_field_of_view(image_size, arguments.fov)
    model = load_model(arguments.model)
    tracker = LandmarkTracker(create_backend(arguments.backend), max_faces=arguments.max_faces)
    faces = FacePipeline(tracker, TrackFitter(model, arguments.fit_method)).process(image)
    if not faces:
        raise Face3DMMError(f"there is no face in {arguments.image}")

    arguments.out.mkdir(parents=True, exist_ok=True)
    albedo = model.rgb()
    posed = []
    for index, face in enumerate(faces):
        camera = face.parameters.camera
        vertices = model.vertices(face.parameters.alpha, face.parameters.beta)
        normals = model.normals(vertices)
        posed.append(PosedFace(vertices, normals, albedo, camera))
        visibility = vertex_visibility(vertices, normals, model.triangles, camera)
        colors = sample_vertex_colors(
            image, camera.project(vertices), visibility, albedo, skin=model.regions.get("skin")
        )
        mesh = model.mesh(vertices, metric_pose(camera, intrinsics), colors)
        for suffix in ("obj", "ply", "glb"):
            write_mesh(arguments.out / f"{_mesh_name(index)}.{suffix}", mesh)
    try:
        renderer = FaceRenderer(model.triangles)
    except Face3DMMError as error:
        print(f"face3dmm fit: no overlay.png, because {error}", file=sys.stderr)
    else:
        with renderer:
            overlay = renderer.overlay(image, posed, opacity=arguments.opacity)
        cv2.imwrite(str(arguments.out / "overlay.png"), overlay)
    record = {
        "image": arguments.image.name,
        "image_size": image_size,
        "model": model.name,
        "model_digest": model.digest,
        "method": arguments.fit_method,
        "field_of_view_deg": arguments.fov,
        "faces": [_record(face, index, model.expression_names) for index, face in enumerate(faces)],
    }
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (arguments.out / "params.json").write_text(text + "\n", encoding="utf-8")
    for index, face in enumerate(faces):
        print(_describe(face, index, model.expression_names))
    print(f"written to {arguments.out}/")
    return 0


def _mesh_name(index: int) -> str:
    return "mesh" if index == 0 else f"mesh_{index}"


def _record(face: "TrackedFace", index: int, expression_names: tuple[str, ...]) -> dict:
    """A face as it stands in params.json; units are in the keys."""
    import numpy as np

    from face3dmm_ros.camera import pose_angles

    parameters = face.parameters
    pitch, yaw, roll = np.degrees(pose_angles(parameters.camera.rotation))
    return {
        "mesh": _mesh_name(index),
        "scale_px_per_mm": parameters.camera.scale,
        "rotation": parameters.camera.rotation.tolist(),
        "translation_px": parameters.camera.translation.tolist(),
        "pose_deg": {"pitch": pitch, "yaw": yaw, "roll": roll},
        "alpha": parameters.alpha.tolist(),
        "beta": dict(zip(expression_names, parameters.beta.tolist(), strict=True)),
        "gamma": parameters.gamma.tolist(),
        "residual_px": parameters.residual_px,
        "confidence": parameters.confidence,
        "landmarks": {"scheme": face.landmarks.scheme, "points_px": face.landmarks.points.tolist()},
    }


def _describe(face: "TrackedFace", index: int, expression_names: tuple[str, ...]) -> str:
    """A line for a person: where the face looks, how well it fits, what it does."""
    import numpy as np

    from face3dmm_ros.camera import pose_angles

    parameters = face.parameters
    pitch, yaw, roll = np.degrees(pose_angles(parameters.camera.rotation))
    strongest = np.argsort(-np.abs(parameters.beta))[:4]
    expression = ", ".join(f"{expression_names[i]} {parameters.beta[i]:.2f}" for i in strongest)
    return (
        f"face {index}: pitch {pitch:.0f}°, yaw {yaw:.0f}°, roll {roll:.0f}°, "
        f"residual {parameters.residual_px:.1f} px; {expression}"
    )
