"""A small HTTP server for one person's browser: nobody else gets an answer, nor another page in that browser."""

import contextlib
import secrets
import socket
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Lock, Thread
from typing import Any, ClassVar

LOOPBACK = "127.0.0.1"
_TOKEN_BYTES = 32
_REQUEST_TIMEOUT = 10.0
"""s that a connection may be silent, or a reader may take nothing; chosen by hand: a request comes at once."""
_MOST_CONNECTIONS = 100
"""Of all readers together; chosen by hand: a browser opens six at most, and each costs a thread."""


@dataclass(frozen=True)
class PageFile:
    """A file of a web page.

    Attributes:
        content_type: as HTTP has it.
        content: its bytes.
    """

    content_type: str
    content: bytes


class GuardedServer(ThreadingTCPServer):
    """Listens on the loopback interface, under an address that cannot be guessed, and knows who is connected.

    Attributes:
        token: the first part of every path that is answered; who knows it can look.
        hosts: what `Host` may be.
    """

    allow_reuse_address = daemon_threads = True

    def __init__(self, port: int, request: type["GuardedRequest"]) -> None:
        """Listen on a port, 0 for any that is free; `start` begins to answer.

        Raises:
            OSError: the port is taken.
        """
        self.token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._lock = Lock()
        self._connected: set[socket.socket] = set()
        super().__init__((LOOPBACK, port), request)
        # Browsers leave out the port that is HTTP's own.
        suffix = f":{self.server_address[1]}".removesuffix(":80")
        self.hosts = {f"{name}{suffix}" for name in (LOOPBACK, "localhost")}

    @property
    def folder(self) -> str:
        """The address below which everything is."""
        return f"http://{LOOPBACK}:{self.server_address[1]}/{self.token}/"

    def start(self) -> None:
        """Answer, in a thread of its own, until `stop`."""
        Thread(target=self.serve_forever, name="page_server", daemon=True).start()

    def stop(self) -> None:
        """Stop listening, and cut off who still reads; may be called again."""
        self.shutdown()
        self.server_close()
        with self._lock:
            for connection in self._connected:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Called for each connection."""
        with self._lock:
            is_full = len(self._connected) >= _MOST_CONNECTIONS
            if not is_full:
                self._connected.add(request)
        if is_full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Called at the end of each connection."""
        with self._lock:
            self._connected.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Called where a connection breaks, as one does when a page is closed: nothing to tell anybody."""


class GuardedRequest(BaseHTTPRequestHandler):
    """One connection. It answers who knows the token, names this server in `Host`, and comes from no other page.

    Attributes:
        POLICY: the page's `Content-Security-Policy`, but for what holds for all pages.
        REFERRERS: the page's `Referrer-Policy`.
    """

    POLICY: ClassVar[str]
    REFERRERS: ClassVar[str] = "no-referrer"
    protocol_version = "HTTP/1.1"
    timeout = _REQUEST_TIMEOUT
    server: GuardedServer

    @abstractmethod
    def answer(self, name: str, query: str, *, with_body: bool) -> None:
        """Answer who may ask, with what is behind a name, the page's own being empty."""

    def do_GET(self) -> None:
        """Answer with a body."""
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
        self.begin(code, {"Content-Length": "0", "Connection": "close"})

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of an answer, with what holds for all of them."""
        self.send_response(status)
        for name, value in {**self._headers(), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, content: bytes, content_type: str, *, with_body: bool, **headers: str) -> None:
        """Answer with some bytes."""
        self.begin(HTTPStatus.OK, {"Content-Type": content_type, "Content-Length": str(len(content)), **headers})
        if with_body:
            self.wfile.write(content)

    def asked_for(self) -> str | None:
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

    def _answer(self, *, with_body: bool) -> None:
        name = self.asked_for()
        if name is None:
            self.send_error(HTTPStatus.FORBIDDEN)
        else:
            self.answer(name, self.path.partition("?")[2], with_body=with_body)

    def _headers(self) -> dict[str, str]:
        return {
            # Nothing of what the page shows can get out.
            "Content-Security-Policy": (
                f"default-src 'none'; {self.POLICY}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            ),
            # Other pages can neither embed it nor get hold of its window.
            "X-Frame-Options": "DENY",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Referrer-Policy": self.REFERRERS,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }
