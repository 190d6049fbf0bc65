"""The server of a live page: on this machine alone, for those who have its address."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from chainrule.errors import ChainruleError
from chainrule.inspector.page import page_of, policy

HOST = "127.0.0.1"
MAX_COMMAND = 100_000
"""Bytes of a command; larger ones are refused."""

MAX_WAITING = 100
"""Events that wait for a slow page; with more, it is told everything anew."""

PULSE_SECONDS = 0.5
"""The time between two looks whether server and page still go on."""


class Source(Protocol):
    """The run or playground that a server shows."""

    def everything(self) -> list[dict[str, Any]]:
        """The events by which a page that comes anew knows all."""

    def command(self, given: object) -> None:
        """Carry out a command of a page. Raises ChainruleError."""

    def export(self, lane: int, form: str) -> str:
        """The run as a program or configuration. Raises ChainruleError."""

    def listen(self, listener: Callable[[dict[str, Any]], None]) -> None:
        """Hand every event from now on to a listener."""

    def leave(self, listener: Callable[[dict[str, Any]], None]) -> None:
        """Hand it none any more."""


class Guard:
    """Refuses requests without the token, or that another site sends.

    Args:
        app: what is guarded.
        token: the first part of every path.
        port: of the server.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token = app, token
        self._hosts = {f"{HOST}:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 where a request is not from the page itself."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http" or not self._allowed(scope):
            await PlainTextResponse("refused", 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _allowed(self, scope: Scope) -> bool:
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts, origins = headers.get("host", []), headers.get("origin", [])
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return False
        if any(origin not in {f"http://{host}" for host in self._hosts} for origin in origins):
            return False
        if headers.get("sec-fetch-site", ["same-origin"])[0] not in ("same-origin", "none"):
            return False
        given = scope["path"].lstrip("/").partition("/")[0]
        return secrets.compare_digest(given.encode(), self._token.encode())


class Server:
    """Serves a source on a free port of this machine.

    Args:
        source: what is shown.
        port: 0 takes a free one.

    Attributes:
        url: the address of the page, with its token.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, source: Source, port: int = 0) -> None:
        self._source = source
        self._socket = socket.create_server((HOST, port))
        self.port: int = self._socket.getsockname()[1]
        self.token = secrets.token_urlsafe(16)
        self.url = f"http://{HOST}:{self.port}/{self.token}/"
        self.app = Guard(self._routes(), self.token, self.port)
        settings = uvicorn.Config(
            self.app, log_level="error", lifespan="off", timeout_graceful_shutdown=3,
            server_header=False, ws="none",
        )  # fmt: skip
        self._server = uvicorn.Server(settings)

    def run(self) -> None:
        """Serve until Ctrl-C, or until `stop` is called from another thread."""
        self._server.run(sockets=[self._socket])

    def start(self) -> threading.Thread:
        """Serve in a thread of its own, until `stop`."""
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """End serving; pages that are open are told so."""
        self._server.should_exit = True

    def _routes(self) -> Starlette:
        base = f"/{self.token}"
        return Starlette(routes=[
            Route(f"{base}/", self._page),
            Route(f"{base}/events", self._events),
            Route(f"{base}/command", self._command, methods=["POST"]),
            Route(f"{base}/export", self._export),
        ])  # fmt: skip

    async def _page(self, request: Request) -> Response:
        allowed = policy("connect-src 'self'")
        text = page_of({"live": "events"}, "Chainrule", allowed)
        return Response(text, media_type="text/html", headers=_headers(allowed))

    async def _events(self, request: Request) -> Response:
        headers = _headers() | {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers=headers)

    async def _stream(self) -> AsyncIterator[str]:
        """The events as they come; a page that is too slow is told everything anew."""
        loop, waiting = asyncio.get_running_loop(), asyncio.Queue[dict[str, Any] | None]()

        def take(event: dict[str, Any]) -> None:
            loop.call_soon_threadsafe(put, event)

        def put(event: dict[str, Any]) -> None:
            if waiting.qsize() >= MAX_WAITING:
                while not waiting.empty():
                    waiting.get_nowait()
                waiting.put_nowait(None)
            else:
                waiting.put_nowait(event)

        self._source.listen(take)
        try:
            waiting.put_nowait(None)
            while not self._server.should_exit:
                try:
                    event = await asyncio.wait_for(waiting.get(), PULSE_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"  # raises where the page is gone
                    continue
                events = [event] if event is not None else self._source.everything()
                for x in events:
                    yield f"data: {json.dumps(x, allow_nan=False, separators=(',', ':'))}\n\n"
        finally:
            self._source.leave(take)

    async def _command(self, request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return JSONResponse({"error": "a command is JSON"}, 415, headers=_headers())
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MAX_COMMAND:
                return JSONResponse({"error": "the command is too large"}, 413, headers=_headers())
        try:
            given = json.loads(body)
        except (ValueError, RecursionError):
            return JSONResponse({"error": "a command is JSON"}, 400, headers=_headers())
        try:
            await asyncio.to_thread(self._source.command, given)
        except ChainruleError as error:
            return JSONResponse({"error": str(error)}, 422, headers=_headers())
        return JSONResponse({}, headers=_headers())

    async def _export(self, request: Request) -> Response:
        lane, form = request.query_params.get("lane", "0"), request.query_params.get("form", "")
        try:
            text = self._source.export(int(lane) if lane in ("0", "1") else -1, form)
        except ChainruleError as error:
            return JSONResponse({"error": str(error)}, 422, headers=_headers())
        return PlainTextResponse(text, headers=_headers())


def _headers(allowed: str = "default-src 'none'") -> dict[str, str]:
    """The headers of every answer, with its content security policy."""
    return {
        "Content-Security-Policy": allowed,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
