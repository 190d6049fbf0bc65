"""Layers that are applied several times with the same parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.testing as npt
import pytest
from nn_check import assert_gradient, run

import chainrule as cr
from chainrule.errors import SettingError
from chainrule.graph import Graph

R = np.random.default_rng(1)
DATA = {"a": R.normal(size=(6, 4)), "b": R.normal(size=(6, 4))}


def test_both_inputs_go_through_the_same_network() -> None:
    a, b = (cr.input(name, (4,), "float64") for name in "ab")
    tower = cr.shared(cr.layer.dense(5, "tanh", name="hidden"), cr.layer.dense(3, name="out"))
    y, z = tower(a), tower(b)
    graph = Graph([y, z])
    assert [graph.name(p) for p in graph.parameters] == ["hidden.w", "hidden.b", "out.w", "out.b"]
    assert tower.parameters == graph.parameters
    assert (graph.name(y), graph.name(z)) == ("out", "out_2")
    values = {graph.name(p): R.normal(size=p.shape) for p in graph.parameters}
    for name, got in zip("ab", run([y, z], DATA, values), strict=True):
        h = np.tanh(DATA[name] @ values["hidden.w"] + values["hidden.b"])
        npt.assert_allclose(got, h @ values["out.w"] + values["out.b"], rtol=1e-12)
    assert_gradient(cr.sum(cr.square(y - z)), [*graph.parameters, a], DATA, values)


def test_a_siamese_network_trains_and_is_saved(tmp_path: Path) -> None:
    a, b, same = cr.input("a", (4,)), cr.input("b", (4,)), cr.input("same", (1,))
    tower = cr.shared(cr.layer.dense(8, "relu", name="h"), cr.layer.dense(4, name="code"))
    score = cr.two_towers(tower(a), tower(b), temperature=0.2, name="score")
    model = cr.Model(outputs=score, loss=cr.binary_cross_entropy(score, same), seed=0)
    assert "\n76 parameters" in str(model.summary())  # 4 * 8 + 8 + 8 * 4 + 4, once
    x = R.normal(size=(200, 4))
    pairs = R.integers(0, 2, 200)
    other = np.where(pairs[:, None], x + 0.1 * R.normal(size=x.shape), R.normal(size=x.shape))
    data = {"a": x, "b": other, "same": pairs[:, None].astype("float32")}
    before = model.evaluate(data)["loss"]
    model.fit(data, epochs=30, optimizer=cr.Adam(0.02), verbose=False)
    assert model.evaluate(data)["loss"] < 0.7 * before
    model.save(tmp_path / "twin.safetensors")
    again = cr.load(tmp_path / "twin.safetensors")
    npt.assert_array_equal(again.predict(data), model.predict(data))


def test_lengths_may_differ_where_the_parameters_do_not() -> None:
    query, text = cr.input("q", (3,), "int32"), cr.input("t", (7,), "int32")
    tower = cr.shared(lambda x: cr.sequence_pool(cr.embedding(x, 20, 4, name="words")))
    y = cr.two_towers(tower(query), tower(text))
    assert len(Graph(y).parameters) == 1


def test_shared_in_shared_and_parameters_of_ones_own() -> None:
    a, b = (cr.input(name, (4,), "float64") for name in "ab")

    def layer(x: cr.Node) -> cr.Node:
        scale = cr.parameter("scale", np.ones(4), dtype="float64")
        twice = cr.shared(cr.layer.dense(4, name="twice"))
        return twice(twice(x * scale))

    both = cr.shared(layer)
    graph = Graph([both(a), both(b)])
    assert [graph.name(p) for p in graph.parameters] == ["scale", "twice.w", "twice.b"]


def test_statistics_move_by_the_mean_of_all_uses() -> None:
    a, b = cr.input("a", (4,)), cr.input("b", (4,))
    tower = cr.shared(cr.layer.batch_norm(name="norm"))
    y = cr.concat([tower(a), tower(b)])
    model = cr.Model(outputs=y, loss=cr.mean(cr.square(y)), seed=0)
    model.fit(DATA, epochs=1, batch_size=6, optimizer=cr.SGD(1e-9), validation=None, verbose=False)
    name = next(n for n in model.values if "mean" in n)
    one = []
    for part in "ab":
        x = cr.input(part, (4,))
        alone = cr.Model(outputs=(z := cr.batch_norm(x, name="norm")),
                         loss=cr.mean(cr.square(z)), seed=0)  # fmt: skip
        alone.fit(
            {part: DATA[part]},
            epochs=1,
            batch_size=6,
            optimizer=cr.SGD(1e-9),
            validation=None,
            verbose=False,
        )
        one.append(alone.values[name])
    npt.assert_allclose(model.values[name], (one[0] + one[1]) / 2, rtol=1e-5)


def test_misuse() -> None:
    with pytest.raises(SettingError, match="functions from a node"):
        cr.shared()
    with pytest.raises(SettingError, match="functions from a node"):
        cr.shared(3)  # type: ignore[arg-type]
    tower = cr.shared(cr.layer.dense(2, name="d"))
    tower(cr.input("x", (4,)))
    with pytest.raises(SettingError, match=r"'d\.w' \(4, 2\)") as error:
        tower(cr.input("z", (5,)))
    assert "(5, 2)" in str(error.value)
    calls = iter([1, 2, 0])
    growing = cr.shared(lambda x: cr.mlp(x, [4] * next(calls)))
    growing(cr.input("x", (4,)))
    with pytest.raises(SettingError, match="other parameters"):
        growing(cr.input("z", (4,)))
    with pytest.raises(SettingError, match="other parameters"):
        growing(cr.input("z", (4,)))
