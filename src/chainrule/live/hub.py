"""Hands the events of a run to the pages that look on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from chainrule.data.schema import Schema
from chainrule.data.table import Table

Event = dict[str, Any]
Listener = Callable[[Event], None]


class Hub:
    """Hands events to those who listen."""

    def __init__(self) -> None:
        self._listening = threading.Lock()
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Hand every event from now on to a listener."""
        with self._listening:
            self._listeners.append(listener)

    def leave(self, listener: Listener) -> None:
        """Hand it none any more."""
        with self._listening:
            self._listeners.remove(listener)

    def send(self, event: Event) -> None:
        """Hand an event to all."""
        with self._listening:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(event)

    @property
    def watched(self) -> bool:
        """Whether anyone listens."""
        return bool(self._listeners)


def table_form(schema: Schema, table: Table) -> dict[str, Any]:
    """The table as `TableForm` of web/src/sections.ts."""
    assert schema.target is not None
    return {
        "source": table.source, "rows": len(table), "target": schema.target.name,
        "task": schema.task, "columns": [{"name": e.name, "kind": e.kind} for e in schema.columns],
    }  # fmt: skip
