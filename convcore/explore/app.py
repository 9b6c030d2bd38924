"""The web app: pages, and an API in JSON and PNG on top of the engine.

POST /api/<name> takes and returns a JSON object; the answer to a wrong request is {"error": message}.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from convcore.errors import ConvcoreError
from convcore.explore import algorithms, network, pages, pictures, playground, reading, training
from convcore.explore.fields import RequestError

MAX_BODY = 2**20  # bytes of a JSON request: a picture of 256x256 pixels takes 90 kB

Calculation = Callable[[dict[str, Any]], dict[str, Any]]

CALCULATIONS: dict[str, Calculation] = {
    "convolve": playground.convolve,
    "window": playground.take_apart,
    "network": network.describe,
    "look": network.look,
    "unit": network.unit,
    "explain": network.explain,
    "steps": algorithms.steps,
    "measure": algorithms.measured,
    "training": training.state,
    "training-start": training.start,
    "training-stop": training.stop,
}


def make_app() -> Starlette:
    """The app; `server.py` runs it."""
    # The kernels use all cores, so requests are computed one after another.
    one_at_a_time = CapacityLimiter(1)

    async def calculate(request: Request) -> Response:
        calculation = CALCULATIONS.get(request.path_params["name"])
        if calculation is None:
            raise HTTPException(404, "there is no such API function")
        body = json_object(await read_body(request, MAX_BODY))
        return JSONResponse(await to_thread.run_sync(calculation, body, limiter=one_at_a_time))

    async def upload(request: Request) -> Response:
        data = await read_body(request, pictures.MAX_FILE)
        kind = request.query_params.get("kind", "grey")
        picture = await to_thread.run_sync(
            lambda: pictures.converted(pictures.uploaded(data), kind), limiter=one_at_a_time
        )
        return JSONResponse(picture)

    shown = [Route(entry.path, _html(entry)) for entry in pages.PAGES]
    return Starlette(
        routes=[
            *shown,
            Route(pages.LESSONS, reading.lessons),
            Route("/read/{path:path}", reading.read),
            Route("/api/choices", _choices),
            Route("/api/pictures/{name}", _sample),
            Route("/api/upload", upload, methods=["POST"]),
            Route("/api/{name}", calculate, methods=["POST"]),
            Route("/pictures/{name}.png", _png),
            Mount("/static", StaticFiles(directory=Path(__file__).with_name("static"))),
        ],
        exception_handlers={
            ConvcoreError: _refused,
            HTTPException: _failed,
            ClientDisconnect: _left,
            Exception: _broken,
        },
    )


def _html(entry: pages.Page) -> Callable[[Request], Response]:
    return lambda request: HTMLResponse(pages.page(entry))


def _choices(request: Request) -> Response:
    return JSONResponse({**playground.choices(), "networks": network.choices(), "cases": algorithms.choices()})


def _sample(request: Request) -> Response:
    image = pictures.named(request.path_params["name"])
    return JSONResponse(pictures.converted(image, request.query_params.get("kind", "grey")))


def _png(request: Request) -> Response:
    return Response(pictures.png(request.path_params["name"]), media_type="image/png")


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request, at most `limit` bytes.

    The rest of a longer body is received and dropped, because a browser shows no answer before it has sent everything.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
    if size > limit:
        raise HTTPException(413, f"at most {limit / 2**20:.0f} MB can be sent, got {size / 2**20:.1f} MB")
    return b"".join(parts)


def json_object(data: bytes) -> dict[str, Any]:
    """Parse a JSON object. NaN and Infinity, which Python's parser accepts, are refused."""

    def refuse(constant: str) -> None:
        raise RequestError(f"{constant} is not a number that can be computed with")

    try:
        body = json.loads(data, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError("the request must be a JSON object") from None
    if not isinstance(body, dict):
        raise RequestError("the request must be a JSON object")
    return body


def _refused(request: Request, error: Exception) -> Response:
    """The answer to a wrong request: the violated rule, without the table of shapes that may follow."""
    return JSONResponse({"error": str(error).splitlines()[0]}, 400)


def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


def _left(request: Request, error: Exception) -> Response:
    # Nobody waits for this answer: the user left the page while it sent the request.
    return Response(status_code=400)


def _broken(request: Request, error: Exception) -> Response:
    # The server also receives the exception and prints it.
    return JSONResponse({"error": f"the engine failed: {type(error).__name__}; the terminal says more"}, 500)
