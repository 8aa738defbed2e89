"""Camera, video, pictures or the sample clip in; images out."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from face3dmm_ros.core import topics
from face3dmm_ros.core.calibration import read_calibration
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.picture_turns import turned
from face3dmm_ros.files.frame_source import AUTO, CAMERA, SAMPLE, SOURCES, FrameSource, open_source, resized
from face3dmm_ros.msg import Face3DMMParams
from face3dmm_ros.nodes.conversions import calibration_to_message
from face3dmm_ros.nodes.images import image_conversion
from face3dmm_ros.nodes.lifecycle_node import run_nodes
from face3dmm_ros.nodes.parameters import NodeParameter, read_only
from face3dmm_ros.nodes.qos import image_output_qos, image_qos, result_qos
from face3dmm_ros.nodes.threaded_node import ThreadedNode

OWN_RATE = -1.0
"""The value of the parameter `fps` that stands for the source's own rate."""
_RESULT_TIMEOUT = 1.0
"""s after which the next image is published though the last one's result is missing, as when it was lost. Chosen by
hand: longer than any fit method takes for an image."""
_RESULTS = {
    "overlay": (Image, topics.OVERLAY, image_qos()),
    "params": (Face3DMMParams, topics.PARAMETERS, result_qos(1)),
}
_REOPEN_PERIOD = 1.0
"""s between two attempts to open a camera; chosen by hand: each costs some work, but a camera should be noticed soon
after it is plugged in."""
_REMINDER_PERIOD = 10.0
"""s between two log lines about a missing camera; chosen by hand."""


class VideoSourceNode(ThreadedNode):
    """Publishes images and their camera_info, each image stamped when it was captured.

    An image of a file is read ahead, and stamped and published when it is due. A camera that is not there yet, or stops
    giving images, is waited for; nothing else takes its place.
    """

    NAME = "video_source_node"
    PARAMETERS = (
        read_only("source", CAMERA, f"Where images come from: {SOURCES}."),
        NodeParameter(
            "fps",
            OWN_RATE,
            "Images per second; 0: the next one as soon as the last one's result is out; -1: the source's own rate.",
            low=-1.0,
            high=1000.0,
        ),
        read_only("result", "overlay", "The result that is waited for with fps 0.", choices=tuple(_RESULTS)),
        NodeParameter("width", 0, "Width to scale images to, px; 0: as height and proportions say.", 0, 16384),
        NodeParameter("height", 0, "Height to scale images to, px; 0: as width and proportions say.", 0, 16384),
        read_only(
            "rotate",
            0,
            "Turn images clockwise by so many degrees, and camera_info with them, for a camera that is mounted "
            "sideways or upside down. width, height and the calibration are those before.",
            low=0,
            high=270,
            step=90,
        ),
        NodeParameter("loop", True, "Begin a video or folder again at its end."),
        read_only("frame_id", "camera_optical_frame", "Frame of the images."),
        read_only("calibration_file", "", "The camera's calibration (ROS camera_info YAML); empty: unknown."),
    )

    def __init__(self, **options: Any) -> None:
        """A node that has yet to open its source."""
        self._source: FrameSource | None = None
        self._asked = self._wanted = ""
        self._result_is_out = threading.Event()
        super().__init__(**options)

    def configure(self) -> None:
        """Open the source."""
        # What `auto` was once decided to be stays, unless the parameter has changed since.
        if self.value("source") != self._asked:
            self._asked = self._wanted = self.value("source")
        self._conversion = image_conversion()
        file = self.value("calibration_file")
        self._calibration = read_calibration(Path(file).expanduser()).turned(self.value("rotate")) if file else None
        try:
            self._source = self._open()
        except Face3DMMError as error:
            if self._wanted != CAMERA:
                raise
            self.activity.waiting = str(error)
            self.activity.details["source"] = "no camera yet"
            self.get_logger().warning(f"waiting for a camera: {error}")
        self._images_output = self.create_output(Image, topics.IMAGE, image_output_qos())
        self._camera_info_output = self.create_output(CameraInfo, topics.CAMERA_INFO, image_output_qos())
        self._result_input: Any = None
        self._listen(self.value("fps") == 0.0)

    def apply_parameters(self, values: dict[str, Any]) -> None:
        """Subscribe to results if they set the pace."""
        self._listen(values["fps"] == 0.0)

    def activate(self) -> None:
        """Start capturing."""
        self._result_is_out.set()
        super().activate()

    def deactivate(self) -> None:
        """Stop capturing."""
        self._stop.set()
        self._result_is_out.set()
        super().deactivate()

    def release(self) -> None:
        """Close the source."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _open(self) -> FrameSource:
        size = self.value("width"), self.value("height")
        self._images_in_this_round = 0  # of a video or folder; a pause does not end a round
        source = open_source(self._wanted, size, max(self.value("fps"), 0.0))
        if self._wanted == AUTO:
            # Decided once: a clip must not take the place of a camera that was unplugged.
            self._wanted = CAMERA if source.live else SAMPLE
            if not source.live:
                self.get_logger().warning("no camera gives images: the sample clip is taken (source camera would wait)")
        self.activity.details["source"] = self.activity.hardware = source.description
        self.get_logger().info(f"images from {source.description}")
        return source

    def _listen(self, to_results: bool) -> None:
        """Subscribe to the results, serialized since only their arrival matters, or unsubscribe."""
        if not to_results and self._result_input is not None:
            self.remove_input(self._result_input)
            self._result_input = None
        elif to_results and self._result_input is None:
            message_type, topic, qos = _RESULTS[self.value("result")]
            self._result_input = self.create_input(message_type, topic, self._on_result, qos, raw=True)

    def _on_result(self, _: bytes) -> None:
        self._result_is_out.set()

    def work(self) -> None:
        """Publish image after image, until deactivated or to the end of the source."""
        due = time.monotonic()
        while not self._stop.is_set():
            if self._source is None:
                self._look_for_camera()
                due = time.monotonic()
                continue
            if not self._source.grab():
                if self._source.live:
                    self._lose_camera(self._source)
                elif not (self._images_in_this_round and self.value("loop") and self._source.rewind()):
                    self.get_logger().info(f"end of {self._source.description}")
                    return
                self._images_in_this_round = 0
                continue
            self._images_in_this_round += 1
            grabbed = self.get_clock().now()
            rate = self.value("fps") if self.value("fps") != OWN_RATE else self._source.rate
            if self._source.live and rate > 0 and time.monotonic() < due - 0.5 / self._source.rate:
                continue
            with self.activity.stage("source"):
                image = self._read(self._source)
            if image is None:
                continue
            if not self._source.live:
                self._wait(rate, due)
                if self._stop.is_set():
                    return
                grabbed = self.get_clock().now()
            self._publish(Header(stamp=grabbed.to_msg(), frame_id=self.value("frame_id")), image)
            # A late image does not make the next ones early, unless it is late by less than a period.
            due = max(due + 1.0 / rate, time.monotonic() - 1.0 / rate) if rate > 0 else time.monotonic()

    def _wait(self, rate: float, due: float) -> None:
        """Wait until the next image is due by the clock or, at rate 0, by the last result."""
        if rate > 0:
            self._stop.wait(max(0.0, due - time.monotonic()))
        else:
            self._result_is_out.wait(_RESULT_TIMEOUT)
            self._result_is_out.clear()

    def _read(self, source: FrameSource) -> NDArray[np.uint8] | None:
        """The image last grabbed, scaled and turned; None, and reported, if it cannot be read."""
        try:
            image = resized(source.retrieve(), self.value("width"), self.value("height"))
            return turned(image, self.value("rotate"))
        except Face3DMMError as error:
            self.report_skipped(str(error))
            # A folder of nothing but broken files must not spin.
            self._stop.wait(0.01)
            return None

    def _lose_camera(self, camera: FrameSource) -> None:
        """Report that a camera gives no images any more, and close it."""
        self.report_problem(f"{camera.description} gives no images: waiting for a camera")
        camera.close()
        self._source = None

    def _look_for_camera(self) -> None:
        """Try once, after a while, to open a camera that is not there yet, or was lost."""
        self._stop.wait(_REOPEN_PERIOD)
        if self._stop.is_set():
            return
        try:
            self._source = self._open()
            self.activity.problem = self.activity.waiting = ""
        except Face3DMMError as error:
            if self.activity.waiting:
                self.activity.waiting = str(error)
            else:
                self.activity.problem = str(error)
            self.get_logger().warning(f"waiting for a camera: {error}", throttle_duration_sec=_REMINDER_PERIOD)

    def _publish(self, header: Header, image: NDArray[np.uint8]) -> None:
        height, width = image.shape[:2]
        self._camera_info_output.publish(self._describe(header, width, height))
        self._images_output.publish(self._conversion.cv2_to_imgmsg(image, header))
        self.answered(header, 0)

    def _describe(self, header: Header, width: int, height: int) -> CameraInfo:
        """The camera_info; its K is zero, for uncalibrated, also where the calibration is for another image size."""
        calibration = self._calibration
        if calibration is not None and calibration.image_size == (width, height):
            return calibration_to_message(header, calibration)
        if calibration is not None:
            calibrated_width, calibrated_height = calibration.image_size
            self.activity.problem = (
                f"the calibration is for {calibrated_width}×{calibrated_height} images, these are {width}×{height}: "
                "not used"
            )
        return CameraInfo(header=header, width=width, height=height)


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_nodes([VideoSourceNode], args)
