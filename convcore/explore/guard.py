"""Access control: only pages of this server, in a browser on this machine, may send requests."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    # Pages load nothing from other sites, run no inline scripts, and cannot be framed.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class LocalOnly:
    """Refuses requests that pages of other sites send to 127.0.0.1, and adds `HEADERS` to every answer.

    A page of another site can send requests here; the browser names the site in Origin. If the site changes the address
    of its name to 127.0.0.1 (DNS rebinding), the origins agree, but Host still has the foreign name.

    Args:
        app: the application that answers allowed requests.
        port: the port of the server.
    """

    def __init__(self, app: ASGIApp, port: int):
        self.app = app
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self.origins = {f"http://{host}" for host in self.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if headers.get("host") not in self.hosts:
            refusal = f"this server is {sorted(self.hosts)[0]}, not {headers.get('host')!r:.80}"
        elif origin is not None and origin not in self.origins:
            refusal = f"a page of {origin!r:.80} may not use this server"
        else:
            await self.app(scope, receive, send_with_headers)
            return
        await JSONResponse({"error": refusal}, 403)(scope, receive, send_with_headers)
