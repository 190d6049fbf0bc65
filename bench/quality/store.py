"""The file that keeps all runs of a machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.quality.records import Run
from chainrule.system.atomicfile import write_whole


class Store:
    """The file with all runs of a machine; added runs are written to disk at once.

    The file is read again before it is written, so that two may add to it in turn.
    """

    def __init__(self, path: Path, machine: Mapping[str, Any] | None = None) -> None:
        self._path, self._machine = path, machine
        self._read()

    def __contains__(self, key: tuple[str, int, str]) -> bool:
        return key in self._runs

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def add(self, run: Run) -> None:
        """Stores a run, replacing an older one."""
        self._read()
        self._runs[run.key] = run
        self._write()

    def note(self, name: str, measured: Mapping[str, Any]) -> None:
        """Stores a measurement of another kind."""
        self._read()
        self.extras[name] = dict(measured)
        self._write()

    def _read(self) -> None:
        saved = json.loads(self._path.read_text("utf-8")) if self._path.exists() else {}
        self.machine = self._machine or saved.get("machine", {})
        self.extras: dict[str, Any] = saved.get("extras", {})
        self._runs = {x.key: x for x in (Run(**fields) for fields in saved.get("runs", []))}

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        runs = [asdict(self._runs[key]) for key in sorted(self._runs)]
        whole = {"machine": self.machine, "extras": self.extras, "runs": runs}
        write_whole(self._path, json.dumps(whole, indent=1) + "\n")
