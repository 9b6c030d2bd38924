"""Downloads from a server on this machine: whole, resumed, broken off, with a wrong checksum."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from convcore.errors import CheckpointError
from convcore.models.pretrained.download import download

CONTENT = bytes(range(256)) * 9000
HASH = hashlib.sha256(CONTENT).hexdigest()[:8]


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; the path says how: /ranges, /whole (no ranges), /short (breaks off), anything else is missing."""

    requests: ClassVar[list[str | None]] = []

    def answer(self):
        begin = self.headers.get("Range")
        self.requests.append(begin)
        start = int(begin[6:-1]) if begin and self.path != "/whole" else 0
        if self.path not in ("/ranges", "/whole", "/short"):
            self.send_error(404)
        elif start >= len(CONTENT):
            self.send_error(416)
        else:
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            self.wfile.write(CONTENT[start : 1_000_000 if self.path == "/short" else None])

    do_GET = answer

    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def server():
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


@pytest.fixture
def place(tmp_path):
    Handler.requests.clear()
    return tmp_path / "new" / f"file-{HASH}.pth"


def test_a_whole_file_with_progress(server, place, capsys):
    assert download(f"{server}/ranges", place, HASH) == place
    assert place.read_bytes() == CONTENT
    assert list(place.parent.iterdir()) == [place]
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize(("path", "asked"), [("ranges", "bytes=1000-"), ("whole", "bytes=1000-")])
def test_going_on(server, place, path, asked):
    place.parent.mkdir()
    part = place.with_name(place.name + ".part")
    part.write_bytes(CONTENT[:1000])
    download(f"{server}/{path}", place, HASH, progress=False)
    assert Handler.requests == [asked]
    assert place.read_bytes() == CONTENT


def test_a_part_that_is_complete(server, place):
    place.parent.mkdir()
    place.with_name(place.name + ".part").write_bytes(CONTENT)
    download(f"{server}/ranges", place, HASH, progress=False)
    assert place.read_bytes() == CONTENT


def test_a_connection_that_breaks_off(server, place, capsys):
    with pytest.raises(CheckpointError, match=r"/short: .*; 1,000,000 bytes are kept for the next try"):
        download(f"{server}/short", place, HASH, progress=False)
    assert not place.exists()
    download(f"{server}/ranges", place, HASH, progress=False)
    assert Handler.requests == [None, "bytes=1000000-"]
    assert place.read_bytes() == CONTENT
    assert capsys.readouterr().err == ""


def test_a_wrong_checksum(server, place):
    with pytest.raises(CheckpointError, match=rf"must begin with 00000000, got {HASH}\w+; nothing is kept"):
        download(f"{server}/ranges", place, "00000000", progress=False)
    assert list(place.parent.iterdir()) == []


def test_no_such_file_and_no_server(server, place):
    with pytest.raises(CheckpointError, match=r"/nowhere: Not Found"):
        download(f"{server}/nowhere", place, HASH, progress=False)
    with pytest.raises(CheckpointError, match=r"/x: .*refused"):
        download("http://127.0.0.1:9/x", place, HASH, progress=False)
    assert not place.exists()
