"""What runs nodes that are composed: one thread for all their callbacks, which others can give work at once."""

import threading
import time
from functools import partial

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from face3dmm_ros.nodes.guard import EndOfNodeError
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


def fail():
    raise ValueError("broken")


def test_what_work_raises_ends_the_spinning(spinning):
    _, executor, thread, ends = spinning
    executor.call(fail)
    thread.join(_PATIENCE)
    assert [str(error) for error in ends] == ["broken"]


def test_what_a_callback_raises_is_logged_and_the_others_go_on(spinning, capfd):
    node, _, thread, _ = spinning
    failed, went_on = threading.Event(), threading.Event()

    def fail_first():
        first.cancel()
        failed.set()
        fail()

    first = node.create_timer(0.01, fail_first)
    node.create_timer(0.01, lambda: failed.is_set() and went_on.set())
    assert went_on.wait(_PATIENCE)
    assert thread.is_alive()
    assert "ValueError('broken')" in capfd.readouterr().err


def test_what_ends_a_node_ends_the_spinning_from_a_callback_too(spinning):
    node, _, thread, ends = spinning

    def end():
        raise EndOfNodeError("that was all")

    node.create_timer(0.01, end)
    thread.join(_PATIENCE)
    assert [str(error) for error in ends] == ["that was all"]


def test_a_request_is_answered_while_no_end_of_work_waits_that_was_handed_over(spinning):
    node, executor, _, _ = spinning
    context = Context()
    rclpy.init(context=context)
    asker, asking, over = Node("asker", context=context), SingleThreadedExecutor(context=context), threading.Event()
    asking.add_node(asker)
    node.create_service(Trigger, "/request", lambda request, response: response)
    client = asker.create_client(Trigger, "/request")
    assert client.wait_for_service(_PATIENCE)
    ran = []

    def work():
        if not over.is_set():
            ran.append(time.sleep(0.01))

    try:
        for _ in range(10_000):  # more than are done before a test is given up
            executor.call(work)
        future = client.call_async(Trigger.Request())
        asking.spin_until_future_complete(future, _PATIENCE)
        assert future.done()
        asking.spin_until_future_complete(client.call_async(Trigger.Request()), _PATIENCE)
        assert ran, "the work has its turns, too"
    finally:
        over.set()
        asking.shutdown()
        asker.destroy_node()
        context.shutdown()


def test_work_that_is_handed_over_keeps_its_order(spinning):
    node, executor, _, _ = spinning
    order, done = [], threading.Event()
    node.create_timer(0.001, lambda: None)
    for number in range(500):
        executor.call(partial(order.append, number))
    executor.call(done.set)
    assert done.wait(_PATIENCE)
    assert order == list(range(500))


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
