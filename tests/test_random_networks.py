"""Random networks train the same way by the interpreter, the passes and machine code."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, note, settings

from agreement import check, check_blocks, check_prediction
from chainrule.graph import Graph, listing
from networks import Network, network, networks

pytest.importorskip("llvmlite")


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(networks)
def test_interpreter_passes_and_machine_code_agree(case: Network) -> None:
    note(f"{case.rule} {case.settings}\n{listing(Graph(case.loss))}")
    check(case)
    check_prediction(case)


@pytest.mark.parametrize("seed", [21, 1, 4])  # 21: attention, and minibatches of few rows
def test_minibatches_in_blocks_are_trained_on_as_whole_ones(seed: int) -> None:
    assert check_blocks(network(random.Random(seed)), 5)


def test_a_seed_makes_the_same_network_again() -> None:
    one, two = (network(random.Random(7)) for _ in "ab")
    assert listing(Graph(one.loss)) == listing(Graph(two.loss))
    assert one.rates == two.rates
    assert all(one.data[name].tobytes() == two.data[name].tobytes() for name in one.data)
