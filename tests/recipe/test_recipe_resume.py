"""Searches and many models with checkpoints: killed, and the same call again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError

KILLED = """
import hashlib, os, random, signal, sys, time
import numpy as np
import chainrule as cr

folder, seed = sys.argv[1], int(sys.argv[2])
chance, r = random.Random(seed), np.random.default_rng(3)
a, b = r.normal(size=(2, 160))
rows = {"a": a, "b": b, "y": np.where(a * b > 0, "yes", "no")}
data = {"x": np.stack([a, b], 1).astype("float32"), "t": (a * b > 0).astype("int32")}

def networks(count):
    x, t = cr.input("x", (2,)), cr.input("t", (), dtype="int32")
    logits = cr.dense(cr.dense(x, 8, "tanh"), 2)
    loss = cr.cross_entropy(logits, t)
    return [cr.Model(logits, loss, seed=k) for k in range(count)]

def search(kept):
    found = cr.search(rows, "y", trials=4, factor=2, epochs=30, members=1, hidden=[8],
                      verbose=False, checkpoint=kept)
    return [x.drawn + str(x.score) for x in found.trials], [found.model]

def many(kept):
    models = networks(4)
    cr.fit_many(models, data, epochs=40, batch_size=8, verbose=False, checkpoint=kept)
    return [x.history["loss"].tolist() for x in models], models

def crossed(kept):
    models = networks(3)
    scores = cr.cross_validate(models, data, epochs=40, batch_size=8, verbose=False,
                               checkpoint=kept)
    return [dict(x) for x in scores], models

def train(kept):
    model = cr.train(rows, "y", members=1, hidden=[8], refit="yes", verbose=False,
                     checkpoint=kept)
    return [], [model]

def digest(work, kept):
    facts, models = work(kept)
    found = hashlib.sha256(repr(facts).encode())
    for model in models:
        for name, value in sorted(model.values.items()):
            found.update(name.encode() + value.tobytes())
    print(work.__name__, found.hexdigest(), flush=True)

def child(work, kept):
    process = os.fork()
    if not process:
        digest(work, kept)
        os._exit(0)
    return process

for work in (search, many, crossed, train):
    digest(work, None)  # the others have its code
    begun = time.monotonic()
    os.waitpid(child(work, None), 0)
    took = time.monotonic() - begun
    kept = cr.Checkpoint(os.path.join(folder, work.__name__), every=chance.choice([0, 0.01]))
    for _ in range(2):
        process = child(work, kept)
        time.sleep(chance.uniform(0.1, 0.8) * took)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    os.waitpid(child(work, kept), 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked")
def test_killed_and_called_again_they_end_with_the_same_bits(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "little")
    lines = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path), str(seed)],
        stdout=subprocess.PIPE, check=True, text=True, timeout=600,
    ).stdout.splitlines()  # fmt: skip
    found: dict[str, set[str]] = {}
    for line in lines:
        name, digest = line.split()
        found.setdefault(name, set()).add(digest)
    assert [*found] == ["search", "many", "crossed", "train"]
    assert all(len(x) == 1 for x in found.values()), (seed, lines)
    assert {x.name for x in (tmp_path / "many").iterdir()} == {f"model-{k}" for k in range(4)}
    rounds = {x.name for x in (tmp_path / "search").iterdir() if x.is_dir()}
    assert rounds == {"round-1", "round-2", "round-3"}


ROWS: dict[str, Any] = {"a": np.arange(40.0), "b": np.arange(40.0) % 7, "y": np.arange(40.0) % 3}


def test_what_differs_of_a_search_is_named(tmp_path: Path) -> None:
    fast: dict[str, Any] = {"epochs": 2, "hidden": [2], "members": 1, "verbose": False}
    found = cr.search(ROWS, "y", trials=2, checkpoint=tmp_path, **fast)
    again = cr.search(ROWS, "y", trials=2, checkpoint=tmp_path, **fast)
    assert [x.score for x in again.trials] == [x.score for x in found.trials]
    with pytest.raises(SettingError, match="other settings") as caught:
        cr.search(ROWS, "y", trials=2, metric="mae", checkpoint=tmp_path, **fast)
    assert "metric='mae'" in str(caught.value.got)
    with pytest.raises(SettingError, match="other settings"):
        cr.train(ROWS, "y", checkpoint=tmp_path, **fast)
    other = {**ROWS, "a": ROWS["a"] + 1}
    with pytest.raises(SettingError, match="the data are not those") as caught:
        cr.search(other, "y", trials=2, checkpoint=tmp_path, **fast)
    assert caught.value.got == "column 'a' has other cells"


def test_names_for_wrong_checkpoints() -> None:
    wrong: Any = 3
    with pytest.raises(SettingError, match="not a checkpoint"):
        cr.train(ROWS, "y", checkpoint=wrong)
