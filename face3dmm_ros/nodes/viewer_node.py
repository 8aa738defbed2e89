"""Images and results in, Rerun's viewer out."""

import os
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sensor_msgs.msg import CompressedImage, Image

from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.core import topics
from face3dmm_ros.core.user_path import user_path
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.msg import Face3DMMParamsArray, FaceLandmarksArray, FaceMeshArray, FaceTopology
from face3dmm_ros.nodes.lifecycle_node import FaceNode, run_node
from face3dmm_ros.nodes.parameters import IMAGE_TRANSPORT, MODEL, fixed
from face3dmm_ros.nodes.qos import latched_qos
from face3dmm_ros.viewer.frame_buffer import byte_count
from face3dmm_ros.viewer.frame_messages import FrameMessages
from face3dmm_ros.viewer.page_server import WEB_PORT
from face3dmm_ros.viewer.rerun_program import require_rerun
from face3dmm_ros.viewer.viewed_frame import IMAGE, LANDMARKS, MESH, OVERLAY, PARAMETERS, Pace, ViewedFrame

if TYPE_CHECKING:
    from face3dmm_ros.viewer.live_view import LiveView

_FACES = {
    LANDMARKS: (FaceLandmarksArray, topics.LANDMARKS),
    PARAMETERS: (Face3DMMParamsArray, topics.PARAMETERS),
    MESH: (FaceMeshArray, topics.MESH),
}
_LOOK_PERIOD = 0.5
"""s between two looks at which topics are published and whether the viewer still runs; chosen by hand."""
_NICENESS = 10
"""Added to the process's nice value, which goes from 0 to 19; chosen by hand."""


class ViewerNode(FaceNode):
    """Shows image, landmarks, head, blendshapes and curves in Rerun's viewer: a web page, a window, or a file.

    All results of one image are shown together: a frame waits for all topics that have publishers, and goes without
    what has not come when a later frame is complete.
    """

    NAME = "viewer_node"
    PARAMETERS = (
        MODEL,
        IMAGE_TRANSPORT,
        fixed("show", "page", "Serve a web page, or open a window.", choices=("page", "window")),
        fixed("save", "", "File (.rrd) to write in place of showing; empty: show."),
        fixed("web_port", WEB_PORT, "Port of the web page, on this machine only.", 1, 65535),
        fixed("open_browser", False, "Open the page in the browser."),
        fixed("memory_limit", "1GB", "Of the data that are kept for the page; then the oldest go."),
        fixed("image_rate", 15.0, "Images, landmarks and meshes a second at most; 0: all.", 0.0, 1000.0),
        fixed("image_quality", 80, "JPEG quality of raw images.", 1, 100),
    )

    def configure(self) -> None:
        """Load the model and start the viewer."""
        require_rerun()
        self._weights = BlendshapeWeights(load_model(self.value("model")))
        self._view = self._open_view()
        self.resources.callback(self._view.close)
        self._due = Pace(self.value("image_rate")).due
        self._messages = FrameMessages(self._due, self.value("image_quality"))
        for part in (LANDMARKS, PARAMETERS):
            self._take_faces(part)
        self._takes_meshes = False
        self.create_input(FaceTopology, topics.TOPOLOGY, self._on_topology, latched_qos())
        compressed = self.value("image_transport") == "compressed"
        image_type = CompressedImage if compressed else Image
        self._topics = {part: topic for part, (_, topic) in _FACES.items()}
        self._topics[IMAGE] = topics.IMAGE + topics.COMPRESSED if compressed else topics.IMAGE
        self._topics[OVERLAY] = topics.OVERLAY
        for part, message_type in ((IMAGE, image_type), (OVERLAY, Image)):
            self.create_input(message_type, self._topics[part], self._taker(part), self.image_qos())
        self.resources.callback(self.destroy_timer, self.create_timer(_LOOK_PERIOD, self._look))

    def _open_view(self) -> "LiveView":
        """Begin the file, the window or the page, and say where the page is."""
        from face3dmm_ros.viewer.live_view import FileView, PageView, WindowView

        memory = byte_count(self.value("memory_limit"))
        if self.value("save"):
            return FileView(user_path(self.value("save")), self._weights)
        if self.value("show") == "window":
            return WindowView(self._weights)
        page = PageView(self._weights, memory, port=self.value("web_port"))
        # Not by the log, which a launcher may have turned down: without the address the page is of no use.
        print(f"the viewer is at {page.address}", flush=True)
        if self.value("open_browser"):
            webbrowser.open(page.address)
        return page

    def _look(self) -> None:
        """Find which topics have publishers, so that frames wait for those, and whether the viewer still runs."""
        names = {part: self.resolve_topic_name(topic) for part, topic in self._topics.items()}
        published = {part for part, name in names.items() if self.count_publishers(name)}
        self._messages.assembler.expected = frozenset(published)
        if not self._view.running:
            self.activity.problem = "the viewer has ended"

    def _take_faces(self, part: str) -> None:
        message_type, topic = _FACES[part]
        self.create_input(message_type, topic, self._taker(part), self.result_qos())

    def _on_topology(self, message: FaceTopology) -> None:
        """Keep the triangles, and subscribe to meshes once they are known."""
        self._messages.take_topology(message)
        if not self._takes_meshes:
            self._takes_meshes = True
            self._take_faces(MESH)

    def _taker(self, part: str) -> Callable[[Any], None]:
        def take(message: Any) -> None:
            frames = self._messages.take(part, message, self.get_clock().now().nanoseconds)
            self.warn_about_stamps(self._messages.times.clock.problem)
            for frame in frames:
                self._log_frame(frame)
                self.answered(message.header, len(frame.parameters or ()))

        return take

    def _log_frame(self, frame: ViewedFrame) -> None:
        with self.activity.stage("viewing"):
            self._view.add(frame, due=self._due(frame.stamp_ns))
        for face in (frame.parameters or {}).values():
            self._weights.check(face)


def main(args: list[str] | None = None) -> int:
    """Run the node at a low priority: it must not slow down the nodes whose results it shows."""
    os.nice(_NICENESS)
    return run_node(ViewerNode, args)
