"""A recorded bag in; its images out, each once all results of the image before it have come."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from face3dmm_ros.bags.reader import BagReader, RecordedImage
from face3dmm_ros.bags.writer import remove_bag
from face3dmm_ros.core import topics
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.user_path import user_path
from face3dmm_ros.live.recording import IMAGE_RECORDINGS, Recording, Topic
from face3dmm_ros.msg import Face3DMMParamsArray, FaceLandmarksArray, FaceTopology
from face3dmm_ros.nodes.camera_input import camera_info_topic_of, image_topic_of, is_rectified_topic
from face3dmm_ros.nodes.diagnostics import Statuses
from face3dmm_ros.nodes.guard import EndOfNodeError, summary
from face3dmm_ros.nodes.images import serialized_image
from face3dmm_ros.nodes.lifecycle_node import run_node
from face3dmm_ros.nodes.parameters import NodeParameter, fixed
from face3dmm_ros.nodes.qos import image_output_qos, latched_qos, result_qos
from face3dmm_ros.nodes.synchronization import Stamp, serialized_stamp
from face3dmm_ros.nodes.threaded_node import ThreadedNode

_DEPTH = 300
"""Of the queues of results; chosen by hand, more than an image can have."""
_LOOK_PERIOD = 0.05
"""s between two looks at whether to go on; chosen by hand: the least that an end of the bag or a stop waits."""


class ReplayNode(ThreadedNode):
    """Publishes a bag's images, each with its recorded header and after all results of the one before it.

    So every image is processed once and in order, however slow the machine is. The results can be recorded: a bag and
    a video in the folder `out`. All other nodes must take images reliably (`reliable_images`).

    Attributes:
        ended: whether the whole bag has been replayed, or the replay failed.
    """

    NAME = "replay_node"
    PARAMETERS = (
        fixed("bag", "", "The rosbag2 to replay: a folder, or a .mcap or .db3 file."),
        fixed("bag_image_topic", "", "The images' topic in the bag; empty: the camera's, or the only one."),
        fixed("out", "", "Folder to record the results into; empty: no recording."),
        fixed("record_images", "none", "How images go into the recording.", choices=IMAGE_RECORDINGS),
        NodeParameter(
            "rate", 0.0, "Not faster than this many times the recorded speed; 0: as fast as results come.", 0.0, 1000.0
        ),
        fixed("overlay", False, "Wait for the overlay too, and record it."),
        NodeParameter("timeout", 60.0, "Seconds to wait for the nodes, or for an image's results.", 0.1, 86_400.0),
    )

    def __init__(self, on_end: Callable[[], object] = lambda: None, **options: Any) -> None:
        """A node that has yet to open its bag; `on_end` is called once all of it has been replayed."""
        self._on_end = on_end
        self._reader: BagReader | None = None
        self._recording: Recording | None = None
        self._news = threading.Condition()
        self.ended = False
        super().__init__(**options)
        self._end_timer = self.create_timer(_LOOK_PERIOD, self._look_for_the_end)

    def configure(self) -> None:
        """Open the bag, and a recording if one is wanted."""
        if not self.value("bag"):
            raise Face3DMMError("name the rosbag2 to replay: the parameter `bag` is empty")
        self.ended = False
        self._reader = BagReader(user_path(self.value("bag")))
        if self._reader.notice:
            self.get_logger().warning(self._reader.notice)
        self._bag_topic = self._reader.image_topic(self.value("bag_image_topic") or None)
        self._camera_infos = self._reader.camera_infos(self._bag_topic)
        if self._camera_infos and is_rectified_topic(self._bag_topic.removesuffix(topics.COMPRESSED)):
            self.get_logger().warning(f"{self._bag_topic} is rectified, by its name: fitter_node needs rectified:=true")
        self._present: Stamp | None = None
        self._time_ns = 0
        self._arrived: Counter[str] = Counter()
        self._expected = [topics.LANDMARKS, topics.PARAMETERS, topics.POSES]
        self._expected += [topics.OVERLAY] * int(self.value("overlay"))
        self._faces = 0
        self._statuses = Statuses()
        self._trouble = ""
        self._images_output = self.create_output(Image, topics.IMAGE, image_output_qos())
        camera_info = camera_info_topic_of(self, image_topic_of(self))
        self._camera_info_output = self.create_output(CameraInfo, camera_info, image_output_qos())
        self.create_input(DiagnosticArray, "/diagnostics", self._statuses.take, result_qos(_DEPTH))
        inputs = [
            self._listen(FaceLandmarksArray, topics.LANDMARKS),
            self._listen(Face3DMMParamsArray, topics.PARAMETERS),
            self._listen(PoseArray, topics.POSES),
            self._listen(FaceTopology, topics.TOPOLOGY),
        ]
        if self.value("overlay"):
            inputs.append(self._listen(Image, topics.OVERLAY))
        if self.value("out"):
            images = Topic(self.resolve_topic_name(topics.IMAGE), "sensor_msgs/msg/Image", image_output_qos())
            self._recording = self._record([images, *inputs])
        self._end_timer.reset()

    def release(self) -> None:
        """Close the bag and finish the recording."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._recording is not None:
            recording, self._recording = self._recording, None
            recording.close()

    def _record(self, recorded: list[Topic]) -> Recording:
        out = user_path(self.value("out"))
        remove_bag(out / "bag")
        return Recording(
            out,
            recorded,
            images=self.value("record_images"),
            videos={self.resolve_topic_name(topics.OVERLAY): "overlay.mp4"},
        )

    def _listen(self, message_type: type, topic: str) -> Topic:
        """Subscribe to a topic, serialized, for the stamps and for the recording."""
        qos = latched_qos() if topic == topics.TOPOLOGY else result_qos(_DEPTH)
        qos = self.image_qos() if message_type is Image else qos

        def take(message: bytes) -> None:
            if self._recording is not None:
                self._recording.write(name, self._time_ns, message)
            if topic != topics.TOPOLOGY:
                self._count(topic, message)

        name = self.create_input(message_type, topic, take, qos, raw=True).topic_name
        package = message_type.__module__.partition(".")[0]
        return Topic(name, f"{package}/msg/{message_type.__name__}", qos)

    def _count(self, topic: str, message: bytes) -> None:
        """Count a result of the present image."""
        with self._news:
            if serialized_stamp(message) != self._present:
                return
            self._arrived[topic] += 1
            if topic == topics.PARAMETERS:
                self._faces = len(deserialize_message(message, Face3DMMParamsArray).faces)
            self._news.notify_all()

    def work(self) -> None:
        """Publish image after image, from the first, until deactivated or to the end of the bag."""
        assert self._reader is not None
        try:
            self._wait_until(self._connected, "the nodes that answer images are not there, or not active")
            start: float | None = None
            count = 0
            for recorded in self._reader.images(self._bag_topic):
                if self._stop.is_set():
                    return
                start = self._keep_pace(recorded, start)
                count += self._publish(recorded)
            if not self._stop.is_set():
                self._sum_up(count)
                self.ended = True
        except Face3DMMError as error:
            self._trouble, self.ended = str(error), True
        except Exception as error:
            # Begun anew, the replay would record twice what it has recorded.
            self._trouble, self.ended = f"the replay was broken off by {type(error).__name__}: {error}", True

    def _keep_pace(self, recorded: RecordedImage, start: float | None) -> float:
        """Wait until an image is due; returns the time on the monotonic clock, s, of time 0 in the bag.

        `start` is what the call for the image before returned; None for the first image.
        """
        while True:
            rate = self.value("rate")
            seconds = 1e-9 * recorded.time_ns / rate if rate > 0.0 else 0.0
            if start is None or rate == 0.0:
                return time.monotonic() - seconds
            # For a while only: the rate may change meanwhile, and one near 0 asks for more than any system waits.
            left = start + seconds - time.monotonic()
            if left <= 0.0 or self._stop.wait(min(left, _LOOK_PERIOD)):
                return start

    def _publish(self, recorded: RecordedImage) -> bool:
        """Publish an image and wait for its results; False, and reported, if it cannot be read."""
        try:
            with self.activity.stage("source"):
                image = recorded.pixels()
        except Face3DMMError as error:
            self.report_skipped(str(error))
            return False
        seconds, nanoseconds = divmod(recorded.stamp_ns, 1_000_000_000)
        header = Header(frame_id=recorded.frame_id)
        header.stamp.sec, header.stamp.nanosec = seconds, nanoseconds
        with self._news:
            self._present, self._time_ns = (seconds, nanoseconds), recorded.time_ns
            self._arrived.clear()
        message = serialized_image(image, header)
        if self._recording is not None and self.value("record_images") != "none":
            self._recording.write(self.resolve_topic_name(topics.IMAGE), recorded.time_ns, message)
        if recorded.stamp_ns in self._camera_infos:
            self._camera_info_output.publish(self._camera_infos[recorded.stamp_ns])
        self._image_clock.time_of(recorded.stamp_ns, recorded.time_ns)
        remedy = "nodes take when images reach them for their time, so replay at rate 1"
        self.warn_about_stamps(self._image_clock.problem, remedy)
        self._images_output.publish(message)
        self._wait_until(self._is_answered, f"no answer to the image of {seconds}.{nanoseconds:09d}")
        self.answered(header, self._faces)
        return True

    def _is_answered(self) -> bool:
        return all(self._arrived[topic] for topic in self._expected)

    def _wait_until(self, condition: Callable[[], bool], otherwise: str) -> None:
        """Wait for a condition, or for the node to be deactivated.

        Raises:
            Face3DMMError: the recording failed, or the condition is not met after the parameter `timeout`.
        """
        deadline = time.monotonic() + self.value("timeout")
        with self._news:
            while not condition() and not self._stop.is_set():
                if self._recording is not None and self._recording.failure:
                    raise Face3DMMError(self._recording.failure)
                if time.monotonic() > deadline:
                    came = ", ".join(f"{count} on {topic}" for topic, count in self._arrived.items()) or "nothing"
                    raise Face3DMMError(f"{otherwise}, after {self.value('timeout'):.0f} s ({came} came)")
                self._news.wait(_LOOK_PERIOD)

    def _connected(self) -> bool:
        """Whether every node reports that its subscribers are there, so that not even the first image is lost.

        Raises:
            Face3DMMError: another node publishes images too.
        """
        if self.count_publishers(self.resolve_topic_name(topics.IMAGE)) > 1:
            raise Face3DMMError(f"somebody else publishes on {self.resolve_topic_name(topics.IMAGE)}: stop it first")
        drawn = int(self.value("overlay"))
        links = [
            ("landmark_node", topics.LANDMARKS, 2),
            ("fitter_node", topics.PARAMETERS, 1 + drawn),
            ("fitter_node", topics.POSES, 1),
        ]
        links += [("renderer_node", topics.OVERLAY, 1)] * drawn
        namespace = self.get_namespace().strip("/")
        for node, topic, least in links:
            seen = self._statuses.subscribers(f"{namespace}/{node}".strip("/"), topic)
            if seen < max(least, self.count_subscribers(self.resolve_topic_name(topic))):
                return False
        # The fitter listens to images too where its method looks at them.
        listeners = max(1 + drawn, self.count_subscribers(self.resolve_topic_name(topics.IMAGE)))
        return self._images_output.subscribers >= listeners and (
            not self._camera_infos or self._camera_info_output.subscribers >= 1
        )

    def _sum_up(self, count: int) -> None:
        """Log how many images there were.

        Raises:
            Face3DMMError: none of the images could be read.
        """
        if count == 0:
            raise Face3DMMError(f"none of the images on {self._bag_topic} can be read: {self.activity.skip_reason}")
        self.get_logger().info(f"end of {self.value('bag')}: {count} images, {self.activity.skipped} skipped")

    def _look_for_the_end(self) -> None:
        """End the replay in the executor's thread, where an exception ends the process.

        Raises:
            EndOfNodeError: the replay or the recording failed; the message says why.
        """
        if not self.ended:
            return
        self._end_timer.cancel()
        try:
            self._finish()
        except Exception as error:
            raise EndOfNodeError(f"{self.get_name()}: {summary(error)}") from error
        self._on_end()

    def _finish(self) -> None:
        """Stop, and finish the recording.

        Raises:
            Face3DMMError: the replay or the recording failed; the message says why.
        """
        recording = self._recording
        self._pause()
        self.release()
        trouble = self._trouble
        if recording is not None and not trouble:
            lost = recording.lost.total()
            trouble = recording.failure or (f"{lost} messages were not recorded" if lost else "")
        if trouble:
            raise Face3DMMError(trouble)


def main(args: list[str] | None = None) -> int:
    """Run the node, to the end of the bag."""
    return run_node(partial(ReplayNode, on_end=rclpy.try_shutdown), args)


if __name__ == "__main__":
    sys.exit(main())
