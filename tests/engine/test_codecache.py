"""What is compiled once and used again: in a process, and by way of a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine import codecache as machinecode
from chainrule.engine.codecache import forward_code, step_code
from chainrule.engine.compile import build_step
from chainrule.graph import Graph
from chainrule.system.cachedir import cache_folder, code_folder


def layer(width: int = 5) -> cr.Node:
    return cr.dense(cr.input("x", (3,)), width, "tanh")


def test_the_same_graph_is_compiled_once() -> None:
    first, second = layer(), layer()
    made = forward_code(Graph(first), [first], 64)
    assert forward_code(Graph(second), [second], 64) is made
    assert forward_code(Graph(second), [second], 128) is not made
    other = layer(6)
    assert forward_code(Graph(other), [other], 64) is not made


def test_steps_of_other_settings_are_other_code() -> None:
    def code(optimizer: cr.Optimizer) -> object:
        loss = cr.squared_error(layer(), cr.input("t", (5,)))
        return step_code(build_step(Graph(loss), loss, optimizer), 8)

    assert code(cr.SGD(0.1)) is code(cr.SGD(0.2))  # the rate is no part of the code
    assert code(cr.SGD(0.1, momentum=0.9)) is not code(cr.SGD(0.1))
    assert code(cr.SGD(0.1, momentum=0.8)) is not code(cr.SGD(0.1, momentum=0.9))


def test_a_bounded_number_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machinecode, "MAX_CACHED", 2)
    for width in (7, 8, 9):
        node = layer(width)
        forward_code(Graph(node), [node], 64)
    assert len(machinecode._known) == 2


def test_where_code_is_kept_and_how_that_is_switched_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    monkeypatch.delenv("CHAINRULE_CODE_CACHE", raising=False)
    assert code_folder() == tmp_path / "code" == cache_folder("code")
    for word in ("off", "0", "OFF", "no"):
        monkeypatch.setenv("CHAINRULE_CODE_CACHE", word)
        assert code_folder() is None


PROGRAM = """
import numpy as np, chainrule as cr
from chainrule.backend.cpu.run import jit
made = []
real = jit._object_file
jit._object_file = lambda *args: (made.append(1), real(*args))[1]
x, t = cr.input("x", (4,)), cr.input("t", (), dtype="int32")
model = cr.Model(z := cr.dense(cr.dense(x, 8, "relu"), 3), cr.cross_entropy(z, t))
numbers = np.arange(80, dtype="float32").reshape(20, 4) / 80
data = {"x": numbers, "t": np.arange(20, dtype="int32") % 3}
model.fit(data, epochs=3, verbose=False)
bits = model.predict(data).tobytes().hex()
print(len(made), bits)
"""


def test_another_process_takes_code_from_the_folder(tmp_path: Path) -> None:
    def run(**changes: str) -> tuple[int, str]:
        known = {k: v for k, v in os.environ.items() if k != "CHAINRULE_CODE_CACHE"}
        environment = known | {"CHAINRULE_CACHE": str(tmp_path)} | changes
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        count, bits = ran.stdout.split()
        return int(count), bits

    compiled, bits = run()
    own, shared = (list(x.glob("*.o")) for x in (tmp_path / "code", tmp_path / "code" / "shared"))
    assert len(own) == 3  # step, scores, prediction
    assert compiled >= len(own) + len(shared)  # long ones are compiled in parts
    assert run() == (0, bits)
    assert run(CHAINRULE_CODE_CACHE="off") == (compiled, bits)
    for file in own:
        file.write_bytes(file.read_bytes()[:-7])
    assert run() == (compiled - len(shared), bits)
    for file in (*own, *shared):
        file.write_bytes(file.read_bytes()[:-7])
    assert run() == (compiled, bits)
    assert run() == (0, bits)
    assert np.frombuffer(bytes.fromhex(bits), "float32").shape == (60,)
