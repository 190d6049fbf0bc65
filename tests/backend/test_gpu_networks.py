"""Random networks train on a device as the interpreter trains them."""

from __future__ import annotations

import os
import random
from dataclasses import replace

import numpy as np
import pytest
from opencl import WORD, device

from agreement import _after, _assert_near, _moved, _shaken
from chainrule.engine.interpreted import Interpreted
from chainrule.engine.program import compile_step
from chainrule.engine.totals import with_means
from chainrule.graph import Graph
from networks import Network, network


def dtype() -> str | None:
    """The precision of networks: any, where the device has both."""
    return None if device().traits.float64 else "float32"


def check(case: Network) -> None:
    """Every step from the same state gives what the interpreter gives; so do all in one call.

    Raises:
        AssertionError: they differ by more than rounding does, see `agreement.check`.
    """
    case = replace(case, data=with_means(Graph([*case.outputs, case.loss]), case.data))
    step, shaken = case.step(), _shaken(case)
    plain = Interpreted(step, {}, case.seed)
    there, again = (compile_step(step, {}, case.seed, device=WORD) for _ in "ab")
    losses = there.run(case.data, case.batches, case.rates)
    after, each = there.read(), zip(case.batches, case.rates, strict=True)
    parts = [again.run(case.data, [batch], [rate]) for batch, rate in each]
    assert losses.tobytes() == np.concatenate(parts).tobytes(), "bits of the loss by calls"
    for name, value in again.read().items():
        assert value.tobytes() == after[name].tobytes(), f"bits of {name} by calls"
    for k, (rows, rate) in enumerate(zip(case.batches, case.rates, strict=True)):
        before = plain.read()
        moved = [_moved(case, other, before, k, seed) for seed, other in enumerate(shaken)]
        there.write(before, k)
        want = _after(plain, case.data, rows, rate)
        _assert_near(_after(there, case.data, rows, rate), want, moved, f"step {k + 1}")


@pytest.mark.parametrize("seed", range(2))
def test_a_device_and_the_interpreter_agree(seed: int) -> None:
    check(network(random.Random(seed), dtype()))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 2 + int(os.environ.get("COUNT", "2000"))))
def test_a_device_and_the_interpreter_agree_on_many(seed: int) -> None:
    check(network(random.Random(seed), dtype()))
