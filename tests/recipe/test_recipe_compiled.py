"""What a recipe builds and compiles: everything once, whatever the number of folds and runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.backend.cpu import backend
from chainrule.model import stepcache
from chainrule.model.model import Model
from chainrule.recipe import network
from chainrule.system.processors import usual_threads

ROWS = 120


def table() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    size, kind = rng.normal(size=ROWS), rng.integers(0, 3, ROWS)
    return {
        "size": size, "kind": [f"k{x}" for x in kind],
        "class": np.where(size + kind > 1, "yes", "no").tolist(),
    }  # fmt: skip


class Counter:
    """Counts calls of functions, in forked processes too: each adds a byte to a file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._path = path

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            os.write(self._file, b".")
            return function(*arguments, **named)

        return counted

    @property
    def calls(self) -> int:
        return self._path.stat().st_size


@pytest.fixture
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Counter]:
    """Counters of what is compiled, of steps and of networks; nothing is cached before."""
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CHAINRULE_CODE_CACHE", raising=False)
    places = {"code": (backend, "object_files"), "steps": (stepcache, "build_split"),
              "networks": (network, "Model")}  # fmt: skip
    found = {}
    for name, (module, function) in places.items():
        found[name] = Counter(tmp_path / name)
        monkeypatch.setattr(module, function, found[name].of(getattr(module, function)))
    return found


def test_folds_members_and_runs_share_what_is_built_and_compiled(
    counts: dict[str, Counter],
) -> None:
    found = cr.train(table(), "class", members=2, hidden=(24,), refit="yes", verbose=False)
    assert found.notes["config"]["epochs"] is not None  # 16 networks of folds have chosen it
    # of the folds' network and of the members': the step, and the pass that scores or predicts
    assert counts["code"].calls <= 4
    assert counts["networks"].calls == 2
    # on one processor folds run in a thread, whose step names no line of the user's
    assert counts["steps"].calls == 2 + (usual_threads() == 1)


def test_models_of_one_shape_are_compiled_once_by_all_processes(
    counts: dict[str, Counter],
) -> None:
    def model(seed: int) -> Model:
        x, y = cr.input("x", (3,)), cr.input("y", (2,))
        z = cr.dense(cr.dense(x, 29, "tanh", name="h"), 2)
        return cr.Model(z, cr.squared_error(z, y), seed=seed)

    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=(64, 3)), "y": rng.normal(size=(64, 2))}
    models = [model(seed) for seed in range(6)]
    cr.fit_many(models, data, jobs=3, epochs=2, validation=None, verbose=False)
    assert counts["code"].calls == 1
    assert len({x.values["h.w"].tobytes() for x in models}) == 6
