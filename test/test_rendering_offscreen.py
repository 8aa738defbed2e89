import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.rendering import offscreen

DRAWS_A_TRIANGLE = """
import sys
import numpy as np
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace

corners = np.float32([[0, 0, 0], [20, 0, 0], [0, -20, 0]])
colors = np.full((3, 3), 200, np.uint8)
face = PosedFace(corners, np.float32([[0, 0, 1]] * 3), colors, WeakPerspective(1.0, FRONTAL, np.array([5.0, 5.0])))
with FaceRenderer(np.array([[0, 2, 1]]), platform=sys.argv[1]) as renderer:
    print(renderer.platform, int((renderer.render((32, 32), [face])[..., 3] > 0).sum()))
"""


def draw_in_a_process(platform: str, environment: dict[str, str], *wrapper: str) -> str:
    """Draw 200 square pixels on a platform; what the program prints."""
    command = [*wrapper, sys.executable, "-c", DRAWS_A_TRIANGLE, platform]
    python_path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": python_path, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False).stdout


@pytest.fixture
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if PyOpenGL were not imported yet, and the environment asked for nothing."""
    monkeypatch.setattr(offscreen, "_loaded_platform", lambda: None)
    monkeypatch.delenv(offscreen.PLATFORM_VARIABLE, raising=False)


@pytest.mark.parametrize("platform", ["egl", "osmesa"])
def test_each_platform_draws(platform: str) -> None:
    if (failure := offscreen.probe(platform)) is not None:
        pytest.skip(f"no {platform} here: {failure}")
    name, pixels = draw_in_a_process(platform, {}).split()
    assert name == platform
    assert 150 < int(pixels) < 260


def test_glx_draws_on_a_display() -> None:
    wrapper = () if os.environ.get("DISPLAY") else ("xvfb-run", "-a")
    if wrapper and shutil.which(wrapper[0]) is None:
        pytest.skip("no X display, and no xvfb-run to make one")
    try:
        ctypes.CDLL("libGL.so.1")
    except OSError as error:
        pytest.skip(str(error))
    name, pixels = draw_in_a_process("glx", {}, *wrapper).split()
    assert name == "glx"
    assert 150 < int(pixels) < 260


def test_the_environment_says_what_auto_means() -> None:
    if (failure := offscreen.probe("osmesa")) is not None:
        pytest.skip(f"no osmesa here: {failure}")
    assert draw_in_a_process("auto", {offscreen.PLATFORM_VARIABLE: "osmesa"}).split()[0] == "osmesa"


def test_who_can_do_without_opengl_does_so_where_there_is_no_graphics_processor(
    fresh_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offscreen, "has_graphics_processor", lambda: False)
    assert offscreen.open_context(software=True).platform == offscreen.SOFTWARE


def test_mesas_software_opengl_is_left_alone_by_who_can_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(offscreen.PLATFORM_VARIABLE, raising=False)
    monkeypatch.setattr(offscreen, "has_graphics_processor", lambda: True)
    try:
        with offscreen.open_context().current():
            from OpenGL import GL

            renderer = GL.glGetString(GL.GL_RENDERER).decode().lower()
    except Face3DMMError as error:
        pytest.skip(f"no OpenGL here: {error}")
    on_processor = not any(name in renderer for name in ("llvmpipe", "softpipe", "swrast"))
    assert (offscreen.open_context(software=True).platform != offscreen.SOFTWARE) == on_processor


def test_a_graphics_processor_without_opengl_is_no_trouble_for_who_can_do_without(
    fresh_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offscreen, "has_graphics_processor", lambda: True)
    monkeypatch.setattr(offscreen, "probe", lambda platform: "no driver")
    assert offscreen.open_context(software=True).platform == offscreen.SOFTWARE


def test_the_environment_may_ask_for_no_opengl_and_who_needs_it_takes_what_there_is(
    fresh_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(offscreen.PLATFORM_VARIABLE, offscreen.SOFTWARE)
    monkeypatch.setattr(offscreen, "has_graphics_processor", lambda: True)
    monkeypatch.setattr(offscreen, "probe", lambda platform: f"no {platform}")
    assert offscreen.open_context(software=True).platform == offscreen.SOFTWARE
    with pytest.raises(Face3DMMError, match="egl: no egl; osmesa: no osmesa; glx: no glx"):
        offscreen.open_context()


def test_nothing_is_tried_ahead_where_opengl_will_not_be_asked_for(
    fresh_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    monkeypatch.setattr(offscreen, "has_graphics_processor", lambda: False)
    monkeypatch.setattr(offscreen, "probe", tried.append)
    offscreen.probe_ahead(software=True)
    time.sleep(0.05)
    assert not tried


def test_auto_takes_the_first_platform_that_works(fresh_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offscreen, "probe", lambda platform: "no driver" if platform == "egl" else None)
    assert offscreen.choose_platform(offscreen.PLATFORMS) == "osmesa"


@pytest.mark.parametrize(
    ("platform", "libraries", "drivers", "advice"),
    [
        ("auto", (), (), "apt-get install libegl1 libgl1 libgl1-mesa-dri"),
        ("auto", ("EGL", "GL"), (), "apt-get install libgl1-mesa-dri"),
        ("auto", ("EGL", "GL"), ("/usr/lib/dri/swrast_dri.so",), "apt-get install libosmesa6"),
        ("osmesa", ("EGL", "GL"), (), "apt-get install libosmesa6"),
    ],
)
def test_without_any_platform_the_error_says_why_and_names_the_packages_that_are_missing(
    fresh_process: None, monkeypatch: pytest.MonkeyPatch, platform: str, libraries: tuple, drivers: tuple, advice: str
) -> None:
    monkeypatch.setattr(offscreen, "probe", lambda platform: f"no {platform}")
    monkeypatch.setattr(offscreen, "find_library", lambda name: name if name in libraries else None)
    monkeypatch.setattr(offscreen.Path, "glob", lambda *_: iter(drivers))
    with pytest.raises(Face3DMMError) as caught:
        offscreen.open_context(platform)
    message = str(caught.value)
    assert message.endswith(advice)
    for candidate in offscreen.PLATFORMS if platform == "auto" else (platform,):
        assert f"no {candidate}" in message


def test_where_nothing_is_missing_the_error_advises_to_install_nothing(
    fresh_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offscreen, "probe", lambda platform: "timed out")
    monkeypatch.setattr(offscreen, "find_library", lambda name: name)
    monkeypatch.setattr(offscreen.Path, "glob", lambda *_: iter(("/usr/lib/dri/swrast_dri.so",)))
    with pytest.raises(Face3DMMError, match=r"works here \(egl: timed out; .*\)$"):
        offscreen.open_context()


def test_a_platform_that_was_asked_for_is_not_replaced(fresh_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offscreen, "probe", lambda platform: "no driver" if platform == "osmesa" else None)
    with pytest.raises(Face3DMMError, match="osmesa: no driver"):
        offscreen.open_context("osmesa")


def test_an_unknown_platform_is_refused(fresh_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Face3DMMError, match=r"'wgl'.*egl, osmesa, glx"):
        offscreen.open_context("wgl")
    monkeypatch.setenv(offscreen.PLATFORM_VARIABLE, "vulkan")
    with pytest.raises(Face3DMMError, match="'vulkan'"):
        offscreen.open_context("auto")


def test_a_process_that_uses_pyopengl_already_keeps_its_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offscreen, "_loaded_platform", lambda: "glx")
    with pytest.raises(Face3DMMError, match="already uses PyOpenGL on glx"):
        offscreen.choose_platform(("egl",))


def test_a_driver_that_crashes_takes_only_its_own_process_along(monkeypatch: pytest.MonkeyPatch) -> None:
    crashing = "#!/bin/sh\nkill -SEGV $$\n"
    monkeypatch.setattr(offscreen.subprocess, "run", _run_instead(crashing))
    assert "ended its process" in (offscreen._probe.__wrapped__("egl") or "")


def test_a_driver_that_hangs_is_given_up_in_plain_words_and_that_is_not_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offscreen._probe.cache_clear()
    with monkeypatch.context() as hanging:
        hanging.setattr(offscreen, "PROBE_TIMEOUT_SECONDS", 0.2)
        hanging.setattr(offscreen.subprocess, "run", _run_instead("#!/bin/sh\nexec sleep 30\n"))
        failure = offscreen.probe("egl") or ""
    assert failure.startswith("timed out")
    assert "import" not in failure
    monkeypatch.setattr(offscreen.subprocess, "run", _run_instead("#!/bin/sh\ntrue\n"))
    assert offscreen.probe("egl") is None
    offscreen._probe.cache_clear()


def test_a_machine_that_was_too_busy_once_is_asked_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(offscreen, "PROBE_TIMEOUT_SECONDS", 2.0)
    second_time_at_once = f"#!/bin/sh\ntest -e {tmp_path}/asked || {{ touch {tmp_path}/asked; exec sleep 30; }}\n"
    monkeypatch.setattr(offscreen.subprocess, "run", _run_instead(second_time_at_once))
    assert offscreen._probe.__wrapped__("egl") is None


def test_a_busy_machine_has_a_minute() -> None:
    assert offscreen.PROBE_TIMEOUT_SECONDS >= 60.0


def test_the_renderer_imports_without_opengl() -> None:
    program = "import sys, face3dmm_ros.rendering.face_renderer; sys.exit('OpenGL' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == 0


def _run_instead(script: str) -> Callable[..., subprocess.CompletedProcess]:
    """`subprocess.run` that runs a shell script whatever it is told to run."""
    real_run = subprocess.run
    return lambda _command, **options: real_run(["/bin/sh", "-c", script], **options)


def test_a_platform_that_is_being_tried_ahead_is_waited_for_and_not_tried_again(monkeypatch):
    tried = []

    def try_slowly(program):
        tried.append(program)
        time.sleep(0.3)
        return subprocess.CompletedProcess([], 0)

    offscreen._probe.cache_clear()
    monkeypatch.delenv(offscreen.PLATFORM_VARIABLE, raising=False)
    monkeypatch.setattr(offscreen, "_run", try_slowly)
    offscreen.probe_ahead()
    time.sleep(0.05)
    assert offscreen.probe(offscreen.PLATFORMS[0]) is None
    assert len(tried) == 1
    offscreen._probe.cache_clear()
