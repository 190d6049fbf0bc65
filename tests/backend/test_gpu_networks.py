"""Random networks train on a device as the interpreter trains them."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import numpy as np
import pytest
from opencl import WORD, as_if, device, joining

from agreement import Moves, after_step, assert_near
from chainrule.backend.gpu.emit import module
from chainrule.engine.interpreted import Interpreted
from chainrule.engine.program import compile_step
from chainrule.engine.totals import with_means
from chainrule.graph import Graph
from networks import Network, network


def dtype() -> str | None:
    """The precision of networks: any, where the device has both."""
    return None if device().traits.float64 else "float32"


KINDS = ("each kernel", "joined kernels", "many steps a launch")
"""What is launched."""


@contextmanager
def launched(kind: str) -> Iterator[None]:
    """The device launches steps of networks as small as these so, whatever it usually does."""
    traits = replace(device().traits, joins=False) if kind == KINDS[0] else joining()
    with as_if(traits=traits), patch.object(module, "SMALL", module.SMALL * (kind == KINDS[2])):
        yield


def check(case: Network) -> None:
    """Every step from the same state gives what the interpreter gives; so do all in one call.

    Raises:
        AssertionError: they differ by more than rounding does, see `agreement.check`.
    """
    case = replace(case, data=with_means(Graph([*case.outputs, case.loss]), case.data))
    step, moves = case.step(), Moves(case)
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
        there.write(before, k)
        want, got = (after_step(x, case.data, rows, rate) for x in (plain, there))
        assert_near(got, want, partial(moves.after, before, k), f"step {k + 1}")


def check_seed(seed: int) -> None:
    with launched(KINDS[seed % len(KINDS)]):
        check(network(random.Random(seed), dtype()))


@pytest.mark.parametrize("seed", range(3))
def test_a_device_and_the_interpreter_agree(seed: int) -> None:
    check_seed(seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3, int(os.environ.get("COUNT", "2000"))))
def test_a_device_and_the_interpreter_agree_on_many(seed: int) -> None:
    check_seed(seed)
