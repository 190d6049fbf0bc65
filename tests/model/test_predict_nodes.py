"""`predict` of any nodes by name, from arrays and from tables, as machine code."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
import numpy.testing as npt
import pytest

import chainrule as cr
from chainrule.errors import ChainruleWarning, FeedError, GraphError, SettingError
from chainrule.model.predictor import Predictor

Array = np.ndarray[Any, np.dtype[Any]]
X = np.random.default_rng(3).normal(size=(50, 4)).astype("float32")
TABLE = {"size": [1.0, 2, 3, 4] * 5, "kind": ["a", "b"] * 10, "price": [1.0, 3, 2, 5] * 5}


def network() -> cr.Model[Array]:
    x, t = cr.input("x", (4,)), cr.input("t", (2,))
    h = cr.dense(x, 5, "tanh", name="hidden")
    y = cr.dense(cr.dropout(h, 0.5, name="drop"), 2, name="y")
    return cr.Model(y, cr.squared_error(y, t), seed=1)


def test_a_node_by_name_by_itself_and_several() -> None:
    model = network()
    trace = model.run({"x": X, "t": X[:, :2]})
    hidden = model.predict({"x": X}, outputs="hidden")
    assert_type(hidden, Array)
    npt.assert_allclose(hidden, trace.value("hidden"), rtol=1e-5, atol=1e-6)
    npt.assert_array_equal(model.predict({"x": X}, outputs=model.graph["hidden"]), hidden)
    several = model.predict({"x": X}, outputs=["y", "hidden.z", "x", "hidden.w"])
    assert_type(several, list[Array])
    npt.assert_array_equal(several[0], model.predict({"x": X}))
    npt.assert_allclose(several[1], trace.value("hidden.z"), rtol=1e-5, atol=1e-6)
    npt.assert_array_equal(several[2], X)
    several[3][:] = 0
    assert model.value("hidden.w").any()
    (alone,) = model.predict({"x": X}, outputs=["hidden"])
    npt.assert_array_equal(alone, hidden)


def test_it_is_machine_code_and_follows_the_parameters() -> None:
    model = network()
    predict = model.predictor(outputs="hidden")
    assert_type(predict, Predictor[Array])
    before = predict(X)
    npt.assert_array_equal(before, model.predict({"x": X}, outputs="hidden"))
    stages = model._nodes.of("hidden").forward._stages
    assert [type(x).__name__ for x in stages] == ["_Native"]
    model.fit({"x": X, "t": X[:, :2]}, epochs=1, verbose=False)
    assert (predict(X) != before).any()
    npt.assert_array_equal(predict(X), model.predict({"x": X}, outputs="hidden"))


def test_every_name_of_listing_and_summary_is_one() -> None:
    model = network()
    data = {"x": X, "t": X[:, :2]}
    known = model.run(data)
    for line in cr.listing(model.graph).splitlines():
        name = line.lstrip("* ").split()[0]
        if not name.startswith(("step.key", "drop.")):
            got = model.predict(data, outputs=name)
            npt.assert_allclose(got, known.value(name), rtol=1e-5, atol=1e-6)
    for row in model.summary().rows:
        assert len(model.predict(data, outputs=row.name).shape) == len(row.shape.split()) - (
            row.shape == "()"
        )


def test_nodes_of_a_model_of_a_table() -> None:
    model = cr.train(TABLE, "price", epochs=1, verbose=False)
    hidden = model.predict(TABLE, outputs="dense")
    assert hidden.shape == (20, model.value("dense.w").shape[1])
    one = model.predictor(outputs="dense")([{"size": 1.0, "kind": "a"}])
    npt.assert_allclose(one, hidden[:1], rtol=1e-4, atol=1e-5)
    loss = model.predict(TABLE, outputs="loss")
    npt.assert_allclose(loss, model.evaluate(TABLE)["loss"], rtol=1e-4)
    with pytest.warns(ChainruleWarning, match="column 'kind': 1 unseen value"):
        model.predict([{"size": 1.0, "kind": "z"}], outputs="dense")


def test_what_is_no_node_is_told_with_the_nearest() -> None:
    model = network()
    with pytest.raises(GraphError, match=r"no node is named 'hiden'\n.*did you mean 'hidden'\?"):
        model.predict({"x": X}, outputs="hiden")
    with pytest.raises(GraphError, match=r"'qq'[\s\S]*model.summary\(full=True\)"):
        model.predict({"x": X}, outputs="qq")
    with pytest.raises(GraphError, match="random numbers"):
        model.predict({"x": X}, outputs="drop.uniform")
    with pytest.raises(FeedError, match="do not match the graph's inputs"):
        model.predict({"x": X}, outputs="squared_error")
    wrong: Any
    for wrong in ([], 3, [3]):
        with pytest.raises(SettingError, match=r"is the name of a node[\s\S]*outputs=\"y\""):
            model.predict({"x": X}, outputs=wrong)
