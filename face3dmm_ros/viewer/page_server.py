"""A web page and a recording for one person's browser: nobody else can read them, nor another page in that browser."""

import contextlib
import secrets
import socket
from collections.abc import Callable, Generator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from select import select
from socketserver import ThreadingTCPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlencode

from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.viewer.page_files import PageFile

WEB_PORT = 9090
"""Rerun's own default."""

Recording = Generator[bytes, None, None]
"""The bytes of an .rrd file, in pieces; an empty piece says that there is nothing new for the moment."""

_LOOPBACK = "127.0.0.1"
_RECORDING = "recording.rrd"
_TOKEN_BYTES = 32
# Seconds, chosen by hand: a request comes at once; a browser lets a page sleep that nobody looks at.
_REQUEST_TIMEOUT, _READER_TIMEOUT = 10.0, 600.0
_HEADERS = {
    # The page runs its own scripts and reads from here alone: nothing of what it shows can get out.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    # Other pages can neither embed it nor get hold of its window.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def require_free(port: int) -> None:
    """Check that a port can be listened on.

    Raises:
        Face3DMMError: it is taken.
    """
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
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
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        try:
            self._server = _Server(port, token, files, open_recording)
        except OSError as error:
            raise _taken(port, error) from error
        folder = f"http://{_LOOPBACK}:{self._server.server_address[1]}/{token}/"
        self.address = f"{folder}?{urlencode({'url': folder + _RECORDING})}"
        Thread(target=self._server.serve_forever, name="page_server", daemon=True).start()

    def close(self) -> None:
        """Stop listening, and cut off who still reads; may be called again."""
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_off()


class _Server(ThreadingTCPServer):
    """Knows what there is to serve, and who is connected."""

    allow_reuse_address = daemon_threads = True

    def __init__(
        self,
        port: int,
        token: str,
        files: Mapping[str, PageFile],
        open_recording: Callable[[], Recording],
    ) -> None:
        self.token, self.files, self.open_recording = token, files, open_recording
        self._lock = Lock()
        self._connected: set[socket.socket] = set()
        super().__init__((_LOOPBACK, port), _Request)
        # Browsers leave out the port that is HTTP's own.
        suffix = f":{self.server_address[1]}".removesuffix(":80")
        self.hosts = {f"{name}{suffix}" for name in (_LOOPBACK, "localhost")}

    def process_request(self, request: Any, client_address: Any) -> None:
        """Called for each connection."""
        with self._lock:
            self._connected.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Called at the end of each connection."""
        with self._lock:
            self._connected.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Called where a connection breaks, as one does when a page is closed: nothing to tell anybody."""

    def cut_off(self) -> None:
        """End all connections; their threads end with them."""
        with self._lock:
            for connection in self._connected:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Request(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = _REQUEST_TIMEOUT
    server: _Server

    def do_GET(self) -> None:
        """Answer with a file or the recording."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._answer(with_body=False)

    def version_string(self) -> str:
        """Nobody needs to know what serves."""
        return "face3dmm"

    def log_message(self, *_: Any) -> None:
        """Called for each request, whose address is nobody's business."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse, in as few words as there are."""
        self.close_connection = True
        self._begin(code, {"Content-Length": "0", "Connection": "close"})

    def _answer(self, *, with_body: bool) -> None:
        name = self._asked_for()
        if name is None:
            self.send_error(HTTPStatus.FORBIDDEN)
        elif name == _RECORDING:
            self._send_recording(with_body=with_body)
        elif name in self.server.files:
            file = self.server.files[name]
            # The second is what Rerun's page tells its progress by.
            length = dict.fromkeys(("Content-Length", "rerun-final-length"), str(len(file.content)))
            self._begin(HTTPStatus.OK, {"Content-Type": file.content_type, **length})
            if with_body:
                self._send(file.content)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _asked_for(self) -> str | None:
        """The name of what is asked for; None if who asks has no right to it."""
        hosts, origins = (self.headers.get_all(name, []) for name in ("Host", "Origin"))
        # Under another name this server is reached by a page that had its own name lead here (DNS rebinding).
        if len(hosts) != 1 or hosts[0] not in self.server.hosts:
            return None
        if origins not in ([], [f"http://{hosts[0]}"]):
            return None
        before, _, path = self.path.partition("?")[0].partition("/")
        token, slash, name = path.partition("/")
        known = secrets.compare_digest(token.encode(), self.server.token.encode())
        return name if known and slash and not before else None

    def _send_recording(self, *, with_body: bool) -> None:
        """Send the recording in chunks as they come."""
        self._begin(HTTPStatus.OK, {"Content-Type": "application/octet-stream", "Transfer-Encoding": "chunked"})
        if not with_body:
            return
        self.connection.settimeout(_READER_TIMEOUT)
        with contextlib.closing(self.server.open_recording()) as chunks:
            for chunk in chunks:
                if chunk:
                    self._send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                elif self._has_gone():
                    return
        self._send(b"0\r\n\r\n")
        self.connection.settimeout(_REQUEST_TIMEOUT)

    def _has_gone(self) -> bool:
        """Whether the reader has hung up, which is told where nothing is sent only if one looks."""
        self.close_connection = bool(select([self.connection], [], [], 0.0)[0])
        return self.close_connection

    def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, content: bytes) -> None:
        self.wfile.write(content)
