"""Kernels in a simulator, which tells of races and of barriers that not all of a group reach.

It has groups of many work-items, which drivers of processors may not show to be right.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NEEDED = pytest.mark.skipif(
    shutil.which("oclgrind") is None, reason="needs Oclgrind: apt-get install oclgrind"
)
BROKEN = """
import numpy as np
from opencl import device
from chainrule.backend.gpu.emit.dialect import head
from chainrule.backend.gpu.run.devices import driver_of
session = driver_of(device()).session(device())
memory = session.allocate(1024)
text = head(float64=True) + "KERNEL(64) broken(GLOBAL i32 *y) { LOCAL i32 x[64]; x[ITEM] = ITEM; "
function = session.function(text + BODY + " y[ITEM] = x[63 - ITEM]; }", "broken")
session.arguments(function, [memory])
session.launch(function, 1, 64)
session.read(memory, np.empty(64, np.int32))
"""


def simulated(log: Path, *command: str) -> str:
    """What the simulator tells of a command's kernels; the command succeeds."""
    simulator = ("oclgrind", "--data-races", "--log", str(log))
    done = subprocess.run(
        [*simulator, sys.executable, *command], capture_output=True, text=True,
        env=os.environ | {"CHAINRULE_TEST_DEVICE": "opencl:Oclgrind"}, cwd=HERE.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return log.read_text() if log.exists() else ""


@NEEDED
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("if (ITEM < 3) BARRIER;", "divergence"),
        ("", "race"),
        ("if (GROUP < 3) BARRIER;", ""),
    ],
)
def test_what_is_wrong_is_told(body: str, told: str, tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); BODY = {body!r}{BROKEN}"
    found = simulated(tmp_path / "log", "-c", code)
    assert told in found.lower()
    assert bool(found) == bool(told)


def told_by(log: Path, *chosen: str) -> str:
    """What the simulator tells of tests."""
    return simulated(log, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *chosen)


@NEEDED
def test_kernels_that_are_launched_together(tmp_path: Path) -> None:
    file = str(HERE / "test_gpu_launches.py")
    assert not told_by(tmp_path / "log", file, "-k", "launched_together")


@NEEDED
@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("launches", "takes_one_launch"), ("products", "parts or tiles_do_not_divide"),
        ("networks", ""), ("ops", ""), ("graphs", ""),
    ],
)  # fmt: skip
def test_steps_products_networks_ops_and_graphs(name: str, chosen: str, tmp_path: Path) -> None:
    assert not told_by(tmp_path / "log", str(HERE / f"test_gpu_{name}.py"), "-k", chosen)
