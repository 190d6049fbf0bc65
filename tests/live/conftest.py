"""A playground on a small table, its server, and a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import chainrule as cr
from browser import browser, page
from chainrule.live.design import Design
from chainrule.live.playground import Playground
from chainrule.live.server import Server

__all__ = ["browser", "page"]

OTHERS = ("island", "sex", "year", "body_mass_g", "bill_depth_mm")


@pytest.fixture
def playground() -> Iterator[Playground]:
    table = cr.data.read("penguins")
    playground = Playground(table, "species", [Design(hidden=(4,), ignore=OTHERS)])
    yield playground
    playground.close()


@pytest.fixture
def server(playground: Playground) -> Iterator[Server]:
    server = Server(playground)
    thread = server.start()
    yield server
    server.stop()
    thread.join(10)
    assert not thread.is_alive()
