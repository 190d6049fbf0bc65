"""Every op says what machine code is made of it, and at what price."""

from __future__ import annotations

import importlib
import pkgutil
from typing import get_args

import pytest

import chainrule.ops
from chainrule.graph.op import REGISTRY, Fixed, Lowering, Scalar, View
from chainrule.ir.kernel import Call

for module in pkgutil.iter_modules(chainrule.ops.__path__):
    importlib.import_module(f"chainrule.ops.{module.name}")

OURS = sorted(name for name, op in REGISTRY.items() if not op.serial)
SPECIALISED = {"put_rows", "when_training"}
"""Ops that planning takes out of the graph: no kernel computes them."""

FREE = {
    "constant", "data_total", "objective", "recomputed", "stop_gradient", "to_bfloat16", "tracked",
}  # fmt: skip
"""Ops that are no view, and cost nothing."""


@pytest.mark.parametrize("name", sorted(set(OURS) - SPECIALISED))
def test_op_has_a_lowering_or_a_decomposition(name: str) -> None:
    op = REGISTRY[name]
    assert op.lower is not None or op.decompose is not None
    assert op.lower is None or isinstance(op.lower, get_args(Lowering))


@pytest.mark.parametrize("name", sorted(SPECIALISED))
def test_an_op_that_is_specialised_needs_none(name: str) -> None:
    assert REGISTRY[name].lower is None
    assert REGISTRY[name].decompose is None


@pytest.mark.parametrize("name", OURS)
def test_op_has_a_price(name: str) -> None:
    op = REGISTRY[name]
    free = isinstance(op.lower, View | Fixed) or name in FREE
    assert op.price == 0 if free else op.price >= 1


@pytest.mark.parametrize("name", OURS)
def test_a_scalar_function_is_one_of_kernels(name: str) -> None:
    lower = REGISTRY[name].lower
    if isinstance(lower, Scalar):
        assert lower.function in (Call.__doc__ or "").replace(";", "").split()
