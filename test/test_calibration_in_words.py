"""Calibration during `face3dmm live`: its words, its countdown, and the key."""

import argparse
import os
import pty
import sys
import termios
import threading

import pytest

from face3dmm_ros.cli import calibration
from face3dmm_ros.cli.calibration import Calibration, Keys
from face3dmm_ros.cli.live import add_arguments
from face3dmm_ros.cli.live import run as run_live
from face3dmm_ros.core.errors import Face3DMMError


class Run:
    """A live run that calibrates at once."""

    def __init__(self):
        self.asked, self.calibrated = 0, ""

    def calibrate(self):
        self.asked += 1
        return "keep a neutral face for 1 s"


def test_calibration_waits_for_a_face_counts_down_and_says_what_came_of_it():
    run, said = Run(), []
    calibrating = Calibration(run, said.append)
    calibrating.look(1, 0.0)
    calibrating.ask()
    for time in range(5):
        calibrating.look(0, float(time))
    assert said == ["calibration: look into the camera with a relaxed face"]
    for half_seconds in range(10):
        calibrating.look(1, 10.0 + 0.5 * half_seconds)
    counted = [f"calibration in {k} …" for k in (3, 2, 1)]
    assert said[1:] == [*counted, "keep a neutral face for 1 s"]
    assert run.asked == 1
    run.calibrated = "calibration 1, face 0: you seem to smile"
    for time in range(3):
        calibrating.look(1, 20.0 + time)
    assert said[5:] == [run.calibrated]


def test_calibration_can_be_asked_for_again_while_it_counts_down():
    run, said = Run(), []
    calibrating = Calibration(run, said.append)
    calibrating.ask()
    calibrating.look(1, 0.0)
    calibrating.look(1, 2.0)
    calibrating.ask()
    for time in range(3, 10):
        calibrating.look(1, float(time))
    assert said.count("calibration in 3 …") == 2
    assert run.asked == 1


@pytest.fixture
def terminal(monkeypatch):
    """The other end of a terminal that is standard input and has this process in its foreground."""
    ours, theirs = pty.openpty()
    with open(theirs, closefd=False) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(calibration.os, "tcgetpgrp", lambda _: os.getpgrp())
        yield ours, theirs
    os.close(ours)
    os.close(theirs)


def test_a_key_is_heard_without_enter_and_the_terminal_is_as_before_afterwards(terminal):
    ours, theirs = terminal
    before = termios.tcgetattr(theirs)
    with Keys() as keys:
        assert keys.available
        assert keys.pressed() == ""
        os.write(ours, b"c")
        calibration.select.select([theirs], [], [], 10.0)
        assert keys.pressed() == "c"
        assert termios.tcgetattr(theirs) != before
    assert termios.tcgetattr(theirs) == before


def test_the_terminal_is_as_before_after_an_error_too(terminal):
    before = termios.tcgetattr(terminal[1])
    with pytest.raises(Face3DMMError), Keys():
        raise Face3DMMError("a node died")
    assert termios.tcgetattr(terminal[1]) == before


def test_a_terminal_that_listens_to_another_job_is_left_alone(terminal, monkeypatch):
    monkeypatch.setattr(calibration.os, "tcgetpgrp", lambda _: os.getpgrp() + 1)
    with Keys() as keys:
        assert not keys.available
        assert keys.pressed() == ""


def test_input_that_is_no_terminal_is_not_read(tmp_path, monkeypatch):
    file = tmp_path / "input"
    file.write_text("c\n")
    with file.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with Keys() as keys:
            assert keys.pressed() == ""
        assert stdin.read() == "c\n"
    monkeypatch.setattr(sys, "stdin", None)
    with Keys() as keys:
        assert not keys.available


def live_arguments(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--calibrate"], "--calibrate is for an avatar"),
        (["--profile", "ann"], "--profile is for an avatar"),
        (["--gain", "2"], "--gain is for an avatar"),
        (["--avatar-height", "480"], "--avatar-height is for an avatar"),
        (["--avatar", "head", "--profile", "../ann"], "a profile's name has"),
        (["--avatar", "head", "--profile", "bob"], "is no profile of a face"),
    ],
)
def test_options_of_an_avatar_that_cannot_be_are_refused_before_the_nodes_start(tmp_path, monkeypatch, words, reason):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "face3dmm_ros" / "profiles" / "bob.json"
    file.parent.mkdir(parents=True)
    file.write_text("[]")
    with pytest.raises(Face3DMMError, match=reason):
        run_live(live_arguments(*words))


@pytest.mark.parametrize(
    "words",
    [["--avatar-height", "2161"], ["--gain", "11"], ["--gain", "nan"], ["--dead-zone", "1"], ["--dead-zone", "x"]],
)
def test_gains_and_dead_zones_out_of_range_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        live_arguments(*words)
    assert "0 and" in capsys.readouterr().err or words[1] == "x"


def test_what_is_for_the_avatar_becomes_its_nodes_parameters():
    pytest.importorskip("rclpy", reason="needs ROS 2")
    pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")
    from face3dmm_ros.cli.live import _options

    words = ("--gain", "2", "--dead-zone", "0.1", "--profile", "ann", "--avatar-height", "480")
    parameters = _options(live_arguments("--avatar", "head", *words)).parameters["avatar_node"]
    expected = {"gain": 2.0, "dead_zone": 0.1, "profile": "ann", "height": 480}
    assert {name: parameters[name] for name in expected} == expected
    assert "gain" not in _options(live_arguments("--avatar", "head")).parameters["avatar_node"]


def test_a_live_run_has_the_avatar_node_calibrate_and_hears_what_it_answers(spun):
    from std_srvs.srv import Trigger

    from face3dmm_ros.live.monitor_node import MonitorNode

    def answer(_, response):
        response.success, response.message = True, "keep a neutral face for 1 s"
        return response

    spun.node.create_service(Trigger, "/avatar_node/calibrate", answer)
    monitor = spun.add(MonitorNode(["avatar_node"], "video_source_node", context=spun.context))
    heard = []
    asking = threading.Thread(target=lambda: heard.append(monitor.calibrate("avatar_node").message))
    asking.start()
    spun.spin_until(lambda: not asking.is_alive(), "the answer")
    assert heard == ["keep a neutral face for 1 s"]
