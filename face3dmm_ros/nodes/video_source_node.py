"""Camera, video, pictures or the sample clip in; images out."""

import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from face3dmm_ros.core import topics
from face3dmm_ros.core.calibration import read_calibration
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.picture_turns import turned
from face3dmm_ros.core.user_path import user_path
from face3dmm_ros.files.captures import CameraRequest, is_url
from face3dmm_ros.files.frame_source import (
    AUTO,
    CAMERA,
    SAMPLE,
    SOURCES,
    FrameSource,
    may_come_back,
    open_source,
    resized,
    source_name,
)
from face3dmm_ros.msg import Face3DMMParamsArray
from face3dmm_ros.nodes.camera_input import camera_info_topic_of, image_topic_of
from face3dmm_ros.nodes.conversions import calibration_to_message
from face3dmm_ros.nodes.images import image_conversion, publish_image
from face3dmm_ros.nodes.lifecycle_node import run_node
from face3dmm_ros.nodes.parameters import NodeParameter, fixed
from face3dmm_ros.nodes.qos import image_output_qos, image_qos, result_qos
from face3dmm_ros.nodes.threaded_node import ThreadedNode

OWN_RATE = -1.0
"""The value of the parameter `fps` that stands for the source's own rate."""
_LOWEST_RATE = 0.01
"""Images per second, below which none is a rate; chosen by hand: an image in 100 s."""
_LONGEST_WAIT = 10.0
"""s between two looks at when an image is due; by hand: a film may name any time, and no system waits for all."""
_RESULT_TIMEOUT = 1.0
"""s after which the next image is published though the last one's result is missing, as when it was lost. Chosen by
hand: longer than any fit method takes for an image."""
_RESULTS = {
    "overlay": (Image, topics.OVERLAY, image_qos()),
    "params": (Face3DMMParamsArray, topics.PARAMETERS, result_qos(1)),
}
_REOPEN_PERIOD = 1.0
"""s between two attempts to open a camera, and before the first to open a URL again; chosen by hand: each costs some
work, but a camera should be noticed soon after it is plugged in."""
_MOST_DOUBLINGS = 5
"""How often that period doubles at most while a URL gives nothing: to half a minute. Chosen by hand."""
_MOST_UNREADABLE = 30
"""Images in a row that cannot be read, after which a camera counts as lost; chosen by hand: about a second."""


class VideoSourceNode(ThreadedNode):
    """Publishes images and their camera_info, each image stamped when it was captured.

    An image of a file is read ahead, and stamped and published when it is due by the file's own times. A camera, or
    what a URL leads to, is waited for where it is not there yet or stops giving images; nothing else takes its place.
    """

    NAME = "video_source_node"
    PARAMETERS = (
        fixed("source", CAMERA, f"Where images come from: {SOURCES}."),
        NodeParameter(
            "fps",
            OWN_RATE,
            "Images per second, from 0.01 on; 0: the next one as soon as the last one's result is out; -1: the "
            "source's own rate, in a video the times that it gives its images.",
            low=-1.0,
            high=1000.0,
        ),
        fixed(
            "camera_format",
            "",
            "How a camera is to send its pixels, such as MJPG, which many need for large images at full rate, or YUYV "
            "(v4l2-ctl --list-formats-ext tells which there are); empty: as it does.",
        ),
        fixed("result", "overlay", "The result that is waited for with fps 0.", choices=tuple(_RESULTS)),
        NodeParameter("width", 0, "Width to scale images to, px; 0: as height and proportions say.", 0, 16384),
        NodeParameter("height", 0, "Height to scale images to, px; 0: as width and proportions say.", 0, 16384),
        fixed(
            "rotate",
            0,
            "Turn images clockwise by so many degrees, and camera_info with them, for a camera that is mounted "
            "sideways or upside down. width, height and the calibration are those before.",
            low=0,
            high=270,
            step=90,
        ),
        NodeParameter("loop", True, "Begin a video or folder again at its end."),
        fixed("frame_id", "camera_optical_frame", "Frame of the images."),
        fixed("calibration_file", "", "The camera's calibration (ROS camera_info YAML); empty: unknown."),
    )

    def __init__(self, **options: Any) -> None:
        """A node that has yet to open its source."""
        self._source: FrameSource | None = None
        self._asked = self._wanted = self._end = ""
        self._result_is_out = threading.Event()
        self._rate_is_new = threading.Event()
        super().__init__(**options)

    def configure(self) -> None:
        """Open the source."""
        self._fps = _checked_rate(self.value("fps"))
        # What `auto` was once decided to be stays, unless the parameter has changed since.
        if self.value("source") != self._asked:
            self._asked = self._wanted = self.value("source")
        self._conversion = image_conversion()
        file = self.value("calibration_file")
        self._calibration = read_calibration(user_path(file)).turned(self.value("rotate")) if file else None
        self._attempts = 0
        request = self._request()
        try:
            self._source = self._open(request)
            self._announce(self._source)
        except Face3DMMError as error:
            if not may_come_back(self._wanted):
                raise
            name = source_name(self._wanted)
            self.activity.waiting = str(error)
            self.activity.details["source"] = f"no {name} yet"
            self.get_logger().warning(f"waiting for {name if name != CAMERA else 'a camera'}: {error}")
        self._images_output = self.create_output(Image, topics.IMAGE, image_output_qos())
        camera_info = camera_info_topic_of(self, image_topic_of(self))
        self._camera_info_output = self.create_output(CameraInfo, camera_info, image_output_qos())
        self._result_input: Any = None
        self._listen(self.value("fps") == 0.0)

    def apply_parameters(self, values: dict[str, Any]) -> None:
        """Go on at the rate that is wanted, at once, and subscribe to results if they set the pace."""
        fps = _checked_rate(values["fps"])
        self._listen(fps == 0.0)
        self._fps = fps
        self._rate_is_new.set()

    def activate(self) -> None:
        """Start capturing."""
        self._result_is_out.set()
        super().activate()

    def deactivate(self) -> None:
        """Stop capturing."""
        self._stop.set()
        self._result_is_out.set()
        self._rate_is_new.set()
        super().deactivate()

    def release(self) -> None:
        """Close the source."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _request(self) -> CameraRequest:
        size = self.value("width"), self.value("height")
        return CameraRequest(size, max(self.value("fps"), 0.0), self.value("camera_format"))

    def _open(self, request: CameraRequest) -> FrameSource:
        self._images_in_this_round = 0  # of a video or folder; a pause does not end a round
        source = open_source(self._wanted, request)
        if self._wanted == AUTO:
            # Decided once: a clip must not take the place of a camera that was unplugged.
            self._wanted = CAMERA if source.live else SAMPLE
        return source

    def _announce(self, source: FrameSource) -> None:
        """Say where the images come from, and what is wrong with it."""
        self.activity.problem = self.activity.waiting = ""
        self.activity.details["source"] = self.activity.hardware = source.description
        self.get_logger().info(f"images from {source.description}")
        if source.notice:
            self.get_logger().warning(source.notice)
        if self._wanted == SAMPLE and self.value("source") == AUTO:
            self.activity.waiting = "no camera gave images at the start: the sample clip is shown in its place"

    def _listen(self, to_results: bool) -> None:
        """Subscribe to the results, of which only the arrival matters, or unsubscribe."""
        if not to_results and self._result_input is not None:
            self.remove_input(self._result_input)
            self._result_input = None
        elif to_results and self._result_input is None:
            message_type, topic, qos = _RESULTS[self.value("result")]
            self._result_input = self.create_input(message_type, topic, self._on_result, qos, only_arrival=True)

    def _on_result(self, _: None) -> None:
        self._result_is_out.set()

    def work(self) -> None:
        """Publish image after image, until deactivated or to the end of the source."""
        due: float | None = None
        unreadable = 0
        if self.activity.waiting == self._end:
            self.activity.waiting = ""
        while not self._stop.is_set():
            if (source := self._source) is None:
                self._look_for_source()
                due, unreadable = None, 0
                continue
            if not source.grab():
                if not self._goes_on(source):
                    return
                self._images_in_this_round = 0
                continue
            self._images_in_this_round += 1
            grabbed = self.get_clock().now()
            now = time.monotonic()
            interval, next_due = self._due(source, due, now)
            if source.live and now < next_due - 0.5 / source.rate:
                continue
            with self.activity.stage("source"):
                image = self._read(source)
            if image is None:
                unreadable += 1
                if source.live and unreadable == _MOST_UNREADABLE:
                    self._lose(source)
                continue
            unreadable = 0
            if not source.live:
                interval, next_due = self._wait(source, due, interval, next_due)
                if self._stop.is_set():
                    return
                grabbed = self._time_of(next_due) if interval > 0.0 else self.get_clock().now()
            if self._attempts:
                self._attempts = 0
                self._announce(source)
            self._publish(Header(stamp=grabbed.to_msg(), frame_id=self.value("frame_id")), image)
            due = next_due

    def _due(self, source: FrameSource, before: float | None, now: float) -> tuple[float, float]:
        """The interval before an image, s, 0 where the last result sets the pace, and when it is due.

        `before` is when the image before was due. Moments are of the monotonic clock, s.
        """
        fps = self._fps
        interval = 1.0 / fps if fps > 0.0 else 0.0
        if fps == OWN_RATE and not source.live:
            interval = source.interval
        # A late image does not make the next ones early, unless it is late by less than an interval.
        return interval, now if before is None else max(before + interval, now - interval)

    def _wait(self, source: FrameSource, before: float | None, interval: float, due: float) -> tuple[float, float]:
        """Wait until the next image is due by the clock or, without an interval, by the last result.

        Returns the interval and when the image was due, as `_due` does: a new rate holds at once.
        """
        while interval > 0.0 and (left := due - time.monotonic()) > 0.0 and not self._stop.is_set():
            if self._rate_is_new.wait(min(left, _LONGEST_WAIT)):
                self._rate_is_new.clear()
                interval, due = self._due(source, before, time.monotonic())
        if interval == 0.0:
            self._result_is_out.wait(_RESULT_TIMEOUT)
            self._result_is_out.clear()
        return interval, due

    def _time_of(self, moment: float) -> Time:
        """The node's time at a moment of the monotonic clock, s, that has just passed."""
        passed_ns = int(1e9 * (time.monotonic() - moment))
        now = self.get_clock().now()
        if self.value("use_sim_time"):
            return now  # which stands still between two ticks
        return Time(nanoseconds=max(0, now.nanoseconds - passed_ns), clock_type=now.clock_type)

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

    def _goes_on(self, source: FrameSource) -> bool:
        """Whether more is to come of a source that gave no image: it begins anew, or is waited for."""
        ended = self._images_in_this_round > 0 and not source.live
        if ended and self.value("loop") and source.rewind():
            return True
        if may_come_back(self._wanted) and not (ended and not self.value("loop")):
            self._lose(source)
            return True
        self._end = f"end of {source.description}"
        self.get_logger().info(self._end)
        self.activity.waiting = self._end
        return False

    def _lose(self, source: FrameSource) -> None:
        """Report that a camera or stream gives no images any more, and close it."""
        problem = f"{source.description} gives no images: waiting for {source_name(self._wanted)}"
        if not self._attempts:
            self.get_logger().error(problem)
        # One that opens again and gives nothing is no news.
        self.activity.problem = problem
        source.close()
        self._source = None

    def _look_for_source(self) -> None:
        """Try once, after a while, to open a camera or stream that is not there yet, or was lost."""
        doublings = min(self._attempts, _MOST_DOUBLINGS) if is_url(self._wanted) else 0
        if self._stop.wait(_REOPEN_PERIOD * 2**doublings):
            return
        self._attempts += 1
        try:
            self._source = self._open(self._request())
        except Face3DMMError as error:
            if self.activity.waiting:
                self.activity.waiting = str(error)
            else:
                self.activity.problem = str(error)

    def _publish(self, header: Header, image: NDArray[np.uint8]) -> None:
        height, width = image.shape[:2]
        self._camera_info_output.publish(self._describe(header, width, height))
        publish_image(self._images_output, self._conversion, header, image)
        self.answered(header, 0)

    def _describe(self, header: Header, width: int, height: int) -> CameraInfo:
        """The camera_info; its K is zero, for uncalibrated, also where the calibration is for another shape."""
        if self._calibration is not None:
            try:
                return calibration_to_message(header, self._calibration.of((width, height)))
            except Face3DMMError as error:
                self.activity.problem = f"calibration_file is not used: {error}"
        return CameraInfo(header=header, width=width, height=height)


def _checked_rate(fps: float) -> float:
    """A rate that can be, images per second.

    Raises:
        Face3DMMError: it cannot be.
    """
    if fps in (OWN_RATE, 0.0) or fps >= _LOWEST_RATE:
        return fps
    raise Face3DMMError(f"fps is -1, 0, or {_LOWEST_RATE} and more, not {fps:g}")


def main(args: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(VideoSourceNode, args)
