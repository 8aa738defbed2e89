"""Rerun, which is optional: its library, and the process that serves the viewer's page or opens its window."""

import contextlib
import importlib.resources
import importlib.util
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from face3dmm_ros.core.child_process import end_with_parent
from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError

VERSION = "0.31.4"
"""Of rerun-sdk, as setup.cfg has it."""

WEB_PORT, GRPC_PORT = 9090, 9876
"""Rerun's own defaults."""
_LOOPBACK = "127.0.0.1"
# Seconds, chosen by hand: a slow machine has time to start it, and a hanging process is not waited for.
_START_TIMEOUT, _STOP_TIMEOUT = 20.0, 5.0


def require_rerun() -> None:
    """Check that Rerun is installed.

    Raises:
        Face3DMMError: Rerun is not installed.
    """
    if importlib.util.find_spec("rerun") is None or importlib.util.find_spec("rerun_cli") is None:
        raise Face3DMMError(
            f"the viewer needs Rerun, which is not there: `make viewer`, or pip install 'rerun-sdk=={VERSION}'"
        )


def recording_stream() -> Any:
    """A `rerun.RecordingStream`, to be connected to a viewer or a file."""
    import rerun

    return rerun.RecordingStream("face3dmm")


class RerunProgram(Closing):
    """Rerun's program in a process of its own, which keeps and shows what is logged to `address`; a context manager.

    Nothing leaves this machine: it listens on the loopback interface alone (the library's own server would listen on
    all), and sends no usage data.

    Attributes:
        address: for `RecordingStream.connect_grpc`.
        page: the web page's address; empty for a window.
    """

    def __init__(
        self,
        *,
        native: bool = False,
        web_port: int = WEB_PORT,
        grpc_port: int = GRPC_PORT,
        memory_limit: str = "1GB",
    ) -> None:
        """Start the process.

        Args:
            native: open a window instead of serving a web page.
            web_port: of the page.
            grpc_port: of the data.
            memory_limit: how much of what was logged is kept, such as 512MB, before the oldest is dropped.

        Raises:
            Face3DMMError: Rerun is not installed, a port is taken, there is no display for a window, or the process
                does not start.
        """
        require_rerun()
        if native and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise Face3DMMError("there is no display to open a window on: leave out --native and open the web page")
        ports = {"grpc_port": grpc_port} if native else {"grpc_port": grpc_port, "web_port": web_port}
        for name, port in ports.items():
            _require_free(name, port)
        self.address = f"rerun+http://{_LOOPBACK}:{grpc_port}/proxy"
        self.page = "" if native else f"http://{_LOOPBACK}:{web_port}/?{urlencode({'url': self.address})}"
        options = ["--bind", _LOOPBACK, "--port", str(grpc_port), "--server-memory-limit", memory_limit]
        if native:
            options += ["--hide-welcome-screen", "--expect-data-soon"]
        else:
            options += ["--serve-web", "--web-viewer-port", str(web_port)]
        self._settings = tempfile.TemporaryDirectory(prefix="face3dmm_viewer_")
        self._words = (Path(self._settings.name) / "words.txt").open("w+b")
        self._process = subprocess.Popen(
            [_executable(), *options],
            env=os.environ | _without_analytics(Path(self._settings.name)) | {"RUST_LOG": "warn"},
            stdin=subprocess.DEVNULL,
            stdout=self._words,
            stderr=self._words,
            start_new_session=True,  # A terminal's Ctrl-C is for this process, which then ends that one.
            preexec_fn=end_with_parent,
        )
        self._wait_until_it_listens(ports.values())

    @property
    def running(self) -> bool:
        """Whether the process lives; it ends when its window is closed."""
        return self._process.poll() is None

    def wait(self) -> None:
        """Wait until the process ends by itself."""
        self._process.wait()

    def close(self) -> None:
        """End the process; may be called again."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._words.close()
        self._settings.cleanup()

    def _wait_until_it_listens(self, ports: Iterable[int]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while not all(_listens(port) for port in ports):
            if self.running and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            self._words.seek(0)
            words = self._words.read().decode(errors="replace").strip()
            self.close()
            raise Face3DMMError(f"Rerun does not start: {words or 'it says nothing'}")


def _executable() -> str:
    program = Path(str(importlib.resources.files("rerun_cli"))) / "rerun"
    if not program.is_file():
        raise Face3DMMError(f"rerun-sdk has no program {program}: install it again, rerun-sdk=={VERSION}")
    return str(program)


def _without_analytics(folder: Path) -> dict[str, str]:
    """Environment variables by which Rerun finds settings, in this folder, that forbid it to send usage data."""
    settings = {
        "analytics_enabled": False,
        "analytics_id": "",
        "metadata": {},
        "config_file_path": str(folder / "rerun" / "analytics.json"),
        "data_dir_path": str(folder / "data"),
    }
    (folder / "rerun").mkdir()
    (folder / "rerun" / "analytics.json").write_text(json.dumps(settings), encoding="utf-8")
    return {"XDG_CONFIG_HOME": str(folder)}


def _require_free(name: str, port: int) -> None:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError as error:
            option = "--" + name.replace("_", "-")
            raise Face3DMMError(
                f"port {port} cannot be used ({error.strerror}), perhaps by another viewer: end that one, or choose "
                f"another port ({option}, parameter {name})"
            ) from error


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((_LOOPBACK, port), timeout=1.0):
        return True
    return False
