"""A server for the tests of this folder, and a browser to look at its pages with."""

import http.client
import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from browsing import PATIENCE
from looking import WATCH_JUMPS

from convcore.explore.server import Server

CHROMIUM = os.environ.get("CONVCORE_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None
)


@pytest.fixture(scope="session")
def server():
    """The server as `convcore explore` runs it, in a thread."""
    server = Server()
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server
    server.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


class Client:
    """Requests with nothing added that a test did not ask for."""

    def __init__(self, port):
        self.port = port

    def request(self, method, path, body=None, **headers):
        """(status, headers, bytes); headers are written as keywords."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def get(self, path):
        status, _, data = self.request("GET", path)
        assert status == 200, data
        return json.loads(data)

    def post(self, name, body):
        """The answer of a calculation; a dict or bytes to send."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, _, answer = self.request("POST", f"/api/{name}", data)
        return status, json.loads(answer)


@pytest.fixture(scope="session")
def client(server):
    return Client(server.port)


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium. Where there is none, the tests that need it say so: the one thing here that is not Python."""
    if CHROMIUM is None:
        pytest.skip("NO BROWSER WAS TESTED: Chromium is not installed (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # No sandbox: it cannot be had by root, as which containers run; the pages are this project's own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def broken(request):
    """What failed of a request, in a list: nothing where the page only left before the answer came."""
    return [] if request.failure == "net::ERR_ABORTED" else [f"{request.url}: {request.failure}"]


@pytest.fixture
def open_page(browser, server):
    """Open a path of the server in a window of its own; errors in a page's scripts fail the test."""
    contexts, errors = [], []

    def open_(path="/", width=1280, height=900, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        context.set_default_timeout(1000 * PATIENCE)
        context.add_init_script(WATCH_JUMPS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("requestfailed", lambda request: errors.extend(broken(request)))
        page.goto(server.url.rstrip("/") + path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not errors


@pytest.fixture
def keep(tmp_path):
    """Keep a picture of a page for a person to look at: in $CONVCORE_SCREENSHOTS if it is set."""
    folder = Path(os.environ.get("CONVCORE_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def keep_(page, name):
        file = folder / f"{name}.png"
        page.screenshot(path=file, full_page=True)
        return file

    return keep_
