"""What runs nodes that are composed: one thread for all their callbacks, which others can give work at once."""

import threading
import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

import rclpy
from rclpy.node import Node
from std_msgs.msg import Header

from face3dmm_ros.nodes.hand_over import Taker
from face3dmm_ros.nodes.prompt_executor import PromptExecutor

_PATIENCE = 20.0
"""s for what takes milliseconds."""


@pytest.fixture
def spinning():
    """A node whose executor spins in a thread, and what ended that."""
    rclpy.init()
    node, executor, ends = Node("prompt"), PromptExecutor(), []
    executor.add_node(node)

    def spin():
        try:
            executor.spin()
            ends.append(None)
        except Exception as error:
            ends.append(error)

    thread = threading.Thread(target=spin)
    thread.start()
    yield node, executor, thread, ends
    executor.shutdown()
    thread.join(_PATIENCE)
    node.destroy_node()
    rclpy.try_shutdown()
    assert not thread.is_alive()


def test_work_from_other_threads_and_ros_callbacks_run_in_the_thread_that_spins(spinning):
    node, executor, thread, _ = spinning
    ran, both = set(), threading.Barrier(2 + 1)

    def note(name):
        if name not in ran:
            ran.add(name)
            assert threading.current_thread() is thread
            pool.append(threading.Thread(target=both.wait, args=(_PATIENCE,)))
            pool[-1].start()

    pool = []
    executor.call(lambda: note("call"))
    node.create_timer(0.01, lambda: note("timer"))
    both.wait(_PATIENCE)
    assert ran == {"call", "timer"}


def test_what_work_leads_to_in_its_own_thread_comes_before_what_waits(spinning):
    _, executor, _, _ = spinning
    order, done, may_begin = [], threading.Event(), threading.Event()

    def first():
        may_begin.wait(_PATIENCE)
        order.append("first")
        executor.call(lambda: order.append("what it leads to"))

    executor.call(first)
    executor.call(lambda: (order.append("second"), done.set()))
    may_begin.set()
    assert done.wait(_PATIENCE)
    assert order == ["first", "what it leads to", "second"]


@pytest.mark.parametrize("in_a_timer", [False, True])
def test_what_a_callback_raises_ends_the_spinning(spinning, in_a_timer):
    node, executor, thread, ends = spinning

    def fail():
        raise ValueError("broken")

    if in_a_timer:
        node.create_timer(0.01, fail)
    else:
        executor.call(fail)
    thread.join(_PATIENCE)
    assert [str(error) for error in ends] == ["broken"]


def test_the_end_of_ros_ends_the_spinning(spinning):
    _, _, thread, ends = spinning
    rclpy.shutdown()
    thread.join(_PATIENCE)
    assert ends == [None]


class Message:
    header = Header()


def test_who_hands_over_can_wait_until_the_node_in_the_other_thread_has_taken_it(spinning):
    node, _, _, _ = spinning
    taken = []

    def wake():
        time.sleep(0.1)
        taken.extend(taker.take()[0])

    taker, message = Taker(node, "/topic", wake), Message()
    taker.put(message)
    taker.await_taken(_PATIENCE)
    assert taken == [message]


def test_in_its_own_thread_nobody_waits_for_what_only_that_thread_can_take(spinning):
    node, executor, _, _ = spinning
    done = threading.Event()
    taker = Taker(node, "/topic", lambda: None)

    def work():
        taker.put(Message())
        taker.await_taken(10 * _PATIENCE)
        done.set()

    executor.call(work)
    assert done.wait(_PATIENCE)
