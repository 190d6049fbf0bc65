"""Profiles and forecasts as data: trace events that are strict, and names of the graph."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import chainrule as cr
from chainrule.costs import traceevents
from chainrule.costs.traceevents import events_text

HOSTILE = '<script>"\\</script>\u202e\x00' + "x" * 300_000


def model(name: str = "hidden") -> cr.Model:
    x, t = cr.input("x", (20,)), cr.input("t", (), dtype="int32")
    h = cr.dropout(cr.dense((x - 1) / 2, 33, "gelu", name=name), 0.2)
    y = cr.dense(h, 7, name="y")
    return cr.Model(y, cr.cross_entropy(y, t, name="loss"))


def data(rows: int = 100) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, 20)).astype("float32")
    return {"x": x, "t": rng.integers(0, 7, rows).astype("int32")}


def strict(text: str):
    """The value of strict JSON: no NaN, no infinity, no name twice."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    def unique(pairs):
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    return json.loads(text, parse_constant=refuse, object_pairs_hook=unique)


def check_format(content) -> None:
    """The rules of the trace event format for complete and metadata events."""
    named, open_slices, last = set(), {}, {}
    for event in content["traceEvents"]:
        place = event["pid"], event["tid"]
        assert all(type(x) is int for x in place)
        assert isinstance(event["name"], str)
        assert isinstance(event["args"], dict)
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "process_sort_index", "thread_name",
                                     "thread_sort_index")  # fmt: skip
            assert list(event["args"]) == [event["name"].split("_", 1)[1]]
            named.add((event["name"], place if "thread" in event["name"] else place[0]))
            continue
        assert event["ph"] == "X"
        assert set(event) == {"ph", "name", "cat", "pid", "tid", "ts", "dur", "args"}
        begin, end = round(event["ts"] * 1000), round((event["ts"] + event["dur"]) * 1000)
        assert math.isfinite(begin)
        assert math.isfinite(end)
        assert 0 <= begin <= end
        assert {("process_name", place[0]), ("thread_name", place)} <= named, "named before use"
        assert begin >= last.get(place, 0), "in order of time"
        last[place] = begin
        around = open_slices.setdefault(place, [])
        while around and around[-1] <= begin and not begin == end <= around[-1]:
            around.pop()
        assert not around or end <= around[-1], "inside of what is open"
        around.append(end)


@pytest.mark.parametrize("threads", [1, 2])
def test_events_follow_the_format(threads, tmp_path):
    found = model().profile(data(), optimizer="adam", threads=threads, seconds=0.02)
    path = tmp_path / "step.json"
    assert found.to_trace(path) == path
    content = strict(path.read_text("utf-8"))
    assert content == found.trace_events()
    check_format(content)
    slices = [x for x in content["traceEvents"] if x["ph"] == "X"]
    kernels = [x for x in slices if x["cat"] == "kernel"]
    names = [x.cost.work.kernel.name for x in found.kernels]
    for process, rows in ((1, threads), (2, 1)):
        for thread in range(1, rows + 1):
            here = [x for x in kernels if (x["pid"], x["tid"]) == (process, thread)]
            assert [x["name"] for x in here] == names
    measured = sum(x["dur"] for x in kernels if x["pid"] == 1)
    assert measured == pytest.approx(1e6 * sum(sum(x.threads) for x in found.kernels), rel=1e-2)
    (step,) = (x for x in slices if x["name"] == "a step" and x["pid"] == 2)
    assert step["dur"] == pytest.approx(1e6 * found.forecast.seconds, abs=0.01)
    for event, x in zip(kernels, found.kernels * (threads + 1), strict=True):
        facts, work = event["args"], x.cost.work
        assert facts["nodes"] == list(work.kernel.nodes)
        assert (facts["bytes"], facts["flops"]) == (work.bytes, work.flops)
        assert facts["predicted_us"] == pytest.approx(1e6 * x.cost.seconds, abs=1e-3)
        assert facts["measured_us"] == pytest.approx(1e6 * x.seconds, abs=1e-3)
        assert facts["phase"] == x.cost.phase + 1


def test_a_long_step_keeps_its_longest_slices_and_tells_the_rest(monkeypatch):
    found = model().profile(data(), optimizer="adam", threads=2, seconds=0.02)
    whole = found.trace_events()
    monkeypatch.setattr(traceevents, "MOST_BYTES", 6_000)
    cut = found.trace_events()
    check_format(cut)
    assert len(events_text(cut)) < 9_000, "and the names of threads"
    left_out = len(whole["traceEvents"]) - len(cut["traceEvents"])
    assert cut["otherData"]["left_out_slices"] == left_out > 0
    assert whole["otherData"]["left_out_slices"] == 0
    durations = {
        n: [x["dur"] for x in y["traceEvents"] if x["ph"] == "X"]
        for n, y in (("cut", cut), ("whole", whole))
    }
    assert sorted(durations["cut"]) == sorted(durations["whole"])[left_out:]


def test_names_are_data_and_bounded(tmp_path):
    found = model(HOSTILE).profile(data(), optimizer="adam", threads=1, seconds=0.01)
    text = found.to_trace(tmp_path / "step.json").read_text("utf-8")
    check_format(strict(text))
    assert len(text) < 200_000
    assert text.isascii()


def test_no_file_is_left_where_none_can_be_written(tmp_path):
    found = model().profile(data(), threads=1, seconds=0.01)
    with pytest.raises(FileNotFoundError):
        found.to_trace(tmp_path / "missing" / "step.json")
    assert not list(tmp_path.iterdir())


def test_a_forecast_as_data_has_the_names_of_the_graph():
    made = model()
    forecast = made.plan(threads=2, optimizer="adam")
    content = strict(json.dumps(forecast.to_dict(), allow_nan=False))
    assert content == forecast.to_dict(), "plain values"
    kernels = content["kernels"]
    assert [x["name"] for x in kernels] == [x.work.kernel.name for x in forecast.kernels]
    assert sum(x["predicted"] for x in kernels) + content["barriers"] == pytest.approx(
        content["predicted"]
    )
    assert sum(x["bytes"] for x in kernels) == content["bytes"] == forecast.bytes
    assert {x["phase"] for x in kernels} == set(range(1, content["phases"] + 1))
    assert {x["threads"] for x in kernels} <= {1, 2}
    for name, node in content["nodes"].items():
        assert node["kernels"] == [k for k, x in enumerate(kernels) if name in x["nodes"]] != []
    graph = {made.graph.name(x) for x in made.graph}
    assert {"hidden.matmul", "y", "loss.mean"} <= graph & content["nodes"].keys()
    assert {"subtract", "divide"} <= set(content["once"]) <= graph
    assert not set(content["once"]) & content["nodes"].keys()


def test_a_profile_as_data_adds_what_was_measured():
    found = model().profile(data(), optimizer="adam", threads=2, seconds=0.02)
    content = strict(json.dumps(found.to_dict(), allow_nan=False))
    assert content["measured"] == found.seconds
    assert content["waiting"] == found.waiting
    by_node = sum(x["measured"] for x in content["nodes"].values())
    assert by_node == pytest.approx(sum(x["measured"] for x in content["kernels"]))
    for x in content["kernels"]:
        assert len(x["measured_by_thread"]) == 2
        assert sum(x["measured_by_thread"]) / 2 == pytest.approx(x["measured"])
