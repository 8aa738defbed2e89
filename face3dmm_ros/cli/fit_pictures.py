"""`face3dmm fit`: from pictures to parameters, meshes and overlays."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.cli.options import folder_names, for_people, regressor_file
from face3dmm_ros.core.calibration import Calibration, read_calibration
from face3dmm_ros.core.camera import Intrinsics, MetricPose, metric_pose
from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.core.rotations import FRONTAL, pose_angles
from face3dmm_ros.core.values import FaceParameters, Mesh, TrackedFace
from face3dmm_ros.evaluation.report import json_line, write_json
from face3dmm_ros.files.meshes import SUFFIXES, write_mesh, write_textured_mesh
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.files.whole_file import check_writable, write_image
from face3dmm_ros.fit_methods import create_fitter, create_perspective_fitter
from face3dmm_ros.fitting.albedo import PersonColors
from face3dmm_ros.fitting.several_pictures import PersonFitter
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.pipeline import FacePipeline
from face3dmm_ros.rendering.albedo_texture import AlbedoTexture
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from face3dmm_ros.rendering.person_texture import paint_albedo
from face3dmm_ros.rendering.spherical_harmonics import UNLIT, SphericalHarmonicsLight
from face3dmm_ros.rendering.texture import Unwrapping, look_at_texels, unwrap
from face3dmm_ros.rendering.vertex_colors import merge_vertex_colors, sample_vertex_colors, vertex_visibility

PHOTOMETRIC = "photometric"
"""The fit method that this verb knows besides those that track."""
_PARAMETERS, _OVERLAY, _IDENTITY = "params.json", "overlay.png", "identity.json"
"""Names of files, beside the meshes'."""


@dataclass(frozen=True, eq=False)
class _Face:
    """A fitted face, and the light on it if that was fitted too."""

    tracked: TrackedFace
    light: SphericalHarmonicsLight | None = None


@dataclass(frozen=True, eq=False)
class _Picture:
    path: Path
    image: NDArray[np.uint8]
    faces: list[_Face]


@dataclass(frozen=True, eq=False)
class _VertexColors:
    """Colours of a face's vertices in a picture, (N, 3) uint8 RGB, and how well they are seen, (N,) in [0, 1]."""

    rgb: NDArray[np.uint8]
    visibility: NDArray[np.float32]


def fit_pictures(arguments: argparse.Namespace) -> int:
    """Fit and write; returns 0, or 2 if some of several pictures had no face or an overlay could not be drawn.

    Raises:
        Face3DMMError: no readable picture, no face, options that contradict each other, or an output that cannot be
            written.
    """
    _check(arguments)
    _check_output(arguments)
    calibration = read_calibration(arguments.camera) if arguments.camera else None
    model = load_model(arguments.model)
    pictures, skipped = _fitted(arguments, model, calibration)
    writer = _Writer(arguments, model, calibration)
    if arguments.same_person:
        pictures, uncertainty_mm = _with_one_identity(pictures, arguments, model)
    several = len(arguments.images) > 1
    colors = []
    with for_people(arguments.json):
        for picture, name in zip(pictures, folder_names([picture.path.stem for picture in pictures]), strict=True):
            if several:
                print(f"{picture.path}:")
            colors += writer.write(picture, arguments.out / name if several else arguments.out)
        if arguments.same_person:
            writer.write_identity(pictures, colors, uncertainty_mm)
        print(f"written to {arguments.out}/")
    if arguments.json:
        print(json_line({"out": str(arguments.out), **writer.written, "skipped": skipped}))
    return 2 if len(pictures) < len(arguments.images) or writer.lacks_overlay else 0


def _check(arguments: argparse.Namespace) -> None:
    """Check the options.

    Raises:
        Face3DMMError: one is out of range, or two contradict each other.
    """
    if not 0.0 < arguments.fov < 180.0:
        raise Face3DMMError(f"the field of view must lie between 0 and 180 degrees, not {arguments.fov}")
    if arguments.face and not arguments.same_person:
        raise Face3DMMError("--face says which face is the person of --same-person: give that too, or neither")
    if arguments.face and len(arguments.face) not in (1, len(arguments.images)):
        raise Face3DMMError(
            f"--face is given once, or once for each of the {len(arguments.images)} pictures, not "
            f"{len(arguments.face)} times"
        )
    if arguments.rectified and not arguments.camera:
        raise Face3DMMError(
            "--rectified says how the file of --camera holds for the pictures: give that too, or neither"
        )
    if arguments.same_person and arguments.camera:
        raise Face3DMMError("--camera cannot be used with --same-person: leave one of them out")
    if arguments.same_person and arguments.fit_method not in ("joint", PHOTOMETRIC):
        raise Face3DMMError(f"--same-person fits by joint or {PHOTOMETRIC}, not by {arguments.fit_method}")


def _check_output(arguments: argparse.Namespace) -> None:
    """Check that all can be written, before the work.

    Raises:
        Face3DMMError: some of it cannot.
    """
    names = (_PARAMETERS, _OVERLAY, *(f"{_mesh_name(0)}{suffix}" for suffix in SUFFIXES))
    if len(arguments.images) == 1:
        check_writable(arguments.out, names)
    else:
        for name in folder_names([path.stem for path in arguments.images]):
            check_writable(arguments.out / name, names)
    if arguments.same_person:
        check_writable(arguments.out, (_IDENTITY, *(f"identity{suffix}" for suffix in SUFFIXES)))


def _fitted(
    arguments: argparse.Namespace, model: MorphableModel, calibration: Calibration | None
) -> tuple[list[_Picture], dict[str, str]]:
    """The pictures that have a face, each fitted on its own, and why others were left out, by their names.

    Standard error tells of the others, too, unless there is only one picture.

    Raises:
        Face3DMMError: no picture has a face.
    """
    photometric = arguments.fit_method == PHOTOMETRIC
    tracker = LandmarkTracker(create_backend(arguments.backend), max_faces=arguments.max_faces)
    method = "joint" if photometric else arguments.fit_method
    colors = PersonColors(model) if arguments.estimate_colors else None
    pipeline = FacePipeline(tracker, create_fitter(model, method, regressor_file(arguments)), colors=colors)
    pictures, skipped = [], {}
    for path in arguments.images:
        try:
            image = read_picture(path, upright=True)
            if calibration is not None:
                _camera_of(image, calibration, arguments)
            pipeline.reset()
            faces = pipeline.process(image)
            if not faces:
                raise Face3DMMError(f"there is no face in {path}")
        except Face3DMMError as error:
            if len(arguments.images) == 1:
                raise
            skipped[str(path)] = one_line(error)
            print(f"face3dmm fit: {skipped[str(path)]}", file=sys.stderr)
            continue
        pictures.append(_Picture(path, image, [_Face(face) for face in faces]))
    if not pictures:
        raise Face3DMMError(f"none of the {len(arguments.images)} pictures has a face")
    if photometric and not arguments.same_person:
        # Each face on its own: only one person's are fitted together.
        pictures = [
            replace(picture, faces=[_to_pixels([picture.image], [face.tracked], model)[0] for face in picture.faces])
            for picture in pictures
        ]
    return pictures, skipped


def _camera_of(image: NDArray[np.uint8], calibration: Calibration, arguments: argparse.Namespace) -> Calibration:
    """The camera of a picture.

    Raises:
        Face3DMMError: the calibration is for pictures of another shape.
    """
    try:
        return calibration.of((image.shape[1], image.shape[0]), rectified=arguments.rectified)
    except Face3DMMError as error:
        raise Face3DMMError(f"{arguments.camera}: {error}") from error


def _to_pixels(images: Sequence[NDArray[np.uint8]], faces: Sequence[TrackedFace], model: MorphableModel) -> list[_Face]:
    """One person's face in each image, fitted to the pixels too, with the light on it."""
    from face3dmm_ros.photometric.fitter import photometric_fit

    fits = photometric_fit(images, faces, model)
    return [_Face(replace(face, parameters=fit.parameters), fit.light) for face, fit in zip(faces, fits, strict=True)]


def _with_one_identity(
    pictures: Sequence[_Picture], arguments: argparse.Namespace, model: MorphableModel
) -> tuple[list[_Picture], NDArray[np.float64]]:
    """The pictures with the person's face alone, fitted with one identity, and its `SamePerson.uncertainty_mm`."""
    wanted = dict(zip(arguments.images, (arguments.face or [None]) * len(arguments.images), strict=False))
    faces = [_person(picture, wanted[picture.path]) for picture in pictures]
    person = PersonFitter(model).fit_person([face.landmarks for face in faces])
    faces = [replace(face, parameters=p) for face, p in zip(faces, person.pictures, strict=True)]
    if arguments.fit_method == PHOTOMETRIC:
        fitted = _to_pixels([picture.image for picture in pictures], faces, model)
    else:
        colored = PersonColors(model).color_together(faces) if arguments.estimate_colors else faces
        fitted = [_Face(face) for face in colored]
    alone = [replace(picture, faces=[face]) for picture, face in zip(pictures, fitted, strict=True)]
    return alone, person.uncertainty_mm


def _person(picture: _Picture, index: int | None) -> TrackedFace:
    """The face of a picture by its index, or the largest.

    Raises:
        Face3DMMError: the picture has no face of that index.
    """
    faces = [face.tracked for face in picture.faces]
    if index is None:
        index = int(np.argmax([np.ptp(face.landmarks.points, axis=0).prod() for face in faces]))
        if len(faces) > 1:
            print(
                f"face3dmm fit: {picture.path} shows {len(faces)} faces: face {index}, the largest, is taken for the "
                "person; --face chooses another",
                file=sys.stderr,
            )
    if not 0 <= index < len(faces):
        raise Face3DMMError(f"{picture.path} has no face {index}: it shows {len(faces)}, counted from 0")
    return faces[index]


class _Writer:
    """Writes what was fitted into folders.

    Attributes:
        lacks_overlay: whether an overlay could not be drawn.
        written: what the files of JSON hold, by picture, with its file and its folder, and of the identity.
    """

    def __init__(self, arguments: argparse.Namespace, model: MorphableModel, calibration: Calibration | None) -> None:
        self._arguments = arguments
        self._model = model
        self._calibration = calibration
        self.lacks_overlay = False
        self.written: dict[str, Any] = {"pictures": [], "identity": None}
        self._unwrapping: Unwrapping | None = unwrap(model) if arguments.texture_size else None
        self._albedo_texture = AlbedoTexture.of(model) if arguments.texture_size else None

    def write(self, picture: _Picture, folder: Path) -> list[_VertexColors]:
        """Write a picture's meshes, overlay and parameters; returns the colours of its faces."""
        posed, colors, records = [], [], []
        for index, face in enumerate(picture.faces):
            posed.append(self._posed(face))
            colors.append(self._colors(picture.image, face, posed[-1]))
            located, pose = self._locate(face.tracked, picture.image)
            mesh = self._model.mesh(self._model.vertices(located.alpha, located.beta), pose, colors[-1].rgb)
            self._write_mesh(folder / _mesh_name(index), mesh, picture.image, face, posed[-1])
            records.append(_record(face, index, self._model.expression_names, pose))
            print(_describe(face.tracked, index, self._model.expression_names))
        self._write_overlay(picture, posed, folder)
        record = {
            "image": picture.path.name,
            "image_size": picture.image.shape[1::-1],
            **self._made_with(),
            "field_of_view_deg": None if self._calibration else self._arguments.fov,
            "faces": records,
        }
        write_json(record, folder / _PARAMETERS)
        self.written["pictures"].append({"source": str(picture.path), "out": str(folder), **record})
        return colors

    def write_identity(
        self, pictures: Sequence[_Picture], colors: Sequence[_VertexColors], uncertainty_mm: NDArray[np.float64]
    ) -> None:
        """Write the neutral face that the pictures share, coloured from all of them, and its uncertainty."""
        out, parameters = self._arguments.out, pictures[0].faces[0].tracked.parameters
        rgb = merge_vertex_colors([each.rgb for each in colors], [each.visibility for each in colors])
        pose = MetricPose(FRONTAL, np.array([0.0, 0.0, 1.0]))
        mesh = self._model.mesh(self._model.identity(parameters.alpha), pose, rgb)
        for suffix in SUFFIXES:
            write_mesh(out / f"identity{suffix}", mesh)
        record = {
            "images": [picture.path.name for picture in pictures],
            **self._made_with(),
            "alpha": parameters.alpha.tolist(),
            "gamma": parameters.gamma.tolist(),
            "uncertainty_mm": uncertainty_mm.tolist(),
        }
        write_json(record, out / _IDENTITY)
        self.written["identity"] = record
        steps = " → ".join(f"{value:.2f}" for value in uncertainty_mm)
        print(f"identity: ± mm per vertex after 0, 1, … {len(pictures)} pictures, by the landmarks: {steps}")

    def _made_with(self) -> dict[str, str]:
        model = self._model
        return {"model": model.name, "model_digest": model.digest, "method": self._arguments.fit_method}

    def _posed(self, face: _Face) -> PosedFace:
        """The face as the overlay shows it: in the fitted light, or in colours that the renderer lights."""
        model, parameters = self._model, face.tracked.parameters
        posed = PosedFace.of(model, parameters, covered=face.tracked.landmarks.covered)
        if face.light is None:
            return posed
        rgb = face.light.shade(model.albedo(parameters.gamma), posed.normals @ parameters.camera.rotation.T)
        return replace(posed, rgb=rgb)

    def _colors(self, image: NDArray[np.uint8], face: _Face, posed: PosedFace) -> _VertexColors:
        """The vertices' colours in the picture, or the model's where it does not show them."""
        model = self._model
        points = posed.camera.project(posed.vertices)
        inside = ((points > -0.5) & (points < np.array(image.shape[1::-1]) - 0.5)).all(axis=1)
        visibility = vertex_visibility(posed.vertices, posed.normals, model.triangles, posed.camera) * inside
        albedo = model.rgb(face.tracked.parameters.gamma)
        rgb = sample_vertex_colors(image, points, visibility, albedo, skin=model.regions.get("skin"))
        return _VertexColors(rgb, visibility)

    def _write_mesh(self, path: Path, mesh: Mesh, image: NDArray[np.uint8], face: _Face, posed: PosedFace) -> None:
        for suffix in SUFFIXES:
            if suffix != ".glb" or self._unwrapping is None:
                write_mesh(path.with_suffix(suffix), mesh)
                continue
            gamma, size = face.tracked.parameters.gamma, self._arguments.texture_size
            texels = look_at_texels(
                image, self._model, self._unwrapping, posed.vertices, posed.camera, gamma=gamma, size=size
            )
            texture = paint_albedo(texels, light=face.light, texture=self._albedo_texture)
            unwrapped = self._unwrapping.of(mesh)
            write_textured_mesh(path.with_suffix(suffix), unwrapped, self._unwrapping.uv, texture)

    def _locate(self, face: TrackedFace, image: NDArray[np.uint8]) -> tuple[FaceParameters, MetricPose]:
        """A face in the camera's space: the parameters whose α and β make its mesh there, and its pose."""
        parameters = face.parameters
        if self._calibration is None:
            intrinsics = Intrinsics.from_field_of_view(parameters.image_size, self._arguments.fov)
            return parameters, metric_pose(parameters.camera, intrinsics)
        camera = _camera_of(image, self._calibration, self._arguments)
        fitter = create_perspective_fitter(self._model, self._arguments.fit_method)
        if fitter is None:
            return parameters, camera.pose(parameters.camera)
        fitted = fitter.fit(face, camera)
        return fitted.parameters, fitted.pose

    def _write_overlay(self, picture: _Picture, posed: Sequence[PosedFace], folder: Path) -> None:
        try:
            # What the photometric fit found is the light of the picture itself, and drawn as it is.
            lighting = UNLIT if self._arguments.fit_method == PHOTOMETRIC else None
            renderer = FaceRenderer.of(self._model, lighting=lighting)
        except Face3DMMError as error:
            print(f"face3dmm fit: no {_OVERLAY}, because {one_line(error)}", file=sys.stderr)
            self.lacks_overlay = True
            return
        with renderer:
            overlay = renderer.overlay(
                picture.image, posed, opacity=self._arguments.opacity, extent=self._arguments.extent
            )
        write_image(folder / _OVERLAY, overlay)


def _mesh_name(index: int) -> str:
    return "mesh" if index == 0 else f"mesh_{index}"


def _record(face: _Face, index: int, expression_names: tuple[str, ...], pose: MetricPose) -> dict:
    """A face as it stands in params.json; units are in the keys."""
    parameters, landmarks = face.tracked.parameters, face.tracked.landmarks
    angles = np.degrees(pose_angles(parameters.camera.rotation))
    return {
        "mesh": _mesh_name(index),
        "scale_px_per_mm": parameters.camera.scale,
        "rotation": parameters.camera.rotation.tolist(),
        "translation_px": parameters.camera.translation.tolist(),
        "pose_deg": dict(zip(("pitch", "yaw", "roll"), angles, strict=True)),
        "in_camera": {"rotation": pose.rotation.tolist(), "position_m": pose.position.tolist()},
        "alpha": parameters.alpha.tolist(),
        "beta": dict(zip(expression_names, parameters.beta.tolist(), strict=True)),
        "gamma": parameters.gamma.tolist(),
        "light": face.light.coefficients.tolist() if face.light else None,
        "gaze": parameters.gaze.tolist(),
        "beta_deviation": dict(zip(expression_names, parameters.beta_deviation.tolist(), strict=False)),
        "residual_px": parameters.residual_px,
        "confidence": parameters.confidence,
        "landmarks": {"scheme": landmarks.scheme, "points_px": landmarks.points.tolist()},
    }


def _describe(face: TrackedFace, index: int, expression_names: tuple[str, ...]) -> str:
    """A line for the terminal: where the face looks, how well it fits, and its strongest expressions."""
    parameters = face.parameters
    pitch, yaw, roll = np.degrees(pose_angles(parameters.camera.rotation))
    strongest = np.argsort(-np.abs(parameters.beta))[:4]
    expression = ", ".join(f"{expression_names[i]} {parameters.beta[i]:.2f}" for i in strongest)
    return (
        f"face {index}: pitch {pitch:.0f}°, yaw {yaw:.0f}°, roll {roll:.0f}°, "
        f"residual {parameters.residual_px:.1f} px; {expression}"
    )
