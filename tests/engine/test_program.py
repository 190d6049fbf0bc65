"""The program that interprets: one result however it is called, and a stop before a NaN."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.compile import build_step
from chainrule.engine.interpreted import Interpreted
from chainrule.engine.program import compile_step
from chainrule.errors import NotFinite
from chainrule.graph import Graph, Node
from chainrule.graph.keys import step_key
from test_interpret import blas_threads

R = np.random.default_rng(3)
X = R.normal(size=(13, 4)).astype("float32")
T = R.integers(0, 3, 13).astype("int32")
SCALE = np.array([2.0, 0.5, 1.0], "float32")
DATA = {"x": X, "t": T, "scale": SCALE}
BATCHES = [np.array([0, 5, 2, 7]), np.array([1, 3, 4, 6]), np.array([8, 9, 10, 11]), np.array([12])]
RATES = [0.1, 0.2, 0.05, 0.01]


def network(optimizer: Any = None, seed: int = 5) -> Interpreted:
    """Dropout, running statistics, a weight used twice, a frozen one, an input of the step."""
    x, t = cr.input("x", (4,)), cr.input("t", (), dtype="int32")
    scale = cr.input("scale", (3,), batch=False)
    w = cr.parameter("w", cr.init.Normal(), (4, 4))
    frozen = cr.parameter("frozen", np.eye(4), trainable=False)
    h = cr.dropout(cr.tanh(x @ w) @ w @ frozen, 0.3)
    logits = cr.dense(cr.batch_norm(h, name="n"), 3, name="out") * scale
    one, two = cr.cross_entropy(logits, t), cr.sum(w * w)
    loss = one + 0.01 * two
    step = build_step(Graph([logits, loss]), loss, optimizer or cr.Adam(0.1))
    program = compile_step(step, {}, seed, backend="interpreter")
    assert isinstance(program, Interpreted)
    return program


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


# ---------------------------------------------------------------- running


@settings(max_examples=8, deadline=None, derandomize=True)
@given(cuts=st.sets(st.integers(0, 4)))
def test_the_same_bits_however_the_batches_are_cut_into_calls(cuts: set[int]) -> None:
    whole, parts = network(), network()
    expected = whole.run(DATA, BATCHES, RATES)
    ends = sorted({0, 4} | cuts)
    losses = [parts.run(DATA, BATCHES[a:b], RATES[a:b]) for a, b in pairwise(ends)]
    npt.assert_array_equal(np.concatenate(losses), expected)
    assert same(whole.read(), parts.read())
    assert whole.steps == parts.steps == 4
    assert whole.ended is None


def test_no_batches_do_nothing() -> None:
    program = network()
    before = program.read()
    assert program.run(DATA, [], []).shape == (0,)
    assert same(before, program.read())
    assert program.steps == 0


def test_going_on_from_what_was_read() -> None:
    whole, first, second = network(), network(), network(seed=5)
    whole.run(DATA, BATCHES, RATES)
    first.run(DATA, BATCHES[:2], RATES[:2])
    state, steps = first.read(), first.steps
    second.run(DATA, BATCHES[2:], RATES[2:])  # what it did before is forgotten
    second.write(state, steps)
    assert same(second.read(), state)
    second.run(DATA, BATCHES[2:], RATES[2:])
    assert same(whole.read(), second.read())
    assert second.steps == 4


def test_the_state_is_read_and_written_by_copies() -> None:
    program = network()
    state = program.read()
    kept = {name: array.copy() for name, array in state.items()}
    for array in state.values():
        array[...] = 7
    assert same(program.read(), kept)
    program.write(state)
    for array in state.values():
        array[...] = 8
    assert all((array == 7).all() for array in program.read().values())
    program.write({"w": np.zeros((4, 4))})  # a part of it, in another precision
    after = program.read()
    assert after["w"].dtype == np.float32
    assert not after["w"].any()
    assert (after["out.w"] == 7).all()
    program.write({}, 41)
    assert program.steps == 41


def test_what_is_trained_tracked_and_left_alone() -> None:
    program = network()
    before = program.read()
    program.run(DATA, BATCHES, RATES)
    after = program.read()
    changed = {name for name in after if not np.array_equal(before[name], after[name])}
    assert "frozen" not in changed
    assert {"w", "out.w", "out.b", "n.running_mean"} <= changed


def test_a_step_by_hand() -> None:
    """SGD on a mean over an uneven last batch; the rate is that of the step."""
    x, t = cr.input("x", (2,), "float64"), cr.input("t", (), "float64")
    w = cr.parameter("w", [1.0, -1.0], dtype="float64")
    loss = cr.mean(cr.square(cr.sum(x * w, axis=-1) - t)) + cr.sum(w) * 0.0
    program = compile_step(build_step(Graph(loss), loss, cr.SGD(9.0)), {}, 0)
    data = {"x": R.normal(size=(5, 2)), "t": R.normal(size=5)}
    batches, rates = [np.array([3, 0, 4]), np.array([1, 2])], [0.1, 0.3]
    losses = program.run(data, batches, rates)
    weights = np.array([1.0, -1.0])
    for k, (rows, rate) in enumerate(zip(batches, rates, strict=True)):
        a, b = data["x"][rows], data["t"][rows]
        error = a @ weights - b
        assert losses[k] == pytest.approx(np.mean(error**2), rel=1e-12)
        weights = weights - rate * 2 * a.T @ error / len(rows)
    npt.assert_allclose(program.read()["w"], weights, rtol=1e-12)


def test_several_losses_and_a_loss_that_is_a_parameter() -> None:
    a = cr.parameter("a", 3.0, dtype="float64")
    b = cr.parameter("b", 2.0, dtype="float64")
    for loss, expected in ((a, {"a": 2.5, "b": 2.0}), (a + b * b, {"a": 2.5, "b": 0.0})):
        program = compile_step(build_step(Graph([loss, b]), loss, cr.SGD(0.5)), {}, 0)
        values = program.run({}, [np.arange(0)], [0.5])
        assert values.tolist() == [3.0 if loss is a else 7.0]
        assert {k: float(v) for k, v in program.read().items() if k in expected} == {
            k: v for k, v in expected.items() if k in program.read()
        }


def test_matrix_products_use_one_thread_while_it_runs() -> None:
    seen: list[list[int]] = []

    class Watching(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            seen.append(blas_threads())
            return super().__getitem__(name)

    network().run(Watching(DATA), BATCHES[:1], RATES[:1])
    assert seen
    assert {n for threads in seen for n in threads} == {1}


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32, 2**63, 2**64 - 1])
def test_keys_of_steps_differ(seed: int) -> None:
    words = {tuple(step_key(s, step).tolist()) for s in (seed, seed + 1) for step in (0, 1, 2**31)}
    assert len(words) == 6


# ---------------------------------------------------------------- what is not finite


def refused(
    loss: Node, data: Mapping[str, Any], batches: Any = None, rate: float = 0.1, **settings: Any
) -> tuple[str, NotFinite]:
    """The error of the first step that is not finite; the state is that before it."""
    rows = len(next(iter(data.values())))
    batches = batches or [np.arange(rows)]
    step = build_step(Graph(loss), loss, settings.pop("optimizer", cr.SGD(0.1)), **settings)
    program = compile_step(step, {}, 0)
    twin = compile_step(step, {}, 0)
    with pytest.raises(NotFinite) as caught:
        program.run(data, batches, [rate] * len(batches))
    done = program.steps
    twin.run(data, batches[:done], [rate] * done)
    assert same(program.read(), twin.read())
    assert f"step {done + 1}," in str(caught.value)
    return str(caught.value), caught.value


def leaves(shape: Any = (), start: Any = 1.0, dtype: str = "float64") -> tuple[Node, Node]:
    return cr.input("x", shape, dtype), cr.parameter("w", start, dtype=dtype)


def test_log_of_zero_in_the_forward_pass() -> None:
    x, w = leaves()
    loss = cr.mean(cr.log(x * w).named("the log"))
    rows = [np.array([4, 0]), np.array([1, 3, 2])]
    text, error = refused(loss, {"x": np.array([1.0, 2.0, 0.0, 4.0, 5.0])}, rows)
    assert "in the forward pass" in text
    assert "node 'the log'" in text
    assert "row 2" in text
    assert "log(0) = -inf" in text
    assert "test_program.py:" in text
    assert "step 2" in str(error.at)
    assert error.fix is not None


def test_zero_by_zero() -> None:
    x, w = leaves((2,))
    text, _ = refused(cr.sum((x * w) / x), {"x": np.array([[1.0, 2.0], [3.0, 0.0]])})
    assert "divide(0, 0) = nan" in text
    assert "row 1" in text


def test_overflow_of_exp_in_float32() -> None:
    x, w = leaves(start=1.0, dtype="float32")
    text, _ = refused(cr.mean(cr.exp(x * w)), {"x": np.array([1.0, 100.0], "float32")})
    assert "exp(100) = inf" in text
    assert "row 1" in text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_of_the_data(value: float) -> None:
    x, w = leaves((2,))
    data = np.ones((6, 2))
    data[4, 1] = value
    rows = [np.array([0, 1]), np.array([5, 4])]
    text, _ = refused(cr.mean(cr.square(x * w)), {"x": data}, rows)
    assert "the data hold a NaN or an infinity" in text
    assert "node 'x'" in text
    assert "row 4" in text
    assert f"got       {value}" in text


def test_the_slope_of_a_root_at_zero_is_in_the_backward_pass() -> None:
    x, w = leaves()
    text, _ = refused(cr.sum(cr.sqrt(x * w)), {"x": np.array([4.0, 0.0])})
    assert "in the backward pass" in text
    assert "row 1" in text
    assert "divide(" in text


def test_a_branch_not_taken_is_not_blamed_for_what_it_does_no_harm() -> None:
    """The logarithm is -inf where it is not taken: that its slope is not finite is the cause."""
    x, w = leaves()
    loss = cr.sum(cr.where(x > 0, cr.log(x * w), 0.0))
    text, _ = refused(loss, {"x": np.array([2.0, 0.0])})
    assert "in the backward pass" in text
    assert "divide(0, 0) = nan" in text


def test_a_huge_rate_overflows_in_the_update() -> None:
    x, w = leaves()
    text, _ = refused(cr.sum(cr.square(x * w)), {"x": np.array([1e10])}, rate=1e300)
    assert "the update" in text
    assert "= inf" in text or "= -inf" in text


def test_an_update_that_overflows_in_float32() -> None:
    x, w = leaves(start=[1.0], dtype="float32")
    text, _ = refused(cr.sum(x * w), {"x": np.array([[1e30]], "float32")[0]}, rate=1e20)
    assert "the update" in text


def test_infinite_constants_are_meant_unless_they_are_the_cause() -> None:
    x, w = leaves((2,))
    masked = cr.where(x > 0, x * w, -np.inf)
    text, _ = refused(cr.sum(masked), {"x": np.array([[1.0, 2.0], [3.0, -1.0]])})
    assert "in the forward pass" in text
    text, _ = refused(cr.sum(x * w) + np.inf, {"x": np.ones((2, 2))})
    assert "add(" in text
    assert "inf" in text


def test_a_mask_of_infinities_before_a_softmax_does_not_hide_what_comes_after() -> None:
    x, w = leaves((2,))
    p = cr.softmax(cr.where(x > 0, x * w, -np.inf))
    text, _ = refused(cr.sum(cr.log(p)), {"x": np.array([[1.0, 2.0], [3.0, -1.0]])})
    assert "log(0) = -inf" in text
    assert "row 1" in text


def test_a_parameter_that_is_not_finite() -> None:
    x, w = leaves((2,), [1.0, np.nan])
    text, _ = refused(cr.sum(x * w), {"x": np.ones((2, 2))})
    assert "node 'w'" in text
    assert "got       nan" in text


def test_a_culprit_with_truth_values_among_its_operands() -> None:
    x, w = leaves()
    y = cr.where(cr.cast(x, "bool"), cr.constant(np.inf, "float64"), w * x)
    text, _ = refused(cr.sum(y), {"x": np.array([0.0, 1.0])})
    assert "inf" in text


def test_clipping_a_norm_that_is_not_finite() -> None:
    x, w = leaves()
    text, _ = refused(cr.sum(cr.sqrt(x * w)), {"x": np.array([0.0])}, clip_norm=1.0)
    assert "in the backward pass" in text


def test_integers_and_inputs_of_the_step_do_not_disturb_the_search() -> None:
    x, w = leaves((3,))
    i = cr.input("i", (), "int32")
    scale = cr.input("scale", (), "float64", batch=False)
    loss = cr.mean(cr.log(cr.take(x * w, cr.constant([0, 2]), axis=1) * scale))
    loss = loss + cr.mean(cr.cast(i, "float64"))
    data = {"x": np.ones((2, 3)), "i": np.array([1, 2]), "scale": np.array(0.0)}
    text, _ = refused(loss, data)
    assert "log(0) = -inf" in text


def test_the_row_whose_loss_is_not_finite_is_blamed_and_not_others() -> None:
    """Masks of infinities in all rows do no harm; the row that is masked completely does."""
    x, w = leaves((2,))
    z = cr.where(x > 0, x * w, -np.inf).named("masked")
    data = {"x": np.array([[1.0, -2.0], [3.0, 1.0], [-3.0, -1.0], [1.0, -1.0]])}
    largest = cr.max(z, axis=1, keepdims=True)
    text, error = refused(cr.sum(cr.exp(z - largest)), data)
    assert "subtract(-inf, -inf) = nan" in text
    assert "row 2" in text
    assert "both signs" in str(error.fix)
    text, error = refused(cr.sum(cr.logsumexp(z, 1)), data)
    assert "node 'masked'" in text
    assert "row 2" in text
    assert "weigh it 0" in str(error.fix)


def test_the_target_that_is_masked_is_the_row() -> None:
    x, w = leaves((2,))
    t = cr.input("t", (), "int32")
    loss = cr.cross_entropy(cr.where(x > 0, x * w, -np.inf).named("masked"), t)
    data = {"x": np.array([[1.0, -2.0], [3.0, -1.0], [3.0, 1.0]]), "t": np.array([0, 1, 0])}
    text, error = refused(loss, data)
    assert "node 'masked'" in text
    assert "row 1" in text
    assert "rate" not in str(error.fix)


X2 = np.array([[1.0, 2.0], [3.0, 0.0]])
CAUSES: dict[str, tuple[Any, str, str]] = {
    "log of 0": (lambda x, w: cr.sum(cr.log(x * w)), "log(0) = -inf", "log(maximum(x"),
    "log of less": (lambda x, w: cr.sum(cr.log(x * w - 1.0)), "log(-1) = nan", "log(maximum(x"),
    "exp": (lambda x, w: cr.sum(cr.exp(x * w * 1e3)), "exp(1000) = inf", "exp(minimum(x"),
    "by 0": (lambda x, w: cr.sum(w / x), "divide(1, 0) = inf", "maximum(b, 1e-6)"),
    "a root": (lambda x, w: cr.sum(cr.sqrt(x * w - 2.0)), "sqrt(-1) = nan", "sqrt(maximum(x"),
    "slope": (lambda x, w: cr.sum(cr.sqrt(x * w)), ", 0) = ", "sqrt(x + 1e-12)"),
    "large": (lambda x, w: cr.sum(cr.square(x * w * 1e200)), "square(", "scale the inputs"),
    "a power": (lambda x, w: cr.sum((x * w) ** -1.5), "power", "maximum(x, 1e-6) ** p"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_the_fix_fits_the_cause(cause: str) -> None:
    make, got, fix = CAUSES[cause]
    text, error = refused(make(*leaves((2,))), {"x": X2})
    assert got in text
    assert fix in str(error.fix)
    assert "learning rate" not in str(error.fix)


def test_lbfgs_names_node_and_row_too() -> None:
    x, w = leaves((2,))
    model = cr.Model(x * w, cr.mean(cr.log(x * w).named("the log")))
    data = {"x": np.array([[1.0, 2.0], [2.0, 3.0], [0.0, 1.0], [1.0, 1.0]])}
    with pytest.raises(NotFinite, match=r"node 'the log', line .*, row 2"):
        model.fit(data, optimizer="lbfgs", validation=None, verbose=False)


@pytest.mark.parametrize("backend", ["native", "interpreter"])
def test_chunks_that_are_loaded_one_after_another_are_one_data_set(backend: str) -> None:
    """Rows are counted from the first of a chunk, and encoders see the chunk alone."""
    x, t = cr.input("x", (3,)), cr.input("t", ())
    h = cr.dense(cr.clip((x - 0.3) / 2.0, -1.0, 1.0), 5, "tanh")
    loss = cr.squared_error(cr.dense(h, 1)[:, 0], t)
    step = build_step(Graph(loss), loss, cr.Adam(0.05))
    numbers = np.random.default_rng(4)
    data = {
        "x": numbers.normal(size=(30, 3)).astype("float32"),
        "t": numbers.normal(size=30).astype("float32"),
    }
    whole, chunked = (compile_step(step, {}, 1, backend=backend) for _ in "ab")
    for start, stop in ((0, 10), (10, 17), (17, 30)):
        chunk = {name: array[start:stop] for name, array in data.items()}
        chunked.load(chunk)
        rows = [np.arange(start, stop)[k::2] for k in (0, 1)]
        losses = whole.run(data, rows, [0.05, 0.04])
        near = chunked.run(chunk, [x - start for x in rows], [0.05, 0.04])
        assert losses.tobytes() == near.tobytes()
    one, two = whole.read(), chunked.read()
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)
