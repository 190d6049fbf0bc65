"""Training as machine code: what the interpreter says, with the same bits however it is cut."""

import tracemalloc

import numpy as np
import pytest

import chainrule as cr
from chainrule.backend.cpu.emit.module import build
from chainrule.backend.cpu.machine import host
from chainrule.engine.compile import build_step, plan_step
from chainrule.engine.interpreted import Interpreted
from chainrule.engine.native import NativeProgram
from chainrule.engine.program import compile_step
from chainrule.errors import NotFinite, SettingError
from chainrule.train.optim import OPTIMIZERS

RNG = np.random.default_rng(0)
X = RNG.standard_normal((150, 6)).astype("float32")
T = RNG.integers(0, 3, 150).astype("int32")
DATA = {"x": X, "t": T}


def layers(dtype="float32"):
    x, t = cr.input("x", (6,), dtype=dtype), cr.input("t", (), dtype="int32")
    h = x * 2.0 - 1.0
    h = cr.dropout(cr.batch_norm(cr.dense(h, 17, "tanh")), 0.2)
    h = cr.residual(h, cr.layer.dense(17, "gelu"))
    z = cr.dense(cr.layer_norm(h), 3)
    return z, cr.cross_entropy(z, t) + cr.l2(*cr.weights_of(z), strength=1e-3)


def embedded():
    x, t = cr.input("x", (6,)), cr.input("t", (), dtype="int32")
    e = cr.embedding(t, 3, 4)
    h = cr.dense(cr.concat([x, e], axis=1), 8, "silu")
    h = cr.concat([h[:, ::2], cr.flip(h, 1)], axis=1)
    z = cr.dense(h, 3)
    return z, cr.cross_entropy(z, t, label_smoothing=0.1)


def numbers():
    x, t = cr.input("x", (6,)), cr.input("t", (), dtype="int32")
    q = cr.dense(cr.mlp(x, (9, 5), "elu", norm="rms"), 3)
    return q, cr.quantile(q, cr.cast(t, "float32"), quantiles=(0.1, 0.5, 0.9))


def trained(network, backend, optimizer, **options):
    outputs, loss = network
    model = cr.Model(outputs, loss, seed=3)
    options = {"epochs": 2, "batch_size": 32, "clip_norm": 1.0, "verbose": False} | options
    model.fit(DATA, optimizer=optimizer, backend=backend, **options)
    return model


SETTINGS = {
    "sgd": {"rate": 0.1, "momentum": 0.9, "nesterov": True}, "adadelta": {},
    "rmsprop": {"rate": 1e-3, "centered": True}, "adagrad": {"rate": 0.1}, "lion": {"rate": 1e-3},
}  # fmt: skip
FIRST_ORDER = [
    kind.from_settings(SETTINGS.get(name, {"rate": 1e-2}))
    for name, kind in OPTIMIZERS.items()
    if kind is not cr.LBFGS
]


@pytest.mark.parametrize("optimizer", FIRST_ORDER, ids=lambda x: x.name)
def test_every_optimizer_trains_as_the_interpreter_does(optimizer):
    native, plain = (trained(layers(), b, optimizer) for b in ("native", "interpreter"))
    np.testing.assert_allclose(native.history["loss"], plain.history["loss"], rtol=1e-4)
    for name, value in plain.values.items():
        np.testing.assert_allclose(native.value(name), value, rtol=2e-3, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("network", [embedded, numbers, lambda: layers("float64")])
def test_other_networks_train_as_the_interpreter_does(network):
    data = {"x": X.astype("float64"), "t": T}
    native, plain = (trained(network(), b, cr.Adam(1e-2)) for b in ("native", "interpreter"))
    for name, value in plain.values.items():
        np.testing.assert_allclose(native.value(name), value, rtol=2e-3, atol=2e-4, err_msg=name)
    assert native.evaluate(data)["loss"] == pytest.approx(plain.evaluate(data)["loss"], rel=1e-4)


def step_of(network):
    _, loss = network
    return build_step(cr.Graph(loss), loss, cr.Adam(1e-2))


def run(step, cuts, threads, monkeypatch):
    monkeypatch.setattr(
        "chainrule.backend.cpu.run.tuned.threads_for", lambda *_: (threads, threads)
    )
    program = compile_step(step, {}, 5, backend="native", threads=threads)
    batches = [np.arange(k * 17, k * 17 + 17) % 150 for k in range(12)]
    losses = [
        program.run(DATA, batches[a:b], [1e-2] * (b - a))
        for a, b in zip([0, *cuts], [*cuts, 12], strict=True)
    ]
    return np.concatenate(losses), program.read()


@pytest.mark.parametrize(
    ("cuts", "threads"), [((), 2), ((), 3), ((), 4), ((1, 2, 7), 1), ((5,), 2)]
)
def test_same_bits_for_any_threads_and_any_cut(cuts, threads, monkeypatch):
    step = step_of(layers())
    losses, state = run(step, (), 1, monkeypatch)
    other, others = run(step, cuts, threads, monkeypatch)
    assert losses.tobytes() == other.tobytes()
    assert all(state[name].tobytes() == others[name].tobytes() for name in state)


def test_going_on_with_larger_minibatches_keeps_the_state():
    step = step_of(embedded())
    native, plain = (compile_step(step, {}, 5, backend=b) for b in ("native", "interpreter"))
    for size in (1, 7, 150, 33):
        rows = [np.arange(size)]
        np.testing.assert_allclose(
            native.run(DATA, rows, [1e-2]), plain.run(DATA, rows, [1e-2]), rtol=1e-5
        )
    assert native.steps == plain.steps == 4
    twin = compile_step(step, native.read(), 5, backend="native")
    twin.write({}, native.steps)
    rows = [np.arange(20)]
    assert twin.run(DATA, rows, [1e-2]).tobytes() == native.run(DATA, rows, [1e-2]).tobytes()


def test_a_nan_is_told_by_its_node_and_leaves_the_state():
    x = cr.input("x", (6,))
    w = cr.parameter("w", np.ones(6))
    loss = cr.mean(cr.log((x * w).named("product")))
    program = compile_step(step_of((x, loss)), {}, 0, backend="native")
    data = {"x": np.abs(X) + 1}
    data["x"][40, 2] = -1
    program.run(data, [np.arange(20)], [0.0])
    before = program.read()
    with pytest.raises(NotFinite, match=r"log\(-1\)[\s\S]*step 2, node 'log'[\s\S]*row 40"):
        program.run(data, [np.arange(30, 50), np.arange(10)], [0.0, 0.0])
    assert program.steps == 1
    assert all(before[name].tobytes() == x.tobytes() for name, x in program.read().items())


def test_the_interpreter_is_the_program_it_is_held_against():
    plain = compile_step(step_of(numbers()), {}, 0, backend="interpreter")
    assert isinstance(plain, Interpreted)
    assert isinstance(compile_step(step_of(numbers()), {}, 0), NativeProgram)
    with pytest.raises(SettingError, match="did you mean 'native'"):
        compile_step(step_of(numbers()), {}, 0, backend="nativ")


def functions(layers):
    """How many kernels are written for so many equal layers with dropout."""
    x, t = cr.input("x", (16,)), cr.input("t", (), dtype="int32")
    h = x
    for _ in range(layers):
        h = cr.dropout(cr.dense(h, 16, "relu"), 0.1)
    loss = cr.cross_entropy(cr.dense(h, 3), t)
    plan = plan_step(build_step(cr.Graph(loss), loss, cr.Adam(1e-3)))
    return len({t.function for phase in build(plan, host(), 8).phases for t in phase})


def test_equal_layers_are_written_once_random_ones_too():
    assert functions(3) == functions(6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_running_sums_along_any_axis_and_through_what_follows(axis, reverse, threads):
    x, t = cr.input("x", (6,)), cr.input("t", (), dtype="int32")
    h = cr.reshape(cr.dense(x, 20, "tanh"), (cr.N, 4, 5))
    sums = cr.cumsum(h, axis, reverse=reverse)
    z = cr.dense(cr.flatten(cr.tanh(sums) + sums * h), 3)
    step = step_of((z, cr.cross_entropy(z, t)))
    batches = [np.arange(k, k + size) for k, size in ((0, 33), (5, 1), (40, 20))]
    found = []
    for options in ({"backend": "interpreter"}, {"threads": threads}):
        program = compile_step(step, {}, 0, **options)
        found.append((program.run(DATA, batches, [0.1] * 3), program.read()))
    (losses, state), (made, after) = found
    np.testing.assert_allclose(made, losses, rtol=2e-5)
    for name, value in state.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


def test_a_running_sum_takes_one_turn_for_each_element():
    x = cr.input("x", (3000,))
    p = cr.parameter("p", np.ones(3000))
    plan = plan_step(build_step(cr.Graph(loss := cr.mean(cr.cumsum(x * p, 1))), loss, cr.SGD(0.1)))
    kernels = plan.kernels
    scans = [k for k in kernels if k.reduction and k.reduction.combine == "scan"]
    assert len(scans) == 2
    for scan in scans:
        assert [a.size for a in (*scan.axes, *scan.reduction.over)] == [cr.N, 3000]


def test_what_all_steps_share_is_not_copied_for_each() -> None:
    x, a = cr.input("x", (1,)), cr.input("a", (500, 500), batch=False)
    loss = cr.mean(cr.square(cr.dense(x, 1))) + cr.mean(a) * cr.mean(cr.parameter("w", 1.0))
    step = build_step(cr.Graph(loss), loss, cr.SGD(0.01))
    data = {"x": X[:, :1], "a": np.ones((500, 500), "float32")}
    batches, rates = [np.arange(10)] * 100, [0.01] * 100
    program = compile_step(step, {}, 0)
    program.run(data, batches[:3], rates[:3])
    tracemalloc.start()
    native = program.run(data, batches, rates)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10 * data["a"].nbytes
    oracle = compile_step(step, {}, 0, backend="interpreter")
    oracle.run(data, batches[:3], rates[:3])
    np.testing.assert_allclose(native, oracle.run(data, batches, rates), rtol=1e-4)
