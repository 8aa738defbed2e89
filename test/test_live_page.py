"""The page of our own: who knows its address can look and ask for something, and nobody else can do either."""

import http.client
import json
import socket
import threading
import time
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.viewer import guarded_server, live_page
from face3dmm_ros.viewer.live_page import LivePage, PageFace, PageFrame, PageHead

OFFERS = {"pause": ("on", "off"), "recalibrate": ("",), "view": ("shaded", "toon")}
HEAD = PageHead(np.array([[1.5, -2.0, 0.25], [400.0, 0, 0]]), np.array([[1, 2, 3], [4, 5, 6]], np.uint8), np.eye(3))
FACE = PageFace(7, {"jawOpen": 0.5}, (1.0, 2.0, 3.0), 0.9)


def frame(picture=b"\xff\xd8picture", head=None):
    return PageFrame(picture, [FACE], head, 12.0, 34.0, {"tracking": 5.0})


class Asker:
    """Asks a page, as whoever and from wherever."""

    def __init__(self, page):
        parts = urlsplit(page.address)
        self.host, self.folder = parts.netloc, parts.path

    def __call__(self, path, method="GET", body=None, **headers):
        """The status, the headers and the body of the answer."""
        with closing(http.client.HTTPConnection(self.host, timeout=10)) as connection:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            given = {"Host": self.host, **{name.replace("_", "-"): value for name, value in headers.items()}}
            if body is not None:
                given.setdefault("Content-Length", str(len(body)))
            for name, value in given.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def do(self, what, to, **headers):
        """The status of asking for something, as the page does it."""
        given = {"Origin": f"http://{self.host}", "Content_Type": "application/json", **headers}
        return self(self.folder + "do", "POST", json.dumps({"do": what, "to": to}).encode(), **given)[0]

    def frame(self, after=0):
        """What the page is told, and the bytes behind that."""
        status, _, body = self(f"{self.folder}frame?after={after}")
        assert status == 200
        end = 4 + int.from_bytes(body[:4], "little")
        return json.loads(body[4:end]), body[end:]


@pytest.fixture
def done():
    return []


@pytest.fixture
def page(done):
    with LivePage(OFFERS, lambda *asked: done.append(asked), source="a film", port=0) as served:
        yield served


@pytest.fixture
def ask(page):
    return Asker(page)


def stays_shut(answer):
    status, headers, body = answer
    return status in (400, 403, 404, 413, 415, 501) and body == b"" and "Access-Control-Allow-Origin" not in headers


# What it gives.


def test_who_knows_the_address_gets_the_page_and_its_own_files(ask):
    status, headers, body = ask(ask.folder)
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    for name in ("page.js", "head.js", "page.css"):
        assert name.encode() in body
        assert ask(ask.folder + name)[0] == 200


def test_the_page_holds_no_script_of_its_own_and_nothing_from_elsewhere(ask):
    body = ask(ask.folder)[2].decode()
    assert "style=" not in body
    assert " on" + "click" not in body
    assert body.count("<script") == body.count('<script src="') == 2
    assert "http" not in body.replace("face3dmm", "")


def test_a_frame_tells_state_and_faces_and_carries_picture_and_head(page, ask):
    page.set_triangles(np.array([[0, 1, 1]]))
    page.show(frame(head=HEAD))
    told, rest = ask.frame()
    assert told["source"] == "a film"
    assert told["faces"] == [{"id": 7, "weights": {"jawOpen": 0.5}, "angles": [1.0, 2.0, 3.0], "confidence": 0.9}]
    assert (told["rate"], told["latency_ms"], told["stage_ms"]) == (12.0, 34.0, {"tracking": 5.0})
    assert rest[: told["picture"]] == b"\xff\xd8picture"
    head = rest[told["picture"] :]
    assert np.frombuffer(head[:12], "<i2").tolist() == [150, -200, 25, 32767, 0, 0]
    assert head[12:] == bytes([1, 2, 3, 4, 5, 6])
    assert np.frombuffer(ask(ask.folder + "triangles")[2], "<u4").tolist() == [0, 1, 1]


def test_a_reader_waits_for_what_is_newer_than_it_has(page, ask):
    page.show(frame(b"one"))
    told, _ = ask.frame()
    threading.Timer(0.3, lambda: page.show(frame(b"two"))).start()
    after, rest = ask.frame(told["number"])
    assert rest == b"two"
    assert after["number"] > told["number"]


def test_a_reader_that_falls_behind_goes_on_with_the_newest_alone(page, ask):
    page.show(frame(b"one"))
    told, _ = ask.frame()
    for k in range(100):
        page.show(frame(b"%d" % k))
    assert ask.frame(told["number"])[1] == b"99"


def test_a_reader_hears_when_nothing_comes(page, ask, monkeypatch):
    monkeypatch.setattr(live_page, "_PATIENCE", 0.05)
    number = ask.frame()[0]["number"]
    assert ask(f"{ask.folder}frame?after={number}")[0::2] == (204, b"")


def test_readers_that_take_nothing_hold_up_neither_the_tracker_nor_others(page, ask):
    with ExitStack() as opened:
        for _ in range(20):
            reader = opened.enter_context(socket.create_connection(("127.0.0.1", urlsplit(page.address).port)))
            reader.sendall(f"GET {ask.folder}frame?after=0 HTTP/1.1\r\nHost: {ask.host}\r\n\r\n".encode())
        for _ in range(20):
            page.show(frame(bytes(4_000_000)))
        page.show(frame(b"newest"))
        assert ask.frame()[1] == b"newest"


def test_a_page_is_wanted_only_while_somebody_looks(page, ask, monkeypatch):
    assert not page.wanted
    ask.frame()
    assert page.wanted
    monkeypatch.setattr(live_page, "_LOOKED_AT", 0.0)
    assert not page.wanted


def test_more_connections_than_any_browser_opens_are_refused(page, ask, monkeypatch):
    monkeypatch.setattr(guarded_server, "_MOST_CONNECTIONS", 3)
    port = urlsplit(page.address).port
    with ExitStack() as opened:
        for _ in range(3):
            opened.enter_context(socket.create_connection(("127.0.0.1", port)))
        one_more = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        assert one_more.recv(1) == b""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            assert ask(ask.folder)[0] == 200
        except (ConnectionError, http.client.HTTPException):
            time.sleep(0.05)
        else:
            return
    pytest.fail("nobody is let in again")


# What can be done from it.


def test_the_page_can_ask_for_what_is_offered(ask, done):
    assert ask.do("pause", "on") == 204
    assert ask.do("view", "toon") == 204
    assert ask.do("recalibrate", "") == 204
    assert done == [("pause", "on"), ("view", "toon"), ("recalibrate", "")]


def test_what_is_not_offered_is_not_done(ask, done):
    for what, to in (("stop", ""), ("view", "gltf:/etc/passwd"), ("pause", True), (["pause"], "on"), ("pause", ["on"])):
        assert ask.do(what, to) == 400, (what, to)
    json_type = {"Origin": f"http://{ask.host}", "Content_Type": "application/json"}
    for body in (b"", b"[", b"[" * 900, b"3", b"{}", b'{"do": "pause"}', b"\xff"):
        assert ask(ask.folder + "do", "POST", body, **json_type)[0] == 400, body
    assert done == []


def test_asking_needs_an_origin_and_the_pages_own(ask, done):
    for origin in (None, "http://evil.example", "null", f"https://{ask.host}", "http://127.0.0.1:1", ""):
        assert ask.do("pause", "on", Origin=origin) == 403, origin
    assert done == []


def test_asking_needs_what_no_form_of_another_page_can_send(ask, done):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None):
        assert ask.do("pause", "on", Content_Type=kind) == 415, kind
    assert done == []


@pytest.mark.parametrize("length", [None, "1001", "99999999999", "-1", "x"])
def test_asking_at_length_is_refused(ask, done, length):
    assert ask.do("pause", "on", Content_Length=length, **{"Content-Length": length}) == 413
    assert done == []


def test_why_something_cannot_be_done_is_told(page):
    def refuse(*_):
        raise Face3DMMError("no avatar runs")

    with LivePage(OFFERS, refuse, source="", port=0) as other:
        ask = Asker(other)
        origin = {"Origin": f"http://{ask.host}", "Content_Type": "application/json"}
        body = b'{"do": "recalibrate", "to": ""}'
        assert ask(ask.folder + "do", "POST", body, **origin)[0::2] == (409, b"no avatar runs")


# Who gets nothing.


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://{host}", "http://127.0.0.1:1", ""])
def test_a_page_from_elsewhere_gets_nothing_even_with_the_address(page, ask, origin):
    page.show(frame())
    origin = origin.format(host=ask.host)
    for name in ("", "frame?after=0", "triangles", "page.js"):
        assert stays_shut(ask(ask.folder + name, Origin=origin)), name


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", None])
def test_a_name_that_was_led_here_gets_nothing(page, ask, host):
    host = host and host.format(port=ask.host.rpartition(":")[2])
    for name in ("", "frame?after=0"):
        assert stays_shut(ask(ask.folder + name, Host=host)), name
    assert ask.do("pause", "on", Host=host, Origin=f"http://{host}") == 403


def test_without_the_token_there_is_nothing_to_see_or_to_do(ask, done):
    token = ask.folder.strip("/")
    origin = {"Origin": f"http://{ask.host}", "Content_Type": "application/json"}
    for guess in ("", "x" * len(token), token[:-1], token + "x", token.swapcase(), ".."):
        folder = f"/{guess}/" if guess else "/"
        assert stays_shut(ask(folder + "frame?after=0")), guess
        assert stays_shut(ask(folder)), guess
        assert stays_shut(ask(folder + "do", "POST", b'{"do": "pause", "to": "on"}', **origin)), guess
    assert done == []


def test_there_are_no_files_but_the_pages(ask):
    for name in ("../page.js", "%2e%2e/page.js", "..%2f..%2fsetup.py", "../../setup.py", "/etc/passwd", "index.html"):
        assert stays_shut(ask(ask.folder + name)), name


def test_a_question_that_the_page_would_not_ask_is_refused(ask):
    for query in ("", "?after=", "?after=-1", "?after=1e9", "?after=" + 40 * "9", "?after=1&after=2", "?before=1"):
        assert ask(f"{ask.folder}frame{query}")[0] == 400, query


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"])
def test_other_methods_are_not_known(ask, method):
    assert stays_shut(ask(ask.folder, method))
    assert stays_shut(ask(ask.folder + "do", method, Origin="http://evil.example"))


def test_the_page_reads_from_its_server_alone_and_is_neither_embedded_nor_kept(ask):
    for path in (ask.folder, ask.folder + "page.js", ask.folder + "frame?after=0", "/"):
        _, headers, _ = ask(path)
        policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'", path
        assert {policy[f"{kind}-src"] for kind in ("script", "style", "img", "connect")} == {"'self'"}, path
        assert headers["X-Frame-Options"] == "DENY", path
        assert headers["Cache-Control"] == "no-store", path
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin", path
        assert "Access-Control-Allow-Origin" not in headers, path


def test_where_its_usual_port_is_taken_it_takes_another(page, monkeypatch):
    taken = urlsplit(page.address).port
    monkeypatch.setattr(live_page, "PAGE_PORT", taken)
    with LivePage(OFFERS, print, source="") as other:
        assert Asker(other)(urlsplit(other.address).path)[0] == 200
    with pytest.raises(Face3DMMError, match=f"{taken}"):
        LivePage(OFFERS, print, source="", port=taken)


def test_a_page_that_is_closed_lets_its_readers_go(done):
    answers = []
    with LivePage(OFFERS, print, source="", port=0) as page:
        ask = Asker(page)
        number = ask.frame()[0]["number"]
        waiting = threading.Thread(target=lambda: answers.append(_status(ask, f"{ask.folder}frame?after={number}")))
        waiting.start()
        while not page._board._readers:
            time.sleep(0.01)
    waiting.join(10)
    assert answers in (["cut off"], [204])
    with pytest.raises(ConnectionRefusedError):
        ask(ask.folder)


def _status(ask, path):
    try:
        return ask(path)[0]
    except (ConnectionError, http.client.HTTPException):
        return "cut off"
