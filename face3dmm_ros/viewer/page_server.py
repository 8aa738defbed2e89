"""Rerun's web page and a recording for one person's browser."""

import contextlib
import socket
from collections.abc import Callable, Generator, Mapping
from http import HTTPStatus
from select import select
from urllib.parse import urlencode

from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.viewer.guarded_server import LOOPBACK, GuardedRequest, GuardedServer, PageFile

WEB_PORT = 9090
"""Rerun's own default."""

Recording = Generator[bytes, None, None]
"""The bytes of an .rrd file, in pieces; an empty piece says that there is nothing new for the moment."""

_RECORDING = "recording.rrd"
_READER_TIMEOUT = 600.0
"""s that a reader may take nothing; chosen by hand: a browser lets a page sleep that nobody looks at."""


def require_free(port: int) -> None:
    """Check that a port can be listened on.

    Raises:
        Face3DMMError: it is taken.
    """
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise _taken(port, error) from error


def _taken(port: int, error: OSError) -> Face3DMMError:
    return Face3DMMError(
        f"port {port} cannot be used ({error.strerror}), perhaps by another viewer: end that one, or choose another "
        "port (--web-port, parameter web_port)"
    )


class PageServer(Closing):
    """Serves a page's files and a recording on the loopback interface, under an address that cannot be guessed.

    It answers to who knows that address, names this server in `Host`, and comes from no other page.

    Attributes:
        address: of the page; who knows it can look.
    """

    def __init__(self, port: int, files: Mapping[str, PageFile], open_recording: Callable[[], Recording]) -> None:
        """Serve until closed.

        Args:
            port: to listen on.
            files: of the page, by name; the page's own is empty.
            open_recording: gives each reader the recording, an .rrd file's bytes; it may go on for ever.

        Raises:
            Face3DMMError: the port is taken.
        """
        try:
            self._server = _Server(port, files, open_recording)
        except OSError as error:
            raise _taken(port, error) from error
        folder = self._server.folder
        self.address = f"{folder}?{urlencode({'url': folder + _RECORDING})}"
        self._server.start()

    def close(self) -> None:
        """Stop listening, and cut off who still reads; may be called again."""
        self._server.stop()


class _Server(GuardedServer):
    """Knows what there is to serve."""

    def __init__(self, port: int, files: Mapping[str, PageFile], open_recording: Callable[[], Recording]) -> None:
        self.files, self.open_recording = files, open_recording
        super().__init__(port, _Request)


class _Request(GuardedRequest):
    """One connection."""

    # The page runs its own scripts and reads from here alone.
    POLICY = (
        "script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'"
    )
    server: _Server

    def answer(self, name: str, query: str, *, with_body: bool) -> None:
        """Answer with a file or the recording."""
        if name == _RECORDING:
            self._send_recording(with_body=with_body)
        elif name in self.server.files:
            file = self.server.files[name]
            # The header is what Rerun's page tells its progress by.
            length = {"rerun-final-length": str(len(file.content))}
            self.send(file.content, file.content_type, with_body=with_body, **length)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _send_recording(self, *, with_body: bool) -> None:
        """Send the recording in chunks as they come."""
        self.begin(HTTPStatus.OK, {"Content-Type": "application/octet-stream", "Transfer-Encoding": "chunked"})
        if not with_body:
            return
        self.connection.settimeout(_READER_TIMEOUT)
        with contextlib.closing(self.server.open_recording()) as chunks:
            for chunk in chunks:
                if chunk:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                elif self._has_gone():
                    return
        self.wfile.write(b"0\r\n\r\n")
        self.connection.settimeout(self.timeout)

    def _has_gone(self) -> bool:
        """Whether the reader has hung up, which is told where nothing is sent only if one looks."""
        self.close_connection = bool(select([self.connection], [], [], 0.0)[0])
        return self.close_connection
