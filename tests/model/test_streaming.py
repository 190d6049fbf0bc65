"""Training on a stream: the bits of training in memory, however the rows are read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from ended import ended

import chainrule as cr
from chainrule import schedules as s
from chainrule.data import windows
from chainrule.errors import DataError, FeedError, NotFinite, SettingError
from chainrule.model import streaming
from chainrule.train import loop
from chainrule.train import streaming as feeding

R = np.random.default_rng(11)
N = 3000
X = R.normal(size=(N, 4)).astype("float32")
K = R.integers(0, 6, N).astype("int8")
DATA: dict[str, Any] = {"x": X, "k": K, "t": ((X[:, 0] * X[:, 1] > 0) ^ (K > 4)).astype("uint8")}
BLOCKS = cr.BlockShuffle(64, window=5)


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE", os.fspath(tmp_path / "caches"))


def network(seed: int = 3) -> cr.Model:
    x, k = cr.input("x", (4,)), cr.input("k", (), dtype="int32")
    t = cr.input("t", (), dtype="int32")
    both = cr.concat([(x - 0.1) * 2.0, cr.embedding(k, 6, 3)])
    h = cr.dropout(cr.batch_norm(cr.dense(both, 16, "tanh")), 0.1)
    logits = cr.dense(h, 2)
    return cr.Model(logits, cr.cross_entropy(logits, t), seed=seed)


def blocks(size: int = 700) -> Iterator[dict[str, Any]]:
    for k in range(0, N, size):
        yield {name: x[k : k + size] for name, x in DATA.items()}


def fitted(data: Any, model: cr.Model | None = None, **settings: Any) -> cr.Model:
    model = model or network()
    usual = {"epochs": 4, "batch_size": 48, "verbose": False, "shuffle": BLOCKS}
    model.fit(data, **{**usual, **settings})
    return model


RUNS: dict[str, dict[str, Any]] = {
    "usual": {},
    "all rows": {"validation": None},
    "adam": {"optimizer": cr.Adam(s.Cosine(0.02)), "clip_norm": 1.0},
    "early stop": {"optimizer": cr.SGD(1.5), "patience": 2, "epochs": 12},
    "plateau": {"optimizer": cr.SGD(s.ReduceOnPlateau(0.9, patience=1, factor=0.5))},
    "last kept": {"keep_best": False, "metrics": ["accuracy", "auc"]},
    "one block": {"shuffle": cr.BlockShuffle(N)},
    "rows alone": {"shuffle": cr.BlockShuffle(1, window=7), "epochs": 2},
    "default blocks": {"shuffle": cr.BlockShuffle(), "epochs": 2},
    "large minibatches": {"batch_size": 5000},
    "interpreted": {"backend": "interpreter", "epochs": 1},
    "one thread": {"threads": 1},
}


@pytest.mark.parametrize(
    ("name", "chunk"), [*((x, 500) for x in RUNS), ("usual", 1), ("usual", 1 << 15)]
)
def test_a_stream_trains_to_the_bits_of_arrays_in_memory(
    name: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "CHUNK_ROWS", chunk)
    settings = RUNS[name]
    assert ended(fitted(cr.data.stream(blocks()), **settings)) == ended(fitted(DATA, **settings))


def test_the_default_order_of_a_stream_is_that_of_blocks() -> None:
    streamed = fitted(cr.data.stream(DATA), shuffle=True)
    assert ended(streamed) == ended(fitted(DATA, shuffle=cr.BlockShuffle()))


def test_weights_are_relative_to_the_mean_of_all_training_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chainrule.engine.totals.BLOCK", 500)
    monkeypatch.setattr(streaming, "BLOCK", 500)
    x, t, w = cr.input("x", (4,)), cr.input("t", ()), cr.input("w", ())
    y = cr.sum(cr.dense(x, 1), axis=1)
    data = {"x": X, "t": X[:, 0], "w": R.random(N).astype("float32")}

    def run(given: Any) -> tuple[Any, ...]:
        return ended(fitted(given, cr.Model(y, cr.squared_error(y, t, weights=w))))

    assert run(cr.data.stream(data)) == run(data)


def test_rows_of_their_own_may_validate() -> None:
    held = {name: x[:400] for name, x in DATA.items()}
    expected = ended(fitted(DATA, validation=held))
    assert ended(fitted(cr.data.stream(blocks()), validation=held)) == expected
    streams = cr.data.stream(blocks()), cr.data.stream(held)
    assert ended(fitted(streams[0], validation=streams[1])) == expected


def test_many_rows_validate_in_part_and_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "HELD_ROWS", 100)
    model = fitted(cr.data.stream(blocks()), epochs=1)
    assert "fewer than validation=0.2 asks for, by a hash of their number" in model.split
    assert ended(model) == ended(fitted(DATA, epochs=1))
    again = cr.data.stream(DATA)
    scores = model.evaluate(again)
    exact = model.evaluate(DATA)
    for name in ("loss", "accuracy", "log_loss", "brier"):
        assert scores[name] == pytest.approx(exact[name], rel=1e-5), name
    assert scores["auc"] == pytest.approx(exact["auc"], abs=0.2)
    assert any("auc" in note and "of the 3,000 rows" in note for note in scores.notes)


def test_scores_and_predictions_are_those_of_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainrule.data.streams.stream.READ_BYTES", 700)
    model, stream = fitted(DATA, epochs=1), cr.data.stream(blocks())
    assert model.evaluate(stream) == model.evaluate(DATA)
    npt.assert_array_equal(model.predict(stream), model.predict(DATA))
    inputs = {"x": X, "k": K}
    npt.assert_array_equal(model.predict(cr.data.stream(inputs)), model.predict(inputs))
    nodes = [model.graph.name(x) for x in (model.graph.parameters[0], model.outputs[0])]
    for found, expected in zip(
        model.predict(stream, outputs=nodes), model.predict(DATA, outputs=nodes), strict=True
    ):
        npt.assert_array_equal(found, expected)


def test_a_table_is_encoded_once_and_trains_as_itself() -> None:
    table = {"a": X[:600, 0], "k": np.array(list("abcdef"))[K[:600]], "t": DATA["t"][:600]}
    model = cr.train(table, "t", verbose=False, epochs=2)
    assert model.schema is not None
    encoded = model.schema.encode(cr.data.read(table), "required")
    assert encoded.target is not None
    stream = cr.data.stream({**encoded.arrays, "t": encoded.target})
    assert model.evaluate(stream) == model.evaluate(encoded)
    npt.assert_array_equal(model.predict(stream).values, model.predict(table).values)
    bits = [ended(fitted(x, model.untrained(), epochs=2)) for x in (stream, encoded)]
    assert bits[0] == bits[1]


# ---------------------------------------------------------------- sorted files


def test_a_file_sorted_by_class_trains_as_well_as_a_shuffled_one() -> None:
    x = R.normal(size=(8000, 2)).astype("float32")
    t = (x[:, 0] + x[:, 1] > 0).astype("int32")
    order = np.argsort(t, kind="stable")

    def score(rows: Any, **settings: Any) -> float:
        data = {"x": x[rows], "t": t[rows]}
        a, b = cr.input("x", (2,)), cr.input("t", (), dtype="int32")
        logits = cr.dense(a, 2)
        model = cr.Model(logits, cr.cross_entropy(logits, b))
        model.fit(cr.data.stream(data), epochs=1, optimizer=cr.SGD(0.5), validation=None,
                  verbose=False, **settings)  # fmt: skip
        return float(model.evaluate({"x": x, "t": t})["loss"])

    best = score(np.random.default_rng(0).permutation(8000), shuffle=cr.BlockShuffle(32, window=16))
    assert score(order, shuffle=cr.BlockShuffle(32, window=16)) < best + 0.02
    assert score(order, shuffle=False) > best + 0.1, "the test sees the order"


# ---------------------------------------------------------------- memory and threads


def test_two_windows_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is used, and one that is read ahead: in the same arrays from first to last."""
    used, made = [], feeding._Window.__init__

    def seen(self: Any, *arguments: Any) -> None:
        made(self, *arguments)
        used.append(self.buffers)

    monkeypatch.setattr(feeding._Window, "__init__", seen)
    monkeypatch.setattr(feeding, "CHUNK_ROWS", 64)
    fitted(cr.data.stream(blocks()))
    assert len(used) == 4 * 10
    assert len({id(x) for x in used}) == 2
    assert {len(x["x"]) for x in used} == {5 * 64}


def test_threads_end_with_the_run() -> None:
    stream = cr.data.stream(blocks())
    fitted(stream)

    class Stop(Exception):
        pass

    def fail(state: Any) -> None:
        raise Stop

    with pytest.raises(Stop):
        fitted(stream, callbacks=fail)
    until = time.monotonic() + 10
    while any("stream" in x.name for x in threading.enumerate()) and time.monotonic() < until:
        time.sleep(0.01)
    assert not [x.name for x in threading.enumerate() if "stream" in x.name]
    assert stream.waiting is not None
    assert 0 <= stream.waiting <= 1


MEMORY = """
import sys
import numpy as np
import chainrule as cr
from chainrule.data import windows

windows.HELD_BYTES = 1 << 21
rows, each = int(sys.argv[1]), 1 << 15
def blocks():
    rng = np.random.default_rng(0)
    for k in range(0, rows, each):
        x = rng.normal(size=(min(each, rows - k), 32)).astype("float32")
        yield {"x": x, "t": (x[:, 0] > 0).astype("uint8")}

def peak():
    return next(int(x.split()[1]) for x in open("/proc/self/status") if x.startswith("VmHWM")) >> 10

x, t = cr.input("x", (32,)), cr.input("t", (), dtype="int32")
logits = cr.dense(cr.dense(x, 8, "relu"), 2)
model = cr.Model(logits, cr.cross_entropy(logits, t))
stream = cr.data.stream(blocks)
model.fit(stream, epochs=1, batch_size=4096, shuffle=cr.BlockShuffle(256), verbose=False)
scores = model.evaluate(stream)
assert scores.notes, "of some rows"
print(peak())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_constant_in_the_number_of_rows() -> None:
    def peak(rows: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(rows)], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    small, large = peak(1 << 17), peak(9 << 17)  # 17 MB and 155 MB
    assert large < small + 40, (small, large)


# ---------------------------------------------------------------- going on


@pytest.mark.parametrize("at", [1, 7, 60, 130])
def test_a_run_on_a_stream_goes_on_from_its_checkpoint(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SLICE_SECONDS", 0)
    monkeypatch.setattr(feeding, "CHUNK_ROWS", 500)

    class Cut(Exception):
        pass

    def callback() -> Any:
        class At(cr.Callback):
            def on_step(self, state: Any) -> None:
                if state.step == at:
                    raise Cut

        return At()

    kept = cr.Checkpoint(tmp_path / "run", every=0)
    with pytest.raises(Cut):
        fitted(cr.data.stream(blocks()), checkpoint=kept, callbacks=callback())
    resumed = fitted(cr.data.stream(blocks(77)), checkpoint=kept)
    assert ended(resumed) == ended(fitted(DATA))


def test_other_rows_or_blocks_do_not_go_on(tmp_path: Path) -> None:
    kept = cr.Checkpoint(tmp_path / "run", every=0)
    fitted(cr.data.stream(DATA), checkpoint=kept)
    other = {**DATA, "k": DATA["k"][::-1].copy()}
    for data, settings in ((other, {}), (DATA, {"shuffle": cr.BlockShuffle(32, window=5)})):
        with pytest.raises(SettingError, match="checkpoints of another call") as told:
            fitted(cr.data.stream(data), checkpoint=kept, **settings)
        assert "training data" in str(told.value)


INTERRUPTED = """
import threading, os, signal, time
import numpy as np
import chainrule as cr

x, t = cr.input("x", (64,)), cr.input("t", (), dtype="int32")
logits = cr.dense(cr.dense(x, 256, "relu"), 2)
model = cr.Model(logits, cr.cross_entropy(logits, t))
rng = np.random.default_rng(0)
data = {"x": rng.normal(size=(200_000, 64)).astype("float32"), "t": rng.integers(0, 2, 200_000)}
stream = cr.data.stream(data)
when = []

def interrupt():
    while not model.steps:
        time.sleep(0.01)
    time.sleep(0.3)
    when.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
try:
    model.fit(stream, epochs=1000, verbose=False)
except KeyboardInterrupt:
    print(model.steps, time.perf_counter() - when[0])
"""


def test_ctrl_c_ends_a_run_on_a_stream() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 0


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": np.where(np.arange(N) == 1234, 2, DATA["t"]).astype("int32")}, "row 1,234"),
        ({"k": np.where(np.arange(N) == 2345, -1, K).astype("int8")}, "row 2,345"),
        ({"k": np.where(np.arange(N) == 17, 6, K).astype("int8")}, r"(?s)out of range.*row 17\b"),
        ({"x": X[:, :3]}, "the shape does not fit"),
        ({"k": K.astype("float32")}, "fractions for an input of integers"),
        ({"x": np.where(np.arange(N)[:, None] == 99, 1e300, X.astype("float64"))}, "row 99"),
        ({"z": X}, "names do not match"),
    ],
    ids=["class", "negative", "index", "shape", "kind", "overflow", "name"],
)
def test_a_mistake_in_the_data_is_told_before_the_first_step(
    change: dict[str, Any], message: str
) -> None:
    model = network()
    with pytest.raises(FeedError, match=message):
        fitted(cr.data.stream({**DATA, **change}), model)
    assert model.steps == 0


def test_a_number_that_is_not_finite_is_named_by_its_row() -> None:
    x = X.copy()
    x[1717, 2] = np.nan
    with pytest.raises(NotFinite, match="row 1717"):
        fitted(cr.data.stream({**DATA, "x": x}), validation=None)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"groups": "k"}, "groups"), ({"time": "k"}, "time"), ({"record": True}, "record"),
        ({"optimizer": cr.LBFGS()}, "L-BFGS"), ({"patience": 2, "validation": None}, "patience"),
        ({"patience": cr.EarlyStopping("loss")}, "EarlyStopping"),
    ],
)  # fmt: skip
def test_what_needs_all_rows_is_refused(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingError, match=name) as told:
        fitted(cr.data.stream(DATA), **settings)
    assert told.value.fix


def test_a_file_that_changes_during_a_run_is_told_and_the_model_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "CHUNK_ROWS", 64)
    stream = cr.data.stream(blocks(), folder=tmp_path / "kept")

    def cut(state: Any) -> None:
        if state.epoch == 2:
            os.truncate(tmp_path / "kept" / "1.rows", 100)

    model = network()
    with pytest.raises(DataError, match=r"1\.rows, row 100"):
        fitted(stream, model, callbacks=cut)
    assert model.steps >= 2 * len(range(0, int(0.75 * N), 48))
    assert np.isfinite(model.evaluate(DATA)["loss"])
