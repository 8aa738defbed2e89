"""A web page of our own, for a browser on this machine: picture, head in 3D, weights, and what can be changed.

Each reader asks for what is newer than what it has, in one request after the other, and gets the newest alone: a slow
one falls behind by itself, and nothing waits for it. While nobody asks, nobody needs to make pictures (`wanted`).
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from threading import Condition
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.core.regular_file import read_regular
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.viewer.guarded_server import GuardedRequest, GuardedServer, PageFile

PAGE_PORT = 9091
"""The one after that of Rerun's page; chosen by hand."""
PAUSE, RECALIBRATE, VIEW = "pause", "recalibrate", "view"
"""What a page may offer to do."""

_FILES = {
    "": ("resource/page/index.html", "text/html; charset=utf-8"),
    "page.js": ("resource/page/page.js", "text/javascript; charset=utf-8"),
    "head.js": ("resource/page/head.js", "text/javascript; charset=utf-8"),
    "page.css": ("resource/page/page.css", "text/css; charset=utf-8"),
}
_FRAME, _TRIANGLES, _DO = "frame", "triangles", "do"
_LARGEST_FILE = 1_000_000
_LARGEST_ACTION = 1000
"""Bytes; both chosen by hand, far beyond what there is."""
_PATIENCE = 5.0
"""s after which a reader hears that there is nothing new; chosen by hand, below what ends a silent connection."""
_LOOKED_AT = 2.0
"""s after its last question for which a reader is still there; chosen by hand: a page asks again at once."""
_PER_MM = 100.0
"""Steps of a vertex's coordinates in a millimetre, so that 16 bits reach 0.3 m to each side; chosen by hand."""
_BINARY = "application/octet-stream"


@dataclass(frozen=True, eq=False)
class PageFace:
    """A face's numbers.

    Attributes:
        face_id: the same along a track.
        weights: in [0, 1], by the names of ARKit's blendshapes; empty where the model does not tell.
        angles: yaw, pitch and roll, degrees, as `face_tracker.Pose` has them.
        confidence: in [0, 1].
    """

    face_id: int
    weights: Mapping[str, float]
    angles: tuple[float, float, float]
    confidence: float


@dataclass(frozen=True, eq=False)
class PageHead:
    """A head to be seen from all sides.

    Attributes:
        vertices: (N, 3) in the model's axes (x right, y up, z to the viewer), mm.
        rgb: (N, 3) uint8 sRGB.
        rotation: (3, 3) from the model's axes to the camera's.
    """

    vertices: NDArray[np.floating]
    rgb: NDArray[np.uint8]
    rotation: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PageFrame:
    """What there is to see of one image.

    Attributes:
        picture: a JPEG or PNG file's bytes.
        faces: those in the image, the nearest first.
        head: of the nearest face; None where there is none.
        rate: images per second, lately.
        latency_ms: from the image's arrival to this; None if it is unknown.
        stage_ms: what the steps took, ms, by name.
    """

    picture: bytes
    faces: Sequence[PageFace]
    head: PageHead | None
    rate: float
    latency_ms: float | None
    stage_ms: Mapping[str, float]


class LivePage(Closing):
    """Serves the page until closed. Any thread may call it.

    Attributes:
        address: of the page; who knows it can look.
    """

    def __init__(
        self,
        offers: Mapping[str, Sequence[str]],
        do: Callable[[str, str], None],
        *,
        source: str,
        port: int | None = None,
    ) -> None:
        """Listen on the loopback interface.

        Args:
            offers: what can be done from the page, of `PAUSE` ("on", "off"), `RECALIBRATE` ("") and `VIEW`, each with
                the values that it may have.
            do: does one of them, given its name and value; called by the server's threads. What it raises as
                Face3DMMError the page shows.
            source: where the images come from, for people.
            port: to listen on, 0 for any; by default `PAGE_PORT`, or any if that is taken.

        Raises:
            Face3DMMError: the port is taken, or the page's files are not there.
        """
        files = {name: _read(path, content_type) for name, (path, content_type) in _FILES.items()}
        self._board = _Board({"source": source, "offers": {name: list(values) for name, values in offers.items()}})
        self._server = _listen(port, files, self._board, do)
        self.address = self._server.folder
        self._server.start()

    @property
    def wanted(self) -> bool:
        """Whether anybody looks."""
        return self._board.wanted

    def set_triangles(self, triangles: NDArray[np.integer]) -> None:
        """The (M, 3) triangles of all heads to come."""
        self._board.set_triangles(np.ascontiguousarray(triangles, "<u4").tobytes())

    def show(self, frame: PageFrame) -> None:
        """Show an image and what was found in it, in place of the one before."""
        self._board.show(frame)

    def tell(self, **state: Any) -> None:
        """Change what the page knows beside the image: `source`, `offers`, `paused`, `view`, `notice`, `ended`."""
        self._board.tell(state)

    def close(self) -> None:
        """End the page; may be called again."""
        self._board.close()
        self._server.stop()


def encoded(state: Mapping[str, Any], frame: PageFrame | None) -> bytes:
    """One frame as the page reads it, all numbers little-endian.

    The length of the JSON in 4 bytes; the JSON; the picture's bytes; the head's vertices, 3 int16 each in hundredths of
    a millimetre; and their colours, 3 uint8 each. The JSON tells how many bytes and vertices there are.
    """
    told: dict[str, Any] = dict(state)
    parts: list[bytes] = []
    if frame is not None:
        told |= {
            "picture": len(frame.picture),
            "rate": round(frame.rate, 1),
            "latency_ms": None if frame.latency_ms is None else round(frame.latency_ms, 1),
            "stage_ms": {name: round(value, 1) for name, value in frame.stage_ms.items()},
            "faces": [_face(face) for face in frame.faces],
        }
        parts.append(frame.picture)
        if frame.head is not None:
            told |= {"vertices": len(frame.head.vertices), "rotation": frame.head.rotation.ravel().round(4).tolist()}
            steps = np.clip(np.rint(frame.head.vertices * _PER_MM), -32768, 32767).astype("<i2")
            parts += [steps.tobytes(), np.ascontiguousarray(frame.head.rgb).tobytes()]
    text = json.dumps(told, allow_nan=False).encode()
    return b"".join([len(text).to_bytes(4, "little"), text, *parts])


def rate_of(times: Sequence[float]) -> float:
    """Images per second, by the times of some, s; 0 where there are fewer than two."""
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0


def _face(face: PageFace) -> dict[str, Any]:
    weights = {name: round(float(weight), 3) for name, weight in face.weights.items()}
    angles = [round(float(angle), 1) for angle in face.angles]
    return {"id": face.face_id, "weights": weights, "angles": angles, "confidence": round(float(face.confidence), 2)}


def _read(path: str, content_type: str) -> PageFile:
    return PageFile(content_type, read_regular(package_file(path), _LARGEST_FILE))


def _listen(
    port: int | None, files: Mapping[str, PageFile], board: "_Board", do: Callable[[str, str], None]
) -> "_Server":
    """A server on a port; where none was asked for, on the usual one or any other."""
    for each in (PAGE_PORT, 0) if port is None else (port,):
        try:
            return _Server(each, files, board, do)
        except OSError as error:
            failure = error
    raise Face3DMMError(f"port {port or 'any'} of {PAGE_PORT} on cannot be listened on ({failure.strerror})")


class _Board:
    """The newest frame, for readers who wait for it."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._state: dict[str, Any] = {"paused": False, "notice": "", **state}
        self._frame: PageFrame | None = None
        self._number = 1
        self._content: bytes | None = None
        self._readers, self._asked = 0, -_LOOKED_AT
        self._closed = False
        self._changed = Condition()
        self._triangles = b""

    @property
    def wanted(self) -> bool:
        """Whether anybody waits, or did a moment ago."""
        return self._readers > 0 or monotonic() - self._asked < _LOOKED_AT

    @property
    def triangles(self) -> bytes:
        return self._triangles

    @property
    def offers(self) -> Mapping[str, Sequence[str]]:
        return self._state["offers"]

    def set_triangles(self, triangles: bytes) -> None:
        """Keep them; the page asks for them once it is told that they are there."""
        self._triangles = triangles
        self.tell({"triangles": len(triangles)})

    def show(self, frame: PageFrame) -> None:
        with self._changed:
            self._frame = frame
            self._turn()

    def tell(self, state: Mapping[str, Any]) -> None:
        with self._changed:
            if any(self._state.get(name) != value for name, value in state.items()):
                self._state |= state
                self._turn()

    def next(self, after: int) -> bytes | None:
        """What is newer than the frame of a number, once there is such; None if nothing comes for a while."""
        with self._changed:
            self._readers += 1
            try:
                self._changed.wait_for(lambda: self._closed or self._number != after, _PATIENCE)
                if self._closed or self._number == after:
                    return None
                # Made once for all readers, and only where there is one.
                if self._content is None:
                    self._content = encoded(self._state | {"number": self._number}, self._frame)
                return self._content
            finally:
                self._readers -= 1
                self._asked = monotonic()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _turn(self) -> None:
        self._number += 1
        self._content = None
        self._changed.notify_all()


class _Server(GuardedServer):
    """Knows what there is to serve."""

    def __init__(self, port: int, files: Mapping[str, PageFile], board: _Board, do: Callable[[str, str], None]) -> None:
        self.files, self.board, self.do = files, board, do
        super().__init__(port, _Request)


class _Request(GuardedRequest):
    """One connection."""

    POLICY = "script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
    # Some browsers give a page that sends no referrers no origin either, which `do` asks for.
    REFERRERS = "same-origin"
    server: _Server

    def answer(self, name: str, query: str, *, with_body: bool) -> None:
        """Answer with a file, the newest frame or the triangles."""
        if name == _FRAME:
            self._send_frame(query, with_body=with_body)
        elif name == _TRIANGLES:
            self.send(self.server.board.triangles, _BINARY, with_body=with_body)
        elif name in self.server.files:
            file = self.server.files[name]
            self.send(file.content, file.content_type, with_body=with_body)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Do what the page offers; only the page itself may ask."""
        name = self.asked_for()
        if name is None or not self.headers.get_all("Origin"):
            self.send_error(HTTPStatus.FORBIDDEN)
        elif name != _DO:
            self.send_error(HTTPStatus.NOT_FOUND)
        elif self.headers.get_content_type() != "application/json":
            self.send_error(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        elif (length := self._length()) is None:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif (action := _action(self.rfile.read(length), self.server.board.offers)) is None:
            self.send_error(HTTPStatus.BAD_REQUEST)
        else:
            self._do(*action)

    def _length(self) -> int | None:
        """Bytes of what is sent; None where that is not told, or too much."""
        told = self.headers.get_all("Content-Length", [])
        if len(told) != 1 or not re.fullmatch("[0-9]{1,4}", told[0]) or int(told[0]) > _LARGEST_ACTION:
            return None
        return int(told[0])

    def _do(self, name: str, value: str) -> None:
        try:
            self.server.do(name, value)
        except Face3DMMError as error:
            text = one_line(error).encode()
            length = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(text))}
            self.begin(HTTPStatus.CONFLICT, length)
            self.wfile.write(text)
        else:
            self.begin(HTTPStatus.NO_CONTENT, {})

    def _send_frame(self, query: str, *, with_body: bool) -> None:
        asked = re.fullmatch("after=([0-9]{1,15})", query)
        if asked is None:
            self.send_error(HTTPStatus.BAD_REQUEST)
        elif not with_body or (content := self.server.board.next(int(asked[1]))) is None:
            self.begin(HTTPStatus.NO_CONTENT, {})
        else:
            self.send(content, _BINARY, with_body=True)


def _action(body: bytes, offers: Mapping[str, Sequence[str]]) -> tuple[str, str] | None:
    """What a page asks to do, if that is offered."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(asked, dict) or asked.keys() != {"do", "to"}:
        return None
    name, value = asked["do"], asked["to"]
    if not isinstance(name, str) or not isinstance(value, str) or value not in offers.get(name, ()):
        return None
    return name, value
