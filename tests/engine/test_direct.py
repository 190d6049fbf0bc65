"""Predictions that machine code answers without Python's part: the same bits and errors."""

from __future__ import annotations

import array
import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine import direct as engine_direct
from chainrule.errors import ChainruleError, FeedError

pytest.importorskip("llvmlite")

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)


def network(*, dtype: str = "float32", width: int = 4) -> cr.Model[Array]:
    x = cr.input("x", (width,), dtype=dtype)
    return cr.Model(cr.dense(cr.dense(x, 16, "tanh"), 3), seed=1)


def rows(n: int, width: int = 4) -> Array:
    return RNG.normal(size=(n, width)).astype("float32")


def slowly(model: cr.Model[Any], data: Any) -> Any:
    """What the model predicts in Python's way."""
    direct, model._own.quick._direct = model._own.quick._direct, None
    try:
        return model.predict(data)
    finally:
        model._own.quick._direct = direct


def quickly(model: cr.Model[Any], *arrays: Any) -> Any:
    """What machine code answers alone: None where it leaves a call to Python."""
    assert model._own.quick._direct is not None
    model._own.quick.prepare(model._values)
    return model._own.quick.of_arrays(model._values, arrays)


def outcome(call: Callable[[], Any]) -> Any:
    """The result as dtype, shape and bytes, or the error as text."""
    try:
        result = call()
    except ChainruleError as error:
        return type(error).__name__, str(error)
    several = result if isinstance(result, list) else [result]
    return [(x.dtype, x.shape, x.tobytes()) for x in several]


@pytest.fixture(scope="module")
def model() -> cr.Model[Array]:
    return network()


# ---------------------------------------------------------------- what is usual


@pytest.mark.parametrize("n", [1, 2, 7, 100, 4096])
def test_same_bits_for_any_number_of_rows(model: cr.Model[Array], n: int) -> None:
    x = rows(n)
    found, predict = quickly(model, x), model.predictor()
    assert found is not None
    assert found.flags.owndata
    assert found.flags.writeable
    assert outcome(lambda: found) == outcome(lambda: slowly(model, {"x": x}))
    for _ in range(3):
        assert outcome(lambda: model.predict({"x": x})) == outcome(lambda: found)
        assert outcome(lambda: predict(x)) == outcome(lambda: found)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 3, 2)])
def test_types_and_axes(dtype: str, shape: tuple[int, ...]) -> None:
    x = cr.input("x", shape, dtype=dtype)
    made = cr.Model(cr.cast(x, "float64") * 2 - 1)
    values = RNG.integers(0, 2, (6, *shape)).astype(dtype)
    expected = values.astype("float64") * 2 - 1
    assert outcome(lambda: quickly(made, values)) == outcome(lambda: expected)
    assert quickly(made, values.astype("uint8")) is None


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool"])
def test_types_of_results(dtype: str) -> None:
    x = cr.input("x", (3,))
    made = cr.Model(x > 0 if dtype == "bool" else cr.cast(x * 1, dtype))
    values = np.array([[1.5, -2.5, 0.0], [3, 4, 5]], "float32")
    expected = values > 0 if dtype == "bool" else values.astype(dtype)
    assert outcome(lambda: quickly(made, values)) == outcome(lambda: expected)


def test_several_inputs_and_outputs_in_their_order() -> None:
    a, b, c = cr.input("a", (3,)), cr.input("b", ()), cr.input("c", (2, 2), dtype="int32")
    total = cr.sum(a, axis=-1) + b
    made = cr.Model([total * 2, cr.cast(c, "float32") + 1, total, a - 1])
    given = {"c": np.ones((5, 2, 2), "int32"), "a": rows(5, 3), "b": rows(5, 1)[:, 0]}
    predict = made.predictor()
    arrays = [given[name] for name in predict.inputs]
    found = quickly(made, *arrays)
    assert isinstance(found, list)
    assert [x.shape for x in found] == [(5,), (5, 2, 2), (5,), (5, 3)]
    for answer in (found, predict(*arrays), made.predict(given)):
        assert outcome(lambda x=answer: x) == outcome(lambda: slowly(made, given))
    assert quickly(made, *arrays[:2]) is None
    short = [x[:4] if k == 1 else x for k, x in enumerate(arrays)]
    assert quickly(made, *short) is None
    assert outcome(lambda: predict(*short)) == outcome(
        lambda: slowly(made, dict(zip(predict.inputs, short, strict=True)))
    )


@pytest.mark.parametrize(("count", "direct"), [(24, True), (47, True), (48, False)])
def test_many_arrays(count: int, direct: bool) -> None:
    inputs = [cr.input(f"x{k}", (2,)) for k in range(count)]
    made = cr.Model(sum(inputs[1:], start=inputs[0]))
    given = {f"x{k}": rows(3, 2) for k in range(count)}
    assert (quickly(made, *given.values()) is not None) == direct
    assert outcome(lambda: made.predict(given)) == outcome(lambda: slowly(made, given))


def test_one_output_as_a_list() -> None:
    x = cr.input("x", (4,))
    made, values = cr.Model([x * 2]), rows(2)
    made.predict({"x": values})
    found = made.predict({"x": values})
    assert isinstance(found, list)
    assert outcome(lambda: found) == outcome(lambda: [values * 2])


def test_a_prediction_is_asked_directly_from_the_second_on(model: cr.Model[Array]) -> None:
    fresh, x = network(), rows(1)
    assert fresh._own.quick.of_arrays(fresh._values, [x]) is None
    assert fresh._own.quick.of_arrays(fresh._values, [x]) is not None


# ---------------------------------------------------------------- what is not


class Sub(np.ndarray[Any, Any]):
    pass


def unaligned(x: Array) -> Array:
    room = np.zeros(x.nbytes + 1, np.uint8)
    odd = room[1:].view(np.float32).reshape(x.shape)
    odd[...] = x
    return odd


UNUSUAL: dict[str, Callable[[Array], Any]] = {
    "float64": lambda x: x.astype("float64"),
    "int": lambda x: x.astype("int64"),
    "bool": lambda x: x > 0,
    "float16": lambda x: x.astype("float16"),
    "complex": lambda x: x.astype("complex64"),
    "other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "objects": lambda x: x.astype(object),
    "text": lambda x: x.astype(str),
    "structured": lambda x: np.zeros((2, 4), [("a", "f4")]),
    "dates": lambda x: np.zeros((2, 4), "datetime64[s]"),
    "every second column": lambda x: np.repeat(x, 2, 1)[:, ::2],
    "every second row": lambda x: np.repeat(x, 2, 0)[::2],
    "backwards": lambda x: x[::-1],
    "columns first": np.asfortranarray,
    "broadcast": lambda x: np.broadcast_to(x[:1], (5, 4)),
    "unaligned": unaligned,
    "subclass": lambda x: x.view(Sub),
    "masked": lambda x: np.ma.masked_array(x, x > 0),
    "list": lambda x: x.tolist(),
    "tuple": lambda x: tuple(map(tuple, x.tolist())),
    "ragged": lambda x: [[1.0], [1.0, 2.0]],
    "memoryview": lambda x: memoryview(x),
    "array.array": lambda x: array.array("f", [1, 2, 3, 4]),
    "bytes": lambda x: x.tobytes(),
    "number": lambda x: 1.0,
    "numpy number": lambda x: x[0, 0],
    "nothing": lambda x: None,
    "no axis": lambda x: np.float32(1).reshape(()),
    "one example": lambda x: x[0],
    "one axis more": lambda x: x[:, :, None],
    "too wide": lambda x: np.repeat(x, 2, 1),
    "too narrow": lambda x: x[:, :3].copy(),
    "no columns": lambda x: x[:, :0],
    "no rows": lambda x: x[:0],
    "more rows than a block": lambda x: np.resize(x, (5000, 4)),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_anything_unusual_is_left_to_python(model: cr.Model[Array], kind: str) -> None:
    given, predict = UNUSUAL[kind](rows(2)), model.predictor()
    assert quickly(model, given) is None
    expected = outcome(lambda: slowly(model, {"x": given}))
    assert outcome(lambda: model.predict({"x": given})) == expected
    assert outcome(lambda: predict(given)) == expected


def test_a_usual_array_that_looks_unusual(model: cr.Model[Array]) -> None:
    x = rows(6)
    x.flags.writeable = False
    same = (x, x[2:3], x[1:], np.frombuffer(x.tobytes(), "f4").reshape(6, 4), x.view())
    for given in same:
        assert outcome(lambda x=given: quickly(model, x)) == outcome(
            lambda x=given: slowly(model, {"x": x})
        )
    strange = np.lib.stride_tricks.as_strided(x, (1, 4), (12345, 4))  # one row has no next
    assert outcome(lambda: quickly(model, strange)) == outcome(lambda: quickly(model, x[:1]))


@pytest.mark.parametrize(
    "given",
    [{}, {"y": rows(1)}, {"x": rows(1), "z": rows(1)}, None, [rows(1)], 3, {3: rows(1)},
     MappingProxyType({"x": rows(1)})],
)  # fmt: skip
def test_other_mappings(model: cr.Model[Array], given: Any) -> None:
    quickly(model, rows(1))
    assert outcome(lambda: model.predict(given)) == outcome(lambda: slowly(model, given))


def test_too_many_or_too_few_arrays(model: cr.Model[Array]) -> None:
    predict = model.predictor()
    for arrays in ((), (rows(1), rows(1))):
        with pytest.raises(FeedError, match="array is taken for each input"):
            predict(*arrays)


@pytest.mark.parametrize(
    "output", [cr.mean, lambda x: x - cr.mean(x, axis=0), lambda x: cr.sum(x) * x]
)
def test_values_of_several_rows_are_left_to_python(output: Callable[[cr.Node], cr.Node]) -> None:
    made, given = cr.Model(output(cr.input("x", (3,)))), {"x": rows(4, 3)}
    made.predict(given)
    assert outcome(lambda: made.predict(given)) == outcome(lambda: slowly(made, given))
    predict = made.predictor()
    assert outcome(lambda: predict(given["x"])) == outcome(lambda: slowly(made, given))


def test_an_index_out_of_range_is_told() -> None:
    k = cr.input("k", (), dtype="int32")
    made = cr.Model(cr.embedding(k, 5, 3))
    good = np.array([0, 4, 2], "int32")
    assert outcome(lambda: quickly(made, good)) == outcome(lambda: slowly(made, {"k": good}))
    for bad in ([5], [-1], [0, 1, 99], [-(2**31)]):
        given = np.array(bad, "int32")
        assert quickly(made, given) is None
        with pytest.raises(FeedError) as told:
            made.predict({"k": given})
        with pytest.raises(FeedError) as expected:
            slowly(made, {"k": given})
        assert str(told.value) == str(expected.value)
    assert quickly(made, good) is not None


# ---------------------------------------------------------------- a model that changes


def trainable() -> tuple[cr.Model[Array], dict[str, Array]]:
    x, t = cr.input("x", (4,)), cr.input("t", ())
    y = cr.dense(x, 1)[:, 0]
    data = {"x": rows(40), "t": rows(40, 1)[:, 0]}
    return cr.Model(y, cr.squared_error(y, t), seed=2), data


def test_it_follows_the_parameters(tmp_path: Any) -> None:
    made, data = trainable()
    predict, x = made.predictor(), rows(3)
    changes: list[Callable[[], object]] = [
        lambda: made.fit(data, epochs=1, verbose=False, validation=None),
        lambda: made.step(data),
        lambda: made.step(data),
        lambda: made.set_value(next(iter(made.values)), np.zeros((4, 1))),
        lambda: made.restore({k: v + 1 for k, v in made.values.items()}, 3),
        lambda: made.fit(data, epochs=2, verbose=False, new_run=True),
    ]
    seen = [predict(x).tobytes()]
    for change in changes:
        change()
        answer = predict(x)
        assert outcome(lambda a=answer: a) == outcome(lambda: slowly(made, {"x": x}))
        assert outcome(lambda a=answer: a) == outcome(lambda: made.predict({"x": x}))
        seen.append(answer.tobytes())
    assert len(set(seen)) == len(seen)
    made.save(tmp_path / "m.safetensors")
    others = [cr.load(tmp_path / "m.safetensors"), pickle.loads(pickle.dumps(made)),
              copy.deepcopy(made)]  # fmt: skip
    for other in others:
        assert other.predictor()(x).tobytes() == seen[-1]
    others[0].set_value(next(iter(made.values)), np.ones((4, 1)))
    assert others[0].predictor()(x).tobytes() != predict(x).tobytes() == seen[-1]


def test_it_keeps_the_model_and_nothing_keeps_it() -> None:
    made, x = network(), rows(1)
    expected = made.predict({"x": x}).tobytes()
    predict, gone = made.predictor(), weakref.ref(made)
    del made
    gc.collect()
    assert predict(x).tobytes() == expected
    assert gone() is not None
    del predict
    gc.collect()
    assert gone() is None


# ---------------------------------------------------------------- references, threads, processes


def test_a_million_calls_leave_no_reference_behind() -> None:
    made = network()
    x, wrong = rows(1), rows(1).astype("float64")
    assert quickly(made, x) is not None
    call = made._own.forward._stages[0]._checked._native._idle[-1].caller  # type: ignore[union-attr]
    assert call is not None
    held = (x, wrong, x.dtype, np.ndarray, np.empty, call, call.__self__, np.dtype("float32"))
    for _ in range(2):
        before = [sys.getrefcount(y) for y in held]
        blocks = sys.getallocatedblocks()
        for _ in range(400_000):
            call(x)
        for _ in range(50_000):
            call(wrong)
            call(None)
            call(x, x)
        assert [sys.getrefcount(y) for y in held] == before
        assert sys.getallocatedblocks() - blocks < 100
    fresh, one = call(x), np.zeros(1)
    assert sys.getrefcount(fresh) == sys.getrefcount(one)


def test_several_results_leave_no_reference_behind() -> None:
    x = cr.input("x", (4,))
    made, given = cr.Model([x + 1, x * 2]), rows(3)
    predict = made.predictor()
    before, blocks = sys.getrefcount(given), sys.getallocatedblocks()
    for _ in range(20_000):
        predict(given)
    assert sys.getrefcount(given) == before
    assert sys.getallocatedblocks() - blocks < 100
    fresh, two = predict(given), [np.zeros(1), np.zeros(1)]
    assert [sys.getrefcount(y) for y in fresh] == [sys.getrefcount(y) for y in two]
    assert sys.getrefcount(fresh) == sys.getrefcount(two)


def test_an_array_that_cannot_be_made_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    x = cr.input("x", (4,))
    made, given, calls = cr.Model([x + 1, x * 2]), rows(3), 0
    real = np.empty

    def fail(*arguments: Any) -> Array:
        nonlocal calls
        calls += 1
        if calls % 2 == 0:
            raise MemoryError("no room")
        return real(*arguments)

    made.predict({"x": given})
    with monkeypatch.context() as patch:
        patch.setattr(np, "empty", fail)
        runner = made._own.forward._stages[0]._checked._native._idle[-1]  # type: ignore[union-attr]
        made._own.quick.prepare(made._values)
    assert runner.caller is not None
    before = sys.getrefcount(given)
    for _ in range(100):
        with pytest.raises(MemoryError, match="no room"):
            runner.caller(given)
    assert sys.getrefcount(given) == before


@pytest.fixture
def switching_late() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("switching_late")
def test_a_long_call_lets_other_threads_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_direct, "LONG", 0)
    made, x, stop, turns = network(), rows(64), threading.Event(), 0
    predict = made.predictor()

    def other() -> None:
        nonlocal turns
        while not stop.is_set():
            turns += 1
            os.sched_yield()

    thread = threading.Thread(target=other)
    thread.start()
    before = turns
    while turns < before + 5:  # for ever, if no call lets the other thread run
        predict(x)
    stop.set()
    thread.join()


@pytest.mark.parametrize("long", [0, 1e9])
def test_threads_at_once(monkeypatch: pytest.MonkeyPatch, long: float) -> None:
    monkeypatch.setattr(engine_direct, "LONG", long)
    made = network()
    predict, given = made.predictor(), [rows(n) for n in (1, 3, 50)]
    expected = [slowly(made, {"x": x}).tobytes() for x in given]
    wrong: list[int] = []

    def work() -> None:
        for k in range(600):
            if predict(given[k % 3]).tobytes() != expected[k % 3]:
                wrong.append(k)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_predictions_while_the_parameters_change() -> None:
    made, _ = trainable()
    predict, x, stop = made.predictor(), rows(2), threading.Event()
    names = list(made.values)
    known = []
    for scale in (0.0, 1.0):
        for name in names:
            made.set_value(name, np.full_like(made.value(name), scale))
        known.append(slowly(made, {"x": x}).tobytes())
    one = {k: v.copy() for k, v in made.values.items()}
    zero = {k: np.zeros_like(v) for k, v in one.items()}
    odd: list[Array] = []

    def ask() -> None:
        while not stop.is_set():
            answer = predict(x)
            if answer.tobytes() not in known:
                odd.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for k in range(300):
        made.restore((one, zero)[k % 2], k)
    stop.set()
    for thread in threads:
        thread.join()
    assert not odd


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_children_go_on(model: cr.Model[Array]) -> None:
    predict, x = model.predictor(), rows(2)
    expected = predict(x).tobytes()
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            same = all(predict(x).tobytes() == expected for _ in range(100))
            os._exit(0 if same else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert predict(x).tobytes() == expected


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_the_function_on_disk_has_no_address_of_a_process() -> None:
    code = (
        "import hashlib; from chainrule.backend.cpu.run.caller import compile_caller;"
        "from chainrule.backend.cpu.machine import host; from random import random;"
        "print(hashlib.sha256(compile_caller(host())).hexdigest(), id(random))"
    )
    (a, where), (b, elsewhere) = run(code).split(), run(code).split()
    assert a == b
    assert where != elsewhere  # addresses differ, so that those in code would


SUBINTERPRETER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
made = interpreters.create("legacy") if hasattr(interpreters, "new_config") else (
    interpreters.create(isolated=False))
run = getattr(interpreters, "exec", None) or interpreters.run_string
failed = run(made, '''
import warnings
warnings.simplefilter("ignore")
try:
    import numpy as np
except ImportError:
    print("no numpy")
else:
    import chainrule as cr
    from chainrule.backend.cpu.run.caller import supported
    made = cr.Model(cr.input("x", (4,)) * 2)
    x = np.ones((2, 4), "float32")
    made.predict({"x": x})
    print(supported(), (made.predict({"x": x}) == 2).all(), (made.predictor()(x) == 2).all())
''')
assert failed is None, failed
"""


def test_a_subinterpreter_is_left_to_python() -> None:
    assert run(SUBINTERPRETER).strip() in ("False True True", "no numpy")


@pytest.mark.parametrize("name", ["pypy", "graalpy"])
def test_other_interpreters_are_left_to_python(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    caller = pytest.importorskip("chainrule.backend.cpu.run.caller")
    assert caller.supported()
    monkeypatch.setattr(sys.implementation, "name", name)
    assert not caller.supported()
    monkeypatch.setattr(engine_direct, "caller_code", lambda: None)
    made, x = network(), rows(2)
    predict = made.predictor()
    for _ in range(3):
        assert made._own.quick.of_arrays(made._values, [x]) is None
        assert outcome(lambda: predict(x)) == outcome(lambda: slowly(made, {"x": x}))
