"""Landmarks in, and images where the method looks at them; parameters, pose and meshes out."""

from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import Any, TypeAlias

import numpy as np
from geometry_msgs.msg import PoseArray
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from face3dmm_ros import fit_methods
from face3dmm_ros.core import topics
from face3dmm_ros.core.camera import Intrinsics, WeakPerspective, metric_pose
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.message_fields import image_size_from_message, landmarks_from_message
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.values import Box, Landmarks, TrackedFace, TrackedLandmarks
from face3dmm_ros.fitting.albedo import PersonColors
from face3dmm_ros.fitting.face_locator import FaceLocator, LocatedFace
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.morphable_model.decimation import Indices, decimate
from face3dmm_ros.morphable_model.shaper import FaceShaper
from face3dmm_ros.msg import Face3DMMParamsArray, FaceLandmarks, FaceLandmarksArray, FaceMeshArray, FaceTopology
from face3dmm_ros.nodes import conversions
from face3dmm_ros.nodes.camera_input import FIELD_OF_VIEW, RECTIFIED, CameraInput
from face3dmm_ros.nodes.depth_input import DEPTH_TOPIC, DepthInput
from face3dmm_ros.nodes.fixed_frame import FixedFrame
from face3dmm_ros.nodes.images import create_image_input
from face3dmm_ros.nodes.lifecycle_node import FaceNode, run_node
from face3dmm_ros.nodes.parameters import IMAGE_TRANSPORT, MODEL, NodeParameter, fixed
from face3dmm_ros.nodes.qos import latched_qos
from face3dmm_ros.nodes.synchronization import CAPACITY, StampMatcher, stamp_of
from face3dmm_ros.nodes.transforms import TransformOutput
from face3dmm_ros.smoothing import SMOOTHING_METHODS, CameraPlace, FaceSmoother

_MARKER_TRIANGLES = 1000
"""Of a face in rviz's marker, whose corners travel one by one; chosen by hand: fewer look coarse, more cost time."""
_MARKER_PERIOD = 0.2
"""s between two markers of the mesh, which rviz is slow to draw; chosen by hand."""
_WARM_UP_FITS = 3
"""Chosen by hand: the first fits are the slowest."""
Picture: TypeAlias = NDArray[np.uint8]


class FitterNode(FaceNode):
    """Fits the model to the landmarks of every face.

    The parameters' camera is weak perspective; where the camera is calibrated, pose and mesh come from a fit under full
    perspective. Mesh, cloud and marker are made only while they have subscribers, or, for /face/mesh, where the
    parameter `always_publish_mesh` is set.
    """

    NAME = "fitter_node"
    PARAMETERS = (
        MODEL,
        IMAGE_TRANSPORT,
        fixed("fit_method", fit_methods.FIT_METHODS[0], "How to fit.", choices=fit_methods.FIT_METHODS),
        fixed(
            "regressor",
            fit_methods.SHIPPED,
            "Network of the regressor methods: `default`, the path of weights (.safetensors), or of a TorchScript "
            "archive.",
        ),
        fixed(
            "regressor_sha256",
            "",
            "SHA-256 of a TorchScript archive, which can run any code: it is opened only if its hash is this one.",
        ),
        NodeParameter("estimate_colors", True, "Tell the person's colours, gamma, from those at the landmarks."),
        NodeParameter("smoothing", SMOOTHING_METHODS[0], "Smoothing over time.", choices=SMOOTHING_METHODS),
        fixed(
            "filtering_frame",
            "",
            "Smooth in this frame of /tf, such as odom, for a camera that moves; empty: in the image's own.",
        ),
        RECTIFIED,
        NodeParameter(
            FIELD_OF_VIEW,
            60.0,
            "Horizontal field of view, degrees, of a camera whose camera_info is missing or uncalibrated.",
            low=1.0,
            high=179.0,
        ),
        DEPTH_TOPIC,
        NodeParameter("publish_tf", True, "Publish the frames face_f<face_id> and gaze_f<face_id> on /tf."),
        NodeParameter("frame_prefix", "", "Put before the names of these frames, as in `robot1/`."),
        NodeParameter("always_publish_mesh", False, "Publish /face/mesh even while nobody listens."),
    )

    def configure(self) -> None:
        """Load the model."""
        self._model = load_model(self.value("model"))
        method = self.value("fit_method")
        regressor = fit_methods.RegressorFile(self.value("regressor"), self.value("regressor_sha256"))
        self._fitter = fit_methods.create_fitter(self._model, method, regressor)
        self._smoother = FaceSmoother(self._model, self.value("smoothing"))
        self._fixed_frame = FixedFrame(self, self.value("filtering_frame"))
        self._colors = PersonColors(self._model) if self.value("estimate_colors") else None
        self._locator = FaceLocator(self._model, fit_methods.create_perspective_fitter(self._model, method))
        self._shaper = FaceShaper(self._model)
        self._mean_rgb = self._model.rgb()
        self._background = ThreadPoolExecutor(1)
        self.resources.callback(self._background.shutdown, cancel_futures=True)
        self._coarse_surface: Future[tuple[Indices, Indices]] | None = None
        self._warm_up()
        self._marker_due = 0.0
        self._matcher = StampMatcher[Picture, tuple[FaceLandmarksArray, float]]()
        qos = self.result_qos()
        self._parameters_output = self.create_output(Face3DMMParamsArray, topics.PARAMETERS, qos)
        self._poses_output = self.create_output(PoseArray, topics.POSES, qos)
        self._mesh_output = self.create_output(FaceMeshArray, topics.MESH, qos)
        self._cloud_output = self.create_output(PointCloud2, topics.MESH_CLOUD, qos)
        self._arrow_output = self.create_output(MarkerArray, topics.POSE_MARKER, qos)
        self._marker_output = self.create_output(MarkerArray, topics.MESH_MARKER, qos)
        self._transforms = TransformOutput(self)
        self._topology_output = self.create_output(FaceTopology, topics.TOPOLOGY, latched_qos())
        self._looks_at_images = method in fit_methods.REGRESSOR_METHODS
        # Images first: they are taken in this order, and an image comes before its landmarks.
        if self._looks_at_images:
            create_image_input(self, self._on_image, kept=CAPACITY)
        self.create_input(FaceLandmarksArray, topics.LANDMARKS, self._on_landmarks, qos, stream=True)
        self._camera = CameraInput(self, self._locator.reset)
        self._depth = DepthInput(self, self._locator)

    def _warm_up(self) -> None:
        """Fit the mean face: the first times are the slowest, and no image should have to wait for them."""
        camera = WeakPerspective(2.0, FRONTAL, np.array([320.0, 240.0]))
        pose = metric_pose(camera, Intrinsics.from_field_of_view((640, 480), 60.0))
        nothing = np.zeros((480, 640, 3), np.uint8)
        for scheme, points in self._model.landmarks.items():
            seen = camera.project(points.interpolate(self._model.mean)).astype(np.float32)
            grey = np.full((len(seen), 3), 128, np.uint8)
            landmarks = Landmarks(scheme, seen, Box(0, 0, 640, 480), 1.0, (640, 480), colors=grey)
            face = TrackedLandmarks(0, landmarks)
            for _ in range(_WARM_UP_FITS):
                parameters = self._fitter.fit(face, nothing)
                if self._colors is not None:
                    self._colors.color(TrackedFace(0, landmarks, parameters))
            self._model.mesh(self._shaper.vertices(0, parameters), pose, self._mean_rgb)
        self._fitter.reset()
        if self._colors is not None:
            self._colors.reset()
        self._shaper.retain(())

    def activate(self) -> None:
        """Publish once what all meshes share."""
        self._topology_output.publish(conversions.topology_message(self._model))

    def apply_parameters(self, values: dict[str, Any]) -> None:
        """Change the smoothing, and whether colours are estimated."""
        if values["smoothing"] != self._smoother.method:
            self._smoother = FaceSmoother(self._model, values["smoothing"])
        if values["estimate_colors"] != (self._colors is not None):
            self._colors = PersonColors(self._model) if values["estimate_colors"] else None

    def _on_landmarks(self, message: FaceLandmarksArray) -> None:
        time = self.time_of(message.header)
        image_size_from_message(message)  # refused at once: it must not wait for an image
        if not message.faces or not self._looks_at_images:
            self._answer(message, time)
        if self._looks_at_images:
            self._answer_match(self._matcher.add_results(stamp_of(message.header), (message, time)))

    def _on_image(self, header: Header, image: Picture) -> None:
        self._answer_match(self._matcher.add_image(stamp_of(header), image))

    def _answer_match(self, match: tuple[Picture, tuple[FaceLandmarksArray, float]] | None) -> None:
        """Answer an image with its landmarks, once both are there."""
        self.activity.dropped += self._matcher.results.dropped
        self._matcher.results.dropped = 0
        # An image without a face has been answered without its pixels.
        if match is not None and match[1][0].faces:
            image, (message, time) = match
            self._answer(message, time, image)

    def _answer(self, message: FaceLandmarksArray, time: float, image: Picture | None = None) -> None:
        """Publish all results of an image's faces; `time` is the image's, s."""
        header, image_size = message.header, (message.image_width, message.image_height)
        self._retain({face.face_id for face in message.faces})
        place = self._place(header, image_size) if message.faces else None
        fitted = [self._fit(message, face, time, image, place) for face in message.faces]
        faces = self._finite([self._locate(face) for face in fitted if face is not None])
        self._parameters_output.publish(
            conversions.parameters_to_message(header, image_size, self._model, self._fitter.method, faces)
        )
        if self._poses_output.subscribers:
            self._poses_output.publish(conversions.poses_to_message(header, faces))
        if self.value("publish_tf"):
            self._transforms.publish(header, faces, self.value("frame_prefix"))
        if self._arrow_output.subscribers:
            self._arrow_output.publish(conversions.arrows_message(header, faces))
        with self.activity.stage("mesh"):
            self._publish_meshes(header, faces)
        self._depth.add_faces(header, faces)
        self.answered(header, len(faces))

    def _retain(self, face_ids: Collection[int]) -> None:
        """Forget all faces but these."""
        for keeper in (self._fitter, self._colors, self._smoother, self._locator, self._shaper):
            if keeper is not None:
                keeper.retain(face_ids)

    def _finite(self, faces: list[LocatedFace]) -> list[LocatedFace]:
        """The faces whose numbers are finite; the others are reported, and forgotten, so that they can come to be."""
        finite = [face for face in faces if face.is_finite]
        if len(finite) < len(faces):
            self._retain({face.face_id for face in finite})
            broken = [face.face_id for face in faces if not face.is_finite]
            self.report_skipped(f"faces {broken} of face/landmarks: their fit is not finite, and begins anew")
        return finite

    def _place(self, header: Header, image_size: tuple[int, int]) -> CameraPlace | None:
        """Where the camera was in the frame in which faces are smoothed; None: they are smoothed in the image's."""
        calibration = self._camera.of(image_size)
        intrinsics = self._guess(image_size) if calibration is None else calibration.intrinsics
        return self._fixed_frame.place(header, intrinsics)

    def _fit(
        self,
        message: FaceLandmarksArray,
        face: FaceLandmarks,
        time: float,
        image: Picture | None,
        place: CameraPlace | None,
    ) -> TrackedFace | None:
        """A face fitted and smoothed; None, and reported, if its landmarks cannot be fitted."""
        try:
            tracked = landmarks_from_message(message, face)
            with self.activity.stage("fitting"):
                fitted = TrackedFace(tracked.face_id, tracked.landmarks, self._fitter.fit(tracked, image))
            if self._colors is not None:
                with self.activity.stage("colors"):
                    fitted = self._colors.color(fitted)
        except Face3DMMError as error:
            self.report_skipped(f"face {face.face_id} of face/landmarks: {error}")
            return None
        with self.activity.stage("smoothing"):
            return self._smoother.smooth(fitted, time, place)

    def _locate(self, face: TrackedFace) -> LocatedFace:
        """A face in the camera's space: under full perspective if the camera is calibrated, else by field of view."""
        image_size = face.parameters.image_size
        calibration = self._camera.of(image_size)
        if calibration is not None:
            try:
                with self.activity.stage("perspective"):
                    located = self._locator.locate(face, calibration)
                self._camera.report("")
                return located
            except Face3DMMError as error:
                self._camera.report(str(error))
        return self._locator.locate(face, self._guess(image_size))

    def _guess(self, image_size: tuple[int, int]) -> Intrinsics:
        """An uncalibrated camera's intrinsics."""
        return Intrinsics.from_field_of_view(image_size, self.value(FIELD_OF_VIEW))

    def _publish_meshes(self, header: Header, faces: list[LocatedFace]) -> None:
        """Publish what needs vertices: mesh, cloud and marker, where they are wanted."""
        now = monotonic()
        mesh_wanted = self._mesh_output.subscribers > 0 or self.value("always_publish_mesh")
        cloud_wanted = self._cloud_output.subscribers > 0
        marker_wanted = self._marker_output.subscribers > 0 and now >= self._marker_due
        if not (mesh_wanted or cloud_wanted or marker_wanted):
            return
        shapes = {face.face_id: self._shaper.vertices(face.face_id, face.placed.parameters) for face in faces}
        if mesh_wanted:
            meshes = {
                face.face_id: self._model.mesh(shapes[face.face_id], face.placed.pose, self._rgb(face.parameters.gamma))
                for face in faces
            }
            self._mesh_output.publish(conversions.meshes_to_message(header, self._model, meshes))
        posed = {face.face_id: face.placed.pose.transform(shapes[face.face_id]) for face in faces}
        if cloud_wanted:
            points = np.concatenate([np.empty((0, 3), np.float32), *posed.values()])
            rgb = np.concatenate([np.empty((0, 3), np.uint8), *(self._rgb(face.parameters.gamma) for face in faces)])
            self._cloud_output.publish(conversions.cloud_message(header, points, rgb))
        if marker_wanted and (coarse := self._coarse()) is not None:
            self._marker_due = now + _MARKER_PERIOD
            kept, triangles = coarse
            corners = {face_id: vertices[kept][triangles.ravel()] for face_id, vertices in posed.items()}
            self._marker_output.publish(conversions.surfaces_message(header, corners))

    def _coarse(self) -> tuple[Indices, Indices] | None:
        """The marker's surface; None until it is made, which begins when first wanted: with a BFM it takes seconds."""
        if self._coarse_surface is None:
            self._coarse_surface = self._background.submit(decimate, self._model, _MARKER_TRIANGLES)
        return self._coarse_surface.result() if self._coarse_surface.done() else None

    def _rgb(self, gamma: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Vertex colours of albedo coefficients, (N, 3) uint8 sRGB."""
        return self._model.rgb(gamma) if gamma.size else self._mean_rgb


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(FitterNode, args)
