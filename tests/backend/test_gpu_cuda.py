"""CUDA without a graphics processor: NVRTC compiles the kernels of every op case, and errors tell
what is missing."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import files
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest

import chainrule as cr
from backend.test_gpu_launches import plan_of
from backend.test_gpu_ops import part
from chainrule.backend.gpu.emit.dialect import head
from chainrule.backend.gpu.emit.module import build, functions
from chainrule.backend.gpu.program import Traits
from chainrule.backend.gpu.run import cuda, devices
from chainrule.backend.gpu.run.driver import Device
from chainrule.engine.compile import build_split, plan_step
from chainrule.engine.step import Objective
from chainrule.errors import DeviceError, MissingExtra
from engine.test_native_training import NETWORKS, Made
from opcases import CASES
from ops.test_ops_cases import variants

TRAITS = Traits(float64=True, items=1024, local=48 * 1024)
GROUP = 24
"""Cases whose code is built at once."""


def code(text: str) -> bytes:
    """The code of a text, by the driver's own function."""
    try:
        cuda._library()
    except MissingExtra as error:
        pytest.skip(str(error))
    made: bytes = cuda.compiled(text, "80").code
    return made


def check(numbers: range, dtypes: tuple[str, ...]) -> None:
    texts, alone = [], replace(TRAITS, joins=False)
    for number in numbers:
        every = list(variants(CASES[number]))
        for turn, dtype in enumerate(dtypes):
            made = part(CASES[number], dtype, every[(number + turn) % len(every)])
            name = f"case_{number}_{dtype}_"
            texts.append(functions(made.plan, max(made.rows, 1), alone, name).text)
    assert code(head(float64=True) + "\n".join(texts)).startswith(b"\x7fELF")


@pytest.mark.parametrize("first", range(0, len(CASES), 2 * GROUP))
def test_kernels_of_every_second_case(first: int) -> None:
    numbers = range(first, min(first + 2 * GROUP, len(CASES)), 2)
    check(numbers, (("float32", "float64")[first // (2 * GROUP) % 2],))


@pytest.mark.soak
@pytest.mark.parametrize("first", range(0, len(CASES), GROUP))
def test_kernels_of_every_case_in_both_precisions(first: int) -> None:
    check(range(first, min(first + GROUP, len(CASES))), ("float32", "float64"))


@pytest.mark.parametrize(
    "made", [NETWORKS[0], *(pytest.param(x, marks=pytest.mark.soak) for x in NETWORKS[1:])]
)
def test_kernels_of_steps(made: Made) -> None:
    model, options = made("float32")
    assert model.loss is not None
    split = build_split(Objective(model.graph, model.loss, options["optimizer"]))
    for float64, rows in ((True, 64), (False, 4)):
        program = build(plan_step(split.body), rows, replace(TRAITS, float64=float64))
        assert len(code(program.text)) > 1000


def test_kernels_of_many_steps() -> None:
    """States, and what lies between kernels, in local memory and elsewhere."""
    plan = plan_of((6, 8, 3), cr.Adam(1e-3))
    for local in (48 * 1024, 2000):
        program = build(plan, 32, replace(TRAITS, local=local))
        assert program.steps
        assert len(code(program.text)) > 1000


# ---------------------------------------------------------------- calls of cuda-core


def declared(module: str, name: str) -> Any:
    """A stand-in for a class or a function of cuda-core, as its interface file declares it.

    It has the declared methods alone, which raise TypeError for other arguments.
    """
    (path,) = (x for x in files("cuda-core") or [] if x.match(f"cu13/{module}.pyi"))
    tree = ast.parse(path.read_text())
    kinds = ast.ClassDef, ast.FunctionDef
    found = next(x for x in tree.body if isinstance(x, kinds) and x.name == name)
    known: dict[str, Any] = {}
    exec(f"from __future__ import annotations\n{ast.unparse(found)}", known)
    return create_autospec(known[name], instance=isinstance(found, ast.ClassDef))


def test_a_sequence_is_recorded_as_a_graph_and_replayed_by_one_call(monkeypatch: Any) -> None:
    """No graphics processor is there: the calls are compared with what cuda-core declares."""
    code(head(float64=True))  # skips without cuda-core
    builder, graph = (declared("graph/_graph_builder", x) for x in ("GraphBuilder", "Graph"))
    stream, here = declared("_stream", "Stream"), declared("_device", "Device")
    launch, known = declared("_launcher", "launch"), cuda._library()
    here.create_stream.return_value, here.create_graph_builder.return_value = stream, builder
    builder.begin_building.return_value = builder.end_building.return_value = builder
    builder.complete.return_value = graph
    core = SimpleNamespace(
        Device=lambda number: here, launch=launch, LaunchConfig=known.core.LaunchConfig
    )
    changed = SimpleNamespace(**vars(known) | {"core": core})
    monkeypatch.setattr(cuda, "_library", lambda: changed)
    session = cuda.CUDASession(
        Device("cuda", 0, "a card", "NVIDIA CUDA", "", True, 1, 1, TRAITS, "80")
    )
    one, two = cuda._Kernel("one"), cuda._Kernel("two")
    session.arguments(one, [1, 2])
    recording = session.record([(one, 5, 64), (two, 1, 1), (one, 5, 64)])
    assert [x.args[2:] for x in launch.call_args_list] == [("one", 1, 2), ("two",), ("one", 1, 2)]
    assert all(x.args[0] is builder for x in launch.call_args_list)
    assert [x[0] for x in builder.method_calls] == ["begin_building", "end_building", "complete"]
    for _ in range(2):
        session.replay(recording)
    assert [(x[0], *x.args) for x in graph.method_calls] == [("launch", stream)] * 2
    session.launch(one, 7, 64)
    assert launch.call_args.args[0] is stream
    assert launch.call_args.args[1].grid == (7, 1, 1)


# ---------------------------------------------------------------- what is missing


def test_a_text_that_is_wrong_is_told_with_its_node() -> None:
    text = head(float64=True) + "// hidden.matmul\nKERNEL(1) wrong(GLOBAL i64 *f) { nonsense; }\n"
    code(head(float64=True))
    device = Device("cuda", 0, "a card", "NVIDIA CUDA", "", True, 1, 1, TRAITS, "80")
    with pytest.raises(DeviceError, match="compiler refuses a kernel") as error:
        cuda._program(device, text)
    assert "kernel 'hidden.matmul', cuda:0, a card" in str(error.value)
    assert 'identifier "nonsense" is undefined' in str(error.value)


def told(before: str, word: str) -> str:
    """The error of a fit on a device, in a process of its own."""
    script = (
        f"import sys; {before}\n"
        "import chainrule as cr\n"
        f"try: cr.train('penguins', 'species', device={word!r}, verbose=False)\n"
        "except cr.errors.ChainruleError as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    return done.stdout + done.stderr


def test_without_cuda_core_the_extra_is_named() -> None:
    found = told("sys.modules['cuda'] = None", "cuda")
    assert found.startswith("MissingExtra [device] CUDA, for processors of NVIDIA, needs")
    assert 'pip install "chainrule[cuda]"' in found


def test_without_a_driver_of_nvidia_the_reason_is_told() -> None:
    found, refused = cuda.CUDA().devices()
    if found:
        pytest.skip("there is a device of CUDA")
    assert len(refused) == 1
    assert "CUDA has no device here" in refused[0]
    assert "install its driver, or update it" in refused[0]
    error = told("", "cuda")
    assert "no device can be used as 'cuda'" in error or "no graphics processor" in error
    assert "CUDA has no device here" in error
    assert "fix       device=" in error


@pytest.mark.parametrize("broken", ["driver that answers with an error", "device", "old device"])
def test_a_driver_that_is_broken_is_told(broken: str, monkeypatch: Any) -> None:
    """The functions of cuda-bindings answer with the errors that they have for it."""
    try:
        own = cuda._library()
    except MissingExtra as error:
        pytest.skip(str(error))
    results = own.driver.CUresult
    good, bad = results.CUDA_SUCCESS, results.CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
    driver = type("", (), {
        "cuInit": staticmethod(lambda _: (bad if broken.startswith("driver") else good,)),
        "cuDriverGetVersion": staticmethod(lambda: (good, 13000)),
        "cuDeviceGetCount": staticmethod(lambda: (good, 1)),
        "cuDeviceTotalMem": staticmethod(lambda _: (bad, 0)),
    })  # fmt: skip
    card = type("", (), {"name": "a card", "arch": "61" if broken == "old device" else "90"})
    card.properties = type("", (), {  # type: ignore[attr-defined]
        "max_threads_per_block": 1024, "max_shared_memory_per_block": 49152,
    })  # fmt: skip
    core = type("", (), {"Device": staticmethod(lambda _: card)})
    changed = type(own)(**vars(own) | {"driver": driver, "core": core})
    monkeypatch.setattr(cuda, "_library", lambda: changed)
    found, (why,) = cuda.CUDA().devices()
    assert not found
    if broken == "old device":
        assert "compute capability 6.1, and this NVRTC compiles for 7.5 and newer" in why
    else:
        assert "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH" in why
        assert ("device 0 cannot be used" in why) == (broken == "device")


def test_every_driver_tells_what_it_has_run_on() -> None:
    assert all(x.tested for x in devices.DRIVERS)
