"""Whatever is asked of the explorer's server: an answer below 500, and nothing of the machine in it."""

import http.client
import json
import socket

import numpy as np
import pytest

from convcore.explore.app import CALCULATIONS

READABLE = "/read/convcore/inspect/window.py"
LONG = "x" * 6000
PARTS = (
    "%00", "a%00b", "x" * 300, LONG, "%2e%2e", "..%2f..%2f..%2fetc%2fpasswd", "%2e%2e%2f" * 20, "..", "%5c..%5c",
    "%ff%fe", "%ed%a0%80", "%0a", "%20", "~", "*", "{name}", "window.py%00.md", "window.py/", "window.py/x", "%2fetc",
    "a/" * 2000, "%C3%A9", "?", "%3f", ";", "__pycache__", "con",
)  # fmt: skip


def raw(server, path, method="GET", body=b""):
    """A request whose path is sent as it stands."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=300) as connection:
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body)
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        return answer.status, answer.read()


FOLDERS = ("/", "/read/", "/read/convcore/", "/read/kernels/cpu/", f"{READABLE}/", "/read/convcore/lessons/../")


@pytest.mark.parametrize("where", FOLDERS)
def test_paths_lead_to_pages_or_nowhere(server, where):
    for part in PARTS:
        status, data = raw(server, where + part)
        assert status in (200, 307, 404), (where + part, data)
        if status == 200:
            assert data.startswith(b"<!doctype html>"), where + part
        if status == 404:
            assert json.loads(data)["error"]


NOWHERE = ("%00", "a%00b", "x" * 300, LONG, "a/" * 2000, "%2e%2e/" * 20, "..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd")


@pytest.mark.parametrize("where", ["/read/convcore/", "/read/kernels/cpu/", "/static/", "/read/convcore/lessons/"])
@pytest.mark.parametrize("part", NOWHERE, ids=range(len(NOWHERE)))
def test_names_that_no_file_has_and_climbing_paths_are_404(server, where, part):
    for ending in ("", ".py", "/", "/window.py"):
        status, data = raw(server, where + part + ending)
        assert (status, "there is no file" in str(data) or "Not Found" in str(data)) == (404, True), data


ROUTES = ("/static/", "/pictures/", "/api/pictures/", "/api/", "/api/upload/", "/lessons/", "/network/")


@pytest.mark.parametrize("where", ROUTES)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE"])
def test_no_path_and_no_method_fails(server, where, method):
    for part in PARTS:
        for ending in ("", ".png", "?kind=%00"):
            status, data = raw(server, where + part + ending, method, b"{}")
            assert status < 500, (where + part + ending, data)


VALUES = (
    None, True, -1, 0, 3, 10**400, -(10**400), 1e308, "", "x", "\ud800", "\0", "features.8", "digit_cnn", "sobel_x",
    "response", "late", "same", "direct", [], [[]], [[10**400]], [[1e308]], [[True]], {}, {"height": 10**400},
    {"height": 1, "width": 1, "pixels": "\ud800"}, {"height": 1, "width": 1, "pixels": "AA=="},
    {"height": 1, "width": 1, "pixels": 5, "channels": 2}, {"height": 1, "width": 1, "channels": 3, "pixels": "AAAA"},
)  # fmt: skip
GOOD = {
    "picture": {"height": 2, "width": 2, "pixels": "AAAAAA=="}, "kernel": [[1]], "stride": 1, "padding": 0,
    "dilation": 1, "relu": True, "pool": 1, "row": 0, "column": 0, "of": "response", "network": "digit_cnn",
    "layer": "features.8", "channel": 0, "target": 1, "algorithm": "direct", "case": "late", "rate": 0.001,
    "epochs": 1, "since": 0,
}  # fmt: skip
FIELDS = tuple(GOOD)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CALCULATIONS if name not in ("measure", "training-start")])
def test_no_calculation_fails_for_a_field_of_any_kind(client, name):
    for field in FIELDS:
        for value in VALUES:
            status, answer = client.post(name, {**GOOD, field: value})
            assert status < 500, (field, value, answer)
        status, answer = client.post(name, {key: GOOD[key] for key in GOOD if key != field})
        assert status < 500, (field, answer)


@pytest.mark.parametrize("name", CALCULATIONS)
def test_no_calculation_fails_for_random_requests(client, name):
    draw = np.random.default_rng(0)
    for _ in range(60):
        chosen = {field: VALUES[draw.integers(len(VALUES))] for field in FIELDS if draw.random() < 0.4}
        if name in ("measure", "training-start"):  # a good one takes seconds
            chosen |= {"case": "none", "rate": "fast"}
        status, answer = client.post(name, {**GOOD, **chosen})
        assert status < 500, (chosen, answer)


BODIES = (
    b"", b"null", b"[]", b'"x"', b"1" * 10_000, b'{"a":' * 5000, b"\xff\xfe", b'{"since": 1e999}',
    b'{"since": ' + b"9" * 5000 + b"}",
)  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_no_calculation_fails_for_a_body_of_any_kind(client, body):
    for name in CALCULATIONS:
        status, answer = client.post(name, body)
        assert status < 500, answer


def test_what_is_echoed_can_be_encoded(client):
    """JSON can name half a character, which no text holds."""
    status, answer = client.post("network", json.dumps({"network": "\ud800"}).encode())
    assert status == 400
    assert "network must be one of" in answer["error"]


def test_a_client_that_leaves_before_it_has_sent_all_is_no_failure(server, client, caplog):
    for path in ("/api/convolve", "/api/upload"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=300) as connection:
            connection.sendall(
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 1000\r\n\r\n{{".encode()
            )
    assert client.request("GET", "/")[0] == 200
    assert client.post("nothing", {})[0] == 404
    assert not [record for record in caplog.records if record.exc_info]


def test_answers_are_not_held_back(server):
    """Nagle's algorithm is off on the connections that were accepted, or each answer would take 40 ms more."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=300) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        assert connection.recv(100)
        accepted = [protocol.transport.get_extra_info("socket") for protocol in server._server.server_state.connections]
        assert accepted
        for one in accepted:
            assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
