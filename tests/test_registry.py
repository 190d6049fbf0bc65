"""Every op has a row of cases, a formula, and a gradient or a reason for having none."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import string
from pathlib import Path

import pytest

import chainrule.ops
from chainrule.errors import ChainruleError, GraphError
from chainrule.graph.op import FUNCTIONS, REGISTRY, lookup, op
from chainrule.types import TensorType
from opcases import CASES

for module in pkgutil.iter_modules(chainrule.ops.__path__):
    importlib.import_module(f"chainrule.ops.{module.name}")

OURS = {name: x for name, x in REGISTRY.items() if not x.serial}
"""Chainrule's own ops; tests make others."""

NOT_DIFFERENTIABLE = {
    "flat almost everywhere": {"sign", "floor", "round"},
    "a bool": {
        "equal",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "isfinite",
        "isnan",
        "logical_and",
        "logical_or",
        "logical_xor",
        "logical_not",
    },
    "an integer": {"argmax", "argmin", "one_hot"},
    "depends on no operand": {"constant", "count", "uniform"},
    "made after differentiation, in updates by rows": {
        "add_at",
        "is_last",
        "last_equal",
        "put_rows",
        "read_at",
    },
    "stops gradients by intent": {"stop_gradient", "tracked"},
    "made after differentiation": {"exchange"},
}
"""The ops without a gradient, by the reason."""

COVERED_ELSEWHERE = {
    **dict.fromkeys(("again", "recomputed"), "nn/test_nn_recompute.py"),
    "constant": "ops/test_ops_build.py",
    "count": "ops/test_ops_mode.py",
    "exchange": "engine/test_exchange.py",
    "tracked": "ops/test_ops_mode.py",
    "objective": "ops/test_ops_mode.py",
    "uniform": "ops/test_ops_random_numerics.py",
    **dict.fromkeys(
        ("add_at", "is_last", "last_equal", "put_rows", "read_at"), "ops/test_ops_rows.py"
    ),
}
"""Ops to which no row fits, since they read a parameter or the run, and where they are tested."""


@pytest.mark.parametrize("name", sorted(OURS))
def test_op_has_a_row(name: str) -> None:
    if name not in COVERED_ELSEWHERE:
        assert any(name in case.ops for case in CASES)
    else:
        assert name in (Path(__file__).parent / COVERED_ELSEWHERE[name]).read_text("utf-8")


def test_what_is_exported_is_the_function_of_nodes() -> None:
    exported = {name: x for name, x in vars(chainrule.ops).items() if inspect.isfunction(x)}
    assert exported == {name: FUNCTIONS[name] for name in exported}
    assert {name: getattr(chainrule, name) for name in exported} == exported


def test_rows_exercise_the_ops_that_they_name() -> None:
    unknown = {name for case in CASES for name in case.ops} - set(OURS)
    assert not unknown


def test_op_has_a_gradient_or_a_reason() -> None:
    without = {name for name, found in OURS.items() if found.gradient is None}
    assert without == set().union(*NOT_DIFFERENTIABLE.values())


@pytest.mark.parametrize("name", sorted(OURS))
def test_formula_names_operands_and_attributes_that_exist(name: str) -> None:
    parameters = inspect.signature(OURS[name].infer).parameters
    fields = {text for _, text, _, _ in string.Formatter().parse(OURS[name].formula)}
    named = {text for text in fields if text and not text.split(".")[0].isdigit()}
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    assert OURS[name].formula
    assert anything or named <= set(parameters)


@pytest.mark.parametrize("name", sorted(OURS))
def test_op_declares_its_attributes(name: str) -> None:
    declared = OURS[name].attributes
    assert declared is not None
    parameters = inspect.signature(OURS[name].infer).parameters.values()
    plain = {p.name for p in parameters if p.annotation in ("str", "int", "bool", "float", "Axes")}
    assert plain <= set(declared)
    if declared:
        wrong = dict.fromkeys(declared, object())
        with pytest.raises(ChainruleError, match=r"attribute|dtype"):
            OURS[name].type([TensorType((2, 2))] * 2, wrong)
    with pytest.raises(ChainruleError, match="does not take these attributes"):
        OURS[name].type([TensorType((2, 2))] * 2, dict.fromkeys((*declared, "more"), 0))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_function_has_a_docstring_and_annotations(name: str) -> None:
    documentation = inspect.getdoc(FUNCTIONS[name])
    assert documentation
    assert documentation.splitlines()[0].endswith((".", ":"))
    signature = inspect.signature(FUNCTIONS[name])
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(p.annotation is not p.empty for p in signature.parameters.values())


def test_unknown_op_names_the_nearest() -> None:
    with pytest.raises(GraphError, match="did you mean 'softplus'"):
        lookup("softplsu")


def test_an_op_cannot_be_made_twice() -> None:
    with pytest.raises(GraphError, match="exists already"):
        op("add", "map", infer=lambda x: TensorType(x.shape), forward=abs, gradient=None)
