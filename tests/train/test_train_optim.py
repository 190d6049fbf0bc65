"""Every optimizer against a plain NumPy recurrence, written from its paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.compile import build_step
from chainrule.engine.interpreted import Interpreted
from chainrule.errors import GraphError, SettingError
from chainrule.graph import Graph
from chainrule.graph.leaves import input, parameter
from chainrule.ops.elementwise import square
from chainrule.ops.reduce import mean, sum
from chainrule.train.optim import (
    LAMB,
    OPTIMIZERS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    AMSGrad,
    Lion,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
)

State = dict[str, Any]
Recurrence = Callable[[Any, Any, float, int, State], Any]
"""(weights, gradient, rate, number of the step, state) -> new weights."""

STEPS = 12
SHAPES = {"w": (3, 2), "b": (4,)}


def program(kind: Optimizer, dtype: str = "float64", starts: State | None = None) -> Interpreted:
    """A step whose gradients are the arrays that it is fed: the loss is sum(w * g)."""
    starts = starts or initial()
    weights = [parameter(name, value, dtype=dtype) for name, value in starts.items()]
    fed = [input(f"g_{n}", v.shape, dtype, batch=False) for n, v in starts.items()]
    terms = [sum(w * g) for w, g in zip(weights, fed, strict=True)]
    loss = terms[0] + terms[1]
    return Interpreted(build_step(Graph(loss), loss, kind), {})


def initial() -> State:
    generator = np.random.default_rng(3)
    return {name: generator.normal(size=shape) for name, shape in SHAPES.items()}


def gradients() -> list[State]:
    """Of several sizes, and now and then exactly 0."""
    generator = np.random.default_rng(4)
    found = [
        {name: generator.normal(size=s) * 10.0 ** generator.integers(-3, 2) for name, s in
         SHAPES.items()}
        for _ in range(STEPS)
    ]  # fmt: skip
    found[0]["b"][1] = 0.0
    found[5]["w"][:] = 0.0
    return found


def rates(first: float) -> list[float]:
    return [first * (1 - 0.05 * k) for k in range(STEPS)]


def feed(run: Interpreted, arrays: State, rate: float, dtype: str = "float64") -> None:
    data = {f"g_{name}": np.asarray(g, dtype) for name, g in arrays.items()}
    run.run(data, [np.arange(1)], [rate])


def expected(rule: Recurrence, first_rate: float, decay: State | None = None) -> State:
    """What the recurrence makes of the same gradients, with L2 decay by name."""
    weights = initial()
    states: dict[str, State] = {name: {} for name in weights}
    for k, (rate, arrays) in enumerate(zip(rates(first_rate), gradients(), strict=True)):
        for name, w in weights.items():
            g = arrays[name] + (decay or {}).get(name, 0.0) * w
            weights[name] = rule(w, g, rate, k + 1, states[name])
    return weights


def sgd(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
    return w - rate * g


def momentum(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
    s["v"] = 0.8 * s.get("v", 0.0) + g
    return w - rate * s["v"]


def nesterov(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
    s["v"] = 0.8 * s.get("v", 0.0) + g
    return w - rate * (g + 0.8 * s["v"])


def nesterov_of_rates(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
    s["v"] = 0.8 * s.get("v", 0.0) + rate * g
    return w - (rate * g + 0.8 * s["v"])


def moments(g: Any, t: int, s: State, b1: float = 0.9, b2: float = 0.999) -> tuple[Any, Any]:
    s["m"] = b1 * s.get("m", 0.0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0.0) + (1 - b2) * g**2
    return s["m"] / (1 - b1**t), s["v"] / (1 - b2**t)


def adam(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
    m, v = moments(g, t, s)
    return w - rate * m / (np.sqrt(v) + 1e-8)


def adam_of(b1: float, b2: float, epsilon: float) -> Recurrence:
    def rule(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
        m, v = moments(g, t, s, b1, b2)
        return w - rate * m / (np.sqrt(v) + epsilon)

    return rule


def adam_of_scikit_learn(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
    moments(g, t, s)
    rate *= np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    return w - rate * s["m"] / (np.sqrt(s["v"]) + 0.1)


def adamw(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
    shrunk = w - rate * 0.1 * w if w.ndim == 2 else w
    return shrunk + (adam(w, g, rate, t, s) - w)


def amsgrad(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
    m, _ = moments(g, t, s)
    s["top"] = np.maximum(s.get("top", 0.0), s["v"])
    return w - rate * m / (np.sqrt(s["top"] / (1 - 0.999**t)) + 1e-8)


def nadam(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
    def mu(k: int) -> float:
        return float(0.9 * (1 - 0.5 * 0.96 ** (k * 0.004)))

    moments(g, t, s)
    product = float(np.prod([mu(k) for k in range(1, t + 1)]))
    m = mu(t + 1) * s["m"] / (1 - product * mu(t + 1)) + (1 - mu(t)) * g / (1 - product)
    return w - rate * m / (np.sqrt(s["v"] / (1 - 0.999**t)) + 1e-8)


def radam_of(b2: float) -> Recurrence:
    def rule(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
        m, v = moments(g, t, s, 0.9, b2)
        top = 2 / (1 - b2) - 1
        rho = top - 2 * t * b2**t / (1 - b2**t)
        if rho <= 5:
            return w - rate * m
        r = np.sqrt((rho - 4) * (rho - 2) * top / ((top - 4) * (top - 2) * rho))
        return w - rate * r * m / (np.sqrt(v) + 1e-8)

    return rule


def rmsprop(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
    s["v"] = 0.9 * s.get("v", 0.0) + 0.1 * g**2
    return w - rate * g / (np.sqrt(s["v"]) + 1e-8)


def rmsprop_full(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
    s["v"] = 0.9 * s.get("v", 0.0) + 0.1 * g**2
    s["mean"] = 0.9 * s.get("mean", 0.0) + 0.1 * g
    s["b"] = 0.7 * s.get("b", 0.0) + g / (np.sqrt(s["v"] - s["mean"] ** 2) + 0.01)
    return w - rate * s["b"]


def adagrad(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
    s["sum"] = s.get("sum", 0.25) + g**2
    return w - rate * g / (np.sqrt(s["sum"]) + 1e-10)


def adadelta(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
    s["v"] = 0.95 * s.get("v", 0.0) + 0.05 * g**2
    step = np.sqrt(s.get("u", 0.0) + 1e-6) / np.sqrt(s["v"] + 1e-6) * g
    s["u"] = 0.95 * s.get("u", 0.0) + 0.05 * step**2
    return w - rate * step


def adamax(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
    s["m"] = 0.9 * s.get("m", 0.0) + 0.1 * g
    s["u"] = np.maximum(0.999 * s.get("u", 0.0), np.abs(g))
    return w - rate / (1 - 0.9**t) * s["m"] / (s["u"] + 1e-8)


def lion(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
    old = s.get("m", np.zeros_like(w))
    s["m"] = 0.99 * old + 0.01 * g
    decay = 0.1 if w.ndim == 2 else 0.0
    return w - rate * (np.sign(0.9 * old + 0.1 * g) + decay * w)


def lamb(w: Any, g: Any, rate: float, t: int, s: State) -> Any:
    m, v = moments(g, t, s)
    step = m / (np.sqrt(v) + 1e-6) + (0.1 * w if w.ndim == 2 else 0.0)
    return w - rate * np.linalg.norm(w) / np.linalg.norm(step) * step


CASES: dict[str, tuple[Optimizer, Recurrence]] = {
    "sgd": (SGD(0.1), sgd),
    "momentum": (SGD(0.1, momentum=0.8), momentum),
    "nesterov": (SGD(0.1, momentum=0.8, nesterov=True), nesterov),
    "rates inside": (SGD(0.1, momentum=0.8, nesterov=True, rate_inside=True), nesterov_of_rates),
    "adam": (Adam(0.1), adam),
    "adam without averages": (Adam(0.1, beta1=0.0, beta2=0.0, epsilon=0.1), adam_of(0, 0, 0.1)),
    "adam settings": (Adam(0.1, beta1=0.5, beta2=0.7, epsilon=1e-3), adam_of(0.5, 0.7, 1e-3)),
    "epsilon first": (Adam(0.1, epsilon=0.1, epsilon_first=True), adam_of_scikit_learn),
    "adamw": (AdamW(0.1, decay=0.1), adamw),
    "amsgrad": (AMSGrad(0.1), amsgrad),
    "adam(amsgrad)": (Adam(0.1, amsgrad=True), amsgrad),
    "nadam": (NAdam(0.1), nadam),
    "radam": (RAdam(0.1), radam_of(0.999)),
    "radam, short memory": (RAdam(0.1, beta2=0.6), radam_of(0.6)),
    "rmsprop": (RMSprop(0.1), rmsprop),
    "rmsprop, all": (RMSprop(0.1, momentum=0.7, centered=True, epsilon=0.01), rmsprop_full),
    "adagrad": (Adagrad(0.1, initial=0.25), adagrad),
    "adadelta": (Adadelta(0.1), adadelta),
    "adamax": (Adamax(0.1), adamax),
    "lion": (Lion(0.1, decay=0.1), lion),
    "lamb": (LAMB(0.1, decay=0.1), lamb),
}


FIRST_ORDER = [name for name, kind in OPTIMIZERS.items() if issubclass(kind, Optimizer)]


@pytest.mark.parametrize("name", FIRST_ORDER)
def test_each_has_a_recurrence_here_and_a_name_of_its_own(name: str) -> None:
    kind = OPTIMIZERS[name]
    assert any(type(optimizer) is kind for optimizer, _ in CASES.values())
    assert getattr(cr, kind.__name__) is kind


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_follows_its_recurrence(case: str, dtype: str) -> None:
    kind, rule = CASES[case]
    run = program(kind, dtype)
    for rate, arrays in zip(rates(0.1), gradients(), strict=True):
        feed(run, arrays, rate, dtype)
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    state = run.read()
    for name, want in expected(rule, 0.1).items():
        assert state[name].dtype == dtype
        np.testing.assert_allclose(state[name], want, rtol=tolerance, atol=tolerance)


COUPLED = {
    "momentum": (SGD(0.1, momentum=0.8, decay=0.3), momentum),
    "adam": (Adam(0.1, decay=0.3), adam),
    "rmsprop": (RMSprop(0.1, decay=0.3), rmsprop),
    "adagrad": (Adagrad(0.1, initial=0.25, decay=0.3), adagrad),
    "adadelta": (Adadelta(0.1, decay=0.3), adadelta),
    "adamax": (Adamax(0.1, decay=0.3), adamax),
    "nadam": (NAdam(0.1, decay=0.3), nadam),
    "radam": (RAdam(0.1, decay=0.3), radam_of(0.999)),
}


@pytest.mark.parametrize("case", COUPLED)
def test_coupled_decay_joins_the_gradient_of_matrices_alone(case: str) -> None:
    kind, rule = COUPLED[case]
    run = program(kind)
    for rate, arrays in zip(rates(0.1), gradients(), strict=True):
        feed(run, arrays, rate)
    for name, want in expected(rule, 0.1, {"w": 0.3}).items():
        np.testing.assert_allclose(run.read()[name], want, rtol=1e-11, atol=1e-12)


def test_the_order_of_decay_and_rate_factors_by_pattern() -> None:
    kind = SGD(0.1, decay=0.5, rates={"*": 10, "w": 0.5}, decays={"*": 1, "w": 0.2})
    run = program(kind)
    start, arrays = initial(), gradients()[0]
    feed(run, arrays, 0.1)
    state = run.read()
    np.testing.assert_allclose(state["w"], start["w"] - 0.05 * (arrays["w"] + 0.1 * start["w"]))
    np.testing.assert_allclose(state["b"], start["b"] - 1.0 * (arrays["b"] + 0.5 * start["b"]))


def test_a_rate_factor_of_zero_leaves_a_parameter_where_it_is() -> None:
    run = program(AdamW(0.1, rates={"w": 0.0}))
    for arrays in gradients():
        feed(run, arrays, 0.1)
    assert np.array_equal(run.read()["w"], initial()["w"])
    assert not np.array_equal(run.read()["b"], initial()["b"])


@pytest.mark.parametrize("setting", ["rates", "decays"])
def test_a_pattern_that_matches_nothing_is_refused(setting: str) -> None:
    settings: State = {setting: {"*": 1.0, "hiden.*": 0.1}}
    with pytest.raises(SettingError, match=rf"SGD\.{setting}") as caught:
        program(SGD(0.1, **settings))
    assert "'hiden.*'" in str(caught.value)
    assert "w, b" in str(caught.value)


def test_a_name_with_brackets_matches_itself() -> None:
    starts = {"w[0]": np.ones(2), "b": np.ones(3)}
    run = program(SGD(rates={"w[0]": 0.5}), starts=starts)
    feed(run, {"w[0]": np.ones(2), "b": np.ones(3)}, 0.5)
    assert run.read()["w[0]"].tolist() == [0.75, 0.75]
    assert run.read()["b"].tolist() == [0.5, 0.5, 0.5]


def test_a_gradient_of_zero_moves_nothing() -> None:
    zeros = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    for name, kind in OPTIMIZERS.items():
        if issubclass(kind, Optimizer):
            run = program(kind.from_settings({"decay": 0.0}))
            for _ in range(8):
                feed(run, zeros, 0.1)
            state = run.read()
            assert all(np.array_equal(state[key], x) for key, x in initial().items()), name


def test_lamb_starts_from_zero_at_its_bare_rate() -> None:
    run = program(LAMB(), starts={"w": np.zeros((2, 2)), "b": np.zeros(3)})
    feed(run, {"w": np.full((2, 2), 5.0), "b": np.full(3, -2.0)}, 0.25)
    np.testing.assert_allclose(run.read()["w"], -0.25, rtol=1e-6)
    np.testing.assert_allclose(run.read()["b"], 0.25, rtol=1e-6)


def test_bias_correction_is_exact_for_a_beta_next_to_one() -> None:
    beta = 1 - 1e-12
    run = program(Adam(beta1=0.0, beta2=beta, epsilon=1e-300))
    for _ in range(3):
        feed(run, {"w": np.full((3, 2), 7.0), "b": np.full(4, 7.0)}, 1.0)
    # 1 - beta**3 has four right digits where it is written so
    np.testing.assert_allclose(run.read()["w"], initial()["w"] - 3.0, rtol=1e-11)


def test_amsgrad_keeps_dividing_by_the_largest() -> None:
    runs = [program(k) for k in (Adam(beta1=0.0, beta2=0.5), AMSGrad(beta1=0.0, beta2=0.5))]
    moved = []
    for run in runs:
        feed(run, {"w": np.full((3, 2), 100.0), "b": np.full(4, 100.0)}, 0.1)
        for _ in range(30):
            before = run.read()["b"]
            feed(run, {"w": np.full((3, 2), 0.01), "b": np.full(4, 0.01)}, 0.1)
        moved.append(np.abs(run.read()["b"] - before).max())
    assert moved[0] > 0.09  # has forgotten the large gradient
    assert moved[1] < 1e-4


# ---------------------------------------------------------------- a model


def regression(kind: Optimizer, dtype: str = "float32") -> tuple[Interpreted, State]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(40, 3)).astype(dtype)
    t = (x @ np.array([[1.0], [-2.0], [3.0]]) + 0.5).astype(dtype)
    node, target = input("x", 3, dtype), input("t", 1, dtype)
    w = parameter("w", np.full((3, 1), 0.1), dtype=dtype)
    b = parameter("b", [0.0], dtype=dtype)
    loss = mean(square(node @ w + b - target))
    return Interpreted(build_step(Graph(loss), loss, kind), {}), {"x": x, "t": t}


FAST = dict.fromkeys(FIRST_ORDER, 0.1) | {
    "rmsprop": 0.02, "adagrad": 0.5, "adadelta": 10.0, "lion": 0.05, "lamb": 0.03,
}  # fmt: skip
"""By optimizer, a rate that is quick for this model."""


@pytest.mark.parametrize("name", FAST)
def test_each_finds_the_minimum_of_a_quadratic(name: str) -> None:
    run, data = regression(OPTIMIZERS[name].from_settings({"decay": 0.0}), "float64")  # type: ignore[arg-type]
    falling = [FAST[name] * (1 - k / 400) for k in range(400)]
    losses = run.run(data, [np.arange(40)] * 400, falling)
    assert losses[0] > 10
    assert losses[-1] < 1e-3
    np.testing.assert_allclose(run.read()["w"].ravel(), [1, -2, 3], atol=0.05)


@pytest.mark.parametrize("name", FAST)
def test_state_read_and_written_continues_bit_for_bit(name: str) -> None:
    kind = OPTIMIZERS[name](rate=FAST[name])
    assert isinstance(kind, Optimizer)
    batches = [np.arange(k % 4, 40, 4) for k in range(12)]
    steady = [FAST[name]] * 12
    whole, data = regression(kind)
    losses = whole.run(data, batches, steady)
    first, _ = regression(kind)
    first.run(data, batches[:5], steady[:5])
    second, _ = regression(kind)
    second.write(first.read(), steps=first.steps)
    assert np.array_equal(second.run(data, batches[5:], steady[5:]), losses[5:])
    assert second.steps == 12
    state = whole.read()
    assert state.keys() == second.read().keys()
    for key, value in second.read().items():
        assert np.array_equal(value, state[key]), key


def test_slots_are_named_after_their_parameter_and_not_trained() -> None:
    run = program(RMSprop(momentum=0.5, centered=True))
    slots = {"w.square", "w.mean", "w.momentum", "b.square", "b.mean", "b.momentum"}
    assert set(run.read()) == {"w", "b"} | slots
    assert set(program(SGD()).read()) == {"w", "b"}
    step = build_step(Graph(loss := sum(square(parameter("w", [1.0])))), loss, Adam())
    assert [x.trainable for x in step.updates] == [True, False, False]


def test_a_slot_may_not_take_the_name_of_a_parameter() -> None:
    a, b = parameter("w", [1.0]), parameter("w.momentum", [1.0])
    loss = sum(a * b)
    with pytest.raises(GraphError, match=r"w\.momentum"):
        build_step(Graph(loss), loss, SGD(momentum=0.9))
