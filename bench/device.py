"""Checks and timings of a device in a quarter of an hour: `python -m bench.device --device gpu`.

It tells what the device is, runs the tests of devices on it, and then times training steps of the
networks of the benchmark on the device and on the processor, beside what was predicted. All that
was found is printed, and written to a file after each row: what has no time left is named there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.cells import CELLS, Cell, Network
from bench.process import ROOT
from bench.systems.chainrule import Chainrule
from chainrule.backend.gpu.backend import GPU
from chainrule.backend.gpu.run.devices import choose
from chainrule.backend.gpu.run.driver import Device
from chainrule.engine.auto import step_choice
from chainrule.engine.compile import build_split
from chainrule.engine.step import Objective
from chainrule.errors import ChainruleError

LARGE = Network("4096 x 4", (4096,) * 5, 4096, 2)
"""A network that a device is made for."""

QUICK = ("4-16-3", "64-64-10")
"""The networks of a quick run."""

APART = 1e-3
"""The greatest relative difference of the losses of the third step on both."""

TESTS = (
    "tests/backend/test_gpu_ops.py", "tests/backend/test_gpu_products.py",
    "tests/backend/test_gpu_networks.py", "tests/engine/test_device_training.py",
    "tests/engine/test_device_loss.py",
)  # fmt: skip

SHARE = 0.5
"""The part of the time that tests may take."""


class OnDevice(Chainrule):
    """A network of the benchmark, on a device."""

    def __init__(self, network: Cell, optimizer: str, device: str) -> None:
        super().__init__(network, optimizer, os.cpu_count() or 1)
        self.device = device

    def predicted(self, steps: int) -> str:
        """The line in which "auto" says what it takes, and why."""
        model, network = self.model(), self._network
        assert model.loss is not None
        split = build_split(Objective(model.graph, model.loss, self._optimizer))
        held = sum(x.nbytes for x in self._data.values())
        return step_choice(split.body, network.batch, steps, held).why


def main(arguments: Sequence[str] | None = None) -> int:
    """Print and write all; returns 1 where something failed."""
    options = _options(arguments)
    until = time.monotonic() + options.seconds
    found: dict[str, Any] = {"tests": {}, "steps": [], "left out": []}
    try:
        device = choose(options.device, "bench")
        found["device"] = _told(device)
    except ChainruleError as error:
        print(error)
        return 1
    print(json.dumps(found["device"], indent=2))
    share = options.seconds * SHARE
    found["tests"] = tests(options.device, share, quick=options.quick)
    print(found["tests"]["said"])
    for row in steps(options.device, until, quick=options.quick):
        kind = "left out" if isinstance(row, str) else "steps"
        found[kind].append(row)
        print(json.dumps(row) if kind == "steps" else f"left out, as the time is over: {row}")
        options.output.write_text(json.dumps(found, indent=2), encoding="utf-8")
    print(f"written to {options.output}")
    failed = not found["tests"]["passed"] or any("error" in x or x["apart"] for x in found["steps"])
    return int(failed)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.device", description=__doc__)
    parser.add_argument("--device", default="gpu", help="as `chainrule devices` lists it")
    parser.add_argument("--seconds", type=float, default=840.0, help="that all may take")
    parser.add_argument("--quick", action="store_true", help="few tests and networks")
    parser.add_argument("--output", type=Path, default=Path("device.json"))
    return parser.parse_args(arguments)


def _told(device: Device) -> dict[str, Any]:
    """The device in plain values, with its measured speeds. Raises DeviceError."""
    names = ("driver", "name", "platform", "version", "graphics", "memory")
    told = {name: getattr(device, name) for name in names}
    return told | {"traits": asdict(device.traits), "speeds": asdict(GPU(device).speeds())}


def tests(device: str, seconds: float, *, quick: bool) -> dict[str, Any]:
    """The tests of devices, each variant of each op case too where they are not quick."""
    files = TESTS[-1:] if quick else TESTS
    marks = [] if quick else ["-m", "not network"]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", *marks, *files]
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    variables = {**os.environ, "CHAINRULE_TEST_DEVICE": device, "PYTHONPATH": path}
    begun = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as late:
        said = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
        said += "\nnone failed, but there was no time for all of them"
        return {"passed": True, "seconds": seconds, "said": said}
    said = "\n".join(done.stdout.splitlines()[-30:])
    return {"passed": done.returncode == 0, "seconds": time.monotonic() - begun, "said": said}


def steps(device: str, until: float, *, quick: bool) -> Iterator[dict[str, Any] | str]:
    """A row for each network and optimizer; the name of one for which there is no time."""
    cells = [x for x in CELLS if x.name in QUICK] if quick else [LARGE, *CELLS]
    for network in cells:
        for optimizer in ("sgd", "adam"):
            name = f"{network.name}, {optimizer}"
            if time.monotonic() > until:
                yield name
                continue
            try:
                yield {"network": name, **_step(network, optimizer, device, quick=quick)}
            except ChainruleError as error:
                yield {"network": name, "error": str(error), "apart": True}


def _step(network: Cell, optimizer: str, device: str, *, quick: bool) -> dict[str, Any]:
    """Seconds of a step on the device and on the processor, and both losses of the third step."""
    if quick:
        network = replace(network, batches=10)
    seconds, losses = dict[str, float](), dict[str, float]()
    for word in (device, "cpu"):
        system = OnDevice(network, optimizer, word)
        losses[word] = system.check()
        taken, _ = system.train(1 if quick else 3, lambda: None)
        seconds[word] = taken / (network.batches * (1 if quick else 3))
    apart = abs(losses[device] - losses["cpu"]) > APART * abs(losses["cpu"])
    why = OnDevice(network, optimizer, "cpu").predicted(10_000)
    return {"seconds": seconds, "losses": losses, "apart": apart, "predicted": why}


if __name__ == "__main__":
    sys.exit(main())
