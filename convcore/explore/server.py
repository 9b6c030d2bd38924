"""Running the app on a free port of 127.0.0.1 only."""

from __future__ import annotations

import socket
import threading
import webbrowser

import uvicorn

from convcore.explore.app import make_app
from convcore.explore.guard import LocalOnly
from convcore.explore.training import LIVE

ADDRESS = "127.0.0.1"


class Server:
    """A bound socket, and the app that will answer on it.

    Args:
        port: the port; 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, port: int = 0):
        # With an explicit protocol, asyncio disables Nagle's algorithm on accepted connections. Otherwise an answer in
        # two parts would wait 40 ms for the browser to acknowledge the first.
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            self.socket.bind((ADDRESS, port))
            self.socket.listen()  # from here on a browser can connect and wait for its first answer
        except OSError as error:
            self.socket.close()
            raise OSError(error.errno, f"port {port} of {ADDRESS} cannot be had ({error.strerror})") from None
        self.port: int = self.socket.getsockname()[1]
        config = uvicorn.Config(
            LocalOnly(make_app(), self.port), log_level="warning", lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)

    @property
    def url(self) -> str:
        """The address of the first page."""
        return f"http://{ADDRESS}:{self.port}/"

    def open_browser(self) -> None:
        """Show the first page. In a thread: a browser in the terminal returns only when it is left."""
        threading.Thread(target=webbrowser.open, args=(self.url,), daemon=True).start()

    def run(self) -> None:
        """Answer until `stop` is called or Ctrl-C is pressed, which raises KeyboardInterrupt."""
        with self.socket:
            try:
                self._server.run(sockets=[self.socket])
            finally:
                LIVE.stop()

    def stop(self) -> None:
        """Make `run`, in another thread, return."""
        self._server.should_exit = True
