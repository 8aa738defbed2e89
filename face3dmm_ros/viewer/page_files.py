"""The files of Rerun's web page, which are inside of its program."""

import re
import socket
import time
import urllib.error
import urllib.request

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.viewer.guarded_server import PageFile
from face3dmm_ros.viewer.rerun_program import RerunProgram

_LOOPBACK = "127.0.0.1"
_NAMES = ("", "re_viewer.js", "re_viewer_bg.wasm", "favicon.ico")
# Given a recording to open, the program serves its page's files and no data. It never asks for that recording.
_NO_RECORDING = f"http://{_LOOPBACK}:1/none.rrd"
# Seconds, chosen by hand: it takes a tenth of one, but on a busy machine.
_START_TIMEOUT = 20.0
# Links from the page to other machines, as to Google's for a font.
_OUTWARD_LINK = re.compile(rb"<link\b[^>]*\bhref=\"https?://[^>]*>")


def read_page_files() -> dict[str, PageFile]:
    """The files by their names, the page's own empty, without its links to other machines.

    Rerun's program gives them by HTTP only: it runs for that long.

    Raises:
        Face3DMMError: Rerun is not installed, or its program does not give them.
    """
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port = probe.getsockname()[1]
    options = ["--bind", _LOOPBACK, "--serve-web", "--web-viewer-port", str(port), _NO_RECORDING]
    with RerunProgram(options) as program:
        _wait_until_it_listens(program, port)
        try:
            files = {name: _read(f"http://{_LOOPBACK}:{port}/{name}") for name in _NAMES}
        except OSError as error:
            raise Face3DMMError(f"Rerun does not give its web page ({error}): {program.words}") from error
        if not program.running:
            # Who answered was somebody else, who had the port first.
            raise Face3DMMError(f"Rerun does not start: {program.words}")
    page = files[""]
    return files | {"": PageFile(page.content_type, _OUTWARD_LINK.sub(b"", page.content))}


def _wait_until_it_listens(program: RerunProgram, port: int) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            socket.create_connection((_LOOPBACK, port), timeout=1.0).close()
        except OSError:
            if not program.running or time.monotonic() > deadline:
                raise Face3DMMError(f"Rerun does not start: {program.words}") from None
            time.sleep(0.02)
        else:
            return


def _read(address: str) -> PageFile:
    # No proxy for this machine's own.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=_START_TIMEOUT) as answer:
        return PageFile(answer.headers.get_content_type(), answer.read())
