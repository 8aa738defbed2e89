"""The library's front door: open a tracker, give it images, and take named weights, poses, meshes and overlays.

It wraps what `pipeline` and the rooms below it do. Importing it costs little: what is heavy comes with the first
tracker, and OpenGL with the first overlay.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.camera import Intrinsics
from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_limits import check_size
from face3dmm_ros.core.rotations import pose_angles
from face3dmm_ros.core.values import FaceParameters, Landmarks, Mesh, TrackedFace

if TYPE_CHECKING:
    from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
    from face3dmm_ros.core.calibration import Calibration
    from face3dmm_ros.fit_methods import RegressorFile
    from face3dmm_ros.fitting.face_locator import FaceLocator, LocatedFace
    from face3dmm_ros.morphable_model import MorphableModel
    from face3dmm_ros.pipeline import FacePipeline
    from face3dmm_ros.rendering.face_renderer import FaceRenderer

ORDERS = ("bgr", "rgb")
"""In which a pixel's colours may lie, the default first: OpenCV's, and that of most other libraries."""


@dataclass(frozen=True, eq=False)
class Pose:
    """Where a head is and how it is turned.

    The rotation and the translation are in the camera's frame: x right, y down, z forward. The angles tell how the
    camera sees the face: all three are 0 where it looks straight into the lens, wherever in the image it is. They are
    those of `parameters.camera.rotation`, by `core.rotations.pose_angles`, and what `face3dmm fit` prints.

    Attributes:
        rotation: (3, 3) float64, from the model's axes (x to the viewer's right, y up, z out of the face).
        translation: (3,) float64, the point midway between the eyeballs, m.
        yaw: degrees, positive where the face turns to the person's own right, which is the image's left.
        pitch: degrees, positive where the face looks up.
        roll: degrees, positive where the head's top leans to the image's right, clockwise as it is seen.
    """

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, eq=False)
class Gaze:
    """Where the eyes look, (3,) unit vectors in the camera's frame; left and right are the person's own."""

    left: NDArray[np.float64]
    right: NDArray[np.float64]
    both: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Face:
    """A face in an image.

    Attributes:
        id: stays with the face along its track.
        weights: by ARKit's names, each in [0, 1]; `tongueOut` is always 0. Empty where the model has neither ARKit's
            blendshapes nor landmarks by which other expressions are compared with them.
        pose: in metres, for a head of average size.
        gaze: None where the model has no eyes that turn.
        landmarks: `points` (N, 2), px; `deviation` (N,), px, and `covered` (N,), how likely something lies over each,
            255 for certain, None where the detector gives none; the `scheme`'s name.
        parameters: of the model in weak perspective: `camera` with s, R and t; `alpha`, `beta` and `gamma`.
    """

    id: int
    weights: dict[str, float]
    pose: Pose
    gaze: Gaze | None
    landmarks: Landmarks
    parameters: FaceParameters
    _located: "LocatedFace" = field(repr=False)
    _model: "MorphableModel" = field(repr=False)

    @property
    def confidence(self) -> float:
        """How likely it is that the fit is right, in [0, 1]; see `core.values.FaceParameters`."""
        return self.parameters.confidence

    def mesh(self) -> Mesh:
        """The face in the camera's frame: vertices (m), triangles, normals and colours; made when first asked for."""
        return self._mesh

    @cached_property
    def _mesh(self) -> Mesh:
        placed, model = self._located.placed, self._model
        vertices = model.vertices(placed.parameters.alpha, placed.parameters.beta)
        return model.mesh(vertices, placed.pose, model.rgb(self.parameters.gamma))


@dataclass(frozen=True, eq=False)
class _Steps:
    """What an open tracker works with.

    Attributes:
        live: for a stream's images.
        single: the same for pictures that have nothing to do with each other, which are searched more thoroughly.
    """

    model: "MorphableModel"
    live: "FacePipeline"
    single: "FacePipeline"
    locator: "FaceLocator"
    weights: "BlendshapeWeights | None"


class FaceTracker(Closing):
    """Tracks faces through a stream of images, or finds them in single pictures.

    Calls must not overlap, but any thread may make them: a program that tracks several streams at once opens a tracker
    for each. Close it, or use it as a context manager; the faces that it gave remain valid.
    """

    def __init__(
        self,
        *,
        model: "str | Path | MorphableModel" = "default",
        backend: str = "dense",
        fit_method: str = "joint",
        regressor: "RegressorFile | None" = None,
        max_faces: int = 1,
        smoothing: str = "constant_velocity",
        colors: bool = True,
        fov: float = 60.0,
        camera: "str | Path | Calibration | None" = None,
        rectified: bool = False,
        order: str = ORDERS[0],
    ) -> None:
        """Load the model and the networks.

        Args:
            model: ``default``, the path of a model of any format that is read, or a loaded model.
            backend: the landmark detector, one of `landmarks.BACKENDS`.
            fit_method: one of `fit_methods.FIT_METHODS`.
            regressor: the network of the methods that have one; the shipped one if None.
            max_faces: faces to track at most, in each image.
            smoothing: over time, one of `smoothing.SMOOTHING_METHODS`; it needs the images' times, see `track`.
            colors: whether to tell the person's colours, γ, from the image.
            fov: horizontal field of view, degrees, of a camera that is not calibrated. Distances follow from it.
            camera: a calibration, or the path of one as ROS's camera_calibration writes it; faces are then fitted
                under full perspective.
            rectified: whether the images are that camera's rectified ones.
            order: of the colours in images given and drawn, one of `ORDERS`.

        Raises:
            Face3DMMError: an argument is unknown or out of range, a file cannot be used, or what the backend or the
                method needs is not installed.
        """
        if order not in ORDERS:
            raise Face3DMMError(f"unknown order of colours {order!r}: choose one of {', '.join(ORDERS)}")
        if not isinstance(max_faces, int):
            raise Face3DMMError(f"max_faces must be a whole number, found {max_faces!r}")
        if rectified and camera is None:
            raise Face3DMMError("rectified says how the calibration holds for the images: give camera too, or neither")
        if not isinstance(fov, (int, float)):
            raise Face3DMMError(f"fov must be a number of degrees between 0 and 180, found {fov!r}")
        Intrinsics.from_field_of_view((1, 1), fov)  # for its check, before the work
        self._order, self._fov, self._rectified = order, fov, rectified
        self._camera = _calibration(camera)
        self._steps: _Steps | None = _load(model, backend, fit_method, regressor, max_faces, smoothing, colors)
        self._renderer: FaceRenderer | None = None
        self._time: float | None = None

    def track(self, frame: NDArray[np.uint8], time: float | None = None) -> list[Face]:
        """The faces in the next image of a stream, by ascending `id`; empty where there is none.

        Args:
            frame: (H, W, 3) uint8, its colours in the tracker's order; it is only read. Nothing that is read is kept.
            time: when it was taken, s, from any zero; later than the image before. Pose, weights and landmarks are
                smoothed over the images whose times are given. None: this image is taken as it is, without smoothing;
                faces keep their ids, and their identity goes on settling, all the same.

        Raises:
            Face3DMMError: the image is none, or its colours are not three of uint8; the time is no finite number or
                not later than the last; the camera's calibration is for images of another shape; there are faces, and
                none can be fitted; or the tracker is closed.
        """
        steps, image = self._open_steps(), self._bgr(frame)
        camera = self._camera_of(image)
        self._time = _checked_time(time, self._time)
        faces = steps.live.process(image, self._time if time is not None else None)
        return _faces(steps, faces, camera)

    def track_pictures(self, pictures: Iterable[NDArray[np.uint8]]) -> list[list[Face]]:
        """The faces in each of several pictures that have nothing to do with each other.

        Each is looked at by itself, without smoothing, and more thoroughly than an image of a stream, so that small
        faces are found at once. An `id` tells the faces of one picture apart. A stream that was tracked begins anew.

        Args:
            pictures: each (H, W, 3) uint8, its colours in the tracker's order; a generator is read one by one.

        Raises:
            Face3DMMError: as `track`; the message names the picture by its number, from 0.
        """
        if not isinstance(pictures, Iterable) or (isinstance(pictures, np.ndarray) and pictures.ndim < 4):
            raise Face3DMMError(f"track_pictures takes a list of pictures, found one {type(pictures).__name__}")
        steps = self._open_steps()
        found = []
        try:
            for number, picture in enumerate(pictures):
                self.reset()
                try:
                    image = self._bgr(picture)
                    camera = self._camera_of(image)
                    found.append(_faces(steps, steps.single.process(image), camera))
                except Face3DMMError as error:
                    raise Face3DMMError(f"picture {number}: {error}") from error
        finally:
            self.reset()
        return found

    def draw(
        self,
        frame: NDArray[np.uint8],
        faces: Sequence[Face],
        *,
        view: str = "shaded",
        opacity: float = 0.7,
        extent: str = "face",
    ) -> NDArray[np.uint8]:
        """A copy of an image with faces drawn over it, its colours in the tracker's order.

        What lies over a face, as a hand or sunglasses, is left out where the detector is certain of it.

        The first call opens an offscreen OpenGL context where there is a graphics processor; elsewhere it is drawn
        without.

        Args:
            frame: (H, W, 3) uint8, the image in which the faces were found.
            faces: as `track` gave them.
            view: ``shaded``, ``wireframe``, ``toon``, or ``landmarks``.
            opacity: of the faces, in [0, 1].
            extent: ``face``, which fades toward hairline, ears and neck, or ``head``, the whole model.

        Raises:
            Face3DMMError: the image or its size is another, the faces are of another model or none, the view or the
                extent is unknown, the opacity is out of range, or the tracker is closed.
        """
        from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
        from face3dmm_ros.rendering.landmark_view import LANDMARKS, OVERLAYS, draw_landmarks

        model, image = self._open_steps().model, self._bgr(frame)
        if view not in OVERLAYS:
            raise Face3DMMError(f"unknown view {view!r}: choose one of {', '.join(OVERLAYS)}")
        _check_faces(faces, (image.shape[1], image.shape[0]), model)
        if view == LANDMARKS:
            return self._in_order(draw_landmarks(image, [face.landmarks for face in faces]))
        if self._renderer is None:
            self._renderer = FaceRenderer.of(model)
        posed = [PosedFace.of(model, face.parameters, covered=face.landmarks.covered) for face in faces]
        return self._in_order(self._renderer.overlay(image, posed, opacity=opacity, view=view, extent=extent))

    def reset(self) -> None:
        """Forget all faces and the last time: the next image has nothing to do with the last.

        Raises:
            Face3DMMError: the tracker is closed.
        """
        steps = self._open_steps()
        steps.live.reset()
        steps.single.reset()
        steps.locator.reset()
        self._time = None

    def close(self) -> None:
        """Let go of the networks and of OpenGL; may be called twice."""
        if self._renderer is not None:
            self._renderer.close()
        self._renderer = self._steps = None

    def _open_steps(self) -> _Steps:
        """What it works with; raises Face3DMMError if it is closed."""
        if self._steps is None:
            raise Face3DMMError("this FaceTracker is closed: open another one")
        return self._steps

    def _bgr(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """An image that was given, in BGR; raises Face3DMMError if it is none."""
        from face3dmm_ros.landmarks.backend import check_image

        image = check_image(frame)
        check_size(image.shape[1], image.shape[0], "the image")
        return self._in_order(image)

    def _in_order(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """An image from the tracker's order of colours to BGR, or back."""
        return image if self._order == "bgr" else np.ascontiguousarray(image[..., ::-1])

    def _camera_of(self, image: NDArray[np.uint8]) -> "Calibration | Intrinsics":
        """The camera of an image; raises Face3DMMError if the calibration is for images of another shape."""
        image_size = (image.shape[1], image.shape[0])
        if self._camera is None:
            return Intrinsics.from_field_of_view(image_size, self._fov)
        return self._camera.of(image_size, rectified=self._rectified)


def _calibration(camera: "str | Path | Calibration | None") -> "Calibration | None":
    """A calibration that was given, or that of a file; raises Face3DMMError if that cannot be used."""
    if isinstance(camera, (str, Path)):
        from face3dmm_ros.core.calibration import read_calibration

        return read_calibration(Path(camera))
    return camera


def _load(
    model: "str | Path | MorphableModel",
    backend: str,
    fit_method: str,
    regressor: "RegressorFile | None",
    max_faces: int,
    smoothing: str,
    colors: bool,
) -> _Steps:
    """Load the model and the networks, as `FaceTracker` says."""
    from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
    from face3dmm_ros.fit_methods import create_fitter, create_perspective_fitter
    from face3dmm_ros.fitting.albedo import PersonColors
    from face3dmm_ros.fitting.face_locator import FaceLocator
    from face3dmm_ros.landmarks import LandmarkTracker, create_backend
    from face3dmm_ros.landmarks.tracker import LIVE_LOOKS
    from face3dmm_ros.morphable_model import load_model
    from face3dmm_ros.pipeline import FacePipeline
    from face3dmm_ros.smoothing import FaceSmoother

    if isinstance(model, (str, Path)):
        model = load_model(str(model))
    detector = create_backend(backend)
    fitter = create_fitter(model, fit_method, regressor)
    person_colors = PersonColors(model) if colors else None
    live = LandmarkTracker(detector, max_faces=max_faces, looks_per_image=LIVE_LOOKS)
    single = LandmarkTracker(detector, max_faces=max_faces)
    try:
        weights = BlendshapeWeights(model)
    except Face3DMMError:
        weights = None  # the model has nothing to name or to compare
    return _Steps(
        model,
        FacePipeline(live, fitter, FaceSmoother(model, smoothing), person_colors),
        FacePipeline(single, fitter, colors=person_colors),
        FaceLocator(model, create_perspective_fitter(model, fit_method)),
        weights,
    )


def _faces(steps: _Steps, faces: Sequence[TrackedFace], camera: "Calibration | Intrinsics") -> list[Face]:
    """What the pipeline found in an image, before its camera; a face that cannot be placed there is left out.

    Raises:
        Face3DMMError: there are faces, and none can be placed.
    """
    steps.locator.retain({face.face_id for face in faces})
    placed, failures = [], []
    for face in faces:
        try:
            placed.append(_face(steps, face, steps.locator.locate(face, camera)))
        except Face3DMMError as error:
            failures.append(error)
    if failures and not placed:
        raise failures[0]
    return placed


def _face(steps: _Steps, face: TrackedFace, located: "LocatedFace") -> Face:
    parameters, pose = located.parameters, located.placed.pose
    pitch, yaw, roll = np.degrees(pose_angles(parameters.camera.rotation)).tolist()
    weights = {}
    if steps.weights is not None:
        weights = dict(zip(ARKIT_NAMES, steps.weights.of(parameters).tolist(), strict=True))
    gaze = Gaze(*located.gaze) if len(located.gaze) else None
    in_space = Pose(pose.rotation, pose.position, yaw, pitch, roll)
    return Face(face.face_id, weights, in_space, gaze, face.landmarks, parameters, located, steps.model)


def _checked_time(time: float | None, last: float | None) -> float | None:
    """The time of the last image that has one; raises Face3DMMError if the new one is no later finite number."""
    if time is None:
        return last
    if isinstance(time, bool) or not isinstance(time, (int, float, np.integer, np.floating)) or not math.isfinite(time):
        raise Face3DMMError(f"time must be a finite number of seconds, or None for no smoothing; found {time!r}")
    if last is not None and time <= last:
        raise Face3DMMError(
            f"time must grow from image to image, found {time} s after {last} s: call reset() where another film begins"
        )
    return float(time)


def _check_faces(faces: Sequence[Face], image_size: tuple[int, int], model: "MorphableModel") -> None:
    """Check that faces may be drawn; raises Face3DMMError if they are none, or of another image or model."""
    if not isinstance(faces, Sequence) or not all(isinstance(face, Face) for face in faces):
        raise Face3DMMError(f"draw takes a list of faces as track gives them, found {type(faces).__name__}")
    for face in faces:
        width, height = face.parameters.image_size
        if (width, height) != image_size:
            raise Face3DMMError(
                f"the face was found in an image of {width}×{height} pixels, this one has {image_size[0]}×"
                f"{image_size[1]}: draw it over the image that it was found in"
            )
        if face.parameters.model_digest != model.digest:
            raise Face3DMMError(
                f"the face is of model {face.parameters.model!r}, that of the tracker is another, {model.name!r}: "
                "draw it with the tracker that found it"
            )
