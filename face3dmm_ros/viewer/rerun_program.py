"""Rerun, which is optional: its library, and its program in a process of its own."""

import importlib.resources
import importlib.util
import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from face3dmm_ros.core.child_process import end_with_parent
from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError

VERSION = "0.31.4"
"""Of rerun-sdk, as setup.cfg has it."""

# Seconds, chosen by hand: a hanging process is not waited for.
_STOP_TIMEOUT = 5.0


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
    """A `rerun.RecordingStream`, to be written to a file or read as bytes."""
    import rerun

    return rerun.RecordingStream("face3dmm")


class RerunProgram(Closing):
    """Rerun's program in a process of its own, which sends no usage data; a context manager.

    Attributes:
        stdin: what the process reads; None if it is not fed.
    """

    def __init__(self, options: Sequence[str], *, fed: bool = False) -> None:
        """Start the process with the options of its command line; `fed`: it gets a pipe to read from.

        Raises:
            Face3DMMError: Rerun is not installed.
        """
        require_rerun()
        self._settings = tempfile.TemporaryDirectory(prefix="face3dmm_viewer_")
        self._words = (Path(self._settings.name) / "words.txt").open("w+b")
        self._process = subprocess.Popen(
            [_executable(), *options],
            env=os.environ | _without_analytics(Path(self._settings.name)) | {"RUST_LOG": "warn"},
            stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
            stdout=self._words,
            stderr=self._words,
            start_new_session=True,  # A terminal's Ctrl-C is for this process, which then ends that one.
            preexec_fn=end_with_parent,
        )
        self.stdin: IO[bytes] | None = self._process.stdin

    @property
    def running(self) -> bool:
        """Whether the process lives; it ends when its window is closed."""
        return self._process.poll() is None

    @property
    def words(self) -> str:
        """What the process has said."""
        self._words.seek(0)
        return self._words.read().decode(errors="replace").strip() or "it says nothing"

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
