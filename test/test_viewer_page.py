"""The viewer's page: who knows its address can look, and no other page in the same browser can."""

import http.client
import socket
import urllib.request
from contextlib import closing
from itertools import chain
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

pytest.importorskip("rerun", reason="needs rerun-sdk: make viewer")

from rerun_files import logged

from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import Mesh
from face3dmm_ros.viewer import window
from face3dmm_ros.viewer.frame_buffer import FrameBuffer, byte_count
from face3dmm_ros.viewer.live_view import PageView, WindowView, live_recording
from face3dmm_ros.viewer.page_files import PageFile, read_page_files
from face3dmm_ros.viewer.page_server import PageServer
from face3dmm_ros.viewer.viewed_frame import ViewedFrame

MEGABYTE = 1_000_000
PICTURE = b"\xff\xd8" + bytes(MEGABYTE)
# What no compression takes apart.
FIRST, LAST = bytes(range(160, 192)), bytes(range(200, 232))
MESH = Mesh(
    np.eye(3, dtype=np.float32),
    np.eye(3, dtype=np.float32),
    np.array([[0, 1, 2]], np.int32),
    np.zeros((3, 3), np.uint8),
    "digest",
)
FILES = {"": PageFile("text/html", b"<html>the page</html>"), "a.js": PageFile("text/javascript", b"run()")}


def frame(k, picture=b"\xff\xd8picture"):
    return ViewedFrame(1_700_000_000_000_000_000 + k * 100_000_000, image=picture, meshes={0: MESH})


@pytest.fixture(scope="module")
def weights(default_model):
    return BlendshapeWeights(default_model)


@pytest.fixture
def server():
    """A page with a recording that says one word."""

    def word():
        yield b"camera"

    with PageServer(0, FILES, word) as served:
        yield served


class Asker:
    """Asks a server, as whoever and from wherever."""

    def __init__(self, address):
        parts = urlsplit(address)
        self.host, self.page, self.recording = parts.netloc, parts.path, urlsplit(parse_qs(parts.query)["url"][0]).path

    def __call__(self, path, method="GET", **headers):
        """The status, the headers and the body of the answer."""
        with closing(http.client.HTTPConnection(self.host, timeout=10)) as connection:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in {"Host": self.host, **headers}.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()


@pytest.fixture
def ask(server):
    return Asker(server.address)


def stays_shut(answer):
    status, headers, body = answer
    return status in (403, 404, 501) and body == b"" and "Access-Control-Allow-Origin" not in headers


# Who gets an answer.


def test_who_knows_the_address_gets_the_page_its_files_and_the_recording(ask):
    assert ask(ask.page)[0::2] == (200, b"<html>the page</html>")
    assert ask(ask.page + "a.js")[0::2] == (200, b"run()")
    assert ask(ask.recording)[0::2] == (200, b"camera")


def test_the_page_itself_may_say_where_it_comes_from(ask):
    assert ask(ask.recording, Origin=f"http://{ask.host}")[0::2] == (200, b"camera")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://{host}", "http://localhost:{port}", "http://127.0.0.1:1", ""]
)
def test_a_page_from_elsewhere_gets_nothing_even_with_the_address(ask, origin):
    origin = origin.format(host=ask.host, port=ask.host.rpartition(":")[2])
    for path in (ask.page, ask.recording, "/"):
        assert stays_shut(ask(path, Origin=origin)), path


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", None])
def test_a_name_that_was_led_here_gets_nothing(ask, host):
    host = host and host.format(port=ask.host.rpartition(":")[2])
    origins = [None] if host is None else [None, f"http://{host}"]
    for origin in origins:
        for path in (ask.page, ask.recording):
            assert stays_shut(ask(path, Host=host, Origin=origin)), (path, origin)


def test_this_machine_may_be_called_localhost(ask):
    port = ask.host.rpartition(":")[2]
    assert ask(ask.page, Host=f"localhost:{port}")[0] == 200


def test_without_the_token_there_is_nothing(ask):
    token = ask.page.strip("/")
    wrong = [
        "x" * len(token),
        token[:-1],
        token + "x",
        token.swapcase(),
        "",
        "..",
        f"%2e/{token}",
        f"x/{token}",
        "\xff",
    ]
    for name in ("", "recording.rrd", "a.js", "re_viewer.js"):
        assert stays_shut(ask(f"/{name}")), name
        for guess in wrong:
            path = f"/{guess}/{name}".encode().decode("latin-1")
            assert stays_shut(ask(path if path.isascii() else "/%FF/" + name)), (guess, name)


def test_each_server_has_a_token_of_its_own():
    with PageServer(0, FILES, lambda: iter(())) as one, PageServer(0, FILES, lambda: iter(())) as other:
        tokens = {urlsplit(server.address).path for server in (one, other)}
    assert len(tokens) == 2
    assert all(len(token) >= 43 for token in tokens)


def test_there_are_no_files_but_the_pages(ask):
    for name in ("index.html", "../a.js", "%2e%2e/a.js", "a.js/", "etc/passwd", "a"):
        assert stays_shut(ask(ask.page + name)), name


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PRI"])
def test_nothing_can_be_sent_to_it(ask, method):
    for path in (ask.page, ask.recording):
        assert stays_shut(ask(path, method, Origin="http://evil.example"))
        assert stays_shut(ask(path, method))


def test_a_head_is_the_answer_without_its_body(ask):
    assert ask(ask.page, "HEAD")[0::2] == (200, b"")
    assert ask(ask.recording, "HEAD")[0::2] == (200, b"")
    assert stays_shut(ask(ask.recording, "HEAD", Origin="http://evil.example"))


def test_the_page_may_read_from_its_server_alone_and_is_not_embedded(ask):
    for path in (ask.page, ask.page + "a.js", ask.recording, "/"):
        _, headers, _ = ask(path)
        policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == "'none'", path
        assert policy["connect-src"] == "'self'", path
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin", path
        assert headers["Referrer-Policy"] == "no-referrer", path
        assert headers["Cache-Control"] == "no-store", path
        assert "Access-Control-Allow-Origin" not in headers, path


def test_a_server_that_is_closed_cuts_off_who_still_reads():
    def endless():
        while True:
            yield b"camera"

    with PageServer(0, FILES, endless) as server:
        ask = Asker(server.address)
        reader = socket.create_connection(("127.0.0.1", urlsplit(server.address).port), timeout=10)
        reader.sendall(f"GET {ask.recording} HTTP/1.1\r\nHost: {ask.host}\r\n\r\n".encode())
        assert reader.recv(9) == b"HTTP/1.1 "
    with closing(reader):
        while reader.recv(1 << 20):
            pass
    with pytest.raises(ConnectionRefusedError):
        ask(ask.page)


def test_a_port_that_is_taken_is_named(server):
    port = urlsplit(server.address).port
    with pytest.raises(Face3DMMError, match=rf"port {port} cannot be used.*--web-port"):
        PageServer(port, FILES, lambda: iter(()))


# Rerun's files.


def test_reruns_page_is_there_and_leads_to_no_other_machine():
    files = read_page_files()
    page = files[""].content
    assert b"re_viewer.js" in page
    assert b"<link" in page
    assert not [tag for tag in page.split(b"<link")[1:] if b"http" in tag.partition(b">")[0]]
    assert files["re_viewer_bg.wasm"].content.startswith(b"\0asm")
    assert files["re_viewer_bg.wasm"].content_type == "application/wasm"
    assert files["re_viewer.js"].content_type == "text/javascript"


# Live recordings.


def written(path, chunks):
    path.write_bytes(b"".join(chunks))
    return logged(path)


def test_a_live_recording_has_what_is_kept_and_what_comes(weights, tmp_path):
    frames = FrameBuffer(MEGABYTE)
    frames.add(frame(0), due=True)
    chunks = live_recording(frames, weights)
    found = [next(chunks), next(chunks)]
    frames.add(frame(1), due=True)
    found.append(next(chunks))
    frames.close()
    rows = written(tmp_path / "live.rrd", [*found, *chunks])
    assert [row[1] for row in rows["/camera/image EncodedImage:blob"]] == [0, 1]


def read_past(reader, words):
    """What a reader gets until these words have come."""
    found = b""
    while words not in found:
        found += reader.read1(1 << 16)
    return found


def test_two_readers_of_a_page_both_get_a_whole_recording(weights, tmp_path):
    with PageView(weights, 100 * MEGABYTE, port=0) as view:
        (recording,) = parse_qs(urlsplit(view.address).query)["url"]
        view.add(frame(0, b"\xff\xd8" + FIRST), due=True)
        readers = [urllib.request.urlopen(recording, timeout=20) for _ in range(2)]
        found = [read_past(reader, FIRST) for reader in readers]
        for k in range(1, 40):
            view.add(frame(k), due=k % 2 == 0)
        view.add(frame(40, b"\xff\xd8" + LAST), due=True)
        found = [had + read_past(reader, LAST) for had, reader in zip(found, readers, strict=True)]
        view._frames.close()
        found = [had + reader.read() for had, reader in zip(found, readers, strict=True)]
    for k, body in enumerate(found):
        rows = written(tmp_path / f"{k}.rrd", [body])["/camera/image EncodedImage:blob"]
        assert [number for _, number, _ in rows] == list(range(0, 41, 2))


def test_who_comes_late_gets_the_last_part_with_what_was_logged_once(weights, tmp_path):
    frames = FrameBuffer(5 * MEGABYTE)
    for k in range(20):
        frames.add(frame(k, PICTURE), due=True)
    chunks = live_recording(frames, weights)
    found = [next(chunks), next(chunks)]
    frames.close()
    rows = written(tmp_path / "live.rrd", [*found, *chunks])
    assert [row[1] for row in rows["/camera/image EncodedImage:blob"]] == [16, 17, 18, 19]
    assert [row[1] for row in rows["/face/mesh/0 Mesh3D:triangle_indices"]] == [16]


def test_a_reader_that_never_reads_costs_no_memory_and_keeps_nobody_waiting(weights):
    with PageView(weights, 5 * MEGABYTE, port=0) as view:
        ask = Asker(view.address)
        (recording,) = parse_qs(urlsplit(view.address).query)["url"]
        with closing(socket.create_connection(("127.0.0.1", urlsplit(recording).port), timeout=10)) as sleeper:
            sleeper.sendall(f"GET {ask.recording} HTTP/1.1\r\nHost: {ask.host}\r\n\r\n".encode())
            assert sleeper.recv(9) == b"HTTP/1.1 "
            for k in range(100):
                view.add(frame(k, PICTURE), due=True)
                assert view._frames.size <= 5 * MEGABYTE
            view.add(frame(100, b"\xff\xd8" + LAST), due=True)
            with urllib.request.urlopen(recording, timeout=20) as reader:
                read_past(reader, LAST)


def test_a_reader_that_falls_behind_goes_on_with_the_newest():
    frames = FrameBuffer(100 * MEGABYTE)
    frames.add(frame(0), due=True)
    batches = frames.batches()
    assert [kept.number for kept in next(batches)] == [0]
    for k in range(1, 200):
        frames.add(frame(k), due=True)
    assert [kept.number for kept in next(batches)] == [199]


def test_a_reader_that_comes_late_gets_all_that_is_kept_in_portions():
    frames = FrameBuffer(100 * MEGABYTE)
    for k in range(200):
        frames.add(frame(k), due=True)
    batches = frames.batches()
    portions = [[kept.number for kept in next(batches)] for _ in range(7)]
    assert list(chain.from_iterable(portions)) == list(range(200))
    assert max(map(len, portions)) == 30


def test_the_newest_frame_is_kept_where_it_is_too_large():
    frames = FrameBuffer(1)
    for k in range(3):
        frames.add(frame(k), due=True)
    assert [kept.number for kept in next(frames.batches())] == [2]


@pytest.mark.parametrize(("text", "count"), [("512MB", 512e6), ("1GB", 1e9), ("1.5 GiB", 1.5 * 2**30), ("10kB", 1e4)])
def test_an_amount_of_memory_is_understood(text, count):
    assert byte_count(text) == count


@pytest.mark.parametrize("text", ["", "1", "much", "-1GB", "50%", "1TB"])
def test_what_is_no_amount_of_memory_is_refused(text):
    with pytest.raises(Face3DMMError, match=r"is no amount of memory: write 512MB"):
        byte_count(text)


# The window.


def test_a_window_is_fed_by_its_standard_input_and_opens_no_port(weights, tmp_path, monkeypatch):
    program = tmp_path / "rerun"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/options\ncat > {tmp_path}/fed.rrd\n')
    program.chmod(0o755)
    monkeypatch.setattr("face3dmm_ros.viewer.rerun_program._executable", lambda: str(program))
    monkeypatch.setenv("DISPLAY", ":0")
    with window.Window() as opened:
        frames = FrameBuffer(MEGABYTE)
        frames.add(frame(0), due=True)
        chunks = live_recording(frames, weights)
        opened.show(iter([next(chunks), next(chunks)]))
        opened.wait()
    options = (tmp_path / "options").read_text().split()
    assert options[0] == "-"
    # With --connect Rerun does not listen itself.
    assert options[options.index("--connect") + 1] == "rerun+http://127.0.0.1:1/proxy"
    assert int(options[options.index("--threads") + 1]) >= 2
    assert "/camera/image EncodedImage:blob" in logged(tmp_path / "fed.rrd")


def test_a_window_that_is_closed_ends_the_view(weights, tmp_path, monkeypatch):
    program = tmp_path / "rerun"
    program.write_text("#!/bin/sh\nhead -c 1 > /dev/null\n")
    program.chmod(0o755)
    monkeypatch.setattr("face3dmm_ros.viewer.rerun_program._executable", lambda: str(program))
    monkeypatch.setenv("DISPLAY", ":0")
    with WindowView(weights) as view:
        view._window.wait()
        assert not view.running
        view.add(frame(0), due=True)
