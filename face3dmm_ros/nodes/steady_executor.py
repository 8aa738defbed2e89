"""An executor that goes on after a callback that failed."""

from typing import Any

from rclpy.executors import ShutdownException, SingleThreadedExecutor
from rclpy.task import Task

from face3dmm_ros.nodes.guard import ENDS


class SteadyExecutor(SingleThreadedExecutor):
    """Runs callbacks in the thread that spins, and ends by none of `Exception` but those of `ENDS`.

    `FaceNode` guards its callbacks itself, where more is known of them. What gets here is what rclpy does around them,
    such as to send an answer.
    """

    # What rclpy's `__del__` asks for is not there yet where Ctrl-C comes while an executor is being made.
    _sigint_gc: Any = None

    def spin(self) -> None:
        """Run callbacks until the executor is shut down; ExternalShutdownException at the end of ROS."""
        try:
            while True:
                callback, _, node = self.wait_for_ready_callbacks()
                self.run(callback, node)
        except ShutdownException:
            pass

    def run(self, callback: Task, node: Any) -> None:
        """Run one of rclpy's callbacks, of a node; an error is the node's to report.

        Raises:
            Exception: one of `ENDS`, one of no node, or anything once ROS has ended.
        """
        try:
            callback()
            callback.result()
        except ENDS:
            raise
        except Exception as error:
            if node is None or not self.context.ok():
                raise
            if hasattr(node, "report_failure"):
                node.report_failure("a callback", error)
            else:
                node.get_logger().error(f"a callback failed: {error!r}")
