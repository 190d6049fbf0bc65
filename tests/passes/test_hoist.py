"""Encoders are computed once for the data set: same bits, and nothing else is taken out."""

import numpy as np

import chainrule as cr
from chainrule.passes.hoist import hoist

N = cr.N
X = np.random.default_rng(0).standard_normal((50, 4)).astype("float32")


def names(loss, most=1e9):
    graph = cr.Graph(loss)
    found = hoist(graph, (), most)
    return {graph.name(old) for old in found.encoded.values()}, cr.Graph(found.replaced[loss])


def test_encoders_become_inputs():
    x = cr.input("x", (4,))
    z = ((x - 1.0) / 2.0).named("scaled")
    loss = cr.mean(cr.dense(z, 3))
    taken, graph = names(loss)
    assert taken == {"scaled"}
    assert [graph.name(i) for i in graph.inputs] == ["encoded.scaled"]


def test_what_meets_a_parameter_or_other_rows_stays():
    x = cr.input("x", (4,))
    w = cr.parameter("w", np.ones(4))
    centred = (x - cr.mean(x, axis=0)).named("centred")
    taken, _ = names(cr.mean(centred * w))
    assert taken == set()
    doubled = (x * 2.0).named("doubled")
    taken, _ = names(cr.mean((doubled + w) * cr.uniform((N, 4))))
    assert taken == {"doubled"}


def test_constants_spread_over_the_rows_are_no_data():
    x = cr.input("x", (4,))
    w = cr.parameter("w", np.ones(4))
    spread = cr.broadcast_to(cr.constant(np.arange(4.0, dtype="float32")), (N, 4))
    assert names(cr.mean(spread * w * x))[0] == set()


def test_a_number_of_a_row_is_not_stored_once_for_each_class():
    w, logits = cr.input("w"), cr.dense(cr.input("x", (4,)), 1000)
    loss = cr.cross_entropy(logits, cr.input("t", (), "int32"), weights=w)
    assert names(loss, most=20)[0] == {"cross_entropy.not_equal", "cross_entropy.where_2"}


def test_nothing_is_hoisted_beyond_the_limit():
    x = cr.input("x", (), dtype="int32")
    wide = cr.one_hot(x, 1000)
    loss = cr.mean(cr.dense(wide, 3))
    assert names(loss, most=3999)[0] == set()
    assert names(loss, most=4000)[0] == {"one_hot"}


def test_training_gives_the_same_bits_with_and_without(monkeypatch):
    def trained():
        x, t = cr.input("x", (4,)), cr.input("t", (), dtype="int32")
        h = cr.dropout(cr.dense(cr.clip((x - 0.1) / 1.3, -2, 2), 8, "relu"), 0.2)
        logits = cr.dense(h, 2)
        model = cr.Model(logits, cr.cross_entropy(logits, t))
        model.fit({"x": X, "t": (X[:, 0] > 0).astype("int32")}, epochs=3, verbose=False)
        return model.value("dense.w").tobytes()

    hoisted = trained()
    monkeypatch.setattr("chainrule.engine.split.ENCODED_BYTES", -1)
    monkeypatch.setattr("chainrule.engine.split.row_bytes", lambda node: -1)
    assert trained() == hoisted


def test_what_only_reads_other_places_stays_but_not_between_encoders():
    x = cr.input("x", (4,))
    column = cr.reshape(x[:, 1:2], (N,)).named("column")
    assert names(cr.mean(column * cr.parameter("w", np.ones(()))))[0] == set()
    scaled = (column / 2.0).named("scaled")
    spread = cr.reshape(scaled, (N, 1)).named("spread")
    weight = cr.parameter("w", np.ones((1,)))
    assert names(cr.mean(spread * weight))[0] == {"scaled"}
    assert names(cr.mean(spread * 3.0 * weight))[0] == {"multiply"}
