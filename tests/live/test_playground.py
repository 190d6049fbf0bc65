"""The playground: runs that wait, go on, go back, and are repeated by what they export."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import SettingError
from chainrule.live.design import Design
from chainrule.live.lane import Lane
from chainrule.live.playground import Playground


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def rests(lane: Lane, epoch: int) -> None:
    """Wait until a lane rests at an epoch."""
    wait_for(lambda: lane.status == "paused" and lane.epoch == epoch)


def losses(lane: Lane) -> list[float]:
    assert lane.training is not None
    return [float(x) for x in lane.training.model.history["loss"]]


def test_a_run_waits_and_goes_on(playground: Playground) -> None:
    (lane,) = playground.lanes
    assert lane.status == "paused"
    playground.command({"do": "epoch", "lane": 0})
    rests(lane, 1)
    playground.command({"do": "goto", "lane": 0, "epoch": 4})
    rests(lane, 4)
    playground.command({"do": "start", "lane": None})
    wait_for(lambda: lane.epoch > 6)
    playground.command({"do": "pause", "lane": 0})
    wait_for(lambda: lane.status == "paused")
    assert len(losses(lane)) == lane.epoch


def test_going_back_repeats_the_run(playground: Playground) -> None:
    playground.command({"do": "goto", "lane": 0, "epoch": 5})
    rests(playground.lanes[0], 5)
    first = losses(playground.lanes[0])
    playground.command({"do": "goto", "lane": 0, "epoch": 3})
    rests(playground.lanes[0], 3)
    assert losses(playground.lanes[0]) == first[:3]


def test_the_exported_program_gives_the_same_losses(playground: Playground, tmp_path: Path) -> None:
    playground.command({"do": "goto", "lane": 0, "epoch": 4})
    rests(playground.lanes[0], 4)
    program = tmp_path / "run.py"
    program.write_text(playground.export(0, "python"), "utf-8")
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    printed = [float(x) for x in done.stdout.split()[-4:]]
    assert printed == losses(playground.lanes[0])


def test_the_exported_configuration_gives_the_same_losses(
    playground: Playground, tmp_path: Path
) -> None:
    playground.command({"do": "goto", "lane": 0, "epoch": 3})
    rests(playground.lanes[0], 3)
    (tmp_path / "run.toml").write_text(playground.export(0, "toml"), "utf-8")
    from chainrule.recipe import Training, config  # noqa: PLC0415
    from chainrule.recipe.configfile import from_toml  # noqa: PLC0415

    training = Training.of(playground.table, config(**from_toml(tmp_path / "run.toml")))
    training.fit(False)
    assert list(training.model.history["loss"]) == losses(playground.lanes[0])


def test_two_designs_have_one_seed(playground: Playground) -> None:
    playground.command({"do": "compare", "on": True})
    first, second = playground.lanes
    assert first.feed is not None
    assert second.feed is not None
    a, b = first.feed.recorder.model.values, second.feed.recorder.model.values
    assert all(np.array_equal(a[name], b[name]) for name in a)
    changed = {**second.design.to_dict(), "activation": "relu", "rate": 0.3}
    playground.command({"do": "configure", "lane": 1, "design": changed})
    assert playground.lanes[0].design.activation == "tanh"
    assert playground.lanes[1].design.activation == "relu"
    playground.command({"do": "compare", "on": False})
    assert len(playground.lanes) == 1


def test_a_design_that_is_not_valid_changes_nothing(playground: Playground) -> None:
    before = playground.lanes[0]
    for design, said in (
        ({"hidden": [-1]}, "hidden"), ({"rate": 0}, "rate"), ({"activation": "x"}, "activation"),
        ({"hidden": [4] * 9}, "too large"), ({"hidden": [9999]}, "too large"),
        ({"optimizer": "lbfgs"}, "optimizer"), ({"hiden": [3]}, "hidden"), ("x", "not a design"),
        ({"batch_size": 1e99}, "batch_size"), ({"seed": True}, "seed"),
    ):  # fmt: skip
        with pytest.raises(SettingError, match=said):
            playground.command({"do": "configure", "lane": 0, "design": design})
    for command in ({}, {"do": "fly"}, [], {"do": "start", "lane": 7}, {"do": "goto", "epoch": -1}):
        with pytest.raises(SettingError):
            playground.command(command)
    assert playground.lanes[0] is before


def test_a_run_that_diverges_says_so(playground: Playground) -> None:
    wild = {**playground.lanes[0].design.to_dict(), "rate": 1e30, "activation": "relu"}
    playground.command({"do": "configure", "lane": 0, "design": wild})
    playground.command({"do": "start", "lane": 0})
    wait_for(lambda: playground.lanes[0].status == "failed")
    assert "NaN or infinite" in playground.lanes[0].message


def test_all_that_is_left_out_is_an_error_of_the_design(playground: Playground) -> None:
    everything = [e.name for e in playground.schema.columns]
    design = {**playground.lanes[0].design.to_dict(), "ignore": everything}
    playground.command({"do": "configure", "lane": 0, "design": design})
    assert playground.lanes[0].status == "failed"
    playground.command({"do": "start", "lane": 0})  # and nothing happens
    assert [e["kind"] for e in playground.everything()] == ["hello", "state"]


def test_frames_hold_what_is_new(playground: Playground) -> None:
    frames: list[dict[str, Any]] = []
    heard = threading.Event()

    def listen(event: dict[str, Any]) -> None:
        if event["kind"] == "frame":
            frames.append(event)
            heard.set()

    playground.listen(listen)
    for epoch in (1, 2):
        heard.clear()
        playground.command({"do": "epoch", "lane": 0})
        assert heard.wait(30)
        rests(playground.lanes[0], epoch)
    assert [f["learning"]["epochs"] for f in frames] == [[0, 1], [2]]
    assert [f["record"] for f in frames] == [0, 2]
    assert [len(f["learning"]["history"]["loss"]) for f in frames] == [1, 1]


def test_what_is_recorded_of_a_plane(playground: Playground) -> None:
    for epoch in (1, 2):
        playground.command({"do": "epoch", "lane": 0})
        rests(playground.lanes[0], epoch)
    lane = playground.lanes[0]
    assert lane.feed is not None
    learning = lane.feed.recorder.section()
    regions = learning["regions"]
    assert [regions["x"]["column"], regions["y"]["column"]] == [
        "bill_length_mm", "flipper_length_mm",
    ]  # fmt: skip
    assert len(regions["answers"]) == 3
    assert learning["guess"]["loss"] == pytest.approx(1.0487, abs=0.02)
    assert learning["start"] == pytest.approx(np.log(3), abs=1e-5)
    assert sum(map(sum, learning["confusion"]["counts"])) == 69


def test_dead_units_are_named_with_the_epoch() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(80, 2))
    table = {"a": x[:, 0], "b": x[:, 1], "y": np.where(x[:, 0] > 0, "p", "q")}
    design = Design(hidden=(6,), activation="relu", rate=2.0, batch_size=8)
    playground = Playground(cr.data.read(table), "y", [design])
    try:
        playground.command({"do": "goto", "lane": 0, "epoch": 3})
        rests(playground.lanes[0], 3)
        feed = playground.lanes[0].feed
        assert feed is not None
        recorder = feed.recorder
        layer = recorder.section()["layers"][0]
        assert layer["dead"][-1] == len(layer["killed"])
        assert all(k["epoch"] in recorder.epochs for k in layer["killed"])
        assert layer["dead"][0] == 0
    finally:
        playground.close()


def test_designs_come_back_from_their_json() -> None:
    design = Design(hidden=(3, 2), dropout=0.5, ignore=("a",))
    assert Design.of(design.to_dict()) == design


def test_one_step_is_one_minibatch(playground: Playground) -> None:
    (lane,) = playground.lanes
    frames: list[dict[str, Any]] = []
    playground.listen(lambda e: frames.append(e) if e["kind"] == "frame" else None)
    assert lane.training is not None
    weights = [lane.training.model.values["dense_2.w"].copy()]
    for step in (1, 2, 3):
        playground.command({"do": "step", "lane": 0})
        wait_for(lambda step=step: lane.status == "paused" and lane.step == step)
        assert lane.training.model.steps == step
        assert lane.state["batch"] == step
        assert lane.state["epoch"] == 0
        assert lane.state["loss"] > 0
        weights.append(lane.training.model.values["dense_2.w"].copy())
    assert all(not np.array_equal(a, b) for a, b in pairwise(weights))
    batches = lane.batches
    told = [f["learning"]["epochs"] for f in frames]
    assert told == [[0, 1 / batches], [2 / batches], [3 / batches]]
    shown = frames[-1]["learning"]["values"][0]["dense_2.w"]["data"]
    assert np.array_equal(np.frombuffer(b64decode(shown), "<f4"), weights[-1].ravel())
    playground.command({"do": "epoch", "lane": 0})
    rests(lane, 1)
    assert lane.step == batches
    steps = losses(lane)
    playground.command({"do": "reset", "lane": 0})
    playground.command({"do": "epoch", "lane": 0})
    rests(playground.lanes[0], 1)
    assert losses(playground.lanes[0]) == steps


def test_two_designs_go_on_epoch_by_epoch(playground: Playground) -> None:
    playground.command({"do": "compare", "on": True})
    slow = {**playground.lanes[1].design.to_dict(), "hidden": [64, 64, 64], "batch_size": 2}
    playground.command({"do": "configure", "lane": 1, "design": slow})
    playground.command({"do": "start", "lane": None})
    wait_for(lambda: playground.lanes[1].epoch >= 3)
    ahead = playground.lanes[0].epoch - playground.lanes[1].epoch
    assert ahead <= 1
    playground.command({"do": "pause", "lane": None})
    wait_for(lambda: all(x.status == "paused" for x in playground.lanes))
    first, second = playground.lanes
    assert (first.epoch, first.state["batch"]) == (second.epoch, second.state["batch"])


def test_the_page_has_the_optimizer_of_the_design(playground: Playground) -> None:
    design = {**playground.lanes[0].design.to_dict(), "optimizer": "adam"}
    for chosen in ("adam", "sgd"):
        playground.command({"do": "configure", "lane": 0, "design": design | {"optimizer": chosen}})
        event, _ = playground.lanes[0].events()
        assert str(event["document"]["graph"]["optimizer"]).lower().startswith(chosen)
