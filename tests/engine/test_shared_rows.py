"""Forward passes that processors share have the same bits as those of one thread."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import chainrule as cr
from chainrule.engine import nativerows
from chainrule.system.processors import processors


@pytest.fixture(scope="module")
def model():
    x = cr.input("x", (6, 5))
    return cr.Model(cr.dense(cr.gru(x, 7), 3), seed=0)


@pytest.mark.parametrize("rows", [1, 2, 3, 63, 64, 65, 130, 257])
def test_shared_and_alone(model, rows, monkeypatch):
    x = np.random.default_rng(rows).normal(size=(rows, 6, 5)).astype("float32")
    parts = []
    run = nativerows.Pool.run
    monkeypatch.setattr(nativerows, "SHARED_TIME", float("inf"))
    monkeypatch.setattr(nativerows, "SHARED_BLOCKS", float("inf"))
    alone = cr.Model(*model.outputs, values=model.values).predict({"x": x})
    monkeypatch.setattr(nativerows, "SHARED_TIME", 0.0)
    monkeypatch.setattr(nativerows.Pool, "run", lambda *a: (parts.append(a[2]), run(*a)))
    shared = cr.Model(*model.outputs, values=model.values)
    for _ in range(3):  # the second call may be a direct one
        assert_array_equal(shared.predict({"x": x}), alone)
    if processors() > 1:
        expected = [processors()] * 3 if rows > 1 else []
        assert parts == expected
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        assert_array_equal(shared.predict({"x": x}), alone)
        assert parts == expected


def test_long_passes_alone_are_shared(model, monkeypatch):
    graph = model.graph
    short = nativerows.NativeRows(graph, list(model.outputs))
    assert short.fits(64)
    monkeypatch.setattr(nativerows, "SHARED_TIME", 10 * short.time)
    if processors() > 1:
        assert short.fits(10)
        assert not short.fits(11)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert short.fits(64)


def test_a_table_is_not_read_for_each_row():
    x = cr.input("x", (5,), dtype="int32")
    graphs = [cr.Model(cr.embedding_bag(x, words, 8), seed=0) for words in (10, 100_000)]
    few, many = (nativerows.NativeRows(m.graph, list(m.outputs)).time for m in graphs)
    assert few == many


def test_rows_of_many_values_are_computed_by_fewer(monkeypatch):
    x = cr.input("x", (3000, 4))
    model = cr.Model(cr.sum(cr.softmax(x @ cr.transpose(x, (0, 2, 1))), (1, 2)), seed=0)
    rows = np.random.default_rng(0).normal(size=(5, 3000, 4)).astype("float32")
    native = nativerows.NativeRows(model.graph, list(model.outputs))
    assert native.executable().max_rows < 8  # 36 MB each
    np.testing.assert_allclose(model.predict({"x": rows}), np.full(5, 3000), rtol=1e-4)


def test_blocks_are_as_long_as_it_takes_to_use_what_is_read():
    x = cr.input("x", (32, 32, 8))
    pixels = cr.conv(cr.conv(x, 64, 1, "relu"), 64, 1, "relu")  # 512 KB of values
    steps = cr.gru(cr.input("x", (200, 32)), 128, outputs="last")
    wide = cr.dense(cr.dense(cr.input("x", (4096,)), 4096, "relu"), 4096)
    for node, rows in ((pixels, 2), (steps, 16), (wide, 64)):
        model = cr.Model(node, seed=0)
        assert nativerows.NativeRows(model.graph, list(model.outputs))._block == rows


@pytest.mark.parametrize("rows", [1, 2, 5, 31])
def test_blocks_of_any_length_give_the_same_bits(rows, monkeypatch):
    x = cr.input("x", (9, 9, 3))
    h = cr.conv(cr.batch_norm(cr.conv(x, 8, 3, "relu")), 16, 1, "relu")
    model = cr.Model(cr.dense(cr.global_pool(h), 3), seed=0)
    data = np.random.default_rng(0).normal(size=(31, 9, 9, 3)).astype("float32")
    whole = model.predict({"x": data})
    monkeypatch.setattr(nativerows, "_block", lambda graph: rows)
    other = cr.Model(*model.outputs, values=model.values)
    assert_array_equal(other.predict({"x": data}), whole)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_parts_are_whole_tiles_and_as_many_for_each_thread(threads):
    steps = cr.gru(cr.input("x", (200, 32)), 128, outputs="last")
    native = nativerows.NativeRows(cr.Model(steps, seed=0).graph, [steps])
    assert native._block == 16
    for count in range(1, 120):
        parts = native._parts(count, threads)
        lengths = [part.stop - part.start for part in parts]
        assert lengths == sorted(lengths, reverse=True)
        assert max(lengths) <= 16
        rows = np.concatenate([np.arange(count)[part] for part in parts])
        assert_array_equal(np.sort(rows), np.arange(count))
        share = -(-count // threads)
        assert sum(x % 4 > 0 for x in lengths) <= -(-count // share)  # the last of each thread
