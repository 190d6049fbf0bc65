"""The page's evaluator against the interpreter: every op, its gradient, and random networks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.testing as npt
from evaluator import Answer, Array, Example, Task, answers, example

import chainrule as cr
from cases.case import Case
from chainrule.autodiff import gradients
from chainrule.engine.totals import with_means
from chainrule.graph import Graph, Node
from chainrule.graph.keys import step_key
from chainrule.graph.node import Operation, apply
from chainrule.graph.op import FUNCTIONS, REGISTRY
from chainrule.graph.step import FIRST_ROW, KEY, RATE, ROW_COUNT, STEP_INDEX
from chainrule.inspector.document import _node_form
from chainrule.interpret import initial_value
from chainrule.ops.again import again, recomputed
from chainrule.ops.build import constant, sum_to
from chainrule.ops.mode import COUNT, exchange
from chainrule.ops.random import UNIFORM
from chainrule.ops.rows import is_last, last_equal
from chainrule.passes.tables import update_rows
from chainrule.types import N
from networks import network
from opcases import CASES
from ops.test_ops_cases import (
    DTYPES,
    as_inputs,
    differentiable,
    draw,
    kinds_of,
    rows_of,
    variants,
)
from test_random_graphs import STEPS, build

NETWORKS = 60
OURS = {name for name, op in REGISTRY.items() if not op.serial}

# ---------------------------------------------------------------- what may differ
# Each operation is computed by itself, from the interpreter's operands. What is not named here is
# the same to the bit.

LAST_BITS = {
    **dict.fromkeys(("exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "power"), 4),
    **dict.fromkeys(("power_scalar", "sigmoid", "softplus"), 4),
    "erf": 1,
    **dict.fromkeys(("softmax", "logsumexp", "log_softmax", "norm", "std", "var"), 8),
}
"""Units in the last place by which an element may differ: NumPy's own error is as large."""

SUMS = {"sum", "sum_to", "mean", "matmul", "einsum", "prod", "prod_others"}
"""Their terms are added in another order: an element may differ by the last bits of all terms."""


def allowed(node: Operation, operands: list[Array], want: Array, attributes: Any) -> Array:
    """By how much each element of an operation may differ."""
    unit = np.finfo(want.dtype).eps
    name = node.op.name
    if name in SUMS:
        sizes = [np.abs(x) if x.dtype.kind == "f" else x for x in operands]
        return 4 * unit * np.asarray(node.op.forward(*sizes, **attributes), float)
    scale = np.abs(want.astype(float))
    if name in ("logsumexp", "log_softmax"):  # differences of numbers of the operand's size
        scale = scale + np.abs(operands[0]).max(initial=0, where=np.isfinite(operands[0]))
    if name in ("var", "std"):
        scale = scale + np.abs(operands[0]).max(initial=0)
    least = np.finfo(want.dtype).smallest_subnormal
    return LAST_BITS.get(name, 0) * np.maximum(unit * scale, least)


def assert_alike(checked: Example, answer: Answer) -> set[str]:
    """Each operation's value is the interpreter's; returns the names of the ops."""
    known = dict(zip(checked.nodes, checked.values, strict=True))
    operations = [x for x in checked.nodes if isinstance(x, Operation)]
    for node, got in zip(operations, answer.values, strict=True):
        want, operands = known[node], [known[x] for x in node.operands]
        where = f"{node.op.name} of {[x.shape for x in operands]}, {dict(node.attributes)}"
        assert not isinstance(got, str), f"{where}: {got}"
        assert (got.shape, got.dtype) == (want.shape, want.dtype), where
        if want.dtype.kind != "f":
            npt.assert_array_equal(got, want, err_msg=where)
            continue
        shape = {"shape": want.shape} if "shape" in node.attributes else {}
        with np.errstate(all="ignore"):
            limit = allowed(node, operands, want, {**node.attributes, **shape})
            near = np.abs(got.astype(float) - want) <= np.where(np.isfinite(limit), limit, 0)
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        if not np.all(near | same):
            npt.assert_array_equal(got, want, err_msg=where)
    return {x.op.name for x in operations}


# ---------------------------------------------------------------- every op


def case_graphs(case: Case) -> Iterator[Example]:
    """Each variant in both precisions, with its first gradient; then its kinks."""
    for shapes, batched in variants(case):
        for dtype in ("float32", "float64"):
            arrays = draw(case, shapes, dtype)
            if any(kind == "float" for kind in kinds_of(case)) or dtype == "float32":
                yield of_case(case, arrays, batched)
    for operands, _, _ in case.kinks:
        kinds = zip(operands, kinds_of(case), strict=True)
        yield of_case(case, [np.asarray(v, DTYPES.get(kind, "float64")) for v, kind in kinds], ())


def of_case(case: Case, arrays: list[Array], batched: tuple[int, ...]) -> Example:
    values = as_inputs(arrays, batched)
    nodes = list(values)
    y = case.function(*nodes, **case.attributes)
    outputs = [y]
    if case.order and differentiable(case):
        wrt = [nodes[k] for k in differentiable(case)]
        outputs += gradients(sum_to(y * y, ()), wrt)
    given = {**values, KEY: np.zeros(3, "uint32")}
    return example(Graph([*outputs, *nodes]), given, rows=rows_of(values))


def extra_graphs() -> Iterator[Example]:
    """Ops to which no row of the cases fits: they read the run, or are made for updates."""
    key = {KEY: step_key(2**40 + 17, 12345), FIRST_ROW: np.asarray(5, "int64")}
    x = cr.input("x", (6,))
    feeds = {x: np.linspace(-1, 1, 18, dtype="float32").reshape(3, 6)}
    few = cr.input("few", (), dtype="float64")
    outputs = [cr.var(few, ddof=1), cr.std(few, ddof=2), cr.norm(few)]
    yield example(Graph(outputs), {few: np.array([3.0])}, rows=1)
    own = {"dtype": "float32", "stream": None}
    placed = [apply(UNIFORM, KEY, FIRST_ROW, shape=s, **own) for s in ((N, 5), ())]
    placed += [apply(COUNT, ROW_COUNT, shape=(N, 3), dtype=d) for d in ("float32", "int64")]
    yield example(Graph(placed), {**key, ROW_COUNT: np.asarray(70)}, rows=4)
    for dtype in ("float32", "float64"):
        drawn = [cr.uniform(shape, dtype) for shape in ((), (5,), (3, 7), x.shape)]
        same = [exchange(x), again(x, [cr.sum(x)]), recomputed(x, [x])]
        yield example(Graph([*drawn, *same, cr.mean(x, 0)]), {**feeds, **key}, rows=3)
    noisy = cr.dropout(cr.batch_norm(x), 0.4)
    for training in (True, False):
        graph = Graph([noisy, cr.squared_error(noisy, x)])
        drawn_values = {p: initial_value(p, graph.name(p), 0) for p in graph.parameters}
        yield example(graph, {**feeds, **key, **drawn_values}, rows=3, training=training)
    index = cr.input("index", (4,), dtype="int32")
    codes = (np.arange(12, dtype="int32") % 5).reshape(3, 4)
    yield example(Graph([is_last(last_equal(index, 5))]), {index: codes}, rows=3)
    yield everywhere("float32")
    yield everywhere("float64")
    for source in ("int32", "int64", "uint32", "bool", "float32", "float64"):
        yield of_integers(source)


ONE = (
    "abs",
    "cos",
    "erf",
    "exp",
    "expm1",
    "floor",
    "isfinite",
    "isnan",
    "log",
    "log1p",
    "negative",
)
ONE += ("reciprocal", "relu", "round", "rsqrt", "sigmoid", "sign", "sin", "softplus", "softsign")
ONE += ("sqrt", "square", "tanh", "to_bfloat16")
TWO = ("add", "divide", "equal", "less", "maximum", "minimum", "multiply", "power", "subtract")


def everywhere(dtype: str) -> Example:
    """Functions of one and two floats at numbers of every size and sign."""
    generator = np.random.default_rng(11)
    word = "uint32" if dtype == "float32" else "uint64"
    drawn = generator.integers(0, np.iinfo(word).max, 3000, word, endpoint=True).view(dtype)
    limits = np.finfo(dtype)
    ends = [0.0, 0.5, 1.0, 1.5, 2.5, limits.max, limits.tiny, limits.smallest_subnormal, np.inf]
    special = np.array([*ends, *np.negative(ends), np.nan], dtype)
    with np.errstate(all="ignore"):
        values = np.concatenate([drawn, generator.normal(size=2000) * 6]).astype(dtype)
    x, y = cr.input("x", (), dtype=dtype), cr.input("y", (), dtype=dtype)
    outputs = [FUNCTIONS[name](x) for name in ONE] + [FUNCTIONS[name](x, y) for name in TWO]
    outputs += [x**3, x**0.3, cr.clip(x, -1, 2.5)]
    first = np.concatenate([values, special.repeat(len(special))])
    second = np.concatenate([generator.permutation(values), np.tile(special, len(special))])
    return example(Graph(outputs), {x: first, y: second}, rows=len(first))


def of_integers(dtype: str) -> Example:
    """Casts from a dtype to all others; arithmetic that wraps around."""
    ends = {"int32": 2**31, "int64": 2**63, "uint32": 2**32}
    end = ends.get(dtype, 8)
    low = -end if dtype != "uint32" else 0
    picked = [low, low + 1, -3, 0, 5, end // 2 + 3, end // 3 * 2 + 1, end - 1]
    numbers = [n for n in picked if n >= low]
    if dtype == "int64":
        numbers += [2**60 + 2**36 + 1, 1 - 2**60 - 2**36, 2**53 + 1, 2**24 + 1]
    values = np.array(numbers, dtype) if dtype != "bool" else np.array([True, False])
    x = cr.input("x", (), dtype=dtype)
    targets = ["float32", "float64", "int32", "int64", "bool", "uint32"]
    if dtype.startswith("float"):
        targets.remove("uint32")
    outputs = [cr.cast(x, d) for d in targets]
    if dtype in ends:
        outputs += [x + x, x - 3, x * x, -x, cr.abs(x), cr.sum(x), cr.prod(x), cr.cumsum(x, 0)]
        outputs += [cr.maximum(x, 5), cr.clip(x, 0, 7), cr.square(x), cr.max(x), cr.argmin(x, 0)]
        outputs += [x > 3, cr.where(x > 3, x, 1), cr.isfinite(x), cr.isnan(x), cr.sign(x)]
        pair = cr.reshape(cr.concat([cr.expand_dims(x, 1), cr.expand_dims(x, 1)]), (-1, 2))
        outputs += [cr.matmul(pair, constant(np.array([[3], [5]], dtype))), cr.pad(pair, 1, 7)]
    return example(Graph(outputs), {x: values}, rows=len(values))


# ---------------------------------------------------------------- networks


def network_graphs() -> Iterator[Example]:
    """Complete training steps of random networks: forward, backward, update."""
    for seed in range(NETWORKS):
        drawn = network(random.Random(seed))
        data = with_means(Graph([*drawn.outputs, drawn.loss]), drawn.data)
        step = update_rows(drawn.step())
        graph, rows = step.graph, drawn.batches[0]
        given: dict[Node, Any] = {
            x: initial_value(x, graph.name(x), drawn.seed) for x in graph.parameters
        }
        for x in graph.inputs:
            name = graph.name(x)
            if name in data:
                given[x] = data[name][rows] if x.batch else data[name]
        given |= {KEY: step_key(drawn.seed, 0), RATE: np.asarray(0.01), STEP_INDEX: np.asarray(1.0)}
        yield example(graph, given, rows=len(rows), training=True)


# ---------------------------------------------------------------- the tests


def test_every_op_is_that_of_the_interpreter(tmp_path: Path) -> None:
    examples = [x for case in CASES for x in case_graphs(case)] + list(extra_graphs())
    examples += network_graphs()
    found = answers([x.apart() for x in examples], tmp_path)
    compared = [assert_alike(x, answer) for x, answer in zip(examples, found, strict=True)]
    missing = OURS - set().union(*compared)
    assert not missing, f"no case compares the ops {sorted(missing)}"


def test_random_graphs_as_a_whole(tmp_path: Path) -> None:
    """Values and gradients of chains of ops, each on what the page computed before."""
    examples = []
    for seed in range(NETWORKS):
        pick, numbers = random.Random(seed), np.random.default_rng(seed)
        inputs = [cr.input(name, (3,), dtype="float64", batch=False) for name in "xyz"]
        wide = [cr.broadcast_to(x, (3, 3)) for x in inputs]
        values = {x: numbers.normal(size=3) for x in inputs}
        program = [
            (pick.choice(STEPS), pick.randrange(99), pick.randrange(99))
            for _ in range(pick.randrange(1, 13))
        ]
        output, _ = build(program, {x: np.zeros((3, 3)) for x in wide})
        loss = cr.sum(output * numbers.normal(size=(3, 3)))
        examples.append(example(Graph([loss, *gradients(loss, inputs)]), values))
    for wanted, answer in zip(
        examples, answers([x.task() for x in examples], tmp_path), strict=True
    ):
        for got, want in zip(answer.values, wanted.values, strict=True):
            scale = np.abs(want).max(initial=1) if want.dtype.kind == "f" else 0
            npt.assert_allclose(got, want, rtol=1e-10, atol=1e-10 * scale)


def test_what_the_page_cannot_compute_it_says(tmp_path: Path) -> None:
    before = dict(REGISTRY)
    x, k = cr.input("x", (2,)), cr.input("k", (), dtype="int64")
    cube = cr.op("cube", forward=lambda x: x**3, gradient=None)(x).named("c")
    table = cr.parameter("t", np.ones((3, 2), "float32"))
    outputs = {
        "above": (cube + 1).named("above"),
        "beside": (x * 2).named("beside"),
        "looked up": cr.take(table, k).named("row"),
        "whole": cr.cast(cr.log(x), "int32").named("whole"),
        "mean": cr.mean(x[:, :1], 0).named("m"),
    }
    REGISTRY.clear()
    REGISTRY.update(before)
    graph = Graph(list(outputs.values()))
    index = {x: n for n, x in enumerate(graph)}
    form = {"nodes": [_node_form(graph, x, "forward", index) for x in graph], "training": False}
    given = {
        index[x]: np.array([[1.0, 2.0], [-1.0, 3.0]], "float32"),
        index[k]: np.array([0, 3]), index[table]: np.ones((3, 2), "float32"),
    }  # fmt: skip
    wanted = [index[x] for x in outputs.values()]
    no_rows = {n: v[:0] if n != index[table] else v for n, v in given.items()}
    other = {**given, index[x]: np.ones((2, 3), "float32")}
    tasks = [
        Task(form, given, 2, wanted), Task(form, no_rows, 0, wanted), Task(form, other, 2, wanted),
        Task(form, {n: v for n, v in given.items() if n != index[k]}, 2, wanted),
    ]  # fmt: skip
    full, empty, misfit, missing = answers(tasks, tmp_path)
    needs = "'c' is not computed here: its op 'cube' is Python code, made by cr.op"
    assert full.values[0] == needs
    npt.assert_array_equal(full.values[1], [[2, 4], [-2, 6]])
    assert full.values[2] == "'row': the index 3 is out of range: 0 to 2 are there, row 1"
    assert full.values[3] == (
        "'whole': NaN does not fit in int32: what becomes of it depends on the processor"
    )
    assert full.values[4] == [0.0]
    assert empty.values[4] == "'m': the mean of no elements is not defined: there are no rows"
    assert misfit.values[0] == "'x' is given float32(2, 3): it holds float32(2, 2)"
    assert missing.values[2] == "'k' has no value: none is given"
