"""Pictures and results in, the package's own web page out."""

import os
import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.core import topics
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.core.rotations import pose_angles
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.morphable_model.shaper import FaceShaper
from face3dmm_ros.msg import BlendshapesArray, Face3DMMParamsArray
from face3dmm_ros.nodes.diagnostics import Statuses
from face3dmm_ros.nodes.endpoints import Input
from face3dmm_ros.nodes.lifecycle_node import FaceNode, run_node
from face3dmm_ros.nodes.parameters import IMAGE_TRANSPORT, MODEL, fixed
from face3dmm_ros.nodes.qos import result_qos
from face3dmm_ros.rendering.landmark_view import OVERLAYS
from face3dmm_ros.viewer.frame_messages import FrameMessages
from face3dmm_ros.viewer.live_page import (
    PAUSE,
    RECALIBRATE,
    VIEW,
    LivePage,
    PageFace,
    PageFrame,
    PageHead,
    rate_of,
)
from face3dmm_ros.viewer.viewed_frame import OVERLAY, PARAMETERS, Pace, ViewedFrame

_CAMERA, _AVATAR = "camera", "avatar"
_LOOK_PERIOD = 0.2
"""s between two looks at whether anybody looks; chosen by hand, short enough for who opens the page."""
_RATED = 30
"""Images over which the rate is told; chosen by hand."""
_NICENESS = 10
"""Added to the process's nice value, as for the viewer."""
_SOURCE, _RENDERER = "video_source_node", "renderer_node"
_CALIBRATE = "avatar_node/calibrate"
_STAGE = "stage_ms/"


class PageNode(FaceNode):
    """Shows picture, head and weights on a web page of this machine's, and asks other nodes for what its readers want.

    While nobody looks it loads no model and subscribes to nothing. Where no port can be listened on, it says so, and
    the run goes on.
    """

    NAME = "page_node"
    PARAMETERS = (
        MODEL,
        IMAGE_TRANSPORT,
        fixed("port", 0, "Port of the page, on this machine only; 0: 9091, or any if that is taken.", 0, 65535),
        fixed("image_rate", 30.0, "Images a second at most; 0: all.", 0.0, 1000.0),
        fixed("image_quality", 80, "JPEG quality of raw images.", 1, 100),
    )

    def configure(self) -> None:
        """Open the page, and say where it is."""
        self._asked: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self._page: LivePage | None = None
        self._paused, self._view = False, OVERLAYS[0]
        self._open: list[Input] = []
        self._listening: tuple[str, bool] | None = None
        self._statuses = Statuses()
        self._diagnostics_input: Any = None
        self._model: Any = None
        try:
            self._page = LivePage(
                {PAUSE: ("on", "off")},
                lambda name, value: self._asked.put((name, value)),
                source="live",
                port=self.value("port") or None,
            )
        except Face3DMMError as error:
            self.report_problem(f"there is no page: {one_line(error)}")
            return
        self.resources.callback(self._page.close)
        # Not by the log, which a launcher may have turned down: without the address the page is of no use.
        print(f"the page is at {self._page.address}", flush=True)
        self._set_view = self.create_client(SetParameters, f"{_RENDERER}/set_parameters")
        self._calibrate = self.create_client(Trigger, _CALIBRATE)
        for client in (self._set_view, self._calibrate):
            self.resources.callback(self.destroy_client, client)
        self.resources.callback(self.destroy_timer, self.create_timer(_LOOK_PERIOD, self._look))

    def release(self) -> None:
        """Forget the model."""
        self._model = None

    def _look(self) -> None:
        """Do what was asked for, and listen to what the page shows while anybody looks."""
        page = self._page
        assert page is not None
        while True:
            try:
                self._do(*self._asked.get_nowait())
            except Empty:
                break
        has_avatar = self.count_publishers(self.resolve_topic_name(topics.AVATAR_IMAGE)) > 0
        views = [*(OVERLAYS if self._set_view.service_is_ready() else ()), _CAMERA, *([_AVATAR] if has_avatar else ())]
        # What was asked for may not be there, as an overlay without a renderer: then what is.
        view = self._view if self._view in views else views[-1]
        recalibrate = {RECALIBRATE: [""]} if self._calibrate.service_is_ready() else {}
        source = self._statuses.get(_SOURCE, {}).get("source", "live")
        page.tell(
            source=source,
            offers={PAUSE: ["on", "off"], VIEW: views, **recalibrate},
            paused=self._paused,
            view=view,
        )
        picture = {_CAMERA: topics.IMAGE, _AVATAR: topics.AVATAR_IMAGE}.get(view, topics.OVERLAY)
        wanted = (picture, has_avatar) if page.wanted and not self._paused else None
        if wanted != self._listening:
            self._listen(wanted)
        if wanted is not None:
            # A picture waits for its faces only where somebody tells of faces.
            has_faces = self.count_publishers(self.resolve_topic_name(topics.PARAMETERS)) > 0
            self._messages.assembler.expected = frozenset({OVERLAY, PARAMETERS} if has_faces else {OVERLAY})

    def _listen(self, wanted: tuple[str, bool] | None) -> None:
        """Subscribe to a topic of pictures, to parameters and, where they are, to an avatar's weights; or to nothing.

        Raises:
            Face3DMMError: the model cannot be loaded.
        """
        for each in self._open:
            self.remove_input(each)
        self._open.clear()
        if self._diagnostics_input is not None:
            self.destroy_subscription(self._diagnostics_input)
            self._diagnostics_input = None
        self._listening = wanted
        if wanted is None:
            return
        self._load()
        picture, has_avatar = wanted
        self._messages = FrameMessages(Pace(self.value("image_rate")).due, self.value("image_quality"))
        self._tuned: dict[int, dict[str, float]] = {}
        self._times: deque[float] = deque(maxlen=_RATED)
        message_type: Any = Image
        if picture == topics.IMAGE and self.value("image_transport") == "compressed":
            picture, message_type = picture + topics.COMPRESSED, CompressedImage
        self._open += [
            self.create_input(message_type, picture, lambda message: self._take(OVERLAY, message), self.image_qos()),
            self.create_input(
                Face3DMMParamsArray,
                topics.PARAMETERS,
                lambda message: self._take(PARAMETERS, message),
                self.result_qos(),
            ),
        ]
        if has_avatar:
            self._open.append(
                self.create_input(BlendshapesArray, topics.BLENDSHAPES, self._on_blendshapes, self.result_qos())
            )
        self._diagnostics_input = self.create_subscription(
            DiagnosticArray, "/diagnostics", self._statuses.take, result_qos()
        )

    def _load(self) -> None:
        """Load the model, once."""
        if self._model is None:
            self._model = load_model(self.value("model"))
            self._shaper = FaceShaper(self._model)
            try:
                self._weights: BlendshapeWeights | None = BlendshapeWeights(self._model)
            except Face3DMMError:
                self._weights = None  # the model has nothing to name or to compare
            assert self._page is not None
            self._page.set_triangles(self._model.triangles)

    def _do(self, name: str, value: str) -> None:
        """Do what a reader asked for."""
        if name == PAUSE:
            self._paused = value == "on"
        elif name == RECALIBRATE:
            self._calibrate.call_async(Trigger.Request()).add_done_callback(self._on_calibrating)
        elif name == VIEW:
            self._view = value
            if value in OVERLAYS:
                text = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
                request = SetParameters.Request(parameters=[Parameter(name="view", value=text)])
                self._set_view.call_async(request)

    def _on_calibrating(self, future: Future) -> None:
        answer = future.result()
        if answer is not None and self._page is not None:
            self._page.tell(notice="" if answer.success else f"not calibrated: {answer.message}")

    def _on_blendshapes(self, message: BlendshapesArray) -> None:
        """Keep the weights that the avatar shows: relative to the person's neutral face."""
        names = list(message.names)
        self._tuned = {
            face.face_id: dict(zip(names, np.asarray(face.weights, np.float64).tolist(), strict=True))
            for face in message.faces
        }

    def _take(self, part: str, message: Any) -> None:
        for frame in self._messages.take(part, message, self.get_clock().now().nanoseconds):
            if frame.overlay is not None and self._page is not None:
                with self.activity.stage("page"):
                    self._show(self._page, frame, frame.overlay)
            self.answered(message.header, len(frame.parameters or ()))

    def _show(self, page: LivePage, frame: ViewedFrame, picture: bytes) -> None:
        parameters = frame.parameters or {}
        self._shaper.retain(set(parameters))
        nearest = sorted(parameters, key=lambda face_id: -parameters[face_id].camera.scale)
        faces = [self._face(face_id, parameters[face_id]) for face_id in nearest]
        head = self._head(nearest[0], parameters[nearest[0]]) if nearest else None
        self._times.append(time.monotonic())
        page.show(
            PageFrame(picture, faces, head, rate_of(self._times), frame.latency_ms.get(OVERLAY), self._stage_ms())
        )

    def _face(self, face_id: int, parameters: FaceParameters) -> PageFace:
        pitch, yaw, roll = np.degrees(pose_angles(parameters.camera.rotation)).tolist()
        weights = self._tuned.get(face_id)
        if weights is None:
            weights = (
                {}
                if self._weights is None
                else dict(zip(ARKIT_NAMES, self._weights.of(parameters).tolist(), strict=True))
            )
        return PageFace(face_id, weights, (yaw, pitch, roll), parameters.confidence)

    def _head(self, face_id: int, parameters: FaceParameters) -> PageHead:
        vertices = self._shaper.vertices(face_id, parameters)
        return PageHead(vertices, self._model.rgb(parameters.gamma), parameters.camera.rotation)

    def _stage_ms(self) -> dict[str, float]:
        """What the nodes' stages take, ms, but for this node's own."""
        told: dict[str, float] = {}
        for node, values in self._statuses.items():
            if node.rpartition("/")[2] == self.NAME:
                continue
            for key, value in values.items():
                try:
                    if key.startswith(_STAGE) and np.isfinite(ms := float(value)):
                        told[key.removeprefix(_STAGE)] = ms
                except ValueError:
                    continue  # anybody may publish on /diagnostics
        return told


def main(args: list[str] | None = None) -> int:
    """Run the node at a low priority: it must not slow down the nodes whose results it shows."""
    os.nice(_NICENESS)
    return run_node(PageNode, args)
