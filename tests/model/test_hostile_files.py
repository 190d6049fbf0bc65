"""Model files with a right checksum and hostile content: each is refused, or works."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
import rawgraphs
from chainrule.engine.forward import Forward, InterpretedForward
from chainrule.engine.minibatch import all_rows
from chainrule.errors import ChainruleError, GraphError, ModelFileError
from chainrule.graph import demand
from mutations import ROWS, data_for, forged, mutant, originals, parts, used

SMALL, LARGE = 150, 5_000


def saved(output: cr.Node, path: Any, loss: cr.Node | None = None) -> bytes:
    cr.Model(output, loss).save(path)
    content: bytes = path.read_bytes()
    return content


def changed(content: bytes, name: str, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with one node of its graph changed."""
    header, document, data = parts(content)
    change(next(x for x in document["graph"]["nodes"] if x["name"] == name))
    return forged(header, document, data)


X = cr.input("x", (2, 3))
CODES = cr.input("codes", (), "int32")
NODES = {
    "sum": cr.sum(X, axis=1),
    "clip": cr.clip(X, -1, 1),
    "reshape": cr.reshape(X, (-1, 6)),
    "one_hot": cr.one_hot(CODES, 3),
    "power_scalar": X**3,
    "softmax": cr.softmax(X),
    "cumsum": cr.cumsum(X, 1),
    "concat": cr.concat([X, X], 1),
    "transpose": cr.transpose(X, (0, 2, 1)),
    "pad": cr.pad(X, [(0, 0), (1, 0), (0, 1)]),
    "slice": X[:, 0],
    "einsum": cr.einsum("nij,nij->ni", X, X),
    "take": cr.take(cr.constant(np.ones((4, 2), "float32")), CODES),
    "var": cr.var(X, 1),
    "windows": cr.windows(X, 2),
}
FAR = {"$array": {"dtype": "float32", "shape": [10**9, 0], "data": []}}


@pytest.mark.parametrize(
    ("name", "attribute", "value"),
    [
        ("sum", "axis", "x"),
        ("sum", "axis", 9),
        ("sum", "axis", 1),
        ("sum", "axis", {"$tuple": [9]}),
        ("sum", "axis", {"$tuple": [-1]}),
        ("sum", "axis", {"$tuple": [1, 1]}),
        ("sum", "axis", {"$tuple": [True]}),
        ("sum", "keepdims", 1),
        ("sum", "keepdims", None),
        ("clip", "low", "x"),
        ("clip", "low", {"$float": "7ff8000000000000"}),
        ("clip", "high", 1e300),
        ("clip", "low", {"$tuple": []}),
        ("reshape", "shape", FAR),
        ("reshape", "shape", [3, 2]),
        ("reshape", "shape", {"$tuple": ["N", 6]}),
        ("reshape", "shape", {"$tuple": [{"$batch": "N"}, 6.0]}),
        ("one_hot", "depth", -1),
        ("one_hot", "depth", 2.0),
        ("one_hot", "depth", True),
        ("one_hot", "dtype", "text"),
        ("power_scalar", "exponent", "3"),
        ("power_scalar", "exponent", {"$float": "7ff0000000000000"}),
        ("softmax", "axis", {"$tuple": [3]}),
        ("cumsum", "axis", 3),
        ("cumsum", "reverse", "yes"),
        ("concat", "axis", 0),
        ("concat", "axis", 5),
        ("transpose", "axes", {"$tuple": [0, 0, 1]}),
        ("transpose", "axes", {"$tuple": [0, 1]}),
        ("transpose", "axes", None),
        ("pad", "value", "0"),
        ("pad", "start", {"$tuple": [0]}),
        ("slice", "step", {"$tuple": [0, 0, 0]}),
        ("einsum", "equation", "nij->ni"),
        ("einsum", "equation", "nij,nik->nj"),
        ("einsum", "equation", 7),
        ("take", "axis", -1),
        ("windows", "axis", 0),
        ("windows", "stride", {"$tuple": [0]}),
        ("windows", "size", {"$tuple": [3]}),
        ("windows", "before", {"$tuple": [-1]}),
        ("windows", "dilation", {"$tuple": []}),
        ("var", "ddof", -1),
        ("var", "ddof", 0.5),
    ],
)
def test_attributes_of_another_kind_or_range_are_refused(tmp_path, name, attribute, value):
    path = tmp_path / "m"
    node = name if name != "slice" else "slice"
    content = saved(NODES[name], path)
    path.write_bytes(changed(content, node, lambda x: x["attributes"].update({attribute: value})))
    with pytest.raises(ModelFileError) as caught:
        cr.load(path)
    assert str(path) in str(caught.value)
    assert f"node {node!r}" in str(caught.value)


def test_the_error_names_file_node_field_and_both_values(tmp_path):
    path = tmp_path / "m"
    content = saved(NODES["sum"], path)
    path.write_bytes(changed(content, "sum", lambda x: x["attributes"].update(axis="x")))
    with pytest.raises(ModelFileError) as caught:
        cr.load(path)
    error = caught.value
    assert "attribute" in error.what
    assert "axes of the first operand" in str(error.expected)
    assert error.got == "axis='x'"
    assert str(error.at).startswith(f"{path}, ")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("sum", lambda x: (x["attributes"].clear(), x["operands"].extend(["x", "x"]))),
        ("sum", lambda x: (x["attributes"].pop("axis"), x["operands"].append("x"))),
        ("sum", lambda x: x["operands"].append("x")),
        ("sum", lambda x: x["operands"].clear()),
        ("sum", lambda x: x["attributes"].update(out=1)),
        ("reshape", lambda x: x.update(op="constant")),
        ("clip", lambda x: x.update(op="constant", operands=[])),
        ("softmax", lambda x: x.update(op="sum")),
        ("sum", lambda x: x.update(op="uniform")),
        ("concat", lambda x: x["operands"].clear()),
        ("einsum", lambda x: x["operands"].append("x")),
    ],
)
def test_operands_in_place_of_attributes_and_renamed_ops_are_refused(tmp_path, name, change):
    path = tmp_path / "m"
    path.write_bytes(changed(saved(NODES[name], path), name, change))
    with pytest.raises(ModelFileError, match=f"node '{name}'"):
        cr.load(path)


# ---------------------------------------------------------------- small files that ask for much


def deeper(content: bytes, depth: int) -> bytes:
    def change(node: dict[str, Any]) -> None:
        node["attributes"]["depth"] = depth
        node["shape"][-1] = depth

    return changed(content, "one_hot", change)


def test_a_small_file_may_not_ask_for_gigabytes(tmp_path):
    path = tmp_path / "m"
    content = saved(NODES["one_hot"], path)
    path.write_bytes(deeper(content, 2**30))
    with pytest.raises(ModelFileError, match="needs more bytes") as caught:
        cr.load(path)
    assert f"got       {4 * 2**30:,}" in str(caught.value)
    assert "node 'one_hot'" in str(caught.value)
    assert "large=True" in str(caught.value)
    path.write_bytes(deeper(content, 2**20))
    assert cr.load(path).predict({"codes": np.array([1, 5], "int32")}).sum() == 2


def test_nor_for_hours(tmp_path):
    path = tmp_path / "m"
    wide = cr.constant(np.ones((1, 1), "float32"))
    big = cr.broadcast_to(wide, (2000, 2000))
    saved(cr.sum(big @ big) + cr.sum(X), path)
    with pytest.raises(ModelFileError, match="needs more elements"):
        cr.load(path)


def test_who_trusts_a_file_may_load_it(tmp_path):
    path = tmp_path / "m"
    saved(cr.sum(cr.broadcast_to(X[:, None], (cr.N, 2**24, 2, 3))[:, :3], (1, 2, 3)), path)
    with pytest.raises(ModelFileError, match="needs more bytes"):
        cr.load(path)
    model = cr.load(path, large=True)
    assert model.predict({"x": np.ones((1, 2, 3))}).tolist() == [18.0]


def test_a_large_file_may_ask_for_more():
    table = cr.parameter("table", np.zeros((10, 3)))
    graph = cr.Model(cr.take(table, CODES)).graph
    demand.check_demand(graph, 0)
    wide = cr.Model(cr.sum(cr.broadcast_to(X[:, None], (cr.N, 2**22, 2, 3)), (1, 2, 3))).graph
    with pytest.raises(GraphError, match="more bytes"):
        demand.check_demand(wide, 1_000)
    demand.check_demand(wide, 50_000_000)


def test_work_is_the_product_of_the_sizes_of_a_contraction():
    a, b = cr.parameter("a", np.ones((7, 5))), cr.parameter("b", np.ones((5, 3)))
    assert demand.work(cr.Model(a @ b).graph).amount == 7 * 5 * 3
    assert demand.work(cr.Model(cr.sum(a, 1)).graph).amount == 7 * 5
    assert demand.memory(cr.Model(a @ b).graph).amount == 7 * 3 * 4


# ---------------------------------------------------------------- the optimizer's arrays


def trained(rule: Any) -> cr.Model:
    y = cr.dense(cr.input("x", (3,)), 2)
    model = cr.Model(y, cr.squared_error(y, cr.input("t", (2,))))
    data = {"x": np.ones((4, 3)), "t": np.ones((4, 2))}
    model.fit(data, optimizer=rule, epochs=1, validation=None, verbose=False)
    return model


@pytest.mark.parametrize("rule", ["adam", cr.SGD(0.1, momentum=0.9), "lion", "adagrad"])
def test_optimizer_state_of_another_shape_is_refused(tmp_path, rule):
    path = tmp_path / "m"
    trained(rule).save(path)
    assert cr.load(path).steps == 1
    header, document, data = parts(path.read_bytes())
    name = next(x for x in header if x.startswith("optimizer/dense.w"))
    header[name]["shape"] = header[name]["shape"][::-1]
    path.write_bytes(forged(header, document, data))
    with pytest.raises(ModelFileError, match="another type") as caught:
        cr.load(path)
    assert name.partition("/")[2] in str(caught.value)
    assert str(path) in str(caught.value)


def test_optimizer_state_in_the_name_of_a_parameter_is_refused(tmp_path):
    path = tmp_path / "m"
    trained("adam").save(path)
    header, document, data = parts(path.read_bytes())
    old = next(x for x in header if x.startswith("optimizer/dense.w"))
    header["optimizer/dense.w"] = header.pop(old)
    path.write_bytes(forged(header, document, data))
    with pytest.raises(ModelFileError, match="the name of a parameter"):
        cr.load(path)


# ---------------------------------------------------------------- anything at all


@pytest.fixture(scope="module")
def contents(tmp_path_factory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("originals")
    return [path.read_bytes() for path in originals(folder, 6)]


def some_mutants(contents: list[bytes], path: Any, seeds: range) -> list[str]:
    """What worked of each; an error of another kind than Chainrule's gets through."""
    worked = []
    for seed in seeds:
        pick = random.Random(seed)
        path.write_bytes(mutant(pick.choice(contents), pick))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                worked.append(used(path))
            except Exception as error:
                error.add_note(f"of mutant {seed}")
                raise
    return worked


def test_mutated_files_are_refused_or_work(tmp_path, contents):
    worked = some_mutants(contents, tmp_path / "m", range(SMALL))
    assert sum("fit" in x for x in worked) > SMALL // 30
    assert worked.count("") > SMALL // 3


@pytest.mark.soak
def test_many_mutated_files_are_refused_or_work(tmp_path, contents):
    some_mutants(contents, tmp_path / "m", range(SMALL, LARGE))


def test_originals_work(tmp_path, contents):
    for content in contents:
        (tmp_path / "m").write_bytes(content)
        assert "plan" in used(tmp_path / "m")


def agree(seed: int, path: Any) -> bool:
    """Save, load and use a random graph of op records; whether all of it worked."""
    model = rawgraphs.model(random.Random(seed))
    model.save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        worked = used(path)
        data = data_for(model)
        whole = Forward(model.graph, model.outputs)
        try:
            got = whole(model.values, data, all_rows(ROWS))
        except ChainruleError:
            return False
        want = InterpretedForward(whole.graph, whole.graph.outputs)(
            model.values, data, all_rows(ROWS)
        )
    for node, a, b in zip(model.outputs, got, want, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        exact = node.dtype in ("bool", "int32", "int64", "uint32")
        np.testing.assert_allclose(a, b, **({} if exact else {"rtol": 2e-4, "atol": 1e-5}))
    return "fit" in worked


def test_graphs_of_op_records_mean_the_same_in_a_file_and_as_machine_code(tmp_path):
    worked = [agree(seed, tmp_path / "m") for seed in range(60)]
    assert sum(worked) > 20


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(60, 3_000, 60))
def test_many_graphs_of_op_records(tmp_path, seed):
    for k in range(60):
        agree(seed + k, tmp_path / "m")
