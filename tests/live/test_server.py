"""The server answers the page that has its address, and no other."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

import pytest

from chainrule.live.playground import Playground
from chainrule.live.server import HOST, MAX_COMMAND, Server

ROUTES = ("", "events", "command", "export?form=python", "nothing")


def ask(
    server: Server, path: str, method: str = "GET", body: Any = None, **headers: str
) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=10)
    try:
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        text = "" if path.endswith("events") and answer.status == 200 else answer.read().decode()
        return answer.status, text, {k.lower(): v for k, v in answer.getheaders()}
    finally:
        connection.close()


def test_every_route_has_a_test(server: Server) -> None:
    app = server.app._app
    paths = {route.path.rpartition("/")[2] for route in app.routes}  # type: ignore[attr-defined]
    assert paths == {route.partition("?")[0] for route in ROUTES} - {"nothing"}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_its_token_nothing_is_answered(server: Server, route: str, method: str) -> None:
    token = server.token
    for wrong in (
        "", "x", token[:-1], token + "x", token.swapcase(), f"x/../{token}", f"%2e%2e/{token}x",
    ):  # fmt: skip
        status, text, _ = ask(server, f"/{wrong}/{route}" if wrong else f"/{route}", method)
        assert (status, text) == (403, "refused"), wrong


@pytest.mark.parametrize("route", ROUTES)
def test_other_hosts_and_origins_are_refused(server: Server, route: str) -> None:
    path = f"/{server.token}/{route}"
    for host in ("example.org", f"example.org:{server.port}", "127.0.0.1:1", "localhost", ""):
        assert ask(server, path, Host=host)[0] in (400, 403), host
    for origin in ("http://example.org", "null", f"https://127.0.0.1:{server.port}", ""):
        assert ask(server, path, Origin=origin)[0] == 403, origin
    assert ask(server, path, Sec_Fetch_Site="cross-site")[0] == 403


def test_a_request_with_two_hosts_is_refused(server: Server) -> None:
    with socket.create_connection((HOST, server.port), timeout=10) as connection:
        connection.sendall(
            f"GET /{server.token}/ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Host: example.org\r\nConnection: close\r\n\r\n".encode()
        )
        assert connection.recv(20).split()[1] in (b"400", b"403")


def test_the_page_is_served_with_a_strict_policy(server: Server) -> None:
    status, text, headers = ask(server, f"/{server.token}/")
    assert status == 200
    assert "chainrule-document" in text
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'unsafe-inline'" not in policy
    assert headers["x-frame-options"] == "DENY"
    assert server.token not in text


def test_paths_with_tricks_are_not_found(server: Server) -> None:
    for path in ("../etc/passwd", "..%2f..%2fetc/passwd", "static/x", "events/..", "\\windows"):
        assert ask(server, f"/{server.token}/{path}")[0] in (403, 404)


def test_commands(server: Server, playground: Playground) -> None:
    path, as_json = f"/{server.token}/command", {"Content_Type": "application/json"}
    good = json.dumps({"do": "pause", "lane": 0})
    assert ask(server, path, "POST", good, **as_json)[0] == 200
    assert ask(server, path, "POST", good)[0] == 415  # a form of another site sends no JSON
    assert ask(server, path, "POST", "{", **as_json)[0] == 400
    assert ask(server, path, "POST", "[" * 90_000, **as_json)[0] in (400, 422)
    assert ask(server, path, "POST", " " * (MAX_COMMAND + 1), **as_json)[0] == 413
    status, text, _ = ask(server, path, "POST", json.dumps({"do": "fly"}), **as_json)
    assert status == 422
    assert "there is no command 'fly'" in json.loads(text)["error"]
    assert ask(server, path)[0] == 405


def test_exports(server: Server) -> None:
    path = f"/{server.token}/export"
    assert "cr.train(" in ask(server, f"{path}?form=python&lane=0")[1]
    assert 'target = "species"' in ask(server, f"{path}?form=toml")[1]
    assert json.loads(ask(server, f"{path}?form=json")[1])["designs"][0]["hidden"] == [4]
    assert ask(server, f"{path}?form=python&lane=1")[0] == 422
    assert ask(server, f"{path}?form=exe")[0] == 422


def events(connection: http.client.HTTPConnection, server: Server, count: int) -> list[Any]:
    connection.request("GET", f"/{server.token}/events")
    answer = connection.getresponse()
    found: list[Any] = []
    while len(found) < count:
        line = answer.readline()
        if line.startswith(b"data: "):
            found.append(json.loads(line[6:]))
    return found


def test_two_pages_are_told_everything_and_one_may_go(
    server: Server, playground: Playground
) -> None:
    pages = [http.client.HTTPConnection(HOST, server.port, timeout=10) for _ in range(2)]
    for page in pages:
        kinds = [e["kind"] for e in events(page, server, 4)]
        assert kinds == ["hello", "document", "frame", "state"]
    pages[0].close()
    playground.command({"do": "epoch", "lane": 0})  # the run goes on for the other
    pages[1].close()


def test_the_port_can_be_chosen_and_is_refused_where_taken(
    server: Server, playground: Playground
) -> None:
    with pytest.raises(OSError, match="in use"):
        Server(playground, server.port)
