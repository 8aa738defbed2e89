"""A stranger's page in a real browser, open beside ours: it reads and changes nothing, even with the token."""

import http.server
import json
import re
import shutil
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from html import unescape
from urllib.parse import urlsplit

import pytest
from test_live_page import OFFERS, frame

from face3dmm_ros.viewer.live_page import LivePage

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on PATH"),
]

STRANGER = """<!doctype html><body><script>
const folder = FOLDER, port = PORT, tried = [], read = [];
async function attempt(name, promise) {
  tried.push(name);
  try { const found = await Promise.race([promise, new Promise((_, no) => setTimeout(no, 1500))]);
        if (found) read.push(name + ": " + found); } catch {}
}
const body = answer => answer.ok ? answer.arrayBuffer().then(b => b.byteLength) : 0;
const loaded = (tag, url) => new Promise((yes, no) => {
  const element = Object.assign(document.createElement(tag), {src: url, onload: () => yes(element), onerror: no});
  document.body.append(element);
});
(async () => {
  for (const host of ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"])
    for (const path of ["/", "/frame", folder, folder + "frame?after=0", folder + "triangles"]) {
      const url = "http://" + host + ":" + port + path;
      await attempt("fetch " + url, fetch(url).then(body));
      await attempt("credentials " + url, fetch(url, {credentials: "include"}).then(body));
      await attempt("opaque " + url, fetch(url, {mode: "no-cors"}).then(body));
      await attempt("image " + url, loaded("img", url).then(image => image.naturalWidth));
      await attempt("frame " + url, loaded("iframe", url).then(f => f.contentDocument?.body?.innerHTML.length));
      await attempt("socket " + url, new Promise((yes, no) => {
        const socket = new WebSocket(url.replace("http", "ws"));
        socket.onopen = () => yes("open"); socket.onerror = no;
      }));
      await attempt("events " + url, new Promise((yes, no) => {
        const events = new EventSource(url); events.onmessage = () => yes("told"); events.onerror = no;
      }));
    }
  for (const host of ["127.0.0.1", "localhost"]) {
    const url = "http://" + host + ":" + port + folder + "do", asked = JSON.stringify({do: "pause", to: "on"});
    for (const type of ["application/json", "text/plain"])
      for (const mode of ["cors", "no-cors"])
        await attempt("post " + mode + " " + type, fetch(url, {method: "POST", mode, body: asked,
          headers: {"Content-Type": type}}).then(body));
    navigator.sendBeacon(url, asked);
    navigator.sendBeacon(url, new Blob([asked], {type: "application/json"}));
  }
  document.body.dataset.result = JSON.stringify({tried: tried.length, read});
})();
</script></body>"""


@contextmanager
def served(answer):
    """An HTTP server on the loopback interface that answers every GET by a function of the path; gives its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content_type, content = answer(self.path)
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def what_a_stranger_reads(folder, port):
    """How much a foreign page tried in a browser, and what it could read of a server at a port."""
    page = STRANGER.replace("FOLDER", json.dumps(folder)).replace("PORT", str(port)).encode()
    with served(lambda _: ("text/html", page)) as own:
        command = [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=600000", "--dump-dom",
            f"http://localhost:{own}/",
        ]  # fmt: skip
        dom = subprocess.run(command, capture_output=True, text=True, timeout=240).stdout
    result = json.loads(unescape(re.search('data-result="([^"]*)"', dom).group(1)))
    return result["tried"], result["read"]


def test_a_foreign_page_reads_and_changes_nothing():
    done = []
    with ExitStack() as stack:
        page = stack.enter_context(LivePage(OFFERS, lambda *asked: done.append(asked), source="a film", port=0))
        page.show(frame())
        parts = urlsplit(page.address)
        tried, read = what_a_stranger_reads(parts.path, parts.port)
    assert tried > 100
    assert read == []
    assert done == []


def test_the_same_page_reads_a_server_without_guards():
    with served(lambda _: ("text/plain", b"camera")) as port:
        _, read = what_a_stranger_reads("/token/", port)
    assert any(found.startswith("fetch") for found in read)
